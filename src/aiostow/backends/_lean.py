"""Small requests on aiohttp's pool and parser, without its session.

A session costs some 150 microseconds a request, for cookies, redirects, middlewares and a task that
writes the body. What is sent here is known to need none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from yarl import URL

from ..driver import Buffer
from ..errors import InvalidArgumentError


class LeanClient:
    """Makes requests whose bodies go out in one go.

    Args:
        session: whose connections are used.
        origin: scheme, host and port.
        timeout: as the session has it.
        read_bufsize: bytes of a body that are held for a slow reader.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        origin: str,
        timeout: aiohttp.ClientTimeout,
        read_bufsize: int,
    ) -> None:
        connector = session.connector
        assert connector is not None, "the session was just made"
        self._connector = connector
        self._timeout = timeout
        self._read_bufsize = read_bufsize
        url = URL(origin, encoded=True)
        # It tells the pool where to connect, for every request alike.
        self._where = aiohttp.ClientRequest("GET", url, loop=asyncio.get_running_loop())
        self._host = self._where.headers["Host"]

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: Sequence[Buffer]
    ) -> LeanResponse:
        """Send a request, and return its answer once its headers have come.

        Args:
            method: of HTTP.
            target: path and query.
            headers: all but ``host`` and ``content-length``.
            body: buffers in order, small together.

        Raises:
            aiohttp.ClientError, OSError: as from a session.
        """
        length = sum(map(len, body))
        lines = [f"{method} {target} HTTP/1.1", f"host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method in ("PUT", "POST"):
            lines.append(f"content-length: {length}")
        text = "\r\n".join(lines)
        if not text.count("\n") == text.count("\r") == len(lines) - 1:
            raise InvalidArgumentError("a header cannot hold the end of a line")
        head = f"{text}\r\n\r\n".encode()
        connection = await self._connector.connect(self._where, [], self._timeout)
        transport = None
        try:
            protocol = connection.protocol
            assert protocol is not None, "it was just taken from the pool"
            protocol.set_response_params(
                skip_payload=method == "HEAD",
                auto_decompress=False,
                read_timeout=self._timeout.sock_read,
                read_bufsize=self._read_bufsize,
            )
            transport = protocol.transport
            if transport is None:
                raise aiohttp.ServerDisconnectedError
            transport.write(b"".join([head, *body]))
            protocol.start_timeout()
            while True:
                message, payload = await protocol.read()
                if message.code >= 200:
                    break
        except BaseException:
            if transport is not None:
                transport.abort()  # merely closed, it would go on sending
            connection.close()
            raise
        return LeanResponse(connection, message, payload)


class LeanResponse:
    """An answer: the part of `aiohttp.ClientResponse` that is used here."""

    def __init__(self, connection: Any, message: Any, payload: aiohttp.StreamReader) -> None:
        self.status: int = message.code
        self.headers: Mapping[str, str] = message.headers
        self.content = payload
        self.connection = connection
        payload.on_eof(connection.release)

    def close(self) -> None:
        """Close the connection, unless the body came to its end; whoever waits for it is told."""
        if not self.content.is_eof():
            _end(self.content)
            self.connection.close()


async def close_session(session: aiohttp.ClientSession) -> None:
    """Close every connection, and tell whoever waits for an answer or its body."""
    connector = session.connector
    if connector is not None:
        for protocol in connector._acquired:
            if protocol._payload is not None:
                _end(protocol._payload)
    await session.close()


def _end(content: aiohttp.StreamReader) -> None:
    # A connection that is closed from this side forgets the body that somebody may wait for, and
    # its timeout too.
    if content.exception() is None:
        content.set_exception(aiohttp.ClientConnectionError("the connection was closed"))
