"""The XML that S3 speaks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus
from xml.sax.saxutils import escape, unescape

from pendulum import UTC, DateTime

from ..models import Folder, ListEntry
from ._rest_pages import ListPage, place
from ._xml import Document

_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
# Texts hold no "<", so these are elements wherever they stand.
_TRUNCATED = b"<IsTruncated>true<"
_TOKEN = re.compile(rb"<NextContinuationToken>([^<]+)<")
_GROUPS = frozenset({"Contents", "CommonPrefixes", "Error"})


@dataclass(frozen=True, slots=True)
class Part:
    """A part that the service has."""

    number: int
    etag: str
    checksum: tuple[str, str] | None  # name of its element, and value


def list_page(data: bytes) -> ListPage:
    """Return a page of ListObjectsV2, whose items are yet to be read."""
    found = _TOKEN.search(data) if _TRUNCATED in data else None
    return ListPage(
        None if found is None else unescape(found[1].decode()), lambda: parse_list(data)
    )


def parse_list(data: bytes) -> list[ListEntry | Folder]:
    """Return the items of a page, in the byte order of their full keys."""
    document = Document.parse(data, _GROUPS)
    quoted = document.fields.get("EncodingType") == "url"
    items: list[ListEntry | Folder] = []
    folders = False
    for group, texts in document.records:
        if group == "Contents":
            name = texts["Key"]
            if quoted and ("%" in name or "+" in name):
                name = unquote_plus(name)
            modified = parse_time(texts["LastModified"])
            etag = texts.get("ETag", "").strip('"') or None
            items.append(ListEntry(name, modified, int(texts["Size"]), etag))
        elif group == "CommonPrefixes":
            folders = True
            name = unquote_plus(texts["Prefix"]) if quoted else texts["Prefix"]
            items.append(Folder(name.removesuffix("/")))
    if folders:
        items.sort(key=place)
    return items


def parse_failures(data: bytes) -> dict[str, tuple[str, str]]:
    """Return the code and message of each key that DeleteObjects did not delete."""
    return {
        texts.get("Key", ""): (texts.get("Code", ""), texts.get("Message", ""))
        for group, texts in Document.parse(data, _GROUPS).records
        if group == "Error"
    }


def parse_time(text: str) -> DateTime:
    """Return the moment of a time such as ``2026-01-31T12:00:00.000Z``."""
    # Built from its digits: a general parser costs ten times as much, a thousand times a page.
    return DateTime(
        int(text[:4]), int(text[5:7]), int(text[8:10]),
        int(text[11:13]), int(text[14:16]), int(text[17:19]),
        int((text[20:].rstrip("Z") + "000000")[:6]) if text[19:20] == "." else 0,
        tzinfo=UTC,
    )  # fmt: skip


def delete_body(keys: Iterable[str]) -> bytes:
    """Return the body of DeleteObjects."""
    objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
    return f"<Delete {_NAMESPACE}><Quiet>true</Quiet>{objects}</Delete>".encode()


def complete_body(parts: Iterable[Part]) -> bytes:
    """Return the body of CompleteMultipartUpload."""
    name = "CompleteMultipartUpload"
    return f"<{name} {_NAMESPACE}>{''.join(map(_part, parts))}</{name}>".encode()


def _part(part: Part) -> str:
    checksum = ""
    if part.checksum is not None:
        name, value = part.checksum
        checksum = f"<{name}>{value}</{name}>"
    etag = f"<ETag>&quot;{escape(part.etag)}&quot;</ETag>"
    return f"<Part><PartNumber>{part.number}</PartNumber>{etag}{checksum}</Part>"


def as_error(data: bytes) -> tuple[str, str, Mapping[str, Any]]:
    """Return code, message and all else that the XML of an error tells."""
    document = Document.parse_any(data)
    if document.root != "Error":
        return "", "", {}
    fields = document.fields
    return fields.get("Code", ""), fields.get("Message", ""), fields
