"""Deleting: quiet about what is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ...errors import FileNotFoundInStorageError, InvalidTypeError
from ...storage import Storage
from ._base import Suite, proves


class DeletingTests(Suite):
    async def test_delete_removes(self, storage: Storage) -> None:
        await storage.write_bytes("a/k", b"1")
        await storage.write_bytes("a/k2", b"2")
        await storage.delete("a/k")
        assert [entry.name for entry in await storage.list()] == ["a/k2"]

    async def test_a_missing_object_is_quiet_unless_asked(self, storage: Storage) -> None:
        for key in ("missing", "no/such/folder"):
            await storage.delete(key)
            with pytest.raises(FileNotFoundInStorageError):
                await storage.delete(key, missing_ok=False)
        await storage.write_bytes("k", b"")
        await storage.delete("k", missing_ok=False)
        await storage.delete("k/below/a/file")

    @proves("delete-many")
    async def test_many_are_deleted_missing_or_not(self, storage: Storage) -> None:
        keys = [f"d/{i}" for i in range(30)]
        for key in keys:
            await storage.write_bytes(key, b"")
        await storage.write_bytes("kept", b"")
        await storage.delete_many(["missing", *keys[:10], "d/none"])
        await storage.delete_many(key for key in keys[10:20])

        async def rest() -> AsyncIterator[str]:
            for key in keys[20:]:
                yield key

        await storage.delete_many(rest())
        await storage.delete_many([])
        assert [entry.name for entry in await storage.list()] == ["kept"]

    @proves("delete-many")
    async def test_more_than_a_batch(self, storage: Storage) -> None:
        await storage.write_bytes("last", b"")
        await storage.delete_many([*(f"missing{i}" for i in range(1500)), "last"])
        assert await storage.list() == []

    async def test_a_single_key_is_no_list_of_keys(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"")
        with pytest.raises(InvalidTypeError, match=r"delete\(\)"):
            await storage.delete_many("k")
        assert await storage.exists("k")
