"""The conformance suite on every backend, and on the ways around what a disk may lack."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from aiostow import LocalFSStorage, MemoryStorage, Storage
from aiostow._disk import Features, features
from aiostow.backends.local import LocalDriver
from aiostow.keys import TEMP_PREFIX
from aiostow.testing import Conformance


def eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]  # 3.12
    return loop


LOOPS = {"asyncio": {}, "uvloop": {"loop_factory": uvloop.new_event_loop}}
if sys.version_info >= (3, 12):
    LOOPS["eager"] = {"loop_factory": eager_loop}


class OnEveryLoop(Conformance):
    @pytest.fixture(params=LOOPS, autouse=True)
    def anyio_backend(self, request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
        return ("asyncio", LOOPS[request.param])


class TestMemory(OnEveryLoop):
    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with MemoryStorage() as storage:
            yield storage


class DiskSuite(Conformance):
    async def leftovers(self, storage: Storage) -> list[str]:
        assert isinstance(storage.driver, LocalDriver)
        root: Path = storage.driver.root
        return [path.name for path in root.rglob(f"{TEMP_PREFIX}*")]


class TestLocal(DiskSuite, OnEveryLoop):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        async with LocalFSStorage(tmp_path / "root") as storage:
            yield storage


class TestLocalNotDurable(DiskSuite):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        async with LocalFSStorage(tmp_path / "root", durable=False) as storage:
            yield storage


LACKING = {
    "openat2": {"openat2": False},
    "tmpfile": {"tmpfile": False},
    "links": {"tmpfile": False, "links": False},
    "copy_range": {"copy_range": False},
    "everything": {"openat2": False, "tmpfile": False, "copy_range": False},
}


class TestLocalLacking(DiskSuite):
    @pytest.fixture(params=LACKING)
    async def storage(
        self, tmp_path: Path, request: pytest.FixtureRequest
    ) -> AsyncIterator[Storage]:
        system: Features = features()
        for name, value in LACKING[request.param].items():
            setattr(system, name, value)
        driver = LocalDriver(tmp_path / "root", durable=False, system=system)
        async with Storage(driver, name="lacking") as storage:
            yield storage
