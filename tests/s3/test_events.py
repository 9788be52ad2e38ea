"""What is told of operations on Ceph while the network and the service fail."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from aiostow import FileNotFoundInStorageError, ServiceUnavailableError
from aiostow.events import Target
from aiostow.testing import FaultProxy, WireFault
from aiostow.testing.conformance._base import pattern
from tests.events._recorder import Recorder
from tests.servers import S3Server

from ._suite import MakeStorage

pytestmark = pytest.mark.anyio
MIB = 1 << 20
LARGE = 12 * MIB + 345


@pytest.fixture(params=["ceph"])
def server(request: pytest.FixtureRequest, start_server: Callable[[str], S3Server]) -> S3Server:
    return start_server(request.param)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def through(make_storage: MakeStorage, proxy: FaultProxy, recorder: Recorder) -> MakeStorage:
    return functools.partial(
        make_storage, endpoint_url=f"http://127.0.0.1:{proxy.port}", on_event=recorder
    )


async def test_a_busy_service_is_a_retry_of_the_operation(
    through: MakeStorage, proxy: FaultProxy, recorder: Recorder
) -> None:
    async with through() as storage:
        proxy.add(WireFault(b"PUT /", unavailable=1, times=2))
        await storage.write_bytes("k", b"x")
    recorder.check()
    assert [event.operation for event in recorder.retried] == ["write_bytes"] * 2
    assert [event.attempt for event in recorder.retried] == [1, 2]
    for event in recorder.retried:
        assert event.key == "k"
        assert 1 <= event.pause < 2
        assert event.error_type == "ServiceError"
        assert event.reason.startswith("503")
    assert recorder.finished.duration > 2
    assert recorder.finished.bytes == 1
    target = recorder.finished.target
    assert target == Target("s3", "127.0.0.1", proxy.port, storage.driver.config.bucket)


async def test_a_lost_connection_is_a_retry_of_the_operation(
    through: MakeStorage, proxy: FaultProxy, recorder: Recorder
) -> None:
    async with through() as storage:
        await storage.write_bytes("k", b"x")
        recorder.events.clear()
        proxy.add(WireFault(b"HEAD /", reset_at=0))
        await storage.stat("k")
    recorder.check()
    (event,) = recorder.retried
    assert (event.operation, event.attempt, event.pause) == ("stat", 1, 0)
    assert (event.error_type, event.reason) == ("TransportError", "the connection was lost")


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
                await storage.stat("k")  # another, in between
                assert await file.read() == data
    recorder.check()
    operation = "read_bytes" if whole else "open"
    assert {event.operation for event in recorder.retried} == {operation}
    assert recorder.retried[0].error_type == "ConnectionLostError"


async def test_parts_that_fail_are_retries_of_the_writer(
    through: MakeStorage, proxy: FaultProxy, recorder: Recorder
) -> None:
    async with through(part_size=5 * MIB) as storage:
        proxy.add(
            WireFault(b"partNumber=1", drop_reply=True), WireFault(b"partNumber=2", reset_at=0)
        )
        proxy.add(WireFault(b"<CompleteMultipartUpload", unavailable=0))
        async with storage.open("k", "w") as file:
            await file.write(pattern(LARGE))
    recorder.check()
    assert [event.operation for event in recorder.retried] == ["open"] * 3
    assert recorder.finished.bytes == LARGE


async def test_a_service_that_stays_down_fails_the_operation_after_its_retries(
    through: MakeStorage, proxy: FaultProxy, recorder: Recorder
) -> None:
    async with through(retry_deadline=2) as storage:
        proxy.add(WireFault(b"HEAD /", unavailable=0, times=None))
        with pytest.raises(ServiceUnavailableError) as caught:
            await storage.stat("k")
    recorder.check()
    assert recorder.retried
    assert recorder.failed.error is caught.value


async def test_what_the_sdk_tries_again_is_told_too(
    through: MakeStorage, proxy: FaultProxy, recorder: Recorder
) -> None:
    async with through(data_plane="sdk") as storage:
        await storage.write_bytes("k", b"x")
        with pytest.raises(FileNotFoundInStorageError):
            await storage.stat("nothing")
        assert not recorder.retried
        recorder.events.clear()
        proxy.add(WireFault(b"GET /", unavailable=0, times=2))
        assert await storage.read_bytes("k") == b"x"
    recorder.check()
    assert [event.operation for event in recorder.retried] == ["read_bytes"] * 2
    assert [event.attempt for event in recorder.retried] == [1, 2]
    for event in recorder.retried:
        assert event.error_type == "ServiceError"
        assert event.reason.startswith("503")
        assert 0 <= event.pause < 10


async def test_no_event_holds_a_signature(
    through: MakeStorage, proxy: FaultProxy, recorder: Recorder, server: S3Server
) -> None:
    token: dict[str, Any] = {"aws_secret_access_key": "c4n4ry" * 6, "retry_deadline": 2}
    async with through(**token) as storage:
        proxy.add(WireFault(b"PUT /", unavailable=0))
        with pytest.raises(PermissionError):
            await storage.write_bytes("k", b"x")
        url = await storage.link_to("k", "download", 60)
    shown = repr(recorder.events)
    assert "Failed" in shown
    assert server.access_key not in shown
    for secret in ("c4n4ry", "X-Amz", url.rpartition("=")[2]):
        assert secret not in shown
