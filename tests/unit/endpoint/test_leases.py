"""While an upload comes, its link is held: kept if slow, lost if it lapsed and was taken."""

from __future__ import annotations

import time

import pytest

from aiostow.endpoint import LinkUse
from aiostow.linkstore import LinkState

from ._bench import KEY, NEW, Bench, ask, open_files

pytestmark = pytest.mark.anyio


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
