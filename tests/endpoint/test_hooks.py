"""Hooks of the application: told of each use, and refusing before anything is done."""

from __future__ import annotations

from ._answers import refusal, sent
from ._bodies import FORM, LARGE, SMALL, WHOLE, chunked, field, form
from ._place import Place


def test_a_refusal_of_every_use_ends_it_before_anything_is_done(place: Place) -> None:
    key = place.beside("refuse-authorize.bin")
    link = place.link(key=key)
    asked = ("GET", "HEAD", "PUT", "POST", "DELETE")
    for method in asked:
        seen = place.ask(method, link, SMALL if method in ("PUT", "POST") else None)
        expected = refusal("authorize")
        assert seen == (expected.to_head if method == "HEAD" else expected), method
    # No later hook was called, without which nothing is sent, stored or removed.
    assert place.notes(key) == [("authorize", method, None) for method in asked]


def test_a_refused_download_sends_nothing(place: Place) -> None:
    key = place.beside("refuse-download.bin")
    version = place.store(SMALL, key)
    link = place.link("d", key=key)
    disposition = 'attachment; filename="refuse-download.bin"'
    assert place.ask("GET", link) == refusal("download")
    assert place.ask("GET", link, range="bytes=0-1") == refusal("download")
    assert place.ask("HEAD", link) == sent(version, disposition=disposition).to_head


def test_a_refused_upload_stores_nothing(place: Place) -> None:
    key = place.beside("refuse-upload.bin")
    link = place.link("u", key=key)
    assert place.ask("PUT", link, SMALL) == refusal("upload")
    assert place.ask("PUT", link, chunked(SMALL)) == refusal("upload")
    assert place.ask("POST", link, WHOLE, content_type=FORM) == refusal("upload")
    assert place.ask("PUT", link, LARGE) == refusal("upload")
    assert place.stored(key) is None


def test_a_refused_removal_removes_nothing(place: Place) -> None:
    key = place.beside("refuse-remove.bin")
    place.store(SMALL, key)
    assert place.ask("DELETE", place.link(key=key)) == refusal("remove")
    assert place.stored(key) == SMALL


def test_hooks_are_told_of_each_use_in_order(place: Place) -> None:
    link = place.link()
    place.ask("PUT", link, SMALL)
    etag = place.ask("HEAD", link).headers["etag"]
    place.ask("GET", link)
    place.ask("GET", link, range="bytes=2-3")
    place.ask("GET", link, if_none_match=etag)
    place.ask("GET", link, range="bytes=10-")
    place.ask("OPTIONS", link)
    place.ask("PUT", link, SMALL, content_encoding="gzip")
    place.ask("POST", link, form(field("a")), content_type=FORM)
    place.ask("DELETE", link)
    place.ask("GET", link)
    assert place.notes(place.key) == [
        ("authorize", "PUT", None), ("upload", "PUT", 10), ("success", "PUT", 10),
        ("authorize", "HEAD", None),
        ("authorize", "GET", None), ("download", "GET", 10),
        ("authorize", "GET", None), ("download", "GET", 10),
        ("authorize", "GET", None),
        ("authorize", "GET", None),
        ("authorize", "PUT", None),
        ("authorize", "POST", None),
        ("authorize", "DELETE", None), ("remove", "DELETE", None), ("success", "DELETE", None),
        ("authorize", "GET", None),
    ]  # fmt: skip
