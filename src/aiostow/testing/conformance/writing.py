"""Writing: all or nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ...errors import (
    ClosedError,
    FileExistsInStorageError,
    InvalidTypeError,
    UnsupportedOperationError,
    WriteConflictError,
)
from ...models import Support
from ...storage import Storage
from ._base import Suite, creates_only, pattern, proves


class WritingTests(Suite):
    @proves("write-empty")
    async def test_an_empty_write_makes_an_empty_object(self, storage: Storage) -> None:
        async with storage.open("k", "w"):
            pass
        assert (await storage.stat("k")).size == 0
        assert await storage.read_bytes("k") == b""
        await storage.write_bytes("k2", b"")
        assert [entry.size for entry in await storage.list()] == [0, 0]

    @pytest.mark.parametrize("extra", [-1, 0, 1])
    @pytest.mark.parametrize("pieces", [1, 2])
    async def test_sizes_around_the_piece_boundary(
        self, storage: Storage, pieces: int, extra: int
    ) -> None:
        data = pattern(pieces * storage.driver.write_limits.preferred + extra)
        entry = await storage.write_bytes("k", data)
        assert entry.size == len(data)
        assert await storage.read_bytes("k") == data

    @pytest.mark.parametrize("step", [7, 65_536, 1_000_000])
    async def test_writes_of_any_size_are_joined(self, storage: Storage, step: int) -> None:
        data = pattern(20_000 if step == 7 else self.large(storage))
        async with storage.open("k", "w") as file:
            for offset in range(0, len(data), step):
                part = data[offset : offset + step]
                assert await file.write(part) == len(part)
            assert await file.tell() == len(data)
        assert file.entry is not None
        assert file.entry.size == len(data)
        assert await storage.read_bytes("k") == data

    async def test_changeable_buffers_may_be_reused(self, storage: Storage) -> None:
        buffer = bytearray(100_000)
        expected = b""
        async with storage.open("k", "w") as file:
            for value in range(1, 20):
                buffer[:] = bytes([value]) * len(buffer)
                await file.write(memoryview(buffer) if value % 2 else buffer)
                expected += bytes(buffer)
        assert await storage.read_bytes("k") == expected

    @proves("upload-invisible")
    @pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
    async def test_nothing_is_visible_before_the_commit(
        self, storage: Storage, large: bool
    ) -> None:
        data = pattern(self.large(storage) if large else 1000)
        async with storage.open("a/new", "w") as file:
            await file.write(data)
            assert not await storage.exists("a/new")
            assert await storage.list() == []
        assert await storage.read_bytes("a/new") == data

    @proves("abort-clean")
    @pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
    @pytest.mark.parametrize("existing", [False, True], ids=["new", "over"])
    async def test_an_exception_leaves_everything_as_it_was(
        self, storage: Storage, large: bool, existing: bool
    ) -> None:
        if existing:
            await storage.write_bytes("k", b"old")
        before = await storage.list()
        with pytest.raises(ZeroDivisionError):
            async with storage.open("k", "w") as file:
                await file.write(pattern(self.large(storage) if large else 1000))
                raise ZeroDivisionError
        assert await storage.list() == before
        assert await self.leftovers(storage) == []
        if existing:
            assert await storage.read_bytes("k") == b"old"

    @proves("abort-clean")
    @pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
    async def test_a_cancellation_leaves_everything_as_it_was(
        self, storage: Storage, large: bool
    ) -> None:
        await storage.write_bytes("k", b"old")
        wrote = asyncio.Event()

        async def write() -> None:
            async with storage.open("k", "w") as file:
                await file.write(pattern(self.large(storage) if large else 1000))
                wrote.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(write())
        await wrote.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await storage.read_bytes("k") == b"old"
        assert await self.leftovers(storage) == []

    async def test_abort_discards(self, storage: Storage) -> None:
        file = await storage.open("k", "w")
        await file.write(b"data")
        await file.abort()
        await file.abort()
        await file.close()
        assert not await storage.exists("k")
        with pytest.raises(ClosedError):
            await file.write(b"more")
        with pytest.raises(ClosedError):
            await file.commit()

    async def test_close_commits_once(self, storage: Storage) -> None:
        file = await storage.open("k", "w")
        await file.write(b"data")
        await file.close()
        await storage.write_bytes("k", b"later")
        await file.close()
        assert await storage.read_bytes("k") == b"later"

    async def test_close_in_finally_after_a_failure_discards(self, storage: Storage) -> None:
        file = await storage.open("k", "w")
        with pytest.raises(ZeroDivisionError):
            try:
                await file.write(b"partial")
                raise ZeroDivisionError
            finally:
                await file.close()
        assert not await storage.exists("k")

    async def test_a_writer_opened_while_handling_an_exception_commits(
        self, storage: Storage
    ) -> None:
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            file = await storage.open("k", "w")
            await file.write(b"report")
            await file.close()
        assert await storage.read_bytes("k") == b"report"

    async def test_commit_returns_the_entry(self, storage: Storage) -> None:
        async with storage.open("a/k", "w") as file:
            await file.write(b"12345")
            entry = await file.commit()
        assert (entry.name, entry.size) == ("a/k", 5)
        assert await storage.read_bytes("a/k") == b"12345"

    async def test_text_is_refused_with_advice(self, storage: Storage) -> None:
        with pytest.raises(InvalidTypeError, match="encode"):
            async with storage.open("k", "w") as file:
                await file.write("text")
        assert not await storage.exists("k")
        with pytest.raises(InvalidTypeError, match="encode"):
            await storage.write_bytes("k", "text")  # type: ignore[arg-type]

    async def test_a_writer_refuses_to_read_and_seek(self, storage: Storage) -> None:
        async with storage.open("k", "w") as file:
            assert (file.readable(), file.writable(), file.seekable()) == (False, True, False)
            with pytest.raises(UnsupportedOperationError):
                await file.read()
            with pytest.raises(UnsupportedOperationError):
                await file.seek(0)

    @pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
    @proves("commit-atomic")
    async def test_create_only_refuses_to_overwrite(self, storage: Storage, large: bool) -> None:
        data = pattern(self.large(storage) if large else 1000)
        if not creates_only(storage, len(data)):
            with pytest.raises(UnsupportedOperationError):
                async with storage.open("k", "x") as file:
                    await file.write(data)
            assert await storage.list() == []
            assert await self.leftovers(storage) == []
            return
        async with storage.open("k", "x") as file:
            await file.write(data)
        with pytest.raises(FileExistsInStorageError):
            async with storage.open("k", "x") as file:
                await file.write(b"other")
        with pytest.raises(FileExistsError):
            await storage.write_bytes("k", pattern(len(data), 1), if_absent=True)
        assert await storage.read_bytes("k") == data
        assert await self.leftovers(storage) == []

    @pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
    @proves("commit-atomic")
    async def test_create_only_has_one_winner(self, storage: Storage, large: bool) -> None:
        size = self.large(storage) if large else 1000
        if not creates_only(storage, size):
            pytest.skip("the storage says that it has no create-only writes of this size")
        count = 4 if large else 32
        results = await asyncio.gather(
            *(storage.write_bytes("k", pattern(size, i), if_absent=True) for i in range(count)),
            return_exceptions=True,
        )
        winners = [i for i, result in enumerate(results) if not isinstance(result, BaseException)]
        losers = [result for result in results if isinstance(result, BaseException)]
        assert len(winners) == 1
        assert all(isinstance(e, (FileExistsInStorageError, WriteConflictError)) for e in losers)
        assert await storage.read_bytes("k") == pattern(size, winners[0])

    @pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
    @proves("commit-atomic", "write-atomic")
    async def test_of_many_writers_one_wins_whole(self, storage: Storage, large: bool) -> None:
        size = self.large(storage) if large else 1000
        count = 4 if large else 32
        results = await asyncio.gather(
            *(storage.write_bytes("k", pattern(size + i, i)) for i in range(count)),
            return_exceptions=True,
        )
        for result in results:
            assert not isinstance(result, BaseException) or isinstance(result, WriteConflictError)
        found = await storage.read_bytes("k")
        assert found == pattern(len(found), len(found) - size)
        assert await self.leftovers(storage) == []

    @proves("commit-atomic")
    async def test_readers_see_old_or_new(self, storage: Storage) -> None:
        await storage.write_bytes("k", pattern(5000, 0))
        stop = False

        async def write() -> None:
            for i in range(1, 30):
                await storage.write_bytes("k", pattern(5000 + i, i))

        async def read() -> None:
            while not stop:
                found = await storage.read_bytes("k")
                assert found == pattern(len(found), len(found) - 5000)
                await asyncio.sleep(0)

        reading = asyncio.ensure_future(read())
        await write()
        stop = True
        await reading

    @proves("write-options")
    async def test_options_are_kept_or_refused(self, storage: Storage) -> None:
        kept: dict[str, Any] = {"content_encoding": "gzip", "metadata": {"owner": "me"}}
        if storage.capabilities.metadata:
            for key, size in (("small", 10), ("large", self.large(storage))):
                await storage.write_bytes(
                    key, bytes(size), content_type="text/x-test", cache_control="no-store", **kept
                )
                entry = await storage.stat(key)
                assert entry.content_type == "text/x-test"
                assert entry.cache_control == "no-store"
                assert entry.content_encoding == "gzip"
                assert entry.metadata is not None
                assert dict(entry.metadata) == {"owner": "me"}
        else:
            for name, value in kept.items():
                for size in (10, self.large(storage)):
                    with pytest.raises(UnsupportedOperationError, match=name):
                        await storage.write_bytes("k", bytes(size), **{name: value})
            await storage.write_bytes("k", b"", content_type="text/plain", cache_control="no-store")
            assert [entry.name for entry in await storage.list()] == ["k"]

    @proves("write-options")
    async def test_if_match_replaces_that_version_only(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"one")
        etag = (await storage.stat("k")).etag
        assert etag is not None
        if storage.capabilities.if_match is Support.unsupported:
            with pytest.raises(UnsupportedOperationError):
                await storage.write_bytes("k", b"two", if_match=etag)
            assert await storage.read_bytes("k") == b"one"
            return
        await storage.write_bytes("k", b"two", if_match=etag)
        with pytest.raises(WriteConflictError):
            await storage.write_bytes("k", b"three", if_match=etag)
        with pytest.raises(WriteConflictError):
            await storage.write_bytes("missing", b"three", if_match=etag)
        assert await storage.read_bytes("k") == b"two"
