"""In which order things are done: whatever may refuse comes before a link is used up."""

from __future__ import annotations

import pytest

from ._bench import NEW, OLD, Bench, ask

pytestmark = pytest.mark.anyio


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
