"""Copies and moves."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from ...backends.memory import MemoryStorage
from ...driver import CrossCopier
from ...errors import (
    FileExistsInStorageError,
    FileNotFoundInStorageError,
    UnsupportedOperationError,
)
from ...storage import Storage
from ._base import Suite, creates_only, pattern, proves


class CopyingTests(Suite):
    @pytest.mark.parametrize("size", [0, 1000, 9 << 20])
    async def test_a_copy_is_the_same(self, storage: Storage, size: int) -> None:
        data = pattern(size)
        await storage.write_bytes("a", data)
        entry = await storage.copy("a", "b/c")
        assert (entry.name, entry.size) == ("b/c", size)
        assert await storage.read_bytes("b/c") == data
        assert await storage.read_bytes("a") == data

    async def test_copy_and_move_overwrite_or_refuse(self, storage: Storage) -> None:
        await storage.write_bytes("a", b"a")
        await storage.write_bytes("b", b"b")
        expected: type[Exception] = FileExistsInStorageError
        if not storage.capabilities.create_only:
            expected = UnsupportedOperationError
        for call in (storage.copy, storage.move):
            with pytest.raises(expected) as caught:
                await call("a", "b", overwrite=False)
            assert caught.value.key == "b"  # type: ignore[attr-defined]
            assert await storage.read_bytes("b") == b"b"
        await storage.copy("a", "b")
        assert await storage.read_bytes("b") == b"a"
        await storage.write_bytes("a", b"a2")
        await storage.move("a", "b")
        assert await storage.read_bytes("b") == b"a2"
        assert not await storage.exists("a")
        assert await self.leftovers(storage) == []

    async def test_to_itself_changes_nothing(self, storage: Storage) -> None:
        await storage.write_bytes("a", b"data")
        before = await storage.stat("a")
        await storage.copy("a", "a")
        await storage.move("a", "a")
        assert await storage.read_bytes("a") == b"data"
        assert (await storage.stat("a")).etag == before.etag
        with pytest.raises(FileExistsInStorageError):
            await storage.copy("a", "a", overwrite=False)
        for call in (storage.copy, storage.move):
            with pytest.raises(FileNotFoundInStorageError) as caught:
                await call("missing", "missing")
            assert caught.value.key == "missing"

    async def test_a_missing_source_leaves_the_destination(self, storage: Storage) -> None:
        await storage.write_bytes("b", b"b")
        for call in (storage.copy, storage.move):
            with pytest.raises(FileNotFoundInStorageError) as caught:
                await call("missing", "b")
            assert caught.value.key == "missing"
        assert await storage.read_bytes("b") == b"b"

    @proves("copy-independent")
    async def test_a_copy_is_independent(self, storage: Storage) -> None:
        await storage.write_bytes("a", b"original")
        await storage.copy("a", "b")
        if storage.capabilities.update:
            async with storage.open("b", "rw") as file:
                await file.write(b"CHANGED!")
        else:
            await storage.write_bytes("b", b"CHANGED!")
        assert await storage.read_bytes("a") == b"original"
        await storage.delete("a")
        assert await storage.read_bytes("b") == b"CHANGED!"

    async def test_a_copy_keeps_headers_and_metadata(self, storage: Storage) -> None:
        if not storage.capabilities.metadata:
            pytest.skip("the storage says that it keeps no metadata")
        await storage.write_bytes("a", b"1", content_type="text/x-a", metadata={"k": "v"})
        await storage.copy("a", "b")
        entry = await storage.stat("b")
        assert entry.content_type == "text/x-a"
        assert entry.metadata is not None
        assert dict(entry.metadata) == {"k": "v"}

    @proves("move-atomic")
    async def test_a_moved_object_is_always_somewhere(self, storage: Storage) -> None:
        data = pattern(1000)
        await storage.write_bytes("k0", data)
        for i in range(30):
            old, new = f"k{i}", f"k{i + 1}"
            moving = asyncio.ensure_future(storage.move(old, new))
            while not moving.done():
                # Looked for in the order of the move, it cannot slip through between the looks.
                if not await storage.exists(old):
                    assert await storage.read_bytes(new) == data
                await asyncio.sleep(0)
            await moving
        assert [entry.name for entry in await storage.list()] == ["k30"]
        assert await storage.read_bytes("k30") == data

    @pytest.mark.parametrize("size", [0, 1000, 9 << 20])
    async def test_to_another_storage_and_back(self, storage: Storage, size: int) -> None:
        data = pattern(size)
        await storage.write_bytes("a", data)
        async with MemoryStorage() as other:
            seen: list[tuple[int, int | None]] = []
            entry = await storage.copy(
                "a",
                "x/y",
                to=other,
                progress_callback=lambda done, total: seen.append((done, total)),
            )
            assert entry.size == size
            assert seen[-1] == (size, size)
            assert await other.read_bytes("x/y") == data
            await other.copy("x/y", "back", to=storage)
            assert await storage.read_bytes("back") == data
            with pytest.raises(FileNotFoundInStorageError) as caught:
                await other.copy("missing", "back", to=storage)
            assert caught.value.storage == other.name
            if creates_only(storage, size):
                with pytest.raises(FileExistsInStorageError) as exists:
                    await other.copy("x/y", "back", to=storage, overwrite=False)
                assert exists.value.storage == storage.name

    async def test_to_a_view_stays_within_the_service(self, storage: Storage) -> None:
        await storage.write_bytes("a", b"data")
        entry = await storage.copy("a", "b", to=storage.at("view"))
        assert entry.name == "b"
        assert await storage.read_bytes("view/b") == b"data"

    @proves("copy-across")
    @pytest.mark.parametrize("size", [0, 1000, 9 << 20])
    async def test_to_another_place_of_the_service_goes_by_the_service(
        self, storage: Storage, size: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not isinstance(storage.driver, CrossCopier):
            pytest.skip("the service copies within one place only")
        data = pattern(size)
        await storage.write_bytes("a", data)
        before = await storage.stat("a")
        async with pickle.loads(pickle.dumps(storage)) as other:
            assert storage.is_one_service(other)
            async with MemoryStorage() as stranger:
                assert not storage.is_one_service(stranger)
                assert not stranger.is_one_service(storage)
            with monkeypatch.context() as patch:
                patch.setattr(type(storage.driver), "open_read", None)
                entry = await storage.copy("a", "b/c", to=other)
                assert (entry.name, entry.size) == ("b/c", size)
                same = await storage.copy("a", "a", to=other)
                assert same.etag == before.etag
            assert await storage.read_bytes("b/c") == data
            with pytest.raises(FileNotFoundInStorageError) as caught:
                await storage.copy("missing", "b/c", to=other)
            assert caught.value.key == "missing"
            if creates_only(storage, size):
                with pytest.raises(FileExistsInStorageError) as exists:
                    await storage.copy("a", "b/c", to=other, overwrite=False)
                assert exists.value.key == "b/c"
        assert await self.leftovers(storage) == []
