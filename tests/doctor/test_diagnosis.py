"""What a diagnosis says, and that it takes nobody's word for what a storage does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from aiostow import MemoryStorage, Storage
from aiostow.backends.memory import MemoryDriver
from aiostow.doctor import Check, Diagnosis, diagnose
from aiostow.driver import Buffer, Upload
from aiostow.errors import (
    ClosedError,
    InvalidArgumentError,
    InvalidKeyError,
    PermissionDeniedError,
    UnsupportedOperationError,
)
from aiostow.models import ListEntry, WriteOptions
from aiostow.testing import FaultyDriver
from aiostow.testing.faulty import error
from tests.cancellation._cancel import CancelAt

from ._findings import all_green, check, only_failure, with_status

pytestmark = pytest.mark.anyio

SECRET = "CANARY-of-thirty-two-characters-or-more"


async def contents(storage: Storage) -> list[tuple[str, str | None]]:
    return [(entry.name, entry.etag) for entry in await storage.list()]


async def test_a_healthy_storage_is_green_and_as_it_was() -> None:
    endpoint = "https://files.example/links"
    async with MemoryStorage(linked_endpoint=endpoint, secret_key=SECRET) as storage:
        await storage.write_bytes("mine/aiostow-doctor", b"mine")
        before = await contents(storage)
        diagnosis = await diagnose(storage)
        all_green(diagnosis)
        assert await contents(storage) == before
        assert not storage.closed
        assert SECRET not in str(diagnosis)


async def test_below_a_prefix_nothing_else_is_used() -> None:
    keys = []

    class Noting(MemoryDriver):
        async def write(
            self, key: str, buffers: Sequence[Buffer], options: WriteOptions
        ) -> ListEntry:
            keys.append(key)
            return await super().write(key, buffers, options)

    async with Storage(Noting(), name="m") as storage:
        assert (await diagnose(storage, prefix="a/b")).healthy
        assert keys
        assert all(key.startswith("a/b/aiostow-doctor-") for key in keys)
        assert await contents(storage) == []


async def test_the_text_has_a_line_a_check_and_then_what_to_do() -> None:
    diagnosis = Diagnosis(
        "s",
        (
            Check("one", "ok", "fine"),
            Check("two", "failed", "broken", "mend\n it"),
            Check("three", "warning", "odd", "look at it"),
            Check("four", "skipped", "after 'two'"),
        ),
    )
    assert str(diagnosis).splitlines() == [
        "ok    one: fine",
        "FAIL  two: broken",
        "WARN  three: odd",
        "skip  four: after 'two'",
        "  -> two: mend it",
        "  -> three: look at it",
    ]
    assert not diagnosis.healthy
    assert Diagnosis("s", diagnosis.checks[2:]).healthy
    told = json.loads(json.dumps(diagnosis.as_dict()))
    assert told["storage"] == "s"
    assert told["healthy"] is False
    assert told["checks"][1] == {
        "name": "two", "status": "failed", "found": "broken", "advice": "mend\n it",
    }  # fmt: skip


async def test_without_write_nothing_is_changed() -> None:
    driver = FaultyDriver(MemoryDriver())
    async with Storage(driver, name="m") as storage:
        await storage.write_bytes("k", b"mine")
        changing = ("write", "begin", "delete", "copy", "move")
        before = [driver.count(call) for call in changing]
        diagnosis = await diagnose(storage, write=False)
        assert [driver.count(call) for call in changing] == before
    assert diagnosis.healthy
    assert {"write", "read", "delete", "copy"} <= set(with_status(diagnosis, "skipped"))
    assert {"credentials", "place", "list", "stat"} <= set(with_status(diagnosis, "ok"))


async def test_misuse_is_told_at_once() -> None:
    async with MemoryStorage() as storage:
        for origin in ("localhost", "https://a.example/page", "https://a b", "https://u@h", ""):
            with pytest.raises(InvalidArgumentError, match="origin"):
                await diagnose(storage, origin=origin)
        with pytest.raises(InvalidKeyError):
            await diagnose(storage, prefix="../up")
    with pytest.raises(ClosedError):
        await diagnose(storage)


class Liar(MemoryDriver):
    """A service that says it did what it was asked, and does something else."""

    def __init__(self, lie: str) -> None:
        super().__init__()
        self.lie = lie

    async def write(self, key: str, buffers: Sequence[Buffer], options: WriteOptions) -> ListEntry:
        if (self.lie == "create-only" and options.if_absent) or (
            self.lie == "conditional writes" and options.if_match is not None
        ):
            options = WriteOptions()
        if self.lie == "create-only, too late" and options.if_absent and key in self._objects:
            await super().write(key, buffers, WriteOptions())
        if self.lie == "read":
            buffers = [bytes(sum(map(len, buffers)))]
        if self.lie == "replace" and key in self._objects and options == WriteOptions():
            return await self.stat(key)
        return await super().write(key, buffers, options)

    async def stat(self, key: str) -> ListEntry:
        if self.lie == "stat":
            return ListEntry(key, (await super().stat(key)).last_modified, 7)
        return await super().stat(key)

    async def delete(self, keys: Sequence[str]) -> Mapping[str, BaseException]:
        return {} if self.lie == "delete" else await super().delete(keys)

    def scan(self, prefix: str, *, recursive: bool, start_after: str | None) -> Any:
        if self.lie == "list":
            prefix = "nothing/"
        return super().scan(prefix, recursive=recursive, start_after=start_after)

    async def copy(self, src: str, dst: str, options: WriteOptions) -> ListEntry:
        entry = await super().copy(src, dst, options)
        if self.lie == "copy":
            await super().write(dst, [b"other"], WriteOptions())
        return entry


@pytest.mark.parametrize(
    "lie",
    [
        "create-only",
        "create-only, too late",
        "conditional writes",
        "read",
        "replace",
        "stat",
        "list",
        "copy",
    ],
)
async def test_a_service_that_does_not_do_what_it_says_is_found(lie: str) -> None:
    async with Storage(Liar(lie), name="m") as storage:
        await storage.write_bytes("mine", b"mine")
        diagnosis = await diagnose(storage)
        only_failure(diagnosis, lie.partition(",")[0])
        assert [entry.name for entry in await storage.list()] in ([], ["mine"])
        liar = storage.driver
        assert isinstance(liar, Liar)
        liar.lie = ""
        assert [entry.name for entry in await storage.list()] == ["mine"]


async def test_what_is_not_deleted_is_found() -> None:
    async with Storage(Liar("delete"), name="m") as storage:
        only_failure(await diagnose(storage), "delete")


CALLS: list[tuple[str, str, Callable[[], Exception]]] = [
    ("write", "write", lambda: PermissionDeniedError("no")),
    ("delete", "delete", lambda: PermissionDeniedError("no")),
    ("next_page", "list", lambda: PermissionDeniedError("no")),
    ("copy", "copy", lambda: PermissionDeniedError("no")),
    ("begin", "write in pieces", lambda: UnsupportedOperationError("no")),
    ("stream", "read", lambda: PermissionDeniedError("no")),
]


@pytest.mark.parametrize(("call", "name", "raised"), CALLS)
async def test_what_is_refused_is_named_and_what_stands_on_it_is_skipped(
    call: str, name: str, raised: Callable[[], Exception]
) -> None:
    driver = FaultyDriver(MemoryDriver())
    async with Storage(driver, name="m") as storage:
        driver.add(error(call, raised(), times=1000))
        found = only_failure(await diagnose(storage), name)
        left = [] if name == "list" else [entry.name for entry in await storage.list()]
        if name == "delete":
            assert len(left) == 1
            assert left[0] in found.found
        else:
            assert left == []


async def test_a_strangers_words_are_not_repeated() -> None:
    driver = FaultyDriver(MemoryDriver())
    async with Storage(driver, name="m") as storage:
        driver.add(error("write", RuntimeError(SECRET)))
        diagnosis = await diagnose(storage)
    assert check(diagnosis, "write").status == "failed"
    assert "RuntimeError" in check(diagnosis, "write").found
    assert SECRET not in str(diagnosis)


async def test_a_clean_up_that_fails_says_what_may_be_left() -> None:
    driver = FaultyDriver(MemoryDriver())
    async with Storage(driver, name="m") as storage:
        healthy = await diagnose(storage)
        deletions = driver.count("delete") - 3
        driver.add(error("delete", PermissionDeniedError("no"), nth=deletions + 1, times=3))
        diagnosis = await diagnose(storage)
        assert healthy.healthy
        found = only_failure(diagnosis, "clean-up")
        left = [entry.name for entry in await storage.list()]
        assert left
        (name,) = {key[: len("aiostow-doctor-") + 32] for key in left}
        assert repr(name) in found.found


async def test_what_a_killed_examination_left_is_told_and_left_alone() -> None:
    async with MemoryStorage() as storage:
        await storage.write_bytes("aiostow-doctor-0123", b"left")
        diagnosis = await diagnose(storage)
        assert with_status(diagnosis, "warning", "failed") == ["leftovers"]
        assert "aiostow rm aiostow-doctor-0123" in check(diagnosis, "leftovers").advice
        assert [entry.name for entry in await storage.list()] == ["aiostow-doctor-0123"]


class Counting(MemoryDriver):
    """A service that begins and ends uploads, and is slow to tell of it."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way = 0

    async def begin(self, key: str, options: WriteOptions, *, size_hint: int | None) -> Any:
        self.under_way += 1
        await asyncio.sleep(0)
        return Counted(self, await super().begin(key, options, size_hint=size_hint))


class Counted:
    """One of these uploads."""

    def __init__(self, driver: Counting, upload: Upload) -> None:
        self._driver = driver
        self._upload = upload
        self.limits = upload.limits

    async def stage(self, index: int, offset: int, buffers: Sequence[Buffer]) -> None:
        await asyncio.sleep(0)
        await self._upload.stage(index, offset, buffers)

    async def commit(self) -> ListEntry:
        await asyncio.sleep(0)
        self._driver.under_way -= 1
        return await self._upload.commit()

    async def abort(self) -> None:
        await asyncio.sleep(0)
        self._driver.under_way -= 1
        await self._upload.abort()


async def test_a_cancellation_at_any_await_leaves_nothing() -> None:
    at, ended = 1, False
    while not ended:
        for again in (0, 1):
            driver = Counting()
            async with Storage(driver, name="m") as storage:
                await storage.write_bytes("mine", b"mine")
                work = CancelAt(diagnose(storage), at, again)
                try:
                    await work
                except BaseException as exc:
                    assert type(exc).__name__ == "CancelledError"
                else:
                    ended = work.awaits < at
                assert [entry.name for entry in await storage.list()] == ["mine"]
                assert driver.under_way == 0
        at += 1
    assert at > 10


async def test_links_are_made_if_they_are_configured() -> None:
    async with MemoryStorage() as storage:
        assert check(await diagnose(storage), "links").status == "skipped"
    async with MemoryStorage(linked_endpoint="https://files.example/x") as storage:
        found = only_failure(await diagnose(storage), "links")
        assert "secret_key" in found.advice
