"""What is Starlette's and FastAPI's own: the URL of a mount, and an application without either."""

from __future__ import annotations

import secrets
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from aiostow import MemoryStorage
from aiostow.integrations.asgi import LinkApp
from aiostow.integrations.starlette import url_for

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("base_url", ["", "https://files.example", "https://files.example/"])
async def test_links_lead_to_the_mount(base_url: str) -> None:
    where = url_for(lambda: app, "outer:links", base_url=base_url)
    async with MemoryStorage(linked_endpoint=where, secret_key=secrets.token_bytes(32)) as storage:
        inner = Mount("/share", LinkApp(storage), name="links")
        app = Starlette(routes=[Mount("/v1", routes=[inner], name="outer")])
        link = await storage.link_to("k", "du", 600)
        assert link.startswith(f"{base_url.rstrip('/')}/v1/share/?token=")
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.put(str(link), content=b"data")).status_code == 204
            assert (await client.get(str(link))).content == b"data"


async def test_a_route_serves_links_too() -> None:
    async with MemoryStorage(
        linked_endpoint="http://test/share", secret_key=secrets.token_bytes(32)
    ) as storage:
        app = Starlette(routes=[Route("/share", LinkApp(storage))])
        link = await storage.link_to("k", "du", 600)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            assert (await client.put(str(link), content=b"data")).status_code == 204
            assert (await client.get(str(link))).content == b"data"


async def test_alone_it_lives_as_servers_expect() -> None:
    async with MemoryStorage(
        linked_endpoint="http://test/", secret_key=secrets.token_bytes(32)
    ) as storage:
        app = LinkApp(storage)
        sent = await _through(app, {"type": "lifespan"}, "lifespan.startup", "lifespan.shutdown")
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        sent = await _through(app, {"type": "websocket"}, "websocket.connect")
        assert sent == ["websocket.close"]


async def _through(app: LinkApp, scope: dict[str, Any], *messages: str) -> list[str]:
    coming = [{"type": message} for message in messages]
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return coming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app(scope, receive, send)
    return sent
