"""The XML that Azure Blob speaks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote
from xml.sax.saxutils import unescape

from ..models import Folder, ListEntry
from ._rest_entry import http_date
from ._rest_pages import ListPage, place
from ._xml import Document

_SIGNATURE = re.compile(r"sig=[^&\s'\"]+")
_MARKER = re.compile(rb"<NextMarker>([^<]+)</NextMarker>")  # the last element of a page
_TAIL = 8192  # bytes that it is looked for in
_ITEMS = frozenset({"Blob", "BlobPrefix"})
_BLOCKS = frozenset({"Block"})


def list_page(data: bytes) -> ListPage:
    """Return a page of List Blobs, whose items are yet to be read."""
    found = _MARKER.search(data, max(len(data) - _TAIL, 0))
    return ListPage(
        None if found is None else unescape(found[1].decode()), lambda: parse_list(data)
    )


def parse_list(data: bytes) -> list[ListEntry | Folder]:
    """Return the items of a page, in the byte order of their full keys."""
    document = Document.parse(data, _ITEMS)
    items: list[ListEntry | Folder] = []
    for number, (kind, texts) in enumerate(document.records):
        name = texts["Name"]
        if number in document.encoded:  # of characters that XML cannot hold
            name = unquote(name)
        if kind == "BlobPrefix":
            items.append(Folder(name.removesuffix("/")))
        elif texts.get("ResourceType") != "directory":  # as hierarchical namespaces list them too
            items.append(
                ListEntry(
                    name,
                    http_date(texts["Last-Modified"]),
                    int(texts["Content-Length"]),
                    texts.get("Etag", "").strip('"') or None,
                    texts.get("Content-Type") or None,
                    texts.get("Content-Encoding") or None,
                    texts.get("Cache-Control") or None,
                )
            )
    items.sort(key=place)
    return items


def block_list(ids: Iterable[str]) -> bytes:
    """Return the body of Put Block List, which takes uncommitted blocks only."""
    blocks = "".join(f"<Uncommitted>{name}</Uncommitted>" for name in ids)
    return f'<?xml version="1.0" encoding="utf-8"?><BlockList>{blocks}</BlockList>'.encode()


def parse_blocks(data: bytes) -> dict[str, int]:
    """Return the ids that Get Block List tells, in order, and their sizes in bytes."""
    return {texts["Name"]: int(texts["Size"]) for _, texts in Document.parse(data, _BLOCKS).records}


def as_error(data: bytes) -> tuple[str, str]:
    """Return code and message of an error's body.

    The service may show signatures in the details and in what follows the first line.
    """
    fields = Document.parse_any(data.removeprefix(b"\xef\xbb\xbf")).fields
    message = fields.get("Message", "").strip().partition("\n")[0]
    return fields.get("Code", ""), _SIGNATURE.sub("sig=...", message.strip())
