"""A plain ASGI application that serves share links: for Starlette, FastAPI, Litestar, or alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias, Unpack

from ..endpoint import Answer, Download, EndpointOptions, LinkEndpoint, LinkRequest, token_in
from ..storage import Storage
from ._steps import ClientGoneError, carry_out, cut_off

__all__ = ["LinkApp"]

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class LinkApp:
    """Serves share links, wherever it is mounted: ``Mount("/share", LinkApp(storage))``.

    Whatever path follows, the token alone says what is meant. Hooks get the ASGI scope as
    ``use.request``; those that are no coroutine functions must not block.

    Args:
        storages: whose links are served: one, or several, each with a `secret_key`. They stay open.
        options: see `LinkEndpoint`.
    """

    def __init__(
        self, storages: Storage | Iterable[Storage], **options: Unpack[EndpointOptions]
    ) -> None:
        self._endpoint = LinkEndpoint(storages, **options)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI says."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _serve(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        request = LinkRequest(
            scope["method"],
            token_in(scope.get("query_string", b"").decode("latin-1")),
            _headers(scope["headers"]),
            scope,
            "http.response.pathsend" in (scope.get("extensions") or ()),
        )
        try:
            answer = await carry_out(self._endpoint.serve(request), _Body(receive).receive)
        except ClientGoneError:
            return  # nobody is left to be answered
        await _send(answer, receive, send)


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[bytes, list[bytes]] = {}
    for name, value in raw:
        headers.setdefault(name, []).append(value)
    return {
        name.decode("latin-1").lower(): b", ".join(values).decode("latin-1")
        for name, values in headers.items()
    }


class _Body:
    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def receive(self) -> bytes:
        """Return the next bytes of the body, none at the end."""
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise cut_off(ConnectionResetError())
            self._ended = not message.get("more_body", False)
            if data := message.get("body", b""):
                return data  # type: ignore[no-any-return]  # as ASGI says
        return b""


async def _send(answer: Answer, receive: Receive, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
    download = answer.download
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if download is None:
            await send({"type": "http.response.body", "body": answer.body})
        elif download.path is not None:
            await send({"type": "http.response.pathsend", "path": download.path})
        else:
            await _send_body(download, receive, send)
    finally:
        if download is not None:
            await download.aclose()


async def _send_body(download: Download, receive: Receive, send: Send) -> None:
    gone: asyncio.Task[None] | None = None
    left = download.length
    try:
        while True:
            data = await download.read()
            left -= len(data)
            await send({"type": "http.response.body", "body": data, "more_body": left > 0})
            if left <= 0:
                return
            # Servers take what they are sent after the client went away, and drop it.
            if gone is None:
                gone = asyncio.get_running_loop().create_task(_disconnected(receive))
            elif gone.done():
                return
    finally:
        if gone is not None:
            gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _live(receive: Receive, send: Send) -> None:
    """Answer a server that starts and ends this application by itself."""
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})
