"""A network and a service that fail, between the library and a real server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from aiostow import (
    AmbiguousWriteError,
    ConnectionLostError,
    FileExistsInStorageError,
    ObjectChangedError,
    S3Storage,
    Storage,
    UnreachableError,
)
from aiostow.backends._s3_driver import S3Client
from aiostow.testing import FaultProxy, FaultyDriver, WireFault
from aiostow.testing.conformance._base import pattern
from aiostow.testing.faulty import error
from tests.servers import S3Server

from ._suite import MakeStorage

pytestmark = pytest.mark.anyio
MIB = 1 << 20
LARGE = 12 * MIB + 345


@pytest.fixture(params=["ceph"])
def server(request: pytest.FixtureRequest, start_server: Callable[[str], S3Server]) -> S3Server:
    """The server to be judged on."""
    return start_server(request.param)


@pytest.fixture
async def storage(make_storage: MakeStorage, proxy: FaultProxy) -> AsyncIterator[S3Storage]:
    url = f"http://127.0.0.1:{proxy.port}"
    async with make_storage(endpoint_url=url, read_timeout=5, retry_deadline=20) as storage:
        yield storage


async def uploads(storage: S3Storage) -> list[str]:
    """Return the ids of the unfinished uploads."""
    return [upload_id async for _, upload_id, _ in storage.driver.sdk.uploads("")]


class TestReading:
    async def test_a_connection_reset_anywhere_is_resumed(
        self, storage: S3Storage, proxy: FaultProxy, long: bool
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
        self, storage: S3Storage, proxy: FaultProxy, long: bool
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
        self, storage: S3Storage, proxy: FaultProxy
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
        self, storage: S3Storage, proxy: FaultProxy
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
        self, storage: S3Storage, proxy: FaultProxy
    ) -> None:
        await storage.write_bytes("k", pattern(LARGE, 1))
        proxy.add(WireFault(b"GET /", reset_at=6 * MIB))
        async with storage.open("k") as file:
            await file.read(MIB)
            await storage.delete("k")
            with pytest.raises(ObjectChangedError):
                await file.read()

    async def test_a_service_that_goes_silent_is_given_up_and_asked_again(
        self, make_storage: MakeStorage, proxy: FaultProxy
    ) -> None:
        url = f"http://127.0.0.1:{proxy.port}"
        async with make_storage(endpoint_url=url, read_timeout=0.5) as storage:
            await storage.write_bytes("k", b"data")
            proxy.add(WireFault(b"GET /", black_hole=True))
            assert await storage.read_bytes("k") == b"data"

    async def test_what_stays_broken_is_an_error_in_time(
        self, make_storage: MakeStorage, proxy: FaultProxy
    ) -> None:
        url = f"http://127.0.0.1:{proxy.port}"
        async with make_storage(endpoint_url=url, read_timeout=0.3, retry_deadline=2) as storage:
            await storage.write_bytes("k", b"data")
            proxy.add(WireFault(b"GET /", times=None, black_hole=True))
            began = time.monotonic()
            with pytest.raises(ConnectionLostError):
                await storage.read_bytes("k")
            assert time.monotonic() - began < 5


class TestWriting:
    async def test_resets_anywhere_leave_the_new_object_or_the_old(
        self, storage: S3Storage, proxy: FaultProxy, long: bool
    ) -> None:
        """Requests are cut while they are sent, by a reset of their answer before it begins."""
        dice = random.Random(7)
        await storage.write_bytes("k", b"old")
        for turn in range(200 if long else 20):
            proxy.clear()
            for match in dice.sample([b"partNumber=1", b"partNumber=2", b"partNumber=3"], 2):
                proxy.add(WireFault(match, reset_at=dice.choice([1, 50, 200])))
            proxy.add(WireFault(b"POST /", times=0))
            data = pattern(LARGE, turn)
            async with asyncio.timeout(60):
                await storage.write_bytes("k", data)
            assert await storage.read_bytes("k") == data
        assert await uploads(storage) == []

    @pytest.mark.parametrize("match", [b"partNumber=1", b"partNumber=2", b"PUT /"])
    async def test_a_busy_service_is_waited_for(
        self, storage: S3Storage, proxy: FaultProxy, match: bytes
    ) -> None:
        proxy.add(WireFault(match, times=3, unavailable=0))
        await storage.write_bytes("k", pattern(LARGE))
        assert await storage.read_bytes("k") == pattern(LARGE)
        assert len(proxy.armed) == 3
        assert await uploads(storage) == []

    async def test_retry_after_is_honoured(self, storage: S3Storage, proxy: FaultProxy) -> None:
        await storage.write_bytes("k", b"data")
        proxy.add(WireFault(b"GET /", unavailable=1))
        began = time.monotonic()
        assert await storage.read_bytes("k") == b"data"
        assert time.monotonic() - began >= 1

    async def test_a_lost_reply_to_complete_is_found_out(
        self, storage: S3Storage, proxy: FaultProxy
    ) -> None:
        await storage.write_bytes("k", pattern(LARGE, 1))
        for turn in range(5):
            proxy.clear()
            proxy.add(WireFault(b"<CompleteMultipartUpload", drop_reply=True))
            entry = await storage.write_bytes("k", pattern(LARGE, turn))
            assert entry.size == LARGE
            assert len(proxy.armed) == 1
            assert await storage.read_bytes("k") == pattern(LARGE, turn)
            assert await uploads(storage) == []

    @pytest.mark.parametrize("server", ["swift"], indirect=True)  # the others forget nothing
    @pytest.mark.parametrize("others", [pattern(5 * MIB, 9), pattern(LARGE, 9)])
    async def test_a_lost_reply_to_complete_is_no_success_when_another_wrote_since(
        self, storage: S3Storage, proxy: FaultProxy, make_storage: MakeStorage, others: bytes
    ) -> None:
        proxy.add(WireFault(b"<CompleteMultipartUpload", drop_reply=True))
        proxy.add(WireFault(b"<CompleteMultipartUpload", unavailable=1))
        task = asyncio.ensure_future(storage.write_bytes("k", pattern(LARGE, 1)))
        while len(proxy.armed) < 2:  # noqa: ASYNC110  # the proxy has a thread of its own
            await asyncio.sleep(0.01)
        async with make_storage() as direct:
            await direct.write_bytes("k", others)
        with pytest.raises(AmbiguousWriteError):
            await task
        assert await storage.read_bytes("k") == others
        assert await uploads(storage) == []

    async def test_lost_replies_to_parts_are_sent_again(
        self, storage: S3Storage, proxy: FaultProxy
    ) -> None:
        proxy.add(*(WireFault(b"partNumber=%d" % n, drop_reply=True) for n in (1, 2, 3)))
        await storage.write_bytes("k", pattern(LARGE))
        assert await storage.read_bytes("k") == pattern(LARGE)
        assert await uploads(storage) == []

    async def test_a_lost_reply_to_create_leaves_what_a_sweep_removes(
        self, storage: S3Storage, proxy: FaultProxy
    ) -> None:
        proxy.add(WireFault(b"POST /", drop_reply=True))
        await storage.write_bytes("k", pattern(LARGE))
        assert await storage.read_bytes("k") == pattern(LARGE)
        assert len(await uploads(storage)) == 1
        assert await storage.sweep_uploads(timedelta(0)) == 1
        assert await uploads(storage) == []

    async def test_a_create_only_write_whose_reply_was_lost_is_a_success(
        self, storage: S3Storage, proxy: FaultProxy
    ) -> None:
        proxy.add(WireFault(b"PUT /", drop_reply=True))
        await storage.write_bytes("k", b"mine", if_absent=True)
        assert len(proxy.armed) == 1
        assert await storage.read_bytes("k") == b"mine"

    async def test_a_create_only_write_that_another_won_is_refused_all_the_same(
        self, storage: S3Storage, proxy: FaultProxy
    ) -> None:
        await storage.write_bytes("k", b"theirs")
        proxy.add(WireFault(b"PUT /", drop_reply=True))
        with pytest.raises(FileExistsInStorageError):
            await storage.write_bytes("k", b"mine!!", if_absent=True)
        assert await storage.read_bytes("k") == b"theirs"

    @pytest.mark.parametrize("server", ["ministack"], indirect=True)
    async def test_a_create_only_write_whose_etag_tells_nothing_is_ambiguous(
        self, make_storage: MakeStorage, proxy: FaultProxy
    ) -> None:
        url = f"http://127.0.0.1:{proxy.port}"
        kms = {"server_side_encryption": "aws:kms", "kms_key_id": "a-key"}
        async with make_storage(endpoint_url=url, **kms) as storage:
            await storage.write_bytes("k", b"theirs")
            proxy.add(WireFault(b"PUT /", drop_reply=True))
            with pytest.raises(AmbiguousWriteError):
                await storage.write_bytes("k", b"mine!!", if_absent=True)

    async def test_nothing_is_sent_again_behind_our_back(
        self, storage: S3Storage, proxy: FaultProxy
    ) -> None:
        """aiohttp repeats requests on a connection that was used before, unless it is told not."""
        await storage.write_bytes("warm", b"")
        seen: list[bool] = []
        client: S3Client = storage.driver._clients.current()
        put = client.plane.put

        async def watched(*args: Any) -> Any:
            answer = await put(*args)
            seen.append(answer.unsure)
            return answer

        client.plane.put = watched  # type: ignore[method-assign, assignment]
        proxy.add(WireFault(b"PUT /", drop_reply=True))
        await storage.write_bytes("k", b"data")
        assert seen == [True]

    async def test_a_write_that_nobody_answers_is_ambiguous(
        self, make_storage: MakeStorage, proxy: FaultProxy
    ) -> None:
        url = f"http://127.0.0.1:{proxy.port}"
        async with make_storage(endpoint_url=url, retry_deadline=1) as storage:
            await storage.write_bytes("k", b"old")
            proxy.add(WireFault(b"PUT /", times=None, drop_reply=True))
            with pytest.raises(AmbiguousWriteError):
                await storage.write_bytes("k", b"new")

    async def test_a_cancelled_upload_leaves_nothing(
        self, storage: S3Storage, proxy: FaultProxy, long: bool
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
        assert await uploads(storage) == []

    async def test_nothing_is_left_when_parts_fail_for_good(
        self, make_storage: MakeStorage, proxy: FaultProxy
    ) -> None:
        url = f"http://127.0.0.1:{proxy.port}"
        async with make_storage(endpoint_url=url, retry_deadline=1) as storage:
            await storage.write_bytes("k", b"old")
            proxy.add(WireFault(b"partNumber=2", times=None, reset_at=1))
            with pytest.raises(ConnectionLostError):
                await storage.write_bytes("k", pattern(LARGE))
            assert await storage.read_bytes("k") == b"old"
            assert await uploads(storage) == []


class TestListing:
    async def test_a_listing_survives_resets_and_refusals(
        self, storage: S3Storage, proxy: FaultProxy
    ) -> None:
        keys = [f"k{i:04}" for i in range(1500)]
        for begin in range(0, len(keys), 50):
            some = keys[begin : begin + 50]
            await asyncio.gather(*(storage.write_bytes(key, b"") for key in some))
        for fault in ({"reset_at": 1000}, {"cut_at": 20_000}, {"unavailable": 0}):
            proxy.clear()
            proxy.add(WireFault(b"list-type=2", times=2, **fault))  # type: ignore[arg-type]
            assert [entry.name for entry in await storage.list()] == keys
            assert len(proxy.armed) == 2


async def test_the_driver_that_fails_on_purpose_stands_over_s3_too(
    make_storage: MakeStorage,
) -> None:
    async with make_storage() as storage:
        faulty = FaultyDriver(storage.driver, error("presign", ConnectionResetError()))
        async with Storage(faulty, name="faulty") as over:
            await over.write_bytes("k", b"data")
            with pytest.raises(ConnectionLostError):
                await over.link_to("k", "download", 60)
            assert "X-Amz-Signature" in await over.link_to("k", "download", 60)
            assert [call.name for call in faulty.calls].count("presign") == 2


async def test_a_service_that_is_not_there_is_told_in_time(make_storage: MakeStorage) -> None:
    for data_plane in ("auto", "sdk"):
        url = "http://127.0.0.1:9"  # the port of discard, where nothing listens
        async with make_storage(
            endpoint_url=url, connect_timeout=2, data_plane=data_plane
        ) as storage:
            calls: list[Callable[[S3Storage], Any]] = [
                lambda s: s.read_bytes("k"),
                lambda s: s.write_bytes("k", b"1"),
                lambda s: s.list(),
                lambda s: s.delete("k"),
                lambda s: s.copy("k", "l"),
            ]
            for call in calls:
                began = time.monotonic()
                with pytest.raises(UnreachableError, match="could not be reached"):
                    await call(storage)
                assert time.monotonic() - began < (2 if data_plane == "auto" else 10)
