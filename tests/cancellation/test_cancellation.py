"""A cancellation at any await, once or twice, leaves old or new and nothing else."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from aiostow import LocalFSStorage, MemoryStorage, Storage
from aiostow._disk import features
from aiostow.backends.local import LocalDriver
from aiostow.keys import TEMP_PREFIX
from aiostow.testing import pattern

from ._cancel import CancelAt

pytestmark = pytest.mark.anyio

OLD, NEW = pattern(50_000, 1), pattern(50_000, 2)
LARGE = pattern(9 << 20, 3)


@pytest.fixture(params=["memory", "local", "named-temps"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    root = tmp_path / "root"
    storage: Storage
    if request.param == "memory":
        storage = MemoryStorage()
    elif request.param == "local":
        storage = LocalFSStorage(root, durable=False)
    else:
        system = features()
        system.tmpfile = system.openat2 = False
        storage = Storage(LocalDriver(root, durable=False, system=system), name="named-temps")
    async with storage:
        yield storage


async def write_small(storage: Storage, folder: Path) -> None:
    async with storage.open("k", "w") as file:
        await file.write(NEW)


async def write_large(storage: Storage, folder: Path) -> None:
    async with storage.open("k", "w") as file:
        for offset in range(0, len(LARGE), 1 << 20):
            await file.write(LARGE[offset : offset + (1 << 20)])


async def write_without_with(storage: Storage, folder: Path) -> None:
    file = await storage.open("k", "w")
    try:
        await file.write(NEW)
    finally:
        await file.close()


async def put(storage: Storage, folder: Path) -> None:
    await storage.put(folder / "in", "k")


async def get(storage: Storage, folder: Path) -> None:
    await storage.get("source", folder / "out")


async def copy(storage: Storage, folder: Path) -> None:
    await storage.copy("source", "k")


async def move(storage: Storage, folder: Path) -> None:
    await storage.move("source", "k")


async def copy_across(storage: Storage, folder: Path) -> None:
    async with MemoryStorage() as other:
        await other.write_bytes("source", LARGE)
        await other.copy("source", "k", to=storage)


async def read(storage: Storage, folder: Path) -> None:
    async with storage.open("source") as file:
        await file.seek(100)
        await file.read(10)
        await file.read()


async def update(storage: Storage, folder: Path) -> None:
    async with storage.open("source", "rw") as file:
        await file.read(10)
        await file.seek(0)
        await file.write(LARGE[:10])


async def listing(storage: Storage, folder: Path) -> None:
    async for _ in storage.list():
        await asyncio.sleep(0)


OPERATIONS = [
    write_small, write_large, write_without_with, put, get, copy, move, copy_across, read, update,
    listing,
]  # fmt: skip


async def check(storage: Storage, folder: Path, tasks: set[asyncio.Task[object]]) -> None:
    found = await storage.read_bytes("k")
    assert found in (OLD, NEW, LARGE), "torn"
    assert await storage.exists("source") or found == LARGE
    if await storage.exists("source"):
        assert await storage.read_bytes("source") == LARGE
    assert [path.name for path in folder.rglob(TEMP_PREFIX + "*")] == []
    out = folder / "out"
    assert not out.exists() or out.read_bytes() == LARGE
    assert {entry.name for entry in await storage.list()} <= {"k", "source"}
    assert asyncio.all_tasks() == tasks


@pytest.mark.parametrize("again", [0, 1, 2], ids=["once", "twice", "thrice"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
async def test_a_cancellation_leaves_old_or_new_and_nothing_else(
    storage: Storage,
    tmp_path: Path,
    operation: Callable[[Storage, Path], Awaitable[None]],
    again: int,
    long: bool,
) -> None:
    (tmp_path / "in").write_bytes(LARGE)
    tasks = asyncio.all_tasks()
    await storage.write_bytes("k", OLD)
    await storage.write_bytes("source", LARGE)
    descriptors = _descriptors()
    cancelled = 0
    at = 1
    while True:
        guard = CancelAt(operation(storage, tmp_path), at, again)
        task = asyncio.ensure_future(_awaited(guard))
        try:
            await task
        except asyncio.CancelledError:
            cancelled += 1
        await check(storage, tmp_path, tasks)
        if guard.awaits < at:
            break
        await storage.write_bytes("k", OLD)
        if not await storage.exists("source"):
            await storage.write_bytes("source", LARGE)
        (tmp_path / "out").unlink(missing_ok=True)
        at += 1 if long else 3
    gc.collect()
    assert _descriptors() <= descriptors
    if not isinstance(storage, MemoryStorage) and at > 4:
        assert cancelled


async def _awaited(guard: CancelAt) -> None:
    await guard


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@pytest.mark.parametrize("steps", range(0, 400, 3))
async def test_aclose_joins_what_a_cancelled_writer_left(tmp_path: Path, steps: int) -> None:
    tasks = asyncio.all_tasks()
    storage = LocalFSStorage(tmp_path / "root", durable=False)
    await storage.write_bytes("k", OLD)
    task = asyncio.ensure_future(write_large(storage, tmp_path))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await storage.aclose()
    await asyncio.gather(task, return_exceptions=True)
    assert asyncio.all_tasks() == tasks
    assert [path.name for path in tmp_path.rglob(TEMP_PREFIX + "*")] == []
    assert (tmp_path / "root" / "k").read_bytes() in (OLD, LARGE)


@pytest.mark.parametrize("writes", [0, 1, 3])
async def test_an_exception_at_any_point_of_the_body_leaves_the_old(
    storage: Storage, tmp_path: Path, writes: int
) -> None:
    await storage.write_bytes("k", OLD)
    for error in (ZeroDivisionError, KeyboardInterrupt, SystemExit, asyncio.CancelledError):
        with pytest.raises(error):
            async with storage.open("k", "w") as file:
                for _ in range(writes):
                    await file.write(LARGE)
                raise error
        assert await storage.read_bytes("k") == OLD
        assert [path.name for path in tmp_path.rglob(TEMP_PREFIX + "*")] == []


async def test_a_timeout_in_a_write_cannot_be_swallowed_into_a_commit(
    storage: Storage,
) -> None:
    await storage.write_bytes("k", OLD)
    file = await storage.open("k", "w")
    await file.write(NEW)
    for _ in range(3):
        with pytest.raises((TimeoutError, OSError, ValueError)):
            async with asyncio.timeout(0):
                await file.write(LARGE)
                await asyncio.sleep(1)
    broken = False
    try:
        await file.close()
    except ValueError:
        broken = True
    found = await storage.read_bytes("k")
    assert found == OLD if broken else found == NEW + 3 * LARGE
