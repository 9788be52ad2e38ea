"""Answers: ranges, and what every one carries."""

from __future__ import annotations

import pytest

from ._bench import NEW, OLD, SECURITY, Bench, ask

pytestmark = pytest.mark.anyio


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
