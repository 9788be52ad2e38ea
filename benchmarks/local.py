"""The local disk: streams, small files and copies."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiofiles
import obstore
from obstore.store import LocalStore

from aiostow import LocalFSStorage, Storage

from ._measure import Case, Target, about, measure, workplace

MIB = 1 << 20
LARGE = 512
COPY = 256
FILES = 2000
SMALL = 4096
AT_ONCE = 16


async def main() -> None:
    """Measure and print every case."""
    with workplace() as folder:
        root = Path(folder)
        block = os.urandom(MIB)
        (root / "large").write_bytes(block * LARGE)
        (root / "copy").write_bytes(block * COPY)
        for i in range(FILES):
            (root / f"small{i}").write_bytes(block[:SMALL])
        print(f"local, in {root.parent}: {about('aiostow', 'obstore', 'aiofiles')}")
        storage = LocalFSStorage(root, durable=False)
        durable = LocalFSStorage(root, name="durable")
        async with storage, durable:
            for case in cases(root, storage, durable, block):
                await measure(case)


def cases(root: Path, storage: Storage, durable: Storage, block: bytes) -> list[Case]:
    """Return the comparisons."""
    store = LocalStore(str(root))
    names = [f"small{i}" for i in range(FILES)]

    async def stream_ours() -> None:
        async with storage.open("large") as file:
            total = 0
            async for chunk in file:
                total += len(chunk)
        assert total == LARGE * MIB

    async def stream_obstore() -> None:
        result = await obstore.get_async(store, "large")
        total = 0
        async for chunk in result.stream():
            total += len(chunk)
        assert total == LARGE * MIB

    async def stream_plain() -> None:
        with open(root / "large", "rb", buffering=0) as file:
            total = 0
            while chunk := file.read(4 * MIB):
                total += len(chunk)
        assert total == LARGE * MIB

    async def small_ours(name: str) -> None:
        assert len(await storage.read_bytes(name)) == SMALL

    async def small_aiofiles(name: str) -> None:
        async with aiofiles.open(root / name, "rb") as file:
            assert len(await file.read()) == SMALL

    async def small_obstore(name: str) -> None:
        result = await obstore.get_async(store, name)
        assert len(await result.bytes_async()) == SMALL

    async def copy_ours() -> None:
        await storage.copy("copy", "copied")

    async def copy_durable() -> None:
        await durable.copy("copy", "copied-durably")

    async def copy_shutil() -> None:
        shutil.copyfile(root / "copy", root / "copied-by-shutil")

    async def write_ours() -> None:
        async with storage.open("written", "w") as file:
            for _ in range(COPY):
                await file.write(block)

    async def write_aiofiles() -> None:
        async with aiofiles.open(root / "written-by-aiofiles", "wb") as file:
            for _ in range(COPY):
                await file.write(block)

    async def write_obstore() -> None:
        async with obstore.open_writer_async(store, "written-by-obstore") as file:
            for _ in range(COPY):
                await file.write(block)

    return [
        Case(
            f"Stream a file of {LARGE} MiB", LARGE, "MiB",
            {"aiostow": stream_ours, "obstore": stream_obstore, "plain 4 MiB loop": stream_plain},
            (Target("obstore", 8), Target("plain 4 MiB loop", 0.6)),
        ),
        Case(
            f"Read {FILES} files of 4 KiB, one after the other", FILES, "files",
            {
                "aiostow": one_by_one(small_ours, names),
                "aiofiles": one_by_one(small_aiofiles, names),
                "obstore": one_by_one(small_obstore, names),
            },
            (Target("aiofiles", 2),),
        ),
        Case(
            f"Read {FILES} files of 4 KiB, {AT_ONCE} at once", FILES, "files",
            {
                "aiostow": at_once(small_ours, names),
                "aiofiles": at_once(small_aiofiles, names),
                "obstore": at_once(small_obstore, names),
            },
            (Target("aiofiles", 2),),
        ),
        Case(
            f"Copy a file of {COPY} MiB", COPY, "MiB",
            {"aiostow": copy_ours, "shutil.copyfile": copy_shutil, "durable": copy_durable},
            (Target("shutil.copyfile", 0.9),),
        ),
        Case(
            f"Write a file of {COPY} MiB by 1 MiB", COPY, "MiB",
            {"aiostow": write_ours, "aiofiles": write_aiofiles, "obstore": write_obstore},
        ),
    ]  # fmt: skip


def one_by_one(
    read: Callable[[str], Awaitable[None]], names: list[str]
) -> Callable[[], Awaitable[None]]:
    """Return a run that reads each name in turn."""

    async def run() -> None:
        for name in names:
            await read(name)

    return run


def at_once(
    read: Callable[[str], Awaitable[None]], names: list[str]
) -> Callable[[], Awaitable[None]]:
    """Return a run that reads several names at a time."""

    async def worker(share: list[str]) -> None:
        for name in share:
            await read(name)

    async def run() -> None:
        await asyncio.gather(*(worker(names[i::AT_ONCE]) for i in range(AT_ONCE)))

    return run
