"""The driver's uploads, without the pipeline above them."""

from __future__ import annotations

import asyncio
import pickle
from datetime import timedelta

import pytest

from ...driver import Resumer, Sweeper, Upload
from ...errors import FileExistsInStorageError
from ...models import WriteOptions
from ...storage import Storage
from ._base import Suite, pattern, proves


async def begin(storage: Storage, key: str, options: WriteOptions | None = None) -> Upload:
    await storage.driver.connect()
    return await storage.driver.begin(key, options or WriteOptions(), size_hint=None)


class StagingTests(Suite):
    @proves("upload-any-order", "upload-invisible")
    async def test_pieces_are_taken_in_any_order_and_at_once(self, storage: Storage) -> None:
        upload = await begin(storage, "k")
        size = max(upload.limits.min_size, 100_000)
        pieces = [pattern(size, i) for i in range(6)] + [b"end"]
        order = [3, 0, 6, 5, 1, 4, 2]
        await asyncio.gather(*(upload.stage(i, i * size, [pieces[i]]) for i in order[:4]))
        for i in order[4:]:
            await upload.stage(i, i * size, [pieces[i]])
        assert not await storage.exists("k")
        entry = await upload.commit()
        assert entry.name == "k"
        assert entry.size == 6 * size + 3
        assert await storage.read_bytes("k") == b"".join(pieces)

    @proves("upload-any-order")
    async def test_a_piece_may_be_many_buffers(self, storage: Storage) -> None:
        upload = await begin(storage, "k")
        data = pattern(max(upload.limits.min_size, 300_000))
        view = memoryview(data)
        step = len(data) // 3000
        buffers = [view[i : i + step] for i in range(0, len(data), step)]
        assert len(buffers) > 2048
        await upload.stage(0, 0, [b"", *buffers, b""])
        await upload.stage(1, len(data), [b"x"])
        await upload.commit()
        assert await storage.read_bytes("k") == data + b"x"

    @proves("buffers-released")
    async def test_a_buffer_may_change_after_it_was_staged(self, storage: Storage) -> None:
        upload = await begin(storage, "k")
        buffer = bytearray(pattern(max(upload.limits.min_size, 1000)))
        expected = bytes(buffer)
        await upload.stage(0, 0, [memoryview(buffer)])
        buffer[:] = bytes(len(buffer))
        await upload.commit()
        assert await storage.read_bytes("k") == expected

    @proves("abort-clean")
    async def test_an_aborted_upload_leaves_nothing(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"old")
        upload = await begin(storage, "k")
        await upload.stage(0, 0, [pattern(max(upload.limits.min_size, 1000))])
        await upload.abort()
        await upload.abort()
        assert await storage.read_bytes("k") == b"old"
        assert await self.leftovers(storage) == []

    @proves("commit-failed")
    async def test_a_refused_commit_can_be_aborted(self, storage: Storage) -> None:
        capabilities = storage.capabilities
        if not capabilities.create_only or capabilities.create_only_limit is not None:
            pytest.skip("the storage says that it has no create-only writes in pieces")
        upload = await begin(storage, "k", WriteOptions(if_absent=True))
        await upload.stage(0, 0, [b"late"])
        await storage.write_bytes("k", b"first")
        with pytest.raises(Exception) as caught:
            await upload.commit()
        error = storage.driver.map_error(caught.value) or caught.value
        assert isinstance(error, FileExistsInStorageError)
        await upload.abort()
        assert await storage.read_bytes("k") == b"first"
        assert await self.leftovers(storage) == []

    @proves("commit-atomic")
    async def test_the_later_commit_wins_whole(self, storage: Storage) -> None:
        first, second = await begin(storage, "k"), await begin(storage, "k")
        size = max(first.limits.min_size, 1000)
        for i in range(2):
            await first.stage(i, i * size, [pattern(size, 10 + i)])
            await second.stage(i, i * size, [pattern(size, 20 + i)])
        await second.commit()
        assert await storage.read_bytes("k") == pattern(size, 20) + pattern(size, 21)
        try:
            await first.commit()
        except Exception:
            await first.abort()
            expected = pattern(size, 20) + pattern(size, 21)
        else:
            expected = pattern(size, 10) + pattern(size, 11)
        assert await storage.read_bytes("k") == expected
        assert await self.leftovers(storage) == []

    @proves("sweep-living")
    async def test_a_sweep_spares_uploads_under_way(self, storage: Storage) -> None:
        if not isinstance(storage.driver, Sweeper):
            assert await storage.leftovers(timedelta(0)) == []
            assert await storage.sweep(timedelta(0)) == 0
        upload = await begin(storage, "a/k")
        await upload.stage(0, 0, [b"living"])
        assert await storage.leftovers(timedelta(hours=1)) == []
        await storage.sweep(timedelta(hours=1))
        await upload.commit()
        assert await storage.read_bytes("a/k") == b"living"

    @proves("write-atomic")
    async def test_a_cancelled_write_is_old_or_new(self, storage: Storage) -> None:
        old, new = pattern(300_000, 1), pattern(300_000, 2)
        for steps in range(12):
            await storage.write_bytes("k", old)
            task = asyncio.ensure_future(storage.driver.write("k", [new], WriteOptions()))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await storage.read_bytes("k") in (old, new)
            assert await self.leftovers(storage) == []

    @proves("resume-pieces", "resume-gone")
    async def test_an_upload_that_was_left_goes_on_elsewhere(self, storage: Storage) -> None:
        if not isinstance(storage.driver, Resumer):
            pytest.skip("the service keeps no pieces of an upload")
        await storage.write_bytes("k", b"old")
        driver, options = storage.driver, WriteOptions()
        await driver.connect()
        upload = await driver.begin("k", options, size_hint=None)
        size = max(upload.limits.min_size, 1000)
        pieces = [pattern(size, 30), pattern(size, 31), pattern(size, 32), b"end"]
        for index in (0, 2):
            await upload.stage(index, index * size, [pieces[index]])
        assert dict(upload.staged) == {0: size, 2: size}
        upload.leave()
        async with pickle.loads(pickle.dumps(storage)) as other:
            assert await other.read_bytes("k") == b"old"
            await other.driver.connect()
            resumed = await other.driver.resume("k", options, token=upload.token)
            assert resumed is not None
            assert dict(resumed.staged) == {0: size, 2: size}
            for index in (1, 3):
                await resumed.stage(index, index * size, [pieces[index]])
            entry = await resumed.commit()
            assert entry.size == 3 * size + 3
            assert await other.read_bytes("k") == b"".join(pieces)
            assert await other.driver.resume("k", options, token=upload.token) is None
        assert await self.leftovers(storage) == []
