"""Faults of a disk, each of which is named alone; and what a killed examination leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from aiostow import LocalFSStorage, Storage
from aiostow._disk import features
from aiostow.backends.local import LocalDriver
from aiostow.doctor import diagnose
from aiostow.keys import TEMP_PREFIX
from tests.cancellation._cancel import CancelAt

from ._findings import all_green, check, only_failure, with_status

pytestmark = pytest.mark.anyio

SECRET = "CANARY-of-thirty-two-characters-or-more"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def disk(root: Path) -> Iterator[Path]:
    """A small disk in place of the root."""
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(root)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small disk cannot be mounted here")
    yield root
    subprocess.run(["umount", "-l", str(root)], check=True)


def remount_read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro,size=2m", str(disk)], check=True)


def kill_at_write(root: Path, nth: int) -> int:
    """Examine a disk in a process that is killed once a write is done; return how it ended."""
    return subprocess.run([sys.executable, "-c", CHILD, root, str(nth)], timeout=60).returncode


def everything(root: Path) -> dict[str, int]:
    """Return all that is below a directory, hidden or not."""
    return {
        os.path.join(parent, name): os.lstat(os.path.join(parent, name)).st_mtime_ns
        for parent, _, names in os.walk(root)
        for name in names
    }


async def test_a_healthy_disk_is_green_and_as_it_was(root: Path) -> None:
    (root / "mine").write_text("mine")
    before = everything(root)
    endpoint = "https://files.example/x"
    async with LocalFSStorage(root, linked_endpoint=endpoint, secret_key=SECRET) as storage:
        all_green(await diagnose(storage), "conditional writes")
    assert everything(root) == before


async def test_a_root_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    root = tmp_path / "none"
    async with LocalFSStorage(root) as storage:
        diagnosis = await diagnose(storage)
    assert with_status(diagnosis, "warning", "failed") == ["place"]
    assert "mkdir" in check(diagnosis, "place").advice
    assert check(diagnosis, "write").status == "skipped"
    assert not root.exists()


async def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_text("mine")
    async with LocalFSStorage(root) as storage:
        diagnosis = await diagnose(storage)
    assert "no directory" in only_failure(diagnosis, "place").found
    assert root.read_text() == "mine"


async def test_a_full_disk(disk: Path) -> None:
    with (disk / "mine").open("wb") as file, pytest.raises(OSError):
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    async with LocalFSStorage(disk) as storage:
        found = only_failure(await diagnose(storage), "free space")
    assert "sweep" in found.advice
    assert os.listdir(disk) == ["mine"]


async def test_a_disk_that_is_read_only(disk: Path) -> None:
    remount_read_only(disk)
    async with LocalFSStorage(disk) as storage:
        found = only_failure(await diagnose(storage), "write")
    assert "chmod" in found.advice
    assert "mount" in found.advice


async def test_a_file_system_without_a_way_to_create_only(root: Path) -> None:
    system = replace(features(), tmpfile=False, links=False, rename_noreplace=False)
    async with Storage(LocalDriver(root, durable=False, system=system), name="old") as storage:
        found = only_failure(await diagnose(storage), "create-only")
    assert "hard links" in found.advice
    assert os.listdir(root) == []


async def test_what_killed_writers_left_is_told_and_left_alone(root: Path) -> None:
    old = root / f"{TEMP_PREFIX}0123456789abcdef"
    old.write_bytes(b"left")
    os.utime(old, (0, 0))
    async with LocalFSStorage(root) as storage:
        diagnosis = await diagnose(storage)
        assert with_status(diagnosis, "warning", "failed") == ["leftovers"]
        assert "sweep" in check(diagnosis, "leftovers").advice
        assert old.exists()
        assert await storage.sweep() == 1
        assert check(await diagnose(storage), "leftovers").status == "ok"


async def test_a_cancellation_leaves_nothing(root: Path, long: bool) -> None:
    at, ended = 1, False
    while not ended:
        async with LocalFSStorage(root, durable=False) as storage:
            work = CancelAt(diagnose(storage), at)
            try:
                await work
            except BaseException as exc:
                assert type(exc).__name__ == "CancelledError"
            else:
                ended = True
        assert os.listdir(root) == []
        at += 1 if long else 3
    assert at > 10


CHILD = """
import asyncio, os, signal, sys
from aiostow import Storage
from aiostow.backends.local import LocalDriver
from aiostow.doctor import diagnose
from pathlib import Path

left = int(sys.argv[2])

class Dying(LocalDriver):
    async def write(self, *args):
        global left
        left -= 1
        entry = await super().write(*args)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return entry

async def main():
    async with Storage(Dying(Path(sys.argv[1]), durable=False), name="dying") as storage:
        await diagnose(storage)

asyncio.run(main())
"""


@pytest.mark.parametrize("nth", [1, 3, 5])
async def test_who_is_killed_leaves_what_the_next_one_names(root: Path, nth: int) -> None:
    assert kill_at_write(root, nth) == -signal.SIGKILL
    async with LocalFSStorage(root) as storage:
        await storage.sweep(timedelta(0))
        (left,) = [entry.name for entry in await storage.list()]
        diagnosis = await diagnose(storage)
        assert f"aiostow rm {left}" in check(diagnosis, "leftovers").advice
        await storage.delete(left)
        assert os.listdir(root) == []
