"""Everybody can use the page: with the keyboard, on a phone, in the dark, with a screen reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from ._page import Page, eventually
from .conftest import MB

MakeFile = Callable[[str, int], Path]
Shoot = Callable[[str], None]

HOUR = 3600.0
LONG = "a-name-without-any-place-to-break-" * 5 + "end.pdf"

_WATCH = """
window.lost = [];
let had = false;
(function look() {
    const body = document.activeElement === document.body || document.activeElement === null;
    if (body && had) window.lost.push(window.doing);
    had = had || !body;
    requestAnimationFrame(look);
})();
"""

_SMALL = """
const reach = (el, own) => { // how high what is hit is, and leads to the control
    el.scrollIntoView({block: 'center'});
    const box = el.getBoundingClientRect(), x = box.x + box.width / 2;
    const hit = y => own.some(one => one.contains(document.elementFromPoint(x, y)));
    let top = box.y + box.height / 2, bottom = top;
    if (!hit(top)) return 0;
    while (hit(top - 0.5)) top -= 0.5;
    while (hit(bottom + 0.5)) bottom += 0.5;
    return bottom - top;
};
return [...document.querySelectorAll('button, a[href], input, select, summary')].flatMap(el => {
    if (!el.checkVisibility({visibilityProperty: true})) return [];
    const own = [el, ...(el.labels || [])];
    const height = Math.max(...own.map(one => reach(one, own)));
    return height < 43 ? [`${el.outerHTML.slice(0, 120)}: ${height}`] : [];
});
"""

_WIDE = """
return [...document.querySelectorAll('body *')].flatMap(el => {
    const box = el.getBoundingClientRect();
    // What is only for screen readers is cut to nothing.
    const seen = el.checkVisibility({visibilityProperty: true}) && box.width > 1;
    const out = box.right > innerWidth + 1 || box.left < -1;
    return seen && out ? [el.outerHTML.slice(0, 120)] : [];
});
"""


def fill(page: Page, make_file: MakeFile) -> None:
    """Show one of everything: shares in all states, and uploads in all that last."""
    stored = page.stored
    stored.plant(LONG, b"long", expires=150 * HOUR)
    stored.plant("letter.txt", b"hello", expires=5 * HOUR)
    stored.plant("minutes.txt", b"hello", expires=300)
    stored.plant("expired.txt", b"hello", expires=-HOUR)
    stored.plant("once.txt", b"hello", expires=HOUR, once=True)
    page.open()
    page.set(once=True)
    used = make_file("used.bin", 100_000)
    page.choose(used)
    page.share(used.name, "active")
    page.press("shares", used.name, "copy")
    page.told("Copied")
    page.site.get(page.clipboard())
    page.open()
    page.share(used.name, "used")
    page.set(limit=1)
    page.choose(make_file("large.bin", 11 * MB))
    page.upload("large.bin", "failed")
    going = [make_file(f"going-{size // MB}.bin", size) for size in (7 * MB, 8 * MB, 9 * MB)]
    page.browser.network(up=200_000)
    page.choose(*going)
    page.press("uploads", going[2].name, "cancel")
    page.upload(going[2].name, "cancelled")
    page.choose(make_file("waiting.bin", 1 * MB))
    page.upload("waiting.bin", "waiting")
    eventually(lambda: page.upload(going[0].name).texts.get("left"), "it goes on")
    page.press("shares", "letter.txt", "remove")


def stop(page: Page) -> None:
    """Cancel what still goes up."""
    for line in page.lines("uploads"):
        if "cancel" in line.offers:
            page.press("uploads", line.name, "cancel")


def test_the_keyboard_suffices_and_focus_is_never_lost(
    disk_page: Page, make_file: MakeFile
) -> None:
    page, driver = disk_page, disk_page.browser.driver
    page.stored.plant("other.txt", b"other", expires=HOUR)
    page.open()
    script = page.browser.script
    script(_WATCH)

    def doing(what: str) -> None:
        script("window.doing = arguments[0]", what)

    doing("choosing")
    for id in ("pick", "hours", "limit", "once"):
        page.tab_to(driver.find_element(By.ID, id))
        # Whoever cannot point has to see where they are.
        script("arguments[0].focus({focusVisible: true})", driver.find_element(By.ID, id))
        ringed = "[arguments[0], ...(arguments[0].labels || [])].some(el => {"
        ringed += "const style = getComputedStyle(el);"
        ringed += "return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2})"
        assert script(f"return {ringed}", driver.find_element(By.ID, id)), f"#{id} shows no focus"
    page.keys(Keys.SPACE)
    assert script("return document.querySelector('#once').checked")
    page.keys(Keys.SPACE)

    doing("uploading")
    file = make_file("letter.txt", 300_000)
    page.browser.network(up=300_000)
    page.choose(file)
    page.share(file.name, "active")
    doing("copying")
    page.tab_to(page.find("shares", file.name, ".copy"))
    page.keys(Keys.ENTER)
    page.told("(?i)cop(y|ied)")
    assert page.site.get(page.clipboard())[0] == file.read_bytes()

    doing("keeping")
    page.tab_to(page.find("shares", file.name, ".remove"))
    page.keys(Keys.ENTER)
    page.tab_to(page.find("shares", file.name, ".keep"))
    page.keys(Keys.ENTER)
    assert page.focused() == page.find("shares", file.name, ".remove")
    doing("removing")
    page.keys(Keys.ENTER)
    page.keys(Keys.TAB, holding=Keys.SHIFT)
    assert page.focused() == page.find("shares", file.name, ".yes")
    page.keys(Keys.ENTER)
    eventually(lambda: page.shares() == ["other.txt"], "it is removed")
    page.told("removed")

    doing("removing the last")
    page.tab_to(page.find("shares", "other.txt", ".remove"))
    page.keys(Keys.ENTER)
    page.keys(Keys.TAB, holding=Keys.SHIFT)
    page.keys(Keys.ENTER)
    eventually(lambda: page.shares() == [], "it is removed")

    doing("cancelling")
    page.choose(file)
    page.tab_to(page.find("uploads", file.name, ".cancel"))
    page.keys(Keys.ENTER)
    page.upload(file.name, "cancelled")
    page.tab_to(page.find("uploads", file.name, ".dismiss"))
    page.keys(Keys.ENTER)
    eventually(lambda: not page.lines("uploads"), "it is dismissed")
    doing("no more")
    assert script("return window.lost") == []
    assert script("return document.activeElement !== document.body")


@pytest.mark.parametrize("width", [375, 320])
def test_a_phone_shows_all_and_it_can_be_touched(
    disk_page: Page, make_file: MakeFile, shoot: Shoot, width: int
) -> None:
    page, script = disk_page, disk_page.browser.script
    page.browser.phone(width)

    def fits() -> None:
        # A phone shows smaller what is too wide, so that it is not pushed aside.
        assert script("return innerWidth") == width
        assert script("return document.documentElement.scrollWidth") <= width
        assert script(_WIDE) == []

    page.open()
    fits()
    shoot(f"empty-{width}")
    fill(page, make_file)
    fits()
    shoot(f"full-{width}")
    assert script(_SMALL) == []
    stop(page)


def test_the_dark_is_dark_and_the_light_is_light(disk_page: Page) -> None:
    def lightness(what: str, element: str = "body") -> float:
        # A pixel of a canvas is any colour in numbers, however it was written.
        return float(
            disk_page.browser.script(
                "const [what, element] = arguments;"
                "const ink = document.createElement('canvas').getContext('2d');"
                "const [root, el] = [document.documentElement, document.querySelector(element)];"
                "for (const one of [root, el]) {"
                "  ink.fillStyle = getComputedStyle(one)[what]; ink.fillRect(0, 0, 1, 1); }"
                "const [red, green, blue] = ink.getImageData(0, 0, 1, 1).data;"
                "return (red + green + blue) / 765",
                what, element,
            )
        )  # fmt: skip

    disk_page.browser.media(scheme="light")
    assert lightness("backgroundColor") > 0.8
    assert lightness("color") < 0.4
    disk_page.browser.media(scheme="dark")
    assert lightness("backgroundColor") < 0.25
    assert lightness("color") > 0.7


def test_nothing_moves_where_that_is_asked_for(disk_page: Page, make_file: MakeFile) -> None:
    page = disk_page
    page.browser.media(still=True)
    page.open()
    page.browser.network(up=MB)
    page.browser.script(
        "window.moved = []; const note = event => moved.push(`${event.type} "
        "${event.target.className} ${event.propertyName || event.animationName}`);"
        "for (const kind of ['transitionrun', 'animationstart'])"
        "  document.addEventListener(kind, note, true);"
    )
    file = make_file("film.bin", 3 * MB)
    page.choose(file)
    moving: list[Any] = []
    while not page.lines("shares", file.name):
        moving += page.browser.script(
            "return document.getAnimations().filter(one => one.effect.getTiming().duration > 100)"
            ".map(one => one.effect.target.className)"
        )
    page.press("shares", file.name, "remove")
    page.press("shares", file.name, "keep")
    assert moving == []
    assert page.browser.script("return moved.filter(one => !one.includes('progress'))") == []


@pytest.mark.usefixtures("axe")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_grave(
    disk_page: Page, make_file: MakeFile, shoot: Shoot, scheme: str
) -> None:
    page = disk_page
    page.browser.media(scheme=scheme, still=True)  # colours that change are hard to judge
    page.open()
    assert page.browser.grave() == []
    shoot(f"empty-{scheme}")
    page.browser.network(up=MB)
    file = make_file("film.bin", 12 * MB)
    page.choose(file)
    page.upload(file.name, "uploading")
    eventually(lambda: page.upload(file.name).texts.get("left"), "it goes on")
    assert page.browser.grave() == []
    shoot(f"uploading-{scheme}")
    stop(page)
    eventually(page.stored.is_empty, "nothing is stored")
    page.browser.network()
    fill(page, make_file)
    assert page.browser.grave() == []
    shoot(f"full-{scheme}")
    stop(page)
