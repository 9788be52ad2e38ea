"""What a hook may do and may not, where it is called, and which storages have it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import pickle
import threading
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from aiostow import (
    InvalidTypeError,
    LocalFSStorage,
    MemoryStorage,
    ProfileError,
    Profiles,
    Storage,
)
from aiostow._registry import find_class
from aiostow.events import Event, Target
from aiostow.profiles import SyncProfiles
from aiostow.sync import SyncStorage

from ._recorder import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick_garbage")]

KEY = "some-persons/report.pdf"


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


class TestRaising:
    @pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, StopIteration])
    async def test_a_hook_that_raises_disturbs_nothing_and_is_logged_once(
        self, error: type[BaseException], caplog: pytest.LogCaptureFixture
    ) -> None:
        def hook(event: Event) -> None:
            raise error

        async with MemoryStorage(on_event=hook) as storage:
            await storage.write_bytes(KEY, b"x")
            async with storage.open(KEY, "w") as file:
                await file.write(b"yy")
            async with storage.at("some-persons").open("report.pdf") as reader:
                assert await reader.read() == b"yy"
            assert len(await storage.list()) == 1
            storage.at("x")
        (record,) = caplog.records
        assert record.name == "aiostow"
        assert record.levelno == logging.ERROR
        assert record.exc_info is not None
        assert record.exc_info[0] is error
        assert "persons" not in caplog.text

    async def test_each_storage_complains_for_itself(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def hook(event: Event) -> None:
            raise ValueError

        for name in ("a", "b"):
            async with MemoryStorage(on_event=hook, name=name) as storage:
                await storage.exists("k")
        assert [record.args for record in caplog.records] == [
            ("OperationStarted", "a"), ("OperationStarted", "b"),
        ]  # fmt: skip


async def _hook(event: Event) -> None:
    raise AssertionError("it is never called")


class _Awaited:
    async def __call__(self, event: Event) -> None:
        raise AssertionError("it is never called")


@pytest.mark.parametrize("hook", [_hook, _Awaited(), "print", 5, True])
def test_what_is_no_plain_function_is_refused_at_once(hook: Any) -> None:
    with pytest.raises(InvalidTypeError, match="on_event must be a plain function"):
        MemoryStorage(on_event=hook)


class TestWhere:
    async def test_a_hook_is_called_in_the_task_of_the_operation(self) -> None:
        variable: ContextVar[str] = ContextVar("variable")
        seen = []

        def hook(event: Event) -> None:
            seen.append((variable.get(), threading.current_thread(), asyncio.current_task()))

        async with MemoryStorage(on_event=hook) as storage:
            variable.set("mine")
            await storage.exists("k")
        assert seen == [("mine", threading.current_thread(), asyncio.current_task())] * 2

    def test_the_facade_calls_it_in_its_loops_thread_in_the_callers_context(self) -> None:
        variable: ContextVar[str] = ContextVar("variable")
        seen = []

        def hook(event: Event) -> None:
            seen.append((variable.get(), threading.current_thread().name))

        with SyncStorage(MemoryStorage(on_event=hook)) as storage:
            variable.set("mine")
            storage.exists("k")
        assert seen == [("mine", "aiostow-sync")] * 2


class TestTravelling:
    @pytest.mark.parametrize("prefix", ["", "below"])
    async def test_a_hook_does_not_travel_in_pickles(
        self, prefix: str, tmp_path: Path, recorder: Recorder
    ) -> None:
        async with LocalFSStorage(tmp_path, on_event=recorder) as storage:
            await storage.write_bytes("below/k", b"x")
            await storage.write_bytes("k", b"x")
            view = storage.at(prefix) if prefix else storage
            text = pickle.dumps(view)
            recorder.events.clear()
            async with pickle.loads(text) as other:
                assert await other.read_bytes("k") == b"x"
                assert recorder.events == []
        assert b"recorder" not in text.lower()
        assert b"observe" not in text.lower()

    async def test_a_storage_that_nobody_watches_has_its_own_methods(self) -> None:
        async with MemoryStorage() as storage:
            assert not any(map(callable, vars(storage).values()))
            assert vars(storage).keys().isdisjoint(dir(Storage))

    async def test_watched_methods_look_like_their_own(self, recorder: Recorder) -> None:
        async with MemoryStorage(on_event=recorder) as storage:
            for name in ("read_bytes", "write_bytes", "delete"):
                own, watched = getattr(MemoryStorage, name), getattr(storage, name)
                assert inspect.iscoroutinefunction(watched)
                assert watched.__doc__ == own.__doc__
                shown = str(inspect.signature(watched))
                assert shown == str(inspect.signature(own)).replace("self, ", "")

    async def test_a_method_that_a_subclass_replaces_is_told_once(self, recorder: Recorder) -> None:
        class Own(MemoryStorage):
            async def exists(self, key: str) -> bool:
                return await super().exists(key.lower())

        async with Own(on_event=recorder) as storage:
            assert not await storage.exists("K")
        assert recorder.told == ["Started exists", "Finished exists"]
        assert recorder.finished.key == "K"


class TestTargets:
    @pytest.mark.parametrize(
        ("kind", "arguments", "target"),
        [
            ("memory", {}, Target("memory")),
            ("local", {"root": "data"}, Target("file")),
            ("s3", {"bucket": "b", "aws_region": "eu-west-1"}, Target("s3", container="b")),
            (
                "s3",
                {"bucket": "b", "endpoint_url": "http://127.0.0.1:9000"},
                Target("s3", "127.0.0.1", 9000, "b"),
            ),
            (
                "azure",
                {"account": "name", "bucket": "box", "key": "S0VZ"},
                Target("azure", "name.blob.core.windows.net", None, "box"),
            ),
            (
                "azure",
                {"sas_container_url": "https://name.blob.core.windows.net/box?sv=1&sig=x"},
                Target("azure", "name.blob.core.windows.net", None, "box"),
            ),
            ("sftp", {"host": "Host", "username": "me", "port": 22}, Target("sftp", "host", 22)),
        ],
    )
    async def test_an_event_tells_what_the_storage_points_to(
        self, kind: str, arguments: dict[str, Any], target: Target, recorder: Recorder
    ) -> None:
        async with find_class(kind)(**arguments, on_event=recorder) as storage:
            with pytest.raises(ValueError):
                await storage.stat("../x")
        assert recorder.failed.target == target


class TestProfiles:
    @pytest.fixture
    async def profiles(self, recorder: Recorder) -> AsyncIterator[Profiles]:
        own: dict[str, Any] = {"name": "own", "on_event": lambda event: None}
        pairs = [(MemoryStorage, {"name": "a"}), (MemoryStorage, own)]
        async with Profiles(pairs, on_event=recorder) as profiles:
            yield profiles

    async def test_a_hook_of_profiles_is_told_by_all_storages_without_one(
        self, profiles: Profiles, recorder: Recorder
    ) -> None:
        await profiles["a"].exists("k")
        await profiles["own"].exists("k")
        assert recorder.told == ["Started exists", "Finished exists"]
        assert recorder.finished.storage == "a"

    async def test_copies_and_facades_of_profiles_have_it_too(
        self, profiles: Profiles, recorder: Recorder
    ) -> None:
        async with profiles.copy() as copy:
            await copy["a"].exists("k")

        def ask() -> None:
            with SyncProfiles(profiles) as sync:
                sync["a"].exists("k")

        await asyncio.to_thread(ask)
        assert recorder.told == ["Started exists", "Finished exists"] * 2

    async def test_every_source_of_profiles_takes_one(
        self, tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "config.toml"
        path.write_text("[profiles.a]\ntype = 'memory'\nprefix = 'x'\n")
        monkeypatch.setenv("AIOSTOW_CONFIG", str(path))
        for profiles in (
            Profiles.from_file(path, on_event=recorder),
            Profiles.from_environment({"AIOSTOW_PROFILE_A": "memory"}, on_event=recorder),
            Profiles.load(on_event=recorder),
        ):
            async with profiles:
                await profiles["a"].exists("k")
                storage, _ = profiles.at_url("memory://")
                await storage.exists("k")
        assert recorder.told == ["Started exists", "Finished exists"] * 6

    def test_a_hook_cannot_be_written_in_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "config.toml"
        path.write_text("[profiles.a]\ntype = 'memory'\non_event = 'print'\n")
        with pytest.raises(ProfileError, match="given in code only"):
            Profiles.from_file(path).check()


def test_the_recorder_would_notice() -> None:
    """The other tests of this folder could fail."""

    def told(*wanted: str) -> Recorder:
        recorder = Recorder()
        storage = MemoryStorage(on_event=recorder)
        asyncio.run(storage.exists("k"))
        started, finished = recorder.events
        recorder.events = [started if each == "S" else finished for each in wanted]
        return recorder

    told("S", "F").check()
    for wrong in ("S", "F", "SS", "FS", "SFF", "SSF"):
        with pytest.raises((AssertionError, ValueError)):
            told(*wrong).check()
