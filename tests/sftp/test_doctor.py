"""Faults planted on real SFTP servers, each of which the doctor names alone, and healthy ones."""

from __future__ import annotations

import asyncio
import os
import socket
import warnings
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from aiostow import SFTPStorage
from aiostow.doctor import Diagnosis, diagnose
from aiostow.testing import FaultProxy
from aiostow.testing.proxy import WireFault
from tests.doctor._findings import all_green, check, only_failure, with_status
from tests.servers import SFTPServer

from ._suite import MakeStorage, StartServer, storage_on

pytestmark = pytest.mark.anyio

NO_LINKS = "links"
NO_IF_MATCH = "conditional writes"


async def examined(storage: SFTPStorage, **asked: Any) -> Diagnosis:
    async with storage:
        return await diagnose(storage, **asked)


def everything(folder: Path) -> dict[str, int]:
    """Return all that is below a directory, hidden or not."""
    return {
        os.path.join(parent, name): os.lstat(os.path.join(parent, name)).st_mtime_ns
        for parent, _, names in os.walk(folder)
        for name in names
    }


@pytest.fixture
def made(folder: Path) -> Path:
    """The directory of `make_storage`, which is there."""
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", ["sshd", "asyncssh"])
async def test_a_healthy_server_is_green_and_as_it_was(
    start_server: StartServer, name: str
) -> None:
    server = start_server(name)
    folder = server.root / "healthy"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    before = everything(folder)
    all_green(await examined(storage_on(server, "healthy")), NO_LINKS, NO_IF_MATCH)
    assert everything(folder) == before


async def test_a_root_that_is_not_there_is_told_and_not_made(
    make_storage: MakeStorage, folder: Path
) -> None:
    diagnosis = await examined(make_storage())
    assert with_status(diagnosis, "warning", "failed") == ["place"]
    assert check(diagnosis, "write").status == "skipped"
    assert not folder.exists()


# -- getting there --------------------------------------------------------------------------------


async def test_nothing_listens(make_storage: MakeStorage, server: SFTPServer) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        found = only_failure(await examined(make_storage(port=port)), "reachable")
    assert "refused" in found.found
    assert "start the server" in found.advice


async def test_a_host_that_has_no_address(make_storage: MakeStorage) -> None:
    found = only_failure(await examined(make_storage(host="no-such-host.invalid")), "reachable")
    assert "DNS" in found.advice


async def test_a_host_in_a_black_hole(make_storage: MakeStorage, proxy: FaultProxy) -> None:
    proxy.add(WireFault(black_hole=True, times=None))
    storage = make_storage(port=proxy.port, connect_timeout=0.5)
    found = only_failure(await examined(storage), "reachable")
    assert "firewall" in found.advice


# -- whom to trust --------------------------------------------------------------------------------


async def test_a_host_key_that_is_not_known(
    make_storage: MakeStorage, made: Path, tmp_path: Path
) -> None:
    hosts = tmp_path / "known_hosts"
    hosts.touch()
    diagnosis = await examined(make_storage(known_hosts_fpath=hosts))
    found = only_failure(diagnosis, "host key")
    assert "ssh-keyscan" in found.advice
    assert str(hosts) in found.advice
    assert check(diagnosis, "credentials").status == "skipped"


async def test_a_host_key_that_was_changed(
    make_storage: MakeStorage, made: Path, tmp_path: Path, server: SFTPServer
) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    hosts = tmp_path / "known_hosts"
    hosts.write_text(f"[127.0.0.1]:{server.port} {other}")
    found = only_failure(await examined(make_storage(known_hosts_fpath=hosts)), "host key")
    assert "ssh-keygen -R" in found.advice
    assert f"[127.0.0.1]:{server.port}" in found.advice


async def test_no_file_of_known_hosts(make_storage: MakeStorage, made: Path) -> None:
    storage = make_storage(known_hosts_fpath="/nonexistent/known_hosts")
    found = only_failure(await examined(storage), "host key")
    assert "known_hosts_fpath" in found.advice


async def test_a_host_key_that_is_not_checked(make_storage: MakeStorage, made: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = make_storage(insecure_skip_host_key_check=True)
    diagnosis = await examined(storage)
    assert with_status(diagnosis, "warning", "failed") == ["host key"]


# -- what may be done -----------------------------------------------------------------------------


async def test_a_key_that_the_server_does_not_know(
    make_storage: MakeStorage, made: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    found = only_failure(await examined(make_storage(key_filename=key)), "credentials")
    assert "authorized_keys" in found.advice


async def test_a_server_without_posix_rename(start_server: StartServer) -> None:
    server = start_server("no-posix-rename")
    (server.root / "d").mkdir()
    found = only_failure(await examined(storage_on(server, "d")), "atomic replace")
    assert "allow_non_atomic=True" in found.advice
    assert everything(server.root / "d") == {}
    diagnosis = await examined(storage_on(server, "d", allow_non_atomic=True))
    assert with_status(diagnosis, "warning", "failed") == ["atomic replace"]
    assert check(diagnosis, "replace").status == "ok"


async def test_a_server_with_nothing_beside_the_protocol(start_server: StartServer) -> None:
    server = start_server("bare")
    (server.root / "d").mkdir()
    diagnosis = await examined(storage_on(server, "d"))
    assert check(diagnosis, "durability").status == "warning"
    assert check(diagnosis, "free space").status == "ok"
    assert everything(server.root / "d") == {}


# -- and what is left -----------------------------------------------------------------------------


async def test_a_cancellation_leaves_nothing(
    make_storage: MakeStorage, made: Path, long: bool
) -> None:
    delay = 0.0
    while True:
        async with make_storage() as storage:
            task = asyncio.ensure_future(diagnose(storage))
            done, _ = await asyncio.wait([task], timeout=delay)
            if done:
                break
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert everything(made) == {}
        delay += 0.001 if long else 0.01
    assert task.result().healthy
