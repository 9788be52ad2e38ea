"""What is printed, and how it is kept from doing harm to a terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ..models import Folder, ListEntry
from ._units import human_size

# Control characters, what turns the direction of writing, and what no UTF-8 holds.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    """Return a name or a message as a terminal may be given it: one line of text alone."""
    return _UNFIT.sub(lambda match: ascii(match.group())[1:-1], text)


def print_lines(lines: Iterable[str]) -> None:
    """Write lines to standard output, which then has them."""
    if sys.stdout.isatty():
        lines = map(shown, lines)
    text = "".join(f"{line}\n" for line in lines)
    # A name that is no text goes into a pipe as the bytes that it is made of.
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def say(message: str) -> None:
    """Write a sentence to standard error."""
    sys.stderr.write(shown(message) + "\n")
    sys.stderr.flush()


def name_line(item: ListEntry | Folder) -> str:
    """Return the name of what is listed; a folder's ends with ``/``."""
    return item.name + "/" if isinstance(item, Folder) else item.name


def long_line(item: ListEntry | Folder, human: bool) -> str:
    """Return size, time (in UTC) and name of what is listed."""
    if isinstance(item, Folder):
        return f"{'-':>{_width(human)}}  {'-':<19}  {item.name}/"
    size = human_size(item.size) if human else str(item.size)
    when = item.last_modified.in_timezone("UTC").strftime("%Y-%m-%d %H:%M:%S")
    return f"{size:>{_width(human)}}  {when}  {item.name}"


def _width(human: bool) -> int:
    return 5 if human else 12


def json_line(told: Mapping[str, Any]) -> str:
    """Return an object of JSON in one line, of ASCII alone."""
    return json.dumps(told)


def facts(item: ListEntry | Folder) -> dict[str, Any]:
    """Return what is known of what is listed, without what is not."""
    if isinstance(item, Folder):
        return {"name": item.name + "/", "folder": True}
    told = {
        "name": item.name,
        "size": item.size,
        "last_modified": item.last_modified.isoformat(),
        "etag": item.etag,
        "content_type": item.content_type,
        "content_encoding": item.content_encoding,
        "cache_control": item.cache_control,
        "metadata": None if item.metadata is None else dict(item.metadata),
    }
    return {key: value for key, value in told.items() if value is not None}
