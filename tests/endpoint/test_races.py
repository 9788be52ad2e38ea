"""Links for one use, raced for by many clients on several processes."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ._client import Connection, race
from ._serving import Served, serving

pytestmark = pytest.mark.anyio

CLIENTS = 50
RACES = 100


async def _races(it: Served, method: str, bodies: list[bytes]) -> list[Counter[int]]:
    """Race for new links, on connections that are kept; return the statuses of each race."""
    links = [
        await it.storage.link_to(f"{number}/file", "du", 600, once=True) for number in range(RACES)
    ]
    connections = await _spread(it)
    races = []
    for link in links:
        got = await race(method, link, connections, bodies)
        races.append(Counter(each.status for each in got))
        for index, each in enumerate(got):
            if each.headers.get("connection") == "close":  # servers do, after some requests
                await connections[index].close()
                connections[index] = await Connection.to(link)
    for connection in connections:
        await connection.close()
    return races


async def _spread(it: Served) -> list[Connection]:
    """Return connections of which each process has its share."""
    having: dict[int, list[Connection]] = {}
    surplus: list[Connection] = []
    for batch in range(100):
        links = [await it.storage.link_to(f"which/{batch}/{n}", "d", 600) for n in range(20)]
        connections = [await Connection.to(link) for link in links]
        await asyncio.gather(*(each.send("HEAD", link) for each, link in zip(connections, links)))
        for each in connections:
            await each.answer_to_head()
        noted = (json.loads(line) for line in it.notes.read_text().splitlines())
        processes = {key: pid for pid, _, _, key, _ in noted}
        for number, each in enumerate(connections):
            mine = having.setdefault(processes[f"which/{batch}/{number}"], [])
            (mine if len(mine) < -(-CLIENTS // 4) else surplus).append(each)
        if len(having) == 4 and sum(map(len, having.values())) >= CLIENTS:
            break
    kept = [each for mine in having.values() for each in mine]
    surplus += kept[CLIENTS:]
    for each in surplus:
        await each.close()
    assert len(having) == 4
    return kept[:CLIENTS]


def _processes(it: Served) -> int:
    noted = map(json.loads, it.notes.read_text().splitlines())
    return len({pid for pid, _, _, key, _ in noted if not key.startswith("which")})


@pytest.mark.parametrize("server", ["uvicorn-4", "gunicorn-flask-4"])
async def test_of_50_clients_on_4_processes_exactly_one_downloads(
    specs: Callable[[str], dict[str, Any]], tmp_path: Path, server: str
) -> None:
    with serving(server, tmp_path, specs("local"), store=str(tmp_path / "links.db")) as it:
        for number in range(RACES):
            await it.storage.write_bytes(f"{number}/file", b"data")
        races = await _races(it, "GET", [b""] * CLIENTS)
        assert races == [{200: 1, 410: CLIENTS - 1}] * RACES
        assert _processes(it) == 4
        await it.storage.aclose()


@pytest.mark.parametrize("server", ["uvicorn-4", "gunicorn-flask-4"])
async def test_of_50_clients_on_4_processes_exactly_one_uploads(
    specs: Callable[[str], dict[str, Any]], tmp_path: Path, server: str
) -> None:
    bodies = [b"%04d" % number * 1000 for number in range(CLIENTS)]
    with serving(server, tmp_path, specs("local"), store=str(tmp_path / "links.db")) as it:
        races = await _races(it, "PUT", bodies)
        # The others came while it was being used (409), or after that.
        assert [counts[204] for counts in races] == [1] * RACES
        assert {status for counts in races for status in counts} <= {204, 409, 410}
        stored = [await it.storage.read_bytes(f"{number}/file") for number in range(RACES)]
        assert all(each in bodies for each in stored)
        assert _processes(it) == 4
        await it.storage.aclose()


async def test_an_upload_whose_process_is_killed_frees_its_link_and_stores_nothing(
    specs: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    db = tmp_path / "links.db"
    spec = specs("local")
    with serving("uvicorn-starlette", tmp_path, spec, store=str(db)) as it:
        link = await it.storage.link_to("k", "u", 600, once=True)
        token_id = it.storage.deserialize_link_token(link.partition("token=")[2]).token_id
        connection = await Connection.to(link)
        await connection.send("PUT", link, "Content-Length: 1000000", body=b"x" * 500_000)
        await _until_held(db, token_id)
        os.kill(it.pid, 9)
        connection.kill()
    assert not await it.storage.exists("k")
    _pass_time(db)
    with serving("uvicorn-starlette", tmp_path, spec, store=str(db)) as it2:
        again = it2.url + "?" + link.partition("?")[2]
        connection = await Connection.to(again)
        await connection.send("PUT", again, body=b"new")
        assert (await connection.answer()).status == 204
        await connection.close()
        assert await it.storage.read_bytes("k") == b"new"
    await it.storage.aclose()
    await it2.storage.aclose()


async def _until_held(db: Path, token_id: str) -> None:
    from aiostow.linkstore import LinkState, SQLiteLinkStore

    store = SQLiteLinkStore(db)
    async with asyncio.timeout(10):
        while await store.state(token_id) is not LinkState.held:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
    await store.aclose()


def _pass_time(db: Path) -> None:
    """Let the time of a hold pass."""
    import sqlite3

    connection = sqlite3.connect(db)
    assert connection.execute("UPDATE links SET until = until - 1000").rowcount == 1
    connection.commit()
    connection.close()
