"""Transfers between the storage and the caller's own files."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ...errors import FileNotFoundInStorageError
from ...storage import Storage
from ._base import Suite, pattern


class TransferTests(Suite):
    @pytest.mark.parametrize("size", [0, 1000, 9 << 20])
    async def test_put_and_get_a_local_file(
        self, storage: Storage, tmp_path: Path, size: int
    ) -> None:
        data = pattern(size)
        (tmp_path / "in").write_bytes(data)
        put: list[tuple[int, int | None]] = []
        got: list[int] = []
        entry = await storage.put(
            tmp_path / "in", "a/k", progress_callback=lambda done, total: put.append((done, total))
        )
        assert entry.size == size
        await storage.get("a/k", tmp_path / "out", progress_callback=lambda done: got.append(done))
        assert (tmp_path / "out").read_bytes() == data
        assert put[-1] == (size, size)
        assert got[-1] == size
        assert got == sorted(got)
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["in", "out"]

    async def test_a_failed_get_leaves_the_local_file(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        target = tmp_path / "target"
        with pytest.raises(FileNotFoundInStorageError):
            await storage.get("missing", target)
        assert not target.exists()
        target.write_bytes(b"mine")
        await storage.write_bytes("k", pattern(9 << 20))

        def fail(done: int) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await storage.get("k", target, progress_callback=fail)
        assert target.read_bytes() == b"mine"
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["target"]

    async def test_a_failed_put_leaves_the_object(self, storage: Storage, tmp_path: Path) -> None:
        await storage.write_bytes("k", b"old")
        with pytest.raises(FileNotFoundError) as caught:
            await storage.put(tmp_path / "missing", "k")
        assert not isinstance(caught.value, FileNotFoundInStorageError)
        (tmp_path / "in").write_bytes(pattern(9 << 20))

        def fail(done: int) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await storage.put(tmp_path / "in", "k", progress_callback=fail)
        assert await storage.read_bytes("k") == b"old"
        assert await self.leftovers(storage) == []

    @pytest.mark.parametrize("size", [0, 1000, 9 << 20])
    async def test_upload_and_download_file_objects(self, storage: Storage, size: int) -> None:
        data = pattern(size)
        source, sink = io.BytesIO(data), io.BytesIO()
        seen: list[tuple[int, int | None]] = []
        await storage.upload(
            source, "k", progress_callback=lambda done, total: seen.append((done, total))
        )
        await storage.download("k", sink)
        assert sink.getvalue() == data
        assert not source.closed
        assert not sink.closed
        assert seen[-1] == (size, size)

    async def test_upload_from_an_async_iterator(self, storage: Storage) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"one"
            yield b""
            yield b"two"

        await storage.upload(chunks(), "k")
        assert await storage.read_bytes("k") == b"onetwo"

    async def test_a_source_that_fails_leaves_the_object(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"old")

        async def chunks() -> AsyncIterator[bytes]:
            yield pattern(self.large(storage))
            raise OSError("the source broke")

        with pytest.raises(OSError, match="the source broke"):
            await storage.upload(chunks(), "k")
        assert await storage.read_bytes("k") == b"old"
        assert await self.leftovers(storage) == []

    async def test_from_one_key_to_another_by_open_files(self, storage: Storage) -> None:
        data = pattern(self.large(storage))
        await storage.write_bytes("a", data)
        async with storage.open("a") as source:
            await storage.upload(source, "b")
        async with storage.open("c", "w") as sink:
            await storage.download("b", sink)
        assert await storage.read_bytes("c") == data
