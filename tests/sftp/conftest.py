"""sshd and asyncssh's server for all tests of SFTP, a directory for each."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from aiostow.testing import FaultProxy
from tests.servers import SFTPServer, asyncssh_server, sshd
from tests.servers.running import Start, running

from ._suite import MakeStorage, StartServer, storage_on
from ._wire import Wire

_BAD = ("no-posix-rename", "small-limits", "short-reads", "full", "quota")
_BARE = ("no-hardlink", "no-fsync", "no-limits", "no-copy-data", "no-statvfs")


@pytest.fixture(scope="session", autouse=True)
def no_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of this machine's settings: neither its agent nor its ~/.ssh."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Return a server by its name, started when it is first asked for."""
    starts: dict[str, Start[SFTPServer]] = {
        "sshd": sshd,
        "few-files": functools.partial(sshd, open_files=24),
        "one-session": functools.partial(sshd, settings={"MaxSessions": "1"}),
        "no-posix-rename-sshd": functools.partial(
            sshd, settings={"Subsystem": "sftp internal-sftp -P posix-rename"}
        ),
        "asyncssh": asyncssh_server,
        "bare": functools.partial(asyncssh_server, bad=_BARE),
    }
    for name in _BAD:
        starts[name] = functools.partial(asyncssh_server, bad=(name,))
    with running(starts, tmp_path_factory.mktemp("servers")) as server:
        yield server


@pytest.fixture
def server(start_server: StartServer) -> SFTPServer:
    """sshd, as it comes."""
    return start_server("sshd")


@pytest.fixture
def proxy(server: SFTPServer) -> Iterator[FaultProxy]:
    """A way to sshd on which anything can go wrong."""
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def folder(server: SFTPServer) -> Path:
    """The directory of this machine that `make_storage` has on sshd."""
    return server.root / f"test-{uuid4().hex[:16]}"


@pytest.fixture
def make_storage(server: SFTPServer, folder: Path) -> MakeStorage:
    """Return a storage on sshd, with arguments of the test's own."""
    return functools.partial(storage_on, server, folder.name)


@pytest.fixture
async def wire(server: SFTPServer) -> AsyncIterator[Wire]:
    """A way to sshd that knows no requests, for nobody can see them."""
    async with Wire(server.port) as wire:
        yield wire


@pytest.fixture
def through(make_storage: MakeStorage, server: SFTPServer, wire: Wire) -> MakeStorage:
    """Return a storage on sshd that goes this way."""
    known = server.known_hosts.read_text().replace(f":{server.port}", f":{wire.port}")
    hosts = server.known_hosts.with_name(f"known_hosts_{wire.port}")
    hosts.write_text(known)
    return functools.partial(make_storage, port=wire.port, known_hosts_fpath=hosts)
