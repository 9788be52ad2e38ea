"""The servers of the S3 tests: one of each for all of them, a bucket for each test."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from aiostow import S3Storage
from aiostow.testing import FaultProxy
from tests.servers import S3_SERVERS, S3Server
from tests.servers.running import running

MIB = 1 << 20


@pytest.fixture(scope="session", autouse=True)
def no_aws() -> Iterator[None]:
    """Nothing of this machine's settings, and no questions to a cloud that is not there."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
        yield


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], S3Server]]:
    """Return a server by name, started when it is first asked for."""
    with running(S3_SERVERS, tmp_path_factory.mktemp("servers")) as server:
        yield server


@pytest.fixture(scope="session")
def boto() -> Callable[[S3Server], Any]:
    """Return a client of the SDK's, to prepare and to look."""

    @functools.cache
    def client(server: S3Server) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=server.endpoint_url,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            region_name=server.region,
            config=Config(
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    return client


@pytest.fixture(params=S3_SERVERS)
def server(request: pytest.FixtureRequest, start_server: Callable[[str], S3Server]) -> S3Server:
    """Each of the servers."""
    return start_server(request.param)


@pytest.fixture
def proxy(server: S3Server) -> Iterator[FaultProxy]:
    """A way to the server on which anything can go wrong."""
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def bucket(server: S3Server, boto: Callable[[S3Server], Any]) -> Iterator[str]:
    """A new bucket."""
    name = f"test-{uuid4().hex[:16]}"
    client = boto(server)
    client.create_bucket(Bucket=name)
    yield name
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        keys = [{"Key": found["Key"]} for found in page.get("Contents", ())]
        for key in keys[:100]:  # what is large; the rest takes no space
            client.delete_object(Bucket=name, **key)


def options(server: S3Server) -> dict[str, Any]:
    """Return the arguments of a storage on a server, and of what it can do."""
    return {
        "aws_region": server.region,
        "aws_access_key_id": server.access_key,
        "aws_secret_access_key": server.secret_key,
        "endpoint_url": server.endpoint_url,
        "part_size": 5 * MIB,
        "conditional_writes": "if_match" not in server.lacks,
        "conditional_complete": "conditional_complete" not in server.lacks,
        "checksum": None if "checksum" in server.lacks else "crc32",
    }


@pytest.fixture
def make_storage(server: S3Server, bucket: str) -> Callable[..., S3Storage]:
    """Return a storage on the bucket, with arguments of the test's own."""

    def make(**own: Any) -> S3Storage:
        return S3Storage(**{"bucket": bucket, **options(server), **own})

    return make
