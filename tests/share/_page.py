"""The example as a process, and its page as a person meets it."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from tests.servers._process import process, wait_for_http

from ._browser import Browser
from ._stored import Stored

EXAMPLE = Path(__file__).parents[2] / "examples" / "share"
PATIENCE = 20.0  # seconds

T = TypeVar("T")


def eventually(look: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
    """Return what is seen once it is something."""
    end = time.monotonic() + patience
    while not (seen := look()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {patience} seconds: {what}; it is {seen!r}")
        time.sleep(0.05)
    return seen


class Site:
    """The example on a port and in a folder, which may be ended and started again.

    Attributes:
        fails: whether a test lets something fail in it, which it may print.
    """

    def __init__(self, folder: Path, port: int, stored: Stored) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/"
        self.stored = stored
        self.log = folder / "log"
        self.fails = False
        self._settings = folder / "settings.json"
        self._folder = folder / "data"
        self._stack = contextlib.ExitStack()
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start it, on what it stored before."""
        command = [
            sys.executable, str(EXAMPLE), "--folder", str(self._folder), "--port", str(self.port),
        ]  # fmt: skip
        if self.stored.settings:
            self._settings.write_text(json.dumps(self.stored.settings))
            command += ["--storage", str(self._settings)]
        env = {"PYTHONWARNINGS": "default", "AWS_EC2_METADATA_DISABLED": "true"}
        self._process = self._stack.enter_context(process(command, self.log, env))
        wait_for_http(self.port, self._process, self.log)

    def kill(self) -> None:
        """Let it lose power."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        """End it as its user would."""
        self._stack.close()

    def printed(self) -> str:
        """Return what it printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def ask(self, method: str, path: str, told: Any = None, **headers: str) -> tuple[int, Any]:
        """Send a request as no page would, and return the status and the JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(
                method, path, json.dumps(told), {"Content-Type": "application/json", **headers}
            )
            answer = connection.getresponse()
            body = answer.read()
        return answer.status, json.loads(body) if body else None

    def get(self, link: str) -> tuple[bytes, http.client.HTTPMessage]:
        """Follow a link as a program would, without cookies or a browser."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(link, timeout=PATIENCE) as answer:
            return answer.read(), answer.headers


@dataclass(frozen=True)
class Shown:
    """One line of a list of the page.

    Attributes:
        state: of an upload, or of a share.
        texts: what is to be read, by class.
        offers: what can be pressed, by class.
        progress: from 0 to 1; None where there is none.
    """

    name: str
    state: str
    texts: dict[str, str]
    offers: frozenset[str]
    progress: float | None


_READ = """
const [list, name] = arguments;
const shown = el => el.checkVisibility({visibilityProperty: true});
const lines = [...document.querySelectorAll(`#${list} > li`)];
const found = name === null ? lines
    : lines.filter(li => li.querySelector('.name').textContent === name);
return found.map(li => {
    const bar = li.querySelector('progress');
    const texts = {};
    for (const el of li.querySelectorAll('[class]'))
        if (shown(el) && !el.matches('button, a'))
            for (const one of el.classList) texts[one] = el.textContent.trim();
    return {
        name: li.querySelector('.name').textContent, state: li.dataset.state, texts,
        offers: [...li.querySelectorAll('button:enabled, a[href]')].filter(shown)
            .flatMap(el => [...el.classList]),
        progress: bar && shown(bar) && bar.position >= 0 ? bar.position : null,
    };
});
"""

_FIND = """
const [list, name, what] = arguments;
for (const li of document.querySelectorAll(`#${list} > li`))
    if (li.querySelector('.name').textContent === name) return li.querySelector(what);
"""

# Files that no disk could hold by these names.
_GIVE = """
const [files] = arguments, given = new DataTransfer(), pick = document.querySelector('#pick');
for (const [name, text] of files) given.items.add(new File([text], name));
pick.files = given.files;
pick.dispatchEvent(new Event('input', {bubbles: true}));
pick.dispatchEvent(new Event('change', {bubbles: true}));
"""


_DROP = """
const [files] = arguments, given = new DataTransfer();
for (const [name, text] of files) given.items.add(new File([text], name));
for (const kind of ['dragenter', 'dragover', 'drop'])
    document.querySelector('main').dispatchEvent(
        new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: given}));
"""


class Page:
    """The page, and what people do with it."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self.browser = browser
        self.site = site
        self.stored = site.stored

    def open(self) -> None:
        """Go to the page, and wait until it shows what is shared."""
        self.browser.driver.get(self.site.url)
        eventually(
            lambda: self.browser.script(
                "return document.querySelector('#empty').checkVisibility() ||"
                " document.querySelector('#shares > li') !== null"
            ),
            "the page is filled",
        )

    # -- what is read ------------------------------------------------------------------------------

    def lines(self, which: str, name: str | None = None) -> list[Shown]:
        """Return the lines of a list, or those under a name."""
        return [
            Shown(**{**each, "offers": frozenset(each["offers"])})
            for each in self.browser.script(_READ, which, name)
        ]

    def shares(self) -> list[str]:
        """Return the names of what is shared, as shown."""
        return [each.name for each in self.lines("shares")]

    def _line(self, which: str, name: str, *states: str) -> Shown:
        last: list[Shown] = []

        def look() -> Shown | None:
            last[:] = self.lines(which, name)
            return next((each for each in last if each.state in states or not states), None)

        return eventually(look, f"{name!r} in #{which} is {' or '.join(states)}: {last}")

    def upload(self, name: str, *states: str) -> Shown:
        """Return an upload once it is in one of the states."""
        return self._line("uploads", name, *states)

    def share(self, name: str, *states: str) -> Shown:
        """Return a share once it is in one of the states."""
        return self._line("shares", name, *states)

    def status(self) -> str:
        """Return what a screen reader is told."""
        return str(self.browser.script("return document.querySelector('#status').textContent"))

    def told(self, pattern: str) -> None:
        """Wait until a screen reader is told something."""
        eventually(lambda: re.search(pattern, self.status()), f"the status says {pattern!r}")

    def clipboard(self) -> str:
        """Return what was copied."""
        permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
        self.browser.cdp(
            "Browser.grantPermissions", permissions=permissions, origin=self.site.url.rstrip("/")
        )
        return str(
            self.browser.driver.execute_async_script(
                "const done = arguments[0];"
                "navigator.clipboard.readText().then(done, error => done(`${error}`))"
            )
        )

    # -- what is done ------------------------------------------------------------------------------

    def find(self, which: str, name: str, what: str) -> WebElement:
        """Return a part of a line."""
        found = self.browser.script(_FIND, which, name, what)
        assert isinstance(found, WebElement), f"{name!r} has no {what}"
        return found

    def press(self, which: str, name: str, what: str) -> None:
        """Click on a button or link of a line."""
        self.find(which, name, f".{what}").click()

    @property
    def pick(self) -> WebElement:
        """The file input."""
        return self.browser.driver.find_element(By.ID, "pick")

    def choose(self, *files: Path) -> None:
        """Choose files of the disk."""
        self.pick.send_keys("\n".join(map(str, files)))

    def give(self, *files: tuple[str, str]) -> None:
        """Choose files by names that no disk may be able to hold."""
        self.browser.script(_GIVE, files)

    def drop(self, *files: tuple[str, str]) -> None:
        """Drop files on the page."""
        self.browser.script(_DROP, files)

    def set(
        self, *, hours: int | None = None, limit: int | None = None, once: bool = False
    ) -> None:
        """Choose how the next files are shared, of lists by the place in them."""
        driver = self.browser.driver
        for id, place in (("hours", hours), ("limit", limit)):
            if place is not None:
                Select(driver.find_element(By.ID, id)).select_by_index(place)
        if once:
            self.browser.script(
                "const box = document.querySelector('#once'); if (!box.checked) box.click()"
            )

    def keys(self, *keys: str, holding: str = "") -> None:
        """Press keys, wherever the focus is, with another held."""
        chain = ActionChains(self.browser.driver, duration=0)
        chain = chain.key_down(holding) if holding else chain
        chain = chain.send_keys(*keys)
        (chain.key_up(holding) if holding else chain).perform()
        # The page may hear of a key only after the driver has said that it was pressed.
        self.browser.driver.execute_async_script(
            "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
        )

    def tab_to(self, element: WebElement, most: int = 30) -> None:
        """Press Tab until an element has the focus."""
        for _ in range(most):
            if self.focused() == element:
                return
            self.keys(Keys.TAB)
        raise AssertionError(f"Tab does not lead to {element.get_attribute('outerHTML')}")

    def focused(self) -> WebElement:
        """Return what has the focus."""
        return self.browser.driver.switch_to.active_element
