"""Whatever the conformance suite does: each operation begins once and ends once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiostow import LocalFSStorage, MemoryStorage, Storage
from aiostow.testing import Conformance

from ._recorder import Recorder

quick = pytest.mark.usefixtures("quick_garbage")


async def watched(storage: Storage, recorder: Recorder) -> AsyncIterator[Storage]:
    async with storage:
        yield storage
    await recorder.settled()
    recorder.check()


@quick
class TestMemory(Conformance):
    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        recorder = Recorder()
        async for storage in watched(MemoryStorage(on_event=recorder), recorder):
            yield storage


@quick
class TestLocal(Conformance):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        recorder = Recorder()
        made = LocalFSStorage(tmp_path / "root", on_event=recorder)
        async for storage in watched(made, recorder):
            yield storage
