"""Whether two entries of one name hold the same, as far as can be told without reading. Pure."""

from __future__ import annotations

import enum
import re
from datetime import timedelta
from typing import Literal, TypeAlias

from ..models import ListEntry

Compare: TypeAlias = Literal["mtime", "etag", "checksum"]
"""By what it is told whether a file has changed.

- ``"mtime"``: by size and time: the copy is not older than the file.
- ``"etag"``: by the versions that the services tell, as a journal remembers them or where both are
  sums of the content.
- ``"checksum"``: by the content itself, which is read.
"""

_MD5 = re.compile(r"[0-9a-f]{32}")
_SECOND = timedelta(seconds=1)
_TICK = timedelta(milliseconds=10)  # by which the clock of a file system is late, at most


class Verdict(enum.Enum):
    """What can be told of two entries."""

    same = 1
    different = 2
    unsure = 3  # only the content can tell


def md5_of(entry: ListEntry) -> str | None:
    """Return the etag if it may be the MD5 of the content, as a simple S3 upload has it.

    If the MD5 of some content equals it, that is the content; else nothing is known: an encrypted
    object's looks the same.
    """
    return entry.etag if entry.etag is not None and _MD5.fullmatch(entry.etag) else None


def by_entries(source: ListEntry, destination: ListEntry, compare: Compare) -> Verdict:
    """Return what two entries tell of each other without a journal."""
    if source.size != destination.size:
        return Verdict.different
    if source.size == 0:
        return Verdict.same
    if compare == "checksum":
        return Verdict.unsure
    md5 = md5_of(source)
    if md5 is not None and md5 == destination.etag:
        return Verdict.same
    if compare == "etag":
        return Verdict.different
    return by_time(source, destination)


def by_time(source: ListEntry, destination: ListEntry) -> Verdict:
    """Return whether a copy was made after the last change of its source.

    Many services tell whole seconds, and disks the last tick of the system's clock. A change and a
    copy within one of them have no order.
    """
    changed_last = source.last_modified + _resolution(source)
    copied_last = destination.last_modified + _resolution(destination)
    if changed_last <= destination.last_modified:
        return Verdict.same
    return Verdict.different if source.last_modified > copied_last else Verdict.unsure


def _resolution(entry: ListEntry) -> timedelta:
    return _TICK if entry.last_modified.microsecond else _SECOND


def version(entry: ListEntry) -> str:
    """Return what a journal remembers of an entry."""
    if entry.etag is not None:
        return f"{entry.size} {entry.etag}"
    return f"{entry.size} @{entry.last_modified.timestamp():.6f}"
