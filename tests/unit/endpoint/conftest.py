"""What the tests of the endpoint share: a bench, and a local disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from aiostow import LocalFSStorage, Storage

from ._bench import SECRET, Bench, open_files


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    assert open_files(bench.storage) == []
    await bench.storage.aclose()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Storage]:
    storage = LocalFSStorage(tmp_path / "root", durable=False, secret_key=SECRET)
    yield storage
    asyncio.run(storage.aclose())
