"""Memory is bounded by the budget, near and far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aiostow.testing import FaultProxy, WireFault
from tests.rest.memory import MIB, growth, linux
from tests.servers import S3Server


@pytest.fixture(params=["ceph"])
def server(request: pytest.FixtureRequest, start_server: Callable[[str], S3Server]) -> S3Server:
    return start_server(request.param)


@linux
@pytest.mark.parametrize("budget", [16, 64])
def test_large_objects_grow_the_process_by_no_more_than_the_budget(
    server: S3Server, bucket: str, proxy: FaultProxy, boto: Any, budget: int, long: bool
) -> None:
    size = (2048 if long else 384) * MIB

    def grown(what: str, port: int) -> int:
        return growth(
            what, size, "S3Storage", bucket=bucket, aws_region=server.region,
            aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key,
            endpoint_url=f"http://127.0.0.1:{port}", memory_budget=budget * MIB,
        )  # fmt: skip

    peaks = {what: grown(what, server.port) for what in ("write", "put", "upload", "read")}
    proxy.add(WireFault(b"GET /", times=None, rate=20 * MIB))  # so that ranges go side by side
    peaks["far"] = grown("read", proxy.port)
    assert max(peaks.values()) <= (budget + 32) * MIB, peaks
    boto(server).delete_object(Bucket=bucket, Key="big")
