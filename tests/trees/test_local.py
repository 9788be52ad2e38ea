"""Syncs between disks and memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiostow import LocalFSStorage, MemoryStorage, Storage

from .suite import TreesSuite


class TestDiskToDisk(TreesSuite):
    @pytest.fixture
    async def source(self, tmp_path: Path) -> AsyncIterator[Storage]:
        async with LocalFSStorage(tmp_path / "from", durable=False) as storage:
            yield storage

    @pytest.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[Storage]:
        async with LocalFSStorage(tmp_path / "to", durable=False) as storage:
            yield storage


class TestDiskToMemory(TestDiskToDisk):
    @pytest.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[Storage]:
        async with MemoryStorage() as storage:
            yield storage


class TestMemoryToDisk(TestDiskToDisk):
    @pytest.fixture
    async def source(self, tmp_path: Path) -> AsyncIterator[Storage]:
        async with MemoryStorage() as storage:
            yield storage
