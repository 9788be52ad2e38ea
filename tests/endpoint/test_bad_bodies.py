"""Bodies that break the rules of HTTP, or do not come: an answer, and nothing stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ._client import Connection, ask
from ._serving import ADAPTERS, Served

pytestmark = pytest.mark.anyio

Endpoint = Callable[[str, str], Served]

SYNC = ("gunicorn-flask", "gunicorn-flask-sync", "gunicorn-django")
BROKEN = {
    "no number": b"zz\r\nhello\r\n0\r\n\r\n",
    "negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "no end of a chunk": b"5\r\nhelloworld\r\n0\r\n\r\n",
    "long extension": b"5;" + b"x" * 70_000 + b"\r\nhello\r\n0\r\n\r\n",
    "bad trailer": b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    "nul in a trailer": b"5\r\nhello\r\n0\r\na\x00b: c\r\n\r\n",
}


@pytest.mark.parametrize("chunks", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("server", [*ADAPTERS, "gunicorn-flask-sync"])
async def test_a_broken_chunk_is_no_fault_of_the_server(
    endpoint: Endpoint, key: str, server: str, chunks: bytes
) -> None:
    it = endpoint(server, "memory")
    link = str(await it.storage.link_to(key, "du", 600))
    statuses = []
    for url in (link, f"{link}x"):
        connection = await Connection.to(url)
        await connection.send("PUT", url, "Transfer-Encoding: chunked", "Connection: close")
        connection.writer.write(chunks)
        async with asyncio.timeout(10):
            try:
                statuses.append((await connection.answer_to_head()).status)
            except (asyncio.IncompleteReadError, ConnectionResetError):
                statuses.append(0)  # the server has hung up, as it may
        await connection.close()
    # Servers differ in what they read at all, and before what.
    assert statuses[0] in (0, 204, 400, 413)
    assert statuses[1] in (0, 400, 403, 413)
    if statuses[0] != 204:
        assert (await ask("HEAD", link)).status == 404


@pytest.mark.parametrize("server", SYNC)
@pytest.mark.parametrize("lines", [("Content-Length: 30000000",), ("Expect: 100-continue",)])
async def test_a_refused_body_is_not_waited_for(
    endpoint: Endpoint, key: str, server: str, lines: tuple[str, ...]
) -> None:
    it = endpoint(server, "memory")
    link = str(await it.storage.link_to(key, "d", 600))
    for url, status in ((f"{link}x", 403), (link, 403), (it.url, 404)):
        connection = await Connection.to(url)
        length = () if lines[0].startswith("Content-Length") else ("Content-Length: 30",)
        async with asyncio.timeout(5):
            await connection.send("PUT", url, *lines, *length)
            assert (await connection.answer()).status == status
        await connection.close()


@pytest.mark.parametrize("server", SYNC)
async def test_a_sender_reads_why_its_body_was_refused(
    endpoint: Endpoint, key: str, server: str
) -> None:
    it = endpoint(server, "memory")
    link = str(await it.storage.link_to(key, "u", 600, max_size=10))
    connection = await Connection.to(link)
    await connection.send("PUT", link, "Content-Length: 900000", "Connection: close")
    for _ in range(9):  # as over a slow network, which has no room for all of it
        await asyncio.sleep(0.02)
        connection.writer.write(bytes(100_000))
        await connection.writer.drain()
    assert (await connection.answer()).status == 413
    await connection.close()


@pytest.mark.parametrize("server", ADAPTERS)
async def test_a_body_that_is_shorter_than_it_said_is_not_stored(
    endpoint: Endpoint, key: str, server: str
) -> None:
    it = endpoint(server, "memory")
    link = str(await it.storage.link_to(key, "du", 600))
    connection = await Connection.to(link)
    await connection.send("PUT", link, "Content-Length: 10", body=b"hello")
    connection.writer.write_eof()
    async with asyncio.timeout(10):
        try:
            assert (await connection.answer()).status == 400
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass  # the server took it for gone
    await connection.close()
    assert (await ask("HEAD", link)).status == 404
