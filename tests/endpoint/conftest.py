"""The endpoint under web servers, one of each for all tests that only use it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest

from tests.servers import SFTPServer, sshd, swift
from tests.servers.running import running

from ._serving import Served, serving

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
