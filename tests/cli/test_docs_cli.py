"""The commands of the page about the command line run in order, as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import ROOT

from ._served import serving
from ._terminal import CommandLine, read_tree

PAGE = (ROOT / "docs" / "cli.md").read_text()
COMMANDS = [
    line[2:]
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ") and "pip install" not in line
]


@pytest.fixture
def cli(tmp_path: Path, work: Path) -> CommandLine:
    """The command line with the profiles of the page, where it says that they are."""
    match = re.search(r"^```toml\n# ~/.config/(\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert match is not None
    config = tmp_path / "home" / match[1]
    config.parent.mkdir(parents=True)
    config.write_text(match[2])
    files = config.parent / "files"
    (files / "2026").mkdir(parents=True)
    (files / "notes.txt").write_text("b\na\n")
    for name in ("report.pdf", "notes.txt", "photos/a.jpg", "photos/b/c.jpg"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(name)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "aiostow").write_text(f'#!/bin/sh\nexec {sys.executable} -m aiostow "$@"\n')
    (programs / "aiostow").chmod(0o700)
    cli = CommandLine(config, tmp_path / "home", {"LINK_SECRET": "x" * 32})
    del cli.env["AIOSTOW_CONFIG"]
    cli.env["PATH"] = os.pathsep.join([str(programs), os.environ["PATH"]])
    return cli


def test_the_commands_run_in_order(cli: CommandLine, work: Path) -> None:
    outputs = {}
    for command in COMMANDS:
        if command.startswith("aiostow serve"):
            served(command, cli)
            continue
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            env=cli.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stderr)
        outputs[command.partition("#")[0].strip()] = done.stdout
    assert (work / "sorted.txt").read_text() == "a\nb\n"
    assert read_tree(work / "pictures") == {"a.jpg": b"photos/a.jpg", "b/c.jpg": b"photos/b/c.jpg"}
    assert outputs["aiostow get files:photos.tar - | tar -t"].startswith("photos/\n")
    assert outputs["aiostow rm --dry-run -r files:photos"] == "photos/a.jpg\nphotos/b/c.jpg\n"
    assert "album" not in outputs["aiostow list --simple /"]  # moved away
    assert outputs["aiostow link backup:photos/a.jpg -e 15m"].startswith(
        "https://files.example/share/?token="
    )


def served(command: str, cli: CommandLine) -> None:
    """Run a server as the page says, but for its port, and end it."""
    arguments = command.partition("#")[0].split()[2:]
    with serving(cli, *arguments) as it:
        assert it.stop() == ""


def test_each_command_and_status_is_on_the_page(cli: CommandLine) -> None:
    told = cli("--help").out.decode()
    names = re.findall(r"^  ([a-z]+)  ", told.partition("Commands:\n")[2], re.MULTILINE)
    assert len(names) >= 14
    shown = "\n".join(COMMANDS)
    for name in [*names, "list", "copy", "delete"]:
        assert re.search(rf"\baiostow {name}\b", shown), name
    for code in (0, 1, 2, 130, 141, 143):
        assert f"\n| {code} | " in PAGE
