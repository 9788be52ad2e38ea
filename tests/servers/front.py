"""A small server before a real one: it looks at each request, and may answer in its place."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Decide = Callable[[bytes], bytes | Awaitable[bytes]]
"""Returns the bytes to send on in place of a request's head; what begins with ``HTTP/`` answers."""


@asynccontextmanager
async def front(port: int, decide: Decide) -> AsyncIterator[int]:
    """Return the port of a front to `port`, for requests whose bodies follow their heads."""
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        back = asyncio.ensure_future(pass_on(inner_reader, writer))
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b""
                decided = decide(head)
                if not isinstance(decided, bytes):
                    decided = await decided
                if decided.startswith(b"HTTP/"):
                    writer.write(decided)
                else:
                    inner_writer.write(decided + body)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            back.cancel()
            inner_writer.close()
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    """Return an answer that ends its connection."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", *lines])
    return f"{head}\r\n\r\n".encode() + body
