"""Uploads over real servers: stored whole as the link allows, or not at all."""

from __future__ import annotations

import pytest

from ._answers import ENCODED, EXISTS, OTHER_VERSION, PART, done, not_exactly, said, sent, too_large
from ._bodies import FORM, LARGE, SMALL, WHOLE, chunked, field, file, form, part
from ._place import PAST, Place


@pytest.mark.parametrize("body", [b"", SMALL, LARGE], ids=["empty", "10 bytes", "3 MiB"])
@pytest.mark.parametrize(
    "how", ["PUT chunked", "POST", "POST form", "PUT form chunked"], ids=str.lower
)
def test_an_upload_is_stored_whole_however_it_comes(place: Place, how: str, body: bytes) -> None:
    link = place.link()
    content, headers = body, {}
    if "form" in how:
        content, headers = form(file(body)), {"content_type": FORM}
    data = chunked(content) if "chunked" in how else content
    seen = place.ask(how.partition(" ")[0], link, data, **headers)
    assert seen.normalised == done(etag="an etag")
    got = place.ask("GET", link)
    assert got == sent(place.version(got, body))
    assert got.headers["etag"] == seen.headers["etag"]


def test_a_link_that_does_not_overwrite_stores_once(place: Place) -> None:
    link = place.link("du", overwrite=False, max_size=100)
    first = place.ask("PUT", link, SMALL)
    assert first.normalised == done(201, etag="an etag")
    got = place.ask("GET", link)
    assert got == sent(place.version(got, SMALL))
    assert got.headers["etag"] == first.headers["etag"]
    exists = said(409, EXISTS)
    assert place.ask("PUT", link, b"another") == exists
    assert place.ask("POST", link, b"another") == exists
    assert place.ask("PUT", link, chunked(b"another")) == exists
    assert place.ask("POST", link, form(file(b"another")), content_type=FORM) == exists
    assert place.ask("GET", link) == got


@pytest.mark.parametrize("how", ["chunked", "form", "empty"])
def test_a_link_that_does_not_overwrite_stores_what_comes_without_a_length(
    place: Place, how: str
) -> None:
    link = place.link("du", overwrite=False, max_size=100)
    body = b"" if how == "empty" else SMALL
    headers = {"content_type": FORM} if how == "form" else {}
    content = chunked(form(file(SMALL)) if how == "form" else body, 7)
    seen = place.ask("POST", link, content, **headers)
    assert seen.normalised == done(201, etag="an etag")
    assert place.ask("POST", link, b"another") == said(409, EXISTS)
    assert place.stored() == body


def test_a_file_of_more_than_max_size_is_413_and_nothing_is_stored(place: Place) -> None:
    link = place.link("u", max_size=10)
    large = said(413, too_large(10))
    more = SMALL + b"!"
    assert place.ask("PUT", link, more) == large
    assert place.ask("POST", link, more) == large
    assert place.ask("PUT", link, chunked(more)) == large
    assert place.ask("PUT", link, chunked(more, 1)) == large
    assert place.ask("POST", link, form(field("a"), file(more)), content_type=FORM) == large
    assert place.ask("POST", link, chunked(form(file(more))), content_type=FORM) == large
    # So long, that no form around a file of 10 bytes is.
    assert place.ask("POST", link, form(file(bytes(200_000))), content_type=FORM) == large
    assert place.stored() is None
    for content in (SMALL, chunked(SMALL), chunked(SMALL, 1), b""):
        assert place.ask("PUT", link, content).normalised == done(etag="an etag")
    seen = place.ask("POST", link, form(field("a"), file(SMALL)), content_type=FORM)
    assert seen.normalised == done(etag="an etag")
    assert place.stored() == SMALL
    assert place.ask("PUT", link, chunked(more)) == large
    assert place.stored() == SMALL


def test_a_file_of_another_size_than_the_exact_one_is_not_stored(place: Place) -> None:
    link = place.link("u", exact_size=10)
    large, small = said(413, too_large(10)), said(400, not_exactly(10))
    for data, answer in {SMALL + b"!": large, SMALL[:-1]: small, b"": small}.items():
        assert place.ask("PUT", link, data) == answer
        assert place.ask("PUT", link, chunked(data, 3)) == answer
        assert place.ask("POST", link, form(file(data)), content_type=FORM) == answer
    assert place.stored() is None
    for content, kind in ((SMALL, "text/x"), (chunked(SMALL), "text/x"), (form(file(SMALL)), FORM)):
        seen = place.ask("POST", link, content, content_type=kind)
        assert seen.normalised == done(etag="an etag")
        assert place.stored() == SMALL


def test_a_file_of_another_type_than_the_links_is_415_and_nothing_is_stored(place: Place) -> None:
    link = place.link("du", content_type="image/png")
    wrong = said(415, "The file must be sent as image/png.")
    for kind in ("text/plain", "image/png; a=b", "image/pngx", "image", "image/svg+xml"):
        assert place.ask("PUT", link, SMALL, content_type=kind) == wrong, kind
        seen = place.ask("POST", link, form(field("a"), file(SMALL, kind)), content_type=FORM)
        assert seen == wrong, kind
    assert place.ask("PUT", link, SMALL) == wrong  # without any
    no_type = part('Content-Disposition: form-data; name="f"; filename="x.png"', SMALL)
    assert place.ask("POST", link, form(no_type), content_type=FORM) == wrong
    assert place.stored() is None
    for kind in ("image/png", "IMAGE/PNG"):
        seen = place.ask("PUT", link, SMALL, content_type=kind)
        assert seen.normalised == done(etag="an etag"), kind
        content = form(field("a"), file(b"of a form", kind))
        seen = place.ask("POST", link, content, content_type=FORM)
        assert seen.normalised == done(etag="an etag"), kind
    got = place.ask("GET", link)
    assert got == sent(place.version(got, b"of a form"), kind="image/png")


def test_an_upload_on_the_condition_that_nothing_is_there(place: Place) -> None:
    link = place.link("u")
    first = place.ask("PUT", link, SMALL, if_none_match="*")
    assert first.normalised == done(201, etag="an etag")
    other = said(412, OTHER_VERSION)
    assert place.ask("PUT", link, b"another", if_none_match="*") == other
    assert place.ask("PUT", link, chunked(b"another"), if_none_match="*") == other
    assert place.stored() == SMALL


def test_an_upload_on_the_condition_of_a_version(place: Place) -> None:
    link = place.link("u")
    other = said(412, OTHER_VERSION)
    for tags in ("*", '"other"'):
        assert place.ask("PUT", link, b"another", if_match=tags) == other
    assert place.stored() is None
    version = place.store(SMALL)
    assert place.ask("PUT", link, b"another", if_match='"other"') == other
    assert place.ask("PUT", link, b"another", if_none_match=version.etag) == other
    assert place.ask("PUT", link, b"another", if_unmodified_since=PAST) == other
    assert place.stored() == SMALL
    seen = place.ask("PUT", link, b"newer", if_match=version.etag)
    if not version.strong:  # see Version.strong
        assert seen == other
        assert place.ask("PUT", link, b"newer", if_match="*").normalised == done(etag="an etag")
        assert place.stored() == b"newer"
        return
    assert seen.normalised == done(etag="an etag")
    assert seen.headers["etag"] != version.etag
    assert place.ask("PUT", link, b"another", if_match=version.etag) == other
    assert place.stored() == b"newer"
    assert place.ask("PUT", link, b"last", if_match="*").normalised == done(etag="an etag")
    assert place.stored() == b"last"


def test_an_encoded_body_and_a_part_of_a_file_are_refused(place: Place) -> None:
    link = place.link("u")
    for coding in ("gzip", "br", "gzip, identity", "aws-chunked"):
        seen = place.ask("PUT", link, SMALL, content_encoding=coding)
        assert seen == said(415, ENCODED), coding
        seen = place.ask("POST", link, WHOLE, content_encoding=coding, content_type=FORM)
        assert seen == said(415, ENCODED), coding
    for span in ("bytes 0-9/20", "bytes 0-9/10", "garbage"):
        assert place.ask("PUT", link, SMALL, content_range=span) == said(400, PART), span
    assert place.stored() is None
    seen = place.ask("PUT", link, SMALL, content_encoding="identity")
    assert seen.normalised == done(etag="an etag")
    assert place.stored() == SMALL
