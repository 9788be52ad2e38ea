"""Memory is bounded by the budget, near and far."""

from __future__ import annotations

from typing import Any

import pytest

from aiostow.testing import FaultProxy, WireFault
from tests.rest.memory import MIB, growth, linux
from tests.servers import AzuriteServer

from ._suite import ACCOUNT


@linux
@pytest.mark.parametrize("budget", [16, 64])
def test_large_blobs_grow_the_process_by_no_more_than_the_budget(
    server: AzuriteServer, container: Any, proxy: FaultProxy, budget: int, long: bool
) -> None:
    size = (2048 if long else 256) * MIB

    def grown(what: str, port: int) -> int:
        return growth(
            what, size, "AzureStorage", account=ACCOUNT, key=server.accounts[ACCOUNT],
            bucket=container.container_name, endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}",
            memory_budget=budget * MIB,
        )  # fmt: skip

    peaks = {what: grown(what, server.port) for what in ("write", "put", "upload", "read")}
    proxy.add(WireFault(b"GET /", times=None, rate=20 * MIB))  # so that ranges go side by side
    peaks["far"] = grown("read", proxy.port)
    assert max(peaks.values()) <= (budget + 32) * MIB, peaks
