"""Files that several tasks or several event loops use: in turn, or told so, and always closed."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from aiostow import (
    ClosedError,
    InvalidArgumentError,
    LocalFSStorage,
    MemoryStorage,
    Storage,
)
from aiostow.testing import pattern

pytestmark = pytest.mark.anyio

LARGE = pattern((9 << 20) + 1)  # three pieces
PATIENCE = 30
MODES = ("r", "w", "rw")


def make(kind: str, folder: Path) -> Storage:
    if kind == "memory":
        return MemoryStorage()
    return LocalFSStorage(folder / "root", durable=False)


@pytest.fixture(params=["memory", "local"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    async with make(request.param, tmp_path) as storage:
        await storage.write_bytes("k", LARGE)
        yield storage


def descriptors() -> list[str]:
    """Return what this process has open, but for event loops."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if target.startswith("/") and not target.startswith(("/dev", "/proc")):
            found.append(target)
    return sorted(found)


# -- several tasks --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["r", "rw"])
async def test_a_task_is_told_that_another_is_reading(storage: Storage, mode: str) -> None:
    """Or each would get a part of what the other asked for."""
    async with storage.open("k", mode) as file:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: file.read(10),
            lambda: file.readline(),
            lambda: file.readinto(bytearray(10)),
            lambda: file.seek(5),
            lambda: anext(aiter(file)),
        ]
        for call in calls:
            await file.seek(0)
            reading = asyncio.ensure_future(file.read(6 << 20))
            await asyncio.sleep(0)
            if reading.done():  # what is in memory has no moment between
                continue
            with pytest.raises(InvalidArgumentError, match="another task is using this file"):
                await call()
            assert (await reading) == LARGE[: 6 << 20]
            assert await file.tell() == 6 << 20


async def test_a_file_goes_on_after_a_read_that_was_cancelled(storage: Storage) -> None:
    async with storage.open("k") as file:
        reading = asyncio.ensure_future(file.read(6 << 20))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        await file.seek(0)
        assert (await file.read()) == LARGE


async def test_a_read_under_way_is_told_that_the_file_was_closed(storage: Storage) -> None:
    for steps in range(12):
        file = await storage.open("k")
        await file.read(1)
        reading = asyncio.ensure_future(file.read())
        for _ in range(steps):
            await asyncio.sleep(0)
        await file.close()
        try:
            assert (await reading) == LARGE[1:]
        except ClosedError as error:
            assert error.key == "k"


@pytest.mark.parametrize("mode", MODES)
async def test_a_file_closed_by_several_at_once_is_closed_once(storage: Storage, mode: str) -> None:
    file = await storage.open("k", mode)
    if mode == "w":
        await file.write(LARGE + b"new")
    await asyncio.gather(*(file.close() for _ in range(5)))
    assert file.closed
    expected = LARGE + b"new" if mode == "w" else LARGE
    assert (await storage.read_bytes("k")) == expected


async def test_whoever_closes_second_waits_for_the_commit_of_the_first(storage: Storage) -> None:
    file = await storage.open("k", "w")
    await file.write(LARGE + b"new")

    async def close() -> bool:
        await file.close()
        return (await storage.stat("k")).size == len(LARGE) + 3

    assert list(await asyncio.gather(close(), close(), close())) == [True, True, True]


# -- several loops --------------------------------------------------------------------------------


class LoopThread:
    """An event loop that runs in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coro, self.loop).result(PATIENCE)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(PATIENCE)

    def close(self) -> None:
        self.stop()
        self.loop.close()


@pytest.fixture
def other() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


async def opened(storage: Storage, mode: str) -> Any:
    file = await storage.open("k", mode)
    if mode == "w":
        await file.write(LARGE + b"new")
    else:
        await file.read(6 << 20)  # and what lies ahead is under way
    return file


async def test_a_file_says_that_it_belongs_to_another_loop(
    storage: Storage, other: LoopThread
) -> None:
    reader = other.run(opened(storage, "r"))
    writer = other.run(opened(storage, "w"))
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: reader.read(),
        lambda: reader.seek(0),
        lambda: writer.write(b"x"),
        lambda: writer.commit(),
        lambda: writer.close(),
    )
    for call in calls:
        with pytest.raises(InvalidArgumentError, match="belongs to the event loop that opened it"):
            await call()
    other.run(reader.close())
    other.run(writer.abort())
    assert (await storage.read_bytes("k")) == LARGE


@pytest.mark.parametrize("mode", ["r", "rw"])
async def test_closing_from_another_loop_closes(
    storage: Storage, other: LoopThread, mode: str
) -> None:
    file = other.run(opened(storage, mode))
    await asyncio.wait_for(file.close(), PATIENCE)
    assert file.closed
    with pytest.raises(ClosedError):
        other.run(file.read())


async def test_aborting_from_another_loop_aborts(storage: Storage, other: LoopThread) -> None:
    file = other.run(opened(storage, "w"))
    await asyncio.wait_for(file.abort(), PATIENCE)
    assert file.closed
    assert (await storage.read_bytes("k")) == LARGE


@pytest.mark.parametrize("kind", ["memory", "local"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ["runs", "closed"])
def test_closing_the_storage_closes_the_files_of_every_loop(
    kind: str, mode: str, end: str, other: LoopThread, tmp_path: Path
) -> None:
    before = descriptors()
    storage = make(kind, tmp_path)
    asyncio.run(storage.write_bytes("k", LARGE))
    file = other.run(opened(storage, mode))
    if end == "closed":
        other.close()
    asyncio.run(asyncio.wait_for(storage.aclose(), PATIENCE))
    assert file.closed
    end_of_patience = time.monotonic() + PATIENCE
    while descriptors() != before and time.monotonic() < end_of_patience:
        time.sleep(0.01)  # a call of a loop that was closed under it may still be under way
    assert descriptors() == before

    async def content() -> bytes:
        await storage.driver.connect()
        source = await storage.driver.open_read("k", if_match=None)
        chunks = await source.stream(0, source.entry.size)
        parts = [bytes(chunk) async for chunk in chunks]
        source.close()
        await storage.driver.aclose()
        return b"".join(parts)

    if kind == "local":
        assert asyncio.run(content())[-3:] == LARGE[-3:]


@pytest.mark.parametrize("mode", ["r", "rw"])
def test_a_file_whose_loop_was_closed_can_still_be_closed(mode: str, tmp_path: Path) -> None:
    before = descriptors()
    storage = make("local", tmp_path)
    asyncio.run(storage.write_bytes("k", LARGE))
    thread = LoopThread()
    file = thread.run(opened(storage, mode))
    thread.close()
    asyncio.run(file.close())
    assert file.closed
    asyncio.run(storage.aclose())
    assert storage._shared.budget.used == 0
    assert descriptors() == before


def test_a_writer_whose_loop_was_closed_discards_and_says_so(tmp_path: Path) -> None:
    storage = make("local", tmp_path)
    asyncio.run(storage.write_bytes("k", b"old"))
    thread = LoopThread()
    writer = thread.run(opened(storage, "w"))
    thread.close()
    with pytest.raises(ClosedError, match="its event loop was closed"):
        asyncio.run(writer.close())
    asyncio.run(writer.close())  # idempotent
    assert asyncio.run(storage.read_bytes("k")) == b"old"
    asyncio.run(storage.aclose())
    assert storage._shared.budget.used == 0
    assert os.listdir(tmp_path / "root") == ["k"]


def test_a_file_of_a_loop_that_stands_still_is_closed_when_it_runs_again(tmp_path: Path) -> None:
    storage = make("local", tmp_path)
    asyncio.run(storage.write_bytes("k", LARGE))
    loop = asyncio.new_event_loop()
    file = loop.run_until_complete(opened(storage, "r"))
    asyncio.run(asyncio.wait_for(storage.aclose(), PATIENCE))  # and does not hang
    loop.run_until_complete(asyncio.sleep(0.01))
    assert file.closed
    loop.close()


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_a_file_that_is_forgotten_after_its_loop_gives_its_bytes_back(
    kind: str, tmp_path: Path
) -> None:
    storage = make(kind, tmp_path)
    asyncio.run(storage.write_bytes("k", LARGE))
    with pytest.warns(ResourceWarning, match="unclosed Reader"):
        asyncio.run(_forget(storage))
    asyncio.run(storage.aclose())
    assert storage._shared.budget.used == 0


async def _forget(storage: Storage) -> None:
    try:
        await opened(storage, "r")
    finally:
        gc.collect()
