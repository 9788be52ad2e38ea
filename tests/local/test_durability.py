"""What is made durable, and in which order: bytes before the name, the directory after it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiostow import AmbiguousWriteError, LocalFSStorage, Storage
from aiostow._disk import features
from aiostow.backends.local import LocalDriver
from aiostow.testing import pattern

pytestmark = pytest.mark.anyio


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the calls that make durable or visible, in order."""
    seen: list[str] = []

    def watch(name: str, describe: Callable[..., str]) -> None:
        real = getattr(os, name)

        def watched(*args: Any, **keywords: Any) -> Any:
            seen.append(describe(*args))
            return real(*args, **keywords)

        monkeypatch.setattr(os, name, watched)

    def kind(fd: int) -> str:
        return "sync directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync file"

    watch("fsync", kind)
    watch("rename", lambda *_: "name")
    watch("link", lambda *_: "name")
    watch("mkdir", lambda *_: "mkdir")
    return seen


def storage_of(root: Path, *, durable: bool, tmpfile: bool) -> Storage:
    system = features()
    system.tmpfile = system.tmpfile and tmpfile
    return Storage(LocalDriver(root, durable=durable, system=system), name="disk")


@pytest.mark.parametrize("tmpfile", [True, False], ids=["unnamed", "named"])
@pytest.mark.parametrize("size", [100, 9 << 20], ids=["small", "large"])
async def test_bytes_are_durable_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, calls: list[str], size: int, tmpfile: bool
) -> None:
    async with storage_of(tmp_path, durable=True, tmpfile=tmpfile) as storage:
        for operation in ("create", "overwrite"):
            calls.clear()
            await storage.write_bytes("k", pattern(size))
            assert calls[0] == "sync file", operation
            assert calls[-1] == "sync directory", operation
            assert set(calls[1:-1]) == {"name"}, operation
        calls.clear()
        await storage.copy("k", "copy")
        assert calls == ["sync file", "name", "sync directory"]
        calls.clear()
        await storage.move("copy", "moved")
        assert calls == ["name", "sync directory", "sync directory"]
        calls.clear()
        await storage.delete_many(["moved", "k"])
        assert calls == ["sync directory"]


async def test_new_directories_are_durable(tmp_path: Path, calls: list[str]) -> None:
    async with LocalFSStorage(tmp_path) as storage:
        await storage.write_bytes("a/b/k", b"")
    assert calls == ["mkdir", "sync directory"] * 2 + ["sync file", "name", "sync directory"]


async def test_not_durable_never_syncs(tmp_path: Path, calls: list[str]) -> None:
    async with LocalFSStorage(tmp_path / "new", durable=False) as storage:
        await storage.write_bytes("a/k", pattern(100))
        await storage.write_bytes("a/k", pattern(9 << 20))
        await storage.copy("a/k", "b")
        await storage.move("b", "c")
        async with storage.open("c", "rw") as file:
            await file.write(b"x")
        await storage.delete("c")
    assert not [call for call in calls if call.startswith("sync")]


async def test_flushing_in_place_is_durable(tmp_path: Path, calls: list[str]) -> None:
    async with LocalFSStorage(tmp_path) as storage:
        await storage.write_bytes("k", b"data")
        calls.clear()
        async with storage.open("k", "rw") as file:
            await file.read()
            await file.flush()
            assert calls == []
            await file.write(b"x")
            await file.flush()
            assert calls == ["sync file"]
            await file.write(b"y")
        assert calls == ["sync file"] * 2


async def test_a_name_that_could_not_be_made_durable_is_ambiguous(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fail_on_directories(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(5, "Input/output error")
        real(fd)

    async with LocalFSStorage(tmp_path) as storage:
        monkeypatch.setattr(os, "fsync", fail_on_directories)
        with pytest.raises(AmbiguousWriteError) as caught:
            await storage.write_bytes("k", b"data")
        assert caught.value.key == "k"
        assert await storage.read_bytes("k") == b"data"
