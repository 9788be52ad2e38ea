"""Reading: one pinned version, in any order, as io.BytesIO does it."""

from __future__ import annotations

import asyncio
import io

import pytest

from ...errors import (
    ClosedError,
    FileNotFoundInStorageError,
    InvalidArgumentError,
    ObjectChangedError,
    UnsupportedOperationError,
)
from ...storage import Storage
from ._base import Suite, content, gather, pattern, proves

MIB = 1 << 20
SIZES = [0, 1, 65535, 65536, 65537, 256 << 10, (256 << 10) + 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1]


class ReadingTests(Suite):
    @pytest.mark.parametrize("size", SIZES)
    async def test_all_bytes_come_back(self, storage: Storage, size: int) -> None:
        data = pattern(size)
        await storage.write_bytes("k", data)
        assert await storage.read_bytes("k") == data
        async with storage.open("k") as file:
            assert file.size == size
            assert b"".join([chunk async for chunk in file]) == data
            assert await file.read() == b""

    async def test_a_large_object_streams(self, storage: Storage) -> None:
        data = pattern(self.large(storage))
        await storage.write_bytes("k", data)
        async with storage.open("k") as file:
            assert b"".join([chunk async for chunk in file]) == data
            await file.seek(0)
            assert await file.read() == data

    @pytest.mark.parametrize("chunk_size", [1000, 65536, 5 * MIB, 9 * MIB])
    async def test_iter_chunks_gives_exact_sizes(self, storage: Storage, chunk_size: int) -> None:
        data = pattern(6 * MIB + 17 if chunk_size > 65536 else 300_017)
        await storage.write_bytes("k", data)
        async with storage.open("k") as file:
            chunks = [chunk async for chunk in file.iter_chunks(chunk_size)]
        assert b"".join(chunks) == data
        assert {len(chunk) for chunk in chunks[:-1]} <= {chunk_size}
        with pytest.raises(InvalidArgumentError):
            file.iter_chunks(0)

    async def test_lines_come_as_from_bytesio(self, storage: Storage) -> None:
        data = b"one\n\ntwo\r\n" + pattern(100_000) + b"\nlast without end"
        await storage.write_bytes("k", data)
        async with storage.open("k") as file:
            assert [line async for line in file.iter_lines()] == io.BytesIO(data).readlines()

    async def test_seek_and_tell_behave_as_on_bytesio(self, storage: Storage) -> None:
        data = pattern(300_000)
        await storage.write_bytes("k", data)
        oracle = io.BytesIO(data)
        steps = [
            (10, 0, 5), (-3, 1, 100), (0, 2, 1), (-1000, 2, 2000), (299_999, 0, 10),
            (400_000, 0, 1), (5, 0, 0), (70_000, 1, 65_536), (-900_000, 1, 3),
        ]  # fmt: skip
        async with storage.open("k") as file:
            for offset, whence, size in steps:
                assert await file.seek(offset, whence) == oracle.seek(offset, whence)
                assert await file.read(size) == oracle.read(size)
                assert await file.tell() == oracle.tell()
            with pytest.raises(ValueError, match="negative seek"):
                await file.seek(-1)
            with pytest.raises(ValueError, match="whence"):
                await file.seek(0, 3)

    async def test_readinto_fills_the_buffer(self, storage: Storage) -> None:
        data = pattern(100_000)
        await storage.write_bytes("k", data)
        buffer = bytearray(70_000)
        async with storage.open("k") as file:
            assert await file.readinto(buffer) == 70_000
            assert buffer == data[:70_000]
            assert await file.readinto(buffer) == 30_000
            assert buffer[:30_000] == data[70_000:]
            assert await file.readinto(buffer) == 0

    @proves("not-found")
    async def test_a_missing_object_is_not_found(self, storage: Storage) -> None:
        await storage.write_bytes("folder/there", b"")
        for key in ("missing", "folder/missing", "missing/deeper", "folder/there/below"):
            with pytest.raises(FileNotFoundInStorageError):
                await storage.open(key)
            with pytest.raises(FileNotFoundError):
                await storage.stat(key)
            with pytest.raises(FileNotFoundError):
                await storage.copy(key, "elsewhere")
            with pytest.raises(FileNotFoundError):
                await storage.move(key, "elsewhere")
            assert not await storage.exists(key)
        assert not await storage.exists("folder")

    @proves("read-pinned")
    async def test_a_reader_never_mixes_versions(self, storage: Storage) -> None:
        old, new = pattern(6 * MIB, 1), pattern(6 * MIB, 2)
        await storage.write_bytes("k", old)
        async with storage.open("k") as file:
            first = await file.read(1000)
            await storage.write_bytes("k", new)
            try:
                rest = await file.read()
            except ObjectChangedError:
                rest = None
            assert first == old[:1000]
            assert rest is None or rest == old[1000:]
        assert await storage.read_bytes("k") == new

    @proves("read-pinned")
    async def test_a_reader_of_a_deleted_object_reads_it_or_fails(self, storage: Storage) -> None:
        data = pattern(6 * MIB)
        await storage.write_bytes("k", data)
        async with storage.open("k") as file:
            await file.read(10)
            await storage.delete("k")
            try:
                assert await file.read() == data[10:]
            except (ObjectChangedError, FileNotFoundInStorageError):
                pass

    @proves("read-if-match")
    async def test_if_match_reads_that_version_or_fails(self, storage: Storage) -> None:
        first = (await storage.write_bytes("k", b"one")).etag or (await storage.stat("k")).etag
        assert first is not None
        assert await storage.read_bytes("k", if_match=first) == b"one"
        await storage.write_bytes("k", b"three")
        with pytest.raises(ObjectChangedError):
            await storage.read_bytes("k", if_match=first)

    @proves("read-ranges", "stream-exact")
    async def test_ranges_are_independent_and_exact(self, storage: Storage) -> None:
        data = pattern(3 * MIB)
        await storage.write_bytes("k", data)
        await storage.driver.connect()
        source = await storage.driver.open_read("k", if_match=None)
        spans = [(2 * MIB, MIB), (0, 10), (MIB - 5, 10), (3 * MIB - 1, 100), (0, 3 * MIB)]
        streams = [await source.stream(offset, length) for offset, length in reversed(spans)]
        parts = await asyncio.gather(*(gather(stream) for stream in streams))
        for (offset, length), part in zip(reversed(spans), parts, strict=True):
            assert part == data[offset : offset + length]
        source.close()

    @proves("stream-exact")
    @pytest.mark.parametrize("size", [1, 1000, 300_000])
    async def test_a_stream_ends_with_the_object(self, storage: Storage, size: int) -> None:
        data = pattern(size)
        await storage.write_bytes("k", data)
        await storage.driver.connect()
        source = await storage.driver.open_read("k", if_match=None)
        assert await gather(await source.stream(size - 1, 50)) == data[-1:]
        assert await content(source) == data

    async def test_many_readers_at_once(self, storage: Storage) -> None:
        data = {f"k{i}": pattern(50_000 + i, i) for i in range(16)}
        for key, value in data.items():
            await storage.write_bytes(key, value)
        found = await asyncio.gather(*(storage.read_bytes(key) for key in data))
        assert found == list(data.values())

    async def test_a_cancelled_read_can_be_repeated(self, storage: Storage) -> None:
        data = pattern(9 * MIB)
        await storage.write_bytes("k", data)
        async with storage.open("k") as file:
            head = await file.read(100)
            for steps in range(1, 8):
                task = asyncio.ensure_future(file.read(8 * MIB))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                done = (await asyncio.gather(task, return_exceptions=True))[0]
                if isinstance(done, bytes):
                    assert done == data[100 : 100 + 8 * MIB]
                    await file.seek(100)
            assert await file.tell() == 100
            assert head + await file.read() == data

    async def test_a_closed_reader_says_so(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"data")
        file = await storage.open("k")
        await file.close()
        await file.close()
        assert file.closed
        with pytest.raises(ClosedError) as caught:
            await file.read()
        assert (caught.value.key, caught.value.storage) == ("k", storage.name)

    async def test_a_read_that_waits_while_its_file_is_closed_says_so(
        self, storage: Storage
    ) -> None:
        data = pattern(9 * MIB)
        await storage.write_bytes("k", data)
        for steps in range(10):
            file = await storage.open("k")
            task = asyncio.ensure_future(file.read())
            for _ in range(2 * steps):
                await asyncio.sleep(0)
            await (file.close() if steps < 9 else storage.aclose())
            async with asyncio.timeout(30):
                (got,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(got, ClosedError):
                assert (got.key, got.storage) == ("k", storage.name)
            else:
                assert got == data

    async def test_a_reader_refuses_to_write(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"data")
        async with storage.open("k") as file:
            assert (file.readable(), file.writable(), file.seekable()) == (True, False, True)
            with pytest.raises(UnsupportedOperationError):
                await file.write(b"x")
        assert await storage.read_bytes("k") == b"data"

    async def test_stat_and_reader_tell_the_same(self, storage: Storage) -> None:
        await storage.write_bytes("a/k", pattern(1234))
        entry = await storage.stat("a/k")
        name, last_modified, size = entry
        assert (name, size) == ("a/k", 1234)
        assert entry.last_modified.utcoffset() is not None
        assert last_modified == entry.last_modified
        async with storage.open("a/k") as file:
            assert (file.entry.name, file.entry.size) == ("a/k", 1234)
            assert file.entry.etag == entry.etag
        assert [item.etag for item in await storage.list()] == [entry.etag]
