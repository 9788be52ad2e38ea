"""SFTP on sshd: beside the OpenSSH client, asyncssh's own client and sshfs of fsspec."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
from sshfs import SSHFileSystem
from tests.servers import SFTPServer, sshd

from aiostow import SFTPStorage

from ._measure import Case, Target, about, chosen, drain, measure, together, workplace

MIB = 1 << 20
LARGE = 256
SMALL = 1024
CALLS = 1500
FLIGHT = 16
LISTED = 10_000
_GCM = ["aes128-gcm@openssh.com"]


class Peers:
    """Clients of every contender, and the caller's own folder."""

    def __init__(self, server: SFTPServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.login: dict[str, Any] = {
            "port": server.port,
            "username": server.username,
            "client_keys": [str(server.key)],
            "known_hosts": str(server.known_hosts),
        }

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[Peers]:
        server = self.server
        async with AsyncExitStack() as stack:
            self.ours = await stack.enter_async_context(
                SFTPStorage(
                    "127.0.0.1", server.username, server.key, server.known_hosts, server.port
                )
            )
            connect = functools.partial(asyncssh.connect, "127.0.0.1", **self.login)
            plain = await stack.enter_async_context(connect())
            self.asyncssh = await stack.enter_async_context(plain.start_sftp_client())
            fast = await stack.enter_async_context(connect(encryption_algs=_GCM))
            self.asyncssh_gcm = await stack.enter_async_context(fast.start_sftp_client())
            # Connects on construction, on a loop of its own.
            self.sshfs = await asyncio.to_thread(
                SSHFileSystem, "127.0.0.1", **self.login, skip_instance_cache=True
            )
            yield self

    async def on_sshfs(self, work: Coroutine[Any, Any, object]) -> None:
        """Run work on the loop of sshfs."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.sshfs.loop))

    async def openssh(self, batch: str) -> None:
        """Let the OpenSSH client do something."""
        server = self.server
        process = await asyncio.create_subprocess_exec(
            "sftp", "-q", "-b", "-", "-P", str(server.port), "-i", str(server.key),
            "-o", f"UserKnownHostsFile={server.known_hosts}", "-o", "IdentitiesOnly=yes",
            f"{server.username}@127.0.0.1",
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        await process.communicate(batch.encode())
        assert process.returncode == 0


async def main() -> None:
    """Measure and print every case."""
    print("sftp, sshd and all files in memory on the same machine:", about(
        "aiostow", "asyncssh", "sshfs",
    ))  # fmt: skip
    with workplace() as folder, sshd(Path(folder) / "sshd") as server:
        own = Path(folder) / "own"
        own.mkdir()
        async with Peers(server, own).entered() as peers:
            for cases in (reading, writing, small, listing):
                for case in chosen(await cases(peers)):
                    await measure(case)


async def reading(peers: Peers) -> list[Case]:
    """A large file, to a local one and as a stream."""
    await peers.ours.write_bytes("large", os.urandom(MIB) * LARGE)
    to = peers.folder

    async def ours_streams() -> None:
        async with peers.ours.open("large") as file:
            await drain(file, LARGE * MIB)

    async def asyncssh_streams() -> None:
        total = 0
        async with peers.asyncssh_gcm.open("large", "rb") as file:
            async for _, data in await file.read_parallel():
                total += len(data)
        assert total == LARGE * MIB

    runs: dict[str, Callable[[], Awaitable[object]]] = {
        "aiostow": lambda: peers.ours.get("large", to / "ours"),
        "OpenSSH sftp": lambda: peers.openssh(f"get large {to / 'openssh'}\n"),
        "asyncssh": lambda: peers.asyncssh.get("large", str(to / "asyncssh")),
        "asyncssh, AES-GCM": lambda: peers.asyncssh_gcm.get("large", str(to / "gcm")),
        "sshfs": lambda: peers.on_sshfs(peers.sshfs._get_file("large", str(to / "sshfs"))),
    }
    streams: dict[str, Callable[[], Awaitable[object]]] = {
        "aiostow": ours_streams,
        "asyncssh, AES-GCM": asyncssh_streams,
    }
    targets = (Target("OpenSSH sftp", 2.0), Target("asyncssh", 1.3))
    return [
        Case(f"get {LARGE} MiB", LARGE, "MiB", runs, targets, 9, lambda: empty(to)),
        Case(f"stream {LARGE} MiB", LARGE, "MiB", streams),
    ]


async def writing(peers: Peers) -> list[Case]:
    """A large local file."""
    own = peers.server.root / "source"
    own.write_bytes(os.urandom(MIB) * LARGE)
    runs: dict[str, Callable[[], Awaitable[object]]] = {
        "aiostow": lambda: peers.ours.put(own, "put/ours"),
        "OpenSSH sftp": lambda: peers.openssh(f"put {own} put/openssh\n"),
        "asyncssh": lambda: peers.asyncssh.put(str(own), "put/asyncssh"),
        "asyncssh, AES-GCM": lambda: peers.asyncssh_gcm.put(str(own), "put/gcm"),
        "sshfs": lambda: peers.on_sshfs(peers.sshfs._put_file(str(own), "put/sshfs")),
    }
    await peers.ours.write_bytes("put/ours", b"")
    targets = (Target("OpenSSH sftp", 1.5), Target("asyncssh", 1.2))
    there = peers.server.root / "put"
    return [Case(f"put {LARGE} MiB", LARGE, "MiB", runs, targets, 9, lambda: empty(there))]


def empty(folder: Path) -> None:
    """Remove what a run has written: all begin with a new file, and with memory just as warm."""
    for path in folder.iterdir():
        path.unlink()


async def small(peers: Peers) -> list[Case]:
    """Small files."""
    data = os.urandom(SMALL)
    await peers.ours.write_bytes("small", data)
    await peers.ours.write_bytes("p/none", b"")

    async def asyncssh_reads(_: int) -> None:
        async with peers.asyncssh_gcm.open("small", "rb") as file:
            assert len(await file.read()) == SMALL

    async def asyncssh_writes(number: int) -> None:
        async with peers.asyncssh_gcm.open(f"p/{number}", "wb") as file:
            await file.write(data)

    reads: dict[str, Callable[[int], Awaitable[object]]] = {
        "aiostow": lambda _: peers.ours.read_bytes("small"),
        "sshfs": lambda _: peers.sshfs._cat_file("small"),
        "asyncssh, AES-GCM": asyncssh_reads,
    }
    writes: dict[str, Callable[[int], Awaitable[object]]] = {
        "aiostow": lambda number: peers.ours.write_bytes(f"p/{number}", data),
        "sshfs": lambda number: peers.sshfs._pipe_file(f"p/{number}", data),
        "asyncssh, AES-GCM, no rename": asyncssh_writes,
    }

    def run(name: str, call: Callable[[int], Awaitable[object]]) -> Awaitable[object]:
        work = together(call, CALLS, FLIGHT)
        return peers.on_sshfs(work) if name == "sshfs" else work

    return [
        Case(
            f"1 KiB {verb}, {FLIGHT} in flight", CALLS, "op",
            {name: functools.partial(run, name, call) for name, call in calls.items()},
            targets,
        )
        for verb, calls, targets in (
            ("read", reads, (Target("sshfs", 3.0),)),
            ("write", writes, ()),
        )
    ]  # fmt: skip


async def listing(peers: Peers) -> list[Case]:
    """A tree of many files in a hundred folders."""
    await together(
        lambda n: peers.ours.write_bytes(f"list/{n % 100:02}/{n:06}", b""), LISTED, FLIGHT
    )

    async def ours() -> None:
        assert len(await peers.ours.list("list")) == LISTED

    async def by_asyncssh() -> None:
        count = 0
        for name in await peers.asyncssh_gcm.listdir("list"):
            if not name.startswith("."):
                async for each in peers.asyncssh_gcm.scandir(f"list/{name}"):
                    count += each.filename not in (".", "..")
        assert count == LISTED

    async def by_sshfs() -> None:
        async def find() -> None:
            assert len(await peers.sshfs._find("list")) == LISTED

        await peers.on_sshfs(find())

    runs: dict[str, Callable[[], Awaitable[object]]]
    runs = {"aiostow": ours, "asyncssh, one by one": by_asyncssh, "sshfs": by_sshfs}
    return [Case(f"list {LISTED:,} files in 100 folders", LISTED, "file", runs, (), 3)]
