"""Changes under a condition: made to the version that was meant, or not at all."""

from __future__ import annotations

import pytest

from aiostow._conditions import Validators
from aiostow.endpoint import LinkUse

from ._bench import KEY, NEW, OLD, Bench, ask

pytestmark = pytest.mark.anyio


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
