"""What an S3 storage can be told, and that it is so."""

from __future__ import annotations

import asyncio
import gzip
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from aiostow import (
    CredentialsError,
    FileExistsInStorageError,
    Folder,
    IntegrityError,
    InvalidKeyError,
    ObjectChangedError,
    S3Storage,
    Support,
    UnsupportedOperationError,
    WriteConflictError,
)
from aiostow.backends import _s3_driver
from aiostow.backends.s3 import S3Driver
from aiostow.testing import FaultProxy, WireFault
from aiostow.testing.conformance._base import pattern
from tests.servers import S3Server
from tests.servers.front import front

from ._suite import MakeStorage

pytestmark = pytest.mark.anyio
MIB = 1 << 20
LARGE = 12 * MIB + 5
Boto = Callable[[S3Server], Any]


def only(*names: str) -> pytest.MarkDecorator:
    """Run on these servers, which have what the test is about."""
    return pytest.mark.parametrize("server", names, indirect=True)


@pytest.fixture(params=["ceph"])
def server(request: pytest.FixtureRequest, start_server: Callable[[str], S3Server]) -> S3Server:
    return start_server(request.param)


class TestRequests:
    """A small object costs one request to read and one to write."""

    async def test_are_as_few_as_can_be(self, proxy: FaultProxy, make_storage: MakeStorage) -> None:
        async with make_storage(endpoint_url=f"http://127.0.0.1:{proxy.port}") as storage:
            await storage.write_bytes("warm", b"")

            async def cost(call: Any) -> int:
                proxy.clear()
                proxy.add(WireFault(times=None))
                await call
                return len(proxy.armed)

            async def stream() -> None:
                async with storage.open("k") as file:
                    async for _ in file:
                        pass

            for size in (0, 1, 100_000, 5 * MIB):
                assert await cost(storage.write_bytes("k", bytes(size))) == 1
                assert await cost(storage.read_bytes("k")) == 1
                assert await cost(stream()) == 1
            assert await cost(storage.stat("k")) == 1
            assert await cost(storage.delete("k")) == 1
            assert await cost(storage.delete_many(map(str, range(1000)))) == 1
            assert await cost(storage.list()) == 1
            # Begin, parts, end; and a look, since Ceph tells no etag then.
            assert await cost(storage.write_bytes("k", bytes(11 * MIB))) == 1 + 3 + 1 + 1


class TestConditions:
    @only("ministack")
    async def test_if_match_where_the_service_has_it(self, make_storage: MakeStorage) -> None:
        async with make_storage() as storage:
            assert storage.capabilities.if_match is Support.native
            for size in (1000, LARGE):
                first = await storage.write_bytes("k", pattern(size, 1))
                await storage.write_bytes("k", pattern(size, 2), if_match=first.etag)
                with pytest.raises(WriteConflictError):
                    await storage.write_bytes("k", pattern(size, 3), if_match=first.etag)
                assert await storage.read_bytes("k") == pattern(size, 2)

    @only("ceph", "swift")
    async def test_if_match_is_refused_where_it_is_not_known(
        self, make_storage: MakeStorage
    ) -> None:
        async with make_storage() as storage:
            assert storage.capabilities.if_match is Support.unsupported
            with pytest.raises(UnsupportedOperationError, match="conditional_writes"):
                await storage.write_bytes("k", b"1", if_match="x")

    @only("ceph")
    async def test_large_create_only_is_refused_where_it_would_overwrite(
        self, make_storage: MakeStorage
    ) -> None:
        async with make_storage() as storage:
            assert storage.capabilities.create_only_limit == 5 * MIB
            await storage.write_bytes("k", b"old")
            with pytest.raises(UnsupportedOperationError, match="conditional_complete"):
                await storage.write_bytes("k", bytes(LARGE), if_absent=True)
            assert await storage.read_bytes("k") == b"old"
            await storage.write_bytes("new", bytes(5 * MIB), if_absent=True)

    @only("ceph")
    async def test_create_only_copies(self, make_storage: MakeStorage) -> None:
        async with make_storage() as storage:
            await storage.write_bytes("a", b"1", metadata={"x": "y"}, content_type="text/a")
            entry = await storage.copy("a", "b", overwrite=False)
            assert (entry.content_type, dict(entry.metadata or {})) == ("text/a", {"x": "y"})
            await storage.write_bytes("a", b"2")
            with pytest.raises(FileExistsInStorageError):
                await storage.copy("a", "b", overwrite=False)
            assert await storage.read_bytes("b") == b"1"


class TestContent:
    @only("ceph", "swift", "ministack")
    @pytest.mark.parametrize("size", [0, 100, LARGE])
    async def test_headers_are_kept_and_bodies_are_left_alone(
        self, make_storage: MakeStorage, size: int
    ) -> None:
        """What is stored compressed is read compressed: nobody undoes it on the way."""
        data = gzip.compress(pattern(size), compresslevel=0)
        kept = {"content_type": "text/x-a", "content_encoding": "gzip", "cache_control": "no-store"}
        async with make_storage() as storage:
            await storage.write_bytes("k", data, metadata={"Owner": "me"}, **kept)  # type: ignore[arg-type]
            assert await storage.read_bytes("k") == data
            for key in ("k", (await storage.copy("k", "l")).name):
                entry = await storage.stat(key)
                assert {name: getattr(entry, name) for name in kept} == kept
                assert dict(entry.metadata or {}) == {"owner": "me"}

    @only("ministack")
    @pytest.mark.parametrize("data_plane", ["auto", "sdk"])
    async def test_storage_class_and_encryption(
        self, make_storage: MakeStorage, server: S3Server, bucket: str, boto: Boto, data_plane: Any
    ) -> None:
        async with make_storage(
            storage_class="STANDARD_IA", server_side_encryption="AES256", data_plane=data_plane
        ) as storage:
            for key, size in (("small", 10), ("large", LARGE)):
                await storage.write_bytes(key, bytes(size))
                await storage.copy(key, f"{key}-copy")
                for each in (key, f"{key}-copy"):
                    told = boto(server).head_object(Bucket=bucket, Key=each)
                    assert told["ServerSideEncryption"] == "AES256"
                    assert told["StorageClass"] == "STANDARD_IA"

    @only("ceph")
    async def test_a_key_of_the_customers(
        self, make_storage: MakeStorage, server: S3Server, bucket: str, boto: Boto
    ) -> None:
        key = bytes(range(32))
        async with make_storage(sse_customer_key=key) as storage:
            for name, size in (("small", 1000), ("large", LARGE)):
                await storage.write_bytes(name, pattern(size))
                assert await storage.read_bytes(name) == pattern(size)
                assert (await storage.stat(name)).size == size
        async with make_storage() as storage:
            with pytest.raises(Exception):  # 400, without a code on HEAD
                await storage.read_bytes("small")

    async def test_headers_of_requests_that_others_pay(
        self, proxy: FaultProxy, make_storage: MakeStorage
    ) -> None:
        proxy.add(WireFault(b"x-amz-request-payer: requester", times=None))
        url = f"http://127.0.0.1:{proxy.port}"
        async with make_storage(endpoint_url=url, request_payer=True) as storage:
            await storage.write_bytes("k", b"1")
            await storage.read_bytes("k")
            await storage.list()
            link = await storage.link_to("k", "download", 60)
        assert len(proxy.armed) == 3
        assert "x-amz-request-payer=requester" in link

    @only("ministack")
    @pytest.mark.parametrize("checksum", ["crc32", "md5"])
    async def test_checksums_are_sent_and_verified(
        self, make_storage: MakeStorage, server: S3Server, bucket: str, boto: Boto, checksum: Any
    ) -> None:
        async with make_storage(checksum=checksum) as storage:
            for key, size in (("small", 1000), ("large", LARGE), ("empty", 0)):
                await storage.write_bytes(key, pattern(size))
                assert await storage.read_bytes(key) == pattern(size)
            if checksum == "crc32":
                told = boto(server).head_object(Bucket=bucket, Key="small", ChecksumMode="ENABLED")
                assert told["ChecksumCRC32"]

    @only("ceph")
    async def test_md5_is_verified_by_every_service(
        self, make_storage: MakeStorage, server: S3Server
    ) -> None:
        def decide(head: bytes) -> bytes:
            return head.replace(b"content-md5: ", b"content-md5: AAAA", 1)

        async with make_storage(checksum="md5") as storage:
            for size in (100, LARGE):
                await storage.write_bytes("k", pattern(size))
                assert await storage.read_bytes("k") == pattern(size)
        async with front(server.port, decide) as port:
            url = f"http://127.0.0.1:{port}"
            async with make_storage(endpoint_url=url, checksum="md5") as storage:
                with pytest.raises((IntegrityError, CredentialsError)):
                    await storage.write_bytes("k", b"1")


class TestCopies:
    async def test_of_more_than_one_request_can_copy(
        self, make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As over 5 GiB, with a smaller limit."""
        monkeypatch.setattr(_s3_driver, "_COPY_LIMIT", 8 * MIB)
        monkeypatch.setattr(S3Driver._copy_parts, "__defaults__", (5 * MIB,))
        async with make_storage() as storage:
            data = pattern(16 * MIB + 3)
            await storage.write_bytes("a", data, content_type="text/a", metadata={"x": "y"})
            entry = await storage.copy("a", "b")
            assert entry.size == len(data)
            assert await storage.read_bytes("b") == data
            told = await storage.stat("b")
            assert (told.content_type, dict(told.metadata or {})) == ("text/a", {"x": "y"})
            assert [u async for u in storage.driver.sdk.uploads("")] == []

    async def test_of_a_source_that_is_replaced_meanwhile(
        self, make_storage: MakeStorage, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also on Ceph, which copies parts of whatever version there is."""
        monkeypatch.setattr(_s3_driver, "_COPY_LIMIT", 8 * MIB)
        monkeypatch.setattr(S3Driver._copy_parts, "__defaults__", (5 * MIB,))
        url = f"http://127.0.0.1:{proxy.port}"
        async with make_storage() as direct, make_storage(endpoint_url=url) as storage:
            await direct.write_bytes("a", pattern(16 * MIB, 1))
            proxy.add(WireFault(b"partNumber=2", latency=0.5))
            task = asyncio.ensure_future(storage.copy("a", "b"))
            while not proxy.armed:  # noqa: ASYNC110  # the proxy has a thread of its own
                await asyncio.sleep(0.01)
            await direct.write_bytes("a", pattern(16 * MIB, 2))
            with pytest.raises(ObjectChangedError):
                await task
            assert not await direct.exists("b")
            assert [u async for u in storage.driver.sdk.uploads("")] == []


class TestForeignNames:
    NAMES = ("a//b", "/leading", "dir/", "..", "a/../b", "new\nline", "tab\t", " ", "a/./b")

    @only("ceph", "ministack")
    async def test_are_listed_and_addressed_when_asked(
        self, make_storage: MakeStorage, server: S3Server, bucket: str, boto: Boto
    ) -> None:
        names = [
            n for n in self.NAMES if not (server.name == "ministack" and n in ("..", "a/../b"))
        ]
        async with make_storage(any_key=True) as storage:
            for name in names:
                await storage.write_bytes(name, name.encode())
            assert sorted(e.name for e in await storage.list()) == sorted(names)
            for name in names:
                assert await storage.read_bytes(name) == name.encode()
                if name != " ":
                    with pytest.raises(InvalidKeyError):
                        await storage.link_to(name, "download", 60)
            async with make_storage() as strict:
                entries = await strict.list()
                assert {e.name for e in entries if not e.addressable} == set(names) - {" "}
                with pytest.raises(InvalidKeyError):
                    await strict.read_bytes(names[0])
            await storage.delete_many(names)
            assert await storage.list() == []

    async def test_markers_of_folders_are_no_files(
        self, make_storage: MakeStorage, server: S3Server, bucket: str, boto: Boto
    ) -> None:
        boto(server).put_object(Bucket=bucket, Key="dir/", Body=b"")
        boto(server).put_object(Bucket=bucket, Key="dir/file", Body=b"1")
        async with make_storage() as storage:
            assert await storage.list(recursive=False) == [Folder("dir")]
            assert [e.name for e in await storage.list("dir") if e.addressable] == ["dir/file"]


class TestLife:
    async def test_many_open_readers_do_not_wait_for_each_other(
        self, make_storage: MakeStorage
    ) -> None:
        async with make_storage() as storage:
            await storage.write_bytes("k", pattern(6 * MIB))
            readers = [await storage.open("k") for _ in range(150)]
            for reader in readers:
                assert await reader.read(10) == pattern(10)
            assert await storage.read_bytes("k") == pattern(6 * MIB)
            for reader in readers:
                await reader.close()

    async def test_it_travels_with_its_credentials(self, make_storage: MakeStorage) -> None:
        async with make_storage() as storage:
            await storage.write_bytes("k", b"1")
            clone: S3Storage = pickle.loads(pickle.dumps(storage))
            assert await clone.read_bytes("k") == b"1"
            assert isinstance(clone.driver, S3Driver)
            await clone.aclose()

    async def test_the_sdks_client_stays_within_reach(
        self, make_storage: MakeStorage, bucket: str
    ) -> None:
        async with make_storage() as storage:
            await storage.exists("k")
            assert "Buckets" in await storage.driver.client.list_buckets()

    async def test_a_first_use_by_many_makes_one_client(self, make_storage: MakeStorage) -> None:
        async with make_storage() as storage:
            await asyncio.gather(*(storage.exists(f"k{i}") for i in range(20)))
            assert len(storage.driver._clients._clients) == 1

    async def test_a_cancelled_first_use_does_no_harm(self, make_storage: MakeStorage) -> None:
        async with make_storage() as storage:
            task = asyncio.ensure_future(storage.exists("k"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert not await storage.exists("k")


def test_what_is_promised_follows_the_endpoint() -> None:
    storage = S3Storage("bucket", "eu-west-1", "A", "s")
    assert storage.capabilities.if_match is Support.native
    assert storage.capabilities.create_only_limit is None
    assert storage.driver.checksums is not None
    elsewhere = S3Storage("bucket", "r", "A", "s", endpoint_url="https://s3.example.org")
    assert elsewhere.capabilities.if_match is Support.unsupported
    assert elsewhere.driver.checksums is None
