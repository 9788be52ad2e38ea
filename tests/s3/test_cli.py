"""The command line on real servers that speak S3, and on a slow one that has very much."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from aiostow.sync import SyncStorage
from tests.cli._terminal import CommandLine, read_tree, write_tree
from tests.cli.suite import CANARY, CliSuite, at_once, one_sentence, toml
from tests.rest.memory import MIB, linux
from tests.servers import S3Server

ROOM = (64 + 32) * MIB  # the budget of a storage, and what else may grow


@pytest.fixture(params=["ceph", "swift"])
def server(request: pytest.FixtureRequest, start_server: Callable[[str], S3Server]) -> S3Server:
    return start_server(request.param)


@pytest.fixture
def settings(server: S3Server, bucket: str) -> dict[str, Any]:
    """The profile of the bucket."""
    return {
        "type": "s3",
        "bucket": bucket,
        "aws_region": server.region,
        "aws_access_key_id": server.access_key,
        "aws_secret_access_key": server.secret_key,
        "endpoint_url": server.endpoint_url,
        "conditional_writes": "if_match" not in server.lacks,
        "conditional_complete": "conditional_complete" not in server.lacks,
    }


@pytest.fixture
def cli(server: S3Server, settings: dict[str, Any], tmp_path: Path) -> CommandLine:
    """The command line with a profile `s` on the bucket, and another on the disk."""
    config = tmp_path / "config.toml"
    disk = {"type": "local", "root": "disk", "durable": False}
    config.write_text(f"[profiles.s]\n{toml(settings)}[profiles.disk]\n{toml(disk)}")
    asks = {
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return CommandLine(config, tmp_path / "home", asks)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
class TestCli(CliSuite):
    files: ClassVar[int] = 1000

    @pytest.fixture(autouse=True)
    def _look(self, server: S3Server, bucket: str, boto: Any) -> None:
        self.client, self.bucket = boto(server), bucket

    @pytest.fixture
    def profile_toml(self, settings: dict[str, Any]) -> str:
        return toml(settings)

    @pytest.fixture
    def wrong_secret_toml(self, settings: dict[str, Any]) -> str:
        return toml(settings | {"aws_secret_access_key": CANARY})

    @pytest.fixture
    def closed_port_toml(self, settings: dict[str, Any], closed_port: int) -> str:
        away = {"endpoint_url": f"http://127.0.0.1:{closed_port}", "retry_deadline": 1.0}
        return toml(settings | away)

    def nothing_is_left(self, remote: SyncStorage) -> None:
        assert not self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads")
        super().nothing_is_left(remote)


@pytest.mark.parametrize("server", ["swift"], indirect=True)
def test_a_url_needs_no_profile(
    cli: CommandLine, server: S3Server, bucket: str, work: Path
) -> None:
    tree = write_tree(work / "tree", 9)
    url = f"s3://{bucket}/copy?endpoint_url={server.endpoint_url}&aws_region={server.region}"
    cli("put", "-r", "tree", "s:there")
    cli("cp", "-r", "s:there", url)
    cli("mv", "-r", url, "back")
    assert read_tree(work / "back") == tree
    assert cli("ls", "s:").lines == ["there/"]


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_a_link_is_fetched_without_an_account(cli: CommandLine) -> None:
    cli("put", "-", "s:a/key", "--content-type", "text/plain", stdin=b"content")
    down, up, typed, away = at_once(
        cli,
        ["link", "s:a/key", "-e", "60", "--name", "its name.txt"],
        ["link", "s:a/new", "-e", "1m", "--upload", "--json"],
        ["link", "s:a/new", "--upload", "--content-type", "text/plain"],
        ["link", "s:a/new", "--delete"],
    )
    answer = httpx.get(down.lines[0])
    assert answer.content == b"content"
    assert "its name.txt" in answer.headers["content-disposition"].replace("%20", " ")
    told = json.loads(up.out)
    sent = httpx.put(told["url"], content=b"sent", headers=told["headers"])
    assert sent.status_code == 200
    assert typed.err.lower() == "send with it: content-type: text/plain\n"
    headers = {"content-type": "text/plain"}
    assert httpx.put(typed.lines[0], content=b"anew", headers=headers).is_success
    assert cli("cat", "s:a/new").out == b"anew"
    assert httpx.get(away.lines[0]).status_code == 403
    assert httpx.delete(away.lines[0]).is_success
    assert cli("ls", "s:a").lines == ["a/key"]


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_a_wrong_secret_of_the_environment_is_told_once_and_not_shown(
    cli: CommandLine, server: S3Server, bucket: str, work: Path
) -> None:
    write_tree(work / "tree", 30)
    cli.env |= {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": CANARY}
    url = f"s3://{bucket}/t?endpoint_url={server.endpoint_url}&aws_region={server.region}"
    one_sentence(cli("put", "-r", "tree", url, code=1))
    assert CANARY not in cli("--debug", "cat", url, code=1).err


# -- in a terminal ---------------------------------------------------------------------------------


class Peak(threading.Thread):
    """The most memory that a process has had, as long as it is there."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self.bytes = self.now()
        self.start()

    def now(self) -> int:
        match = re.search(r"VmHWM:\s+(\d+) kB", self._status.read_text())
        return int(match[1]) * 1024 if match else 0

    def run(self) -> None:
        try:
            while now := self.now():
                self.bytes = now
                time.sleep(0.01)
        except (FileNotFoundError, ProcessLookupError):
            pass


@linux
@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_a_large_file_moves_a_bar_and_little_memory(
    cli: CommandLine, bucket: str, work: Path, boto: Any, server: S3Server, long: bool
) -> None:
    size = (1024 if long else 256) * MIB
    total = "1.1" if long else "268.4"
    with open("big", "wb") as file:
        piece = os.urandom(MIB)
        for _ in range(size // MIB):
            file.write(piece)
    with cli.in_terminal("put", "big", "s:big", width=100) as terminal:
        terminal.until(lambda screen: f"/{total} " in screen.text)
        peak = Peak(terminal.process.pid)
        start = peak.bytes
        text = terminal.wait()
        peak.join()
    done = re.findall(rf"([\d.]+)/{total} [MG]B", text)
    seen = list(dict.fromkeys(done))
    assert seen[-1] == total
    assert seen == sorted(seen, key=float)
    assert len(seen) > 3, text
    assert re.search(r"\d MB/s +0:00:\d\d", text)  # the rate, and the time that is left
    assert boto(server).head_object(Bucket=bucket, Key="big")["ContentLength"] == size
    assert peak.bytes - start <= ROOM, (peak.bytes, start)


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_an_interrupted_upload_leaves_no_parts(
    cli: CommandLine, server: S3Server, bucket: str, boto: Any, work: Path
) -> None:
    with open("big", "wb") as file:
        file.truncate(2048 * MIB)
    with cli.in_terminal("put", "big", "s:big", width=100) as terminal:
        terminal.until(lambda screen: re.search(r"\d MB/s", screen.text))
        while not boto(server).list_multipart_uploads(Bucket=bucket).get("Uploads"):
            time.sleep(0.02)
            assert terminal.process.poll() is None
        terminal.type(b"\x03")
        terminal.wait(130)
    assert not boto(server).list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert cli("ls", "s:").lines == []


# -- very many -------------------------------------------------------------------------------------


class Many:
    """Answers lists of 100,000 objects, after the first page not before it is `released`."""

    objects = 100_000
    page = 1_000

    def __init__(self) -> None:
        self.released = threading.Event()
        self.answered: list[float] = []

    def answer(self, query: dict[str, list[str]]) -> bytes:
        assert query["list-type"] == ["2"]
        first = int(query.get("continuation-token", ["0"])[0])
        if first and not self.released.wait(60):
            raise TimeoutError
        self.answered.append(time.monotonic())
        last = min(first + self.page, self.objects)
        contents = "".join(
            f"<Contents><Key>{quote(f'folder 1/{number:06}')}</Key>"
            "<LastModified>2026-01-02T03:04:05.000Z</LastModified>"
            f'<ETag>"{number:032x}"</ETag><Size>{number}</Size></Contents>'
            for number in range(first, last)
        )
        more = last < self.objects
        return (
            f"<ListBucketResult><EncodingType>url</EncodingType>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>"
            + (f"<NextContinuationToken>{last}</NextContinuationToken>" if more else "")
            + f"{contents}</ListBucketResult>"
        ).encode()


@contextmanager
def serving(many: Many) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = many.answer(parse_qs(urlsplit(self.path).query))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            many.released.set()
            server.shutdown()
            thread.join()


@linux
@pytest.mark.parametrize("how", [["-R"], ["-l", "--json", "-R"]])
def test_very_many_objects_are_shown_as_they_come(tmp_path: Path, how: list[str]) -> None:
    """The first page is printed while the second is waited for, and no page is kept."""
    many = Many()
    asks = {
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    cli = CommandLine(tmp_path / "none", tmp_path / "home", asks)
    del cli.env["AIOSTOW_CONFIG"]
    with serving(many) as port:
        url = f"s3://bucket?endpoint_url=http://127.0.0.1:{port}&aws_region=us-east-1"
        process = cli.start("ls", *how, url)
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            late = time.monotonic() - many.answered[0]
            assert b"folder 1/000000" in first
            assert len(many.answered) == 1
            assert late < 1
            start = Peak(process.pid)
            before = start.bytes
            many.released.set()
            lines = [first, *process.stdout]
            assert process.wait(60) == 0
            start.join()
        finally:
            process.kill()
            process.communicate()
    assert len(lines) == len(set(lines)) == many.objects
    assert start.bytes - before <= 16 * MIB
