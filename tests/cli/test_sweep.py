"""`aiostow sweep` removes what killed writers left, by its age, and shows it before."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from aiostow.cli._units import human_seconds
from aiostow.keys import TEMP_PREFIX
from tests.faults.test_sweep import writer
from tests.servers._process import free_ports

from ._terminal import CommandLine, read_tree
from .suite import one_sentence, toml

HOUR = 3600


def leave(folder: Path, hours: float, size: int = 5000) -> str:
    """Leave what a killed writer leaves, and return its name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{TEMP_PREFIX}{size:x}"
    path.write_bytes(bytes(size))
    then = time.time() - hours * HOUR
    os.utime(path, (then, then))
    return path.name


def test_what_a_killed_writer_left_is_shown_and_then_removed(cli: CommandLine, store: Path) -> None:
    with writer(store, "named") as process:
        process.kill()
    before = read_tree(store)
    (name,) = before
    for _ in range(2):
        shown = cli("sweep", "--dry-run", "--older-than", "0", "disk:")
        kind, age, _, key = shown.lines[0].split()
        assert (kind, key, len(shown.lines)) == ("file", name, 1)
        assert age[-1] in "sm"
        assert read_tree(store) == before
    assert cli("sweep", "--older-than", "0", "disk:").lines == ["1  disk:"]
    assert read_tree(store) == {}


def test_what_a_living_writer_uses_is_neither_shown_nor_removed(
    cli: CommandLine, store: Path
) -> None:
    with writer(store, "named") as process:
        assert cli("sweep", "--dry-run", "--older-than", "0", "disk:").out == b""
        assert cli("sweep", "--older-than", "0", "disk:").lines == ["0  disk:"]
        process.communicate("commit\n")
    assert list(read_tree(store)) == ["folder/key"]


def test_what_is_younger_than_a_day_or_than_was_said_stays(cli: CommandLine, store: Path) -> None:
    young, old = leave(store / "a", 2), leave(store / "b", 50, 6000)
    (store / "key").write_bytes(b"whole")
    (told,) = cli("sweep", "--dry-run", "disk:").lines
    assert told == f"file      2d   5.9K  b/{old}"
    shown = [json.loads(line) for line in cli("sweep", "--dry-run", "--json", "--older-than", "1h",
                                              "disk:").lines]  # fmt: skip
    shown.sort(key=lambda each: each["key"])
    assert [(each["key"], each["size"], each["kind"]) for each in shown] == [
        (f"a/{young}", 5000, "file"), (f"b/{old}", 6000, "file")
    ]  # fmt: skip
    assert 2 * HOUR <= shown[0]["age"] < 2 * HOUR + 60
    assert json.loads(cli("sweep", "--json", "disk:").out) == {"place": "disk:", "removed": 1}
    assert set(read_tree(store)) == {"key", f"a/{young}"}


def test_only_the_places_that_are_named_are_swept(
    cli: CommandLine, store: Path, other: Path, work: Path
) -> None:
    for folder in (store / "a" / "b", store / "ab", other):
        leave(folder, 50)
    assert "Missing argument" in cli("sweep", code=2).err
    assert cli("sweep", "disk:a").lines == ["1  disk:a"]
    assert len(read_tree(store)) == len(read_tree(other)) == 1
    done = cli("sweep", "../store", "other:")
    assert done.lines == ["1  ../store", "1  other:"]
    assert read_tree(store.parent / "store") == read_tree(other) == {}


def test_a_place_that_fails_stops_no_other(cli: CommandLine, config: Path, store: Path) -> None:
    leave(store, 50)
    (closed_port,) = free_ports(1)
    (config.parent / "hosts").touch()
    gone = toml({"type": "sftp", "host": "127.0.0.1", "port": closed_port, "username": "u",
                 "password": "CANARY-password", "known_hosts_fpath": "hosts"})  # fmt: skip
    with config.open("a") as file:
        file.write(f"[profiles.gone]\n{gone}")
    done = cli("sweep", "gone:", "disk:", code=1)
    assert done.lines == ["1  disk:"]
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1
    assert "CANARY" not in done.err
    assert one_sentence(cli("sweep", "gone:", code=1)) == done.err


def test_where_nothing_is_ever_left_that_is_said(cli: CommandLine) -> None:
    done = cli("sweep", "memory://")
    assert done.lines == ["0  memory://"]
    assert "nothing is ever left to remove" in done.err


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (0.9, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"),
     (86399, "23h"), (86400, "1d"), (86400 * 700.5, "700d")],
)  # fmt: skip
def test_ages_are_short(seconds: float, shown: str) -> None:
    assert human_seconds(seconds) == shown
