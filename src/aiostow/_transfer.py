"""Moving bytes between a storage's files and what callers hand over."""

from __future__ import annotations

import errno
import inspect
import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias

from ._threads import Threads
from .driver import Buffer
from .errors import InvalidTypeError
from .files import Opening, Reader, as_bytes

BLOCK = 4 << 20
"""Bytes asked of a caller's file at a time: enough to make a thread hop cheap."""

ProgressCallback: TypeAlias = Callable[..., object]
"""Called with the bytes done so far and, if it takes two arguments, the total or None."""

_FILES = (io.BufferedRandom, io.BufferedReader, io.FileIO)


class Blocks:
    """The blocks of a local file, read elsewhere and copied in the thread that will free them.

    What one thread allocates and another frees, the C library keeps: up to three times the budget.

    Args:
        readinto: fills a buffer in another thread and returns how much, None for not yet.
    """

    def __init__(self, readinto: Callable[[memoryview], Awaitable[int | None]]) -> None:
        self._readinto = readinto
        self._buffer = memoryview(bytearray(BLOCK))

    async def read(self) -> bytes:
        """Return the next block, an empty one at the end."""
        count = await self._readinto(self._buffer)
        if count is None:
            raise _nothing_yet()
        return bytes(self._buffer[:count])


def _nothing_yet() -> InvalidTypeError:
    return InvalidTypeError("the source is non-blocking and has no bytes yet")


class Progress:
    """Tells a caller's callback how far a transfer is; at least once, also for an empty file.

    Args:
        callback: with one or two positional parameters; may be async. What it raises ends the
            transfer. None tells nobody.
        total: in bytes, where known.
    """

    def __init__(self, callback: ProgressCallback | None, total: int | None) -> None:
        self._callback = callback
        self._total = total
        self._both = callback is not None and _takes_two(callback)
        self._told = False
        self.done = 0

    async def advance(self, count: int) -> None:
        """Count bytes and tell the sum."""
        self.done += count
        self._told = True
        if self._callback is None:
            return
        arguments = (self.done, self._total) if self._both else (self.done,)
        result = self._callback(*arguments)
        if inspect.isawaitable(result):
            await result

    async def end(self) -> None:
        """Tell zero bytes if nothing was told."""
        if not self._told:
            await self.advance(0)


def _takes_two(callback: ProgressCallback) -> bool:
    try:
        inspect.signature(callback).bind(0, 0)
    except TypeError:
        return False
    except ValueError:  # a builtin that does not tell
        return False
    return True


async def pump(
    read: Callable[[], Awaitable[Buffer]],
    write: Callable[[Buffer], Awaitable[object]],
    progress: Progress,
) -> None:
    """Move bytes until `read` returns none."""
    while data := await read():
        await write(data)
        await progress.advance(len(data))
    await progress.end()


def _misplaced(given: object, wanted: str) -> InvalidTypeError | None:
    if isinstance(given, Opening):
        return InvalidTypeError("open() was not awaited: hand over the file that awaiting it gives")
    if inspect.iscoroutine(given):
        given.close()  # or Python complains a second time, about the coroutine
        return InvalidTypeError("this is a coroutine: write `await` before the call that made it")
    if hasattr(given, "__await__") and not hasattr(given, "read"):
        return InvalidTypeError("this can be awaited: write `await` before it")
    if isinstance(given, (str, os.PathLike)):
        return InvalidTypeError(f"this is a path, not a file: for a local path use {wanted}()")
    return None


class Incoming:
    """Bytes that a caller hands over, in pieces: the source of an upload.

    Args:
        source: a file object, sync or async, open in binary mode; or an iterable, sync or async,
            of bytes. It is never closed.
        threads: where a sync source is read.

    Raises:
        InvalidTypeError: it is none of these.
    """

    def __init__(self, source: Any, threads: Threads) -> None:
        self._threads = threads
        self._source = source
        self._async_read = False
        self._blocks: Blocks | None = None
        self._iterator: Iterator[Any] | None = None
        self._async_iterator: AsyncIterator[Any] | None = None
        error = _misplaced(source, "put")
        if error is not None:
            raise error
        if isinstance(source, (bytes, bytearray, memoryview)):
            raise InvalidTypeError("this is bytes, not a file: use write_bytes()")
        if callable(getattr(source, "read", None)):
            self._async_read = inspect.iscoroutinefunction(source.read)
            if type(source) in _FILES:  # a subclass may have a read() of its own
                self._blocks = Blocks(lambda buffer: threads.run(source.readinto, buffer))
        elif hasattr(source, "__aiter__"):
            self._async_iterator = aiter(source)
        elif hasattr(source, "__iter__"):
            self._iterator = iter(source)
        else:
            raise InvalidTypeError(
                "upload a file object with read(), or an iterable of bytes, sync or async, not "
                f"{type(source).__name__}"
            )

    async def total(self) -> int | None:
        """Return how many bytes are left to read, where the source can tell."""
        if isinstance(self._source, Reader):
            return max(self._source.size - await self._source.tell(), 0)
        if self._async_read or self._iterator is not None or self._async_iterator is not None:
            return None
        return await self._threads.run(_remaining, self._source)

    async def read(self) -> Buffer:
        """Return the next bytes, none at the end."""
        data: object
        if self._async_iterator is not None:
            data = await _next_filled(self._async_iterator)
        elif self._iterator is not None:
            data = await self._threads.run(_next_full, self._iterator)
        elif self._blocks is not None:
            data = await self._blocks.read()
        elif self._async_read:
            data = await self._source.read(BLOCK)
        else:
            data = await self._threads.run(self._source.read, BLOCK)
            if inspect.isawaitable(data):
                self._async_read = True
                data = await data
        if isinstance(data, str):
            raise InvalidTypeError("the source gives str, not bytes: open it with 'rb'")
        if data is None:
            raise _nothing_yet()
        return as_bytes(data)


async def _next_filled(iterator: AsyncIterator[Any]) -> object:
    async for data in iterator:
        if isinstance(data, str) or len(as_bytes(data)):
            return data
    return b""


def _next_full(iterator: Iterator[Any]) -> object:
    for data in iterator:
        if isinstance(data, str) or len(as_bytes(data)):
            return data
    return b""


def _remaining(file: Any) -> int | None:
    try:
        if not file.seekable():
            return None
        here = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(here)
    except (AttributeError, OSError, TypeError):
        return None
    return max(end - here, 0) if isinstance(here, int) and isinstance(end, int) else None


class Outgoing:
    """What a caller gives to be written to: the destination of a download.

    Args:
        destination: a file object, sync or async, open in binary mode. It is never closed.
        threads: where a sync destination is written.

    Raises:
        InvalidTypeError: it is none.
    """

    def __init__(self, destination: Any, threads: Threads) -> None:
        error = _misplaced(destination, "get")
        if error is not None:
            raise error
        if not callable(getattr(destination, "write", None)):
            raise InvalidTypeError(
                "download into a file object with write(), sync or async, not "
                f"{type(destination).__name__}"
            )
        encoding = getattr(destination, "encoding", None)
        if isinstance(destination, io.TextIOBase) or isinstance(encoding, str):
            raise InvalidTypeError("the destination takes str, not bytes: open it with 'wb'")
        self._write = destination.write
        self._raw = isinstance(destination, io.RawIOBase)
        self._threads = threads
        self._async = inspect.iscoroutinefunction(destination.write)

    async def write(self, data: Buffer) -> None:
        """Write all of `data`, also to a raw file that takes less at a time."""
        left: Buffer = data
        while len(left):
            if self._async:
                done = await self._write(left)
            else:
                done = await self._threads.run(self._write, left)
                if inspect.isawaitable(done):
                    self._async = True
                    done = await done
            if done is None and self._raw:
                raise BlockingIOError(errno.EAGAIN, "the destination is non-blocking and full")
            if not isinstance(done, int) or done >= len(left):
                return
            left = memoryview(left)[done:]
