"""The TCP connection below SSH, with fewer and better measured calls in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

# asyncssh copies all that it has not yet taken apart with every packet of at most 32 KiB.
_FED = 36 << 10
_GATHERED = 120 << 10  # bytes that are sent at once; more would cost new memory each time


class DirectWay:
    """Connects asyncssh as a tunnel does that it may be given, without there being one."""

    async def create_connection(
        self, session_factory: Callable[[], Any], remote_host: str, remote_port: int
    ) -> tuple[asyncio.BaseTransport, Any]:
        """Return a transport, and the protocol that asyncssh made for it."""
        transport, shim = await asyncio.get_running_loop().create_connection(
            lambda: _Shim(session_factory()), remote_host, remote_port
        )
        return transport, shim.inner


class _Shim(asyncio.Protocol):
    """Hands out what comes in portions."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self.inner.connection_made(_Gathering(self._transport))

    def data_received(self, data: bytes) -> None:
        if len(data) <= _FED:
            self.inner.data_received(data)
            return
        for begin in range(0, len(data), _FED):
            if self._transport.is_closing():
                return  # it was given up, with what is left
            self.inner.data_received(data[begin : begin + _FED])

    def eof_received(self) -> bool | None:
        result: bool | None = self.inner.eof_received()
        return result

    def connection_lost(self, exc: Exception | None) -> None:
        self.inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()


class _Gathering(asyncio.Transport):
    """Sends what is written in one turn of the loop by one call of the system."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[Any] = []
        self._size = 0

    def write(self, data: Any) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _GATHERED:
            self._flush()

    def _flush(self) -> None:
        parts, self._parts, self._size = self._parts, [], 0
        if parts:
            self._transport.write(b"".join(parts))

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()
