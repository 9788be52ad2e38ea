"""Reading as `io.BytesIO` does it, without input or output."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias, TypeVar

from .driver import Buffer
from .errors import InvalidArgumentError

T = TypeVar("T")

Steps: TypeAlias = Generator[int, tuple[Buffer, int], T]
"""Yields how many bytes are wanted at the cursor's position and is sent bytes that include the one
there, with its index in them; no bytes at the end of the file. Closed, it restores the position."""

ALL = 1 << 62
"""More bytes than any file has."""


class Cursor:
    """A position in a file and the chunk around it.

    The rules of reading are written once, as generators, for the files of the event loop and for
    those of the sync facade: each loads what they ask for in its own way.

    Attributes:
        position: of the next byte.
    """

    __slots__ = ("_chunk", "_start", "position")

    def __init__(self) -> None:
        self.position = 0
        self._chunk: Buffer = b""
        self._start = 0  # the index of the byte at the position in the chunk

    def take(self, limit: int, wanted: int) -> Steps[Buffer]:
        """Pass at least one and at most `limit` bytes, none at the end; load `wanted` if none are
        at hand."""
        if self._start >= len(self._chunk):
            yield from self._load(wanted)
        chunk, start = self._chunk, self._start
        count = min(len(chunk) - start, limit)
        self._start += count
        self.position += count
        if count == len(chunk):
            return chunk
        return memoryview(chunk)[start : start + count]

    def read(self, size: int | None) -> Steps[bytes]:
        """Read up to `size` bytes, fewer only at the end; None or negative for all that is left."""
        left = ALL if size is None or size < 0 else size
        begin = self.position
        parts: list[Buffer] = []
        try:
            while left and (part := (yield from self.take(left, left))):
                parts.append(part)
                left -= len(part)
        except BaseException:
            self.move(begin)
            raise
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def read1(self, size: int | None, best: int) -> Steps[bytes]:
        """Read what one chunk gives, at most `size` bytes; load at most `best`."""
        if size == 0:
            return b""
        limit = ALL if size is None or size < 0 else size
        return bytes((yield from self.take(limit, min(limit, best))))

    def readinto(self, buffer: Any) -> Steps[int]:
        """Fill a writable buffer; return how many bytes were read, fewer only at the end."""
        view = memoryview(buffer).cast("B")
        begin = self.position
        filled = 0
        try:
            while left := len(view) - filled:
                part = yield from self.take(left, left)
                if not part:
                    break
                view[filled : filled + len(part)] = part
                filled += len(part)
        except BaseException:
            self.move(begin)
            raise
        return filled

    def readline(self, size: int | None) -> Steps[bytes]:
        """Read the next line with its end, at most `size` bytes of it."""
        left = ALL if size is None or size < 0 else size
        begin = self.position
        parts: list[bytes] = []
        try:
            while left:
                if self._start >= len(self._chunk):
                    yield from self._load(0)
                chunk = self._chunk
                if not isinstance(chunk, bytes):  # memoryviews cannot be searched
                    chunk = self._chunk = bytes(chunk)
                end = chunk.find(b"\n", self._start, self._start + left) + 1
                part = chunk[self._start : end or self._start + left]
                if part:
                    parts.append(part)
                    self.move(self.position + len(part))
                    left -= len(part)
                if end or not part:
                    break
        except BaseException:
            self.move(begin)
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def line(self) -> bytes | None:
        """Read the next line if all of it is at hand; steps would take three times as long."""
        chunk = self._chunk
        if not isinstance(chunk, bytes):
            return None
        start = self._start
        end = chunk.find(b"\n", start) + 1
        if not end:
            return None
        self._start = end
        self.position += end - start
        return chunk[start:end]

    def _load(self, wanted: int) -> Steps[None]:
        self.drop()
        self._chunk, self._start = yield wanted

    def seek(self, offset: int, whence: int, end: int) -> int:
        """Go to a position, which may lie past the end, and return it.

        Args:
            offset: in bytes.
            whence: 0 from the start, 1 from here, 2 from the end.
            end: the size of the file in bytes; looked at for the last of them only.

        Raises:
            InvalidArgumentError: a negative offset from the start, or another `whence`.
        """
        if whence not in (0, 1, 2):
            raise InvalidArgumentError(f"whence must be 0, 1 or 2, not {whence!r}")
        if whence == 0 and offset < 0:
            raise InvalidArgumentError(f"negative seek value {offset}")
        self.move(max((0, self.position, end)[whence] + offset, 0))
        return self.position

    def move(self, target: int) -> None:
        """Go to a position; what is at hand there is kept."""
        start = self._start + target - self.position
        if not 0 <= start <= len(self._chunk):
            self._chunk, start = b"", 0
        self._start, self.position = start, target

    def drop(self) -> None:
        """Forget what is at hand: it was changed, or is used up."""
        self._chunk, self._start = b"", 0
