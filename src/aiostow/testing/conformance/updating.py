"""Changes in place, where the storage has them."""

from __future__ import annotations

import io

import pytest

from ...errors import FileNotFoundInStorageError, InvalidTypeError, UnsupportedOperationError
from ...storage import Storage
from ._base import Suite, pattern, proves


class UpdatingTests(Suite):
    @pytest.fixture(autouse=True)
    async def _offered(self, storage: Storage, request: pytest.FixtureRequest) -> None:
        name = request.node.originalname
        if "in_place" in name and not storage.capabilities.update:
            pytest.skip("the storage says that it cannot change objects in place")

    async def test_a_storage_without_it_refuses(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"data")
        if storage.capabilities.update:
            async with storage.open("k", "rw") as file:
                assert (file.readable(), file.writable(), file.seekable()) == (True, True, True)
        else:
            with pytest.raises(UnsupportedOperationError):
                await storage.open("k", "rw")
        assert await storage.read_bytes("k") == b"data"

    @proves("update-existing")
    async def test_in_place_the_object_must_exist(self, storage: Storage) -> None:
        with pytest.raises(FileNotFoundInStorageError):
            await storage.open("missing", "rw")
        assert await storage.list() == []
        await storage.write_bytes("k", b"untouched")
        async with storage.open("k", "rw") as file:
            assert await file.read() == b"untouched"
        assert await storage.read_bytes("k") == b"untouched"

    @proves("update-gap")
    async def test_in_place_as_on_bytesio(self, storage: Storage) -> None:
        data = pattern(200_000)
        await storage.write_bytes("k", data)
        oracle = io.BytesIO(data)
        async with storage.open("k", "rw") as file:
            for offset, whence, read, write in [
                (10, 0, 20, b"abc"), (0, 2, 5, b"at the end"), (-50, 1, 10, b"back"),
                (100_000, 0, 70_000, pattern(1000, 3)), (250_000, 0, 1, b"after a gap"),
                (199_990, 0, 100, b"x"),
            ]:  # fmt: skip
                assert await file.seek(offset, whence) == oracle.seek(offset, whence)
                assert await file.read(read) == oracle.read(read)
                assert await file.write(write) == oracle.write(write)
                assert await file.tell() == oracle.tell()
            await file.seek(5)
            assert await file.truncate() == 5
            oracle.seek(5)
            oracle.truncate()
            await file.seek(0)
            assert await file.read() == oracle.getvalue()
            await file.truncate(9)
            await file.flush()
        assert await storage.read_bytes("k") == oracle.getvalue() + bytes(4)

    async def test_in_place_changes_are_made_at_once(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"0123")
        async with storage.open("k", "rw") as one, storage.open("k", "rw") as other:
            await one.write(b"A")
            assert await storage.read_bytes("k") == b"A123"
            await other.seek(3)
            await other.write(b"BC")
            assert await storage.read_bytes("k") == b"A12BC"
            await one.truncate(4)
            assert await storage.read_bytes("k") == b"A12B"
        assert await storage.read_bytes("k") == b"A12B"

    async def test_in_place_closing_alone_changes_nothing(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"old")
        file = await storage.open("k", "rw")
        await storage.write_bytes("k", b"new")
        await file.close()
        assert await storage.read_bytes("k") == b"new"

    async def test_in_place_text_is_refused(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"data")
        async with storage.open("k", "rw") as file:
            with pytest.raises(InvalidTypeError, match="encode"):
                await file.write("text")
        assert await storage.read_bytes("k") == b"data"

    async def test_in_place_lines_are_read(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"one\ntwo\nthree")
        async with storage.open("k", "rw") as file:
            assert await file.readline() == b"one\n"
            assert [line async for line in file.iter_lines()] == [b"two\n", b"three"]
