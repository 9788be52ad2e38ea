"""The answers of the link endpoint: statuses, headers, sentences. Pure."""

from __future__ import annotations

import functools
import mimetypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ._conditions import Validators
from ._disposition import content_disposition, is_showable
from .errors import (
    AmbiguousWriteError,
    FileExistsInStorageError,
    FileNotFoundInStorageError,
    InvalidArgumentError,
    InvalidKeyError,
    KeyConflictError,
    MemoryBudgetError,
    NotAFileError,
    ObjectChangedError,
    StorageError,
    StorageFullError,
    UnsupportedOperationError,
    WriteConflictError,
)
from .links import CONTENT_TYPE, InternalLinkTokenData
from .models import ByteRange, ListEntry

Header = tuple[str, str]

_ALWAYS: tuple[Header, ...] = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; sandbox"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)
_NO_STORE: Header = ("Cache-Control", "no-store")
_OCTETS = "application/octet-stream"
_UNKNOWN = (_OCTETS, "binary/octet-stream")  # S3 tells the second where no type was stored
_CODING = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?: *, *[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")


class Download(Protocol):
    """The bytes of an answer, to be read to their end or closed before it.

    Attributes:
        length: of all of them.
        path: of a file on this machine that holds exactly these bytes, where handing it to the
            server was allowed.
    """

    length: int
    path: str | None

    async def read(self) -> bytes:
        """Return the next bytes, none at the end."""
        ...

    async def aclose(self) -> None:
        """Give back what is held; idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What the endpoint answers.

    Attributes:
        status: of HTTP.
        headers: in order; all that there are.
        body: the bytes, unless there is a `download`.
        download: where the bytes come from.
    """

    status: int
    headers: Sequence[Header]
    body: bytes = b""
    download: Download | None = None


class RefusedError(Exception):
    """Ends a request with an answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def sentence(status: int, text: str, *more: Header) -> Answer:
    """Return an answer that says why something was not done."""
    body = f"{text}\n".encode()
    headers = (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        *more,
        _NO_STORE,
        *_ALWAYS,
    )
    return Answer(status, headers, body)


def refused(status: int, text: str, *more: Header) -> RefusedError:
    """Return what ends a request with a sentence."""
    return RefusedError(sentence(status, text, *more))


def done(status: int, *more: Header) -> Answer:
    """Return the answer to what was done and has nothing more to tell."""
    length = () if status == 204 else (("Content-Length", "0"),)
    return Answer(status, (*length, *more, _NO_STORE, *_ALWAYS))


def no_token() -> Answer:
    """Return the answer to a request without a token: there is nothing here."""
    return sentence(404, "Not found.")


def bad_token() -> Answer:
    """Return the one answer to whatever is no living token of ours."""
    return sentence(403, "This link is not valid, or no longer.")


def broken(reason: str) -> Answer:
    """Return the answer where the fault is on this side."""
    return sentence(503, reason)


_CAUSES: tuple[tuple[type[StorageError], int, str], ...] = (
    (FileNotFoundInStorageError, 404, "There is no such file."),
    (FileExistsInStorageError, 409, "There is a file already, and this link does not replace it."),
    (ObjectChangedError, 412, "The file is another version than the one that was asked for."),
    (WriteConflictError, 409, "Another upload won; nothing of this one was stored."),
    (AmbiguousWriteError, 503, "It may be done, or not: look before you try again."),
    (StorageFullError, 507, "There is no room left; nothing was stored."),
    (MemoryBudgetError, 413, "The file is too large to be stored here."),
    (UnsupportedOperationError, 501, "The storage behind this link cannot do this."),
)
_FAILED = "The storage does not answer; try again later."


def answer_to(error: Exception, *, reading: bool) -> Answer:
    """Return the answer where a storage failed; it tells no key and no path.

    Args:
        error: of the storage.
        reading: whether it was read.
    """
    if isinstance(error, (NotAFileError, KeyConflictError, InvalidKeyError)):
        if reading:
            return sentence(404, "There is no such file.")
        return sentence(409, "What is there already leaves no place for a file of this name.")
    if type(error) is InvalidArgumentError and not reading:
        # Of what a storage is told, only the size is the client's to say.
        return sentence(413, "The file is too large to be stored here.")
    for cause, status, text in _CAUSES:
        if isinstance(error, cause):
            return sentence(status, text)
    return broken(_FAILED)


def version_headers(grant: InternalLinkTokenData, found: Validators) -> tuple[Header, ...]:
    """Return what is told of an object's version, and who may keep it."""
    return (*found.headers, *_keeping(grant))


def unchanged_headers(grant: InternalLinkTokenData, found: Validators) -> tuple[Header, ...]:
    """Return what is told of a version that the client has already (RFC 9110, 15.4.5)."""
    return (found.headers[0], *_keeping(grant))


def _keeping(grant: InternalLinkTokenData) -> tuple[Header, ...]:
    return (_NO_STORE if grant.once else ("Cache-Control", "private, no-cache"), *_ALWAYS)


def content_headers(
    grant: InternalLinkTokenData, entry: ListEntry, showable: frozenset[str]
) -> tuple[Header, ...]:
    """Return the headers of an object's bytes: type, coding and suggested name.

    Args:
        grant: of the link.
        entry: the object.
        showable: the types that a browser may show, if the link says so.
    """
    name = grant.output_path or grant.path
    kind = _content_type(grant, entry, name)
    shown = grant.disposition == "inline" and is_showable(kind, showable)
    headers: tuple[Header, ...] = (
        ("Content-Type", kind),
        ("Content-Disposition", content_disposition("inline" if shown else "attachment", name)),
    )
    coding = entry.content_encoding
    if coding and _CODING.fullmatch(coding):
        headers += (("Content-Encoding", coding),)
    return headers


def _content_type(grant: InternalLinkTokenData, entry: ListEntry, name: str) -> str:
    """Return the link's type, or else the stored one, or else what the names look like."""
    if grant.content_type is not None:
        return grant.content_type
    stored = entry.content_type
    if stored and stored not in _UNKNOWN and CONTENT_TYPE.fullmatch(stored):
        return stored
    for each in (name, grant.path):
        guess, coding = _types().guess_type(each.rpartition("/")[2].replace(":", "_"))
        if guess is not None and coding is None:
            return guess
    return _OCTETS


@functools.cache
def _types() -> mimetypes.MimeTypes:
    return mimetypes.MimeTypes()  # Python's own table: those of machines differ


def length_headers(size: int, span: ByteRange | None) -> tuple[Header, ...]:
    """Return how many bytes follow, and which of the object's `size` they are."""
    if span is None:
        return (("Content-Length", str(size)),)
    told = f"bytes {span.offset}-{span.end - 1}/{size}"
    return ("Content-Length", str(span.length)), ("Content-Range", told)
