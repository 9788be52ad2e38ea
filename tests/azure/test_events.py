"""What is told of operations on Azurite while the network and the service fail."""

from __future__ import annotations

import functools

import pytest

from aiostow import AzureStorage, StorageError
from aiostow.events import Target
from aiostow.testing import FaultProxy, WireFault
from aiostow.testing.conformance._base import pattern
from tests.events._recorder import Recorder

from ._suite import ACCOUNT, MakeStorage

pytestmark = pytest.mark.anyio
MIB = 1 << 20
LARGE = 12 * MIB + 345


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def through(make_storage: MakeStorage, proxy: FaultProxy, recorder: Recorder) -> MakeStorage:
    endpoint = f"http://127.0.0.1:{proxy.port}/{ACCOUNT}"
    return functools.partial(make_storage, endpoint=endpoint, on_event=recorder)


async def test_a_busy_service_is_a_retry_of_the_operation(
    through: MakeStorage, proxy: FaultProxy, recorder: Recorder
) -> None:
    async with through() as storage:
        proxy.add(WireFault(b"PUT /", unavailable=1, times=2))
        await storage.write_bytes("k", b"x")
    recorder.check()
    assert [event.attempt for event in recorder.retried] == [1, 2]
    for event in recorder.retried:
        assert event.operation == "write_bytes"
        assert 1 <= event.pause < 2
        assert event.error_type == "ServiceError"
        assert event.reason.startswith("503")
    target = recorder.finished.target
    assert target.service == "azure"
    assert target == Target("azure", "127.0.0.1", proxy.port, target.container)


@pytest.mark.parametrize("whole", [True, False])
async def test_a_body_that_breaks_off_is_a_retry_of_whoever_reads_it(
    through: MakeStorage, proxy: FaultProxy, recorder: Recorder, whole: bool
) -> None:
    data = pattern(LARGE)
    async with through() as storage:
        await storage.write_bytes("k", data)
        recorder.events.clear()
        proxy.add(WireFault(b"GET /", reset_at=MIB))
        if whole:
            assert await storage.read_bytes("k") == data
        else:
            async with storage.open("k") as file:
                assert await file.read() == data
    recorder.check()
    operation = "read_bytes" if whole else "open"
    assert {event.operation for event in recorder.retried} == {operation}


async def test_blocks_that_fail_are_retries_of_the_writer(
    through: MakeStorage, proxy: FaultProxy, recorder: Recorder
) -> None:
    async with through() as storage:
        proxy.add(WireFault(b"comp=block ", reset_at=0), WireFault(b"comp=blocklist", reset_at=0))
        async with storage.open("k", "w") as file:
            await file.write(pattern(LARGE))
    recorder.check()
    assert [event.operation for event in recorder.retried] == ["open"] * 2
    assert recorder.finished.bytes == LARGE


async def test_what_only_azure_has_is_told_without_signatures(
    through: MakeStorage, make_storage: MakeStorage, recorder: Recorder
) -> None:
    async with through() as storage, make_storage() as direct:
        assert isinstance(storage, AzureStorage)
        await direct.write_bytes("k", b"xyz")
        url = await direct.link_to("k", "download", 60)
        with pytest.raises(StorageError):
            await storage.copy_from_url(f"{url}x", "l")
        await storage.set_access_tier("k", "Cool")
        links = [
            await storage.create_upload_url("k", 60),
            await storage.create_download_url("k", 60),
            await storage.create_container_url(60),
        ]
    recorder.check()
    assert recorder.told[::2] == [
        "Started copy_from_url", "Started set_access_tier", "Started create_upload_url",
        "Started create_download_url", "Started create_container_url",
    ]  # fmt: skip
    assert [event.key for event in recorder.events[::2]] == ["l", "k", "k", "k", None]
    shown = repr(recorder.events)
    for link in (url, *links):
        assert link not in shown
        assert link.rpartition("sig=")[2][:20] not in shown
