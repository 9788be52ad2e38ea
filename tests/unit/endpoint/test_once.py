"""Links for one use: used once, and by nothing that was not done."""

from __future__ import annotations

import pytest

from aiostow.linkstore import LinkState

from ._bench import KEY, NEW, OLD, Bench, ask

pytestmark = pytest.mark.anyio


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
