"""What is told of operations on sshd while connections break."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiostow import ConnectionLostError, SFTPStorage
from aiostow.events import Target
from aiostow.testing.conformance._base import pattern
from tests.events._recorder import Recorder

from ._suite import MakeStorage
from ._wire import Wire

pytestmark = pytest.mark.anyio
MIB = 1 << 20
LARGE = 3 * MIB + 345


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def storage(through: MakeStorage, recorder: Recorder) -> AsyncIterator[SFTPStorage]:
    async with functools.partial(through, on_event=recorder)(timeout=5) as storage:
        await storage.exists("k")  # it is connected
        recorder.events.clear()
        yield storage
    await recorder.settled()
    recorder.check()


def old(folder: Path, data: bytes) -> None:
    """Write a file that was last changed a minute ago."""
    folder.mkdir(exist_ok=True)
    (folder / "k").write_bytes(data)
    os.utime(folder / "k", (time.time() - 60,) * 2)


async def test_a_reconnection_is_a_retry_of_the_operation(
    storage: SFTPStorage, wire: Wire, recorder: Recorder, folder: Path
) -> None:
    old(folder, b"x")
    wire.down = 1  # with the next answer
    await storage.stat("k")
    (event,) = recorder.retried
    assert (event.operation, event.key, event.attempt) == ("stat", "k", 1)
    assert event.reason == "the connection was lost"
    assert event.error_type == "ConnectionLost"
    assert 0 < event.pause < 1
    assert recorder.finished.target == Target("sftp", "127.0.0.1", wire.port)


@pytest.mark.parametrize("whole", [True, False])
async def test_a_read_that_goes_on_is_a_retry_of_whoever_reads(
    storage: SFTPStorage, wire: Wire, recorder: Recorder, folder: Path, whole: bool
) -> None:
    data = pattern(LARGE)
    old(folder, data)
    wire.down = MIB
    if whole:
        assert await storage.read_bytes("k") == data
    else:
        async with storage.open("k") as file:
            assert await file.read() == data
    assert recorder.retried
    operation = "read_bytes" if whole else "open"
    assert {event.operation for event in recorder.retried} == {operation}
    assert recorder.finished.bytes == LARGE


async def test_a_write_that_begins_anew_is_a_retry(
    storage: SFTPStorage, wire: Wire, recorder: Recorder
) -> None:
    wire.up = 20_000
    await storage.write_bytes("k", bytes(100_000))
    assert [event.operation for event in recorder.retried] == ["write_bytes"]


async def test_a_server_that_stays_away_fails_the_operation_after_its_retries(
    storage: SFTPStorage, wire: Wire, recorder: Recorder
) -> None:
    wire.closed = True
    wire.reset()
    with pytest.raises(ConnectionLostError) as caught:
        await storage.stat("k")
    assert [event.attempt for event in recorder.retried] == [1, 2, 3]
    assert recorder.failed.error is caught.value


async def test_a_listing_that_is_left_is_told_while_its_connection_lives_on(
    through: MakeStorage, recorder: Recorder, folder: Path
) -> None:
    old(folder, b"x")
    async with functools.partial(through, on_event=recorder)() as storage:
        async for _ in storage.list():  # which makes the connection
            break
        await asyncio.sleep(0)
        await recorder.settled()
        assert recorder.told == ["Started list", "Finished list"]
