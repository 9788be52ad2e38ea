"""An open file is one operation from its opening to its end, and so is a pass over a listing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from aiostow import FileNotFoundInStorageError, LocalFSStorage, MemoryStorage, Storage, StorageError
from aiostow.sync import SyncStorage
from aiostow.testing import FaultyDriver
from aiostow.testing.faulty import delay, disconnect, error

from ._recorder import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick_garbage")]

DATA = b"x" * 100
LARGE = bytes(9 << 20)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(params=["memory", "local"])
async def storage(
    request: pytest.FixtureRequest, tmp_path: Path, recorder: Recorder
) -> AsyncIterator[Storage]:
    made = (
        MemoryStorage(on_event=recorder)
        if request.param == "memory"
        else LocalFSStorage(tmp_path / "root", on_event=recorder)
    )
    async with made as storage:
        await storage.write_bytes("k", DATA)
        recorder.events.clear()
        yield storage
    await recorder.settled()
    recorder.check()


@pytest.fixture
async def faulty(recorder: Recorder) -> AsyncIterator[tuple[Storage, FaultyDriver]]:
    driver = FaultyDriver(MemoryStorage().driver)
    async with Storage(driver, name="s", on_event=recorder) as storage:
        await storage.write_bytes("k", LARGE)
        recorder.events.clear()
        yield storage, driver
    recorder.check()


class TestReading:
    async def test_a_reader_is_finished_by_its_end(
        self, storage: Storage, recorder: Recorder
    ) -> None:
        file = await storage.open("k")
        assert recorder.told == ["Started open"]
        await file.read(10)
        await file.close()
        await file.close()
        assert recorder.told == ["Started open", "Finished open"]
        assert recorder.finished.bytes == len(DATA)  # as many as were fetched for it

    async def test_an_opening_that_fails_is_a_failed_operation(
        self, storage: Storage, recorder: Recorder
    ) -> None:
        with pytest.raises(FileNotFoundInStorageError) as caught:
            await storage.open("nothing")
        assert recorder.told == ["Started open", "Failed open"]
        assert recorder.failed.error is caught.value

    async def test_an_opening_that_nobody_awaits_is_none(
        self, storage: Storage, recorder: Recorder
    ) -> None:
        opening = storage.open("k")
        with pytest.warns(RuntimeWarning, match="never awaited"):
            del opening
        await recorder.settled()
        assert recorder.events == []

    async def test_an_error_of_the_callers_does_not_fail_a_reader(
        self, storage: Storage, recorder: Recorder
    ) -> None:
        with contextlib.suppress(ValueError):
            async with storage.open("k"):
                raise ValueError
        assert recorder.told == ["Started open", "Finished open"]

    async def test_a_read_that_failed_last_fails_it(
        self, faulty: tuple[Storage, FaultyDriver], recorder: Recorder
    ) -> None:
        storage, driver = faulty
        file = await storage.open("k")
        driver.add(error("stream", OSError("broken"), times=100))
        with pytest.raises(OSError):
            await file.read()
        assert recorder.told == ["Started open"]
        await file.close()
        assert recorder.told == ["Started open", "Failed open"]
        assert recorder.failed.error_type == "OSError"

    async def test_a_read_that_succeeds_after_all_does_not(
        self, faulty: tuple[Storage, FaultyDriver], recorder: Recorder
    ) -> None:
        storage, driver = faulty
        file = await storage.open("k")
        driver.add(error("stream", OSError("broken")))
        with pytest.raises(OSError):
            await file.read()
        assert len(await file.read()) == len(LARGE)
        await file.close()
        assert recorder.told == ["Started open", "Finished open"]
        assert recorder.finished.bytes == len(LARGE)

    async def test_a_cancelled_read_is_told_apart(
        self, faulty: tuple[Storage, FaultyDriver], recorder: Recorder
    ) -> None:
        storage, driver = faulty
        driver.add(delay("stream", 60))

        async def read() -> None:
            async with storage.open("k") as file:
                await file.read()

        task = asyncio.ensure_future(read())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert recorder.told == ["Started open", "Failed open"]
        assert recorder.failed.cancelled

    async def test_a_resumed_read_is_a_retry_of_its_operation(
        self, faulty: tuple[Storage, FaultyDriver], recorder: Recorder
    ) -> None:
        storage, driver = faulty
        driver.add(disconnect(1000), error("stream", ConnectionError("gone"), nth=2))
        async with storage.open("k") as file:
            await storage.exists("k")  # another, in between
            assert len(await file.read()) == len(LARGE)
        assert [event.operation for event in recorder.retried] == ["open", "open"]
        first, second = recorder.retried
        assert (first.attempt, second.attempt) == (1, 2)
        assert first.pause == 0
        assert 0 < second.pause < 1
        assert first.error_type == "ConnectionLostError"
        assert second.reason == "gone"
        recorder.check()

    async def test_a_resumed_read_is_a_retry_of_any_operation(
        self, faulty: tuple[Storage, FaultyDriver], recorder: Recorder, tmp_path: Path
    ) -> None:
        storage, driver = faulty
        driver.add(disconnect(1000))
        await storage.read_bytes("k")
        driver.add(disconnect(1000))
        await storage.get("k", tmp_path / "got")
        async with MemoryStorage() as other:
            driver.add(disconnect(1000))
            await storage.copy("k", "k", to=other)
        assert [event.operation for event in recorder.retried] == ["read_bytes", "get", "copy"]
        recorder.check()


class TestWriting:
    async def test_a_commit_is_a_finish(self, storage: Storage, recorder: Recorder) -> None:
        async with storage.open("new", "w") as file:
            await file.write(DATA)
            await file.write(LARGE)
            assert recorder.told == ["Started open"]
        assert recorder.told == ["Started open", "Finished open"]
        assert recorder.finished.bytes == len(DATA) + len(LARGE)

    @pytest.mark.parametrize("data", [DATA, LARGE])
    async def test_an_exception_discards_and_fails(
        self, storage: Storage, recorder: Recorder, data: bytes
    ) -> None:
        with contextlib.suppress(ValueError):
            async with storage.open("new", "w") as file:
                await file.write(data)
                raise ValueError("words of the caller's")
        assert recorder.told == ["Started open", "Failed open"]
        event = recorder.failed
        assert (event.error, event.error_type, event.bytes) == (None, "ValueError", len(data))

    async def test_an_abort_fails_as_discarded(self, storage: Storage, recorder: Recorder) -> None:
        file = await storage.open("new", "w")
        await file.write(DATA)
        await file.abort()
        await file.abort()
        assert recorder.told == ["Started open", "Failed open"]
        assert recorder.failed.error_type == "discarded"
        assert not recorder.failed.cancelled

    async def test_close_in_a_finally_clause_fails(
        self, storage: Storage, recorder: Recorder
    ) -> None:
        file = await storage.open("new", "w")
        with contextlib.suppress(ZeroDivisionError):
            try:
                _ = 1 / 0
            finally:
                await file.close()
        assert recorder.failed.error_type == "ZeroDivisionError"

    async def test_a_cancelled_writer_is_told_apart(
        self, storage: Storage, recorder: Recorder
    ) -> None:
        async def write() -> None:
            async with storage.open("new", "w") as file:
                await file.write(DATA)
                await asyncio.sleep(60)

        task = asyncio.ensure_future(write())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert recorder.told == ["Started open", "Failed open"]
        assert recorder.failed.cancelled

    @pytest.mark.parametrize("call", ["write", "begin", "stage", "commit"])
    async def test_a_write_that_fails_is_told_with_its_error(
        self, call: str, faulty: tuple[Storage, FaultyDriver], recorder: Recorder
    ) -> None:
        storage, driver = faulty
        driver.add(error(call, ConnectionError("lost"), times=100))
        with pytest.raises(StorageError) as caught:
            async with storage.open("new", "w") as file:
                await file.write(DATA if call == "write" else LARGE)
        assert recorder.told == ["Started open", "Failed open"]
        assert recorder.failed.error is caught.value

    async def test_a_commit_that_outlives_a_cancellation_is_a_finish(
        self, faulty: tuple[Storage, FaultyDriver], recorder: Recorder
    ) -> None:
        storage, driver = faulty
        driver.add(delay("write", 0.1))
        file = await storage.open("new", "w")
        await file.write(DATA)
        task = asyncio.ensure_future(file.commit())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert recorder.told == ["Started open", "Finished open"]
        assert await storage.exists("new")

    async def test_an_abort_that_fails_ends_the_operation_too(
        self, faulty: tuple[Storage, FaultyDriver], recorder: Recorder
    ) -> None:
        storage, driver = faulty
        driver.add(error("abort", OSError("broken")))
        file = await storage.open("new", "w")
        await file.write(LARGE)
        with pytest.raises(OSError):
            await file.abort()
        assert recorder.told == ["Started open", "Failed open"]


class TestInPlace:
    async def test_what_was_read_and_written_is_counted(
        self, storage: Storage, recorder: Recorder
    ) -> None:
        async with storage.open("k", "rw") as file:
            await file.read()
            await file.write(DATA)
        assert recorder.told == ["Started open", "Finished open"]
        assert recorder.finished.bytes == 2 * len(DATA)

    @pytest.mark.parametrize("call", ["read_at", "write_at", "truncate", "flush", "close_update"])
    async def test_what_failed_last_fails_it(
        self, call: str, faulty: tuple[Storage, FaultyDriver], recorder: Recorder
    ) -> None:
        storage, driver = faulty
        driver.add(error(call, OSError("broken")))
        with pytest.raises(OSError):
            async with storage.open("k", "rw") as file:
                calls: dict[str, Callable[[], Awaitable[object]]] = {
                    "read_at": file.read, "write_at": lambda: file.write(DATA),
                    "truncate": lambda: file.truncate(1), "flush": file.flush,
                    "close_update": file.tell,
                }  # fmt: skip
                await calls[call]()
        assert recorder.told == ["Started open", "Failed open"]
        assert recorder.failed.error_type == "OSError"


class TestListing:
    async def test_each_pass_is_an_operation(self, storage: Storage, recorder: Recorder) -> None:
        listing = storage.list()
        assert recorder.events == []
        await listing
        assert [entry.name async for entry in listing] == ["k"]
        assert recorder.told == ["Started list", "Finished list"] * 2

    async def test_a_pass_that_is_left_early_is_finished(
        self, storage: Storage, recorder: Recorder
    ) -> None:
        async for _ in storage.list():
            break
        await recorder.settled()
        assert recorder.told == ["Started list", "Finished list"]

    async def test_a_pass_is_finished_by_closing_it(
        self, storage: Storage, recorder: Recorder
    ) -> None:
        items = aiter(storage.list())
        await anext(items)
        assert recorder.told == ["Started list"]
        await items.aclose()
        await items.aclose()
        assert recorder.told == ["Started list", "Finished list"]

    async def test_a_page_that_fails_fails_it(
        self, faulty: tuple[Storage, FaultyDriver], recorder: Recorder
    ) -> None:
        storage, driver = faulty
        driver.add(error("next_page", ConnectionError("lost")))
        with pytest.raises(StorageError) as caught:
            await storage.list()
        assert recorder.told == ["Started list", "Failed list"]
        assert recorder.failed.error is caught.value

    async def test_a_cancelled_pass_is_told_apart(
        self, faulty: tuple[Storage, FaultyDriver], recorder: Recorder
    ) -> None:
        storage, driver = faulty
        driver.add(delay("next_page", 60))
        listing = storage.list()
        task = asyncio.ensure_future(_all(listing))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert recorder.told == ["Started list", "Failed list"]
        assert recorder.failed.cancelled


async def _all(listing: object) -> None:
    await listing  # type: ignore[misc]  # a Listing


class TestForgotten:
    @pytest.mark.parametrize(
        ("mode", "told"), [("r", "Finished"), ("w", "Failed"), ("rw", "Finished")]
    )
    async def test_closing_the_storage_ends_what_is_open(
        self, mode: str, told: str, storage: Storage, recorder: Recorder
    ) -> None:
        file = await storage.open("k", mode)
        await storage.aclose()
        assert recorder.told == ["Started open", f"{told} open"]
        assert file.closed

    @pytest.mark.parametrize("mode", ["r", "w", "rw"])
    async def test_a_file_that_nobody_closed_is_told_as_such(
        self, mode: str, storage: Storage, recorder: Recorder
    ) -> None:
        file = await storage.open("k", mode)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del file
            gc.collect()
        while len(recorder.events) < 2:  # what it held is given back first
            await asyncio.sleep(0.01)
            gc.collect()
        assert recorder.told == ["Started open", "Failed open"]
        assert recorder.failed.error_type == "unclosed"

    async def test_what_a_child_forgets_is_the_parents_to_tell(
        self, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with MemoryStorage(on_event=recorder) as storage:
            await storage.write_bytes("k", DATA)
            recorder.events.clear()
            items = aiter(storage.list())
            await anext(items)
            monkeypatch.setattr("aiostow._operation.process_id", lambda: -1)  # as if forked
            del items
            await recorder.settled()
        assert recorder.told == ["Started list"]

    def test_a_file_that_outlives_its_loop_is_told_as_such(self, recorder: Recorder) -> None:
        storage = MemoryStorage(on_event=recorder)

        async def opened() -> object:
            return await storage.open("k", "w")

        file = asyncio.run(opened())
        assert recorder.told == ["Started open"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del file
            gc.collect()
        assert recorder.told == ["Started open", "Failed open"]
        recorder.check()


class TestSync:
    def test_the_facade_tells_the_same(self, recorder: Recorder) -> None:
        with SyncStorage(MemoryStorage(on_event=recorder)) as storage:
            with storage.open("k", "w") as file:
                file.write(b"line\n" * 3)
            with storage.open("k") as file:
                assert len(list(file)) == 3
            with contextlib.suppress(ValueError), storage.open("l", "w") as file:
                raise ValueError
            assert [entry.name for entry in storage.list()] == ["k"]
            for _ in storage.list():
                break
            storage.read_bytes("k")
        recorder.check()
        assert recorder.told == [
            "Started open", "Finished open", "Started open", "Finished open",
            "Started open", "Failed open", "Started list", "Finished list",
            "Started list", "Finished list", "Started read_bytes", "Finished read_bytes",
        ]  # fmt: skip
        assert [getattr(event, "bytes", None) for event in recorder.events][:4] == [
            None, 15, None, 15,
        ]  # fmt: skip
