"""The store of links: failing, missing, and where links are revoked."""

from __future__ import annotations

import logging

import pytest

from aiostow.endpoint import LinkUse
from aiostow.linkstore import LinkState

from ._bench import KEY, NEW, OLD, Bench, ask, open_files

pytestmark = pytest.mark.anyio


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
