"""Every operation on the storages that need no server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiostow import LocalFSStorage, MemoryStorage, Storage

from .suite import OperationsSuite

URL, SECRET = "https://files.example/share", "0123456789abcdef0123456789abcdef"


class TestMemory(OperationsSuite):
    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with MemoryStorage(linked_endpoint=URL, secret_key=SECRET) as storage:
            yield storage


class TestLocal(OperationsSuite):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        async with LocalFSStorage(tmp_path / "root", URL, SECRET, durable=False) as storage:
            yield storage


class TestView(OperationsSuite):
    """A profile with a prefix."""

    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with MemoryStorage(linked_endpoint=URL, secret_key=SECRET) as storage:
            yield storage.at("below")
