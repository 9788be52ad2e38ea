"""What answers of services, and failures to get one, are taken for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate

import pytest

pytest.importorskip("aiohttp")

import pendulum

from aiostow import Link
from aiostow._diagnosis import Canary, Finding
from aiostow.backends._rest_checks import RestChecks
from aiostow.backends.http import HttpOptions

pytestmark = pytest.mark.anyio

PAGE = "https://app.example"
ALLOWED = {
    "access-control-allow-origin": PAGE,
    "access-control-allow-methods": "GET, PUT",
    "access-control-expose-headers": "x-other, ETag",
}


@asynccontextmanager
async def answering(*headers: str, status: str = "403 Forbidden") -> AsyncIterator[str]:
    """Run a server that answers everything with these headers, and give its origin."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        lines = [f"HTTP/1.1 {status}", "content-length: 0", "connection: close", *headers]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def looked(origin: str, name: str, data: bytes = b"") -> Finding:
    """Return what the step of a name finds, after those before it."""

    async def link(operation: str) -> Link:
        return Link(
            f"{origin}/key?signature", methods=("PUT",), headers={"Content-Type": "text/plain"},
            expires=pendulum.now().add(hours=1),
        )  # fmt: skip

    canary = Canary("a/aiostow-doctor-x", "other", data, PAGE, True, link)
    options = HttpOptions(connect_timeout=0.5, read_timeout=0.5)
    for step in RestChecks(origin, options, canary, "", etag_needed=True).steps():
        found = await step.run()
        if step.name == name:
            return found
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("off", "status"),
    [
        (0, "ok"), (55, "ok"), (-55, "ok"), (65, "warning"), (-65, "warning"),
        (890, "warning"), (910, "failed"), (-910, "failed"),
    ],
)  # fmt: skip
async def test_a_clock_is_judged_by_how_far_it_is_off(off: int, status: str) -> None:
    async with answering(f"date: {formatdate(time.time() - off, usegmt=True)}") as origin:
        found = await looked(origin, "clock")
    assert found.status == status
    if off > 55:
        assert "ahead of" in found.found
    if off < -55:
        assert "behind" in found.found


@pytest.mark.parametrize("headers", [[], ["date: yesterday"]])
async def test_a_service_that_does_not_tell_the_time_is_not_held_against_it(
    headers: list[str],
) -> None:
    async with answering(*headers) as origin:
        assert (await looked(origin, "clock")).status == "ok"


async def test_what_is_no_answer_of_http_is_told() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = await looked(origin, "reachable")
    assert found.status == "failed"
    assert "scheme, host and port" in found.advice


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "ok"),
        ({"access-control-allow-origin": "*"}, "ok"),
        ({"access-control-allow-origin": "https://other.example"}, "failed"),
        ({"access-control-allow-origin": None}, "failed"),
        ({"access-control-allow-methods": "GET"}, "failed"),
        ({"access-control-expose-headers": None}, "warning"),
        ({"access-control-expose-headers": "x-etag"}, "warning"),
    ],
)
async def test_a_preflight_is_judged_as_a_browser_would(
    changed: dict[str, str | None], expected: str
) -> None:
    told = {name: value for name, value in {**ALLOWED, **changed}.items() if value is not None}
    lines = [f"{name}: {value}" for name, value in told.items()]
    async with answering(*lines, status="200 OK") as origin:
        found = await looked(origin, "cors")
    assert found.status == expected
    assert "signature" not in str(found)


async def test_a_refused_preflight_lets_nobody_in() -> None:
    async with answering(*(f"{name}: {value}" for name, value in ALLOWED.items())) as origin:
        assert (await looked(origin, "cors")).status == "failed"


async def test_a_link_must_bring_what_was_written() -> None:
    async with answering(status="200 OK") as origin:
        assert (await looked(origin, "links", b"")).status == "ok"
        found = await looked(origin, "links", b"data")
    assert found.status == "failed"
    assert "signature" not in str(found)
    async with answering() as origin:
        assert (await looked(origin, "links", b"")).status == "failed"
