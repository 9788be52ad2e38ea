"""The page does what it says: files go up, links are copied, and lead to the same bytes."""

from __future__ import annotations

import hashlib
import re
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import pytest
from selenium.webdriver.common.by import By

from ._page import Page, Shown, Site, eventually
from .conftest import MB

MakeFile = Callable[[str, int], Path]

HOUR = 3600.0


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def landed(folder: Path, size: int) -> Path | None:
    """Return the one file that a download left, once it is whole."""
    there = list(folder.iterdir())
    if len(there) != 1 or there[0].suffix == ".crdownload" or there[0].name.startswith("."):
        return None
    return there[0] if there[0].stat().st_size == size else None


def test_progress_is_shown_and_the_copied_link_gives_the_same_bytes(
    page: Page, make_file: MakeFile, shoot: Callable[[str], None]
) -> None:
    file = make_file("film.bin", 50 * MB)
    page.browser.network(up=18 * MB)
    page.choose(file)
    seen: list[Shown] = []

    def look() -> bool:
        # An upload that is done may be gone from the list.
        lines = page.lines("uploads", file.name)
        seen.extend(lines)
        return not lines or lines[0].state == "done"

    page.upload(file.name)
    eventually(lambda: page.lines("uploads", file.name)[0].progress, "there is progress")
    shoot(f"uploading-{'s3' if page.stored.root is None else 'local'}")
    eventually(look, "it is done")
    page.browser.network()

    values = [each.progress for each in seen if each.progress is not None]
    assert values == sorted(values)
    assert len({value for value in values if 0 < value < 1}) >= 5
    going = [each.texts for each in seen if each.state == "uploading"]
    told = [each for each in going if each.get("rate") and each.get("left")]
    assert len(told) >= 3
    assert all("/s" in each["rate"] and any(map(str.isdigit, each["rate"])) for each in told)
    assert len({each["left"] for each in told}) > 1  # it goes down

    share = page.share(file.name, "active")
    assert {"copy", "download", "remove"} <= share.offers
    page.press("shares", file.name, "copy")
    page.told("(?i)cop(y|ied)")
    link = page.clipboard()
    assert link.startswith("http")
    content, headers = page.site.get(link)
    assert digest(content) == digest(file.read_bytes())
    assert headers.get_content_disposition() == "attachment"
    assert headers.get_filename() == file.name
    assert page.stored.halves() == []


def test_a_click_downloads_the_same_bytes(page: Page, make_file: MakeFile) -> None:
    file = make_file("film.bin", 50 * MB)
    page.choose(file)
    page.share(file.name, "active")
    page.press("shares", file.name, "download")
    folder = page.browser.downloads
    got = eventually(lambda: landed(folder, 50 * MB), "it is downloaded")
    assert got.name == file.name
    assert digest(got.read_bytes()) == digest(file.read_bytes())


def test_several_files_go_up_at_once(page: Page, make_file: MakeFile) -> None:
    files = [make_file(f"{size}.bin", size) for size in (0, 1, 3 * MB, 4 * MB, 17 * MB, 18 * MB)]
    page.browser.network(up=20 * MB)
    page.choose(*files)
    assert len(page.lines("uploads")) == len(files)  # each is told of from the first
    for file in files:
        page.share(file.name, "active")
    assert sorted(page.shares()) == sorted(file.name for file in files)
    for file in files:
        assert digest(page.stored.named(file.name)) == digest(file.read_bytes())
    assert page.stored.halves() == []
    page.open()
    assert sorted(page.shares()) == sorted(file.name for file in files)


def test_dropped_files_are_shared(page: Page) -> None:
    page.drop(("one.txt", "first"), ("two.txt", "second"))
    for name, content in (("one.txt", b"first"), ("two.txt", b"second")):
        page.share(name, "active")
        assert page.stored.named(name) == content


def test_the_list_tells_what_was_chosen(page: Page, make_file: MakeFile) -> None:
    file = make_file("letter.txt", 1234)
    page.set(hours=0)
    page.choose(file)
    share = page.share(file.name, "active")
    assert share.texts["type"]
    assert "1" in share.texts["size"]
    assert share.texts["ends"]
    (record,) = page.stored.records().values()
    assert record["type"] == "text/plain"
    assert 0.9 * HOUR < record["expires"] - time.time() < 1.1 * HOUR


def test_an_expired_share_is_told_and_gives_no_link(page: Page) -> None:
    page.stored.plant("old.txt", b"old", expires=-HOUR)
    page.stored.plant("new.txt", b"new", expires=HOUR)
    page.open()
    share = page.share("old.txt", "expired")
    assert not share.offers & {"copy", "download"}
    assert "remove" in share.offers
    assert "xpired" in " ".join(share.texts.values())
    assert {"copy", "download"} <= page.share("new.txt", "active").offers


def test_a_share_that_ends_while_it_is_looked_at_gives_no_link(disk_page: Page) -> None:
    disk_page.stored.plant("soon.txt", b"soon", expires=3)
    disk_page.open()
    assert "copy" in disk_page.share("soon.txt", "active").offers
    assert not disk_page.share("soon.txt", "expired").offers & {"copy", "download"}


def test_a_link_for_one_download_is_told_and_is_used_up(page: Page, make_file: MakeFile) -> None:
    file = make_file("secret.bin", 100_000)
    box = page.browser.driver.find_element(By.ID, "once")
    if page.stored.root is None:  # the bucket gives it out as often as it is asked
        assert not (box.is_displayed() and box.is_enabled())
        return
    page.set(once=True)
    page.choose(file)
    share = page.share(file.name, "active")
    assert "1" in share.texts["badge"] or "one" in share.texts["badge"].lower()
    page.press("shares", file.name, "copy")
    page.told("(?i)cop(y|ied)")
    link = page.clipboard()
    content, _ = page.site.get(link)
    assert content == file.read_bytes()
    with pytest.raises(urllib.error.HTTPError) as refused:
        page.site.get(link)
    refused.value.close()
    page.open()
    share = page.share(file.name, "used")
    assert not share.offers & {"copy", "download"}
    assert "sed" in share.texts["badge"]  # Used


def test_a_click_uses_up_a_link_for_one_download(disk_page: Page, make_file: MakeFile) -> None:
    file = make_file("secret.bin", 100_000)
    disk_page.set(once=True)
    disk_page.choose(file)
    disk_page.share(file.name, "active")
    disk_page.press("shares", file.name, "download")
    folder = disk_page.browser.downloads
    eventually(lambda: landed(folder, 100_000), "it is downloaded")
    disk_page.open()
    disk_page.share(file.name, "used")


def test_removing_asks_first_and_removes_all(page: Page, make_file: MakeFile) -> None:
    file = make_file("letter.txt", 1234)
    page.choose(file)
    page.share(file.name, "active")
    page.press("shares", file.name, "remove")
    assert {"yes", "keep"} <= page.share(file.name).offers
    page.press("shares", file.name, "keep")
    assert "remove" in page.share(file.name).offers
    assert file.name in page.shares()
    page.press("shares", file.name, "remove")
    page.press("shares", file.name, "yes")
    eventually(lambda: file.name not in page.shares(), "it is gone from the list")
    assert page.stored.is_empty()
    page.open()
    assert page.shares() == []


HOSTILE = (
    "<img src=x onerror=alert(1)>.html",
    "\"quotes\" 'and' `ticks` & &amp; ${7*7}.txt",
    "photo\u202egpj.exe",
    "x" * 196 + ".pdf",
    "🦄 naïve 文件 👩‍👩‍👧.txt",
    "javascript:alert(1)",
    "</li><script>alert(1)</script>",
)


def test_hostile_names_are_text(page: Page) -> None:
    # The server takes out what is no name, and what turns the direction of writing.
    names = [re.sub("[/\u202e]", "_", name) for name in HOSTILE]
    page.give(*((name, "hello") for name in HOSTILE))
    for name in names:
        page.share(name, "active")
    page.open()  # the server's word for it, too
    assert sorted(page.shares()) == sorted(names)
    script = page.browser.script
    assert script("return document.querySelectorAll('li img, iframe, li script').length") == 0
    # What else has a direction of its own ends with the name.
    assert script(
        "return [...document.querySelectorAll('#shares .name')].every(el => [el, ...el.children]"
        ".some(one => getComputedStyle(one).unicodeBidi.includes('isolate')))"
    )
    assert script("return document.documentElement.scrollWidth <= innerWidth")
    # An alert would have stopped all that; each link is still one that gives the file.
    for record in page.stored.records().values():
        content, headers = page.site.get(urljoin(page.site.url, record["link"]))
        assert content == b"hello"
        assert headers.get_content_disposition() == "attachment"


def test_links_outlive_a_restart(
    site: Site, make_file: MakeFile, visit: Callable[[Site], Page]
) -> None:
    page = visit(site)
    file = make_file("letter.txt", 1234)
    page.choose(file)
    page.share(file.name, "active")
    page.press("shares", file.name, "copy")
    page.told("(?i)cop(y|ied)")
    link = page.clipboard()
    site.end()
    site.start()
    assert site.get(link)[0] == file.read_bytes()
    page.open()
    page.share(file.name, "active")
    page.press("shares", file.name, "download")
    eventually(lambda: landed(page.browser.downloads, 1234), "it is downloaded")
