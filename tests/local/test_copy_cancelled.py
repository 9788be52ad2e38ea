"""Copies that take long, and whose callers give up."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from aiostow import LocalFSStorage, _disk, _threads
from aiostow.keys import TEMP_PREFIX

pytestmark = pytest.mark.anyio

DATA = bytes(range(256)) * (40 << 10)  # three blocks


@pytest.mark.parametrize("data", [b"", DATA], ids=["empty", "large"])
@pytest.mark.parametrize("patience", [30, 0.05])
async def test_a_copy_that_nobody_waits_for_is_not_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, patience: float, data: bytes
) -> None:
    began, go = threading.Event(), threading.Event()
    read = os.pread
    reads: list[int] = []

    def hanging(fd: int, size: int, offset: int) -> bytes:
        reads.append(offset)
        began.set()
        go.wait(30)
        return read(fd, size, offset)

    monkeypatch.setattr(os, "pread", hanging)
    monkeypatch.setattr(_threads, "PATIENCE", patience)
    system = replace(_disk.features(), copy_range=False)
    async with LocalFSStorage(tmp_path / "root", durable=False) as storage:
        storage.driver._system = system  # type: ignore[attr-defined]  # the local one
        await storage.write_bytes("src", data)
        copying = asyncio.ensure_future(storage.copy("src", "dst"))
        await asyncio.to_thread(began.wait, 10)
        copying.cancel()
        await asyncio.sleep(0.2)
        if patience < 1:  # the disk hangs, and the caller is let go
            with pytest.raises(asyncio.CancelledError):
                await copying
            await storage.write_bytes("dst", b"newer")
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await copying
        for _ in range(100):
            left = [path.name for path in (tmp_path / "root").rglob(f"{TEMP_PREFIX}*")]
            busy = storage.driver.threads.pool._state.busy  # type: ignore[attr-defined]  # as above
            if not left and not busy:
                break
            await asyncio.sleep(0.02)
        assert not left
        assert reads == [0], "it went on although nobody waited"
        assert await storage.exists("dst") == (patience < 1)
        if patience < 1:
            assert await storage.read_bytes("dst") == b"newer"
        assert await storage.read_bytes("src") == data
