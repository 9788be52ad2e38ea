"""Memory is bounded by the budget, near and far."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from aiostow.testing import FaultProxy, WireFault
from tests.servers import S3Server
from tests.test_docs import ROOT

MIB = 1 << 20
linux = pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="peaks are measured through Linux's /proc"
)


@pytest.fixture(params=["ceph"])
def server(request: pytest.FixtureRequest, start_server: Callable[[str], S3Server]) -> S3Server:
    return start_server(request.param)


def growth(server: S3Server, port: int, what: str, bucket: str, budget: int, size: int) -> int:
    env = {
        **os.environ,
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_DEFAULT_REGION": server.region,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.s3._memory_child", what, bucket, str(budget), str(size)],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@linux
@pytest.mark.parametrize("budget", [16, 64])
def test_large_objects_grow_the_process_by_no_more_than_the_budget(
    server: S3Server, bucket: str, proxy: FaultProxy, boto: Any, budget: int, long: bool
) -> None:
    size = (2048 if long else 384) * MIB
    grown = {
        what: growth(server, server.port, what, bucket, budget * MIB, size)
        for what in ("write", "read")
    }
    proxy.add(WireFault(b"GET /", times=None, rate=20 * MIB))  # so that ranges go side by side
    grown["far"] = growth(server, proxy.port, "read", bucket, budget * MIB, size)
    assert max(grown.values()) <= (budget + 32) * MIB, grown
    boto(server).delete_object(Bucket=bucket, Key="big")
