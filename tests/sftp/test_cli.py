"""The command line on sshd."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cli._terminal import CommandLine, read_tree, write_tree
from tests.servers import SFTPServer

from ._suite import temporary


@pytest.fixture
def cli(server: SFTPServer, folder: Path, tmp_path: Path) -> CommandLine:
    """The command line with a profile `s` on the folder, and another on the disk."""
    config = tmp_path / "config.toml"
    config.write_text(
        f"""
[profiles.s]
type = "sftp"
host = "127.0.0.1"
port = {server.port}
username = "{server.username}"
key_filename = "{server.key}"
known_hosts_fpath = "{server.known_hosts}"
root = "{folder.name}"
[profiles.disk]
type = "local"
root = "disk"
durable = false
"""
    )
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


def test_a_tree_goes_round_and_away(cli: CommandLine, folder: Path, work: Path, url: str) -> None:
    tree = write_tree(work / "tree", 40)
    cli("put", "-r", "tree", "s:there")
    assert read_tree(folder / "there") == tree
    lines = [re.split(r"\s\s+", line.strip()) for line in cli("ls", "-lR", "s:there").lines]
    assert {line[2]: int(line[0]) for line in lines} == {
        f"there/{name}": len(data) for name, data in tree.items()
    }
    cli("cp", "-r", "s:there", f"{url}/copy")
    cli("get", "-r", f"{url}/copy", "back")
    assert read_tree(work / "back") == tree
    cli("mv", "-r", "s:copy", "disk:all")
    assert read_tree(work.parent / "disk" / "all") == tree
    assert read_tree(folder / "copy") == {}
    cli("rm", "-r", "--yes", "s:there")
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
            done = cli(*arguments, code=1)
            assert done.err.startswith("Error: ")
            assert done.err.count("\n") == 1
        unknown.write_text("")


def test_an_interrupted_tree_is_whole_or_absent_and_can_be_sent_again(
    cli: CommandLine, folder: Path, work: Path
) -> None:
    tree = write_tree(work / "tree", 300)
    with cli.in_terminal("put", "-r", "tree", "s:t", width=100) as terminal:
        terminal.until(lambda screen: re.search(r"put [2-9]\d/300", screen.text))
        terminal.type(b"\x03")
        assert terminal.wait(130).endswith("Interrupted.\r\n")
    assert temporary(folder) == []
    some = read_tree(folder / "t")
    assert 20 <= len(some) < 300
    assert some.items() <= tree.items()
    cli("put", "-r", "tree", "s:t")
    assert read_tree(folder / "t") == tree
