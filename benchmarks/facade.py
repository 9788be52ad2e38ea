"""The sync facade beside the async storage that it wraps."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiostow import LocalFSStorage, Storage
from aiostow.sync import SyncStorage

from ._measure import Case, Target, about, measure, workplace

MIB = 1 << 20
LARGE = 512
CALLS = 2000
THREADS = 32
LINES = 200_000


async def main() -> None:
    """Measure and print every case."""
    with workplace() as folder:
        root = Path(folder)
        (root / "large").write_bytes(os.urandom(MIB) * LARGE)
        (root / "small").write_bytes(bytes(4096))
        (root / "lines").write_bytes(b"a line such as many a log file holds ...........\n" * LINES)
        print(f"facade, in {root.parent}: {about('aiostow', 'uvloop')}")
        with SyncStorage(LocalFSStorage(root, durable=False)) as facade:
            async with LocalFSStorage(root, durable=False) as storage:
                for case in cases(root, storage, facade):
                    await measure(case)
            await asyncio.to_thread(facade.close)


def in_thread(work: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    """Return a run that does `work` where no event loop runs."""

    async def run() -> object:
        return await asyncio.to_thread(work)

    return run


def cases(root: Path, storage: Storage, facade: SyncStorage) -> list[Case]:
    """Return the comparisons."""
    block = os.urandom(MIB)

    async def stream_async() -> None:
        async with storage.open("large") as file:
            total = 0
            async for chunk in file:
                total += len(chunk)
        assert total == LARGE * MIB

    def stream() -> None:
        with facade.open("large") as file:
            total = 0
            while chunk := file.read1():
                total += len(chunk)
        assert total == LARGE * MIB

    async def write_async() -> None:
        async with storage.open("written", "w") as file:
            for _ in range(LARGE):
                await file.write(block)

    def write() -> None:
        with facade.open("written-too", "w") as file:
            for _ in range(LARGE):
                file.write(block)

    async def lines_async() -> None:
        async with storage.open("lines") as file:
            assert len([1 async for _ in file.iter_lines()]) == LINES

    def lines() -> None:
        with facade.open("lines") as file:
            assert sum(1 for _ in file) == LINES

    def lines_plain() -> None:
        with open(root / "lines", "rb") as file:
            assert sum(1 for _ in file) == LINES

    async def calls_async() -> None:
        async def share() -> None:
            for _ in range(CALLS // THREADS):
                await storage.read_bytes("small")

        await asyncio.gather(*(share() for _ in range(THREADS)))

    def calls() -> None:
        def share(_: int) -> None:
            for _ in range(CALLS // THREADS):
                facade.read_bytes("small")

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(share, range(THREADS)))

    return [
        Case(
            f"Stream a file of {LARGE} MiB", LARGE, "MiB",
            {"facade": in_thread(stream), "async": stream_async}, (Target("async", 0.8),),
        ),
        Case(
            f"Write a file of {LARGE} MiB by 1 MiB", LARGE, "MiB",
            {"facade": in_thread(write), "async": write_async},
        ),
        Case(
            f"Iterate {LINES:,} lines", LINES, "lines",
            {"facade": in_thread(lines), "async": lines_async, "builtin open": in_thread(lines_plain)},  # noqa: E501
        ),
        Case(
            f"Read a file of 4 KiB {CALLS} times, from {THREADS} threads", CALLS, "files",
            {"facade": in_thread(calls), "async, 32 tasks": calls_async},
        ),
    ]  # fmt: skip
