"""Reading as `io.BytesIO` does it, for every file that can be read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, Self, TypeVar

from ._context import ErrorContext
from ._cursor import Cursor, Steps
from ._file import File
from ._tasks import Cleanups
from .driver import Buffer
from .errors import InvalidArgumentError, InvalidTypeError

T = TypeVar("T")

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
        self._cursor = Cursor()
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

    async def _load(self, offset: int, wanted: int) -> tuple[Buffer, int]:
        """Return bytes that include the one at `offset` and its index, or none at the end.

        Args:
            offset: in bytes.
            wanted: how many bytes are about to be used; more or fewer may come.
        """
        raise NotImplementedError

    async def _end(self) -> int:
        """Return the size in bytes."""
        raise NotImplementedError

    @property
    def _best(self) -> int:
        """How many bytes to ask for when all that follows will be read."""
        raise NotImplementedError

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    async def _run(self, steps: Steps[T]) -> T:
        try:
            wanted = next(steps)
            while True:
                self._busy = True
                try:
                    loaded = await self._load(self._cursor.position, wanted)
                except BaseException:
                    steps.close()
                    raise
                finally:
                    self._busy = False
                wanted = steps.send(loaded)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # what the steps return

    async def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, fewer only at the end of the file; empty there.

        Args:
            size: in bytes; None or negative for all that is left.

        Raises:
            StorageError: the bytes could not be read; the position is as before the call.
        """
        self._check("read")
        return await self._run(self._cursor.read(size))

    async def read1(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, as many as one chunk gives; empty at the end only.

        Args:
            size: in bytes; None or negative for whatever one chunk gives.
        """
        self._check("read1")
        return await self._run(self._cursor.read1(size, self._best))

    async def readinto(self, buffer: Any) -> int:
        """Fill a writable buffer and return how many bytes were read, fewer only at the end."""
        self._check("readinto")
        return await self._run(self._cursor.readinto(buffer))

    async def readline(self, size: int | None = -1) -> bytes:
        """Return the next line with its ``\\n``, at most `size` bytes of it; empty at the end."""
        self._check("readline")
        return await self._run(self._cursor.readline(size))

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
        end = await self._end() if whence == 2 else 0
        with self._context:
            return self._cursor.seek(offset, whence, end)

    async def tell(self) -> int:
        """Return the position in bytes."""
        self._check("tell")
        return self._cursor.position

    def __aiter__(self) -> AsyncIterator[bytes]:
        return BytesIterator(self._next_chunk)

    async def _next_chunk(self) -> bytes:
        self._check("iteration")
        return await self._run(self._cursor.read1(-1, self._best))

    def iter_chunks(self, chunk_size: int = DEFAULT_CHUNK_SIZE) -> BytesIterator:
        """Iterate chunks of exactly `chunk_size` bytes, the last one of what is left."""
        if chunk_size < 1:
            raise self._context.name(
                InvalidArgumentError(f"chunk_size must be at least 1 byte, not {chunk_size}")
            )
        return BytesIterator(lambda: self.read(chunk_size))

    def iter_lines(self) -> BytesIterator:
        """Iterate lines, each with its ``\\n``."""
        return BytesIterator(self._next_line)

    async def _next_line(self) -> bytes:
        self._check("iteration")
        line = self._cursor.line()
        return await self._run(self._cursor.readline(-1)) if line is None else line

    def __iter__(self) -> NoReturn:
        raise InvalidTypeError("write `async for`, not `for`")
