"""What goes wrong is told in a sentence, leaves nothing behind, and can be tried again."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults._kill_child import mounted

from ._page import Page, Shown, Site, eventually
from .conftest import MB

MakeFile = Callable[[str, int], Path]
MakeSite = Callable[..., Site]

MIB = 1 << 20


def midway(page: Page, name: str) -> None:
    """Wait until some of a file has gone, and by far not all."""

    def look() -> bool:
        (line,) = page.lines("uploads", name)
        return line.state == "uploading" and 0.05 < (line.progress or 0) < 0.9

    eventually(look, f"{name} is midway")


def told_of(failed: Shown) -> str:
    """Return the sentence of a failure."""
    message = failed.texts["message"]
    assert message[0].isupper()
    assert message.endswith(".")
    assert len(message.split()) >= 3
    assert "retry" in failed.offers
    return message


def settled(page: Page) -> list[str]:
    """Return what is half there after the page had time to remove it."""
    end = time.monotonic() + 5
    while (halves := page.stored.halves()) and time.monotonic() < end:
        time.sleep(0.1)
    return halves


# In one piece, and on a bucket in parts.
pieces = pytest.mark.parametrize(
    ("site", "size"), [("local", 8 * MB), ("s3", 8 * MB), ("s3", 30 * MB)], indirect=["site"]
)


@pieces
def test_nothing_is_stored_of_what_is_cancelled_and_it_can_be_tried_again(
    page: Page, make_file: MakeFile, size: int
) -> None:
    file = make_file("film.bin", size)
    page.browser.network(up=size / 5)
    page.choose(file)
    midway(page, file.name)
    page.press("uploads", file.name, "cancel")
    line = page.upload(file.name, "cancelled")
    assert {"retry", "dismiss"} <= line.offers
    assert "cancel" not in line.offers
    eventually(page.stored.is_empty, "nothing is stored")
    time.sleep(0.5)
    assert page.stored.is_empty()  # nor does it come late
    assert page.shares() == []

    page.browser.network()
    page.press("uploads", file.name, "retry")
    page.share(file.name, "active")
    assert page.stored.named(file.name) == file.read_bytes()
    assert page.stored.halves() == []


def test_what_waits_can_be_cancelled(page: Page, make_file: MakeFile) -> None:
    files = [make_file(f"{size}.bin", size) for size in (5 * MB, 6 * MB, 7 * MB, 8 * MB)]
    page.browser.network(up=2 * MB)
    page.choose(*files)
    last = files[-1].name
    page.upload(last, "waiting")
    page.press("uploads", last, "cancel")
    page.upload(last, "cancelled")
    page.press("uploads", last, "dismiss")
    eventually(lambda: not page.lines("uploads", last), "it is dismissed")
    page.browser.network()
    for file in files[:-1]:
        page.share(file.name, "active")
    assert last not in page.shares()
    assert len(page.stored.files()) == 3
    assert page.stored.halves() == []


# -- what is too large -----------------------------------------------------------------------------

_SPY = """
window.sent = [];
for (const [owner, name] of [[window, 'fetch'], [XMLHttpRequest.prototype, 'open']]) {
    const real = owner[name];
    owner[name] = function (...given) {
        const method = name === 'open' ? given[0] : (given[1] && given[1].method) || 'GET';
        if (method !== 'GET') window.sent.push(method);
        return real.apply(this, given);
    };
}
"""


def test_what_is_too_large_is_told_before_anything_is_sent(page: Page, make_file: MakeFile) -> None:
    page.browser.script(_SPY)
    page.set(limit=1)  # 10 MiB
    large, small = make_file("large.bin", 11 * MIB), make_file("small.bin", 9 * MIB)
    page.choose(large, small)
    assert "10 M" in told_of(page.upload(large.name, "failed"))
    page.share(small.name, "active")
    assert page.browser.script("return sent.filter(method => method === 'POST').length") >= 2
    page.browser.script("sent.length = 0")
    page.press("uploads", large.name, "retry")
    page.upload(large.name, "failed")
    assert page.browser.script("return sent") == []
    assert len(page.stored.records()) == 1
    page.set(limit=2)  # now it may
    page.press("uploads", large.name, "retry")
    page.share(large.name, "active")


# -- what fails ------------------------------------------------------------------------------------


def test_a_full_disk_is_told_and_leaves_nothing(
    make_site: MakeSite,
    visit: Callable[[Site], Page],
    make_file: MakeFile,
    need_program: Callable[[str], str],
    tmp_path: Path,
) -> None:
    need_program("mount")
    disk = tmp_path / "disk"
    file, small = make_file("film.bin", 12 * MB), make_file("small.bin", 100_000)
    with mounted(disk, "size=8m") as problem:
        if problem is not None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(problem)
        site = make_site("local", disk / "root")
        page = visit(site)
        page.browser.allowed += [r"/links/.* 507 "]
        site.fails = True
        page.choose(small)
        page.share(small.name, "active")
        page.choose(file)
        assert "room" in told_of(page.upload(file.name, "failed"))
        eventually(lambda: len(site.stored.records()) == 1, "its record is removed")
        assert site.stored.halves() == []
        assert site.stored.named(small.name) == small.read_bytes()
        page.press("uploads", file.name, "retry")
        page.upload(file.name, "uploading", "finishing", "failed")
        page.upload(file.name, "failed")

        subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)
        page.press("uploads", file.name, "retry")
        page.share(file.name, "active")
        assert site.stored.named(file.name) == file.read_bytes()
        assert settled(page) == []
        page.browser.driver.get("about:blank")
        site.end()


def test_a_server_that_dies_is_told_and_nothing_is_half_stored(
    make_site: MakeSite, visit: Callable[[Site], Page], make_file: MakeFile
) -> None:
    site = make_site("local")
    page = visit(site)
    page.browser.allowed += [r"net::ERR_(CONNECTION_\w+|SOCKET_NOT_CONNECTED|EMPTY_RESPONSE)"]
    early, file = make_file("early.bin", 100_000), make_file("film.bin", 12 * MB)
    page.choose(early)
    page.share(early.name, "active")
    page.browser.network(up=3 * MB)
    page.choose(file)
    midway(page, file.name)
    site.kill()
    told_of(page.upload(file.name, "failed"))
    page.press("uploads", file.name, "retry")  # too early
    told_of(page.upload(file.name, "failed"))

    page.browser.network()
    site.start()
    page.press("uploads", file.name, "retry")
    page.share(file.name, "active")
    assert site.stored.named(file.name) == file.read_bytes()
    assert site.stored.named(early.name) == early.read_bytes()
    assert settled(page) == []
    page.open()
    assert sorted(page.shares()) == [early.name, file.name]


@pieces
def test_a_lost_network_is_told_and_nothing_is_half_stored(
    page: Page, make_file: MakeFile, size: int
) -> None:
    page.browser.allowed += [r"net::ERR_INTERNET_DISCONNECTED"]
    file = make_file("film.bin", size)
    page.browser.network(up=size / 5)
    page.choose(file)
    midway(page, file.name)
    page.browser.network(offline=True)
    told_of(page.upload(file.name, "failed"))
    page.browser.network()
    page.press("uploads", file.name, "retry")
    page.share(file.name, "active")
    assert page.stored.named(file.name) == file.read_bytes()
    assert settled(page) == []


def test_a_page_that_is_left_midway_shares_nothing(page: Page, make_file: MakeFile) -> None:
    file = make_file("film.bin", 8 * MB)
    page.browser.network(up=2 * MB)
    page.choose(file)
    midway(page, file.name)
    # It asks nobody who has not touched it, and the browser says so.
    page.browser.allowed += [r"Blocked attempt to show a 'beforeunload'"]
    page.browser.driver.get("about:blank")
    page.open()
    assert page.shares() == []
    if page.stored.root is not None:
        eventually(lambda: not page.stored.unseen(), "the server has dropped what had come")
    assert page.stored.files() == {}


def test_a_list_that_cannot_be_had_is_told(
    make_site: MakeSite, visit: Callable[[Site], Page]
) -> None:
    site = make_site("local")
    site.stored.plant("kept.txt", b"kept", expires=3600)
    page = visit(site)
    page.browser.allowed += [r"net::ERR_"]
    site.kill()
    page.press("shares", "kept.txt", "remove")
    page.press("shares", "kept.txt", "yes")
    page.told("not removed")
    assert page.shares() == ["kept.txt"]
    site.start()
    page.press("shares", "kept.txt", "remove")
    page.press("shares", "kept.txt", "yes")
    eventually(lambda: page.shares() == [], "it is removed")
    assert site.stored.is_empty()
