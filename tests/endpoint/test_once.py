"""What uses a link for one use up, and what does not."""

from __future__ import annotations

import pytest

from ._answers import (
    ENCODED,
    EXISTS,
    MISSING,
    NOT_ALLOWED,
    OTHER_VERSION,
    USED,
    done,
    refusal,
    said,
    sent,
    too_large,
    unchanged,
)
from ._bodies import FORM, SMALL, WHOLE, chunked
from ._place import METHODS, Place


@pytest.mark.parametrize("span", [None, "bytes=2-3", "bytes=99-"])
def test_a_link_for_one_use_downloads_the_whole_file_once(place: Place, span: str | None) -> None:
    link = place.link("d", once=True)
    # What sends nothing of the file uses nothing up.
    assert place.ask("GET", link) == said(404, MISSING)
    version = place.store(SMALL)
    assert place.ask("HEAD", link) == sent(version, once=True).to_head
    assert place.ask("GET", link, if_none_match=version.etag) == unchanged(version, once=True)
    assert place.ask("GET", link, if_match='"other"') == said(412, OTHER_VERSION)
    assert place.ask("OPTIONS", link) == done(allow="GET, HEAD, OPTIONS")
    assert place.ask("PUT", link, b"newer") == said(403, NOT_ALLOWED)
    headers = {} if span is None else {"range": span}
    assert place.ask("GET", link, None, **headers) == sent(version, once=True)
    used = said(410, USED)
    for method in METHODS:
        assert place.ask(method, link) == (used.to_head if method == "HEAD" else used), method
    assert place.ask("GET", link, if_none_match=version.etag) == used
    assert place.stored() == SMALL


def test_a_link_for_one_use_stores_once(place: Place) -> None:
    link = place.link("u", once=True, max_size=10)
    for _ in range(2):
        # What stores nothing uses nothing up.
        assert place.ask("PUT", link, SMALL + b"!") == said(413, too_large(10))
        assert place.ask("PUT", link, chunked(SMALL + b"!")) == said(413, too_large(10))
        assert place.ask("POST", link, WHOLE[:-20], content_type=FORM) == said(
            400, "The form ends before its last boundary."
        )
        assert place.ask("PUT", link, SMALL, content_encoding="gzip") == said(415, ENCODED)
        assert place.ask("PUT", link, SMALL, if_match="*") == said(412, OTHER_VERSION)
        assert place.ask("GET", link) == said(403, NOT_ALLOWED)
        assert place.stored() is None
    assert place.ask("POST", link, WHOLE, content_type=FORM).normalised == done(etag="an etag")
    assert place.ask("PUT", link, b"another") == said(410, USED)
    assert place.ask("PUT", link, chunked(b"another")) == said(410, USED)
    assert place.stored() == SMALL


def test_a_refused_upload_does_not_use_a_link_up(place: Place) -> None:
    key = place.beside("refuse-upload.bin")
    link = place.link("u", key=key, once=True)
    for _ in range(2):
        assert place.ask("PUT", link, SMALL) == refusal("upload")
    assert place.stored(key) is None


def test_a_refused_download_does_not_use_a_link_up(place: Place) -> None:
    key = place.beside("refuse-download.bin")
    place.store(SMALL, key)
    link = place.link("d", key=key, once=True)
    for _ in range(2):
        assert place.ask("GET", link) == refusal("download")


def test_an_upload_that_would_overwrite_does_not_use_a_link_up(place: Place) -> None:
    link = place.link("u", once=True, overwrite=False, max_size=10)
    place.store(b"before")
    for _ in range(2):
        assert place.ask("PUT", link, SMALL) == said(409, EXISTS)
    assert place.stored() == b"before"
    place.ask("DELETE", place.link("r"))
    assert place.ask("PUT", link, SMALL).normalised == done(201, etag="an etag")
    assert place.ask("PUT", link, SMALL) == said(410, USED)
    assert place.stored() == SMALL


def test_a_link_for_one_use_removes_once(place: Place) -> None:
    link = place.link("r", once=True)
    place.store(SMALL)
    assert place.ask("DELETE", link, if_match='"other"') == said(412, OTHER_VERSION)
    assert place.ask("DELETE", link) == done()
    place.store(b"newer")
    assert place.ask("DELETE", link) == said(410, USED)
    assert place.stored() == b"newer"


def test_a_link_for_one_use_is_for_one_use_of_all_that_it_grants(place: Place) -> None:
    link = place.link("dur", once=True)
    assert place.ask("PUT", link, SMALL).normalised == done(etag="an etag")
    assert place.ask("GET", link) == said(410, USED)
    assert place.ask("DELETE", link) == said(410, USED)
    assert place.stored() == SMALL
