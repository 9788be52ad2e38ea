"""Memory is bounded: of transfers by the budget, of listings by the largest directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.rest.memory import MIB, growth, linux
from tests.servers import SFTPServer


def grown(what: str, size: int, server: SFTPServer, folder: Path, **own: Any) -> int:
    return growth(
        what, size, "SFTPStorage", host="127.0.0.1", username=server.username,
        key_filename=str(server.key), known_hosts_fpath=str(server.known_hosts),
        port=server.port, root=folder.name, **own,
    )  # fmt: skip


@linux
@pytest.mark.parametrize("budget", [16, 64])
def test_large_files_grow_the_process_by_no_more_than_the_budget(
    server: SFTPServer, folder: Path, budget: int, long: bool
) -> None:
    size = (2048 if long else 256) * MIB
    peaks = {
        what: grown(what, size, server, folder, memory_budget=budget * MIB)
        for what in ("write", "put", "upload", "read")
    }
    assert max(peaks.values()) <= (budget + 32) * MIB, peaks


@linux
def test_a_tree_is_listed_in_the_memory_of_some_directories(
    server: SFTPServer, folder: Path, long: bool
) -> None:
    directories = 1000 if long else 100
    for number in range(directories):
        directory = folder / "tree" / f"{number % 10}" / f"{number:04}"
        directory.mkdir(parents=True)
        for file in range(100):
            (directory / f"{file:03}.txt").touch()
    assert grown("list", 100 * directories, server, folder) < 6 * MIB
