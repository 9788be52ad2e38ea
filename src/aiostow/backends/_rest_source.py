"""One version of an object behind HTTP: its first request goes for all of it, later ones resume."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

import pendulum
from pendulum import DateTime

from ..driver import Buffer, Chunks
from ..models import ListEntry

RANGE = 4 << 20
"""Bytes of a range, where several are under way at once."""

_AFTER_JUMP = 256 << 10  # bytes of the first range after a jump
_DEEPEST = 16

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}


class Opened(Protocol):
    """A body that has begun to come, and may be cut."""

    def __aiter__(self) -> Opened: ...

    async def __anext__(self) -> Buffer: ...

    def limit(self, length: int) -> Opened: ...

    def close(self) -> None: ...


class RestSource:
    """The `Source` of a REST backend.

    Args:
        entry: what the opening request told.
        opening: its body, which is that of the whole object.
        fetch: asks for a range of this version.
    """

    read_size = RANGE
    read_depth = _DEEPEST
    adaptive = True

    def __init__(
        self,
        entry: ListEntry,
        opening: Opened,
        fetch: Callable[[int, int], Awaitable[Chunks]],
    ) -> None:
        self.entry = entry
        self._opening: Opened | None = opening
        self._fetch = fetch

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
        return await self._fetch(offset, length)

    def close(self) -> None:
        """Give the opening body back, if it was not used."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.close()


def http_date(text: str) -> DateTime:
    """Return the moment of a date such as ``Wed, 21 Oct 2026 07:28:00 GMT`` (RFC 9110)."""
    try:
        return DateTime(
            int(text[12:16]), _MONTHS[text[8:11]], int(text[5:7]),
            int(text[17:19]), int(text[20:22]), int(text[23:25]), tzinfo=pendulum.UTC,
        )  # fmt: skip
    except (KeyError, ValueError):
        return moment(parsedate_to_datetime(text))  # one of the two older forms


def moment(when: datetime) -> DateTime:
    """Return an aware datetime as the public API has it."""
    utc = when.astimezone(UTC)
    return DateTime(
        utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond,
        tzinfo=pendulum.UTC,
    )  # fmt: skip
