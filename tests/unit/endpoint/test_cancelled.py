"""Requests cut off anywhere, by clients that go away and by cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aiostow import LocalFSStorage, MemoryStorage, Storage
from aiostow.backends.memory import MemoryDriver
from aiostow.endpoint import LinkEndpoint, LinkRequest
from aiostow.integrations._steps import ClientGoneError, carry_out, cut_off
from aiostow.keys import TEMP_PREFIX
from aiostow.linkstore import LinkState, LinkStore, MemoryLinkStore, SQLiteLinkStore
from aiostow.testing import FaultyDriver
from aiostow.testing.faulty import delay
from tests.cancellation._cancel import CancelAt

from ._bench import (
    KEY,
    LARGE,
    NEW,
    OLD,
    SECRET,
    Bench,
    Reply,
    ask,
    begin,
    open_files,
    receiving,
    token_of,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("size", [4, 1 << 20], ids=["small", "large"])
@pytest.mark.parametrize("chunks", range(12))
async def test_a_client_that_goes_away_at_any_chunk_stores_nothing(
    bench: Bench, chunks: int, size: int
) -> None:
    await bench.put()
    token = bench.token(once=True)
    came = 0

    async def receive() -> bytes:
        nonlocal came
        came += 1
        if came > chunks:
            raise cut_off(ConnectionResetError())
        return bytes(size)

    with pytest.raises(ClientGoneError):
        await begin(bench.endpoint(), "PUT", token, receive=receive)
    assert bench.written() == {KEY: OLD}
    assert open_files(bench.storage) == []
    assert await bench.state(token) is LinkState.free
    assert (await ask(bench.endpoint(), "PUT", token, NEW)).status == 204


@dataclass
class Place:
    """A storage and a store, for one request after the other."""

    storage: Storage
    store: LinkStore
    root: Path | None = None

    async def state(self, token: str) -> LinkState:
        return await self.store.state(self.storage.deserialize_link_token(token).token_id)

    def leftovers(self) -> list[str]:
        return [] if self.root is None else [p.name for p in self.root.rglob(TEMP_PREFIX + "*")]


@pytest.fixture(params=["memory", "faulty", "local"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    made: Place
    if request.param == "memory":
        made = Place(MemoryStorage(secret_key=SECRET), MemoryLinkStore())
    elif request.param == "faulty":  # every call of the driver takes a turn of the event loop
        names = ("stat", "open_read", "stream", "write", "begin", "stage", "commit", "delete")
        driver = FaultyDriver(
            MemoryDriver(), *(delay(name, 1e-9, times=10**9) for name in (*names, "abort"))
        )
        storage = Storage(driver, name="faulty", secret_key=SECRET)
        made = Place(storage, SQLiteLinkStore(tmp_path / "links"))
    else:
        storage = LocalFSStorage(tmp_path / "root", durable=False, secret_key=SECRET)
        made = Place(storage, SQLiteLinkStore(tmp_path / "links"), tmp_path / "root")
    yield made
    await made.store.aclose()
    await made.storage.aclose()


async def cancelled_at(work: Awaitable[Any], at: int, again: int) -> tuple[CancelAt, Any]:
    """Carry out work that is cancelled at a number of its awaits; return its result, if any."""
    guard = CancelAt(work, at, again)

    async def guarded() -> Any:
        return await guard

    task = asyncio.ensure_future(guarded())
    try:
        return guard, await task
    except asyncio.CancelledError:
        return guard, None


@pytest.mark.parametrize("again", [0, 1], ids=["once", "twice"])
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
async def test_an_upload_cancelled_anywhere_is_done_and_used_or_undone_and_free(
    place: Place, large: bool, again: int
) -> None:
    # "An upload reserves, consumes on commit, releases on failure" (faults.md, replay), "at every
    # await, also twice" (faults.md, faults). Used without an object is a link that is lost; held
    # without an upload is one that is lost for the two minutes of a lease.
    data = LARGE if large else NEW
    chunks = [data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20)]
    endpoint = LinkEndpoint(place.storage, store=place.store, on_upload=lambda use: None)
    tasks = asyncio.all_tasks()
    wrong: list[str] = []
    outcomes: set[bool] = set()
    at = 0
    while True:
        at += 1
        key = f"dir/{at}"
        token = token_of(place.storage, "u", key, once=True)
        request = LinkRequest("PUT", token, {})
        work = carry_out(endpoint.serve(request), receiving(chunks))
        guard, answer = await cancelled_at(work, at, again)
        there = await place.storage.exists(key)
        assert not there or await place.storage.read_bytes(key) == data, "half-stored"
        assert open_files(place.storage) == []
        assert asyncio.all_tasks() == tasks
        assert place.leftovers() == []
        assert answer is None or (answer.status == 204 and there)
        outcomes.add(there)
        state = await place.state(token)
        if state is not (LinkState.used if there else LinkState.free):
            wrong.append(f"await {at}: {state}, object {'there' if there else 'absent'}")
        if there:
            await place.storage.delete(key)
        if guard.awaits < at:
            break
    assert outcomes == {True, False}
    assert wrong == []


@pytest.mark.parametrize("again", [0, 1], ids=["once", "twice"])
@pytest.mark.parametrize("once", [False, True], ids=["many", "once"])
async def test_a_download_cancelled_anywhere_leaves_nothing_open(
    place: Place, once: bool, again: int
) -> None:
    await place.storage.write_bytes(KEY, LARGE)
    endpoint = LinkEndpoint(place.storage, store=place.store, on_download=lambda use: None)
    tasks = asyncio.all_tasks()

    async def served(token: str) -> Reply:
        return await ask(endpoint, "GET", token)

    at = 0
    while True:
        at += 1
        token = token_of(place.storage, "d", once=once)
        guard, answer = await cancelled_at(
            carry_out(endpoint.serve(LinkRequest("GET", token, {})), receiving([])), at, again
        )
        state = await place.state(token)
        if answer is not None:
            assert state is (LinkState.used if once else LinkState.free)
            assert (await answer.download.read()) == LARGE[: 1 << 20]
            await answer.download.aclose()
        elif not again:  # nothing was sent
            assert state is LinkState.free
        assert state in (LinkState.free, LinkState.used)
        assert open_files(place.storage) == []
        assert asyncio.all_tasks() == tasks
        if guard.awaits < at:
            break
    assert at > 1 or isinstance(place.storage, MemoryStorage)


@pytest.mark.parametrize("again", [0, 1], ids=["once", "twice"])
async def test_a_removal_cancelled_anywhere_never_frees_a_link_that_removed(
    place: Place, again: int
) -> None:
    endpoint = LinkEndpoint(place.storage, store=place.store)
    at = 0
    while True:
        at += 1
        await place.storage.write_bytes(KEY, NEW)
        token = token_of(place.storage, "r", once=True)
        work = carry_out(endpoint.serve(LinkRequest("DELETE", token, {})), receiving([]))
        guard, answer = await cancelled_at(work, at, again)
        there = await place.storage.exists(KEY)
        state = await place.state(token)
        assert state in (LinkState.free, LinkState.used)
        assert there or state is LinkState.used
        assert answer is None or not there
        if guard.awaits < at:
            break


async def test_an_upload_cancelled_while_its_last_pieces_are_stored_frees_its_link(
    bench: Bench,
) -> None:
    # All bytes came, and what is left is to wait for the pieces that are under way. Cancelled in
    # that wait, nothing is stored: the link must be free again.
    token = bench.token(once=True)
    bench.driver.add(delay("stage", 0.2, times=100))
    chunks = [bytes(1 << 20) for _ in range(9)]
    task = asyncio.create_task(ask(bench.endpoint(), "PUT", token, *chunks))
    for _ in range(1000):
        await asyncio.sleep(0.001)
        if "on_upload" in bench.log:
            break
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.written() == {}
    assert open_files(bench.storage) == []
    assert await bench.state(token) is LinkState.free
