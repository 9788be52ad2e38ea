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
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from tests.cli._terminal import CommandLine, Terminal, read_tree, write_tree
from tests.rest.memory import MIB, linux
from tests.servers import S3Server

ROOM = (64 + 32) * MIB  # the budget of a storage, and what else may grow


@pytest.fixture(params=["ceph", "swift"])
def server(request: pytest.FixtureRequest, start_server: Callable[[str], S3Server]) -> S3Server:
    return start_server(request.param)


@pytest.fixture
def cli(server: S3Server, bucket: str, tmp_path: Path) -> CommandLine:
    """The command line with a profile `s` on the bucket, and another on the disk."""
    config = tmp_path / "config.toml"
    config.write_text(
        f"""
[profiles.s]
type = "s3"
bucket = "{bucket}"
aws_region = "{server.region}"
aws_access_key_id = "{server.access_key}"
aws_secret_access_key = "{server.secret_key}"
endpoint_url = "{server.endpoint_url}"
conditional_writes = {str("if_match" not in server.lacks).lower()}
conditional_complete = {str("conditional_complete" not in server.lacks).lower()}
[profiles.disk]
type = "local"
root = "disk"
durable = false
"""
    )
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


def test_a_tree_goes_round_and_away(
    cli: CommandLine, server: S3Server, bucket: str, work: Path
) -> None:
    tree = write_tree(work / "tree", 40)
    cli("put", "-r", "tree", "s:there")
    lines = [re.split(r"\s\s+", line.strip()) for line in cli("ls", "-lR", "s:there").lines]
    assert {line[2]: int(line[0]) for line in lines} == {
        f"there/{name}": len(data) for name, data in tree.items()
    }
    url = f"s3://{bucket}/copy?endpoint_url={server.endpoint_url}&aws_region={server.region}"
    cli("cp", "-r", "s:there", url)
    cli("get", "-r", url, "back")
    assert read_tree(work / "back") == tree
    cli("mv", "-r", "s:copy", "disk:all")
    assert read_tree(work.parent / "disk" / "all") == tree
    assert cli("ls", "s:").lines == ["there/"]
    cli("rm", "-r", "--yes", "s:there")
    assert cli("ls", "-R", "s:").lines == []


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_a_link_is_fetched_without_an_account(cli: CommandLine) -> None:
    cli("put", "-", "s:a/key", "--content-type", "text/plain", stdin=b"content")
    link = cli("link", "s:a/key", "-e", "60", "--name", "its name.txt").out.decode().strip()
    answer = httpx.get(link)
    assert answer.content == b"content"
    assert "its name.txt" in answer.headers["content-disposition"].replace("%20", " ")
    told = json.loads(cli("link", "s:a/new", "-e", "1m", "--upload", "--json").out)
    sent = httpx.put(told["url"], content=b"sent", headers=told["headers"])
    assert sent.status_code == 200
    done = cli("link", "s:a/new", "--upload", "--content-type", "text/plain")
    assert done.err.lower() == "send with it: content-type: text/plain\n"
    link = done.out.decode().strip()
    assert httpx.put(link, content=b"anew", headers={"content-type": "text/plain"}).is_success
    assert cli("cat", "s:a/new").out == b"anew"
    link = cli("link", "s:a/new", "--delete").out.decode().strip()
    assert httpx.get(link).status_code == 403
    assert httpx.delete(link).is_success
    assert cli("ls", "s:a").lines == ["a/key"]


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_what_the_service_refuses_is_one_sentence(
    cli: CommandLine, server: S3Server, bucket: str
) -> None:
    cli.env |= {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "CANARY"}
    where = f"endpoint_url={server.endpoint_url}&aws_region={server.region}"
    nowhere = "endpoint_url=http://127.0.0.1:9&aws_region=us-east-1&retry_deadline=1"
    for arguments in (
        ["ls", f"s3://{bucket}/?{where}"],
        ["cat", f"s3://{bucket}/a?{where}"],
        ["cat", f"s3://{bucket}/a?{nowhere}"],
        ["ls", "s:nothing"],
    ):
        done = cli(*arguments, code=1)
        assert done.err.startswith("Error: ")
        assert done.err.count("\n") == 1
        assert "CANARY" not in cli("--debug", *arguments, code=1).err


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_what_would_be_told_of_every_file_is_told_once(
    cli: CommandLine, server: S3Server, bucket: str, work: Path
) -> None:
    write_tree(work / "tree", 30)
    where = f"endpoint_url={server.endpoint_url}&aws_region={server.region}"
    cli.env |= {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
    done = cli("put", "-r", "tree", f"s3://{bucket}/t?{where}", code=1)
    assert done.err.count("\n") == 1


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


def sent(screen: Terminal, of: int) -> int:
    """Return how many files of a tree the bar counts."""
    return max(map(int, re.findall(rf"put (\d+)/{of}", screen.text)), default=0)


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_an_interrupted_tree_is_whole_or_absent_and_can_be_sent_again(
    cli: CommandLine, server: S3Server, bucket: str, boto: Any, work: Path
) -> None:
    tree = write_tree(work / "tree", 1000)
    with cli.in_terminal("put", "-r", "tree", "s:t", width=100) as terminal:
        terminal.until(lambda screen: sent(screen, 1000) > 100)
        terminal.type(b"\x03")
        assert terminal.wait(130).endswith("Interrupted.\r\n")
    cli("get", "-r", "s:t", "some")
    some = read_tree(work / "some")
    assert 100 < len(some) < 1000
    assert some.items() <= tree.items()
    cli("put", "-r", "tree", "s:t")
    cli("get", "-r", "s:t", "all")
    assert read_tree(work / "all") == tree
    assert not boto(server).list_multipart_uploads(Bucket=bucket).get("Uploads")


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
