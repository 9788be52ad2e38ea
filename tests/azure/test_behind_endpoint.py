"""A private container whose links lead to the application, which serves them."""

from __future__ import annotations

import os

import httpx
import pytest

from aiostow.integrations.asgi import LinkApp
from aiostow.linkstore import MemoryLinkStore

from ._suite import MakeStorage

pytestmark = pytest.mark.anyio

URL = "https://files.example/"


async def test_a_container_is_served_with_what_its_own_links_lack(
    make_storage: MakeStorage,
) -> None:
    linked = {"linked_endpoint": URL, "secret_key": "s" * 32}
    async with make_storage(**linked) as storage:
        app = LinkApp(storage, store=MemoryLinkStore())
        data = os.urandom(9 << 20)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            link = str(await storage.link_to("a/ü b.png", "dur", 60, overwrite=False))
            assert link.startswith(URL)
            assert (await client.put(link, content=data)).status_code == 201
            assert (await client.put(link, content=b"x")).status_code == 409
            got = await client.get(link)
            assert (got.content == data, got.headers["content-type"]) == (True, "image/png")
            part = await client.get(link, headers={"Range": "bytes=5000000-5000009"})
            assert (part.status_code, part.content) == (206, data[5_000_000:5_000_010])
            same = await client.get(link, headers={"If-None-Match": got.headers["etag"]})
            assert same.status_code == 304
            once = str(await storage.link_to("a/ü b.png", "d", 60, once=True, max_size=None))
            assert [(await client.get(once)).status_code for _ in range(2)] == [200, 410]
            assert (await client.delete(link)).status_code == 204
            assert (await client.get(link)).status_code == 404
            assert (await client.get(f"{link}x")).status_code == 403
