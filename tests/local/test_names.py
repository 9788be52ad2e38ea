"""Names and roots that a disk cannot have, and trees deeper than one path can say."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest

from aiostow import (
    FileNotFoundInStorageError,
    InvalidKeyError,
    LocalFSStorage,
    ObjectChangedError,
    Storage,
    StorageIOError,
    _disk,
)
from aiostow._disk import features
from aiostow.backends.local import LocalDriver
from aiostow.testing import pattern

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[True, False], ids=["openat2", "walk"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    system = features()
    system.openat2 = system.openat2 and request.param
    driver = LocalDriver(tmp_path / "root", durable=False, system=system)
    async with Storage(driver, name="disk") as storage:
        await storage.write_bytes("k", b"data")
        yield storage


@pytest.mark.parametrize("key", ["n" * 300, "n" * 300 + "/x", "x/" + "n" * 300, "é" * 128])
async def test_a_name_too_long_for_the_disk_is_not_there(storage: Storage, key: str) -> None:
    assert await storage.exists(key) is False
    reading: list[Awaitable[object]] = [
        storage.stat(key),
        storage.read_bytes(key),
        storage.open(key),
        storage.copy(key, "new"),
        storage.move(key, "new"),
    ]
    for call in reading:
        with pytest.raises(FileNotFoundInStorageError):
            await call
    await storage.delete(key)
    await storage.delete_many([key, "k"])
    assert await storage.list() == []


@pytest.mark.parametrize("key", ["n" * 300, "n" * 300 + "/x", "x/" + "n" * 300])
async def test_a_name_too_long_for_the_disk_cannot_be_written(storage: Storage, key: str) -> None:
    writing: list[Awaitable[object]] = [
        storage.write_bytes(key, b"x"),
        storage.copy("k", key),
        storage.move("k", key),
    ]
    for call in writing:
        with pytest.raises(InvalidKeyError, match="longer than this disk allows"):
            await call
    assert [entry.name for entry in await storage.list()] == ["k"]


async def test_a_tree_deeper_than_a_path_may_be_long_is_a_tree_like_others(
    storage: Storage,
) -> None:
    key = "/".join(["d" * 200] * 25 + ["file"])  # 5,000 bytes; the system takes 4,096 at once
    await storage.write_bytes(key, b"deep")
    assert await storage.exists(key)
    assert await storage.read_bytes(key) == b"deep"
    assert [entry.name for entry in await storage.list()] == [key, "k"]
    await storage.copy(key, key + "-copy")
    await storage.move(key + "-copy", key + "-moved")
    await storage.delete(key)
    assert [entry.name for entry in await storage.list()] == [key + "-moved", "k"]
    await storage.delete(key + "-moved")


@pytest.mark.parametrize("what", ["file", "symlink to nowhere", "symlink to a file"])
async def test_a_root_that_is_no_directory_is_told(tmp_path: Path, what: str) -> None:
    root = tmp_path / "root"
    if what == "file":
        root.write_bytes(b"mine")
    else:
        target = tmp_path / "target"
        root.symlink_to(target)
        if what == "symlink to a file":
            target.write_bytes(b"mine")
    async with LocalFSStorage(root) as storage:
        with pytest.raises(StorageIOError, match="the root of this storage is no directory"):
            await storage.write_bytes("k", b"x")
        if what != "symlink to nowhere":
            with pytest.raises(StorageIOError, match="the root of this storage is no directory"):
                await storage.read_bytes("k")
    if what != "symlink to nowhere":
        assert root.read_bytes() == b"mine"


async def test_a_root_that_is_a_symlink_to_a_directory_is_the_owners_choice(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "root").symlink_to("target")
    async with LocalFSStorage(tmp_path / "root") as storage:
        await storage.write_bytes("k", b"data")
    assert (tmp_path / "target" / "k").read_bytes() == b"data"


# -- from one file system to another --------------------------------------------------------------


@pytest.fixture
def two_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rename is refused, as between two file systems; temporary files keep theirs."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(_disk, "move", refuse)


@pytest.mark.usefixtures("two_disks")
async def test_a_move_to_another_file_system_copies_and_then_deletes(storage: Storage) -> None:
    data = pattern(1_000_000)
    await storage.write_bytes("k", data)
    await storage.move("k", "below/new")
    assert [entry.name for entry in await storage.list()] == ["below/new"]
    assert await storage.read_bytes("below/new") == data


@pytest.mark.usefixtures("two_disks")
async def test_what_is_written_to_the_old_name_meanwhile_stays(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy_bytes = _disk.copy_bytes

    def copy_and_replace(src: int, dst: int, *rest: Any) -> None:
        copy_bytes(src, dst, *rest)
        (tmp_path / "other").write_bytes(b"other")
        (tmp_path / "other").rename(tmp_path / "root" / "k")

    monkeypatch.setattr(_disk, "copy_bytes", copy_and_replace)
    await storage.move("k", "new")
    assert await storage.read_bytes("new") == b"data"
    assert await storage.read_bytes("k") == b"other"


@pytest.mark.usefixtures("two_disks")
async def test_what_is_changed_in_place_meanwhile_is_not_moved_half(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy_bytes = _disk.copy_bytes

    def copy_and_change(src: int, dst: int, *rest: Any) -> None:
        copy_bytes(src, dst, *rest)
        with open(tmp_path / "root" / "k", "ab") as file:
            file.write(b"more")

    monkeypatch.setattr(_disk, "copy_bytes", copy_and_change)
    with pytest.raises(ObjectChangedError):
        await storage.move("k", "new")
    assert await storage.read_bytes("k") == b"datamore"
    assert not await storage.exists("new")


async def test_a_move_between_two_names_of_one_file_removes_the_old(
    storage: Storage, tmp_path: Path
) -> None:
    await storage.write_bytes("a", b"data")
    os.link(tmp_path / "root" / "a", tmp_path / "root" / "b")
    await storage.move("a", "b")
    assert [entry.name for entry in await storage.list()] == ["b", "k"]
    assert await storage.read_bytes("b") == b"data"


def test_one_name_that_is_spelt_in_two_ways_keeps_its_file(tmp_path: Path) -> None:
    """As on a disk that ignores case, where `a` and `A` are the same."""
    (tmp_path / "a").write_bytes(b"data")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        _disk.move(directory, "a", directory, "a", False, features())
    finally:
        os.close(directory)
    assert (tmp_path / "a").read_bytes() == b"data"
