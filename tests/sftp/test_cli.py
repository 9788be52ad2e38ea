"""The command line on sshd."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from aiostow.sync import SyncStorage
from tests.cli._terminal import CommandLine, read_tree, write_tree
from tests.cli.suite import CANARY, CliSuite, one_sentence, toml
from tests.servers import SFTPServer

from ._suite import temporary


@pytest.fixture
def settings(server: SFTPServer, folder: Path) -> dict[str, Any]:
    """The profile of the folder."""
    return {
        "type": "sftp",
        "host": "127.0.0.1",
        "port": server.port,
        "username": server.username,
        "key_filename": str(server.key),
        "known_hosts_fpath": str(server.known_hosts),
        "root": folder.name,
    }


@pytest.fixture
def cli(settings: dict[str, Any], tmp_path: Path) -> CommandLine:
    """The command line with a profile `s` on the folder."""
    config = tmp_path / "config.toml"
    config.write_text(f"[profiles.s]\n{toml(settings)}")
    return CommandLine(config, tmp_path / "home")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def url(server: SFTPServer, folder: Path, cli: CommandLine) -> str:
    """The URL of the folder, for whose server the user has the usual files."""
    ssh = Path(cli.env["HOME"]) / ".ssh"
    ssh.mkdir(parents=True, mode=0o700)
    shutil.copy(server.known_hosts, ssh / "known_hosts")
    shutil.copy(server.key, ssh / "id_ed25519")
    return f"sftp://{server.username}@127.0.0.1:{server.port}{folder}"


class TestCli(CliSuite):
    @pytest.fixture(autouse=True)
    def _look(self, folder: Path) -> None:
        self.folder = folder

    @pytest.fixture
    def profile_toml(self, settings: dict[str, Any]) -> str:
        return toml(settings)

    @pytest.fixture
    def wrong_secret_toml(self, settings: dict[str, Any]) -> str:
        del settings["key_filename"]
        return toml(settings | {"password": CANARY})

    @pytest.fixture
    def closed_port_toml(self, settings: dict[str, Any], closed_port: int) -> str:
        return toml(settings | {"port": closed_port})

    def nothing_is_left(self, remote: SyncStorage) -> None:
        assert temporary(self.folder) == []
        super().nothing_is_left(remote)


def test_a_url_is_asked_with_the_usual_files(
    cli: CommandLine, folder: Path, work: Path, url: str
) -> None:
    tree = write_tree(work / "tree", 20)
    cli("put", "-r", "tree", f"{url}/copy")
    assert read_tree(folder / "copy") == tree
    cli("mv", "-r", f"{url}/copy", "back")
    assert read_tree(work / "back") == tree
    assert read_tree(folder) == {}


def test_nothing_is_lost_by_a_move_onto_itself(
    cli: CommandLine, folder: Path, work: Path, url: str
) -> None:
    """No name tells that the folder of a login and an absolute path are one place."""
    cli("put", "-", "s:a/key", stdin=b"content")
    for source, destination in (("s:a/key", f"{url}/a/key"), (f"{url}/a/key", "s:a/key")):
        done = cli("mv", source, destination, code=2)
        assert done.err.startswith("Error: source and destination are alike")
        cli("mv", "-r", source.removesuffix("/key"), destination.removesuffix("/key"), code=1)
        assert read_tree(folder) == {"a/key": b"content"}
    done = cli("mv", str(folder / "a" / "key"), "s:a/key", code=2)
    assert done.err == "Error: this changed while it was copied, and is kept\n"
    assert read_tree(folder) == {"a/key": b"content"}
    cli("put", "-", "s:a/old", stdin=b"other content")
    cli("mv", "s:a/key", f"{url}/a/old")  # which is another one
    assert read_tree(folder) == {"a/old": b"content"}


def test_who_is_not_let_in_is_told_in_one_sentence(
    cli: CommandLine, server: SFTPServer, work: Path, url: str
) -> None:
    write_tree(work / "tree", 30)
    (Path(cli.env["HOME"]) / ".ssh" / "id_ed25519").unlink()
    unknown = Path(cli.env["HOME"]) / ".ssh" / "known_hosts"
    for _ in range(2):
        for arguments in (["ls", url], ["put", "-r", "tree", f"{url}/t"]):
            one_sentence(cli(*arguments, code=1))
        unknown.write_text("")
