"""Uploads that stay with the service, and the journal that knows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from aiostow import MemoryStorage
from aiostow.driver import Buffer, Limits, Upload
from aiostow.models import ListEntry, WriteOptions
from aiostow.testing import FaultyDriver
from aiostow.trees import Journal
from aiostow.trees._kept import KeptUploads
from aiostow.trees._stop import Stopped

pytestmark = pytest.mark.anyio


class _Kept:
    """An upload that could be left for another run."""

    token = "token"

    def __init__(self, driver: KeepingDriver, upload: Upload) -> None:
        self._driver = driver
        self._upload = upload
        self.staged: Mapping[int, int] = {}
        self.limits: Limits = upload.limits

    async def stage(self, index: int, offset: int, buffers: Sequence[Buffer]) -> None:
        await self._upload.stage(index, offset, buffers)

    async def commit(self) -> ListEntry:
        return await self._upload.commit()

    async def abort(self) -> None:
        await self._upload.abort()

    def leave(self) -> None:
        self._driver.left += 1


class KeepingDriver(FaultyDriver):
    """A driver in memory whose uploads could be left."""

    left = 0

    async def begin(self, key: str, options: WriteOptions, *, size_hint: int | None) -> Any:
        return _Kept(self, await super().begin(key, options, size_hint=size_hint))

    async def resume(self, key: str, options: WriteOptions, *, token: str) -> Any:
        return None


async def test_an_upload_that_the_journal_cannot_note_is_not_left(tmp_path: Path) -> None:
    driver = KeepingDriver(MemoryStorage().driver)
    with Journal(tmp_path / "journal", "here", "there") as journal:
        kept = KeptUploads(driver, journal, "k", "version", 1, 1 << 20)
        journal._base.execute(
            "CREATE TRIGGER full BEFORE INSERT ON uploads BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        with pytest.raises(Stopped, match="cannot be read or written"):
            await kept.begin("k", WriteOptions(), size_hint=1)
    assert (driver.count("begin"), driver.count("abort"), driver.left) == (1, 1, 0)
