"""A client of few lines, which can race and die as no library lets it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Got:
    """An answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Connection:
    """One connection to the server of a link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader: asyncio.StreamReader = reader
        self.writer: asyncio.StreamWriter = writer

    @classmethod
    async def to(cls, link: str) -> Connection:
        """Connect to where a link leads."""
        where = urlsplit(link)
        return cls(*await asyncio.open_connection(where.hostname, where.port))

    async def send(self, method: str, link: str, *lines: str, body: bytes = b"") -> None:
        """Send a request, or with a longer Content-Length among its lines the beginning of one."""
        where = urlsplit(link)
        head = [f"{method} {where.path}?{where.query} HTTP/1.1", "Host: test", *lines]
        if body and not any(line.lower().startswith("content-length") for line in lines):
            head.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        await self.writer.drain()

    async def answer(self) -> Got:
        """Read an answer that tells its length, or has none."""
        got = await self.answer_to_head()
        got.body = await self.reader.readexactly(int(got.headers.get("content-length", 0)))
        return got

    async def answer_to_head(self) -> Got:
        """Read an answer that has no body, whatever its length; not one that says to go on."""
        while (got := await self._head()).status == 100:
            pass
        return got

    async def _head(self) -> Got:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        return Got(int(first.split()[1]), headers)

    def kill(self) -> None:
        """End the connection without a word, as a client that dies."""
        self.writer.transport.abort()

    async def close(self) -> None:
        """End the connection."""
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


async def ask(method: str, link: str, *lines: str, body: bytes = b"") -> Got:
    """Make one request on a connection of its own."""
    connection = await Connection.to(link)
    try:
        await connection.send(method, link, *lines, body=body)
        return await (connection.answer_to_head() if method == "HEAD" else connection.answer())
    finally:
        await connection.close()


async def race(
    method: str, link: str, connections: Iterable[Connection], bodies: Iterable[bytes]
) -> list[Got]:
    """Make the same request on many connections at once."""

    async def one(connection: Connection, body: bytes) -> Got:
        await connection.send(method, link, body=body)
        return await connection.answer()

    return await asyncio.gather(*(one(*pair) for pair in zip(connections, bodies, strict=True)))
