"""Closing: what is under way when a storage, a file or an event loop ends, and who is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from aiostow import (
    ClosedError,
    ConnectionLostError,
    LocalFSStorage,
    MemoryStorage,
    Storage,
    StorageFullError,
)
from aiostow.sync import SyncStorage
from aiostow.testing import FaultyDriver
from aiostow.testing.faulty import delay, error

pytestmark = pytest.mark.anyio

LARGE = bytes(20 << 20)


class Bench:
    """A storage whose driver can fail, and the sound one that it stands on."""

    def __init__(self, root: Path, sound: Storage) -> None:
        self.root = root
        self.sound = sound
        self.driver = FaultyDriver(sound.driver)
        self.storage = Storage(self.driver, name="faulty")

    async def write(self, key: str, data: bytes = LARGE) -> Any:
        """Return a writer that has an upload under way."""
        writer = await self.storage.open(key, "w")
        await writer.write(data)
        return writer

    def no_aborts(self) -> None:
        self.driver.add(error("abort", ConnectionResetError("no abort"), times=100))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    root = tmp_path / "tree"
    async with LocalFSStorage(root, durable=False) as sound:
        yield Bench(root, sound)


# -- a storage that is closed under open writers ----------------------------------------------


@pytest.mark.parametrize("data", [b"", b"small", LARGE], ids=["empty", "small", "large"])
async def test_a_writer_whose_storage_was_closed_tells_that_nothing_is_kept(
    bench: Bench, data: bytes
) -> None:
    with pytest.raises(ClosedError, match="its storage was closed first") as caught:
        async with bench.storage.open("k", "w") as writer:
            await writer.write(data)
            await bench.storage.aclose()
    assert (caught.value.key, caught.value.storage) == ("k", "faulty")
    await writer.close()  # told once; to close is idempotent
    assert not await bench.sound.exists("k")


async def test_so_does_closing_it(bench: Bench) -> None:
    writer = await bench.storage.open("k", "w")
    await bench.storage.aclose()
    with pytest.raises(ClosedError, match="its storage was closed first"):
        await writer.close()


async def test_but_what_was_committed_or_discarded_before_is_nobodys_loss(bench: Bench) -> None:
    kept = await bench.storage.open("kept", "w")
    await kept.commit()
    dropped = await bench.storage.open("dropped", "w")
    await dropped.abort()
    failed = await bench.write("failed")
    bench.driver.add(error("commit", StorageFullError("full")))
    with pytest.raises(StorageFullError):
        await failed.commit()
    discarded = await bench.storage.open("discarded", "w")
    await bench.storage.aclose()
    for writer in (kept, dropped, failed):
        await writer.close()
    await discarded.abort()  # nobody expects it to be kept
    with pytest.raises(ValueError, match="the reason"):
        async with discarded:
            raise ValueError("the reason")


async def test_a_download_whose_storage_was_closed_does_not_return(
    bench: Bench, tmp_path: Path
) -> None:
    await bench.sound.write_bytes("empty", b"")
    with pytest.raises(ClosedError):
        await bench.storage.get(
            "empty", tmp_path / "copy", progress_callback=lambda _: bench.storage.aclose()
        )
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("end", ["exit", "close"])
@pytest.mark.parametrize("kind", ["bytes", "text"])
def test_the_facade_tells_it_too(kind: str, end: str) -> None:
    storage = SyncStorage(MemoryStorage())
    file: Any
    file = storage.open("k", "w", encoding="utf-8") if kind == "text" else storage.open("k", "w")
    with pytest.raises(ClosedError):
        if end == "exit":
            with file:
                storage.close()
        else:
            storage.close()
            file.close()
    file.close()


def test_the_facade_lets_an_exception_of_the_block_travel_on() -> None:
    storage = SyncStorage(MemoryStorage())
    with pytest.raises(ValueError, match="the reason"), storage.open("k", "w"):
        storage.close()
        raise ValueError("the reason")
    storage = SyncStorage(MemoryStorage())
    file = storage.open("k", "w")
    with pytest.raises(ValueError, match="the reason"):
        try:
            storage.close()
            raise ValueError("the reason")
        finally:
            file.close()


async def test_one_file_that_cannot_be_closed_keeps_nothing_else_open(bench: Bench) -> None:
    files = [await bench.write(key) for key in "abc"]
    bench.driver.add(error("abort", ConnectionResetError("no abort"), nth=2))
    ended: list[str] = []
    aclose = bench.driver.aclose

    async def closed() -> None:
        ended.append("driver")
        await aclose()

    bench.driver.aclose = closed  # type: ignore[method-assign]  # it tells
    with pytest.raises(ConnectionLostError):
        await bench.storage.aclose()
    assert all(file.closed for file in files)
    assert bench.driver.count("abort") == 3
    assert ended == ["driver"]
    assert bench.storage._shared.budget.used == 0


# -- a cleanup that fails ----------------------------------------------------------------------


async def test_a_cancellation_outranks_an_abort_that_fails(bench: Bench) -> None:
    bench.no_aborts()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            async with bench.storage.open("k", "w") as writer:
                await writer.write(LARGE)
                await asyncio.sleep(5)

    async def cut(write: Callable[[], Any]) -> None:
        task = asyncio.ensure_future(write())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def close() -> None:
        writer = await bench.write("k")
        try:
            await asyncio.sleep(5)
        finally:
            await writer.close()

    bench.driver.add(delay("stage", 5, nth=2 * bench.driver.count("stage") + 1, times=100))
    await cut(close)
    await cut(lambda: bench.storage.write_bytes("k", LARGE))
    assert bench.driver.count("abort") == 3


@pytest.mark.parametrize("call", ["stage", "commit"])
async def test_a_failure_outranks_an_abort_that_fails(bench: Bench, call: str) -> None:
    bench.no_aborts()
    bench.driver.add(error(call, StorageFullError("the first")))
    with pytest.raises(StorageFullError, match="the first") as caught:
        await bench.storage.write_bytes("k", LARGE)
    (note,) = caught.value.__notes__
    assert "cleaning up failed too" in note
    assert "ConnectionLostError" in note


async def test_so_does_one_that_came_earlier(bench: Bench) -> None:
    bench.no_aborts()
    bench.driver.add(error("stage", StorageFullError("the first")))
    writer = await bench.storage.open("k", "w")
    with pytest.raises(StorageFullError):
        await writer.write(LARGE)
        await writer.write(LARGE)
    with pytest.raises(StorageFullError, match="the first"):
        await writer.close()


async def test_an_exception_of_the_block_outranks_it_too(bench: Bench) -> None:
    bench.no_aborts()
    with pytest.raises(ValueError, match="the first"):
        async with bench.storage:
            other = await bench.write("a")
            async with bench.storage.open("b", "w") as writer:
                await writer.write(LARGE)
                raise ValueError("the first")
    assert other.closed
    await bench.sound.write_bytes("k", b"old")
    bench.driver.add(error("close_update", ConnectionResetError("no close")))
    storage = Storage(bench.driver, name="again")
    with pytest.raises(ValueError, match="the first"):
        async with storage.open("k", "rw"):
            raise ValueError("the first")
    await storage.aclose()


def test_and_in_the_facade(tmp_path: Path) -> None:
    driver = FaultyDriver(LocalFSStorage(tmp_path, durable=False).driver)

    def faulty() -> SyncStorage:
        return SyncStorage(Storage(driver, name="faulty"))

    with pytest.raises(ValueError, match="the first"), faulty() as storage:
        other = storage.open("other", "w")
        other.write(LARGE)
        driver.add(error("abort", ConnectionResetError("no abort"), times=100))
        with storage.open("k", "w") as writer:
            writer.write(LARGE)
            raise ValueError("the first")
    with pytest.raises(ValueError, match="the first"), faulty() as storage:
        with storage.open("k", "w", encoding="utf-8") as text:
            text.write("0" * len(LARGE))
            raise ValueError("the first")
    with faulty() as storage:
        writer = storage.open("k", "w")
        with pytest.raises(ValueError, match="the first"):
            try:
                writer.write(LARGE)
                raise ValueError("the first")
            finally:
                writer.close()
        driver.add(error("stage", StorageFullError("the first"), times=9))
        writer = storage.open("k", "w")
        with pytest.raises(StorageFullError, match="the first"):
            writer.write(LARGE)
            writer.write(LARGE)
        writer.write(b"small")  # which is gathered
        with pytest.raises(StorageFullError, match="the first"):
            writer.commit()


async def test_an_abort_that_fails_is_raised_where_it_is_the_only_failure(bench: Bench) -> None:
    writer = await bench.write("k")
    bench.no_aborts()
    with pytest.raises(ConnectionLostError):
        await writer.abort()


# -- opening while the storage is closed ---------------------------------------------------------


@pytest.mark.parametrize("mode", ["r", "w", "rw"])
async def test_a_file_is_not_opened_in_a_storage_that_is_closed_meanwhile(
    bench: Bench, mode: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.sound.write_bytes("k", b"old")
    call = {"r": "open_read", "w": "connect", "rw": "open_update"}[mode]
    bench.driver.add(delay(call, 0.1))
    closed: list[str] = []
    open_read = bench.driver.open_read

    async def reading(key: str, *, if_match: str | None) -> Any:
        source = await open_read(key, if_match=if_match)
        monkeypatch.setattr(source, "close", lambda: closed.append(key))
        return source

    monkeypatch.setattr(bench.driver, "open_read", reading)
    opening = asyncio.ensure_future(bench.storage.open("k", mode).__aenter__())
    await asyncio.sleep(0.02)
    await bench.storage.aclose()
    with pytest.raises(ClosedError, match="the storage is closed"):
        await opening
    assert not list(bench.storage._shared.files)
    assert len(closed) == (mode == "r")


# -- files of other event loops ------------------------------------------------------------------


@pytest.mark.parametrize("way", ["run", "slow", "bare", "stopped"])
async def test_a_loop_that_ends_meanwhile_holds_nothing_up(bench: Bench, way: str) -> None:
    opened, ending = threading.Event(), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def use() -> None:
        loops.append(asyncio.get_running_loop())
        writers.append(await bench.write("k"))
        if way == "slow":
            tasks.append(asyncio.create_task(lingering()))
            await asyncio.sleep(0)
        opened.set()
        ending.wait(5)  # the loop runs, and comes to nothing any more

    async def lingering() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.5)

    def thread() -> None:
        if way in ("run", "slow"):
            asyncio.run(use())
            return
        loop = asyncio.new_event_loop()
        loop.run_until_complete(use())
        if way == "bare":
            loop.close()

    writers: list[Any] = []
    tasks: list[Any] = []
    other = threading.Thread(target=thread)
    other.start()
    await asyncio.to_thread(opened.wait, 5)
    asyncio.get_running_loop().call_later(0.1, ending.set)
    await asyncio.wait_for(bench.storage.aclose(), 10)
    other.join()
    if way == "stopped":  # what was asked of it is done as soon as it runs again
        await asyncio.to_thread(loops[0].run_until_complete, asyncio.sleep(0.1))
        loops[0].close()
    assert writers[0].closed
    assert bench.driver.count("abort") == 1
    assert list(bench.root.rglob("*")) == []
