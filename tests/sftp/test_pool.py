"""Connections and sessions: as many as the work needs, as few as the server allows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from aiostow import Reader, ResourceLimitError, SFTPStorage, WriteOptions
from aiostow.backends import _sftp_pool
from aiostow.testing.conformance._base import pattern

from ._suite import MakeStorage, StartServer, storage_on, temporary, until

pytestmark = pytest.mark.anyio

LARGE = 300_000  # its file stays open as long as its reader
OPENS = 200


@pytest.fixture
async def few(start_server: StartServer, folder: Path) -> AsyncIterator[SFTPStorage]:
    """A storage on an sshd that lets 19 files be open in a session, and few sessions be."""
    async with storage_on(start_server("few-files"), folder.name) as storage:
        await storage.write_bytes("k", pattern(LARGE))
        yield storage


async def test_200_opens_at_once_are_all_served(make_storage: MakeStorage) -> None:
    async with make_storage() as storage:
        await storage.write_bytes("k", pattern(LARGE))

        async def read(number: int) -> bytes:
            async with storage.open("k") as file:
                await file.seek(number)
                return await file.read(1000)

        found = await asyncio.gather(*(read(number) for number in range(OPENS)))
        assert found == [pattern(LARGE)[n : n + 1000] for n in range(OPENS)]
        connections, sessions = storage.driver._pool.size
        assert connections <= 4
        assert sessions > 1


async def test_200_files_stay_open_at_once_over_more_sessions_than_one_connection_has(
    few: SFTPStorage,
) -> None:
    async with AsyncExitStack() as stack:
        opening = [few.open("k") for _ in range(OPENS)]
        files = await asyncio.gather(*(stack.enter_async_context(each) for each in opening))
        connections, sessions = few.driver._pool.size
        assert 2 <= connections <= 4
        assert sessions == 11
        for file in files:
            assert await file.read() == pattern(LARGE)


async def test_who_finds_no_room_waits_for_it_and_is_told_in_the_end(
    start_server: StartServer, folder: Path, few: SFTPStorage
) -> None:
    one = storage_on(start_server("few-files"), folder.name, max_connections=1, timeout=1)
    async with one as storage, AsyncExitStack() as stack:
        files: list[Reader] = []
        with pytest.raises(ResourceLimitError, match="max_connections"):
            while len(files) < 200:
                files.append(await stack.enter_async_context(storage.open("k")))
        connections, sessions = storage.driver._pool.size
        assert connections == 1
        assert len(files) == 19 * sessions
        assert (await storage.stat("k")).size == LARGE  # which opens nothing

        waiting = asyncio.ensure_future(storage.read_bytes("k"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await files[0].close()
        assert await waiting == pattern(LARGE)


async def test_cancelled_opens_leave_no_file_open(
    few: SFTPStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sftp_pool, "_CROWDED", 1000)  # only room counts here
    for moment in range(80):  # which reaches from before the first answer to the last
        for opening in (_opened(few), few.driver.write("w", [b"data"], WriteOptions())):
            task: asyncio.Task[Any] = asyncio.ensure_future(opening)
            await asyncio.sleep(moment * 1e-4)
            task.cancel()
            done = (await asyncio.gather(task, return_exceptions=True))[0]
            if isinstance(done, Reader):
                await done.close()
    # Were one left, these would not fit into the sessions.
    before = few.driver._pool.size
    async with AsyncExitStack() as stack:
        for _ in range(19 * before[1]):
            await stack.enter_async_context(few.open("k"))
        assert few.driver._pool.size == before


async def _opened(storage: SFTPStorage) -> Reader:
    return await storage.open("k")


async def test_cancelled_writes_and_copies_leave_no_file(
    make_storage: MakeStorage, folder: Path
) -> None:
    async with make_storage() as storage:
        await storage.write_bytes("k", b"old")
        driver = storage.driver  # a storage itself waits for a write that has begun
        for moment in range(60):
            for change in (
                driver.write("k", [pattern(1000, moment)], WriteOptions()),
                driver.copy("k", "copy", WriteOptions()),
            ):
                task = asyncio.ensure_future(change)
                await asyncio.sleep(moment * 1e-4)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        assert len(await storage.read_bytes("k")) in (3, 1000)
    assert temporary(folder) == []


async def test_a_server_that_allows_one_session_serves_all(
    make_storage: MakeStorage, start_server: StartServer, folder: Path
) -> None:
    one = storage_on(start_server("one-session"), folder.name, max_connections=2)
    async with one as storage:
        await storage.write_bytes("k", pattern(LARGE))
        found = await asyncio.gather(*(storage.read_bytes("k") for _ in range(60)))
        assert found == [pattern(LARGE)] * 60
        await until(lambda: storage.driver._pool.size == (2, 2))
