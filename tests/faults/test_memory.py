"""Memory is bounded by the budget, for streams, listings and many files at once."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiostow import LocalFSStorage, MemoryStorage
from aiostow.testing import pattern

MIB = 1 << 20
CHILD = Path(__file__).parent / "_memory_child.py"

linux = pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="peaks are measured through Linux's /proc"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder, on a tmpfs where there is one: a million files on a disk take long."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(dir=base, prefix="aiostow-memory-"))
    yield path
    shutil.rmtree(path)


def growth(what: str, folder: Path, budget: int, size: int) -> int:
    done = subprocess.run(
        [sys.executable, str(CHILD), what, str(folder), str(budget), str(size)],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@linux
@pytest.mark.parametrize("what", ["read", "write", "across"])
@pytest.mark.parametrize("budget", [16, 64])
def test_a_stream_grows_the_process_by_no_more_than_the_budget(
    folder: Path, what: str, budget: int, long: bool
) -> None:
    size = 10 << 30 if long else 1 << 30
    with open(folder / "sparse", "wb") as file:
        file.truncate(size)
    assert growth(what, folder, budget * MIB, size) <= (budget + 32) * MIB


@linux
def test_a_million_files_are_listed_in_little_memory(folder: Path) -> None:
    for i in range(1000):
        below = folder / f"d{i:03}"
        below.mkdir()
        directory = os.open(below, os.O_RDONLY)
        for j in range(1000):
            os.mknod(f"f{j:03}", dir_fd=directory)
        os.close(directory)
    assert growth("listing", folder, 64 * MIB, 1_000_000) <= 32 * MIB


@pytest.mark.anyio
@pytest.mark.parametrize("local", [False, True], ids=["memory", "local"])
async def test_one_task_writes_and_reads_many_files_in_turn(local: bool, tmp_path: Path) -> None:
    budget = 16 * MIB
    count, rounds = 100, 6
    storage = (
        LocalFSStorage(tmp_path, durable=False, memory_budget=budget)
        if local
        else MemoryStorage(memory_budget=budget)
    )
    blocks = [pattern(MIB, turn) for turn in range(rounds)]
    async with storage, asyncio.timeout(120):
        writers = [await storage.open(f"k{i}", "w") for i in range(count)]
        for block in blocks:
            for writer in writers:
                await writer.write(block)
        for writer in writers:
            await writer.commit()
        readers = [await storage.open(f"k{i}") for i in range(count)]
        for block in blocks:
            for reader in readers:
                assert await reader.read(MIB) == block
        for reader in readers:
            assert await reader.read() == b""
            await reader.close()
        assert storage._shared.budget.used == 0


@pytest.mark.anyio
async def test_reading_one_file_while_writing_another_never_waits_for_the_budget(
    tmp_path: Path,
) -> None:
    data = pattern(40 * MIB)
    async with LocalFSStorage(tmp_path, durable=False, memory_budget=MIB) as storage:
        await storage.write_bytes("a", data)
        async with asyncio.timeout(60), storage.open("a") as reader:
            async with storage.open("b", "w") as writer:
                async for chunk in reader:
                    await writer.write(chunk)
        assert await storage.read_bytes("b") == data
        assert storage._shared.budget.used == 0
