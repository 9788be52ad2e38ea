"""The file of a multipart form, however the body comes in pieces."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aiostow._form import BadFormError, FormFile, boundary_of

BOUNDARY = b"----WebKitFormBoundaryABC"


def field(value: bytes, name: bytes = b"a") -> bytes:
    return b'Content-Disposition: form-data; name="' + name + b'"\r\n\r\n' + value


def file(content: bytes, kind: bytes | None = b"text/csv", name: bytes = b"f.csv") -> bytes:
    head = b'Content-Disposition: form-data; name="file"; filename="' + name + b'"\r\n'
    if kind is not None:
        head += b"Content-Type: " + kind + b"\r\n"
    return head + b"\r\n" + content


def form(*parts: bytes, boundary: bytes = BOUNDARY, end: bytes | None = None) -> bytes:
    """Return a body by hand, as browsers write it."""
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return body + (b"--" + boundary + b"--\r\n" if end is None else end)


def fed(chunks: Iterable[bytes], boundary: bytes = BOUNDARY) -> tuple[bytes, str | None]:
    """Return content and type of the file of a form, or let `BadFormError` pass."""
    parser = FormFile(boundary)
    content = b"".join(piece for chunk in chunks for piece in parser.feed(chunk))
    parser.end()
    return content, parser.content_type


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def refusal(chunks: Iterable[bytes], boundary: bytes = BOUNDARY) -> str:
    with pytest.raises(BadFormError) as caught:
        fed(chunks, boundary)
    return str(caught.value)


# -- content comes back ---------------------------------------------------------------------------

CONTENTS = [
    b"", b"x", b"abc,def\r\n", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"-", b"--", b"\r\n-", b"\r\n--",
    b"--" + BOUNDARY, b"\n--" + BOUNDARY, b"\r--" + BOUNDARY + b"\r\n", b"\r\n-" + BOUNDARY,
    b"\r\n--" + BOUNDARY[:-1], b"\r\n--" + BOUNDARY[:-1] + b"x", b"\r\n---" + BOUNDARY,
    b"\r\n--" + BOUNDARY.lower(), (b"\r\n--" + BOUNDARY[:-1]) * 5,
    b"\r\n--" + BOUNDARY[:-1] + b"--",
    b"\r\r\n--" + BOUNDARY[:3], b"\x00" * 100, bytes(range(256)), b"Content-Disposition: x\r\n\r\n",
    b"\r\n" * 50 + b"--", b"x" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 20])
def test_content_comes_back_in_pieces_of_any_size(content: bytes, size: int) -> None:
    body = form(field(b"before"), file(content), field(b"after"))
    assert fed(pieces(body, size)) == (content, "text/csv")
    assert fed(pieces(form(file(content)), size)) == (content, "text/csv")


@pytest.mark.parametrize("content", [content for content in CONTENTS if len(content) < 200])
def test_content_comes_back_wherever_the_body_is_cut(content: bytes) -> None:
    body = form(field(b"v"), file(content), field(b"w"))
    for cut in range(len(body) + 1):
        assert fed([body[:cut], body[cut:]])[0] == content
    for cut in range(len(body) - 1):
        assert fed([body[:cut], body[cut : cut + 2], b"", body[cut + 2 :]])[0] == content


def test_pieces_are_given_as_they_come() -> None:
    parser = FormFile(BOUNDARY)
    body = form(file(b""))
    head = body[: body.index(b"\r\n\r\n") + 4]
    assert parser.feed(head) == []
    assert parser.content_type == "text/csv"
    assert b"".join(parser.feed(b"a" * 100_000)) == b"a" * 100_000
    assert b"".join(parser.feed(b"b" * 100_000)) == b"b" * 100_000
    assert b"".join(parser.feed(body[len(head) :])) == b""
    parser.end()


@pytest.mark.parametrize(
    ("kind", "told"),
    [(b"text/csv", "text/csv"), (None, ""), (b"", ""), (b"a/b; c=\xe9", "a/b; c=é")],
)
def test_the_type_is_that_of_the_part(kind: bytes | None, told: str) -> None:
    assert fed([form(field(b"v"), file(b"x", kind))]) == (b"x", told)
    parts = [form(b"Content-Type: a/b\r\n" + field(b"v"), file(b"x", kind))]
    assert fed(parts) == (b"x", told), "of another part"


def test_the_type_is_known_only_once_the_part_has_begun() -> None:
    parser = FormFile(BOUNDARY)
    assert parser.content_type is None
    parser.feed(form(field(b"v"), end=b"--" + BOUNDARY + b"\r\n"))
    assert parser.content_type is None


@pytest.mark.parametrize(
    "head",
    [
        b'content-disposition:form-data;filename="f"',
        b'CONTENT-DISPOSITION: form-data; filename="f"',
        b'Content-Disposition: form-data; filename=f; name="a"',
        b'Content-Disposition: form-data; name="a"; filename="a;b\\"c.csv"',
        b'Content-Disposition: form-data; name="a"; filename="\xc3\xbc\xff"',
        b'Content-Disposition: form-data; name="a"; filename="C:\\x.csv"',
        b"Content-Disposition: form-data; filename=\"f\"; filename*=UTF-8''%C3%BC",
        b'X-Other: x\r\nContent-Disposition: form-data; name="a"; filename="f"\r\nY: y',
    ],
)  # fmt: skip
def test_a_part_with_a_file_name_is_the_file(head: bytes) -> None:
    assert fed([form(field(b"v"), head + b"\r\n\r\ncontent")])[0] == b"content"


@pytest.mark.parametrize(
    "boundary", [b"b", b"-", b"--", b"'()+_,-./:=?", b"a b", b"x" * 70, b"\xe9", b"x" * 200]
)
def test_boundaries_of_any_kind_work(boundary: bytes) -> None:
    content = b"\r\n--" + boundary[:-1] + b"\r\nx"
    for size in (1, 1 << 20):
        assert fed(pieces(form(file(content), boundary=boundary), size), boundary)[0] == content


# -- what beside the file -------------------------------------------------------------------------


def test_other_fields_are_skipped_wherever_they_are() -> None:
    many = [field(b"v%d" % number) for number in range(40)]
    assert fed([form(*many, file(b"x"), *many)]) == (b"x", "text/csv")


def test_a_field_without_a_chosen_file_is_no_file() -> None:
    # What browsers send of an empty <input type=file>.
    assert fed([form(file(b"", name=b""), file(b"x"))])[0] == b"x"
    assert "no file" in refusal([form(file(b"", name=b""))])


def test_an_extended_name_alone_makes_no_file() -> None:
    # RFC 7578, 4.2: it must not be used in forms.
    head = b"Content-Disposition: form-data; name=\"a\"; filename*=UTF-8''f.csv\r\n\r\n"
    assert "no file" in refusal([form(head + b"x")])


def test_preamble_and_epilogue_are_no_content() -> None:
    assert fed([form(file(b"x")) + b"epilogue\r\n--" + BOUNDARY + b"\r\n"])[0] == b"x"
    body = b"\r\n" + form(file(b"x"))
    assert fed(pieces(body, 1))[0] == b"x"


def test_a_body_may_end_right_behind_its_last_boundary() -> None:
    assert fed([form(file(b"x"), end=b"--" + BOUNDARY + b"--")])[0] == b"x"


# -- what is no form with one file ----------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (form(file(b"x"), file(b"y")), "several files"),
        (form(file(b"x"), field(b"v"), file(b"")), "several files"),
        (form(field(b"v")), "no file"),
        (form(), "no file|no well-formed"),
        (b"", "last boundary"),
        (form(file(b"x"), end=b""), "last boundary"),
        (form(file(b"x"), end=b"--" + BOUNDARY), "last boundary"),
        (form(file(b"x"), end=b"--" + BOUNDARY + b"-"), "last boundary"),
        (form(file(b"x"), end=b"--" + BOUNDARY + b"\r\n"), "last boundary"),
        (form(file(b"x"))[:100], "last boundary"),
        (b"garbage" * 100, "no well-formed|last boundary"),
        (b"--" + BOUNDARY + b"x" + form(file(b"x")), "no well-formed|last boundary"),
        (form(file(b"x"), boundary=b"another"), "no well-formed|last boundary"),
        (form(b"no header\r\n\r\nx"), "no well-formed"),
        (form(b"X\xff: y\r\n\r\nx"), "no well-formed|no file"),
        (form(b": y\r\n\r\nx"), "no well-formed"),
        (form(b"X: " + b"y" * 5000 + b"\r\n" + file(b"x")), "no well-formed"),
        (form(b"X: y\r\n" * 9 + file(b"x")), "no well-formed"),
        (form(b"X: y\r\n" * 1000 + file(b"x")), "no well-formed"),
        (form(file(b"x", name=b"n" * 5000)), "no well-formed"),
        (form(*[field(b"v")] * 100, file(b"x")), "too many fields"),
        (form(file(b"x"), *[field(b"v")] * 100), "too many fields"),
        (form(field(b"v" * ((64 << 10) + 1)), file(b"x")), "too much beside"),
        (form(field(b"v" * (40 << 10)), file(b"x"), field(b"v" * (40 << 10))), "too much beside"),
        (form(file(b"v" * ((64 << 10) + 1), name=b""), file(b"x")), "too much beside"),
    ],
)  # fmt: skip
def test_what_is_no_form_with_one_file_is_refused(body: bytes, says: str, size: int) -> None:
    message = refusal(pieces(body, size))
    assert any(each in message for each in says.split("|")), message


def test_as_much_as_is_allowed_is_taken() -> None:
    assert fed([form(*[field(b"")] * 99, file(b"x"))])[0] == b"x"
    # The headers count, by names and values, and the file does not.
    heads = field(b"") + file(b"", kind=None)
    told = len(heads.replace(b": ", b"").replace(b"\r\n", b""))
    room = (64 << 10) - told
    large = b"x" * (1 << 20)
    assert fed([form(field(b"v" * room), file(large, kind=None))])[0] == large
    assert "too much beside" in refusal([form(field(b"v" * (room + 1)), file(b"", kind=None))])


def test_headers_alone_may_be_too_much_beside_the_file() -> None:
    parts = [b"X: " + b"y" * 4000 + b"\r\n" + field(b"") for _ in range(17)]
    assert "too much beside" in refusal([form(*parts, file(b"x"))])


def test_a_refusal_says_nothing_of_what_was_sent() -> None:
    for body in (form(b"canary\r\n\r\n"), form(file(b"canary"), file(b"canary")), b"canary"):
        assert "canary" not in refusal([body])


# -- boundary_of ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ("multipart/form-data; boundary=b", b"b"), ("multipart/form-data;boundary=b", b"b"),
        ('multipart/form-data; boundary="b c"', b"b c"), ("Multipart/Form-Data; Boundary=B", b"B"),
        ("multipart/form-data; charset=utf-8; boundary=b", b"b"),
        ("multipart/form-data; boundary=b; charset=utf-8", b"b"),
        ("multipart/form-data; boundary=\xe9", b"\xe9"),
    ],
)  # fmt: skip
def test_the_boundary_is_that_of_the_header(kind: str, boundary: bytes) -> None:
    assert boundary_of(kind) == boundary


@pytest.mark.parametrize(
    "kind",
    ["", "text/csv", "multipart/mixed; boundary=b", "application/x-www-form-urlencoded",
     "x-multipart/form-data; boundary=b", "text/plain; x=multipart/form-data", "\u20ac"],
)  # fmt: skip
def test_other_types_are_no_forms(kind: str) -> None:
    assert boundary_of(kind) is None


@pytest.mark.parametrize(
    "kind",
    ["multipart/form-data", "multipart/form-data;", "multipart/form-data; boundary",
     "multipart/form-data; boundary=", 'multipart/form-data; boundary=""',
     "multipart/form-data; charset=utf-8", "multipart/form-data; boundary=\u20ac",
     "multipart/form-data; boundary=\udcff", "multipart/form-data; xboundary=b"],
)  # fmt: skip
def test_a_form_without_a_boundary_is_refused(kind: str) -> None:
    with pytest.raises(BadFormError, match="names no boundary"):
        boundary_of(kind)


@pytest.mark.parametrize("boundary", [b"b" * 257, b"b" * 100_000])
def test_a_boundary_that_is_too_long_is_refused(boundary: bytes) -> None:
    with pytest.raises(BadFormError, match="too long"):
        FormFile(boundary)


# -- whatever comes -------------------------------------------------------------------------------

NOISE = st.sampled_from(
    [b"\r\n", b"--", b"--b", b"\r\n--b", b"\r\n--b--\r\n", b"Content-Disposition: form-data", b":",
     b'; filename="f"', b"; filename*=x''y", b"; filename*0=a", b'; name="', b"Content-Type: a/b",
     b"\r\n\r\n", b"\x00", b"\xff", b"=", b";", b'"', b"\\", b"\r", b"\n", b" "]
) | st.binary(max_size=8)  # fmt: skip


def random_chunks(body: bytes, seed: int) -> list[bytes]:
    dice, chunks, at = random.Random(seed), [], 0
    while at < len(body):
        size = dice.choice((1, 2, 3, 10, 100, 1000))
        chunks.append(body[at : at + size])
        at += size
    return chunks


@settings(max_examples=500, deadline=None, database=None)
@given(
    st.binary(max_size=300) | st.lists(NOISE, max_size=20).map(b"".join),
    st.lists(st.binary(max_size=30), max_size=4), st.integers(0, 4), st.integers(0, 1 << 30),
)  # fmt: skip
def test_random_content_comes_back(
    content: bytes, fields: list[bytes], place: int, seed: int
) -> None:
    # The boundary is one that none of them holds, as senders see to.
    boundary = b"boundary"
    while any(boundary in each for each in (content, *fields)):
        boundary += b"x"
    parts = [field(value) for value in fields]
    parts.insert(place, file(content))
    body = form(*parts, boundary=boundary)
    assert fed(random_chunks(body, seed), boundary)[0] == content


@settings(
    max_examples=1000, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.lists(NOISE, max_size=30).map(b"".join), st.booleans(), st.integers(0, 1 << 30))
@example(b"", True, 0)
def test_noise_is_a_form_or_is_refused_as_none(noise: bytes, begun: bool, seed: int) -> None:
    body = b"--b\r\nContent-Disposition: form-data" + noise if begun else noise
    results: list[object] = []
    for chunks in ([body], pieces(body, 1), random_chunks(body, seed)):
        try:
            results.append(fed(chunks, b"b"))
        except BadFormError:
            results.append(None)
    assert results == [results[0]] * 3, "it depends on how it comes"


@settings(max_examples=500, deadline=None, database=None)
@given(st.text(max_size=80))
def test_any_type_has_a_boundary_or_is_refused(text: str) -> None:
    for kind in (text, "multipart/form-data;" + text, "multipart/form-data; boundary=" + text):
        try:
            boundary = boundary_of(kind)
        except BadFormError:
            continue
        assert boundary is None or boundary


@pytest.mark.parametrize("unit", [b"\r\n--" + BOUNDARY[:-1], b"\r\n", b"\r", b"-", b"\r\n--", b"x"])
def test_the_cost_of_content_follows_its_size(unit: bytes) -> None:
    # Whatever looks like a boundary is not looked at again and again.
    content = unit * ((1 << 20) // len(unit))
    fastest = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        assert fed(pieces(form(file(content)), 64 << 10))[0] == content
        fastest = min(fastest, time.perf_counter() - begun)
    assert fastest < 2
