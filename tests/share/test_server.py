"""What no page would send is refused, and leaves nothing."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from ._page import EXAMPLE, PATIENCE, Site

MIB = 1 << 20
HOUR = 3600.0
TOLD = {"name": "a.bin", "size": 1000, "hours": 24, "once": False, "limit": None}


def put(site: Site, told: dict[str, Any], body: bytes) -> int:
    """Upload by the link that the server gave, and return the status."""
    url = urlsplit(urljoin(site.url, told["url"]))
    connection = http.client.HTTPConnection(url.netloc, timeout=PATIENCE)
    # As a browser, which says itself how long the body is.
    headers = told["headers"].items()
    own = {name: value for name, value in headers if name.lower() != "content-length"}
    with closing(connection):
        connection.request("PUT", f"{url.path}?{url.query}", body, own)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def test_what_is_too_large_is_refused(site: Site) -> None:
    status, body = site.ask("POST", "/shares", {**TOLD, "size": 11 * MIB, "limit": 10 * MIB})
    assert status == 413
    assert body["error"]
    assert site.stored.is_empty()


@pytest.mark.parametrize("wrong", [999, 1001, 100_000])
def test_the_link_takes_as_many_bytes_as_were_told(site: Site, wrong: int) -> None:
    status, told = site.ask("POST", "/shares", TOLD)
    assert status == 201
    assert 400 <= put(site, told, bytes(wrong)) < 500
    assert site.stored.files() == {}
    assert site.ask("POST", f"/shares/{told['id']}")[0] == 404  # nor can it be finished
    assert 200 <= put(site, told, bytes(1000)) < 300
    assert site.ask("POST", f"/shares/{told['id']}")[0] == 200
    assert site.stored.halves() == []


@pytest.mark.parametrize("size", [10**14, 10**30])
def test_a_size_that_no_storage_has_is_no_error_of_the_server(site: Site, size: int) -> None:
    status, told = site.ask("POST", "/shares", {**TOLD, "size": size})
    assert status < 500
    if status == 201:
        site.ask("DELETE", f"/shares/{told['id']}")
    assert site.stored.is_empty()


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": -1}, {"size": True}, {"size": "1"}, {"size": 1.5}, {"name": ""}, {"name": 1},
        {"name": "x" * 256}, {"hours": 2}, {"hours": None}, {"hours": []}, {"limit": 11},
        {"limit": {}}, {"once": 1}, {"once": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_share_is_refused(disk: Site, wrong: dict[str, Any]) -> None:
    status, body = disk.ask("POST", "/shares", {**TOLD, **wrong})
    assert status == 400
    assert body["error"]
    assert disk.stored.is_empty()


@pytest.mark.parametrize("body", [None, [], "share", {"name": "a.bin"}], ids=str)
def test_other_json_is_refused(disk: Site, body: Any) -> None:
    status, told = disk.ask("POST", "/shares", body)
    assert status == 400
    assert told["error"]


def test_requests_of_other_pages_are_refused(disk: Site) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        status, _ = disk.ask("POST", "/shares", TOLD, **{"Content-Type": kind})
        assert status == 415
    assert disk.stored.is_empty()


@pytest.mark.parametrize("id", ["..%2F..%2Fsecret", "short", "x" * 17, "%C3%A9" * 16])
def test_what_is_no_id_is_not_found(disk: Site, id: str) -> None:
    for method in ("POST", "DELETE"):
        assert disk.ask(method, f"/shares/{id}")[0] == 404


def test_the_list_can_be_had_while_shares_are_removed(site: Site) -> None:
    ids = [site.stored.plant(f"{n}.txt", b"text", expires=HOUR) for n in range(40)]
    answers: list[object] = []
    removed = threading.Event()

    def look() -> None:
        while not removed.is_set():
            try:
                answers.append(site.ask("GET", "/shares")[0])
            except ValueError as exc:  # an answer that is no JSON
                answers.append(exc)

    lookers = [threading.Thread(target=look) for _ in range(4)]
    for looker in lookers:
        looker.start()
    for id in ids:
        assert site.ask("DELETE", f"/shares/{id}")[0] == 204
    removed.set()
    for looker in lookers:
        looker.join()
    assert set(answers) == {200}
    assert site.stored.is_empty()


# As where only `aiostow[serve]` is installed.
_BARE = """
import asyncio, pathlib, runpy, sys
for package in ("aiobotocore", "aioboto3", "azure", "asyncssh"):
    sys.modules[package] = None
example, folder = sys.argv[1], pathlib.Path(sys.argv[2])
page = runpy.run_path(example)
from aiostow.linkstore import SQLiteLinkStore
app = page["share_app"](page["storage_of"](None, folder), SQLiteLinkStore(folder / "links.db"))

async def main():
    answers = []
    async def receive():
        return {"type": "http.request", "body": b""}
    async def send(message):
        answers.append(message)
    async with app.router.lifespan_context(app):
        scope = {"type": "http", "method": "GET", "path": "/shares", "headers": [],
                 "query_string": b"", "root_path": "", "scheme": "http", "server": ("x", 80)}
        await app(scope, receive, send)
    print(answers[0]["status"], answers[1]["body"].decode())

asyncio.run(main())
"""


def test_on_the_disk_no_extra_of_a_service_is_needed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _BARE, str(EXAMPLE / "__main__.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.startswith('200 {"shares":[],')
