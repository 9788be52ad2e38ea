"""Answers of the endpoint, as they must be to the last header."""

from __future__ import annotations

from dataclasses import dataclass, replace

SECURITY = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}
"""What every answer carries."""

BAD_TOKEN = "This link is not valid, or no longer."
MISSING = "There is no such file."
EXISTS = "There is a file already, and this link does not replace it."
NOT_ALLOWED = "This link does not allow that."
NOT_THAT_WAY = "This link is not used that way."
OTHER_VERSION = "What is there is another version than the one that was meant."
USED = "This link was for one use, and was used."
UNSATISFIABLE = "There is nothing of that range."
NO_FILE = "The form holds no file."
ENCODED = "The body is encoded: send the file as it is."
PART = "A part of a file cannot be uploaded: send all of it."


def too_large(most: int) -> str:
    """What is said of a file of more bytes than a link allows."""
    return f"The file is too large: {most} bytes are allowed; nothing was stored."


def not_exactly(size: int) -> str:
    """What is said of a file of fewer bytes than a link asks for."""
    return f"The file must have exactly {size} bytes; nothing was stored."


@dataclass(frozen=True)
class Seen:
    """An answer, without what is the server's own."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def to_head(self) -> Seen:
        """The same without its bytes."""
        return replace(self, body=b"")

    @property
    def normalised(self) -> Seen:
        """The same without what differs between two equal objects."""
        volatile = {"etag": "an etag", "last-modified": "a date"}
        headers = {name: volatile.get(name, value) for name, value in self.headers.items()}
        return replace(self, headers=headers)


@dataclass(frozen=True)
class Version:
    """What is known of an object that was stored."""

    etag: str
    modified: str
    body: bytes

    @property
    def strong(self) -> bool:
        """Whether the etag is one by which pieces of it may be put together."""
        return not self.etag.startswith("W/")


def said(status: int, text: str, **more: str) -> Seen:
    """The answer that is a sentence."""
    body = f"{text}\n".encode()
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **SECURITY,
        **more,
    }
    return Seen(status, headers, body)


def done(status: int = 204, **more: str) -> Seen:
    """The answer to what was done."""
    length = {} if status == 204 else {"content-length": "0"}
    return Seen(status, {"cache-control": "no-store", **length, **SECURITY, **more}, b"")


def sent(
    version: Version,
    span: tuple[int, int] | None = None,
    *,
    kind: str = "application/octet-stream",  # see test_a_file_of_no_known_type...
    disposition: str = 'attachment; filename="file.bin"',
    once: bool = False,
) -> Seen:
    """The answer to a GET; `span` has the first byte and the one after the last."""
    begin, end = (0, len(version.body)) if span is None else span
    headers = {
        "content-type": kind,
        "content-disposition": disposition,
        "content-length": str(end - begin),
        "etag": version.etag,
        "last-modified": version.modified,
        "cache-control": "no-store" if once else "private, no-cache",
        **SECURITY,
    }
    if not once:
        headers["accept-ranges"] = "bytes"
    if span is not None:
        headers["content-range"] = f"bytes {begin}-{end - 1}/{len(version.body)}"
    return Seen(200 if span is None else 206, headers, version.body[begin:end])


def unchanged(version: Version, *, once: bool = False) -> Seen:
    """The answer where the client has this version."""
    keeping = "no-store" if once else "private, no-cache"
    return Seen(304, {"etag": version.etag, "cache-control": keeping, **SECURITY}, b"")


def refusal(hook: str) -> Seen:
    """The answer that a hook of the application under test gives."""
    return said(451, f"Refused by {hook}.")
