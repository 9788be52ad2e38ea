"""A browser without a window, which reaches nothing but this machine."""

from __future__ import annotations

import base64
import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.remote_connection import ChromeRemoteConnection
from selenium.webdriver.remote.file_detector import UselessFileDetector

from tests.servers._npm import package
from tests.servers._process import free_ports, need, process, wait_for_http

_INSTALL = "apt-get install --no-install-recommends chromium chromium-driver"
AXE = "4.10.3"
_SIZE = (1200, 900)


class Browser:
    """A browser; each test has a tab of its own.

    Attributes:
        driver: of WebDriver.
        downloads: the folder where downloads land.
        allowed: patterns of what the console may say, for errors that a test provokes.
    """

    def __init__(self, driver: webdriver.Remote, folder: Path) -> None:
        self.driver = driver
        self.folder = folder
        self.downloads = folder / "downloads"
        self.allowed: list[str] = []
        self._axe: str | None = None

    def cdp(self, command: str, **arguments: Any) -> Any:
        """Say something in the language of the developers' tools."""
        told = {"cmd": command, "params": arguments}
        return self.driver.execute("executeCdpCommand", told)["value"]

    def script(self, source: str, *arguments: Any) -> Any:
        """Run JavaScript in the page, which its policy does not hinder."""
        return self.driver.execute_script(source, *arguments)

    def new_tab(self, downloads: Path) -> None:
        """Leave the page and all that was said of it: sizes, schemes, networks."""
        old = self.driver.window_handles
        self.driver.switch_to.new_window("tab")
        new = self.driver.current_window_handle
        for each in old:
            self.driver.switch_to.window(each)
            self.driver.close()
        self.driver.switch_to.window(new)
        self.downloads = downloads
        self.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        self._log()
        self.allowed.clear()

    # -- what is simulated -------------------------------------------------------------------------

    def network(self, *, up: float = -1, offline: bool = False) -> None:
        """Have a slower network, or none.

        Args:
            up: bytes a second that can be sent; -1 are as many as there are.
        """
        self.cdp("Network.enable")
        self.cdp(
            "Network.emulateNetworkConditions",
            offline=offline, latency=0, downloadThroughput=-1, uploadThroughput=up,
        )  # fmt: skip

    def media(self, *, scheme: str = "light", still: bool = False) -> None:
        """Prefer a colour scheme, and reduced motion."""
        motion = "reduce" if still else "no-preference"
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        told = [{"name": name, "value": value} for name, value in features.items()]
        self.cdp("Emulation.setEmulatedMedia", features=told)

    def phone(self, width: int) -> None:
        """Be a phone: there, a page that is too wide is shown smaller, or can be pushed aside."""
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=740, deviceScaleFactor=2, mobile=True,
        )  # fmt: skip
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=True)

    # -- what is seen ------------------------------------------------------------------------------

    def _log(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.driver.execute("getLog", {"type": "browser"})["value"]
        return found

    def complaints(self) -> list[str]:
        """Return the errors on the console since it was last asked, but for those allowed."""
        told = [str(each["message"]) for each in self._log() if each["level"] == "SEVERE"]
        return [each for each in told if not any(re.search(one, each) for one in self.allowed)]

    def grave(self) -> list[str]:
        """Return what axe finds wrong in the page, serious or critical."""
        if self._axe is None:
            self._axe = (package("axe-core", AXE) / "axe.min.js").read_text()
        self.script(self._axe)
        found = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run().then(done, error => done({error: `${error}`}))"
        )
        assert "error" not in found, found
        assert len(found["passes"]) > 5  # it has looked
        return [
            f"{each['id']} ({each['impact']}): {node['html'][:200]}: {node['failureSummary']}"
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    def shot(self, path: Path) -> None:
        """Take a picture of the whole page."""
        shot = self.cdp("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


def _options(chromium: str, profile: Path) -> webdriver.ChromeOptions:
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        f"--user-data-dir={profile}",
        f"--window-size={_SIZE[0]},{_SIZE[1]}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--no-proxy-server",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-dev-shm-usage",  # which is small in containers
        "--disable-extensions",
        "--lang=en-GB",
        # The sandbox needs a user who is not root.
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return options


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Run a browser within the block.

    Args:
        folder: an empty one, for all its files.

    Raises:
        Missing: it is not installed.
    """
    chromium, program = need("chromium", _INSTALL), need("chromedriver", _INSTALL)
    profile = folder / "profile"
    profile.mkdir(parents=True)
    (port,) = free_ports(1)
    log = folder / "chromedriver.log"
    # The driver is told where all is, so nothing of Selenium looks for it in the network.
    with process([program, f"--port={port}"], log) as started:
        wait_for_http(port, started, log)
        connection = ChromeRemoteConnection(f"http://127.0.0.1:{port}", ignore_proxy=True)
        driver = webdriver.Remote(connection, options=_options(chromium, profile))
        try:
            driver.file_detector = UselessFileDetector()  # it is on the same disk
            driver.set_script_timeout(60)
            driver.set_page_load_timeout(60)
            yield Browser(driver, folder)
        finally:
            driver.quit()
