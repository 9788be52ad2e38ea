"""Downloads and uploads by links, beside what Starlette offers for files, under one server each."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.servers._process import free_ports, need, process, wait_for_http

from aiostow import LocalFSStorage

from ._measure import Case, Target, about, chosen, measure, together, workplace

MIB = 1 << 20
LARGE = 256 * MIB
UPLOAD = 1 << 30
BUDGET = 64 * MIB
ALLOWED = BUDGET + 32 * MIB
SMALL = 1000
FLIGHT = 16

_SECRET = "AIOSTOW_BENCH"  # what the environment tells the application


def app() -> Any:
    """The application under the server: links, and Starlette's own response for files."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import FileResponse
    from starlette.routing import Mount, Route

    from aiostow.integrations.asgi import LinkApp

    told = json.loads(os.environ[_SECRET])
    storage = LocalFSStorage(**told)

    async def plain(request: Request) -> FileResponse:
        return FileResponse(Path(told["root"]) / request.path_params["name"])

    return Starlette(routes=[Mount("/share", LinkApp(storage)), Route("/plain/{name}", plain)])


async def fetch(port: int, target: str, size: int) -> None:
    """Download by a socket, which costs least."""
    loop = asyncio.get_running_loop()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setblocking(False)
        request = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        await loop.sock_sendall(client, request.encode())
        buffer = memoryview(bytearray(MIB))
        count = await loop.sock_recv_into(client, buffer)
        head = bytes(buffer[:count])
        assert head.startswith(b"HTTP/1.1 200"), head[:200]
        total = count - head.index(b"\r\n\r\n") - 4
        while count := await loop.sock_recv_into(client, buffer):
            total += count
        assert total == size, total


class Kept:
    """Connections that are kept, as those of a proxy in front."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def fetch(self, target: str, size: int) -> None:
        """Download something small."""
        if self._free:
            reader, writer = self._free.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await reader.readexactly(size)
        self._free.append((reader, writer))

    def close(self) -> None:
        """Close them."""
        for _, writer in self._free:
            writer.close()


async def upload(port: int, target: str, size: int) -> None:
    """Upload by a socket."""
    loop = asyncio.get_running_loop()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setblocking(False)
        head = (
            f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\nConnection: close\r\n"
        )
        await loop.sock_sendall(client, f"{head}\r\n".encode())
        block = bytes(MIB)
        for _ in range(size // MIB):
            await loop.sock_sendall(client, block)
        answer = await loop.sock_recv(client, 65536)
        assert answer.startswith(b"HTTP/1.1 204"), answer[:200]


def peak_of(pid: int) -> int:
    """Return the largest memory that a process has had, in bytes, since it was reset."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) << 10
    raise AssertionError("the system does not tell")


async def main() -> None:
    """Measure both kinds of uvicorn."""
    print("## Links\n")
    packages = ("starlette", "uvicorn", "h11", "httptools", "uvloop")
    print(f"{about(*packages)}; in memory (tmpfs).")
    for title, flags in {
        "uvicorn as it comes with `uvicorn[standard]`": ["--http", "httptools", "--loop", "uvloop"],
        "uvicorn alone": ["--http", "h11", "--loop", "asyncio"],
    }.items():
        await _under(title, flags)


async def _under(title: str, flags: list[str]) -> None:
    with workplace() as folder:
        root = Path(folder) / "root"
        secret = secrets.token_hex(32)
        told = {"root": str(root), "linked_endpoint": "/share/", "secret_key": secret}
        (port,) = free_ports(1)
        command = [
            need("uvicorn", "pip install uvicorn"), "--factory", "benchmarks.links:app",
            "--port", str(port), "--log-level", "warning", "--no-access-log", *flags,
        ]  # fmt: skip
        log = Path(folder) / "log"
        here = Path(__file__).parents[1]
        env = {_SECRET: json.dumps(told), "PYTHONPATH": str(here)}
        async with LocalFSStorage(**told) as storage:  # type: ignore[arg-type]  # all are str
            await storage.write_bytes("large", os.urandom(MIB) * (LARGE // MIB))
            await storage.write_bytes("small", os.urandom(1024))
            links = {
                name: await storage.link_to(name, "du", 3600)
                for name in ("large", "small", "upload")
            }
        with process(command, log, env) as server:
            wait_for_http(port, server, log)
            kept = Kept(port)

            def many(target: str) -> Callable[[], Any]:
                return lambda: together(lambda _: kept.fetch(target, 1024), SMALL, FLIGHT)

            for case in chosen(
                [
                    Case(
                        f"Download 256 MiB, {title}", LARGE // MIB, "MiB",
                        {
                            "aiostow": lambda: fetch(port, links["large"], LARGE),
                            "FileResponse": lambda: fetch(port, "/plain/large", LARGE),
                        },
                        (Target("FileResponse", 1.0),),
                    ),
                    Case(
                        f"Download 1 KiB, {FLIGHT} at once, {title}", SMALL, "requests",
                        {"aiostow": many(links["small"]), "FileResponse": many("/plain/small")},
                        (Target("FileResponse", 0.8),),
                        rounds=9,
                    ),
                ]
            ):  # fmt: skip
                await measure(case)
            kept.close()
            Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # begins the peak anew
            before = peak_of(server.pid)
            await upload(port, links["upload"], UPLOAD)
            grown = peak_of(server.pid) - before
            verdict = "met" if grown <= ALLOWED else "MISSED"
            print(
                f"\nUpload 1 GiB, {title}: the server grows by {grown / MIB:.0f} MiB "
                f"(allowed {ALLOWED // MIB}: {verdict})",
                file=sys.stdout,
                flush=True,
            )
