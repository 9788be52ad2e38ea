"""Two storages on the disk, and the command line over them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ._terminal import CommandLine

CONFIG = """
[profiles.disk]
type = "local"
root = "store"
durable = false
linked_endpoint = "https://files.example/links"
secret_key = "CANARY-of-thirty-two-characters-or-more"

[profiles.other]
type = "local"
root = "other"
durable = false
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def cli(config: Path, tmp_path: Path) -> CommandLine:
    return CommandLine(config, tmp_path / "home")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of the default profile, `disk`."""
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The folder of the profile `other`."""
    folder = tmp_path / "other"
    folder.mkdir()
    return folder


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
