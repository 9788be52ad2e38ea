"""The link endpoint without a network: what is answered, in which order things are done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.cancellation._cancel import CancelAt

import aiostow.errors
from aiostow import (
    InvalidArgumentError,
    InvalidTypeError,
    LocalFSStorage,
    MemoryStorage,
    ShareLinkOperation,
    Storage,
    StorageError,
)
from aiostow._answers import RefusedError, answer_to
from aiostow._conditions import Validators
from aiostow._upload_body import UploadBody
from aiostow.backends.memory import MemoryDriver
from aiostow.endpoint import (
    Answer,
    LinkEndpoint,
    LinkRefusedError,
    LinkRequest,
    LinkUse,
    token_in,
)
from aiostow.integrations._steps import ClientGoneError, carry_out, cut_off
from aiostow.integrations.asgi import LinkApp
from aiostow.keys import TEMP_PREFIX
from aiostow.linkstore import LinkState, LinkStore, MemoryLinkStore, SQLiteLinkStore
from aiostow.sync import SyncStorage
from aiostow.testing import Fault, FaultyDriver, pattern
from aiostow.testing.faulty import delay, error, lost_reply

pytestmark = pytest.mark.anyio

SECRET = "0123456789abcdef0123456789abcdef"
KEY = "dir/the-key.txt"
OLD, NEW = b"what is there", b"what is sent"
LARGE = pattern(9 << 20, 5)  # several pieces of a memory or a disk

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class Clock:
    """A time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class NotedStore:
    """A store that notes what it is asked, and fails where a test says so."""

    def __init__(self, log: list[str], clock: Callable[[], float] = time.time) -> None:
        self.inner = MemoryLinkStore(clock)
        self.log = log
        self.failing: set[str] = set()

    def _note(self, name: str, method: str | None = None) -> None:
        self.log.append(name)
        if (method or name) in self.failing:
            raise OSError("the store's own secret message")

    async def state(self, token_id: str) -> LinkState:
        self._note("state")
        return await self.inner.state(token_id)

    async def take(self, token_id: str, holder: str, *, until: float, expires: float) -> bool:
        self._note("use up" if until == float("inf") else "hold")
        return await self.inner.take(token_id, holder, until=until, expires=expires)

    async def release(self, token_id: str, holder: str) -> None:
        self._note("release")
        await self.inner.release(token_id, holder)

    async def revoke(self, token_id: str, *, expires: float) -> None:
        self._note("revoke")
        await self.inner.revoke(token_id, expires=expires)

    async def aclose(self) -> None:
        await self.inner.aclose()


class NotedDriver(FaultyDriver):
    """A driver that notes its calls among those of hooks and store."""

    def __init__(self, log: list[str], *faults: Fault) -> None:
        super().__init__(MemoryDriver(), *faults)
        self.log = log

    def due(self, name: str, key: str | None, *detail: Any) -> Fault | None:
        if name != "connect":
            self.log.append(name)
        return super().due(name, key, *detail)


@dataclass
class Reply:
    """An answer whose bytes were read."""

    status: int
    headers: dict[str, str]
    body: bytes
    path: str | None = None


@dataclass
class Bench:
    """An endpoint over a memory, where everything that happens is noted."""

    faults: tuple[Fault, ...] = ()
    clock: Clock = field(default_factory=Clock)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.driver = NotedDriver(self.log, *self.faults)
        self.storage = Storage(self.driver, name="bench", secret_key=SECRET)
        self.store = NotedStore(self.log, self.clock)

    def hook(self, name: str, raises: BaseException | None = None) -> Callable[[LinkUse], None]:
        def called(use: LinkUse) -> None:
            self.log.append(name)
            if raises is not None:
                raise raises

        return called

    def endpoint(self, **options: Any) -> LinkEndpoint:
        names = ("authorize", "on_download", "on_upload", "on_remove", "on_success")
        hooks = {name: self.hook(name) for name in names}
        return LinkEndpoint(
            self.storage, **{"store": self.store, "clock": self.clock, **hooks, **options}
        )

    def token(self, operation: str = "dur", path: str = KEY, **options: Any) -> str:
        return token_of(self.storage, operation, path, **options)

    async def state(self, token: str) -> LinkState:
        return await self.store.inner.state(self.storage.deserialize_link_token(token).token_id)

    def written(self) -> dict[str, bytes]:
        """What is there, seen past everything."""
        inner = self.driver.inner
        assert isinstance(inner, MemoryDriver)
        return {key: found.data for key, found in inner._objects.items()}

    async def put(self, data: bytes = OLD, path: str = KEY) -> None:
        await self.storage.write_bytes(path, data)
        self.log.clear()


def token_of(storage: Storage, operation: str, path: str = KEY, **options: Any) -> str:
    return storage.create_link_token(
        path=path, operation=operation, expire=options.pop("expire", 86400.0), **options
    )


def receiving(chunks: Iterable[bytes]) -> Callable[[], Awaitable[bytes]]:
    """Return what gives some bytes after the other, each after a turn of the event loop."""
    left = iter(chunks)

    async def receive() -> bytes:
        await asyncio.sleep(0)
        return next(left, b"")

    return receive


async def begin(
    endpoint: LinkEndpoint,
    method: str,
    token: str,
    *chunks: bytes,
    headers: dict[str, str] | None = None,
    receive: Callable[[], Awaitable[bytes]] | None = None,
    **options: Any,
) -> Answer:
    request = LinkRequest(method, token, headers or {}, **options)
    return await carry_out(endpoint.serve(request), receive or receiving(chunks))


async def ask(
    endpoint: LinkEndpoint, method: str, token: str, *chunks: bytes, **more: Any
) -> Reply:
    answer = await begin(endpoint, method, token, *chunks, **more)
    body, path = answer.body, None
    if (download := answer.download) is not None:
        path = download.path
        while path is None and (data := await download.read()):
            body += data
        await download.aclose()
    headers = dict(answer.headers)
    assert len(headers) == len(answer.headers), "a header is told twice"
    return Reply(answer.status, headers, body, path)


def open_files(storage: Storage) -> list[object]:
    return [file for file in storage._shared.files if not file.closed]


def best_of(times: int, work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some runs: others slow the machine down."""
    costs = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        costs.append(time.perf_counter() - begun)
    return min(costs)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    assert open_files(bench.storage) == []
    await bench.storage.aclose()


# -- the order of things --------------------------------------------------------------------------


async def test_a_download_is_used_up_after_everything_that_may_refuse_it(bench: Bench) -> None:
    await bench.put()
    reply = await ask(bench.endpoint(), "GET", bench.token(once=True))
    assert (reply.status, reply.body) == (200, OLD)
    assert bench.log == ["state", "authorize", "open_read", "stream", "on_download", "use up"]


async def test_an_upload_is_held_then_checked_then_used_up_then_visible(bench: Bench) -> None:
    reply = await ask(bench.endpoint(), "PUT", bench.token(once=True), NEW)
    assert reply.status == 204
    assert bench.log == [
        "state", "authorize", "hold", "on_upload", "use up", "write", "on_success",
    ]  # fmt: skip


async def test_an_upload_that_must_not_replace_looks_before_it_holds(bench: Bench) -> None:
    token = bench.token("u", once=True, overwrite=False)
    assert (await ask(bench.endpoint(), "PUT", token, NEW)).status == 201
    assert bench.log[:4] == ["state", "authorize", "stat", "hold"]


async def test_a_removal_is_used_up_after_everything_that_may_refuse_it(bench: Bench) -> None:
    await bench.put()
    headers = {"if-match": "*"}
    reply = await ask(bench.endpoint(), "DELETE", bench.token(once=True), headers=headers)
    assert reply.status == 204
    assert bench.log == [
        "state", "authorize", "stat", "on_remove", "use up", "delete", "on_success",
    ]  # fmt: skip
    assert bench.written() == {}


async def test_links_for_many_uses_are_not_taken(bench: Bench) -> None:
    endpoint, token = bench.endpoint(), bench.token()
    for method in ("PUT", "GET", "HEAD", "DELETE", "OPTIONS"):
        assert (await ask(endpoint, method, token)).status in (200, 204)
    assert not {"hold", "use up", "release"} & set(bench.log)
    assert await bench.state(token) is LinkState.free


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("HEAD", {}, 200),
        ("OPTIONS", {}, 204),
        ("PATCH", {}, 405),
        ("get", {}, 405),
        ("GET", {"if-none-match": "*"}, 304),
        ("GET", {"if-match": '"another"'}, 412),
        ("PUT", {"if-match": '"another"'}, 412),
        ("PUT", {"if-none-match": "*"}, 412),
        ("PUT", {"content-encoding": "gzip"}, 415),
        ("PUT", {"content-range": "bytes 0-1/2"}, 400),
        ("PUT", {"content-length": "ten"}, 400),
        ("PUT", {"content-length": "11"}, 400),
        ("PUT", {"content-type": "multipart/form-data"}, 400),
        ("DELETE", {"if-match": '"another"'}, 412),
    ],
)
async def test_what_is_not_done_consumes_nothing(
    bench: Bench, method: str, headers: dict[str, str], status: int
) -> None:
    await bench.put()
    token = bench.token(once=True)
    reply = await ask(bench.endpoint(), method, token, NEW, headers=headers)
    assert reply.status == status
    assert await bench.state(token) is LinkState.free
    assert "use up" not in bench.log
    assert bench.written() == {KEY: OLD}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_link_for_one_use_is_used_once(bench: Bench, method: str) -> None:
    await bench.put()
    endpoint, token = bench.endpoint(), bench.token(once=True)
    assert (await ask(endpoint, method, token, NEW)).status in (200, 204)
    before = bench.written()
    for again in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        reply = await ask(endpoint, again, token, b"another")
        assert reply.status == 410
        assert reply.headers["Cache-Control"] == "no-store"
    assert bench.written() == before


async def test_a_download_for_one_use_ignores_ranges(bench: Bench) -> None:
    await bench.put()
    reply = await ask(
        bench.endpoint(), "GET", bench.token(once=True), headers={"range": "bytes=1-2"}
    )
    assert (reply.status, reply.body) == (200, OLD)
    assert "Accept-Ranges" not in reply.headers
    assert reply.headers["Cache-Control"] == "no-store"


async def test_a_download_of_nothing_does_not_consume(bench: Bench) -> None:
    token = bench.token(once=True)
    assert (await ask(bench.endpoint(), "GET", token)).status == 404
    assert await bench.state(token) is LinkState.free


# -- hooks ----------------------------------------------------------------------------------------


class ForeignError(Exception):
    """One that only the application knows."""


STAGES = [
    ("authorize", "GET"), ("authorize", "PUT"), ("authorize", "DELETE"), ("on_download", "GET"),
    ("on_upload", "PUT"), ("on_remove", "DELETE"),
]  # fmt: skip


@pytest.mark.parametrize(("hook", "method"), STAGES)
async def test_a_foreign_exception_of_a_hook_passes_and_everything_is_undone(
    bench: Bench, hook: str, method: str
) -> None:
    await bench.put()
    token = bench.token(once=True)
    endpoint = bench.endpoint(**{hook: bench.hook(hook, ForeignError("of a hook"))})
    with pytest.raises(ForeignError):
        await ask(endpoint, method, token, NEW)
    assert bench.log[-1] in (hook, "release")
    assert await bench.state(token) is LinkState.free
    assert bench.written() == {KEY: OLD}
    assert open_files(bench.storage) == []


@pytest.mark.parametrize("status", [400, 403, 451, 503, 599])
@pytest.mark.parametrize(("hook", "method"), STAGES)
async def test_a_refusal_of_a_hook_is_told_and_consumes_nothing(
    bench: Bench, hook: str, method: str, status: int
) -> None:
    await bench.put()
    token = bench.token(once=True)
    refusal = LinkRefusedError("Not on Sundays.", status=status)
    reply = await ask(bench.endpoint(**{hook: bench.hook(hook, refusal)}), method, token, NEW)
    assert (reply.status, reply.body) == (status, b"Not on Sundays.\n")
    assert SECURITY.items() <= reply.headers.items()
    assert await bench.state(token) is LinkState.free
    assert bench.written() == {KEY: OLD}
    assert open_files(bench.storage) == []


async def test_hooks_may_be_async_and_see_the_use(bench: Bench) -> None:
    seen: list[tuple[Any, ...]] = []

    def noting(name: str) -> Callable[[LinkUse], Awaitable[None]]:
        async def hook(use: LinkUse) -> None:
            await asyncio.sleep(0)
            size = None if use.entry is None else use.entry.size
            seen.append((name, use.method, use.operation, use.request, use.size, size))
            assert use.storage is bench.storage
            assert use.grant.path == KEY

        return hook

    names = ("authorize", "on_download", "on_upload", "on_remove", "on_success")
    endpoint = bench.endpoint(**{name: noting(name) for name in names})
    token = bench.token()
    for method in ("POST", "GET", "DELETE"):
        await ask(endpoint, method, token, NEW, request="the framework's")
    up, down, gone = (
        ShareLinkOperation.upload, ShareLinkOperation.download, ShareLinkOperation.remove,
    )  # fmt: skip
    size = len(NEW)
    assert seen == [
        ("authorize", "POST", up, "the framework's", None, None),
        ("on_upload", "POST", up, "the framework's", size, None),
        ("on_success", "POST", up, "the framework's", size, size),
        ("authorize", "GET", down, "the framework's", None, None),
        ("on_download", "GET", down, "the framework's", None, size),
        ("authorize", "DELETE", gone, "the framework's", None, None),
        ("on_remove", "DELETE", gone, "the framework's", None, None),
        ("on_success", "DELETE", gone, "the framework's", None, None),
    ]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_what_on_success_raises_undoes_nothing(bench: Bench, method: str) -> None:
    await bench.put()
    token = bench.token(once=True)
    endpoint = bench.endpoint(on_success=bench.hook("on_success", ForeignError()))
    with pytest.raises(ForeignError):
        await ask(endpoint, method, token, NEW)
    assert bench.written() == ({KEY: NEW} if method == "PUT" else {})
    assert await bench.state(token) is LinkState.used


@pytest.mark.parametrize("status", [-1, 0, 200, 302, 399, 600, 1000])
def test_a_refusal_has_the_status_of_a_refusal(status: int) -> None:
    with pytest.raises(InvalidArgumentError, match="400 to 599"):
        LinkRefusedError(status=status)


def test_a_refusal_is_403_where_nothing_else_is_said() -> None:
    assert LinkRefusedError().status == 403
    assert LinkRefusedError().message == str(LinkRefusedError())


# -- the store fails ------------------------------------------------------------------------------


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"])
async def test_a_store_that_fails_ends_everything_with_503(
    bench: Bench, method: str, once: bool
) -> None:
    await bench.put()
    bench.store.failing = {"state", "hold", "use up", "release"}
    reply = await ask(bench.endpoint(), method, bench.token(once=once), NEW)
    assert reply.status == 503
    assert b"secret" not in reply.body
    assert bench.log == ["state"]
    assert bench.written() == {KEY: OLD}


@pytest.mark.parametrize(
    ("method", "fails"),
    [("GET", "use up"), ("PUT", "hold"), ("PUT", "use up"), ("DELETE", "use up")],
)
async def test_a_store_that_fails_later_still_ends_with_503_and_nothing_done(
    bench: Bench, method: str, fails: str
) -> None:
    await bench.put()
    token = bench.token(once=True)
    bench.store.failing = {fails}
    reply = await ask(bench.endpoint(), method, token, NEW)
    assert reply.status == 503
    assert reply.headers["Cache-Control"] == "no-store"
    assert bench.written() == {KEY: OLD}
    assert open_files(bench.storage) == []
    assert await bench.state(token) is LinkState.free


async def test_a_release_that_fails_hides_no_other_answer(bench: Bench) -> None:
    bench.store.failing = {"release"}
    reply = await ask(bench.endpoint(), "PUT", bench.token("u", once=True, max_size=3), NEW)
    assert reply.status == 413
    assert bench.log[-1] == "release"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_without_a_store_links_for_one_use_are_503_and_others_served(
    bench: Bench, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.put()
    endpoint = bench.endpoint(store=None)
    with caplog.at_level(logging.ERROR, "aiostow"):
        token = bench.token(once=True)
        assert (await ask(endpoint, method, token, NEW)).status == 503
    assert "store" in caplog.text
    assert token not in caplog.text
    assert bench.written() == {KEY: OLD}
    assert (await ask(endpoint, method, bench.token(), NEW)).status in (200, 204)


async def test_a_revoked_link_is_as_bad_as_any(bench: Bench) -> None:
    await bench.put()
    endpoint, token = bench.endpoint(), bench.token()
    grant = bench.storage.deserialize_link_token(token)
    await bench.store.revoke(grant.token_id, expires=grant.expires.timestamp())
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "BREW"):
        assert await ask(endpoint, method, token, NEW) == await ask(endpoint, method, "bad", NEW)
    assert bench.written() == {KEY: OLD}


@pytest.mark.parametrize("once", [False, True], ids=["many", "once"])
async def test_a_link_revoked_while_its_upload_comes_stores_nothing(
    bench: Bench, once: bool
) -> None:
    token = bench.token(once=once)
    grant = bench.storage.deserialize_link_token(token)

    async def revoke(use: LinkUse) -> None:
        await bench.store.revoke(grant.token_id, expires=grant.expires.timestamp())

    reply = await ask(bench.endpoint(on_upload=revoke), "PUT", token, NEW)
    assert reply == await ask(bench.endpoint(), "PUT", "bad", NEW)
    assert bench.written() == {}
    assert await bench.state(token) is LinkState.revoked


# -- clients that go away -------------------------------------------------------------------------


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


# -- cancellation ---------------------------------------------------------------------------------


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


# -- storages that fail ---------------------------------------------------------------------------

READING = {
    "FileNotFoundInStorageError": 404, "FileExistsInStorageError": 409, "ObjectChangedError": 412,
    "WriteConflictError": 409, "AmbiguousWriteError": 503, "StorageFullError": 507,
    "MemoryBudgetError": 413, "UnsupportedOperationError": 501, "NotSupportedError": 501,
    "NotAFileError": 404, "IsADirectoryInStorageError": 404, "KeyConflictError": 404,
    "InvalidKeyError": 404,
}  # fmt: skip
WRITING = READING | {
    "NotAFileError": 409, "IsADirectoryInStorageError": 409, "KeyConflictError": 409,
    "InvalidKeyError": 409,
}  # fmt: skip
ERRORS = [name for name in aiostow.errors.__all__ if name != "DeleteManyError"]
SECRETS = (b"canary", b"srv", b"the-key", b"bench", b"open", b"Error")


def failure(name: str) -> Exception:
    found: type[StorageError] = getattr(aiostow.errors, name)
    return found("canary /srv/secret", key=KEY, operation="open_read", storage="bench")


@pytest.mark.parametrize("name", [*ERRORS, "DeleteManyError"])
@pytest.mark.parametrize("reading", [True, False])
def test_each_error_has_its_status_and_tells_nothing(name: str, reading: bool) -> None:
    answer = answer_to(failure(name), reading=reading)
    assert answer.status == (READING if reading else WRITING).get(name, 503)
    assert not any(secret in answer.body for secret in SECRETS)
    assert ("Cache-Control", "no-store") in answer.headers
    assert SECURITY.items() <= dict(answer.headers).items()
    assert dict(answer.headers)["Content-Length"] == str(len(answer.body))


@pytest.mark.parametrize("once", [False, True], ids=["many", "once"])
@pytest.mark.parametrize("call", ["open_read", "stream", "stat", "write", "delete"])
@pytest.mark.parametrize("name", ERRORS)
async def test_a_storage_that_fails_is_answered_without_a_word_of_it(
    bench: Bench, name: str, call: str, once: bool
) -> None:
    await bench.put()
    bench.driver.add(error(call, failure(name), times=100))  # a lost connection is tried again
    token = bench.token(once=once)
    method = {"stat": "HEAD", "write": "PUT", "delete": "DELETE"}.get(call, "GET")
    reply = await ask(bench.endpoint(), method, token, NEW)
    assert reply.status == (READING if method in ("GET", "HEAD") else WRITING).get(name, 503)
    shown = reply.body + repr(reply.headers).encode()
    assert not any(secret in shown for secret in SECRETS[:-2])
    assert bench.written() == {KEY: OLD}
    assert open_files(bench.storage) == []
    # What may have been done is not offered again.
    ambiguous = name in ("AmbiguousWriteError", "ConnectionLostError")
    kept = once and method in ("PUT", "DELETE") and ambiguous
    assert await bench.state(token) is (LinkState.used if kept else LinkState.free)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_exception_of_no_storage_is_answered_with_503(bench: Bench, method: str) -> None:
    await bench.put()
    for call in ("open_read", "write", "delete"):
        bench.driver.add(error(call, ZeroDivisionError("canary")))
    reply = await ask(bench.endpoint(), method, bench.token(), NEW)
    assert reply.status == 503
    assert b"canary" not in reply.body


async def test_an_upload_whose_reply_is_lost_stays_used(bench: Bench) -> None:
    bench.driver.add(lost_reply("write"))
    token = bench.token(once=True)
    assert (await ask(bench.endpoint(), "PUT", token, NEW)).status == 503
    assert bench.written() == {KEY: NEW}
    assert await bench.state(token) is LinkState.used


async def test_an_upload_whose_pieces_fail_stores_nothing_and_frees_its_link(bench: Bench) -> None:
    bench.driver.add(error("stage", aiostow.errors.StorageFullError("canary"), nth=2))
    token = bench.token(once=True)
    chunks = [bytes(1 << 20) for _ in range(20)]
    assert (await ask(bench.endpoint(), "PUT", token, *chunks)).status == 507
    assert bench.written() == {}
    assert bench.driver.count("abort") == 1
    assert await bench.state(token) is LinkState.free


async def test_an_object_replaced_between_the_check_and_the_read_is_not_the_one_meant(
    bench: Bench,
) -> None:
    # If-Match promises that version or 412 (RFC 9110, 13.1.1), as a client that resumes relies on.
    await bench.put()
    etag = Validators.of(await bench.storage.stat(KEY)).etag
    inner = bench.driver.inner
    assert isinstance(inner, MemoryDriver)
    looked_at = inner.stat

    async def stat_then_replaced(key: str) -> Any:
        entry = await looked_at(key)
        inner.put(key, b"a new version", aiostow.models.WriteOptions())
        return entry

    inner.stat = stat_then_replaced  # type: ignore[method-assign]  # another writer
    headers = {"if-match": etag, "range": "bytes=2-"}
    reply = await ask(bench.endpoint(), "GET", bench.token(), headers=headers)
    assert reply.status == 412


async def test_an_upload_whose_last_piece_is_lost_frees_its_link(bench: Bench) -> None:
    # The last piece is sent by commit(), but before anything can become visible: what is lost then
    # is not an answer that may have been "done".
    lost = aiostow.errors.ConnectionLostError("canary")
    bench.driver.add(error("stage", lost, nth=3, times=100))
    token = bench.token(once=True)
    chunks = [bytes(1 << 20) for _ in range(9)]
    assert (await ask(bench.endpoint(), "PUT", token, *chunks)).status == 503
    assert bench.written() == {}
    assert bench.driver.count("commit") == 0
    assert await bench.state(token) is LinkState.free


# -- several storages -----------------------------------------------------------------------------


async def test_a_token_goes_to_the_storage_that_made_it() -> None:
    storages = [MemoryStorage(name=f"s{number}", secret_key=SECRET) for number in range(3)]
    used: list[Storage] = []
    endpoint = LinkEndpoint(storages, authorize=lambda use: used.append(use.storage))
    for number, storage in enumerate(storages):
        await storage.write_bytes(KEY, b"%d" % number)
    for number, storage in enumerate(storages):
        reply = await ask(endpoint, "GET", token_of(storage, "d"))
        assert (reply.status, reply.body) == (200, b"%d" % number)
    assert used == storages
    stranger = MemoryStorage(name="s0", secret_key=SECRET)
    assert (await ask(endpoint, "GET", token_of(stranger, "d"))).status == 403
    for storage in (*storages, stranger):
        await storage.aclose()


async def test_a_view_honours_only_what_lies_below_it() -> None:
    storage = MemoryStorage(secret_key=SECRET)
    for key in ("p/x", "px", "q/x", "p/p/x"):
        await storage.write_bytes(key, key.encode())
    view = LinkEndpoint(storage.at("p"))
    paths: list[str] = []
    both = LinkEndpoint(
        [storage.at("p"), storage.at("q")], authorize=lambda use: paths.append(use.grant.path)
    )
    for key, in_view, in_both in (
        ("p/x", 200, 200), ("p/p/x", 200, 200), ("px", 403, 403), ("q/x", 403, 200),
    ):  # fmt: skip
        token = token_of(storage, "dur", key)
        reply = await ask(view, "GET", token)
        assert reply.status == in_view
        assert (reply.body == key.encode()) == (in_view == 200)
        assert (await ask(both, "GET", token)).status == in_both
        assert (await ask(view, "OPTIONS", token)).status == (204 if in_view == 200 else 403)
    assert paths == ["x", "p/x", "x"]
    # What a view made is honoured by it and by the whole, as the same object.
    token = token_of(storage.at("p"), "d", "x")
    assert (await ask(view, "GET", token)).body == b"p/x"
    assert (await ask(LinkEndpoint(storage), "GET", token)).body == b"p/x"
    await storage.aclose()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_a_closed_storage_is_503(bench: Bench, method: str) -> None:
    await bench.put()
    token, endpoint = bench.token(), bench.endpoint()
    await bench.storage.aclose()
    reply = await ask(endpoint, method, token, NEW)
    assert reply.status == 503
    assert b"closed" not in reply.body
    assert bench.log == []


async def test_a_closed_storage_takes_no_other_with_it() -> None:
    closed, alive = (MemoryStorage(name=name, secret_key=SECRET) for name in ("a", "b"))
    await alive.write_bytes(KEY, NEW)
    tokens = token_of(closed, "d"), token_of(alive, "d")
    await closed.aclose()
    endpoint = LinkEndpoint([closed, alive])
    assert [(await ask(endpoint, "GET", token)).status for token in tokens] == [503, 200]
    await alive.aclose()


async def test_a_storage_closed_while_an_upload_comes_stores_nothing(bench: Bench) -> None:
    async def receive() -> bytes:
        await bench.storage.aclose()
        return NEW

    reply = await ask(bench.endpoint(), "PUT", bench.token(), receive=receive)
    assert reply.status == 503
    assert bench.written() == {}


# -- tokens ---------------------------------------------------------------------------------------


async def test_every_bad_token_gets_one_answer_and_none_another(bench: Bench) -> None:
    endpoint = bench.endpoint()
    good = bench.token()
    header, claims, signature = good.split(".")
    expired = bench.token(expire=1.5)
    grant = bench.storage.deserialize_link_token(expired)
    bench.storage._shared.clock = lambda: grant.expires.timestamp()
    bad = [
        expired, "x", "a.b.c", "." * 3000, "x" * 10**6, "\udcff", "é", "\x00", good[:-1],
        good + "=", good + "&" + good, f"{header}.{claims}.", f"{header}..{signature}",
        f".{claims}.{signature}", f"eyJhbGciOiJub25lIn0.{claims}.", good.upper(),
        good + "\n", " " + good,
    ]  # fmt: skip
    answers = [await ask(endpoint, "GET", token) for token in bad]
    assert [reply.status for reply in answers] == [403] * len(bad)
    assert all(reply == answers[0] for reply in answers)
    assert (await ask(endpoint, "GET", "")).status == 404
    assert bench.log == []


@pytest.mark.parametrize(
    ("query", "token"),
    [
        ("", ""), ("token", ""), ("token=", ""), ("token=a", "a"), ("x=1&token=a&y", "a"),
        ("Token=a", ""), ("xtoken=a", ""), ("token=a&token=b", "a&b"), ("token=%61", "%61"),
        ("token=a;x", "a;x"),
    ],
)  # fmt: skip
def test_the_token_of_a_query_is_taken_as_it_stands(query: str, token: str) -> None:
    assert token_in(query) == token


async def test_the_repr_of_a_request_shows_no_token(bench: Bench) -> None:
    token = bench.token()
    shown = repr(LinkRequest("GET", token, {}))
    assert token not in shown
    assert token[:30] not in shown
    assert token[-30:] not in shown


async def test_no_log_shows_a_token(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    await bench.put()
    bench.driver.add(error("open_read", failure("StorageIOError")))
    bench.store.failing = {"release"}
    endpoint = bench.endpoint()
    with caplog.at_level(logging.DEBUG):
        tokens = [bench.token(), bench.token(once=True, max_size=1), bench.token("r")]
        assert (await ask(endpoint, "GET", tokens[0])).status == 503
        assert (await ask(endpoint, "PUT", tokens[1], NEW)).status == 413
        bench.store.failing = {"state"}
        assert (await ask(endpoint, "DELETE", tokens[2])).status == 503
    assert len(caplog.records) == 3
    for token in tokens:
        assert token not in caplog.text
        assert token.split(".")[2] not in caplog.text


async def test_a_link_allows_what_it_says_and_nothing_else(bench: Bench) -> None:
    endpoint = bench.endpoint()
    methods = {"GET": "d", "HEAD": "d", "PUT": "u", "POST": "u", "DELETE": "r"}
    for operation in ("d", "u", "r", "du", "dr", "ur", "dur"):
        await bench.put()
        token = bench.token(operation)
        reply = await ask(endpoint, "OPTIONS", token)
        allowed = [method for method, letter in methods.items() if letter in operation]
        assert reply.headers["Allow"] == ", ".join([*allowed, "OPTIONS"])
        for method in [each for each in methods if each not in allowed]:
            assert (await ask(endpoint, method, token, NEW)).status == 403
        assert bench.written() == {KEY: OLD}
        for method in allowed:
            assert (await ask(endpoint, method, token, NEW)).status in (200, 204)
        reply = await ask(endpoint, "TRACE", token)
        assert (reply.status, reply.headers["Allow"]) == (405, ", ".join([*allowed, "OPTIONS"]))


# -- what an upload may be ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "sent", "status"),
    [
        ({"max_size": 4}, 4, 204), ({"max_size": 4}, 5, 413), ({"max_size": 0}, 0, 204),
        ({"max_size": 0}, 1, 413), ({"exact_size": 4}, 4, 204), ({"exact_size": 4}, 3, 400),
        ({"exact_size": 4}, 5, 413), ({"exact_size": 0}, 0, 204),
        ({"exact_size": 4, "max_size": 9}, 5, 413),
    ],
)  # fmt: skip
@pytest.mark.parametrize("told", ["nothing", "the truth", "less"])
async def test_real_bytes_are_counted(
    bench: Bench, limits: dict[str, Any], sent: int, status: int, told: str
) -> None:
    token = bench.token("u", once=True, **limits)
    headers = {
        "nothing": {}, "the truth": {"content-length": str(sent)},
        "less": {"content-length": str(max(sent - 1, 0))},
    }[told]  # fmt: skip
    lies = told == "less" and sent > 0
    chunks = [b"x"] * sent
    reply = await ask(bench.endpoint(), "PUT", token, *chunks, headers=headers)
    assert reply.status == (400 if lies and status == 204 else status)
    assert bench.written() == ({KEY: b"x" * sent} if reply.status == 204 else {})
    free = reply.status != 204
    assert await bench.state(token) is (LinkState.free if free else LinkState.used)


async def test_an_upload_is_stopped_at_the_first_byte_too_many(bench: Bench) -> None:
    came = 0

    async def receive() -> bytes:
        nonlocal came
        came += 1
        return b"x"

    reply = await ask(bench.endpoint(), "PUT", bench.token("u", max_size=10), receive=receive)
    assert (reply.status, came) == (413, 11)
    assert bench.written() == {}


async def test_a_length_that_is_told_too_large_is_refused_before_anything_comes(
    bench: Bench,
) -> None:
    async def receive() -> bytes:
        raise AssertionError("nothing was to be read")

    headers = {"content-length": "11"}
    token = bench.token("u", max_size=10, once=True)
    reply = await ask(bench.endpoint(), "PUT", token, headers=headers, receive=receive)
    assert reply.status == 413
    assert "hold" not in bench.log


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("text/csv", 204), ("TEXT/CSV", 204), (" text/csv ", 204), ("text/plain", 415), ("", 415),
        ("text/csv;a=b", 415),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", [False, True])
async def test_an_upload_has_the_type_that_the_link_says(
    bench: Bench, sent: str, status: int, form: bool
) -> None:
    token = bench.token("u", content_type="text/csv")
    headers = {"content-type": sent}
    body = NEW
    if form:
        headers = {"content-type": "multipart/form-data; boundary=b"}
        body = form_with_type(sent)
    reply = await ask(bench.endpoint(), "POST", token, body, headers=headers)
    assert reply.status == status
    assert bench.written() == ({KEY: NEW} if status == 204 else {})


def form_with_type(kind: str) -> bytes:
    return (
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n'
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + NEW + b"\r\n--b--\r\n"
    )


# "A 1 MB header costs under 5 ms" (faults.md, range abuse). Those of 8 KB tell what is quadratic.
@pytest.mark.parametrize("size", [1000, 8000, 1 << 20])
@pytest.mark.parametrize("unit", [" ", ";", '"', '";', "; ", "=", "x", "\t;", ' "'])
@pytest.mark.parametrize("start", ["text/csv", "multipart/form-data;boundary=b", "text/csv;a"])
async def test_a_long_type_costs_nothing(bench: Bench, start: str, unit: str, size: int) -> None:
    kind = (start + unit * (size // len(unit)))[:size] + "x"
    grant = bench.storage.deserialize_link_token(bench.token("u", content_type="text/csv"))

    def refuse() -> None:
        try:
            UploadBody(grant, {"content-type": kind})
        except RefusedError as exc:
            assert exc.answer.status in (400, 415)

    assert best_of(5, refuse) < 0.005


@pytest.mark.parametrize("unit", [" ", ";", '"', '";', "; ", "=", "\t;", ' "'])
async def test_a_long_type_of_a_forms_file_costs_nothing(bench: Bench, unit: str) -> None:
    kind = ("text/csv" + unit * 4000)[:4000] + "x"  # as long as the header of a part may be
    grant = bench.storage.deserialize_link_token(bench.token("u", content_type="text/csv"))
    sent = form_with_type(kind)

    def refuse() -> None:
        body = UploadBody(grant, {"content-type": "multipart/form-data; boundary=b"})
        with pytest.raises(RefusedError) as caught:
            body.take(sent)
        assert caught.value.answer.status == 415

    assert best_of(5, refuse) < 0.005


# -- conditions of changes ------------------------------------------------------------------------


async def test_a_link_that_replaces_nothing_never_does(bench: Bench) -> None:
    endpoint, token = bench.endpoint(), bench.token("u", overwrite=False)
    assert (await ask(endpoint, "PUT", token, NEW)).status == 201
    assert (await ask(endpoint, "PUT", token, b"another")).status == 409
    assert bench.written() == {KEY: NEW}


async def test_of_two_uploads_at_once_that_replace_nothing_one_wins(bench: Bench) -> None:
    endpoint, token = bench.endpoint(), bench.token("u", overwrite=False)

    async def meanwhile(use: LinkUse) -> None:
        await bench.storage.write_bytes(KEY, OLD)

    reply = await ask(bench.endpoint(on_upload=meanwhile), "PUT", token, NEW)
    assert reply.status == 409
    assert bench.written() == {KEY: OLD}
    assert (await ask(endpoint, "PUT", token, NEW)).status == 409


async def test_a_change_of_a_version_that_is_gone_is_refused(bench: Bench) -> None:
    await bench.put()
    endpoint, token = bench.endpoint(), bench.token()
    etag = (await ask(endpoint, "HEAD", token)).headers["ETag"]
    reply = await ask(endpoint, "PUT", token, NEW, headers={"if-match": etag})
    assert reply.status == 204
    assert reply.headers["ETag"] not in ("", etag)
    for method in ("PUT", "DELETE", "GET", "HEAD"):
        reply = await ask(endpoint, method, token, b"another", headers={"if-match": etag})
        assert reply.status == 412
    assert bench.written() == {KEY: NEW}


async def test_a_version_replaced_while_the_upload_comes_is_not_overwritten(bench: Bench) -> None:
    await bench.put()
    etag = Validators.of(await bench.storage.stat(KEY)).etag

    async def meanwhile(use: LinkUse) -> None:
        await bench.storage.write_bytes(KEY, b"another's")

    endpoint = bench.endpoint(on_upload=meanwhile)
    reply = await ask(endpoint, "PUT", bench.token(), NEW, headers={"if-match": etag})
    assert reply.status in (409, 412)
    assert bench.written() == {KEY: b"another's"}


async def test_an_upload_that_asks_for_nothing_to_be_there_never_replaces(bench: Bench) -> None:
    async def meanwhile(use: LinkUse) -> None:
        await bench.storage.write_bytes(KEY, b"another's")

    endpoint = bench.endpoint(on_upload=meanwhile)
    reply = await ask(endpoint, "PUT", bench.token(), NEW, headers={"if-none-match": "*"})
    assert reply.status in (409, 412)
    assert bench.written() == {KEY: b"another's"}


async def test_a_removal_under_a_condition_that_holds_is_done(bench: Bench) -> None:
    await bench.put()
    endpoint, token = bench.endpoint(), bench.token()
    etag = (await ask(endpoint, "HEAD", token)).headers["ETag"]
    reply = await ask(endpoint, "DELETE", token, headers={"if-match": etag})
    assert (reply.status, bench.written()) == (204, {})


async def test_a_removal_is_no_upload_that_would_replace_something(bench: Bench) -> None:
    # overwrite=False limits uploads; the same link may remove, also under a condition that holds.
    await bench.put()
    token = bench.token("ur", overwrite=False)
    reply = await ask(bench.endpoint(), "DELETE", token, headers={"if-match": "*"})
    assert (reply.status, bench.written()) == (204, {})


# -- leases ---------------------------------------------------------------------------------------


async def test_a_slow_upload_keeps_its_link(bench: Bench) -> None:
    token = bench.token(once=True)
    left = 40

    async def receive() -> bytes:
        nonlocal left
        bench.clock.now += 50
        assert await bench.state(token) is LinkState.held
        left -= 1
        return b"x" if left else b""

    reply = await ask(bench.endpoint(), "PUT", token, receive=receive)
    assert reply.status == 204
    assert 10 < bench.log.count("hold") < 40
    assert bench.written() == {KEY: b"x" * 39}
    assert await bench.state(token) is LinkState.used


async def test_a_fast_upload_holds_its_link_once(bench: Bench) -> None:
    await ask(bench.endpoint(), "PUT", bench.token(once=True), *[b"x"] * 100)
    assert bench.log.count("hold") == 1


async def test_a_link_that_is_held_is_refused_to_others_meanwhile(bench: Bench) -> None:
    token = bench.token(once=True)
    endpoint = bench.endpoint()
    statuses: list[int] = []

    async def meanwhile(use: LinkUse) -> None:
        for method in ("PUT", "DELETE"):
            statuses.append((await ask(endpoint, method, token, b"another")).status)

    reply = await ask(bench.endpoint(on_upload=meanwhile), "PUT", token, NEW)
    assert reply.status == 204
    assert statuses == [409, 409]
    assert bench.written() == {KEY: NEW}


@pytest.mark.parametrize("then", ["holds", "has used", "gave back"])
@pytest.mark.parametrize("more", [True, False], ids=["more comes", "nothing more comes"])
async def test_a_link_that_lapsed_and_was_taken_is_lost_to_the_first(
    bench: Bench, then: str, more: bool
) -> None:
    token = bench.token(once=True)
    grant = bench.storage.deserialize_link_token(token)
    chunks = iter([b"first", b"second"] if more else [b"first"])
    asked = 0

    async def receive() -> bytes:
        nonlocal asked
        asked += 1
        if asked == 2:
            bench.clock.now += 1000
            expires = grant.expires.timestamp()
            until = float("inf") if then == "has used" else bench.clock.now + 100
            taken = await bench.store.inner.take(
                grant.token_id, "another", until=until, expires=expires
            )
            assert taken
            if then == "gave back":
                await bench.store.inner.release(grant.token_id, "another")
        return next(chunks, b"")

    reply = await ask(bench.endpoint(), "PUT", token, receive=receive)
    expected = {"holds": (409, LinkState.held), "has used": (410, LinkState.used)}
    status, state = expected.get(then, (204, LinkState.used))
    assert reply.status == status
    assert await bench.state(token) is state
    assert bool(bench.written()) == (status == 204)
    assert open_files(bench.storage) == []


async def test_a_link_that_expires_while_its_upload_comes_is_finished(bench: Bench) -> None:
    token = bench.token(once=True, expire=1.5)

    async def past(use: LinkUse) -> None:
        bench.storage._shared.clock = lambda: time.time() + 3600

    reply = await ask(bench.endpoint(authorize=past), "PUT", token, NEW)
    assert (reply.status, bench.written()) == (204, {KEY: NEW})
    assert (await ask(bench.endpoint(), "PUT", token, NEW)).status == 403


# -- how it is made -------------------------------------------------------------------------------


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Storage]:
    storage = LocalFSStorage(tmp_path / "root", durable=False, secret_key=SECRET)
    yield storage
    asyncio.run(storage.aclose())


@pytest.mark.parametrize("storages", [(), [], iter(())])
def test_an_endpoint_serves_at_least_one_storage(storages: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="at least one"):
        LinkEndpoint(storages)


@pytest.mark.parametrize("wrong", [["memory"], [None], [MemoryDriver()], [object()]])
def test_an_endpoint_serves_storages_only(wrong: Any) -> None:
    with pytest.raises(InvalidTypeError, match="storages"):
        LinkEndpoint(wrong)


def test_an_endpoint_serves_no_facade() -> None:
    with SyncStorage(MemoryStorage(secret_key=SECRET)) as facade:
        with pytest.raises(InvalidTypeError, match="SyncStorage"):
            LinkEndpoint([facade])  # type: ignore[list-item]  # on purpose


def test_a_storage_without_a_secret_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="'plain' has no secret_key"):
        LinkEndpoint([MemoryStorage(secret_key=SECRET), MemoryStorage(name="plain")])


@pytest.mark.parametrize("options", [{"accel_redirect": "/p"}, {"x_sendfile": True}])
def test_paths_are_handed_over_in_trusted_trees_only(
    local: Storage, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgumentError, match="trusted_tree"):
        LinkEndpoint(local, **options)
    LinkEndpoint(local, trusted_tree=True, **options)


# -- paths that are handed over -------------------------------------------------------------------

NAME = "a b/ü%.txt"


async def test_a_server_in_front_is_told_the_path(local: Storage, tmp_path: Path) -> None:
    await local.write_bytes(NAME, NEW)
    told: list[int] = []
    root = str(tmp_path / "root")
    for location in ("/private", "/private/"):
        endpoint = LinkEndpoint(
            local, trusted_tree=True, accel_redirect=location,
            on_download=lambda use: told.append(1 if use.entry is None else use.entry.size),
        )  # fmt: skip
        reply = await ask(endpoint, "GET", token_of(local, "d", NAME))
        assert (reply.status, reply.body, reply.path) == (200, b"", None)
        assert reply.headers == {
            "Content-Type": "text/plain",
            "Content-Disposition": (
                "attachment; filename=\"__.txt\"; filename*=UTF-8''%C3%BC%25.txt"
            ),
            "Cache-Control": "private, no-cache",
            **SECURITY,
            "Content-Length": "0",
            "X-Accel-Redirect": "/private/a%20b/%C3%BC%25.txt",
        }
    assert told == [len(NEW)] * 2
    endpoint = LinkEndpoint(local, trusted_tree=True, x_sendfile=True)
    headers = (await ask(endpoint, "GET", token_of(local, "d", NAME))).headers
    assert headers["X-Sendfile"] == f"{root}/a%20b/%C3%BC%25.txt"
    assert "X-Accel-Redirect" not in headers
    assert headers["Content-Length"] == "0"
    assert not {"ETag", "Last-Modified", "Accept-Ranges"} & set(headers)


async def test_a_view_hands_over_the_path_of_its_own_object(local: Storage) -> None:
    await local.write_bytes("p/x", NEW)
    view = local.at("p")
    endpoint = LinkEndpoint(view, trusted_tree=True, accel_redirect="/private")
    headers = (await ask(endpoint, "GET", token_of(view, "d", "x"))).headers
    assert headers["X-Accel-Redirect"] == "/private/p/x"


IN_FRONT: list[dict[str, Any]] = [{"accel_redirect": "/p"}, {"x_sendfile": True}]


@pytest.mark.parametrize("options", IN_FRONT)
async def test_before_a_path_is_handed_over_everything_is_checked(
    local: Storage, options: dict[str, Any]
) -> None:
    token = token_of(local, "d", "k")
    assert (
        await ask(LinkEndpoint(local, trusted_tree=True, **options), "GET", token)
    ).status == 404
    await local.write_bytes("k", NEW)
    for hook in ("authorize", "on_download"):

        def refuse(use: LinkUse) -> None:
            raise LinkRefusedError

        hooks: dict[str, Any] = {hook: refuse}
        endpoint = LinkEndpoint(local, trusted_tree=True, **hooks, **options)
        reply = await ask(endpoint, "GET", token)
        assert reply.status == 403
        assert not {"X-Accel-Redirect", "X-Sendfile"} & set(reply.headers)


@pytest.mark.parametrize("options", [*IN_FRONT, {}])
async def test_the_path_of_a_link_for_one_use_is_handed_to_nobody(
    local: Storage, options: dict[str, Any]
) -> None:
    # A server in front would serve ranges, which are no use by themselves.
    await local.write_bytes("k", NEW)
    endpoint = LinkEndpoint(local, store=MemoryLinkStore(), trusted_tree=True, **options)
    token = token_of(local, "d", "k", once=True)
    reply = await ask(endpoint, "GET", token, sends_paths=True)
    assert (reply.status, reply.body, reply.path) == (200, NEW, None)
    assert not {"X-Accel-Redirect", "X-Sendfile"} & set(reply.headers)
    assert (await ask(endpoint, "GET", token)).status == 410


@pytest.mark.parametrize("options", IN_FRONT)
@pytest.mark.parametrize("name", ["if-none-match", "if-match", "range", "if-modified-since"])
async def test_conditions_are_left_to_who_sends_the_file(
    local: Storage, options: dict[str, Any], name: str
) -> None:
    # It tells versions of its own, so ours are not asked for.
    await local.write_bytes("k", NEW)
    told: list[str] = []
    endpoint = LinkEndpoint(
        local, trusted_tree=True, on_download=lambda use: told.append(use.method), **options
    )
    token = token_of(local, "d", "k")
    values = {"if-none-match": "*", "if-match": '"x"', "range": "bytes=0-1"}
    for method in ("GET", "HEAD"):
        headers = {name: values.get(name, "Fri, 31 Dec 9999 23:59:59 GMT")}
        reply = await ask(endpoint, method, token, headers=headers)
        assert reply.status == 200
        assert {"X-Accel-Redirect", "X-Sendfile"} & set(reply.headers)
        assert not {"ETag", "Last-Modified", "Accept-Ranges"} & set(reply.headers)
    assert told == ["GET"]


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("extension", [False, True])
@pytest.mark.parametrize("ranged", [False, True])
async def test_a_path_is_sent_where_trusted_and_understood_and_wanted_whole(
    local: Storage, tmp_path: Path, trusted: bool, extension: bool, ranged: bool
) -> None:
    await local.write_bytes("k", NEW)
    app = LinkApp(local, trusted_tree=trusted)
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http", "method": "GET",
        "query_string": f"token={token_of(local, 'd', 'k')}".encode(),
        "headers": [(b"range", b"bytes=0-3")] if ranged else [],
        "extensions": {"http.response.pathsend": {}} if extension else {},
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    assert sent[0]["status"] == (206 if ranged else 200)
    if trusted and extension and not ranged:
        path = str(tmp_path / "root" / "k")
        assert sent[1:] == [{"type": "http.response.pathsend", "path": path}]
        assert headers["content-length"] == str(len(NEW))
        assert headers["accept-ranges"] == "bytes"
    else:
        body = NEW[:4] if ranged else NEW
        assert b"".join(message["body"] for message in sent[1:]) == body
        assert {message["type"] for message in sent[1:]} == {"http.response.body"}
        assert headers["content-length"] == str(len(body))
    assert {name.lower(): value for name, value in SECURITY.items()}.items() <= headers.items()
    assert open_files(local) == []


async def test_objects_without_a_path_are_sent_from_here(bench: Bench) -> None:
    await bench.put()
    for options in ({"accel_redirect": "/p"}, {"x_sendfile": True}, {}):
        endpoint = bench.endpoint(trusted_tree=True, **options)
        reply = await ask(endpoint, "GET", bench.token(), sends_paths=True)
        assert (reply.status, reply.body, reply.path) == (200, OLD, None)


# -- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("range", "status", "body", "told"),
    [
        ("bytes=0-3", 206, OLD[:4], f"bytes 0-3/{len(OLD)}"),
        ("bytes=-3", 206, OLD[-3:], f"bytes {len(OLD) - 3}-{len(OLD) - 1}/{len(OLD)}"),
        ("bytes=4-", 206, OLD[4:], f"bytes 4-{len(OLD) - 1}/{len(OLD)}"),
        ("bytes=0-1,3-4", 200, OLD, None),
        ("bytes=99-", 416, None, f"bytes */{len(OLD)}"),
    ],
)
async def test_ranges_are_served(
    bench: Bench, range: str, status: int, body: bytes | None, told: str | None
) -> None:
    await bench.put()
    reply = await ask(bench.endpoint(), "GET", bench.token(), headers={"range": range})
    assert (reply.status, reply.headers.get("Content-Range")) == (status, told)
    assert body is None or reply.body == body
    assert reply.headers["Content-Length"] == str(len(reply.body))
    head = await ask(bench.endpoint(), "HEAD", bench.token(), headers={"range": range})
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(OLD)))


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"]
)
async def test_every_answer_carries_the_security_headers(bench: Bench, method: str) -> None:
    await bench.put()
    endpoint = bench.endpoint()
    for token in (bench.token(), bench.token("d"), bench.token(once=True), "bad", ""):
        for headers in ({}, {"if-none-match": "*"}, {"range": "bytes=99-"}):
            reply = await ask(endpoint, method, token, NEW, headers=headers)
            assert SECURITY.items() <= reply.headers.items()
            assert reply.headers["Cache-Control"] in ("no-store", "private, no-cache")
            if method == "HEAD" or reply.status in (204, 304):
                assert reply.body == b""
