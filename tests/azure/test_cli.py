"""The command line on Azurite."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli._terminal import CommandLine, read_tree, write_tree
from tests.servers import AzuriteServer

from ._suite import ACCOUNT


@pytest.fixture
def cli(server: AzuriteServer, container: Any, tmp_path: Path) -> CommandLine:
    """The command line with a profile `a` on the container, and another on the disk."""
    config = tmp_path / "config.toml"
    config.write_text(
        f"""
[profiles.a]
type = "azure"
account = "{ACCOUNT}"
key = "${{ACCOUNT_KEY}}"
bucket = "{container.container_name}"
endpoint = "{server.endpoint(ACCOUNT)}"
[profiles.disk]
type = "local"
root = "disk"
durable = false
"""
    )
    return CommandLine(config, tmp_path / "home", {"ACCOUNT_KEY": server.accounts[ACCOUNT]})


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_tree_goes_round_and_away(
    cli: CommandLine, server: AzuriteServer, container: Any, work: Path
) -> None:
    tree = write_tree(work / "tree", 40)
    cli("put", "-r", "tree", "a:there")
    lines = [re.split(r"\s\s+", line.strip()) for line in cli("ls", "-lR", "a:there").lines]
    assert {line[2]: int(line[0]) for line in lines} == {
        f"there/{name}": len(data) for name, data in tree.items()
    }
    cli.env |= {
        "AZURE_STORAGE_ACCOUNT": ACCOUNT, "AZURE_STORAGE_KEY": server.accounts[ACCOUNT],
    }  # fmt: skip
    url = f"az://{container.container_name}/copy?endpoint={server.endpoint(ACCOUNT)}"
    cli("cp", "-r", "a:there", url)
    cli("get", "-r", url, "back")
    assert read_tree(work / "back") == tree
    cli("mv", "-r", "a:copy", "disk:all")
    assert read_tree(work.parent / "disk" / "all") == tree
    assert cli("ls", "a:").lines == ["there/"]
    cli("rm", "-r", "--yes", "a:there")
    assert cli("ls", "-R", "a:").lines == []


def test_a_link_is_fetched_without_an_account(cli: CommandLine) -> None:
    cli("put", "-", "a:a/key", "--content-type", "text/plain", stdin=b"content")
    link = cli("link", "a:a/key", "-e", "60", "--name", "its name.txt").out.decode().strip()
    answer = httpx.get(link)
    assert answer.content == b"content"
    assert "its name.txt" in answer.headers["content-disposition"].replace("%20", " ")


def test_what_the_service_refuses_is_one_sentence(
    cli: CommandLine, server: AzuriteServer, work: Path
) -> None:
    cli.env["ACCOUNT_KEY"] = "Q0FOQVJZ"  # CANARY, as keys are written
    write_tree(work / "tree", 30)
    for arguments in (["ls", "a:"], ["cat", "a:x"], ["put", "-r", "tree", "a:t"]):
        done = cli(*arguments, code=1)
        assert done.err.startswith("Error: ")
        assert done.err.count("\n") == 1
        assert not re.search("CANARY|Q0FOQVJZ", cli("--debug", *arguments, code=1).err)


def test_an_interrupted_tree_is_whole_or_absent_and_can_be_sent_again(
    cli: CommandLine, work: Path
) -> None:
    tree = write_tree(work / "tree", 200)
    with cli.in_terminal("put", "-r", "tree", "a:t", width=100) as terminal:
        terminal.until(lambda screen: re.search(r"put [2-9]\d/200", screen.text))
        terminal.type(b"\x03")
        assert terminal.wait(130).endswith("Interrupted.\r\n")
    cli("get", "-r", "a:t", "some")
    some = read_tree(work / "some")
    assert 20 <= len(some) < 200
    assert some.items() <= tree.items()
    cli("put", "-r", "tree", "a:t")
    cli("get", "-r", "a:t", "all")
    assert read_tree(work / "all") == tree
