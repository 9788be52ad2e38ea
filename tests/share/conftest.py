"""A browser for all tests, a tab for each, and the example over each kind of storage."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from aiostow import LocalFSStorage, S3Storage
from aiostow.sync import SyncStorage
from tests.servers import Missing, S3Server, ceph
from tests.servers._npm import package
from tests.servers._process import free_ports
from tests.servers.running import running

from ._browser import AXE, Browser, browser
from ._page import Page, Site
from ._stored import Stored

MB = 1_000_000
KINDS = ("local", "s3")


@pytest.fixture(scope="session")
def session_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser; a test asks for `chrome`."""
    with running({"chromium": browser}, tmp_path_factory.mktemp("browser")) as started:
        yield started("chromium")


@pytest.fixture(scope="session")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Stored]]:
    """Return a new bucket that pages of an origin may talk to."""
    with running({"ceph": ceph}, tmp_path_factory.mktemp("s3")) as started:

        def bucket(origin: str) -> Stored:
            server: S3Server = started("ceph")
            settings: dict[str, Any] = {
                "bucket": f"test-{uuid4().hex[:16]}", "aws_region": server.region,
                "aws_access_key_id": server.access_key,
                "aws_secret_access_key": server.secret_key, "endpoint_url": server.endpoint_url,
            }  # fmt: skip
            client = _sdk(server)
            client.create_bucket(Bucket=settings["bucket"])
            rule = {
                "AllowedOrigins": [origin], "AllowedMethods": ["PUT", "POST", "DELETE", "GET"],
                "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag"],
            }  # fmt: skip
            client.put_bucket_cors(
                Bucket=settings["bucket"], CORSConfiguration={"CORSRules": [rule]}
            )
            storage = SyncStorage(S3Storage(**settings))
            return Stored({"class": "S3Storage", **settings}, storage, s3=client)

        yield bucket


def _sdk(server: S3Server) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name=server.region,
    )


@pytest.fixture(scope="session")
def make_site(
    tmp_path_factory: pytest.TempPathFactory, buckets: Callable[[str], Stored]
) -> Iterator[Callable[..., Site]]:
    """Return the example over a kind of storage, running; a disk may have a root of its own."""
    with contextlib.ExitStack() as stack:

        def make(kind: str, root: Path | None = None) -> Site:
            folder = tmp_path_factory.mktemp("site")
            (port,) = free_ports(1)
            if kind == "s3":
                stored = buckets(f"http://127.0.0.1:{port}")
            else:
                settings = {} if root is None else {"class": "LocalFSStorage", "root": str(root)}
                root = root or folder / "data" / "storage"
                stored = Stored(settings, SyncStorage(LocalFSStorage(root)), root)
            stack.enter_context(stored.storage)
            site = Site(folder, port, stored)
            stack.callback(site.end)
            site.start()
            return site

        yield make


@pytest.fixture(scope="session")
def running_site(make_site: Callable[..., Site]) -> Callable[[str], Site]:
    """Return the example that all tests of a kind share."""
    made: dict[str, Site] = {}

    def site(kind: str) -> Site:
        if kind not in made:
            made[kind] = make_site(kind)
        return made[kind]

    return site


@pytest.fixture
def chrome(session_browser: Browser, tmp_path: Path) -> Iterator[Browser]:
    """The browser with a new tab; after the test, its console has shown no errors.

    A test that provokes errors names them in `Browser.allowed`.
    """
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    session_browser.new_tab(downloads)
    yield session_browser
    assert session_browser.complaints() == []


@pytest.fixture
def visit(chrome: Browser) -> Iterator[Callable[[Site], Page]]:
    """Return the page of a site, opened; after the test, its server has printed nothing wrong."""
    visited: list[tuple[Site, int]] = []

    def go(site: Site) -> Page:
        visited.append((site, len(site.printed())))
        page = Page(chrome, site)
        page.open()
        return page

    yield go
    chrome.driver.get("about:blank")  # so that nothing goes on
    for site, before in visited:
        for word in ("token=", "eyJ", "Warning", *(() if site.fails else ("Traceback",))):
            assert word not in site.printed()[before:], site.printed()[before:][-3000:]


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, running_site: Callable[[str], Site]) -> Site:
    """The example over each kind of storage, with nothing shared."""
    it = running_site(request.param)
    it.stored.clear()
    return it


@pytest.fixture
def page(site: Site, visit: Callable[[Site], Page]) -> Page:
    """The page over each kind of storage, with nothing shared."""
    return visit(site)


@pytest.fixture
def disk(running_site: Callable[[str], Site]) -> Site:
    """The example over a local disk alone, for what no storage changes."""
    it = running_site("local")
    it.stored.clear()
    return it


@pytest.fixture
def disk_page(disk: Site, visit: Callable[[Site], Page]) -> Page:
    """The page over a local disk alone."""
    return visit(disk)


@pytest.fixture(scope="session")
def axe() -> None:
    """Skip where axe cannot be installed; in CI, fail."""
    try:
        package("axe-core", AXE)
    except Missing as exc:
        message = f"the tests with axe are left out: {exc}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)


@pytest.fixture(scope="session")
def make_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """Return a file of a name and size, of bytes that differ everywhere."""
    folder = tmp_path_factory.mktemp("files")

    def make(name: str, size: int) -> Path:
        path = folder / str(size) / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(random.Random(size).randbytes(size))
        return path

    return make


@pytest.fixture(scope="session")
def shoot(
    session_browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], None]:
    """Save a picture of the page under a name, for people to look at."""
    told = os.environ.get("AIOSTOW_SCREENSHOTS")
    folder = Path(told) if told else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: session_browser.shot(folder / f"{name}.png")
