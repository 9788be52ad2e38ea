"""Profiles of an ASGI application: every request sees them, and the shutdown closes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..errors import InvalidTypeError
from ..operations import current_profiles
from ..profiles import Profiles
from .asgi import Message, Receive, Send

App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_ENDS = ("lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed")


class StorageMiddleware:
    """Gives an ASGI application its profiles: ``Middleware(StorageMiddleware, profiles=profiles)``.

    Whatever a request calls, its background tasks too, finds them in `current_profiles`, where
    `StorageOperations` looks, and in ``request.state.storage_profiles``. They are closed when the
    application has shut down.

    Args:
        app: what is served.
        profiles: closed by this, so they are for this application alone.

    Raises:
        InvalidTypeError: `profiles` are none.
    """

    def __init__(self, app: App, profiles: Profiles) -> None:
        if not isinstance(profiles, Profiles):
            raise InvalidTypeError(
                f"StorageMiddleware takes Profiles([...]), not {type(profiles).__name__}"
            )
        self._app = app
        self._profiles = profiles

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection, or the life of the application, as ASGI says."""
        if scope["type"] in ("http", "websocket"):
            # In place, as frameworks set it: what stands before this sees it afterwards.
            scope.setdefault("state", {})["storage_profiles"] = self._profiles
        reset = current_profiles.set(self._profiles)
        try:
            if scope["type"] == "lifespan":
                await self._live(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        finally:
            current_profiles.reset(reset)

    async def _live(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        ending = False

        async def receiving() -> Message:
            nonlocal ending
            message = await receive()
            ending = message["type"] == "lifespan.shutdown"
            return message

        async def sending(message: Message) -> None:
            nonlocal ending
            if message["type"] in _ENDS:
                ending = False
                message = await self._closed(message)
            await send(message)

        try:
            await self._app(scope, receiving, sending)
        finally:
            # It ended without a word. One that knows no lifespan ends at the start, and is served.
            if ending:
                await self._profiles.aclose()

    async def _closed(self, message: Message) -> Message:
        """Close the profiles, and return what the server is told of that."""
        try:
            await self._profiles.aclose()
        except Exception as exc:  # noqa: BLE001  # the server is told
            if message["type"] != "lifespan.shutdown.complete":
                return message  # what failed first is told
            return {"type": "lifespan.shutdown.failed", "message": f"closing the storages: {exc}"}
        return message
