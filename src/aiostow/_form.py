"""The one file of a multipart form, taken out of the body while it comes (RFC 7578)."""

from __future__ import annotations

from typing import Any

from ._extras import missing_extra

try:
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header
except ModuleNotFoundError as exc:
    # It is part of the extras of the frameworks, too.
    raise missing_extra("an endpoint that serves links", "endpoint", exc) from exc

_MOST_BESIDE = 64 << 10  # bytes of other fields, and of the headers of all
_MOST_PARTS = 100


class BadFormError(ValueError):
    """The body is no form with exactly one file; the message says what is wrong."""


def boundary_of(content_type: str) -> bytes | None:
    """Return what separates the parts of a form, or None where a body is no form.

    Raises:
        BadFormError: it is one that names no boundary.
    """
    if content_type[:19].lower() != "multipart/form-data":
        return None
    try:
        _, options = parse_options_header(content_type)
    except ValueError:  # characters that no header has
        options = {}
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise BadFormError("the form names no boundary")
    return boundary


class FormFile:
    """Finds the file in a form; other fields are skipped.

    Args:
        boundary: what separates the parts.

    Attributes:
        content_type: of the file, once its part has begun; empty where it names none.

    Raises:
        BadFormError: the boundary cannot be.
    """

    def __init__(self, boundary: bytes) -> None:
        self.content_type: str | None = None
        self._pieces: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._within = False  # the part that is the file
        self._beside = 0
        self._parts = 0
        self._ended = False
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError:
            raise BadFormError("the form's boundary is too long") from None

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes of the body, and return those of the file that they hold.

        Raises:
            BadFormError: this is no form with one file, or has too much beside it.
        """
        try:
            self._parser.write(data)
        except FormParserError:
            raise BadFormError("the body is no well-formed form") from None
        pieces, self._pieces = self._pieces, []
        return pieces

    def end(self) -> None:
        """Check that the form was whole and had a file.

        Raises:
            BadFormError: it was not, or had none.
        """
        if not self._ended:
            raise BadFormError("the form ends before its last boundary")
        if self.content_type is None:
            raise BadFormError("the form holds no file")

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise BadFormError("the form has too many fields")
        self._headers = {}
        self._within = False

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._count(end - start)

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._count(end - start)

    def _on_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_headers(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        # A field without a chosen file comes with an empty name.
        if not options.get(b"filename"):
            return
        if self.content_type is not None:
            raise BadFormError("the form holds several files, and the link is for one")
        self.content_type = self._headers.get(b"content-type", b"").decode("latin-1")
        self._within = True

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._within:
            self._pieces.append(data[start:end])
            return
        self._count(end - start)

    def _count(self, length: int) -> None:
        self._beside += length
        if self._beside > _MOST_BESIDE:
            raise BadFormError("the form holds too much beside its file")

    def _on_end(self) -> None:
        self._ended = True
