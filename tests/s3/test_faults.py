"""A network and a service that fail, between the library and a real server."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from aiostow import (
    AmbiguousWriteError,
    ConnectionLostError,
    S3Storage,
    Storage,
    UnreachableError,
)
from aiostow.backends._s3_driver import S3Client
from aiostow.testing import FaultProxy, FaultyDriver, WireFault
from aiostow.testing.conformance._base import pattern
from aiostow.testing.faulty import error
from tests.rest.faults import LARGE, Faults, ListingFaults, ReadingFaults, Through, WritingFaults
from tests.servers import S3Server

from ._suite import MakeStorage

pytestmark = pytest.mark.anyio
MIB = 1 << 20


@pytest.fixture(params=["ceph"])
def server(request: pytest.FixtureRequest, start_server: Callable[[str], S3Server]) -> S3Server:
    """The server to be judged on."""
    return start_server(request.param)


@pytest.fixture
def through(make_storage: MakeStorage, proxy: FaultProxy) -> Through:
    return functools.partial(make_storage, endpoint_url=f"http://127.0.0.1:{proxy.port}")


async def uploads(storage: S3Storage) -> list[str]:
    """Return the ids of the unfinished uploads."""
    return [upload_id async for _, upload_id, _ in storage.driver.sdk.uploads("")]


class S3Faults(Faults):
    pieces = (b"partNumber=1", b"partNumber=2", b"partNumber=3")
    commit = b"<CompleteMultipartUpload"
    listing = b"list-type=2"

    async def leftovers(self, storage: Storage) -> list[str]:
        assert isinstance(storage, S3Storage)
        return await uploads(storage)


class TestReading(S3Faults, ReadingFaults):
    pass


class TestListing(S3Faults, ListingFaults):
    pass


class TestWriting(S3Faults, WritingFaults):
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

    async def test_a_lost_reply_to_create_leaves_what_a_sweep_removes(
        self, storage: S3Storage, proxy: FaultProxy
    ) -> None:
        proxy.add(WireFault(b"POST /", drop_reply=True))
        await storage.write_bytes("k", pattern(LARGE))
        assert await storage.read_bytes("k") == pattern(LARGE)
        assert len(await uploads(storage)) == 1
        assert await storage.sweep_uploads(timedelta(0)) == 1
        assert await uploads(storage) == []

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
