"""Services of different kinds side by side, one of each, with new places for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import BlobServiceClient

from tests.servers import AzuriteServer, S3Server, SFTPServer, azurite, ceph, sshd
from tests.servers.running import running

MIB = 1 << 20
ACCOUNT = "one"


@pytest.fixture(scope="session", autouse=True)
def no_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of this machine's settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "SSH_AUTH_SOCK"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], S3Server]]:
    """Return Ceph, started when it is first asked for."""
    with running({"ceph": ceph}, tmp_path_factory.mktemp("servers")) as server:
        yield lambda: server("ceph")


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], AzuriteServer]]:
    """Return Azurite, started when it is first asked for."""
    with running({"azurite": azurite}, tmp_path_factory.mktemp("servers")) as server:
        yield lambda: server("azurite")


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], SFTPServer]]:
    """Return sshd, started when it is first asked for."""
    with running({"sshd": sshd}, tmp_path_factory.mktemp("servers")) as server:
        yield lambda: server("sshd")


@pytest.fixture
def s3_client(s3_server: Callable[[], S3Server]) -> Iterator[Any]:
    """The SDK's client, to prepare and to look."""
    server = s3_server()
    client = boto3.client(
        "s3", endpoint_url=server.endpoint_url, region_name=server.region,
        aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key,
    )  # fmt: skip
    yield client
    client.close()


@pytest.fixture
def s3_spec(s3_server: Callable[[], S3Server], s3_client: Any) -> Callable[[], dict[str, Any]]:
    """Return the arguments of a storage on a new bucket."""

    def spec() -> dict[str, Any]:
        server = s3_server()
        name = f"test-{uuid4().hex[:16]}"
        s3_client.create_bucket(Bucket=name)
        return {
            "bucket": name, "aws_region": server.region, "aws_access_key_id": server.access_key,
            "aws_secret_access_key": server.secret_key, "endpoint_url": server.endpoint_url,
            "part_size": 5 * MIB, "checksum": None,
        }  # fmt: skip

    return spec


@pytest.fixture
def azure_spec(azure_server: Callable[[], AzuriteServer]) -> Callable[[], dict[str, Any]]:
    """Return the arguments of a storage on a new container."""

    def spec() -> dict[str, Any]:
        server = azure_server()
        name = f"test-{uuid4().hex[:16]}"
        credential = AzureNamedKeyCredential(ACCOUNT, server.accounts[ACCOUNT])
        with BlobServiceClient(server.endpoint(ACCOUNT), credential=credential) as client:
            client.create_container(name)
        return {
            "account": ACCOUNT, "key": server.accounts[ACCOUNT], "bucket": name,
            "endpoint": server.endpoint(ACCOUNT),
        }  # fmt: skip

    return spec


@pytest.fixture
def sftp_spec(ssh_server: Callable[[], SFTPServer]) -> Callable[[], dict[str, Any]]:
    """Return the arguments of a storage on a new directory."""

    def spec() -> dict[str, Any]:
        server = ssh_server()
        return {
            "host": "127.0.0.1", "username": server.username, "key_filename": str(server.key),
            "known_hosts_fpath": str(server.known_hosts), "port": server.port,
            "root": f"test-{uuid4().hex[:16]}",
        }  # fmt: skip

    return spec


@pytest.fixture
def sftp_root(ssh_server: Callable[[], SFTPServer]) -> Path:
    """The directory of this machine that all storages of `sftp_spec` are in."""
    return ssh_server().root
