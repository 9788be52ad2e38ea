"""What the command line does on any service, whose profile a subclass gives."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aiostow import Profiles
from aiostow.profiles import SyncProfiles
from aiostow.sync import SyncStorage

from ._terminal import CommandLine, Done, Terminal, read_tree, write_tree

CANARY = "CANARY-that-nobody-may-see"


def toml(settings: Mapping[str, Any]) -> str:
    """Return the body of a profile."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())


def write_odd_tree(folder: Path, files: int = 30) -> dict[str, bytes]:
    """Make a tree with names that have to be quoted, and return what its files hold."""
    made = {}
    for number in range(files):
        name = f"Ordner für {number % 4}/übrig & 100% + #{number}?.bin"
        made[name] = os.urandom(number * 997)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made[name])
    return made


def one_sentence(done: Done) -> str:
    """Return the only thing that was told, which is an error."""
    assert done.err.startswith("Error: "), done
    assert done.err.count("\n") == 1, done
    assert done.out == b"", done
    return done.err


def at_once(cli: CommandLine, *commands: Sequence[str], code: int = 0) -> list[Done]:
    """Run commands side by side, for most of their time is their start."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda command: cli(*command, code=code), commands))


def files_sent(screen: Terminal, of: int) -> int:
    """Return how many files of a tree the bar counts."""
    return max(map(int, re.findall(rf"put (\d+)/{of}", screen.text)), default=0)


class CliSuite:
    """The command line on a service; a subclass gives the bodies of its profiles by fixtures."""

    canaries: ClassVar[tuple[str, ...]] = (CANARY,)
    """What no output may have, if the secret is wrong."""
    files: ClassVar[int] = 300
    """Of the tree that is interrupted."""
    keeps_leftovers: ClassVar[bool] = True
    """What killed writers leave is there until a sweep."""

    @pytest.fixture
    def profile_toml(self) -> str:
        """The body of ``[profiles.remote]``: a new place that nobody else uses."""
        raise NotImplementedError

    @pytest.fixture
    def wrong_secret_toml(self) -> str:
        """The same, with a secret that is `canaries` and opens nothing."""
        raise NotImplementedError

    @pytest.fixture
    def closed_port_toml(self, closed_port: int) -> str:
        """The same, at a port that nobody listens on."""
        raise NotImplementedError

    @pytest.fixture
    def closed_port(self) -> Iterator[int]:
        """A port of this machine that nobody listens on, nor can."""
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            yield held.getsockname()[1]

    @pytest.fixture
    def config(self, tmp_path: Path, profile_toml: str) -> Path:
        path = tmp_path / "config.toml"
        self.write(path, profile_toml)
        return path

    @pytest.fixture
    def cli(self, config: Path, tmp_path: Path) -> CommandLine:
        """The command line with the profile `remote`, and `disk` beside the configuration."""
        # An SDK that looks for an account asks no cloud that is not there.
        return CommandLine(config, tmp_path / "home", {"AWS_EC2_METADATA_DISABLED": "true"})

    @pytest.fixture
    def remote(self, config: Path) -> Iterator[SyncStorage]:
        """The place itself, to prepare and to look."""
        with SyncProfiles(Profiles.load(config)) as profiles:
            yield profiles["remote"]

    @pytest.fixture
    def work(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The current directory."""
        folder = tmp_path / "work"
        folder.mkdir()
        monkeypatch.chdir(folder)
        return folder

    @staticmethod
    def write(config: Path, remote: str) -> None:
        """Write a configuration."""
        disk = toml({"type": "local", "root": "disk", "durable": False})
        config.write_text(f"[profiles.remote]\n{remote}\n[profiles.disk]\n{disk}")

    def test_a_tree_goes_round_whatever_its_names_are(
        self, cli: CommandLine, remote: SyncStorage, work: Path
    ) -> None:
        tree = write_odd_tree(work / "tree")
        cli("put", "-r", "tree", "remote:there")
        commands = ["ls", "-lR", "remote:"], ["get", "-r", "remote:there", "back"]
        listed, _ = at_once(cli, *commands)
        lines = [re.split(r"\s\s+", line.strip()) for line in listed.lines]
        assert {line[2]: int(line[0]) for line in lines} == {
            f"there/{name}": len(data) for name, data in tree.items()
        }
        assert read_tree(work / "back") == tree

    def test_a_tree_goes_to_another_storage_and_comes_back(
        self, cli: CommandLine, remote: SyncStorage, work: Path
    ) -> None:
        disk = work.parent / "disk"
        tree = write_odd_tree(disk / "tree", 12)
        cli("cp", "-r", "disk:tree", "remote:one")
        cli("mv", "-r", "remote:one", "remote:two")
        cli("mv", "-r", "remote:two", "disk:back")
        assert read_tree(disk / "tree") == read_tree(disk / "back") == tree
        assert list(remote.list()) == []

    def test_one_object_is_written_looked_at_and_read(
        self, cli: CommandLine, work: Path, remote: SyncStorage
    ) -> None:
        data = os.urandom(100_000)
        cli("put", "-", "remote:ä/a key", stdin=data)
        remote.write_bytes("ä/other", b"other")
        lines, told, both, piped = at_once(
            cli,
            ["ls", "--json", "remote:ä"],
            ["stat", "--json", "remote:ä/a key"],
            ["cat", "remote:ä/a key", "remote:ä/other"],
            ["get", "remote:ä/a key", "-"],
        )
        listed = [json.loads(line) for line in lines.lines]
        assert [(each["name"], each["size"]) for each in listed] == [
            ("ä/a key", len(data)), ("ä/other", 5),
        ]  # fmt: skip
        known = json.loads(told.out)
        assert (known["name"], known["size"]) == ("ä/a key", len(data))
        assert known["last_modified"][:10] == listed[0]["last_modified"][:10]
        assert both.out == data + b"other"
        assert piped.out == data
        assert read_tree(work) == {}

    def test_only_what_is_confirmed_is_removed(self, cli: CommandLine, remote: SyncStorage) -> None:
        keys = ["a/c/d", "a/ä b", "ab"]
        for key in keys:
            remote.write_bytes(key, b"data")
        done = cli("rm", "-r", "--dry-run", "remote:a")
        assert sorted(done.lines) == keys[:2]
        assert sorted(each.name for each in remote.list()) == keys
        cli("rm", "-r", "--yes", "remote:a")
        assert [each.name for each in remote.list()] == ["ab"]

    def test_what_is_not_there_is_told_in_a_sentence(self, cli: CommandLine, work: Path) -> None:
        commands = ["ls", "remote:no/key"], ["get", "remote:no/key", "file"]
        for done in at_once(cli, *commands, code=1):
            assert "no/key" in one_sentence(done)
        assert read_tree(work) == {}

    def test_a_wrong_secret_is_told_in_a_sentence_that_has_it_not(
        self, cli: CommandLine, config: Path, wrong_secret_toml: str, work: Path
    ) -> None:
        self.write(config, wrong_secret_toml)
        assert any(each in wrong_secret_toml for each in self.canaries)
        write_tree(work / "tree", 20)
        commands = ["put", "-r", "tree", "remote:t"], ["--debug", "ls", "remote:"]
        done, traced = at_once(cli, *commands, code=1)
        told = one_sentence(done)
        assert "Traceback" in traced.err
        assert traced.err.splitlines()[-1].startswith("Error: ")
        for canary in self.canaries:
            assert canary not in told + traced.err + traced.out.decode()

    def test_a_server_that_is_not_there_is_told_once(
        self, cli: CommandLine, config: Path, closed_port_toml: str, work: Path
    ) -> None:
        self.write(config, closed_port_toml)
        write_tree(work / "tree", 20)
        commands = ["stat", "remote:key"], ["put", "-r", "tree", "remote:t"]
        for done in at_once(cli, *commands, code=1):
            one_sentence(done)

    def test_an_interrupted_tree_is_whole_or_absent_and_can_be_sent_again(
        self, cli: CommandLine, remote: SyncStorage, work: Path
    ) -> None:
        tree = write_tree(work / "tree", self.files)
        with cli.in_terminal("put", "-r", "tree", "remote:t", width=100) as terminal:
            terminal.until(lambda screen: files_sent(screen, self.files) >= 20)
            terminal.type(b"\x03")
            assert terminal.wait(130).endswith("Interrupted.\r\n")
        self.nothing_is_left(remote)
        sizes = {each.name.removeprefix("t/"): each.size for each in remote.list()}
        assert 20 <= len(sizes) < self.files
        assert sizes.items() <= {name: len(data) for name, data in tree.items()}.items()
        some = list(sizes)[:: max(1, len(sizes) // 20)]
        assert all(remote.read_bytes(f"t/{name}") == tree[name] for name in some)
        cli("put", "-r", "tree", "remote:t")
        cli("get", "-r", "remote:t", "back")
        assert read_tree(work / "back") == tree

    def test_an_interrupted_sync_goes_on(
        self, cli: CommandLine, remote: SyncStorage, work: Path
    ) -> None:
        tree = write_tree(work / "tree", self.files)
        with cli.in_terminal("sync", "./tree", "remote:t", width=100) as terminal:
            terminal.until(lambda screen: screen.text.count("copied: ") >= 20)
            terminal.type(b"\x03")
            assert terminal.wait(130).endswith("Interrupted.\r\n")
        before = {each.name: each.etag for each in remote.list()}
        assert 20 <= len(before) < self.files
        (work / "tree" / "extra").write_bytes(b"extra")
        told = [json.loads(line) for line in cli("sync", "./tree", "remote:t", "--json").lines]
        sent = {each["name"] for each in told[:-1]}
        assert sent == {*tree, "extra"} - {name.removeprefix("t/") for name in before}
        assert told[-1]["report"]["unchanged"] == len(before)
        after = {each.name: each.etag for each in remote.list()}
        assert after.items() >= before.items()
        (work / "tree" / "extra").unlink()
        assert cli("sync", "-q", "--delete", "./tree", "remote:t").out == b""
        assert cli("verify", "./tree", "remote:t").lines == [f"{self.files} unchanged"]

    def test_what_a_killed_command_left_is_shown_and_swept_by_its_age(
        self, cli: CommandLine, remote: SyncStorage
    ) -> None:
        remote.write_bytes("a/whole", b"data")
        process = cli.start("put", "-", "remote:a/big")
        try:
            assert process.stdin is not None
            process.stdin.write(os.urandom(24 << 20))
            process.stdin.flush()
            end = time.monotonic() + 60
            while self.keeps_leftovers and not remote.leftovers(timedelta(0)):
                assert time.monotonic() < end
                time.sleep(0.1)
        finally:
            process.kill()
            process.communicate()
        shown, dry, kept, other = at_once(
            cli,
            ["sweep", "--dry-run", "--json", "--older-than", "0", "remote:a"],
            ["sweep", "--dry-run", "--older-than", "0", "remote:"],
            ["sweep", "remote:"],
            ["sweep", "--older-than", "0", "remote:b"],
        )
        assert kept.lines == ["0  remote:"]
        assert other.lines == ["0  remote:b"]
        found = [json.loads(line) for line in shown.lines]
        assert len(found) == len(dry.lines) == self.keeps_leftovers
        assert all(0 <= each["age"] < 300 for each in found)
        done = cli("sweep", "--older-than", "0", "remote:")
        assert done.lines == [f"{len(found)}  remote:"]
        assert ("Azure" in done.err) is not self.keeps_leftovers
        assert remote.leftovers(timedelta(0)) == []
        assert [each.name for each in remote.list()] == ["a/whole"]

    def nothing_is_left(self, remote: SyncStorage) -> None:
        """Check that nothing invisible is left of writers."""
        assert remote.sweep(timedelta(0)) == 0
