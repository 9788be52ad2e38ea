"""Every public method of a storage is one operation, however it is carried out inside."""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import copy_context
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import Any

import pytest

from aiostow import (
    FileNotFoundInStorageError,
    InvalidKeyError,
    LocalFSStorage,
    MemoryStorage,
    Storage,
    StorageError,
)
from aiostow._observed import marked
from aiostow._operation import tell_retry
from aiostow._registry import find_class
from aiostow.errors import ClosedError
from aiostow.events import OperationFailed, Target
from aiostow.testing import FaultyDriver
from aiostow.testing.faulty import delay, disconnect, error

from ._recorder import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick_garbage")]

SECRET = "k" * 32
KINDS = ["memory", "local", "s3", "azure", "sftp"]
LASTING = {"open", "list"}
SILENT = {
    "at", "aclose", "is_one_service",  # ask nothing of the service
    "sweep_uploads",  # another name of `sweep`, which is told
}  # fmt: skip
DATA = b"content"
LARGE = bytes(9 << 20)  # more than goes in one piece


@dataclass
class Call:
    """How a method is called, and what is told of it."""

    make: Callable[[Storage, Path], Awaitable[Any] | Any]
    key: str | None = "a/b"
    bytes: int = 0


async def _drained(storage: Storage) -> None:
    async for _ in storage.list("a"):
        pass


async def _read(storage: Storage) -> None:
    async with storage.open("a/b") as file:
        await file.read()


async def _gave() -> AsyncIterator[bytes]:
    yield DATA
    yield DATA


CALLS = {
    "copy": Call(lambda s, _: s.copy("a/b", "c")),
    "create_link_token": Call(
        lambda s, _: s.create_link_token(path="a/b", operation="d", expire=60)
    ),
    "delete": Call(lambda s, _: s.delete("a/b")),
    "delete_many": Call(lambda s, _: s.delete_many(["a/b", "c"]), key=None),
    "deserialize_link_token": Call(
        lambda s, _: s.deserialize_link_token(
            Storage.create_link_token(s, path="a/b", operation="d", expire=60)
        ),
        key=None,
    ),
    "download": Call(lambda s, _: s.download("a/b", io.BytesIO()), bytes=7),
    "exists": Call(lambda s, _: s.exists("a/b")),
    "get": Call(lambda s, folder: s.get("a/b", folder / "got"), bytes=7),
    "leftovers": Call(lambda s, _: s.leftovers(), key=None),
    "link_to": Call(lambda s, _: s.link_to("a/b", "download", 60)),
    "list": Call(lambda s, _: _drained(s), key="a"),
    "move": Call(lambda s, _: s.move("a/b", "c")),
    "open": Call(lambda s, _: _read(s), bytes=7),
    "put": Call(lambda s, folder: s.put(folder / "file", "a/b"), bytes=7),
    "read_bytes": Call(lambda s, _: s.read_bytes("a/b"), bytes=7),
    "stat": Call(lambda s, _: s.stat("a/b")),
    "sweep": Call(lambda s, _: s.sweep(), key=None),
    "upload": Call(lambda s, _: s.upload(_gave(), "a/b"), bytes=14),
    "write_bytes": Call(lambda s, _: s.write_bytes("a/b", LARGE), bytes=len(LARGE)),
}


def public(cls: type) -> set[str]:
    return {
        name
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_")
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_public_method_is_told_of_or_known_to_be_silent(kind: str) -> None:
    cls = find_class(kind)
    assert public(cls) - LASTING - SILENT == set(marked(cls))


def test_every_method_that_storages_share_is_tried_here() -> None:
    assert public(Storage) - SILENT == set(CALLS)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(params=["memory", "local"])
async def storage(
    request: pytest.FixtureRequest, tmp_path: Path, recorder: Recorder
) -> AsyncIterator[Storage]:
    options: dict[str, Any] = {
        "secret_key": SECRET, "linked_endpoint": "https://files.example", "on_event": recorder,
    }  # fmt: skip
    (tmp_path / "file").write_bytes(DATA)
    made = (
        MemoryStorage(**options)
        if request.param == "memory"
        else LocalFSStorage(tmp_path / "root", **options)
    )
    async with made as storage:
        await storage.write_bytes("a/b", DATA)
        recorder.events.clear()
        yield storage
    recorder.check()


async def made(call: Call, storage: Storage, folder: Path) -> Any:
    result = call.make(storage, folder)
    return await result if inspect.isawaitable(result) else result


@pytest.mark.parametrize("name", CALLS)
async def test_an_operation_is_told_once_with_its_key_and_bytes(
    name: str, storage: Storage, recorder: Recorder, tmp_path: Path
) -> None:
    call = CALLS[name]
    await made(call, storage, tmp_path)
    assert recorder.told == [f"Started {name}", f"Finished {name}"]
    event = recorder.finished
    assert event.key == call.key
    assert event.bytes == call.bytes
    assert event.storage == storage.name
    assert event.target.service in ("memory", "file")


@pytest.mark.parametrize("name", CALLS)
async def test_an_operation_of_a_view_is_told_as_such(
    name: str, storage: Storage, recorder: Recorder, tmp_path: Path
) -> None:
    await storage.copy("a/b", "view/a/b")
    recorder.events.clear()
    call = CALLS[name]
    await made(call, storage.at("view"), tmp_path)
    assert recorder.told == [f"Started {name}", f"Finished {name}"]
    assert recorder.finished.key == call.key


@pytest.mark.parametrize("name", CALLS)
async def test_an_operation_on_a_closed_storage_fails_and_is_told_once(
    name: str, storage: Storage, recorder: Recorder, tmp_path: Path
) -> None:
    await storage.aclose()
    call = CALLS[name]
    if name == "deserialize_link_token":
        call = Call(lambda s, _: s.deserialize_link_token("any"))
    with pytest.raises(ClosedError) as caught:
        await made(call, storage, tmp_path)
    assert recorder.told == [f"Started {name}", f"Failed {name}"]
    assert recorder.failed.error is caught.value
    assert recorder.failed.error_type == "ClosedError"
    assert not recorder.failed.cancelled


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"list", "delete_many", "sweep", "leftovers",
                                                     "deserialize_link_token"}))  # fmt: skip
async def test_a_key_that_cannot_be_is_told_of_too(
    name: str, storage: Storage, recorder: Recorder, tmp_path: Path
) -> None:
    source = (tmp_path / "file",) if name == "put" else (io.BytesIO(),) if name == "upload" else ()
    more: dict[str, tuple[Any, ...]] = {
        "write_bytes": (DATA,), "get": (tmp_path / "got",), "download": (io.BytesIO(),),
        "copy": ("c",), "move": ("c",), "link_to": ("download", 60),
    }  # fmt: skip
    with pytest.raises(InvalidKeyError):
        if name == "create_link_token":
            storage.create_link_token(path="../x", operation="d", expire=60)
        elif name == "open":
            storage.open("../x")
        else:
            await getattr(storage, name)(*source, "../x", *more.get(name, ()))
    assert recorder.told == [f"Started {name}", f"Failed {name}"]
    assert recorder.failed.key == "../x"
    assert recorder.failed.error_type == "InvalidKeyError"


async def test_a_listing_that_cannot_be_is_told_of_too(
    storage: Storage, recorder: Recorder
) -> None:
    with pytest.raises(InvalidKeyError):
        storage.list("../x")
    assert recorder.told == ["Started list", "Failed list"]


async def test_keys_are_told_also_where_they_are_given_by_name(
    storage: Storage, recorder: Recorder, tmp_path: Path
) -> None:
    await storage.stat(key="a/b")
    await storage.put(path=tmp_path / "file", key="c")
    await storage.link_to(path="d", operation="download", expire=60)
    assert [event.key for event in recorder.events[::2]] == ["a/b", "c", "d"]


async def test_a_copy_between_storages_is_one_operation_of_the_source(
    storage: Storage, recorder: Recorder
) -> None:
    theirs = Recorder()
    async with MemoryStorage(name="other", on_event=theirs) as other:
        await storage.copy("a/b", "c", to=other)
        assert theirs.events == []
        assert await other.read_bytes("c") == DATA
    assert recorder.told == ["Started copy", "Finished copy"]
    assert recorder.finished.bytes == len(DATA)


async def test_a_move_that_is_a_copy_and_a_deletion_is_one_operation(recorder: Recorder) -> None:
    driver = FaultyDriver(MemoryStorage().driver)
    del driver.move  # as of a service that cannot
    async with Storage(driver, name="s", on_event=recorder) as storage:
        await storage.write_bytes("k", DATA)
        recorder.events.clear()
        await storage.move("k", "l")
        assert recorder.told == ["Started move", "Finished move"]
        assert not await storage.exists("k")


async def test_what_callbacks_ask_for_is_an_operation_of_its_own(
    storage: Storage, recorder: Recorder
) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield await storage.read_bytes("a/b")
        async with storage.open("a/b") as file:
            yield await file.read()

    await storage.upload(source(), "c")
    assert recorder.told == [
        "Started upload", "Started read_bytes", "Finished read_bytes", "Started open",
        "Finished open", "Finished upload",
    ]  # fmt: skip
    assert [getattr(event, "bytes", None) for event in recorder.events] == [
        None, None, 7, None, 7, 14,
    ]  # fmt: skip


async def test_bytes_of_another_storage_are_not_counted(
    storage: Storage, recorder: Recorder
) -> None:
    async with MemoryStorage() as other:
        await other.write_bytes("k", LARGE)

        async def source() -> AsyncIterator[bytes]:
            await other.download("k", io.BytesIO())
            yield DATA

        await storage.upload(source(), "c")
    assert recorder.finished.bytes == len(DATA)


async def test_a_missing_object_is_told_with_its_error(
    storage: Storage, recorder: Recorder
) -> None:
    with pytest.raises(FileNotFoundInStorageError) as caught:
        await storage.read_bytes("nothing")
    assert recorder.told == ["Started read_bytes", "Failed read_bytes"]
    assert recorder.failed.error is caught.value
    assert recorder.failed.error_type == "FileNotFoundInStorageError"


async def test_errors_of_the_callers_own_are_told_by_their_class_alone(
    storage: Storage, recorder: Recorder, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        await storage.put(tmp_path / "nothing", "c")
    assert recorder.failed.error is None
    assert recorder.failed.error_type == "FileNotFoundError"
    assert not recorder.failed.cancelled


async def test_a_cancellation_is_told_apart(recorder: Recorder) -> None:
    driver = FaultyDriver(MemoryStorage().driver, delay("stat", 60))
    async with Storage(driver, name="s", on_event=recorder) as storage:
        task = asyncio.ensure_future(storage.stat("k"))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert recorder.told == ["Started stat", "Failed stat"]
    assert recorder.failed.cancelled
    assert recorder.failed.error is None
    assert 0.005 < recorder.failed.duration < 50


async def test_a_call_that_nobody_awaits_to_its_end_is_told_as_cancelled(
    recorder: Recorder,
) -> None:
    driver = FaultyDriver(MemoryStorage().driver, delay("stat", 60))
    async with Storage(driver, name="s", on_event=recorder) as storage:
        call = storage.stat("k")
        call.send(None)
        call.close()
        assert recorder.failed.cancelled
        assert await storage.exists("k") is False
    recorder.check()


async def test_a_call_that_is_closed_elsewhere_leaves_alone_what_is_under_way_there(
    recorder: Recorder,
) -> None:
    driver = FaultyDriver(MemoryStorage().driver, delay("stat", 60))
    async with Storage(driver, name="s", on_event=recorder) as storage:
        call = storage.stat("k")
        copy_context().run(call.send, None)

        async def source() -> AsyncIterator[bytes]:
            call.close()
            tell_retry(1, 0.0, OSError(), "again")
            yield DATA

        await storage.upload(source(), "l")
    assert [event.operation for event in recorder.retried] == ["upload"]
    recorder.check()


async def test_the_duration_is_that_of_the_operation(recorder: Recorder) -> None:
    driver = FaultyDriver(MemoryStorage().driver, delay("stat", 0.1))
    async with Storage(driver, name="s", on_event=recorder) as storage:
        await storage.exists("k")
    event = recorder.finished
    assert 0.1 <= event.duration < 10
    assert event.timestamp - recorder.started.timestamp == pytest.approx(event.duration * 1e9)


async def test_times_do_not_follow_a_clock_that_is_set(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = FaultyDriver(MemoryStorage().driver, delay("stat", 0.02))
    async with Storage(driver, name="s", on_event=recorder) as storage:
        task = asyncio.ensure_future(storage.exists("k"))
        await asyncio.sleep(0.01)
        monkeypatch.setattr("time.time_ns", lambda: 5)
        monkeypatch.setattr("time.time", lambda: 5e-9)
        await task
    assert 0.01 < recorder.finished.duration < 10
    recorder.check()


async def test_retries_are_told_to_the_operation_that_goes_on_after_another(
    recorder: Recorder,
) -> None:
    driver = FaultyDriver(MemoryStorage().driver)
    async with Storage(driver, name="s", on_event=recorder) as storage:
        await storage.write_bytes("k", LARGE)
        await storage.write_bytes("l", DATA)
        recorder.events.clear()
        async with storage.open("l") as file:

            class Destination:
                async def write(self, data: bytes) -> int:
                    if not await file.tell():
                        await file.read()
                        driver.add(disconnect(1000))
                    return len(data)

            await storage.download("k", Destination())
    assert [event.operation for event in recorder.retried] == ["download"]


async def test_nothing_is_told_of_an_operation_that_has_ended(recorder: Recorder) -> None:
    async def later() -> None:
        await asyncio.sleep(0.01)
        tell_retry(1, 0.0, OSError(), "too late")

    tasks = []

    async def source() -> AsyncIterator[bytes]:
        tasks.append(asyncio.ensure_future(later()))  # inherits what is under way
        tell_retry(1, 0.0, OSError(), "in time")
        yield DATA

    async with MemoryStorage(on_event=recorder) as storage:
        await storage.upload(source(), "k")
        await tasks[0]
    assert [event.reason for event in recorder.retried] == ["in time"]
    recorder.check()


async def test_failures_of_the_driver_are_told_as_its_error(recorder: Recorder) -> None:
    driver = FaultyDriver(MemoryStorage().driver, error("stat", ConnectionError("lost")))
    async with Storage(driver, name="s", on_event=recorder) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.stat("k")
    assert recorder.failed.error is caught.value


async def test_every_operation_has_an_id_of_its_own(storage: Storage, recorder: Recorder) -> None:
    await asyncio.gather(*(storage.stat("a/b") for _ in range(50)))
    assert len({event.id for event in recorder.events}) == 50


def test_events_cannot_be_changed() -> None:
    event = OperationFailed(
        id="i", operation="stat", storage="s", target=Target("memory"), key=None, timestamp=1,
        duration=0.0, bytes=0, error=ClosedError("x"), error_type="ClosedError", cancelled=False,
    )  # fmt: skip
    with pytest.raises(FrozenInstanceError):
        event.bytes = 5  # type: ignore[misc]  # it is frozen
    assert not hasattr(event, "__dict__")
