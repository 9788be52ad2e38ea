"""`aiostow serve`: a page and links over the disk, which end without leaving halves."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from http.client import IncompleteRead
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aiostow import LocalFSStorage
from aiostow.cli._server import is_loopback, listen, url_of
from aiostow.sync import SyncStorage
from aiostow.testing import pattern

from ._served import Served, serving
from ._terminal import CommandLine, read_tree
from .suite import one_sentence

CANARY = "CANARY-of-thirty-two-characters-or-more"
SIZE = 1 << 20


@pytest.fixture(autouse=True)
def _elsewhere(work: Path) -> None:
    """What is kept is kept in a directory of the test's own."""


@pytest.fixture
def served(cli: CommandLine) -> Iterator[Served]:
    """The page over a folder of the disk."""
    with serving(cli, "--grace", "1") as it:
        yield it


@pytest.fixture
def files(work: Path) -> Iterator[SyncStorage]:
    """The files that are shared."""
    with SyncStorage(LocalFSStorage(work / "share-data" / "storage")) as storage:
        yield storage.at("files")


def stored(files: SyncStorage) -> list[int]:
    """Return the sizes of what is stored; nothing else may lie there."""
    assert files.leftovers(timedelta(0)) == []
    return [entry.size for entry in files.list()]


def query(link: str) -> str:
    return f"/?{urlsplit(link).query}"


# -- what is served --------------------------------------------------------------------------------


def test_the_page_and_its_files_come_and_no_others(served: Served) -> None:
    for path, known in (
        ("/", b"Share files by links that end"), ("/share.css", b"--"), ("/share.js", b"fetch"),
        ("/icon.svg", b"<svg"),
    ):  # fmt: skip
        status, body = served.ask("GET", path)
        assert status == 200
        assert known in body
    assert served.ask("GET", "/__init__.py")[0] == 404
    assert served.stop() == ""


def test_a_name_that_somebody_else_gave_this_machine_reads_nothing(
    served: Served, cli: CommandLine
) -> None:
    for name, status in (
        ("localhost", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("evil.example", 400),
        ("evil.example:8000", 400), ("localhost.evil.example", 400),
    ):  # fmt: skip
        for path in ("/", "/shares"):
            assert served.ask("GET", path, Host=name)[0] == status, (name, path)
    with serving(cli, "--allow-host", "files.example") as other:
        assert other.ask("GET", "/", Host="files.example")[0] == 200
        assert other.ask("GET", "/", Host="evil.example")[0] == 400


def test_a_file_goes_up_and_comes_down_by_its_link(
    served: Served, files: SyncStorage, work: Path
) -> None:
    content = pattern(SIZE, 1)
    link = served.share(content)
    assert served.ask("GET", link) == (200, content)
    assert stored(files) == [SIZE]
    assert stat.S_IMODE((work / "share-data" / "secret").stat().st_mode) == 0o600
    told = served.stop()
    assert told == ""


def test_links_outlive_a_restart_and_used_ones_stay_used(cli: CommandLine, served: Served) -> None:
    content = pattern(SIZE, 2)
    link, once = served.share(content), served.share(content, once=True)
    assert served.ask("GET", once) == (200, content)
    served.stop()
    with serving(cli) as again:
        assert again.ask("GET", link) == (200, content)
        assert again.ask("GET", once)[0] == 410
        again.stop()


def test_what_is_kept_can_be_elsewhere(cli: CommandLine, store: Path, work: Path) -> None:
    (work / "secret.txt").write_text("s" * 40 + "\n")
    options = "--root", "kept", "--secret-file", "secret.txt", "--once-store", "used.db"
    with serving(cli, "other:shared", *options) as served:
        link = served.share(b"data")
        served.stop()
    assert {name.split("/")[0] for name in read_tree(work)} == {
        "secret.txt", "used.db", "used.db-journal"
    }  # fmt: skip
    below = {Path(name).parent.as_posix() for name in read_tree(work.parent / "other")}
    assert below == {"shared/files", "shared/records"}
    # The same secret, told in another way, and the page over the folder as a path.
    cli.env["AIOSTOW_SECRET"] = "s" * 40
    with serving(cli, "other:shared", "--no-page") as served:
        assert served.ask("GET", link) == (200, b"data")
        served.stop()


def test_without_the_page_links_that_others_made_are_served(
    cli: CommandLine, store: Path, work: Path
) -> None:
    (store / "a.txt").write_bytes(b"data")
    link = cli("link", "disk:a.txt", "--download", "--upload").lines[0]
    assert link.startswith("https://files.example/links?token=")
    with serving(cli, "disk:", "--no-page") as served:
        assert served.ask("GET", query(link)) == (200, b"data")
        assert served.ask("PUT", query(link), b"more")[0] == 204
        for path in ("/", "/share.js", "/shares"):
            assert served.ask("GET", path)[0] == 404
        assert served.stop() == ""
    assert (store / "a.txt").read_bytes() == b"more"
    assert not (work / "share-data" / "secret").exists()  # the profile has one


def test_the_page_serves_links_of_the_profiles_own_secret(cli: CommandLine, store: Path) -> None:
    (store / "a.txt").write_bytes(b"data")
    link = cli("link", "disk:a.txt").lines[0]
    with serving(cli, "disk:") as served:
        assert served.ask("GET", f"/links{query(link)}") == (200, b"data")
        assert CANARY not in served.stop()


# -- how it ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_at_once_also_with_open_connections(
    served: Served, how: signal.Signals
) -> None:
    with contextlib.closing(served.connect()) as idle, contextlib.closing(served.connect()) as new:
        idle.request("GET", "/")
        idle.getresponse().read()
        new.connect()
        assert served.stop(how, within=5) == ""


def test_a_slow_upload_is_cut_off_and_nothing_of_it_stays(
    cli: CommandLine, served: Served, files: SyncStorage
) -> None:
    content = pattern(2 * SIZE, 3)
    begun = served.begin(len(content))
    with contextlib.closing(served.slow_upload(begun["url"], len(content), content[:SIZE])) as slow:
        told = served.stop(within=8)
        answer = slow.getresponse()
        assert (answer.status, answer.read()) == (
            503, b"The server is ending; nothing was stored."
        )  # fmt: skip
    assert told == "A request was cut off; nothing is half stored.\n"
    assert stored(files) == []
    with serving(cli) as again:  # its link for one use was given back
        assert again.ask("PUT", begun["url"], content)[0] == 201
        again.stop()
    assert stored(files) == [len(content)]


def test_an_upload_that_ends_in_time_is_stored_while_nobody_new_is_let_in(
    cli: CommandLine, files: SyncStorage
) -> None:
    content = pattern(2 * SIZE, 4)
    with serving(cli, "--grace", "30s") as served:
        begun = served.begin(len(content))
        slow = served.slow_upload(begun["url"], len(content), content[:SIZE])
        with contextlib.closing(slow):
            served.process.send_signal(signal.SIGTERM)
            assert served.refuses_connections()
            slow.send(content[SIZE:])
            assert slow.getresponse().status == 201
            assert served.ended(within=8) == ""
    assert stored(files) == [len(content)]


def test_a_download_that_nobody_reads_is_cut_off(served: Served, files: SyncStorage) -> None:
    content = pattern(64 * SIZE, 5)
    link = served.share(content)
    with contextlib.closing(served.connect()) as slow:
        slow.request("GET", link)
        answer = slow.getresponse()
        assert answer.read(SIZE) == content[:SIZE]
        told = served.stop(within=8)
        with pytest.raises((ConnectionError, IncompleteRead)):
            answer.read()
    assert told == "A request was cut off; nothing is half stored.\n"
    assert stored(files) == [len(content)]


def test_a_second_signal_waits_for_nobody(cli: CommandLine, files: SyncStorage) -> None:
    with serving(cli, "--grace", "10m") as served:
        begun = served.begin(2 * SIZE)
        with contextlib.closing(served.slow_upload(begun["url"], 2 * SIZE, bytes(SIZE))):
            served.process.send_signal(signal.SIGINT)
            assert served.refuses_connections()
            assert "cut off" in served.stop(signal.SIGINT, within=8)
    assert stored(files) == []


# The server by itself, in a process that sends itself the signals at the worst moments.
ALONE = """
    import asyncio, os, signal, sys
    from aiostow.cli import _server

    async def app(scope, receive, send):
        while (message := await receive())["type"] != "http.disconnect":
            if not message.get("more_body"):
                break

    async def start(grace):
        global listening
        listening = _server.listen("127.0.0.1", 0)
        port = listening.getsockname()[1]
        task = asyncio.create_task(_server.serve(app, listening, grace=grace))
        while signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:  # a signal would kill
            await asyncio.sleep(0.01)
        return port, task

    async def upload(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PUT /x HTTP/1.1\\r\\nhost: x\\r\\ncontent-length: 100\\r\\n\\r\\nabc")
        return writer

    def kill():
        os.kill(os.getpid(), signal.SIGTERM)

    async def ended(task):
        await asyncio.wait_for(asyncio.shield(task), 20)
"""


def run_alone(script: str) -> tuple[list[str], str]:
    """Run a script with a server in it; return what it printed, and told of errors."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ALONE) + textwrap.dedent(script)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith("http")], done.stderr


@pytest.mark.parametrize("signals", [1, 2])
def test_a_request_that_is_let_in_after_the_signal_is_cut_off_too(signals: int) -> None:
    # The server looks every tenth of a second whether it is to end, and lets in others until then.
    _, told = run_alone(f"""
        async def main():
            for tenths in range(5):
                port, task = await start(0 if {signals} == 1 else 600)
                await asyncio.sleep(0.5 + 0.02 * tenths)
                kill()
                await asyncio.sleep(0.005)
                if {signals} == 2:
                    kill()
                    await asyncio.sleep(0.005)
                try:
                    writer = await upload(port)
                except (ConnectionRefusedError, ConnectionResetError):
                    continue
                await ended(task)
                writer.close()

        asyncio.run(main())
    """)
    assert set(told.splitlines()) <= {"A request was cut off; nothing is half stored."}


def test_a_connection_that_is_ready_after_the_server_has_closed_its_door_is_cut_off_too() -> None:
    _, told = run_alone("""
        config = _server.uvicorn.Config(app, log_config=None)
        config.load()
        ready = config.http_protocol_class.connection_made

        def ready_late(self, transport):
            transport.pause_reading()
            asyncio.create_task(wait(self, transport))

        async def wait(self, transport):
            while listening.fileno() != -1:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.03)
            ready(self, transport)
            transport.resume_reading()

        async def main():
            config.http_protocol_class.connection_made = ready_late
            port, task = await start(0)
            await asyncio.sleep(0.3)
            writer = await upload(port)
            await asyncio.sleep(0.1)
            kill()
            await ended(task)
            writer.close()

        asyncio.run(main())
    """)
    assert told == "A request was cut off; nothing is half stored.\n"


def test_a_request_that_goes_on_is_cut_off_by_another_signal() -> None:
    printed, _ = run_alone("""
        _server._UNDOING = 0.3

        async def app(scope, receive, send):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("goes on")
                await asyncio.sleep(60)

        async def main():
            port, task = await start(0)
            await asyncio.sleep(0.3)
            writer = await upload(port)
            await asyncio.sleep(0.3)
            kill()
            await asyncio.sleep(1.5)
            print(task.done())
            kill()
            await ended(task)
            writer.close()

        asyncio.run(main())
    """)
    assert printed == ["goes on", "False"]


def test_a_server_ends_also_when_nobody_reads_what_it_tells() -> None:
    run_alone("""
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            more = {"type": "http.response.body", "body": bytes(1 << 20), "more_body": True}
            while True:
                await send(more)

        async def main():
            port, task = await start(0)
            await asyncio.sleep(0.3)
            writer = await upload(port)  # which reads no answer
            await asyncio.sleep(0.3)
            read, write = os.pipe()
            os.close(read)
            told, sys.stderr = sys.stderr, os.fdopen(write, "w", buffering=1)
            kill()
            try:
                await ended(task)
            finally:
                sys.stderr = told
            writer.close()

        asyncio.run(main())
        os._exit(0)
    """)


def test_signals_after_the_end_do_not_kill_what_cleans_up() -> None:
    printed, _ = run_alone("""
        async def main():
            before = signal.getsignal(signal.SIGINT)
            _, task = await start(0)
            await asyncio.sleep(0.3)
            kill()
            await ended(task)
            kill()
            await asyncio.sleep(0.05)
            print("cleaned up", signal.getsignal(signal.SIGINT) == before)
            os.kill(os.getpid(), signal.SIGINT)
            try:
                await asyncio.sleep(5)
            finally:
                print("interrupted")

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("as before")
    """)
    assert printed == ["cleaned up True", "interrupted", "as before"]


# -- what is refused -------------------------------------------------------------------------------


def test_what_cannot_be_served_is_told_in_a_sentence(cli: CommandLine, work: Path) -> None:
    (work / "file").touch()
    (work / "short").write_text("CANARY-short")
    (work / "broken.db").write_bytes(b"no database" * 100)
    for code, told, arguments in (
        (2, "no profile is named 'disc'", ["disc:"]),
        (2, "standard input", ["-"]),
        (1, "File exists", ["--root", "file"]),
        (1, "Not a directory", ["--root", "file/below"]),
        (2, "there is no folder", ["--once-store", "none/used.db"]),
        (1, "used links cannot be remembered", ["--once-store", "broken.db"]),
        (2, "secret", ["--secret-file", "short"]),
        (1, "nowhere.invalid:0: ", ["--host", "nowhere.invalid"]),
    ):  # fmt: skip
        sentence = one_sentence(cli("serve", *arguments, "--port", "0", code=code))
        assert told in sentence
        assert "CANARY" not in sentence


def test_a_port_in_use_is_told_in_a_sentence(cli: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        done = cli("serve", "--port", str(port), code=1)
    assert one_sentence(done) == f"Error: 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(
    cli: CommandLine, work: Path
) -> None:
    (work / "kept").mkdir(mode=0o500)
    assert "Permission denied" in one_sentence(cli("serve", "--root", "kept", code=1))


@pytest.mark.parametrize("missing", ["uvicorn", "starlette"])
def test_a_missing_extra_is_named(cli: CommandLine, work: Path, missing: str) -> None:
    (work / "sitecustomize.py").write_text(f"import sys; sys.modules[{missing!r}] = None\n")
    cli.env["PYTHONPATH"] = os.pathsep.join([str(work), cli.env.get("PYTHONPATH", "")])
    sentence = one_sentence(cli("serve", code=2))
    assert "needs the extra 'serve': pip install 'aiostow[serve]'" in sentence
    assert not (work / "share-data").exists()


def test_whoever_opens_the_page_to_others_is_warned(cli: CommandLine) -> None:
    with serving(cli, "--host", "0.0.0.0") as served:
        told = served.stop()
    assert told == (
        "Warning: this page has no login, and is open to whoever reaches 0.0.0.0.\n"
    )  # fmt: skip
    with serving(cli, "--host", "0.0.0.0", "--no-page") as served:
        assert served.stop() == ""


@pytest.mark.parametrize(
    ("host", "alone"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False)]
)
def test_where_it_listens_is_told(host: str, alone: bool) -> None:
    try:
        listening = listen(host, 0)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with listening:
        assert is_loopback(listening) == alone
        port = listening.getsockname()[1]
        parts = urlsplit(url_of(listening))
        assert (parts.port, parts.path) == (port, "/")
        with socket.create_connection((parts.hostname or "", port), timeout=5):
            pass


def test_several_that_begin_at_once_have_one_secret(cli: CommandLine) -> None:
    with contextlib.ExitStack() as stack:
        started = [cli.start("serve", "--port", "0") for _ in range(3)]
        for process in started:
            stack.callback(process.communicate)
            stack.callback(process.kill)
        first, *others = [Served(process) for process in started]
        link = first.share(b"data")
        for other in others:
            assert other.ask("GET", link) == (200, b"data")
        for each in (first, *others):
            assert each.stop() == ""
