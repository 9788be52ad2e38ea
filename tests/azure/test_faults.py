"""A network and a service that fail, and writers of one blob, between the library and Azurite."""

from __future__ import annotations

import asyncio
import functools
import random
from typing import Any

import pytest
from azure.storage.blob import generate_container_sas

from aiostow import (
    AmbiguousWriteError,
    AzureStorage,
    FileExistsInStorageError,
    ObjectChangedError,
    PermissionDeniedError,
    Storage,
    StorageError,
    UnreachableError,
    WriteConflictError,
)
from aiostow.testing import FaultProxy, WireFault
from aiostow.testing.conformance._base import pattern
from tests.rest.faults import LARGE, Faults, ListingFaults, ReadingFaults, Through, WritingFaults
from tests.servers import AzuriteServer
from tests.servers.front import answer, front

from ._suite import ACCOUNT, MakeStorage

pytestmark = pytest.mark.anyio
MIB = 1 << 20
COMMIT = b"comp=blocklist"


@pytest.fixture
def through(make_storage: MakeStorage, proxy: FaultProxy) -> Through:
    return functools.partial(make_storage, endpoint=f"http://127.0.0.1:{proxy.port}/{ACCOUNT}")


class AzureFaults(Faults):
    # The number of a block stands at the end of its id, in base64.
    pieces = (b"AAAA&comp=block ", b"AAAB&comp=block ", b"AAAC&comp=block ")
    commit = COMMIT
    listing = b"comp=list"


class TestReading(AzureFaults, ReadingFaults):
    pass


class TestListing(AzureFaults, ListingFaults):
    pass


class TestWriting(AzureFaults, WritingFaults):
    @pytest.mark.parametrize("others", [b"small", pattern(LARGE, 9)])
    async def test_a_lost_reply_to_a_commit_is_no_success_when_another_wrote_since(
        self, storage: Storage, proxy: FaultProxy, make_storage: MakeStorage, others: bytes
    ) -> None:
        proxy.add(WireFault(COMMIT, drop_reply=True), WireFault(COMMIT, unavailable=1))
        task = asyncio.ensure_future(storage.write_bytes("k", pattern(LARGE, 1)))
        while len(proxy.armed) < 2:  # noqa: ASYNC110  # the proxy has a thread of its own
            await asyncio.sleep(0.01)
        async with make_storage() as direct:
            await direct.write_bytes("k", others)
        with pytest.raises(AmbiguousWriteError):
            await task
        assert await storage.read_bytes("k") == others

    async def test_a_create_only_commit_whose_reply_was_lost_is_a_success(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        proxy.add(WireFault(COMMIT, drop_reply=True))
        entry = await storage.write_bytes("k", pattern(LARGE), if_absent=True)
        assert entry.etag == (await storage.stat("k")).etag
        assert await storage.read_bytes("k") == pattern(LARGE)

    async def test_a_create_only_commit_that_another_won_is_refused(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        await storage.write_bytes("k", b"theirs")
        proxy.add(WireFault(COMMIT, drop_reply=True))
        with pytest.raises(FileExistsInStorageError):
            await storage.write_bytes("k", pattern(LARGE), if_absent=True)
        assert await storage.read_bytes("k") == b"theirs"

    async def test_a_conditional_write_whose_reply_was_lost_is_a_success(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        for size in (10, LARGE):
            entry = await storage.write_bytes("k", b"old")
            proxy.clear()
            proxy.add(WireFault(b"if-match: ", drop_reply=True))
            await storage.write_bytes("k", pattern(size), if_match=entry.etag)
            assert len(proxy.armed) == 1
            assert await storage.read_bytes("k") == pattern(size)

    @pytest.mark.parametrize("size", [4, LARGE])
    async def test_create_only_of_the_same_bytes_has_one_winner_all_the_same(
        self, server: AzuriteServer, make_storage: MakeStorage, size: int
    ) -> None:
        data = pattern(size)
        async with make_storage() as direct:
            failing = [True]

            async def decide(head: bytes) -> bytes:
                if COMMIT in head and failing:
                    failing.clear()  # not carried out, though it may have been
                    await direct.write_bytes("k", data, if_absent=True)
                    return answer("500 Failed")
                return head

            async with front(server.port, decide) as port:
                async with make_storage(endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}") as storage:
                    with pytest.raises(FileExistsInStorageError):
                        await storage.write_bytes("k", data, if_absent=True)

    async def test_nothing_tells_whose_empty_blob_is_there(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        proxy.add(WireFault(b"if-none-match", drop_reply=True))
        with pytest.raises(AmbiguousWriteError):
            await storage.write_bytes("k", b"", if_absent=True)
        assert await storage.read_bytes("k") == b""

    @pytest.mark.parametrize("size", [10, LARGE])
    async def test_a_conditional_write_that_was_replaced_since_is_ambiguous(
        self, storage: Storage, proxy: FaultProxy, make_storage: MakeStorage, size: int
    ) -> None:
        first = await storage.write_bytes("k", b"first")
        proxy.add(WireFault(COMMIT, drop_reply=True), WireFault(COMMIT, unavailable=1))
        task = asyncio.ensure_future(storage.write_bytes("k", pattern(size), if_match=first.etag))
        while len(proxy.armed) < 2:  # noqa: ASYNC110  # the proxy has a thread of its own
            await asyncio.sleep(0.01)
        async with make_storage() as direct:
            await direct.write_bytes("k", b"built on it")
        with pytest.raises(AmbiguousWriteError):
            await task

    async def test_what_may_have_been_written_is_never_a_definite_refusal(
        self, server: AzuriteServer, make_storage: MakeStorage
    ) -> None:
        for later in ("403 Forbidden", "401 Unauthorized", "400 Bad Request", "404 Not Found"):
            for data in (b"data", pattern(6 * MIB)):
                turns = 0

                def decide(head: bytes, later: str = later) -> bytes:
                    nonlocal turns
                    if head.startswith(b"PUT") and b"comp=block&" not in head:
                        if b"comp=block " in head:
                            return head
                        turns += 1
                        return answer("500 Failed" if turns == 1 else later)
                    return head

                async with front(server.port, decide) as port:
                    url = f"http://127.0.0.1:{port}/{ACCOUNT}"
                    async with make_storage(endpoint=url) as storage:
                        with pytest.raises(AmbiguousWriteError):
                            await storage.write_bytes("k", data)

    async def test_who_may_not_look_is_told_that_nobody_knows(
        self, server: AzuriteServer, make_storage: MakeStorage, container: Any, proxy: FaultProxy
    ) -> None:
        sas = generate_container_sas(
            ACCOUNT, container.container_name, server.accounts[ACCOUNT], permission="cw",
            protocol="https,http", expiry="2099-01-01T00:00:00Z",
        )  # fmt: skip
        url = f"{container.url}?{sas}".replace(f":{server.port}/", f":{proxy.port}/")
        async with AzureStorage(sas_container_url=url) as storage:
            for size in (10, LARGE):
                key = f"k{size}"
                proxy.clear()
                proxy.add(WireFault(COMMIT, drop_reply=True))
                with pytest.raises(AmbiguousWriteError):
                    await storage.write_bytes(key, pattern(size), if_absent=True)
        async with make_storage() as direct:
            assert await direct.read_bytes("k10") == pattern(10)

    async def test_a_service_that_goes_away_after_it_took_a_write_is_no_definite_failure(
        self, make_storage: MakeStorage
    ) -> None:
        """The last try finds nobody, and the first may have been carried out."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            server.close()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/{ACCOUNT}"
        async with make_storage(endpoint=url, connect_timeout=1) as storage:
            with pytest.raises(AmbiguousWriteError):
                await storage.write_bytes("k", b"data")

    async def test_a_copy_whose_reply_was_lost_is_a_success(
        self, storage: Storage, proxy: FaultProxy
    ) -> None:
        await storage.write_bytes("a", b"data")
        for overwrite in (True, False):
            proxy.clear()
            # What is conditional goes in blocks.
            proxy.add(WireFault(b"x-ms-requires-sync" if overwrite else COMMIT, drop_reply=True))
            await storage.copy("a", f"b{overwrite}", overwrite=overwrite)
            assert len(proxy.armed) == 1
            assert await storage.read_bytes(f"b{overwrite}") == b"data"


class TestTwoWriters:
    async def test_exactly_one_wins_whole_and_the_other_is_told(
        self, make_storage: MakeStorage, long: bool
    ) -> None:
        dice = random.Random(9)
        async with make_storage() as storage, make_storage() as other:
            for turn in range(30 if long else 6):
                blobs = [pattern(LARGE, 2 * turn), pattern(LARGE, 2 * turn + 1)]
                writers = [
                    await storage.open("k", "w"),
                    await other.open("k", "w"),
                ]
                for at in range(0, LARGE, MIB):
                    for writer, blob in sorted(zip(writers, blobs), key=lambda _: dice.random()):
                        await writer.write(blob[at : at + MIB])
                ends = await asyncio.gather(
                    *(writer.commit() for writer in writers), return_exceptions=True
                )
                lost = [end for end in ends if isinstance(end, BaseException)]
                assert [type(end) for end in lost] == [WriteConflictError], ends
                winner = next(i for i, end in enumerate(ends) if end is not lost[0])
                assert await storage.read_bytes("k") == blobs[winner]

    async def test_of_many_writers_large_and_small_what_is_there_is_of_one(
        self, make_storage: MakeStorage, long: bool
    ) -> None:
        sizes = [10, 6 * MIB, 1000, 11 * MIB]
        async with make_storage() as storage:
            for turn in range(10 if long else 2):
                blobs = [pattern(sizes[i % 4], 100 * turn + i) for i in range(12)]
                ends = await asyncio.gather(
                    *(storage.write_bytes("k", blob) for blob in blobs), return_exceptions=True
                )
                for end in ends:
                    assert not isinstance(end, BaseException) or isinstance(
                        end, WriteConflictError
                    ), end
                won = [blob for blob, end in zip(blobs, ends) if not isinstance(end, Exception)]
                assert await storage.read_bytes("k") in won

    @pytest.mark.parametrize("size", [100, LARGE])
    async def test_create_only_has_one_winner(self, make_storage: MakeStorage, size: int) -> None:
        count = 32 if size < MIB else 4
        blobs = [pattern(size, i) for i in range(count)]
        async with make_storage() as storage:
            ends = await asyncio.gather(
                *(storage.write_bytes("k", blob, if_absent=True) for blob in blobs),
                return_exceptions=True,
            )
            won = [i for i, end in enumerate(ends) if not isinstance(end, BaseException)]
            assert len(won) == 1, ends
            for end in ends:
                assert not isinstance(end, BaseException) or isinstance(
                    end, (FileExistsInStorageError, WriteConflictError)
                ), end
            assert await storage.read_bytes("k") == blobs[won[0]]

    async def test_an_aborted_writer_leaves_the_blob_of_another(
        self, make_storage: MakeStorage, container: Any
    ) -> None:
        async with make_storage() as storage:
            await storage.write_bytes("k", b"theirs")
            writer = await storage.open("k", "w")
            await writer.write(pattern(LARGE))
            await writer.abort()
            assert await storage.read_bytes("k") == b"theirs"
            assert container.get_blob_client("k").get_blob_properties().size == 6

    async def test_leftover_blocks_of_another_length_are_told(
        self, make_storage: MakeStorage, container: Any
    ) -> None:
        blob = container.get_blob_client("k")
        blob.stage_block("short", b"1")
        async with make_storage() as storage:
            with pytest.raises(WriteConflictError, match="another length") as caught:
                await storage.write_bytes("k", pattern(LARGE))
            assert "one request" in str(caught.value)
            assert not await storage.exists("k")
            # The service drops them on any write; Azurite on that of a block list only.
            await storage.write_bytes("k", b"one request")
            blob.commit_block_list([])
            await storage.write_bytes("k", pattern(LARGE))
            assert await storage.read_bytes("k") == pattern(LARGE)

    async def test_ids_of_blocks_have_the_documented_length(
        self, make_storage: MakeStorage, container: Any
    ) -> None:
        async with make_storage() as storage:
            await storage.write_bytes("k", pattern(LARGE))
            await storage.write_bytes("l", pattern(LARGE))
        ids = [
            [block.id for block in container.get_blob_client(key).get_block_list("committed")[0]]
            for key in ("k", "l")
        ]
        assert [len(some) for some in ids] == [3, 3]
        assert {len(name.encode()) for some in ids for name in some} <= {15, 20}
        assert not set(ids[0]) & set(ids[1])


class TestSource:
    async def test_what_the_destination_refuses_is_not_the_source_s(
        self, server: AzuriteServer, make_storage: MakeStorage, container: Any
    ) -> None:
        async with make_storage() as storage:
            await storage.write_bytes("a", b"data")
            await storage.write_bytes("b", b"there")
            container.get_blob_client("b").acquire_lease()
            with pytest.raises(WriteConflictError, match="lease"):
                await storage.copy("a", "b")

        def decide(head: bytes) -> bytes:
            if head.startswith(b"PUT") and b"if-none-match" in head:
                return answer("412 Failed", x_ms_error_code="TargetConditionNotMet")
            return head

        async with front(server.port, decide) as port:
            async with make_storage(endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}") as storage:
                await storage.write_bytes("a", b"")
                with pytest.raises(FileExistsInStorageError):
                    await storage.copy("a", "c", overwrite=False)

    async def test_a_source_that_is_replaced_while_it_is_copied_is_told(
        self, server: AzuriteServer, make_storage: MakeStorage
    ) -> None:
        async with make_storage() as direct:
            await direct.write_bytes("a", b"old")

            async def decide(head: bytes) -> bytes:
                if b"x-ms-copy-source" in head:
                    await direct.write_bytes("a", b"new")
                return head

            async with front(server.port, decide) as port:
                async with make_storage(endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}") as storage:
                    with pytest.raises(ObjectChangedError):
                        await storage.copy("a", "b")
            assert not await direct.exists("b")


async def test_a_service_that_is_not_there_is_told_in_time(make_storage: MakeStorage) -> None:
    url = f"http://127.0.0.1:9/{ACCOUNT}"  # the port of discard, where nothing listens
    async with make_storage(endpoint=url, connect_timeout=1) as storage:
        async with asyncio.timeout(10):
            for call in (
                storage.read_bytes("k"),
                storage.write_bytes("k", b"1"),
                storage.delete_many(["a", "b"]),
                storage.set_access_tier("k", "Cool"),
            ):
                with pytest.raises(UnreachableError):
                    await call


async def test_a_batch_of_deletions_survives_a_busy_service(
    through: Through, make_storage: MakeStorage, proxy: FaultProxy
) -> None:
    async with through() as storage:
        for i in range(5):
            await storage.write_bytes(f"k{i}", b"")
        proxy.add(WireFault(b"comp=batch", unavailable=0), WireFault(b"comp=batch", reset_at=20))
        await storage.delete_many(f"k{i}" for i in range(5))
        assert len(proxy.armed) == 2
        assert await storage.list() == []
    with pytest.raises(StorageError):
        async with make_storage(bucket="no-such-container") as nowhere:
            await nowhere.delete_many(["a", "b"])


async def test_parts_of_a_batch_that_the_service_was_too_busy_for_are_tried_again(
    server: AzuriteServer, make_storage: MakeStorage
) -> None:
    batches = 0

    def decide(head: bytes) -> bytes:
        nonlocal batches
        if b"comp=batch" not in head:
            return head
        batches += 1
        body = (
            b"--b\r\ncontent-id: 0\r\n\r\nHTTP/1.1 503 Server Busy\r\n"
            b"x-ms-error-code: ServerBusy\r\n\r\n"
            b"--b\r\ncontent-id: 1\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n--b--\r\n"
        )
        return answer("202 Accepted", body, content_type="multipart/mixed; boundary=b")

    async with front(server.port, decide) as port:
        async with make_storage(endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}") as storage:
            await storage.write_bytes("a", b"")
            await storage.delete_many(["a", "missing"])
            assert batches == 1
            assert not await storage.exists("a")


async def test_deletions_have_ended_when_one_of_their_batches_fails(
    server: AzuriteServer, make_storage: MakeStorage
) -> None:
    batches = 0

    def decide(head: bytes) -> bytes:
        nonlocal batches
        batches += b"comp=batch" in head
        return answer("403 Forbidden") if b"comp=batch" in head and batches == 1 else head

    async with front(server.port, decide) as port:
        async with make_storage(endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}") as storage:
            with pytest.raises(PermissionDeniedError):
                await storage.delete_many(f"k{i}" for i in range(600))
            assert batches == 3
            own = [task for task in asyncio.all_tasks() if "_each" in repr(task.get_coro())]
            assert own == []


async def test_a_cancelled_request_gives_its_connection_back(
    through: Through, proxy: FaultProxy
) -> None:
    async with through() as storage:
        assert isinstance(storage, AzureStorage)
        for i in range(300):
            await storage.write_bytes(f"l/{i:03}", b"")
        proxy.add(WireFault(b"comp=list", times=None, rate=20_000))
        plane = storage.driver._plane
        connector = plane._http._session.connector
        assert connector is not None
        for call in (plane.list("l", "", None), storage.list("l")._collect()):
            task = asyncio.ensure_future(call)
            await asyncio.sleep(0.2)
            assert connector._acquired
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert not connector._acquired
