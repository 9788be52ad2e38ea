"""Clients belong to the event loop that made them: one for each loop, and new ones after a fork."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from .._process import process_id
from .._tasks import run_elsewhere


class Closing(Protocol):
    def aclose(self) -> Coroutine[Any, Any, None]: ...


# Never collected: a connection that ends takes itself out of its loop's epoll, which a forked child
# shares with its parent, and the parent would wait for it for ever.
_PARENTS: list[object] = []

ClientT = TypeVar("ClientT", bound=Closing)


class PerLoop(Generic[ClientT]):
    """One client for each event loop, made when it is first asked for.

    Args:
        make: makes one on the running loop.
    """

    def __init__(self, make: Callable[[], Awaitable[ClientT]]) -> None:
        self._make = make
        self._begin()

    def _begin(self) -> None:
        self._pid = process_id()
        self._clients: dict[asyncio.AbstractEventLoop, ClientT] = {}
        self._making: dict[asyncio.AbstractEventLoop, asyncio.Task[ClientT]] = {}

    def _renew(self) -> None:
        """Begin anew in a forked child: the parent's connections are the parent's."""
        if self._pid != process_id():
            _PARENTS.append(self._clients)
            self._begin()

    async def connect(self) -> ClientT:
        """Return the client of the running loop."""
        self._renew()
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is not None:
            return client
        making = self._making.get(loop)
        if making is None:
            self._forget_closed()
            making = self._making[loop] = loop.create_task(self._made(loop))
        return await asyncio.shield(making)  # others wait for it too

    async def _made(self, loop: asyncio.AbstractEventLoop) -> ClientT:
        try:
            client = await self._make()
            self._clients[loop] = client
            return client
        finally:
            del self._making[loop]

    def current(self) -> ClientT:
        """Return the client of the running loop, which `connect` has made."""
        return self._clients[asyncio.get_running_loop()]

    def _forget_closed(self) -> None:
        for loop in [loop for loop in self._clients if loop.is_closed()]:
            del self._clients[loop]

    async def aclose(self) -> None:
        """Close all of them, on their own loops as far as those still run."""
        self._renew()
        here = asyncio.get_running_loop()
        making = self._making.get(here)
        if making is not None:
            await asyncio.wait([making])
        while self._clients:
            loop, client = self._clients.popitem()
            if loop is here:
                await client.aclose()
            elif loop.is_running():
                await run_elsewhere(client.aclose(), loop)
