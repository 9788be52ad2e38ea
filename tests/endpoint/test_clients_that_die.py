"""Clients that go away in the middle: nothing is stored, and nothing is kept open."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from aiostow.keys import TEMP_PREFIX

from ._client import Connection, ask
from ._serving import ADAPTERS, Served

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks into /proc"),
]

MIB = 1 << 20

Endpoint = Callable[[str, str], Served]


def _opened(it: Served) -> list[str]:
    """Return what files of the storage the server's processes have open."""
    root = _root(it)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getpgid(int(process.name)) != it.pid:
                continue
            for fd in (process / "fd").iterdir():
                with suppress(OSError):
                    target = os.readlink(fd)
                    if target.startswith(f"{root}/"):
                        found.append(target)
    return found


def _root(it: Served) -> str:
    return it.storage.driver.root  # type: ignore[attr-defined, no-any-return]  # a local disk's


def _files(it: Served) -> list[str]:
    return [name for _, _, names in os.walk(_root(it)) for name in names]


async def _until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("server", ADAPTERS)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_client_killed_while_it_uploads_stores_nothing(
    endpoint: Endpoint, key: str, server: str, chunked: bool
) -> None:
    it = endpoint(server, "local")
    link = await it.storage.link_to(key, "du", 600, once=True)
    before = _files(it)
    connection = await Connection.to(link)
    if chunked:
        block = b"100000\r\n" + b"x" * MIB + b"\r\n"
        await connection.send("PUT", link, "Transfer-Encoding: chunked")
        for _ in range(9):
            connection.writer.write(block)
            await connection.writer.drain()
    else:
        length = f"Content-Length: {64 * MIB}"
        await connection.send("PUT", link, length, body=b"x" * (9 * MIB))
    if server != "uvicorn-django":  # Django takes in all of a body before a view sees any
        await _until(lambda: _opened(it))
    connection.kill()
    await _until(lambda: not _opened(it))
    assert (await ask("HEAD", link)).status == 404
    assert _files(it) == before
    assert not any(name.startswith(TEMP_PREFIX) for name in _files(it))
    # Nothing was used up: the link is still good.
    async with asyncio.timeout(10):
        while (await ask("PUT", link, body=b"data")).status == 409:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.02)
    assert (await ask("HEAD", link)).status == 410


@pytest.mark.parametrize("server", ADAPTERS)
async def test_a_client_killed_while_it_downloads_frees_the_file(
    endpoint: Endpoint, key: str, server: str
) -> None:
    it = endpoint(server, "local")
    path = Path(_root(it), key)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(1 << 40)  # takes no room, and would take an hour
    link = await it.storage.link_to(key, "d", 600)
    connection = await Connection.to(link)
    await connection.send("GET", link)
    await connection.reader.readexactly(4 * MIB)
    assert _opened(it) == [str(path)]
    connection.kill()
    await _until(lambda: not _opened(it))
    path.unlink()


@pytest.mark.parametrize("server", ADAPTERS)
async def test_a_client_that_reads_no_more_is_not_read_for(
    endpoint: Endpoint, key: str, server: str
) -> None:
    it = endpoint(server, "local")
    path = Path(_root(it), key)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(1 << 40)
    link = await it.storage.link_to(key, "d", 600)
    connection = await Connection.to(link)
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]  # sockets have it
    before = _memory(it)
    await connection.send("GET", link)
    await asyncio.sleep(1)
    assert _memory(it) - before < 96 * MIB
    connection.kill()
    await _until(lambda: not _opened(it))
    path.unlink()


def _memory(it: Served) -> int:
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getpgid(int(process.name)) == it.pid:
                pages = (process / "statm").read_text().split()[1]
                total += int(pages) * os.sysconf("SC_PAGE_SIZE")
    return total


@pytest.mark.parametrize("server", ADAPTERS)
async def test_one_token_uploads_20_megabytes_downloads_and_removes(
    endpoint: Endpoint, key: str, server: str
) -> None:
    it = endpoint(server, "local")
    link = await it.storage.link_to(key, "dur", 600)
    data = os.urandom(MIB) * 20
    assert (await ask("POST", link, body=data)).status == 204
    got = await ask("GET", link)
    assert (got.status, got.body == data) == (200, True)
    assert (await ask("DELETE", link)).status == 204
    assert (await ask("GET", link)).status == 404
