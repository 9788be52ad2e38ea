"""The command line on Azurite."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from tests.cli._terminal import CommandLine, read_tree, write_tree
from tests.cli.suite import CANARY, CliSuite, at_once, toml
from tests.servers import AzuriteServer

from ._suite import ACCOUNT

WRONG = base64.b64encode(CANARY.encode()).decode()


@pytest.fixture
def settings(server: AzuriteServer, container: Any) -> dict[str, Any]:
    """The profile of the container."""
    return {
        "type": "azure",
        "account": ACCOUNT,
        "key": server.accounts[ACCOUNT],
        "bucket": container.container_name,
        "endpoint": server.endpoint(ACCOUNT),
    }


@pytest.fixture
def cli(server: AzuriteServer, settings: dict[str, Any], tmp_path: Path) -> CommandLine:
    """The command line with a profile `a` on the container, its key in the environment."""
    config = tmp_path / "config.toml"
    config.write_text("[profiles.a]\n" + toml(settings | {"key": "${ACCOUNT_KEY}"}))
    return CommandLine(config, tmp_path / "home", {"ACCOUNT_KEY": server.accounts[ACCOUNT]})


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


class TestCli(CliSuite):
    canaries: ClassVar[tuple[str, ...]] = (CANARY, WRONG)
    keeps_leftovers: ClassVar[bool] = False

    @pytest.fixture
    def profile_toml(self, settings: dict[str, Any]) -> str:
        return toml(settings)

    @pytest.fixture
    def wrong_secret_toml(self, settings: dict[str, Any]) -> str:
        return toml(settings | {"key": WRONG})

    @pytest.fixture
    def closed_port_toml(self, settings: dict[str, Any], closed_port: int) -> str:
        away = {"endpoint": f"http://127.0.0.1:{closed_port}/{ACCOUNT}", "retry_deadline": 1.0}
        return toml(settings | away)


def test_a_url_is_asked_by_the_account_of_the_environment(
    cli: CommandLine, server: AzuriteServer, container: Any, work: Path
) -> None:
    tree = write_tree(work / "tree", 20)
    place, key = server.endpoint(ACCOUNT), server.accounts[ACCOUNT]
    cli.env |= {"AZURE_STORAGE_ACCOUNT": ACCOUNT, "AZURE_STORAGE_KEY": key}
    url = f"az://{container.container_name}/copy"
    cli("put", "-r", "tree", f"{url}?endpoint={place}")
    del cli.env["AZURE_STORAGE_ACCOUNT"], cli.env["AZURE_STORAGE_KEY"]
    cli.env["AZURE_STORAGE_CONNECTION_STRING"] = (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={place};"
    )
    cli("mv", "-r", url, "back")
    assert read_tree(work / "back") == tree
    assert cli("ls", "a:").lines == []


def test_a_link_is_fetched_without_an_account(cli: CommandLine) -> None:
    cli("put", "-", "a:a/key", "--content-type", "text/plain", stdin=b"content")
    down, up = at_once(
        cli,
        ["link", "a:a/key", "-e", "60", "--name", "its name.txt"],
        ["link", "a:a/new", "-e", "1m", "--upload", "--json"],
    )
    answer = httpx.get(down.lines[0])
    assert answer.content == b"content"
    assert "its name.txt" in answer.headers["content-disposition"].replace("%20", " ")
    told = json.loads(up.out)
    assert httpx.put(told["url"], content=b"sent", headers=told["headers"]).status_code == 201
    assert cli("cat", "a:a/new").out == b"sent"


def test_a_wrong_key_of_the_environment_is_not_shown(cli: CommandLine) -> None:
    cli.env["ACCOUNT_KEY"] = WRONG
    done = cli("--debug", "ls", "a:", code=1)
    assert "\nError: " in done.err
    assert CANARY not in done.err
    assert WRONG not in done.err
