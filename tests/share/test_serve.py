"""`aiostow serve` over a bucket: straight to it, or through the server."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aiostow.testing import pattern
from tests.cli._served import Served, serving
from tests.cli._terminal import CommandLine
from tests.cli.suite import toml

from ._stored import Stored

MIB = 1 << 20
CANARY = "CANARY-of-thirty-two-characters-or-more"


@pytest.fixture
def stored(buckets: Callable[[str], Stored]) -> Stored:
    """A new bucket."""
    return buckets("http://127.0.0.1:1")


@pytest.fixture
def cli(stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line with profiles of the bucket: as it is, and served by an endpoint."""
    settings = {"type": "s3", **{k: v for k, v in stored.settings.items() if k != "class"}}
    through = {"linked_endpoint": "https://files.example/links/", "secret_key": CANARY}
    config = tmp_path / "config.toml"
    config.write_text(
        f"[profiles.straight]\n{toml(settings | {'prefix': 'pages'})}"
        f"[profiles.through]\n{toml(settings | through)}"
    )
    monkeypatch.chdir(tmp_path)
    return CommandLine(config, tmp_path / "home", {"AWS_EC2_METADATA_DISABLED": "true"})


def send(url: str, body: bytes, headers: dict[str, str], method: str = "PUT") -> tuple[str, bytes]:
    """Send what a browser sends to the bucket, and return the etag and the body of the answer."""
    request = urllib.request.Request(url, body, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as answer:
        return answer.headers.get("ETag", ""), answer.read()


def send_parts(told: dict[str, Any], content: bytes) -> None:
    """Upload in parts, as the page does."""
    size = told["part_size"]
    etags = [
        send(url, content[n * size : (n + 1) * size], {})[0] for n, url in enumerate(told["parts"])
    ]
    parts = "".join(
        f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>"
        for n, etag in enumerate(etags, 1)
    )
    document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
    send(told["complete"], document.encode(), {"Content-Type": "application/xml"}, "POST")


def finished(served: Served, id: str) -> str:
    """Finish a share, and return its link."""
    status, answer = served.ask("POST", f"/shares/{id}")
    assert status == 200
    return str(json.loads(answer)["link"])


@pytest.mark.parametrize("size", [MIB, 20 * MIB], ids=["whole", "in parts"])
def test_files_go_straight_to_the_folder_of_a_bucket(
    cli: CommandLine, stored: Stored, size: int
) -> None:
    content = pattern(size, 1)
    with serving(cli, "straight:") as served:
        begun = served.begin(size)
        assert ("parts" in begun) == (size > 16 * MIB)
        if "parts" in begun:
            send_parts(begun, content)
        else:
            send(begun["url"], content, begun["headers"])
        link = finished(served, begun["id"])
        assert send(link, b"", {}, "GET")[1] == content
        assert served.ask("GET", "/links/")[0] == 404
        assert served.stop() == ""
    assert {entry.name for entry in stored.storage.list()} == {
        f"pages/{folder}/{begun['id']}" for folder in ("files", "records")
    }
    assert stored.unseen() == []


def test_files_go_through_the_server_where_an_endpoint_is_configured(
    cli: CommandLine, stored: Stored
) -> None:
    content = pattern(20 * MIB, 2)
    with serving(cli, "through:") as served:
        link = served.share(content)
        assert link.startswith("/links/?token=")
        assert served.ask("GET", link) == (200, content)
        assert served.stop() == ""
    with serving(cli, "through:", "--no-page") as served:
        assert served.ask("GET", link) == (200, content)
        assert served.stop() == ""
    assert stored.halves() == []


def test_a_slow_upload_to_a_bucket_is_cut_off_and_nothing_of_it_stays(
    cli: CommandLine, stored: Stored
) -> None:
    size = 40 * MIB
    with serving(cli, "through:", "--grace", "1") as served:
        begun = served.begin(size)
        slow = served.slow_upload(begun["url"], size, pattern(30 * MIB, 3))
        with contextlib.closing(slow):
            assert len(stored.unseen()) == 1  # it is under way, in parts
            assert served.stop(within=10) == "A request was cut off; nothing is half stored.\n"
    assert stored.unseen() == []
    assert stored.files() == {}
    assert stored.storage.leftovers(timedelta(0)) == []
