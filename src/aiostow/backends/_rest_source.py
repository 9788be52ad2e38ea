"""One version of an object behind HTTP: its first request goes for all of it, later ones resume."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..driver import Buffer, Chunks
from ..errors import ObjectChangedError, StorageIOError
from ..models import ByteRange, ListEntry
from ._rest_entry import etag_of, http_date
from .http import ServiceError

RANGE = 4 << 20
"""Bytes of a range, where several are under way at once."""

_AFTER_JUMP = 256 << 10  # bytes of the first range after a jump
_DEEPEST = 16


class Opened(Protocol):
    """A body that has begun to come, and may be cut."""

    def __aiter__(self) -> Opened: ...

    async def __anext__(self) -> Buffer: ...

    def limit(self, length: int) -> Opened: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Got:
    """An answer whose body is still to come."""

    headers: Mapping[str, str]
    body: Opened


Get = Callable[[str, ByteRange | None, Mapping[str, str]], Awaitable[Got]]
"""Asks for an object or a range of it, with headers."""


class RestSource:
    """The `Source` of a REST backend.

    Args:
        entry: what the opening request told.
        opening: its body, which is that of the whole object.
        get: asks for a range.
    """

    read_size = RANGE
    read_depth = _DEEPEST
    adaptive = True

    def __init__(
        self,
        entry: ListEntry,
        opening: Opened,
        get: Get,
    ) -> None:
        self.entry = entry
        self._opening: Opened | None = opening
        self._get = get

    @property
    def first_size(self) -> int:
        """All of it while the opening body is at hand, and little after a jump."""
        return _AFTER_JUMP if self._opening is None else self.entry.size

    async def stream(self, offset: int, length: int) -> Chunks:
        """Return the bytes of a range."""
        opening, self._opening = self._opening, None
        if opening is not None:
            if offset == 0:
                return opening if length >= self.entry.size else opening.limit(length)
            opening.close()
        return await self._fetch(offset, min(length, self.entry.size - offset))

    async def _fetch(self, offset: int, length: int) -> Chunks:
        if length <= 0:
            return _Nothing()
        entry = self.entry
        headers = {} if entry.etag is None else {"if-match": f'"{entry.etag}"'}
        try:
            got = await self._get(entry.name, ByteRange(offset, length), headers)
        except ServiceError as exc:
            if exc.status in (404, 412, 416):
                raise ObjectChangedError("the object was replaced while it was read") from exc
            raise
        try:
            if not self._same(got.headers):
                raise ObjectChangedError("the object was replaced while it was read")
            begins = got.headers.get("content-range", "bytes 0-").startswith(f"bytes {offset}-")
            if not begins:
                raise StorageIOError("the service answered with another range than the asked one")
        except BaseException:
            got.body.close()
            raise
        return got.body.limit(length)

    def _same(self, headers: Mapping[str, str]) -> bool:
        """Whether an answer is surely of the version that was opened, as far as services tell."""
        etag = etag_of(headers)
        if etag is not None or self.entry.etag is not None:
            return etag == self.entry.etag
        date, told = headers.get("last-modified"), headers.get("content-range")
        total = headers.get("content-length") if told is None else told.rpartition("/")[2]
        return (
            date is not None
            and http_date(date) == self.entry.last_modified
            and total == str(self.entry.size)
        )

    def close(self) -> None:
        """Give the opening body back, if it was not used."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.close()


class _Nothing:
    """The bytes of an empty range."""

    def __aiter__(self) -> _Nothing:
        return self

    async def __anext__(self) -> Buffer:
        raise StopAsyncIteration

    def close(self) -> None:
        return None
