"""The read pipeline: ranges of one source, fetched ahead of the reader and handed out in order."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from ._budget import Budget
from ._context import ErrorContext
from ._pace import Pace
from ._plan import next_range
from ._ranges import ExactRange
from ._tasks import living
from .driver import Buffer, Source
from .errors import ClosedError, StorageError
from .models import ByteRange


@dataclass(slots=True)
class _Ahead:
    """A range under way before the reader asked for it; its bytes are charged to the budget."""

    span: ByteRange
    task: asyncio.Task[list[Buffer]]


class ReadAhead:
    """Hands out the bytes of a source in order, from a position that can be moved.

    The range that the reader waits for is always fetched; ranges beyond it only while the budget
    has room, and only once the reader goes through the object in order.

    Args:
        source: what to read; closed with the pipeline.
        budget: shared with other files.
        context: names the errors.
    """

    def __init__(self, source: Source, budget: Budget, context: ErrorContext) -> None:
        self._source = source
        self._budget = budget
        self._context = context
        self._position = 0  # of the next byte to hand out
        self._ready: deque[Buffer] = deque()
        self._live: ExactRange | None = None  # the range that the reader itself is draining
        self._ahead: deque[_Ahead] = deque()
        self._planned = 0  # the end of all that is ready, live or ahead
        self._stopped = False
        self._reader: asyncio.Task[Any] | None = None  # the task within `at`
        self._previous = 0  # the length of the last planned range of this sequential run
        self._dropped: dict[asyncio.Task[list[Buffer]], int] = {}  # and their lengths
        self._pace = Pace(source.read_depth, source.read_size) if source.adaptive else None

    @property
    def size(self) -> int:
        """The size in bytes of the object."""
        return self._source.entry.size

    @property
    def best(self) -> int:
        """The number of bytes to ask for when all that follows will be read."""
        return self._source.read_size

    async def at(self, offset: int, wanted: int) -> tuple[Buffer, int]:
        """Return bytes that include the one at `offset`, and its index in them.

        Bytes past the returned ones follow from their end. At the end of the object the bytes are
        empty. A failure or cancellation loses nothing: the next call begins anew.

        Args:
            offset: within the object; going on where the last bytes ended is fastest.
            wanted: how many bytes the reader is about to use; more or fewer may come.

        Raises:
            ClosedError: `stop` was called before or meanwhile.
            StorageError: the bytes could not be read.
        """
        if not self._position <= offset < self._planned:
            self._restart(offset)
        reader = self._reader = asyncio.current_task()
        assert reader is not None, "coroutines run in tasks"
        cancelling = reader.cancelling()
        try:
            try:
                return await self._next(offset, wanted)
            finally:
                if self._reader is None:  # interrupted
                    reader.uncancel()
                self._reader = None
        except StorageError as exc:
            if self._stopped:  # whatever that made of the calls under way
                raise self._closed() from exc
            raise
        except asyncio.CancelledError:
            if self._stopped and reader.cancelling() <= cancelling:  # by nobody else
                raise self._closed() from None
            raise

    async def _next(self, offset: int, wanted: int) -> tuple[Buffer, int]:
        while True:
            if self._stopped:
                raise self._closed()
            if self._ready:
                chunk = self._ready.popleft()
                begin, self._position = self._position, self._position + len(chunk)
                if offset < self._position:
                    return chunk, offset - begin
            elif self._live is not None:
                await self._drain(self._live)
            elif self._ahead:
                await self._collect(self._ahead[0])
            elif self._position >= self.size:
                return b"", 0
            else:
                await self._open(wanted)

    def _closed(self) -> StorageError:
        return self._context.name(ClosedError("the file was closed while it was read"))

    async def all(self) -> bytes:
        """Return the bytes of the whole object."""
        first, _ = await self.at(0, self.size)
        parts = [first]
        done = len(first)
        while done < self.size:
            part, _ = await self.at(done, self.size - done)
            parts.append(part)
            done += len(part)
        return bytes(first) if len(parts) == 1 else b"".join(parts)

    def stop(self) -> bool:
        """Stop what is under way; return whether nothing is left that `aclose` must wait for."""
        self._stopped = True
        self._interrupt()
        self._restart(self._position)
        for task in [task for task in self._dropped if not living(task)]:
            self._budget.give(self._dropped.pop(task))
        if self._dropped:
            return False
        self._source.close()
        return True

    def _interrupt(self) -> None:
        """Let a call of `at` under way end now, whatever it waits for."""
        reader, self._reader = self._reader, None
        if reader is not None and living(reader):
            # As a timeout does it: what is closed under a task does not always wake it, and what
            # wakes it may make it begin anew.
            reader.cancel()

    def release(self) -> Coroutine[Any, Any, None]:
        """Stop what is under way at once, and return what `aclose` does.

        A task that is cancelled before it begins does nothing, as at the end of `asyncio.run`.
        """
        self.stop()
        return self.aclose()

    async def aclose(self) -> None:
        """Stop what is under way, wait until it has ended, and close the source."""
        while not self.stop():
            await asyncio.wait(self._dropped)

    def _restart(self, offset: int) -> None:
        while self._ahead:
            self._drop(self._ahead.popleft())
        self._ready.clear()
        if self._live is not None:
            self._live.close()
            self._live = None
        if offset != self._planned:
            self._previous = 0  # a jump: sequential reading begins anew
            if self._pace is not None:
                self._pace.restart(0.0)
        self._position = self._planned = offset

    def _drop(self, ahead: _Ahead) -> None:
        if not living(ahead.task):
            self._budget.give(ahead.span.length)
            return

        # The bytes stay charged until the range really ends.
        def ended(task: asyncio.Task[list[Buffer]]) -> None:
            self._budget.give(self._dropped.pop(task))
            if not task.cancelled():
                task.exception()

        self._dropped[ahead.task] = ahead.span.length
        ahead.task.add_done_callback(ended)
        ahead.task.cancel()

    def _plan(self, wanted: int) -> ByteRange:
        if self._single and self._previous >= self._source.read_size:
            return ByteRange(self._planned, self.size - self._planned)
        length = next_range(
            previous=self._previous,
            wanted=wanted,
            source_first=self._source.first_size,
            source_best=self._source.read_size,
        )
        if self._single and not self._previous:
            length = max(length, self._source.first_size)
        length = min(length, self.size - self._planned)
        return ByteRange(self._planned, length)

    @property
    def _single(self) -> bool:
        """Whether a single range is fast enough to go on with, however long."""
        return self._pace is not None and self._pace.depth == 1

    async def _open(self, wanted: int) -> None:
        span = self._plan(wanted)
        sequential = self._previous > 0 or wanted > span.length
        live = ExactRange(self._source, span, self._context)
        await live.open()
        if self._stopped:
            live.close()
            return
        self._live = live
        self._planned = span.end
        self._previous = span.length
        if sequential:
            self._fill()

    def _fill(self) -> None:
        depth = self._source.read_depth if self._pace is None else self._pace.depth
        while self._planned < self.size and len(self._ahead) < depth - 1:
            span = self._plan(self._source.read_size)
            if not self._budget.try_take(span.length):
                return
            task = asyncio.get_running_loop().create_task(self._fetch(span))
            self._ahead.append(_Ahead(span, task))
            self._planned = span.end
            self._previous = span.length

    async def _drain(self, live: ExactRange) -> None:
        began = time.monotonic()
        try:
            chunk = await anext(live, None)
        except BaseException:
            # What the range held is lost; a caller that goes on begins anew at its position.
            self._restart(self._position)
            raise
        if chunk is None:
            self._live = None
            return
        self._ready.append(chunk)
        if self._pace is not None and self._measure(len(chunk), began) and self._live is live:
            # It goes on for as long as others need to come, and they take over from there.
            self._planned = live.shorten(self._source.read_size)
            self._previous = self._source.read_size
            self._fill()

    def _measure(self, count: int, began: float) -> bool:
        """Tell the pace what came, and return whether more ranges are to be under way."""
        assert self._pace is not None
        now = time.monotonic()
        return self._pace.came(count, now - began, now) and self._pace.depth > 1

    async def _collect(self, ahead: _Ahead) -> None:
        began = time.monotonic()
        await asyncio.wait([ahead.task])  # a cancellation leaves the range under way
        self._ahead.popleft()
        if self._pace is not None:
            self._measure(ahead.span.length, began)
        self._budget.give(ahead.span.length)
        if ahead.task.cancelled():  # by a stranger: it is fetched again
            self._restart(self._position)
            return
        try:
            self._ready.extend(ahead.task.result())
        except BaseException:
            self._restart(self._position)
            raise
        self._fill()

    async def _fetch(self, span: ByteRange) -> list[Buffer]:
        chunks = ExactRange(self._source, span, self._context)
        try:
            return [chunk async for chunk in chunks]
        finally:
            chunks.close()
