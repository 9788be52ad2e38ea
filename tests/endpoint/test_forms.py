"""Uploads as browsers' forms: the one file of a form is stored, and nothing of a bad one."""

from __future__ import annotations

import pytest

from ._answers import NO_FILE, done, said
from ._bodies import BOUNDARY, FORM, SMALL, WHOLE, chunked, field, file, form, part
from ._place import Place

# All that a parser could mistake for the boundary, across whatever pieces it is read in.
_ALMOST = b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\r\n-\r\n--\n--" + BOUNDARY.encode() + b"\r\n\r"
LIKE_BOUNDARIES = (_ALMOST * ((3 << 20) // len(_ALMOST) + 1))[: 3 << 20]

BAD_FORMS: dict[str, tuple[bytes, str, str]] = {
    "no file": (form(field("a"), field("b")), FORM, NO_FILE),
    "no chosen file": (form(file(b"", name="")), FORM, NO_FILE),
    "two files": (
        form(file(SMALL), field("between"), file(b"another")), FORM,
        "The form holds several files, and the link is for one.",
    ),
    "garbage": (b"garbage", FORM, "The body is no well-formed form."),
    "another boundary": (
        WHOLE, "multipart/form-data; boundary=other", "The body is no well-formed form.",
    ),
    "empty": (b"", FORM, "The form ends before its last boundary."),
    "ends in the file": (WHOLE[:-20], FORM, "The form ends before its last boundary."),
    "ends in the headers": (WHOLE[:40], FORM, "The form ends before its last boundary."),
    "ends in the boundary": (WHOLE[:-4], FORM, "The form ends before its last boundary."),
    "no boundary": (WHOLE, "multipart/form-data", "The form names no boundary."),
    "empty boundary": (WHOLE, "Multipart/Form-Data; boundary=", "The form names no boundary."),
    "long boundary": (
        WHOLE, f"multipart/form-data; boundary={'b' * 300}", "The form's boundary is too long.",
    ),
    "large field": (
        form(field("a", bytes(70_000)), file(SMALL)), FORM,
        "The form holds too much beside its file.",
    ),
    "many fields": (
        form(*[field("a", b"")] * 100, file(SMALL)), FORM, "The form has too many fields.",
    ),
    "large header": (
        form(part(f"Content-Disposition: form-data; name={'a' * 300_000}", b"")), FORM,
        "The body is no well-formed form.",
    ),
    "header without a name": (
        form(part(": form-data", SMALL)), FORM, "The body is no well-formed form.",
    ),
}  # fmt: skip


def test_the_file_of_a_form_is_stored_alone(place: Place) -> None:
    link = place.link()
    for content in (
        form(field("before"), field("x", b"\r\n"), file(SMALL), field("after"), field("")),
        form(file(SMALL, kind="multipart/mixed; boundary=----boundary")),
        form(file(SMALL, name="файл")),
        form(file(b"", name=""), file(SMALL)),  # as a browser sends a field without a file
        form(file(SMALL)) + b"an epilogue",
    ):
        place.ask("DELETE", link)
        seen = place.ask("POST", link, content, content_type=FORM)
        assert seen.normalised == done(etag="an etag"), content
        assert place.stored() == SMALL, content


@pytest.mark.parametrize("size", [1, 7777, 1 << 20])
def test_what_looks_like_a_boundary_stays_in_the_file(place: Place, size: int) -> None:
    body = LIKE_BOUNDARIES if size > 1 else LIKE_BOUNDARIES[:300]
    content = form(field("before"), file(body), field("after"))
    seen = place.ask("POST", place.link("u"), chunked(content, size), content_type=FORM)
    assert seen.normalised == done(etag="an etag")
    assert place.stored() == body


def test_a_form_that_is_not_one_with_one_file_is_400_and_nothing_is_stored(place: Place) -> None:
    link = place.link("u")
    for name, (content, kind, text) in BAD_FORMS.items():
        assert place.ask("POST", link, content, content_type=kind) == said(400, text), name
    assert place.stored() is None
    place.store(b"before")
    for name, (content, kind, text) in BAD_FORMS.items():
        seen = place.ask("PUT", link, chunked(content), content_type=kind)
        assert seen == said(400, text), name
    assert place.stored() == b"before"
