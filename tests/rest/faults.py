"""A network and a service that fail, between the library and a real server: for every backend.

A backend's class says by which bytes its requests are known.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar

import pytest

from aiostow import (
    AmbiguousWriteError,
    ClosedError,
    ConnectionLostError,
    FileExistsInStorageError,
    ObjectChangedError,
    Storage,
)
from aiostow.backends.http import TransportError
from aiostow.testing import FaultProxy, WireFault
from aiostow.testing.conformance._base import gather, pattern

MIB = 1 << 20
LARGE = 12 * MIB + 345

Through = Callable[..., Storage]
"""Makes a storage that asks through the proxy, with arguments of the test's own."""


class Faults:
    """The base: how requests are known, and what is looked at in the end.

    The class overrides the fixtures `through` and `direct`, a storage that asks the server itself.
    """

    pytestmark: pytest.MarkDecorator = pytest.mark.anyio

    pieces: ClassVar[tuple[bytes, bytes, bytes]]
    """What the requests of the first three pieces hold."""

    commit: ClassVar[bytes]
    """What the request that makes pieces an object holds."""

    listing: ClassVar[bytes]
    """What a request for a page of a listing holds."""

    @pytest.fixture
    async def storage(self, through: Through) -> AsyncIterator[Storage]:
        async with through(read_timeout=5, retry_deadline=20) as storage:
            yield storage

    async def leftovers(self, storage: Storage) -> list[str]:
        """Return what is stored but invisible, as far as the service can tell."""
        return []


class ReadingFaults(Faults):
    async def test_a_connection_reset_anywhere_is_resumed(
        self, storage: Storage, proxy: FaultProxy, long: bool
    ) -> None:
        data = pattern(LARGE)
        await storage.write_bytes("k", data)
        dice = random.Random(4)
        for turn in range(2000 if long else 200):
            proxy.clear()
            proxy.add(WireFault(b"GET /", reset_at=dice.randrange(1, LARGE)))
            if turn % 2:
                proxy.add(WireFault(b"GET /", reset_at=dice.randrange(1, LARGE)))
            async with asyncio.timeout(30):
                assert await storage.read_bytes("k") == data
            assert proxy.armed

    async def test_a_truncated_body_is_resumed(
        self, storage: Storage, proxy: FaultProxy, long: bool
    ) -> None:
        data = pattern(LARGE)
        await storage.write_bytes("k", data)
        dice = random.Random(5)
        for _ in range(1000 if long else 100):
            proxy.clear()
            proxy.add(WireFault(b"GET /", cut_at=dice.randrange(1, LARGE)))
            async with asyncio.timeout(30):
                assert await storage.read_bytes("k") == data

    async def test_parallel_ranges_that_are_reset_are_resumed(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        data = pattern(40 * MIB)
        await storage.write_bytes("k", data)
        proxy.add(WireFault(b"GET /", rate=16 * MIB))
        dice = random.Random(6)
        for _ in range(6):
            proxy.add(WireFault(b"range: bytes=", reset_at=dice.randrange(1, 4 * MIB)))
        async with storage.open("k") as file:
            assert b"".join([chunk async for chunk in file]) == data
        assert len(proxy.armed) == 7

    async def test_an_object_that_is_replaced_while_it_is_resumed_is_told(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        await storage.write_bytes("k", pattern(LARGE, 1))
        proxy.add(WireFault(b"GET /", reset_at=6 * MIB))
        async with storage.open("k") as file:
            got = await file.read(MIB)
            await storage.write_bytes("k", pattern(LARGE, 2))
            with pytest.raises(ObjectChangedError):
                while chunk := await file.read(MIB):
                    got += chunk
            assert pattern(LARGE, 1).startswith(got)

    async def test_an_object_that_is_deleted_while_it_is_resumed_is_told(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        await storage.write_bytes("k", pattern(LARGE, 1))
        proxy.add(WireFault(b"GET /", reset_at=6 * MIB))
        async with storage.open("k") as file:
            await file.read(MIB)
            await storage.delete("k")
            with pytest.raises(ObjectChangedError):
                await file.read()

    async def test_a_service_that_goes_silent_is_given_up_and_asked_again(
        self, through: Through, proxy: FaultProxy
    ) -> None:
        async with through(read_timeout=0.5) as storage:
            await storage.write_bytes("k", b"data")
            proxy.add(WireFault(b"GET /", black_hole=True))
            assert await storage.read_bytes("k") == b"data"

    async def test_what_stays_broken_is_an_error_in_time(
        self, through: Through, proxy: FaultProxy
    ) -> None:
        async with through(read_timeout=0.3, retry_deadline=2) as storage:
            await storage.write_bytes("k", b"data")
            proxy.add(WireFault(b"GET /", times=None, black_hole=True))
            began = time.monotonic()
            with pytest.raises(ConnectionLostError):
                await storage.read_bytes("k")
            assert time.monotonic() - began < 5

    @pytest.mark.parametrize("closed", ["file", "storage"])
    async def test_a_read_that_waits_ends_when_its_file_is_closed(
        self, through: Through, proxy: FaultProxy, closed: str
    ) -> None:
        async with through() as storage:
            await storage.write_bytes("k", pattern(LARGE))
            proxy.add(WireFault(b"GET /", times=None, rate=200_000))
            file = await storage.open("k")
            task = asyncio.ensure_future(file.read())
            await asyncio.sleep(0.5)
            asked = len(proxy.armed)
            await (file.close() if closed == "file" else storage.aclose())
            async with asyncio.timeout(2):
                with pytest.raises(ClosedError, match="the file was closed while it was read"):
                    await task
            await asyncio.sleep(0.2)
            assert len(proxy.armed) == asked > 0  # and nothing is asked for again
            assert file.closed

    async def test_whoever_waits_for_a_body_is_told_when_it_is_closed(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        await storage.write_bytes("k", pattern(LARGE))
        proxy.add(WireFault(b"GET /", times=None, rate=100_000))
        source = await storage.driver.open_read("k", if_match=None)
        chunks = await source.stream(0, LARGE)
        task = asyncio.ensure_future(gather(chunks))
        await asyncio.sleep(0.2)
        chunks.close()
        async with asyncio.timeout(2):
            with pytest.raises(TransportError, match="the connection was lost"):
                await task

    @pytest.mark.parametrize("call", ["read_bytes", "list"])
    async def test_no_call_waits_for_a_body_once_the_storage_is_closed(
        self, through: Through, proxy: FaultProxy, call: str
    ) -> None:
        async with through() as storage:
            await storage.write_bytes("k", pattern(LARGE))
            proxy.add(WireFault(b"GET /", times=None, rate=100))
            calls: dict[str, Callable[[], Any]] = {
                "read_bytes": lambda: storage.read_bytes("k"),
                "list": storage.list,
            }
            task = asyncio.ensure_future(_awaited(calls[call]()))
            await asyncio.sleep(0.5)
            await storage.aclose()
            async with asyncio.timeout(2):
                with pytest.raises((ClosedError, ConnectionLostError)):
                    await task
            await asyncio.sleep(0.2)
            assert len(proxy.armed) == 1  # and it is not asked again


async def _awaited(call: Awaitable[object]) -> object:
    return await call


class WritingFaults(Faults):
    async def test_resets_anywhere_leave_the_new_object_or_the_old(
        self, storage: Storage, proxy: FaultProxy, long: bool
    ) -> None:
        """Requests are cut while they are sent, by a reset of their answer before it begins."""
        dice = random.Random(7)
        await storage.write_bytes("k", b"old")
        for turn in range(200 if long else 20):
            proxy.clear()
            for match in dice.sample(self.pieces, 2):
                proxy.add(WireFault(match, reset_at=dice.choice([1, 50, 200])))
            data = pattern(LARGE, turn)
            async with asyncio.timeout(60):
                await storage.write_bytes("k", data)
            assert await storage.read_bytes("k") == data
        assert await self.leftovers(storage) == []

    @pytest.mark.parametrize("which", [0, 1, None])
    async def test_a_busy_service_is_waited_for(
        self, storage: Storage, proxy: FaultProxy, which: int | None
    ) -> None:
        match = b"PUT /" if which is None else self.pieces[which]
        proxy.add(WireFault(match, times=3, unavailable=0))
        await storage.write_bytes("k", pattern(LARGE))
        assert await storage.read_bytes("k") == pattern(LARGE)
        assert len(proxy.armed) == 3
        assert await self.leftovers(storage) == []

    async def test_retry_after_is_honoured(self, storage: Storage, proxy: FaultProxy) -> None:
        await storage.write_bytes("k", b"data")
        proxy.add(WireFault(b"GET /", unavailable=1))
        began = time.monotonic()
        assert await storage.read_bytes("k") == b"data"
        assert time.monotonic() - began >= 1

    async def test_a_lost_reply_to_the_commit_is_found_out(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        await storage.write_bytes("k", pattern(LARGE, 1))
        for turn in range(5):
            proxy.clear()
            proxy.add(WireFault(self.commit, drop_reply=True))
            entry = await storage.write_bytes("k", pattern(LARGE, turn))
            assert entry.size == LARGE
            assert len(proxy.armed) == 1
            assert await storage.read_bytes("k") == pattern(LARGE, turn)
            assert await self.leftovers(storage) == []

    async def test_lost_replies_to_parts_are_sent_again(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        proxy.add(*(WireFault(piece, drop_reply=True) for piece in self.pieces))
        await storage.write_bytes("k", pattern(LARGE))
        assert await storage.read_bytes("k") == pattern(LARGE)
        assert await self.leftovers(storage) == []

    async def test_a_create_only_write_whose_reply_was_lost_is_a_success(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        proxy.add(WireFault(b"PUT /", drop_reply=True))
        await storage.write_bytes("k", b"mine", if_absent=True)
        assert len(proxy.armed) == 1
        assert await storage.read_bytes("k") == b"mine"

    async def test_a_create_only_write_that_another_won_is_refused_all_the_same(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        await storage.write_bytes("k", b"theirs")
        proxy.add(WireFault(b"PUT /", drop_reply=True))
        with pytest.raises(FileExistsInStorageError):
            await storage.write_bytes("k", b"mine!!", if_absent=True)
        assert await storage.read_bytes("k") == b"theirs"

    async def test_a_write_that_nobody_answers_is_ambiguous(
        self, through: Through, proxy: FaultProxy
    ) -> None:
        async with through(retry_deadline=1) as storage:
            await storage.write_bytes("k", b"old")
            proxy.add(WireFault(b"PUT /", times=None, drop_reply=True))
            with pytest.raises(AmbiguousWriteError):
                await storage.write_bytes("k", b"new")

    async def test_a_cancelled_upload_leaves_nothing(
        self, storage: Storage, proxy: FaultProxy, long: bool
    ) -> None:
        proxy.add(WireFault(b"PUT /", times=None, latency=0.005))
        await storage.write_bytes("k", b"old")
        dice = random.Random(8)
        for _ in range(100 if long else 12):
            task = asyncio.ensure_future(storage.write_bytes("k", pattern(LARGE)))
            await asyncio.sleep(dice.uniform(0, 0.15))
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await storage.read_bytes("k") in (b"old", pattern(LARGE))
        await storage.driver.connect()
        await storage._shared.cleanups.join()
        assert await self.leftovers(storage) == []

    async def test_nothing_is_left_when_parts_fail_for_good(
        self, through: Through, proxy: FaultProxy
    ) -> None:
        async with through(retry_deadline=1) as storage:
            await storage.write_bytes("k", b"old")
            proxy.add(WireFault(self.pieces[1], times=None, reset_at=1))
            with pytest.raises(ConnectionLostError):
                await storage.write_bytes("k", pattern(LARGE))
            assert await storage.read_bytes("k") == b"old"
            assert await self.leftovers(storage) == []


class ListingFaults(Faults):
    async def test_a_listing_survives_resets_and_refusals(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        keys = [f"k{i:04}" for i in range(1500)]
        for begin in range(0, len(keys), 50):
            some = keys[begin : begin + 50]
            await asyncio.gather(*(storage.write_bytes(key, b"") for key in some))
        for fault in ({"reset_at": 1000}, {"cut_at": 20_000}, {"unavailable": 0}):
            proxy.clear()
            proxy.add(WireFault(self.listing, times=2, **fault))  # type: ignore[arg-type]
            assert [entry.name for entry in await storage.list()] == keys
            assert len(proxy.armed) == 2
