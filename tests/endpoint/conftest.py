"""The endpoint under web servers, one of each for all tests that only use it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import httpx
import pytest

from tests.servers import SFTPServer, sshd, swift
from tests.servers.running import running

from ._answers import Version
from ._bodies import SMALL
from ._place import Place
from ._serving import ENDPOINTS, Served, discreet, serving

Spec = dict[str, Any]


@pytest.fixture(scope="session")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Spec]]:
    """Return the arguments of a storage of a kind, with a new root, or one on a new bucket."""
    folder = tmp_path_factory.mktemp("storages")
    with running({"sshd": sshd}, folder) as ssh_server, running({"swift": swift}, folder) as s3:

        def spec(kind: str) -> Spec:
            name = f"test-{uuid4().hex[:16]}"
            if kind == "memory":
                return {"kind": kind}
            if kind == "local":
                return {"kind": kind, "root": str(folder / name), "durable": False}
            if kind == "sftp":
                server: SFTPServer = ssh_server("sshd")
                return {
                    "kind": kind, "host": "127.0.0.1", "username": server.username,
                    "key_filename": str(server.key), "port": server.port, "root": name,
                    "known_hosts_fpath": str(server.known_hosts),
                }  # fmt: skip
            swift_server = s3("swift")
            keys = {
                "aws_access_key_id": swift_server.access_key,
                "aws_secret_access_key": swift_server.secret_key,
                "endpoint_url": swift_server.endpoint_url,
            }
            client = boto3.client("s3", region_name=swift_server.region, **keys)
            client.create_bucket(Bucket=name)
            client.close()
            return {
                "kind": "s3", "bucket": name, "aws_region": swift_server.region,
                "conditional_writes": False, "checksum": None, **keys,
            }  # fmt: skip

        yield spec


@pytest.fixture(scope="session")
def endpoint(
    specs: Callable[[str], Spec], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Served]]:
    """Return a server over a kind of storage, with a memory for links; started when first asked."""
    folder = tmp_path_factory.mktemp("endpoints")
    started: dict[tuple[str, str], Served] = {}
    with contextlib.ExitStack() as stack:

        def get(server: str, kind: str) -> Served:
            if (server, kind) not in started:
                running = serving(server, folder, specs(kind), store="memory")
                started[server, kind] = stack.enter_context(running)
            return started[server, kind]

        yield get


@pytest.fixture
def key() -> str:
    """A key of this test's own."""
    return f"{uuid4().hex[:12]}/file.bin"


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """A client that keeps connections, for less long than any of the servers does."""
    limits = httpx.Limits(keepalive_expiry=1)
    with httpx.Client(limits=limits, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """A loop to make links on; one for each would take longer than the links."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=ENDPOINTS, ids=lambda param: "-".join(param))
def served(
    request: pytest.FixtureRequest, endpoint: Callable[[str, str], Served]
) -> Iterator[Served]:
    """Each adapter over each kind of storage; after a file's tests of it, its log is looked at."""
    server, kind = request.param
    it = endpoint(server, kind)
    with discreet(it):
        yield it


@pytest.fixture
def place(served: Served, http: httpx.Client, loop: asyncio.Runner, key: str) -> Place:
    """A key of the test's own on each of the endpoints."""
    return Place(http, loop, served, key)


@pytest.fixture(scope="module")
def standing(served: Served, http: httpx.Client, loop: asyncio.Runner) -> tuple[Place, Version]:
    """An object of ten bytes for all tests that only read."""
    place = Place(http, loop, served, "standing/file.bin")
    return place, place.store(SMALL)
