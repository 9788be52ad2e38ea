"""Several storages, views and closed ones behind one endpoint."""

from __future__ import annotations

import pytest

from aiostow import MemoryStorage, Storage
from aiostow.endpoint import LinkEndpoint

from ._bench import KEY, NEW, SECRET, Bench, ask, token_of

pytestmark = pytest.mark.anyio


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
