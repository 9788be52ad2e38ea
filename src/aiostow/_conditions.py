"""What the headers of a request say about versions and ranges (RFC 9110, 13 and 14). Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime

from .models import ByteRange, ListEntry

Headers = Mapping[str, str]
"""Of a request, by lower-case names."""

# Longer ones are no browser's. What is not read cannot cost anything.
_LONGEST_TAGS = 8 << 10
_LONGEST_RANGE = 64

_TAG = re.compile(r'(W/)?("[^"]*")')
_RANGE = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII | re.IGNORECASE)

_SETTLED = 60  # seconds after which a time of modification tells versions apart (RFC 7232, 2.2.2)


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one version of an object from another.

    Attributes:
        etag: as in the header, in quotes.
        modified: in seconds since the epoch.
    """

    etag: str
    modified: int

    @classmethod
    def of(cls, entry: ListEntry, *, exact: bool = True) -> Validators:
        """Return those of an object; hashed, since inodes and checksums are nobody's business.

        Args:
            entry: the object.
            exact: whether etags of its storage tell any two versions apart.
        """
        modified = int(entry.last_modified.timestamp())
        if entry.etag is not None:
            return cls(f'{"" if exact else "W/"}"{_hashed(entry.etag)}"', modified)
        return cls(f'W/"{_hashed(f"{entry.last_modified.timestamp()}-{entry.size}")}"', modified)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """As they are told."""
        return ("ETag", self.etag), ("Last-Modified", formatdate(self.modified, usegmt=True))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def failed_condition(headers: Headers, found: Validators | None, *, reading: bool) -> int | None:
    """Return the status of a request whose conditions do not hold, or None.

    Args:
        headers: of the request.
        found: what is there, or None.
        reading: whether it is a GET or HEAD.
    """
    tags = headers.get("if-match")
    if tags is not None:
        if not _names(tags, found, strong=True):
            return 412
    elif found is not None:
        since = _seconds(headers.get("if-unmodified-since"))
        if since is not None and found.modified > since:
            return 412
    tags = headers.get("if-none-match")
    if tags is not None:
        # A list that is not read may name it: a download is sent again, a change is not made.
        unread = found is not None and not reading and len(tags) > _LONGEST_TAGS
        if unread or _names(tags, found, strong=False):
            return 304 if reading else 412
    elif reading and found is not None:
        since = _seconds(headers.get("if-modified-since"))
        if since is not None and found.modified <= since:
            return 304
    return None


def asks_about_what_is_there(headers: Headers) -> bool:
    """Whether a change depends on the version that is there."""
    return any(name in headers for name in ("if-match", "if-none-match", "if-unmodified-since"))


def _names(tags: str, found: Validators | None, *, strong: bool) -> bool:
    """Whether a list of entity tags names a version."""
    if found is None:
        return False
    if tags.strip() == "*":
        return True
    if len(tags) > _LONGEST_TAGS or (strong and found.etag.startswith("W/")):
        return False
    wanted = found.etag.removeprefix("W/")
    return any(tag == wanted and not (strong and weak) for weak, tag in _TAG.findall(tags))


def _seconds(date: str | None) -> float | None:
    if date is None or len(date) > _LONGEST_RANGE:
        return None
    try:
        moment = parsedate_to_datetime(date)
        if moment.tzinfo is None:  # the oldest form has none, and means UTC
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


class UnsatisfiableError(ValueError):
    """A range begins past the end of the object, which has `size` bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def wanted_range(headers: Headers, found: Validators, size: int, now: float) -> ByteRange | None:
    """Return the range that a GET asks for, or None for the whole object.

    Several ranges, what is no range, and one of another version mean the whole.

    Args:
        headers: of the request.
        found: what is there.
        size: of it, in bytes.
        now: in seconds since the epoch.

    Raises:
        UnsatisfiableError: nothing of the range is there.
    """
    header = headers.get("range", "")
    match = _RANGE.fullmatch(header) if len(header) <= _LONGEST_RANGE else None
    if match is None or match.group(1, 2) == ("", ""):
        return None
    if not _same_version(headers.get("if-range"), found, now):
        return None
    first, last = match.groups()
    if not first:
        if not size and int(last):
            return None  # the last bytes of nothing are all of it
        begin, end = max(size - int(last), 0), size
    else:
        begin, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < begin:
            return None  # no range at all
    if begin >= size:
        raise UnsatisfiableError(size)
    return ByteRange(begin, end - begin)


def _same_version(if_range: str | None, found: Validators, now: float) -> bool:
    if if_range is None:
        return True
    if '"' in if_range:  # only a strong tag will do
        return if_range.strip() == found.etag and not found.etag.startswith("W/")
    return _seconds(if_range) == found.modified and now - found.modified >= _SETTLED
