"""The body of a download by a link: from the open object, or a file that the server opens."""

from __future__ import annotations

from collections.abc import Callable

from .errors import ShortReadError
from .files import Reader
from .models import ByteRange, ListEntry
from .storage import Storage

CHUNK = 1 << 20
"""Bytes that are handed to the server at once."""


class OpenDownload:
    """An object that is sent from where it was opened."""

    path: str | None = None

    def __init__(self, reader: Reader, span: ByteRange | None) -> None:
        self._reader = reader
        self.entry = reader.entry
        self.span = span
        self.length: int = reader.size if span is None else span.length
        self._left = self.length
        self._first: bytes | None = None

    async def begin(self) -> None:
        """Read the first bytes: what fails until then can still be answered."""
        if self.span is not None:
            await self._reader.seek(self.span.offset)
        self._first = await self.read()

    async def read(self) -> bytes:
        """Return the next bytes, none at the end; the end closes."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if not self._left:
            return b""
        data = await self._reader.read1(min(self._left, CHUNK))
        if not data:
            raise ShortReadError("the object ended before its promised length")
        self._left -= len(data)
        if not self._left:
            await self._reader.close()
        return data

    async def aclose(self) -> None:
        """Close the object."""
        await self._reader.close()


async def open_download(
    storage: Storage,
    key: str,
    span_of: Callable[[ListEntry], ByteRange | None],
    *,
    if_match: str | None,
) -> OpenDownload:
    """Open an object and read its first bytes.

    Args:
        storage: of the object.
        key: of the object.
        span_of: returns which of its bytes are to be sent, None for all.
        if_match: the only version that is meant, where only one is.
    """
    reader = await storage.open(key, if_match=if_match)
    try:
        download = OpenDownload(reader, span_of(reader.entry))
        await download.begin()
    except BaseException:
        await reader.close()
        raise
    return download


class PathDownload:
    """A file that the server opens by its path."""

    def __init__(self, path: str, length: int) -> None:
        self.path: str | None = path
        self.length = length

    async def read(self) -> bytes:
        """Refuse: the file is the server's to read."""
        raise NotImplementedError("the server said that it sends paths")

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""
