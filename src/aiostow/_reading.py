"""Reading as `io.BytesIO` does it, for every file that can be read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, Self

from ._context import ErrorContext
from ._file import File
from ._tasks import Cleanups
from .driver import Buffer
from .errors import InvalidArgumentError, InvalidTypeError

_ALL = 1 << 62
DEFAULT_CHUNK_SIZE = 5 << 20


class BytesIterator:
    """Chunks or lines of a file, by `async for`; holds nothing that needs closing."""

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        self._read: Callable[[], Awaitable[bytes]] | None = read

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data = await self._read() if self._read is not None else b""
        if not data:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        """End the iteration; the file stays open."""
        self._read = None


class ReadMethods(File):
    """Reading as `io.BytesIO` does it, over one loaded chunk at a time."""

    def __init__(self, context: ErrorContext, cleanups: Cleanups, origin: str) -> None:
        super().__init__(context, cleanups, origin)
        self._pos = 0
        self._chunk: Buffer = b""
        self._start = 0  # the index of the byte at _pos in _chunk
        self._busy = False  # a task is waiting within a call

    def _check(self, operation: str) -> None:
        super()._check(operation)
        if self._busy:
            raise self._context.name(
                InvalidArgumentError(
                    f"{operation}() while another task is using this file: take turns, or open "
                    "the object once for each task"
                )
            )

    async def _load(self, wanted: int) -> tuple[Buffer, int]:
        """Return bytes that include the one at the position and its index, or none at the end."""
        raise NotImplementedError

    async def _size(self) -> int:
        raise NotImplementedError

    def _best(self) -> int:
        """The number of bytes to ask for when all that follows will be read."""
        raise NotImplementedError

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    async def _take(self, limit: int, wanted: int) -> Buffer:
        """Return and pass at least one and at most `limit` bytes; none at the end."""
        if self._start >= len(self._chunk):
            self._chunk, self._start = b"", 0
            self._busy = True
            try:
                self._chunk, self._start = await self._load(wanted)
            finally:
                self._busy = False
        chunk, start = self._chunk, self._start
        count = min(len(chunk) - start, limit)
        self._start += count
        self._pos += count
        if count == len(chunk):
            return chunk
        return memoryview(chunk)[start : start + count]

    async def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, fewer only at the end of the file; empty there.

        Args:
            size: in bytes; None or negative for all that is left.

        Raises:
            StorageError: the bytes could not be read; the position is as before the call.
        """
        self._check("read")
        if size is None or size < 0:
            size = _ALL
        first = await self._take(size, size) if size else b""
        if len(first) == size or not first:
            return bytes(first)
        begin = self._pos - len(first)
        parts = [first]
        left = size - len(first)
        try:
            while left and (part := await self._take(left, left)):
                parts.append(part)
                left -= len(part)
        except BaseException:
            self._move(begin)
            raise
        return bytes(first) if len(parts) == 1 else b"".join(parts)

    async def read1(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, as many as one chunk gives; empty at the end only.

        Args:
            size: in bytes; None or negative for whatever one chunk gives.
        """
        self._check("read1")
        if size == 0:
            return b""
        limit = _ALL if size is None or size < 0 else size
        return bytes(await self._take(limit, min(limit, self._best())))

    async def readinto(self, buffer: Any) -> int:
        """Fill a writable buffer and return how many bytes were read, fewer only at the end."""
        self._check("readinto")
        view = memoryview(buffer).cast("B")
        begin = self._pos
        filled = 0
        try:
            while filled < len(view):
                left = len(view) - filled
                part = await self._take(left, left)
                if not part:
                    break
                view[filled : filled + len(part)] = part
                filled += len(part)
        except BaseException:
            self._move(begin)
            raise
        return filled

    async def readline(self, size: int | None = -1) -> bytes:
        """Return the next line with its ``\\n``, at most `size` bytes of it; empty at the end."""
        self._check("readline")
        left = _ALL if size is None or size < 0 else size
        begin = self._pos
        parts: list[Buffer] = []
        try:
            while left:
                part = await self._take(left, 0)
                if not part:
                    break
                data = part if isinstance(part, bytes) else bytes(part)
                end = data.find(b"\n") + 1
                if end:
                    self._move(self._pos - (len(data) - end))
                    parts.append(data[:end])
                    break
                parts.append(data)
                left -= len(data)
        except BaseException:
            self._move(begin)
            raise
        return b"".join(parts)

    async def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Return the lines that follow, all of them or until `hint` bytes are read."""
        lines: list[bytes] = []
        total = 0
        while line := await self.readline():
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    async def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position, which may lie past the end, and return it.

        Args:
            offset: in bytes.
            whence: 0 from the start, 1 from here, 2 from the end.

        Raises:
            InvalidArgumentError: a negative offset from the start, or another `whence`.
        """
        self._check("seek")
        if whence == 0 and offset < 0:
            raise self._context.name(InvalidArgumentError(f"negative seek value {offset}"))
        if whence == 0:
            target = offset
        elif whence == 1:
            target = self._pos + offset
        elif whence == 2:
            target = await self._size() + offset
        else:
            raise self._context.name(
                InvalidArgumentError(f"whence must be 0, 1 or 2, not {whence!r}")
            )
        self._move(max(target, 0))
        return self._pos

    async def tell(self) -> int:
        """Return the position in bytes."""
        self._check("tell")
        return self._pos

    def _move(self, target: int) -> None:
        start = self._start + target - self._pos
        if not 0 <= start <= len(self._chunk):
            self._chunk, start = b"", 0
        self._start, self._pos = start, target

    def __aiter__(self) -> AsyncIterator[bytes]:
        return BytesIterator(self._next_chunk)

    async def _next_chunk(self) -> bytes:
        self._check("iteration")
        return bytes(await self._take(_ALL, self._best()))

    def iter_chunks(self, chunk_size: int = DEFAULT_CHUNK_SIZE) -> BytesIterator:
        """Iterate chunks of exactly `chunk_size` bytes, the last one of what is left."""
        if chunk_size < 1:
            raise self._context.name(
                InvalidArgumentError(f"chunk_size must be at least 1 byte, not {chunk_size}")
            )
        return BytesIterator(lambda: self.read(chunk_size))

    def iter_lines(self) -> BytesIterator:
        """Iterate lines, each with its ``\\n``."""
        return BytesIterator(self.readline)

    def __iter__(self) -> NoReturn:
        raise InvalidTypeError("write `async for`, not `for`")
