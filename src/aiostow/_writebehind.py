"""The write pipeline: bytes in order become pieces that are staged while more bytes come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from ._budget import Budget
from ._context import ErrorContext
from ._plan import piece_size
from ._tasks import Cleanups, living
from .driver import Buffer, Limits, Upload
from .errors import ClosedError
from .models import ListEntry, WriteOptions

# Smaller writes are gathered by copying: a buffer of its own costs more than the copy.
_GATHER = 64 << 10


class Target(Protocol):
    """What the pipeline needs of a driver."""

    @property
    def write_limits(self) -> Limits: ...

    async def write(
        self, key: str, buffers: Sequence[Buffer], options: WriteOptions
    ) -> ListEntry: ...

    async def begin(self, key: str, options: WriteOptions, *, size_hint: int | None) -> Upload: ...


class WriteBehind:
    """Cuts what is written into pieces and stages several at a time.

    An object that fits one piece is written by one `write`. Bytes that were not yet cut into
    a piece are the allowance of every open file; pieces under way are charged to the budget.

    Args:
        target: where to write: a driver, or the caller's own disk.
        key: as the target knows it.
        options: of the write.
        size_hint: the size of the object in bytes, where known.
        budget: shared with other files.
        cleanups: of the storage.
        context: names the errors.
    """

    def __init__(
        self,
        target: Target,
        key: str,
        options: WriteOptions,
        size_hint: int | None,
        budget: Budget,
        cleanups: Cleanups,
        context: ErrorContext,
    ) -> None:
        self._target = target
        self._key = key
        self._options = options
        self._size_hint = size_hint
        self._budget = budget
        self._cleanups = cleanups
        self._context = context
        self._limits = target.write_limits
        self._tail: deque[Buffer] = deque()
        self._gathering: bytearray | None = None  # small writes, the newest part of the tail
        self._tail_size = 0
        self._upload: Upload | None = None
        self._index = 0
        self._offset = 0  # of the tail within the object
        self._under_way: dict[asyncio.Task[None], int] = {}  # and their sizes
        self._failed: BaseException | None = None
        self._aborted = False
        self._piece = self._plan()

    @property
    def size(self) -> int:
        """The number of bytes written so far."""
        return self._offset + self._tail_size

    async def resume(self) -> int:
        """Begin now, and return from which offset on bytes are needed: those before are staged."""
        await self._cleanups.finish(self._begin())
        upload = self._upload
        assert upload is not None, "_begin sets it or raises"
        staged: Mapping[int, int] = getattr(upload, "staged", {})
        total = self._size_hint or 0
        while self._offset < total:
            size = min(self._piece, total - self._offset)
            if staged.get(self._index) != size:
                break
            self._index += 1
            self._offset += size
            if self._offset < total:
                self._piece = self._plan()
        return self._offset

    async def feed(self, data: Buffer) -> None:
        """Take bytes, waiting while too many pieces are under way.

        Raises:
            StorageError: an earlier piece failed; the upload can only be aborted.
        """
        if self._failed is not None:
            raise self._failed
        self._tail_size += len(data)
        if len(data) < _GATHER:
            if self._gathering is None:
                self._gathering = bytearray()
            self._gathering += data
        else:
            self._seal()
            self._tail.append(data)
        # One byte more than a piece: an object of exactly one piece goes in one request, and the
        # last piece is never empty.
        while self._tail_size > self._piece:
            try:
                await self._dispatch(self._piece)
            except Exception as exc:
                self._failed = exc
                raise

    async def prepare(self) -> None:
        """Stage what is left and wait for all pieces; this may take long and may be cancelled."""
        if self._failed is not None:
            raise self._failed
        if self._upload is None:
            return
        if self._tail_size:
            await self._dispatch(self._tail_size)
        while self._under_way:
            await asyncio.wait(self._under_way)
            self._check()

    async def commit(self) -> ListEntry:
        """Make the object visible, after `prepare`; must not be cancelled."""
        with self._context.changing():
            if self._upload is not None:
                return await self._upload.commit()
            self._seal()
            buffers, self._tail = list(self._tail), deque()
            return await self._target.write(self._key, buffers, self._options)

    async def abort(self) -> None:
        """Stop the pieces under way and discard the upload; idempotent."""
        self._aborted = True
        for task, size in list(self._under_way.items()):
            if living(task):
                task.cancel()
                continue
            del self._under_way[task]
            if not task.done():
                self._budget.give(size)
        while self._under_way:
            await asyncio.wait(self._under_way)
            self._forget_ended()
        self._tail.clear()
        self._gathering = None
        if self._upload is not None:
            with self._context:
                await self._upload.abort()

    def _plan(self) -> int:
        return piece_size(
            self._limits,
            index=self._index,
            offset=self._offset,
            size_hint=self._size_hint,
            budget=self._budget.total,
        )

    def _seal(self) -> None:
        if self._gathering is not None:
            self._tail.append(memoryview(self._gathering).toreadonly())
            self._gathering = None

    async def _dispatch(self, size: int) -> None:
        if self._upload is None:
            # Not to be cut by a cancellation, or nobody would know what is to be aborted.
            await self._cleanups.finish(self._begin())
        upload = self._upload
        assert upload is not None, "_begin sets it or raises"
        self._check()
        while len(self._under_way) >= self._limits.depth or not self._budget.try_take(size):
            if not self._under_way:
                self._budget.take(size)  # a file with nothing under way always goes on
                break
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            self._check()
        task = asyncio.get_running_loop().create_task(
            self._stage(upload, self._index, self._offset, self._cut(size))
        )
        # Not in _stage: a task that is cancelled before it begins never runs.
        task.add_done_callback(lambda _: self._budget.give(size))
        self._under_way[task] = size
        self._index += 1
        self._offset += size
        self._tail_size -= size
        if self._tail_size:
            self._piece = self._plan()

    async def _begin(self) -> None:
        with self._context:
            upload = await self._target.begin(self._key, self._options, size_hint=self._size_hint)
            if self._aborted:  # meanwhile, by the storage that was closed
                await upload.abort()
        self._upload = upload
        self._limits = upload.limits

    async def _stage(self, upload: Upload, index: int, offset: int, buffers: list[Buffer]) -> None:
        with self._context:
            await upload.stage(index, offset, buffers)

    def _cut(self, size: int) -> list[Buffer]:
        self._seal()
        piece: list[Buffer] = []
        while size:
            head = self._tail.popleft()
            if len(head) > size:
                view = memoryview(head)
                self._tail.appendleft(view[size:])
                head = view[:size]
            piece.append(head)
            size -= len(head)
        return piece

    def _check(self) -> None:
        if self._aborted:
            raise self._context.name(ClosedError("the file was aborted"))
        for task in self._forget_ended():
            # Whoever cancels our tasks must not make a hole in the object.
            error: BaseException | None
            if task.cancelled():
                error = self._context.name(ClosedError("a piece was cancelled: write it again"))
            else:
                error = task.exception()
            if error is not None and self._failed is None:
                self._failed = error
        if self._failed is not None:
            raise self._failed

    def _forget_ended(self) -> list[asyncio.Task[None]]:
        ended = [task for task in self._under_way if task.done()]
        for task in ended:
            del self._under_way[task]
            if not task.cancelled():
                task.exception()  # seen: asyncio need not report it
        return ended
