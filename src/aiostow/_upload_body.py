"""The body of an upload by a link: what of it is the file, and whether the link allows that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ._answers import RefusedError, refused
from ._form import BadFormError, FormFile, boundary_of
from .links import InternalLinkTokenData

_FORM_OVERHEAD = 128 << 10  # bytes that a form may add to its file
_LONGEST_TYPE = 1 << 10
_LENGTH = re.compile(r"[0-9]{1,18}")


class UploadBody:
    """The body of an upload: what of it is the file, and whether that is what the link allows."""

    def __init__(self, grant: InternalLinkTokenData, headers: Mapping[str, str]) -> None:
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise refused(415, "The body is encoded: send the file as it is.")
        if "content-range" in headers:
            raise refused(400, "A part of a file cannot be uploaded: send all of it.")
        self._grant = grant
        self._length = _content_length(headers)
        self._received = 0
        self._form: FormFile | None = None
        self._typed = False
        self.size = 0
        kind = headers.get("content-type", "")
        if len(kind) > _LONGEST_TYPE:
            raise refused(415, "The body is of no type that is known here.")
        try:
            boundary = boundary_of(kind)
            if boundary is not None:
                self._form = FormFile(boundary)
            else:
                self._check_type(kind)
        except BadFormError as exc:
            raise refused(400, f"{str(exc).capitalize()}.") from None
        exact = grant.exact_size
        self._most = grant.max_size if exact is None else exact
        self.size_hint = exact
        if self._form is None:
            self.size_hint = self._length
        if self._length is not None and self._most is not None:
            room = 0 if self._form is None else _FORM_OVERHEAD
            if self._length > self._most + room:
                raise _too_large(self._most)

    def take(self, data: bytes) -> Iterable[bytes]:
        """Return what of some bytes is the file."""
        self._received += len(data)
        pieces: Iterable[bytes] = (data,)
        if self._form is not None:
            pieces = self._fed(data)
        for piece in pieces:
            self.size += len(piece)
        if self._most is not None and self.size > self._most:
            raise _too_large(self._most)
        if self._received > self.size + _FORM_OVERHEAD:
            raise refused(413, "The form holds too much beside its file.")
        return pieces

    def _fed(self, data: bytes) -> list[bytes]:
        assert self._form is not None
        try:
            pieces = self._form.feed(data)
        except BadFormError as exc:
            raise refused(400, f"{str(exc).capitalize()}.") from None
        if not self._typed and self._form.content_type is not None:
            self._typed = True
            self._check_type(self._form.content_type)
        return pieces

    def end(self) -> None:
        """Check that all has come."""
        if self._length is not None and self._received != self._length:
            raise refused(400, "The body is shorter than was said; nothing was stored.")
        if self._form is not None:
            try:
                self._form.end()
            except BadFormError as exc:
                raise refused(400, f"{str(exc).capitalize()}.") from None
        exact = self._grant.exact_size
        if exact is not None and self.size != exact:
            raise refused(400, f"The file must have exactly {exact} bytes; nothing was stored.")

    def _check_type(self, kind: str) -> None:
        wanted = self._grant.content_type
        if wanted is not None and _normal(kind) != _normal(wanted):
            raise refused(415, f"The file must be sent as {wanted}.")


def _normal(content_type: str) -> str:
    return ";".join(part.strip() for part in content_type.split(";")).lower()


def _content_length(headers: Mapping[str, str]) -> int | None:
    length = headers.get("content-length", "")
    if not length:
        return None
    if not _LENGTH.fullmatch(length):
        raise refused(400, "The length of the body is no number.")
    return int(length)


def _too_large(most: int) -> RefusedError:
    return refused(413, f"The file is too large: {most} bytes are allowed; nothing was stored.")
