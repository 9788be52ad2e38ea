"""Names and types of downloads: none breaks out, and no script is shown."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiostow import InvalidArgumentError, MemoryStorage

from ._answers import Seen, Version, sent
from ._app import SECRET
from ._bodies import SMALL
from ._place import Place

RTL = "photo\u202egpj.exe"
NAMES = {
    'say "hi".bin': "filename=\"say _hi_.bin\"; filename*=UTF-8''say%20%22hi%22.bin",
    'файл "x".html': 'filename="____ _x_.html"; '
    "filename*=UTF-8''%D1%84%D0%B0%D0%B9%D0%BB%20%22x%22.html",
    "a%22b;.svg": "filename=\"a_22b;.svg\"; filename*=UTF-8''a%2522b%3B.svg",
    RTL: "filename=\"photo_gpj.exe\"; filename*=UTF-8''photo%E2%80%AEgpj.exe",
    "..\\..\\x.bin": "filename=\".._.._x.bin\"; filename*=UTF-8''..%5C..%5Cx.bin",
    "../../etc/passwd": 'filename="passwd"',
    "a; filename=b.html": 'filename="a; filename=b.html"',
}
KIND_OF = {"html": "text/html", "svg": "image/svg+xml"}


def test_a_suggested_name_cannot_leave_its_place(standing: tuple[Place, Version]) -> None:
    place, version = standing
    for name, disposition in NAMES.items():
        kind = KIND_OF.get(name.rpartition(".")[2], "application/octet-stream")
        expected = sent(version, disposition=f"attachment; {disposition}", kind=kind)
        seen = place.ask("GET", place.link("d", output_path=name))
        assert seen == expected, name


def test_an_odd_key_is_served_and_its_name_cannot_leave_its_place(place: Place) -> None:
    key = place.beside('файл "x" %22;.bin')
    version = place.store(SMALL, key)
    disposition = (
        'attachment; filename="____ _x_ _22;.bin"; '
        "filename*=UTF-8''%D1%84%D0%B0%D0%B9%D0%BB%20%22x%22%20%2522%3B.bin"
    )
    assert place.ask("GET", place.link("d", key=key)) == sent(version, disposition=disposition)


@pytest.mark.parametrize("option", ["output_path", "content_type"])
@pytest.mark.parametrize("text", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x00b", "a\x85b", "\ud800"])
def test_no_link_is_made_for_what_would_break_a_header(option: str, text: str) -> None:
    async def mint() -> None:
        async with MemoryStorage(linked_endpoint="http://x", secret_key=SECRET) as storage:
            options: dict[str, Any] = {option: text}
            await storage.link_to("key", "d", 600, **options)

    with pytest.raises(InvalidArgumentError, match=option):
        asyncio.run(mint())


def test_what_could_hold_a_script_is_never_shown(place: Place) -> None:
    for suffix, kind in {
        "html": "text/html",
        "htm": "text/html",
        "svg": "image/svg+xml",
        "xhtml": "application/octet-stream",  # which Python's table does not know
        "xml": "text/xml",
        "pdf": "application/pdf",
    }.items():
        key = place.beside(f"page.{suffix}")
        version = place.store(b"<script>alert(1)</script>", key)
        expected = sent(version, kind=kind, disposition=f'attachment; filename="page.{suffix}"')
        assert place.ask("GET", place.link("d", key=key, disposition="inline")) == expected, suffix


def test_what_holds_no_script_is_shown_where_the_link_says_so(place: Place) -> None:
    for suffix, kind in {"png": "image/png", "txt": "text/plain"}.items():
        key = place.beside(f"shown.{suffix}")
        version = place.store(SMALL, key)
        for how in ("inline", "attachment"):
            expected = sent(version, kind=kind, disposition=f'{how}; filename="shown.{suffix}"')
            assert place.ask("GET", place.link("d", key=key, disposition=how)) == expected


def test_a_file_of_no_known_type_is_bytes_and_nothing_else(standing: tuple[Place, Version]) -> None:
    # S3 says binary/octet-stream of what came without a type: that is none that somebody chose.
    place, version = standing
    seen = place.ask("HEAD", place.link("d"))
    assert seen == sent(version, kind="application/octet-stream").to_head


def test_a_link_says_type_and_name_of_what_it_downloads(place: Place) -> None:
    key = place.beside("page.html")
    version = place.store(SMALL, key)

    def get(**options: Any) -> Seen:
        return place.ask("GET", place.link("d", key=key, **options))

    # As text, nothing of it is carried out.
    assert get(content_type="text/plain; charset=utf-8", disposition="inline") == sent(
        version, kind="text/plain; charset=utf-8", disposition='inline; filename="page.html"'
    )
    assert get(content_type="text/html", output_path="a.png", disposition="inline") == sent(
        version, kind="text/html", disposition='attachment; filename="a.png"'
    )
    xhtml = "application/xhtml+xml"
    assert get(content_type=xhtml, disposition="inline") == sent(
        version, kind=xhtml, disposition='attachment; filename="page.html"'
    )
    assert get(content_type="TEXT/HTML ; a=b", disposition="inline") == sent(
        version, kind="TEXT/HTML ; a=b", disposition='attachment; filename="page.html"'
    )


def test_the_longest_link_is_served(standing: tuple[Place, Version]) -> None:
    place, version = standing
    name = "n" * 2340
    link = place.link("d", output_path=name)
    assert 3400 < len(link.partition("token=")[2]) <= 3500
    expected = sent(version, disposition=f'attachment; filename="{name}"')
    assert place.ask("GET", link) == expected
