"""Tokens: bad ones get one answer, good ones allow what they say, and none is shown."""

from __future__ import annotations

import logging

import pytest

from aiostow.endpoint import LinkRequest, token_in
from aiostow.testing.faulty import error

from ._bench import KEY, NEW, OLD, Bench, ask, failure

pytestmark = pytest.mark.anyio


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
