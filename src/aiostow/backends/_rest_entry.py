"""What headers tell of an object, and what they say of one that is written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pendulum
from pendulum import DateTime, from_timestamp

from ..errors import InvalidArgumentError
from ..models import ListEntry, WriteOptions

_PRINTABLE = frozenset(map(chr, range(32, 127)))
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}


def etag_of(headers: Mapping[str, str]) -> str | None:
    """Return the etag of an answer, without its quotes."""
    return headers.get("etag", "").strip('"') or None


def entry_of(key: str, headers: Mapping[str, str], meta: str) -> ListEntry:
    """Return what the answer to a GET or HEAD tells of an object.

    Args:
        key: of the object.
        headers: of the answer.
        meta: how the names of metadata begin, in lower case.
    """
    return ListEntry(
        name=key,
        last_modified=http_date(headers["last-modified"]),
        size=int(headers["content-length"]),
        etag=etag_of(headers),
        content_type=headers.get("content-type"),
        content_encoding=headers.get("content-encoding"),
        cache_control=headers.get("cache-control"),
        metadata={
            name[len(meta) :].lower(): value
            for name, value in headers.items()
            if name[: len(meta)].lower() == meta
        },
    )


def written(key: str, size: int, headers: Mapping[str, str], options: WriteOptions) -> ListEntry:
    """Return what is known of an object that was just written.

    Its time is what the answer tells, or else the time of the answer.
    """
    date = headers.get("last-modified") or headers.get("date")
    when = from_timestamp(time.time()) if date is None else http_date(date)
    return with_options(ListEntry(key, when, size, etag_of(headers)), options)


def with_options(entry: ListEntry, options: WriteOptions) -> ListEntry:
    """Return an entry with what was written beside the bytes."""
    return replace(
        entry,
        content_type=options.content_type,
        content_encoding=options.content_encoding,
        cache_control=options.cache_control,
        metadata=None
        if options.metadata is None
        else {name.lower(): value for name, value in options.metadata.items()},
    )


def option_headers(options: WriteOptions, meta: str, content: str = "") -> dict[str, str]:
    """Return the headers by which options are stored.

    Args:
        options: of the write.
        meta: how the names of metadata begin.
        content: how the names of content headers begin, where they are not HTTP's own.

    Raises:
        InvalidArgumentError: two names of metadata differ by case only.
    """
    told = {
        "content-type": options.content_type,
        "content-encoding": options.content_encoding,
        "cache-control": options.cache_control,
    }
    headers = {content + name: value for name, value in told.items() if value is not None}
    for name, value in (options.metadata or {}).items():
        if meta + name.lower() in headers:
            raise InvalidArgumentError(f"metadata has {name!r} twice: case does not count in names")
        headers[meta + name.lower()] = value
    return headers


def check_headers(headers: Mapping[str, str], meta: str, service: str) -> None:
    """Refuse what a header cannot hold, before anything is sent.

    Raises:
        InvalidArgumentError: it is not printable ASCII, or has spaces at its ends.
    """
    for name, value in headers.items():
        if not _PRINTABLE.issuperset(name + value) or value != value.strip():
            raise InvalidArgumentError(
                f"{name.removeprefix(meta)}={value!r} cannot be kept by {service}: it has "
                "printable ASCII, without spaces at its ends"
            )


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
