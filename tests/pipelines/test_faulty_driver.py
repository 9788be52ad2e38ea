"""The promises of writing and reading, shown under a driver that fails on purpose."""

from __future__ import annotations

import asyncio
import errno
import gc
import pickle
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aiostow import (
    AmbiguousWriteError,
    ClosedError,
    ConnectionLostError,
    DeleteManyError,
    LocalFSStorage,
    MemoryStorage,
    ObjectChangedError,
    ShortReadError,
    Storage,
    StorageError,
    StorageFullError,
    _ranges,
)
from aiostow.keys import TEMP_PREFIX
from aiostow.testing import Conformance, CrashedError, Fault, FaultyDriver, pattern
from aiostow.testing.faulty import CALLS, crash, delay, disconnect, error, lost_reply, short_read

pytestmark = pytest.mark.anyio

MIB = 1 << 20
OLD = b"old"
LARGE = pattern(9 * MIB + 1)  # three pieces
FULL = OSError(errno.ENOSPC, "no space")


class Bench:
    """A storage whose driver fails, and the same objects seen through one that does not."""

    def __init__(self, sound: Storage, root: Path | None) -> None:
        self.sound = sound
        self.root = root
        self.driver = FaultyDriver(sound.driver)
        self.storage = Storage(self.driver, name="faulty")

    def full(self) -> Exception:
        """Return what a full disk or service raises."""
        return FULL if self.root is not None else StorageFullError("no space")

    def leftovers(self) -> list[str]:
        return [] if self.root is None else [p.name for p in self.root.rglob(f"{TEMP_PREFIX}*")]

    async def check(self, content: bytes = OLD) -> None:
        """Nothing is there but the object, and nothing is left of whatever was under way."""
        assert (await self.sound.read_bytes("k")) == content
        assert [entry.name for entry in await self.sound.list()] == ["k"]
        assert self.leftovers() == []
        assert self.storage._shared.budget.used == 0
        mine = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not mine]
        assert not [task for task in left if "TestRunner" not in repr(task)]


@pytest.fixture(params=["memory", "local", "local with names"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    root = None if request.param == "memory" else tmp_path / "root"
    sound: Storage = MemoryStorage() if root is None else LocalFSStorage(root, durable=False)
    if request.param == "local with names":
        sound.driver._system.tmpfile = False  # type: ignore[attr-defined]
    async with sound:
        await sound.write_bytes("k", OLD)
        bench = Bench(sound, root)
        yield bench
        bench.driver.clear()
        await bench.storage.aclose()


WRITES: dict[str, Callable[[Storage, bytes], Any]] = {
    "write_bytes": lambda storage, data: storage.write_bytes("k", data),
    "upload": lambda storage, data: storage.upload(iter([data[:5], data[5:]]), "k"),
}


async def _by_open(storage: Storage, data: bytes) -> None:
    async with storage.open("k", "w") as file:
        for begin in range(0, len(data), MIB):
            await file.write(data[begin : begin + MIB])


WRITES["open"] = _by_open
SIZES = {"one request": b"new", "pieces": LARGE}


# -- writing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WRITES)
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("call", ["begin", "stage", "commit"])
async def test_an_error_of_any_call_leaves_the_object_and_nothing_else(
    bench: Bench, way: str, call: str, nth: int
) -> None:
    if nth > 1 and call != "stage":
        return
    bench.driver.add(error(call, bench.full(), nth=nth))
    with pytest.raises(StorageFullError) as caught:
        await WRITES[way](bench.storage, LARGE)
    assert caught.value.key == "k"
    assert bench.driver.count(call) >= nth
    assert bench.driver.count("abort") == (call != "begin")
    del caught
    await bench.check()


@pytest.mark.parametrize("way", WRITES)
async def test_an_error_of_the_only_request_leaves_the_object(bench: Bench, way: str) -> None:
    bench.driver.add(error("write", bench.full()))
    with pytest.raises(StorageFullError):
        await WRITES[way](bench.storage, b"new")
    await bench.check()


async def test_an_error_of_the_abort_does_not_hide_the_first(bench: Bench) -> None:
    bench.driver.add(error("stage", bench.full()), error("abort", ConnectionResetError()))
    with pytest.raises(StorageError):
        await bench.storage.write_bytes("k", LARGE)
    assert (await bench.sound.read_bytes("k")) == OLD


@pytest.mark.parametrize("size", SIZES)
async def test_a_lost_reply_to_the_commit_is_told_as_such(bench: Bench, size: str) -> None:
    """Wholly old or wholly new: here it is new, and nobody was told that it is not."""
    call = "write" if size == "one request" else "commit"
    bench.driver.add(lost_reply(call))
    with pytest.raises(AmbiguousWriteError, match="wholly as it was to become") as caught:
        await bench.storage.write_bytes("k", SIZES[size])
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert (caught.value.key, caught.value.operation) == ("k", "write_bytes")
    del caught
    gc.collect()
    await bench.check(SIZES[size])


@pytest.mark.parametrize("size", SIZES)
async def test_a_connection_lost_before_the_commit_is_as_uncertain(bench: Bench, size: str) -> None:
    call = "write" if size == "one request" else "commit"
    bench.driver.add(error(call, ConnectionResetError()))
    with pytest.raises(AmbiguousWriteError):
        await bench.storage.write_bytes("k", SIZES[size])
    await bench.check()


async def test_a_connection_lost_before_anything_could_change_is_certain(bench: Bench) -> None:
    for call in ("connect", "begin", "stage"):
        bench.driver.add(error(call, ConnectionResetError()))
        with pytest.raises(ConnectionLostError):
            await bench.storage.write_bytes("k", LARGE)
        await bench.check()


@pytest.mark.parametrize("operation", ["copy", "move"])
async def test_a_lost_reply_to_a_copy_or_move_is_told_as_such(bench: Bench, operation: str) -> None:
    bench.driver.add(lost_reply(operation))
    with pytest.raises(AmbiguousWriteError):
        await getattr(bench.storage, operation)("k", "new")
    assert await bench.sound.read_bytes("new") == OLD
    assert await bench.sound.exists("k") == (operation == "copy")


async def _end_of_process() -> None:
    """Its locks and descriptors are gone, its files are not."""
    await asyncio.sleep(0.05)
    gc.collect()


async def test_a_crash_before_the_commit_leaves_the_object_and_what_a_sweep_removes(
    bench: Bench,
) -> None:
    bench.driver.add(crash())
    with pytest.raises(CrashedError):
        await bench.storage.write_bytes("k", LARGE)
    assert bench.driver.crashed
    with pytest.raises(CrashedError):
        await bench.storage.stat("k")
    await _end_of_process()
    assert (await bench.sound.read_bytes("k")) == OLD
    assert [entry.name for entry in await bench.sound.list()] == ["k"]
    await bench.sound.sweep(timedelta(0))
    assert bench.leftovers() == []
    bench.driver.clear()


async def test_a_crash_between_pieces_leaves_the_object(bench: Bench) -> None:
    bench.driver.add(crash("stage", nth=2))
    with pytest.raises(CrashedError):
        await bench.storage.write_bytes("k", LARGE)
    await _end_of_process()
    await bench.sound.sweep(timedelta(0))
    assert (await bench.sound.read_bytes("k")) == OLD
    assert bench.leftovers() == []
    bench.driver.clear()


@pytest.mark.parametrize("again", [0, 1, 3])
@pytest.mark.parametrize("call", ["begin", "stage", "commit", "write", "abort"])
async def test_a_cancellation_waits_for_slow_calls_that_must_not_be_cut(
    bench: Bench, call: str, again: int
) -> None:
    """The commit is awaited, then the cancellation raised: the object is old or new, and clean."""
    data = b"new" if call == "write" else LARGE
    bench.driver.add(delay(call, 0.1))
    if call == "abort":
        bench.driver.add(error("stage", bench.full(), nth=2))
    task = asyncio.ensure_future(bench.storage.write_bytes("k", data))
    while not bench.driver.count(call) and not task.done():  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(0.001)
    for _ in range(again + 1):
        task.cancel()
        await asyncio.sleep(0.001)
    outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    assert isinstance(outcome, asyncio.CancelledError)
    await bench.check(data if call in ("commit", "write") else OLD)


async def test_closing_the_storage_joins_a_slow_cleanup(bench: Bench) -> None:
    bench.driver.add(delay("abort", 0.1))
    writer = await bench.storage.open("k", "w")
    await writer.write(LARGE)
    await bench.storage.aclose()
    await bench.check()


async def test_a_forgotten_writer_is_discarded_also_slowly(bench: Bench) -> None:
    bench.driver.add(delay("abort", 0.05))
    with pytest.warns(ResourceWarning, match="what was written is discarded"):
        await _forget(bench.storage)
    await bench.storage.aclose()
    await bench.check()


async def _forget(storage: Storage) -> None:
    writer = await storage.open("k", "w")
    await writer.write(LARGE)
    del writer
    gc.collect()


async def test_create_only_keeps_its_promise_when_its_reply_is_lost(bench: Bench) -> None:
    bench.driver.add(lost_reply("write"))
    with pytest.raises(AmbiguousWriteError):
        await bench.storage.write_bytes("new", b"first", if_absent=True)
    with pytest.raises(FileExistsError):
        await bench.storage.write_bytes("new", b"second", if_absent=True)
    assert await bench.sound.read_bytes("new") == b"first"


async def test_of_writers_that_overlap_one_wins_whole(bench: Bench) -> None:
    bench.driver.add(delay("stage", 0.02, nth=2, times=3), delay("commit", 0.03))
    contents = [pattern(9 * MIB, seed) for seed in range(4)]
    await asyncio.gather(*(bench.storage.write_bytes("k", content) for content in contents))
    found = await bench.sound.read_bytes("k")
    assert any(found == content for content in contents)
    await bench.check(found)


async def test_slow_pieces_hold_the_writer_back(bench: Bench) -> None:
    """Or whatever a fast producer gives would pile up in memory."""
    bench.driver.add(delay("stage", 0.01, times=100))
    most = 0
    async with bench.storage.open("k", "w") as file:
        for _ in range(64):
            await file.write(bytes(MIB))
            most = max(most, bench.storage._shared.budget.used)
    assert most <= 4 * 4 * MIB
    assert (await bench.sound.stat("k")).size == 64 * MIB


# -- reading ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ranges, "_FIRST_PAUSE", 0.001)


async def _read_in_parts(storage: Storage) -> bytes:
    async with storage.open("k") as file:
        parts = []
        while part := await file.read(700_001):
            parts.append(part)
        return b"".join(parts)


async def _iterate(storage: Storage) -> bytes:
    async with storage.open("k") as file:
        return b"".join([chunk async for chunk in file])


async def _by_lines(storage: Storage) -> bytes:
    async with storage.open("k") as file:
        return b"".join([line async for line in file.iter_lines()])


READS: dict[str, Callable[[Storage], Any]] = {
    "read_bytes": lambda storage: storage.read_bytes("k"),
    "in parts": _read_in_parts,
    "iterate": _iterate,
    "lines": _by_lines,
}
BREAKS = {"disconnect": disconnect, "short read": short_read}


@pytest.mark.parametrize("at", [0, 1, 1_000_003, 4 * MIB - 1])
@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("way", READS)
async def test_a_body_that_breaks_off_is_resumed_where_it_broke(
    bench: Bench, way: str, kind: str, at: int
) -> None:
    await bench.sound.write_bytes("k", LARGE)
    for nth in (1, 2, 3):
        bench.driver.add(BREAKS[kind](at, nth=nth))
    assert (await READS[way](bench.storage)) == LARGE
    # From where it broke: nothing was asked for twice.
    asked = [call.detail for call in bench.driver.calls if call.name == "stream"]
    assert len(asked) > 3
    assert len(set(asked)) == len(asked) or at == 0
    await bench.check(LARGE)


@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("way", READS)
async def test_a_body_that_gives_nothing_any_more_is_an_error_and_never_short_data(
    bench: Bench, way: str, kind: str
) -> None:
    await bench.sound.write_bytes("k", LARGE)
    bench.driver.add(BREAKS[kind](0, nth=2, times=1000), BREAKS[kind](100_000))
    expected = ConnectionLostError if kind == "disconnect" else ShortReadError
    with pytest.raises(expected) as caught:
        await READS[way](bench.storage)
    assert caught.value.key == "k"
    assert bench.driver.count("stream") < 20
    del caught
    await bench.check(LARGE)


async def test_progress_gives_a_resumed_body_new_tries(bench: Bench) -> None:
    await bench.sound.write_bytes("k", LARGE)
    bench.driver.add(disconnect(500_000, times=1000))
    assert (await bench.storage.read_bytes("k")) == LARGE
    assert bench.driver.count("stream") >= 19


async def test_after_an_error_reading_goes_on_where_it_was(bench: Bench) -> None:
    await bench.sound.write_bytes("k", LARGE)
    async with bench.storage.open("k") as file:
        assert await file.read(10) == LARGE[:10]
        bench.driver.add(error("stream", bench.full(), times=8))
        with pytest.raises(StorageFullError):
            await file.read()
        assert await file.tell() == 10
        bench.driver.clear()
        assert (await file.read()) == LARGE[10:]


async def test_an_object_that_was_replaced_is_never_mixed(bench: Bench) -> None:
    """Resuming asks for the version that was opened."""
    await bench.sound.write_bytes("k", LARGE)
    async with bench.storage.open("k") as file:
        assert await file.read(10) == LARGE[:10]
        bench.driver.add(disconnect(1000, times=3))
        other = bytes(len(LARGE))
        await bench.sound.write_bytes("k", other)
        try:
            assert (await file.read()) == LARGE[10:]
        except ObjectChangedError:
            assert bench.root is None


async def test_a_reader_that_is_closed_while_a_slow_range_is_under_way_leaves_nothing(
    bench: Bench,
) -> None:
    await bench.sound.write_bytes("k", LARGE)
    bench.driver.add(delay("stream", 0.05, nth=2, times=5))
    file = await bench.storage.open("k")
    await file.read(1)
    reading = asyncio.ensure_future(file.read())
    await asyncio.sleep(0.01)
    await file.close()
    with pytest.raises(ClosedError):
        await reading
    await bench.check(LARGE)


# -- the others ------------------------------------------------------------------------------------


async def test_a_listing_says_that_a_page_failed(bench: Bench) -> None:
    bench.driver.add(error("next_page", ConnectionResetError()))
    with pytest.raises(ConnectionLostError) as caught:
        await bench.storage.list()
    assert caught.value.operation == "list"
    assert [entry.name for entry in await bench.storage.list()] == ["k"]


async def test_a_deletion_says_that_it_failed(bench: Bench) -> None:
    bench.driver.add(error("delete", bench.full(), times=2))
    with pytest.raises(StorageFullError):
        await bench.storage.delete("k")
    with pytest.raises((StorageFullError, DeleteManyError)):
        await bench.storage.delete_many(["k"])
    await bench.check()


@pytest.mark.parametrize("call", ["open_update", "read_at", "write_at", "truncate", "flush"])
async def test_a_file_in_place_says_that_a_call_failed(bench: Bench, call: str) -> None:
    bench.driver.add(error(call, bench.full()))
    with pytest.raises(StorageFullError) as caught:
        async with bench.storage.open("k", "rw") as file:
            await file.read(1)
            await file.write(b"x")
            await file.truncate(3)
            await file.flush()
    assert caught.value.key == "k"


async def test_a_transfer_between_storages_that_fails_leaves_both(bench: Bench) -> None:
    await bench.sound.write_bytes("k", LARGE)
    async with MemoryStorage() as memory:
        await memory.write_bytes("there", OLD)
        bench.driver.add(error("stream", bench.full(), nth=2, times=9))
        with pytest.raises(StorageFullError):
            await bench.storage.copy("k", "there", to=memory)
        assert await memory.read_bytes("there") == OLD
        bench.driver.clear()
        bench.driver.add(error("stage", bench.full(), nth=2))
        await memory.write_bytes("there", LARGE)
        await bench.sound.write_bytes("k", OLD)
        with pytest.raises(StorageFullError):
            await memory.copy("there", "k", to=bench.storage)
    await bench.check()


# -- the driver itself -----------------------------------------------------------------------------


async def test_what_was_asked_for_is_recorded(bench: Bench) -> None:
    await bench.storage.write_bytes("k", LARGE)
    names = [call.name for call in bench.driver.calls]
    assert names[-1] == "commit"
    assert names.count("stage") == 3
    assert sum(call.detail[2] for call in bench.driver.calls if call.name == "stage") == len(LARGE)
    bench.driver.clear()
    assert bench.driver.calls == []
    await bench.storage.copy("k", "l")
    call = bench.driver.calls[-1]
    assert (call.name, call.key, call.detail) == ("copy", "k", ("l",))


def test_a_fault_of_no_call_is_refused() -> None:
    for call, nth, times in (("comit", 1, 1), ("stat", 0, 1), ("stat", 1, 0)):
        with pytest.raises(ValueError, match=r"no call|counted from 1"):
            Fault(call, nth, times)


async def test_every_call_can_fail(bench: Bench) -> None:
    """Each name in CALLS stands for a call that is really made."""
    storage, driver = bench.storage, bench.driver
    await storage.write_bytes("k", LARGE)
    await storage.write_bytes("k", OLD)
    await storage.read_bytes("k")
    await storage.stat("k")
    await storage.list()
    await storage.copy("k", "l")
    await storage.move("l", "m")
    await storage.delete("m")
    if bench.root is not None:
        (bench.root / f"{TEMP_PREFIX}left").write_bytes(b"half of")
    await storage.sweep(timedelta(0))
    writer = await storage.open("k", "w")
    await writer.write(LARGE)
    await writer.abort()
    async with storage.open("k", "rw") as file:
        await file.seek(0, 2)
        await file.seek(0)
        await file.read(1)
        await file.write(b"x")
        await file.truncate(1)
        await file.flush()
    made = {call.name for call in driver.calls}
    assert made == CALLS - {"presign"} - ({"leftovers", "discard"} if bench.root is None else set())


def test_it_pickles_with_its_faults() -> None:
    driver = FaultyDriver(MemoryStorage().driver, delay("stat", 1), crash())
    clone: FaultyDriver = pickle.loads(pickle.dumps(driver))
    assert [fault for fault, _ in clone._faults] == [fault for fault, _ in driver._faults]


class TestMemoryUnderNoFault(Conformance):
    """Without faults the driver adds nothing and takes nothing away."""

    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with Storage(FaultyDriver(MemoryStorage().driver), name="memory") as storage:
            yield storage


class TestLocalUnderNoFault(Conformance):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        driver = FaultyDriver(LocalFSStorage(tmp_path / "root", durable=False).driver)
        async with Storage(driver, name="local") as storage:
            yield storage

    async def leftovers(self, storage: Storage) -> list[str]:
        root: Path = storage.driver.inner.root  # type: ignore[attr-defined]
        return [path.name for path in root.rglob(f"{TEMP_PREFIX}*")]
