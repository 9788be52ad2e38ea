"""What the tests of SFTP share."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncssh
import pytest

from aiostow import SFTPStorage, Storage
from aiostow.keys import TEMP_PREFIX
from aiostow.testing import Conformance
from tests.servers import SFTPServer

StartServer = Callable[[str], SFTPServer]
MakeStorage = Callable[..., SFTPStorage]


def storage_on(server: SFTPServer, root: str, **own: Any) -> SFTPStorage:
    """Return a storage on a directory of a server, with arguments of the test's own."""
    arguments: dict[str, Any] = {
        "host": "127.0.0.1",
        "username": server.username,
        "key_filename": server.key,
        "known_hosts_fpath": server.known_hosts,
        "port": server.port,
        "root": root,
    }
    return SFTPStorage(**{**arguments, **own})


async def until(done: Callable[[], bool]) -> None:
    """Wait for what nobody tells."""
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.02)


def temporary(folder: Path) -> list[str]:
    """Return the temporary files below a directory."""
    return [
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.startswith(TEMP_PREFIX)
    ]


class SFTPSuite(Conformance):
    """The conformance suite on a server whose disk can be looked at."""

    server_name = "sshd"

    @pytest.fixture
    def place(self, start_server: StartServer) -> Path:
        """A new directory of the server."""
        return start_server(self.server_name).root / f"test-{uuid4().hex[:16]}"

    @pytest.fixture
    def make(self, start_server: StartServer, place: Path) -> MakeStorage:
        """Return a storage on it."""
        self.folder = place
        server = start_server(self.server_name)
        return lambda **own: storage_on(server, place.name, **own)

    async def leftovers(self, storage: Storage) -> list[str]:
        # What a cancelled writer still sends is answered before this is.
        await storage.exists("nothing")
        return temporary(self.folder)


@contextlib.asynccontextmanager
async def served(
    logins: type[asyncssh.SSHServer], *host_keys: Any, **options: Any
) -> AsyncIterator[int]:
    """Run a server with logins and host keys of the test's own on this loop, and give its port."""
    options = {"sftp_factory": True, **options}
    server = await asyncssh.create_server(
        logins, "127.0.0.1", 0, server_host_keys=list(host_keys), **options
    )
    async with server:
        yield server.get_port()
