"""The read pipeline that is closed while a read waits, and who is told what."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aiostow import ClosedError, LocalFSStorage, MemoryStorage, Storage, _disk
from aiostow.driver import Buffer, Chunks, Source
from aiostow.testing import FaultyDriver
from aiostow.testing.conformance._base import pattern
from aiostow.testing.faulty import delay

pytestmark = pytest.mark.anyio

DATA = pattern(20 << 20)


@pytest.fixture(params=["memory", "local"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    sound: Storage = MemoryStorage()
    if request.param == "local":
        sound = LocalFSStorage(tmp_path / "tree", durable=False)
    async with sound, Storage(FaultyDriver(sound.driver), name="faulty") as storage:
        await storage.write_bytes("k", DATA)
        yield storage


def slow(storage: Storage, nth: int) -> None:
    """Hold back a range of those that follow, and all after it."""
    assert isinstance(storage.driver, FaultyDriver)
    storage.driver.add(delay("stream", 60, nth=nth, times=100))


async def waiting(file: Any) -> asyncio.Task[bytes]:
    """Return a read that waits."""
    task: asyncio.Task[bytes] = asyncio.ensure_future(file.read())
    await asyncio.sleep(0.1)
    assert not task.done()
    return task


@pytest.mark.parametrize("nth", [1, 3])  # one that the reader asks for itself, and one ahead
@pytest.mark.parametrize("closed", ["file", "storage"])
async def test_a_read_that_waits_ends_when_its_file_is_closed(
    storage: Storage, nth: int, closed: str
) -> None:
    slow(storage, nth)
    file = await storage.open("k")
    task = await waiting(file)
    await (file.close() if closed == "file" else storage.aclose())
    async with asyncio.timeout(1):
        with pytest.raises(ClosedError, match="closed while it was read") as caught:
            await task
    assert (caught.value.key, caught.value.storage) == ("k", "faulty")
    assert task.cancelling() == 0
    assert file.closed
    assert storage._shared.budget.used == 0


async def test_the_task_that_read_goes_on_uncancelled(storage: Storage) -> None:
    slow(storage, 1)
    file = await storage.open("k")

    async def read() -> str:
        with pytest.raises(ClosedError):
            async with asyncio.timeout(30):
                await file.read()
        await asyncio.sleep(0.01)
        return "went on"

    task = asyncio.ensure_future(read())
    await asyncio.sleep(0.1)
    await file.close()
    async with asyncio.timeout(1):
        assert await task == "went on"


@pytest.mark.parametrize("first", ["cancel", "close"])
async def test_a_cancellation_at_the_same_time_is_not_lost(storage: Storage, first: str) -> None:
    slow(storage, 1)
    file = await storage.open("k")
    task = await waiting(file)
    if first == "cancel":
        task.cancel()
        await file.close()
    else:
        closing = asyncio.ensure_future(file.close())
        asyncio.get_running_loop().call_soon(task.cancel)
        await closing
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_alone_is_no_closing(storage: Storage) -> None:
    slow(storage, 1)
    async with await storage.open("k") as file:
        task = await waiting(file)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        storage.driver.clear()  # type: ignore[attr-defined]  # the faulty one
        assert await file.read() == DATA


async def test_a_disk_that_hangs_is_left_as_soon_as_it_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, letting_go = threading.Event(), threading.Event()
    read_at = _disk.read_at

    def hanging(fd: int, offset: int, length: int) -> bytes:
        reading.set()
        letting_go.wait(60)
        return read_at(fd, offset, length)

    async with LocalFSStorage(tmp_path / "tree", durable=False) as storage:
        await storage.write_bytes("k", DATA)
        file = await storage.open("k")
        monkeypatch.setattr(_disk, "read_at", hanging)
        task = asyncio.ensure_future(file.read())
        await asyncio.to_thread(reading.wait, 10)
        closing = asyncio.ensure_future(file.close())
        await asyncio.sleep(0.01)
        letting_go.set()
        async with asyncio.timeout(10):
            with pytest.raises(ClosedError, match="closed while it was read"):
                await task
            await closing


class _Stubborn:
    """A source that gives what was asked for, also to a cancelled task."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.entry = source.entry
        self.first_size = self.read_size = 1 << 20
        self.read_depth = 1
        self.adaptive = False
        self.given: list[Chunks] = []
        self.closed: list[Chunks] = []

    async def stream(self, offset: int, length: int) -> Chunks:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
        chunks = _Watched(self)
        self.given.append(chunks)
        return chunks

    def close(self) -> None:
        self._source.close()


class _Watched:
    def __init__(self, source: _Stubborn) -> None:
        self._source = source

    def __aiter__(self) -> _Watched:
        return self

    async def __anext__(self) -> Buffer:
        raise AssertionError("nobody reads")

    def close(self) -> None:
        self._source.closed.append(self)


async def test_a_range_that_comes_all_the_same_is_closed(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: list[_Stubborn] = []
    open_read = storage.driver.open_read

    async def stubborn(key: str, *, if_match: str | None) -> Source:
        sources.append(_Stubborn(await open_read(key, if_match=if_match)))
        return sources[0]

    monkeypatch.setattr(storage.driver, "open_read", stubborn)
    file = await storage.open("k")
    task = await waiting(file)
    await file.close()
    with pytest.raises(ClosedError):
        await task
    assert len(sources[0].given) == 1
    assert sources[0].closed == sources[0].given
    assert task.cancelling() == 0
