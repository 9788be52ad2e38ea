"""The command `doctor`: places, output and exit status."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli._terminal import CommandLine, read_tree
from tests.test_docs import ROOT

CANARY = "CANARY-of-thirty-two-characters-or-more"
CONFIG = f"""
[profiles.good]
type = "local"
root = "good"
durable = false
linked_endpoint = "https://files.example/links"
secret_key = "{CANARY}"

[profiles.wrong]
type = "local"
rot = "misspelt"

[profiles.ill]
type = "local"
root = "ill"

[profiles.memory]
type = "memory"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    (tmp_path / "good").mkdir()
    (tmp_path / "ill").write_text("a file, where a directory is meant")
    return path


@pytest.fixture
def cli(config: Path, tmp_path: Path) -> CommandLine:
    return CommandLine(config, tmp_path / "home")


def test_a_healthy_place_is_told_line_by_line(cli: CommandLine, tmp_path: Path) -> None:
    done = cli("doctor", "good:")
    assert done.lines[0] == "good: is healthy"
    assert all(re.match(r"  (ok  |WARN|skip)  [a-z -]+: ", line) for line in done.lines[1:])
    assert "  ok    write: an object of 4096 bytes was written" in done.lines
    assert done.err == ""
    assert read_tree(tmp_path / "good") == {}


def test_all_profiles_are_looked_over_whatever_is_wrong_with_one(cli: CommandLine) -> None:
    done = cli("doctor", code=1)
    assert [line for line in done.lines if line.endswith((" is healthy", " is ill"))] == [
        "good: is healthy", "wrong: is ill", "ill: is ill", "memory: is healthy",
    ]  # fmt: skip
    assert any("FAIL  configuration" in line and "rot" in line for line in done.lines)
    assert CANARY not in done.out.decode() + done.err


def test_json_is_an_object_a_line(cli: CommandLine) -> None:
    done = cli("doctor", "--json", "wrong:", "memory:", "good:2026", code=1)
    told = [json.loads(line) for line in done.lines]
    assert [(each["place"], each["healthy"]) for each in told] == [
        ("wrong:", False), ("memory:", True), ("good:2026", True),
    ]  # fmt: skip
    assert told[0]["checks"][0]["name"] == "configuration"
    assert {"name", "status", "found", "advice"} == set(told[1]["checks"][0])


def test_without_write_nothing_is_written(cli: CommandLine, tmp_path: Path) -> None:
    before = os.stat(tmp_path / "good").st_mtime_ns
    done = cli("doctor", "--no-write", "good:")
    assert "  skip  write: it writes, which was not allowed" in done.lines
    assert os.stat(tmp_path / "good").st_mtime_ns == before


def test_a_directory_of_this_machine_is_a_place(cli: CommandLine, tmp_path: Path) -> None:
    done = cli("doctor", f"file://{tmp_path}/good")
    assert done.lines[0].endswith("/good is healthy")
    assert os.listdir(tmp_path / "good") == []
    done = cli("doctor", f"file://{tmp_path}/ill", code=2)
    assert "no directory" in done.err


@pytest.mark.parametrize(
    "arguments", [["nobody:"], ["--origin", "localhost", "good:"], ["-"], ["--bad"]]
)
def test_wrong_usage_is_told_before_anything_is_done(
    cli: CommandLine, arguments: list[str]
) -> None:
    done = cli("doctor", *arguments, code=2)
    assert done.out == b""
    assert "Error" in done.err


def test_without_profiles_it_says_where_to_write_one(tmp_path: Path) -> None:
    config = tmp_path / "none.toml"
    config.touch()
    done = CommandLine(config, tmp_path / "home")("doctor", code=2)
    assert "profile" in done.err


def test_an_interruption_leaves_nothing(cli: CommandLine, tmp_path: Path) -> None:
    good = tmp_path / "good"
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with cli.start("doctor", *["good:"] * 200, **quiet) as process:
        end = time.monotonic() + 30
        while not os.listdir(good):
            assert time.monotonic() < end
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert os.listdir(good) == []


PAGE = (ROOT / "docs" / "doctor.md").read_text()


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    match = re.search(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert match is not None
    config = tmp_path / "page.toml"
    config.write_text(match[1])
    (tmp_path / "files").mkdir()
    cli = CommandLine(config, tmp_path / "home")
    commands = re.findall(r"^\$ aiostow (.*?)(?: +#.*)?$", PAGE, re.MULTILINE)
    assert len(commands) >= 4
    for command in commands:
        cli(*command.split())


def test_each_check_and_status_is_on_the_page(cli: CommandLine) -> None:
    (line,) = cli("doctor", "--json", "good:").lines
    names = {each["name"] for each in json.loads(line)["checks"]}
    names |= {"reachable", "clock", "host key", "expiry", "cors", "checksum", "atomic replace"}
    names |= {"durability", "conditional complete", "clean-up"}
    for name in names:
        assert f"\n| `{name}` | " in PAGE, name
    for status in ("ok", "warning", "failed", "skipped"):
        assert f"`{status}`" in PAGE
