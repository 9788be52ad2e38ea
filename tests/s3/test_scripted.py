"""Moments and services that no server of ours has, told by a service that keeps to a script."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from botocore.config import Config

from aiostow import (
    AmbiguousWriteError,
    DeleteManyError,
    FileExistsInStorageError,
    Folder,
    ObjectChangedError,
    PermissionDeniedError,
    S3Storage,
)
from aiostow.backends._rest_pages import ListPage, RestPages
from tests.servers.front import answer

pytestmark = pytest.mark.anyio
MIB = 1 << 20
DATE = "Sat, 28 Nov 2026 14:00:00 GMT"


class Script:
    """A service. `reply` gets method, target, headers and body; None cuts the connection."""

    async def reply(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> bytes | None:
        raise NotImplementedError

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.rstrip().split("\r\n")
                method, target, _ = first.split(" ")
                headers = {
                    name.lower(): value
                    for name, _, value in (each.partition(": ") for each in lines)
                }
                if "expect" in headers:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                told = await self.reply(method, target, headers, body)
                if told is None:
                    return
                writer.write(told)
                await writer.drain()
                if b"connection: close" in told[:1000]:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def storage(self, **own: Any) -> AsyncIterator[S3Storage]:
        """Return a storage on the service."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        told: dict[str, Any] = {
            "bucket": "bucket",
            "aws_region": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "b",
            "endpoint_url": url, "addressing_style": "path", "part_size": 5 * MIB,
            "conditional_writes": True, "conditional_complete": True, "checksum": None,
        }  # fmt: skip
        try:
            async with S3Storage(**{**told, **own}) as storage:
                yield storage
        finally:
            server.close()


def error(status: str, code: str) -> bytes:
    return answer(status, f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode())


def head_answer(size: int, **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    dated = f"content-length: {size}\r\nlast-modified: {DATE}\r\n"
    return f"HTTP/1.1 200 OK\r\n{dated}{lines}\r\n".encode()


# -- pages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(8))
async def test_a_cancelled_page_is_given_by_the_next_call(steps: int) -> None:
    first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ask(token: str | None) -> ListPage:
        if token is None:
            await first
        number = int(token or 0)
        following = str(number + 1) if number < 2 else None
        return ListPage(following, lambda: [Folder(f"{number}")])

    pages = RestPages(ask, None)
    call = asyncio.ensure_future(pages.next_page())
    await asyncio.sleep(0.01)
    first.set_result(None)
    for _ in range(steps):
        await asyncio.sleep(0)
    call.cancel()
    found: list[Any] = []
    try:
        found += await call or ()
    except asyncio.CancelledError:
        pass
    while (page := await pages.next_page()) is not None:
        found += page
    assert [folder.name for folder in found] == ["0", "1", "2"]


# -- copies ----------------------------------------------------------------------------------------


class Copying(Script):
    """Copies by parts, and waits where it is told."""

    def __init__(self, wait_at: str, abort: bytes = b"HTTP/1.1 204 No Content\r\n\r\n") -> None:
        self.uploads: set[str] = set()
        self.abort = abort
        self.reached = {name: asyncio.Event() for name in ("create", "part", "abort")}
        self.go_on = {name: asyncio.Event() for name in self.reached}
        for name in self.reached:
            if name not in wait_at.split():
                self.go_on[name].set()

    async def at(self, name: str) -> None:
        self.reached[name].set()
        await self.go_on[name].wait()

    async def reply(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> bytes | None:
        if method == "HEAD":
            return head_answer(20 * MIB, etag=f'"{"b" * 32}"')
        if method == "POST" and "uploads" in target:
            await self.at("create")
            self.uploads.add("U1")
            return answer("200 OK", b"<R><UploadId>U1</UploadId></R>")
        if method == "DELETE":
            await self.at("abort")
            if self.abort.startswith(b"HTTP/1.1 204"):
                self.uploads.discard("U1")
            return self.abort
        assert method == "PUT"
        await self.at("part")
        return None


async def test_a_copy_that_is_cancelled_as_its_upload_begins_leaves_none() -> None:
    service = Copying("create")
    async with service.storage() as storage:
        copy = asyncio.ensure_future(storage.copy("big", "copy", overwrite=False))
        await service.reached["create"].wait()
        copy.cancel()
        await asyncio.sleep(0.05)
        service.go_on["create"].set()
        with pytest.raises(asyncio.CancelledError):
            await copy
        assert service.reached["abort"].is_set()
        assert service.uploads == storage.driver._uploads == set()


async def test_a_copy_that_is_cancelled_twice_leaves_no_upload() -> None:
    service = Copying("part abort")
    async with service.storage() as storage:
        copy = asyncio.ensure_future(storage.copy("big", "copy", overwrite=False))
        await service.reached["part"].wait()
        copy.cancel()
        await service.reached["abort"].wait()
        copy.cancel()
        await asyncio.sleep(0.05)
        service.go_on["abort"].set()
        with pytest.raises(asyncio.CancelledError):
            await copy
        assert service.uploads == storage.driver._uploads == set()


@pytest.mark.parametrize("steps", range(1, 8))
async def test_a_copy_that_is_cancelled_again_at_once_leaves_no_upload(steps: int) -> None:
    service = Copying("part")
    async with service.storage() as storage:
        copy = asyncio.ensure_future(storage.copy("big", "copy", overwrite=False))
        await service.reached["part"].wait()
        copy.cancel()
        for _ in range(steps):
            await asyncio.sleep(0)
        copy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await copy
        assert service.uploads == storage.driver._uploads == set()


async def test_an_upload_that_cannot_be_aborted_is_left_to_a_sweep() -> None:
    service = Copying("part", abort=error("403 Forbidden", "AccessDenied"))
    async with service.storage() as storage:
        copy = asyncio.ensure_future(storage.copy("big", "copy", overwrite=False))
        await service.reached["part"].wait()
        copy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await copy
        assert service.uploads == {"U1"}
        assert storage.driver._uploads == set()


# -- create-only -----------------------------------------------------------------------------------


SESSION = (
    b"<R><Credentials><AccessKeyId>a</AccessKeyId><SecretAccessKey>b</SecretAccessKey>"
    b"<SessionToken>c</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>"
    b"</Credentials></R>"
)


class Keeping(Script):
    """Stores one object and never tells: who tries again is told that the key exists."""

    def __init__(self, etag: Callable[[bytes], str], **headers: str) -> None:
        self.etag, self.headers = etag, headers
        self.data: bytes | None = None
        self.parts: dict[str, bytes] = {}

    async def reply(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> bytes | None:
        if method == "HEAD":
            assert self.data is not None
            return head_answer(len(self.data), etag=f'"{self.etag(self.data)}"', **self.headers)
        if method == "GET":
            assert "session" in target
            return answer("200 OK", SESSION)
        if method == "POST" and "uploads" in target:
            return answer("200 OK", b"<R><UploadId>U1</UploadId></R>")
        if method == "PUT" and "partNumber" in target:
            self.parts[target] = body
            return answer("200 OK", ETag=f'"{hashlib.md5(body).hexdigest()}"')
        if method == "DELETE":
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        if self.data is not None:
            return error("412 Precondition Failed", "PreconditionFailed")
        whole = b"".join(part for _, part in sorted(self.parts.items()))
        self.data = body if method == "PUT" else whole
        return None


def other(data: bytes) -> str:
    return "b" * 32


KMS = {"x_amz_server_side_encryption": "aws:kms"}
SMALL, LARGE = b"mine", bytes(6 * MIB)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["whole", "parts"])
@pytest.mark.parametrize(
    ("etag", "headers"), [(other, KMS), (lambda data: "opaque", {})], ids=["kms", "opaque"]
)
async def test_an_own_success_whose_etag_is_no_md5_is_not_told_as_anothers(
    data: bytes, etag: Callable[[bytes], str], headers: dict[str, str]
) -> None:
    service = Keeping(etag, **headers)
    async with service.storage() as storage:
        with pytest.raises(AmbiguousWriteError):
            await storage.write_bytes("k", data, if_absent=True)
        assert service.data == data


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["whole", "parts"])
@pytest.mark.parametrize("headers", [{}, {"x_amz_server_side_encryption": "AES256"}])
async def test_an_md5_of_other_content_is_anothers(data: bytes, headers: dict[str, str]) -> None:
    async with Keeping(other, **headers).storage() as storage:
        with pytest.raises(FileExistsInStorageError):
            await storage.write_bytes("k", data, if_absent=True)


@pytest.mark.parametrize("config", [None, Config(read_timeout=20)], ids=["ours", "merged"])
async def test_what_is_sent_again_by_the_sdk_is_known_of(config: Config | None) -> None:
    """aiohttp repeats a PUT once and tells nobody, unless it is told not to."""
    service = Keeping(lambda data: hashlib.md5(data).hexdigest())
    async with service.storage(data_plane="sdk", client_config=config) as storage:
        await storage.write_bytes("k", SMALL, if_absent=True)
        assert service.data == SMALL


async def test_an_etag_of_a_directory_bucket_tells_nothing() -> None:
    async with Keeping(other).storage(bucket="b--usw2-az1--x-s3") as storage:
        with pytest.raises(AmbiguousWriteError):
            await storage.write_bytes("k", SMALL, if_absent=True)


# -- deletions -------------------------------------------------------------------------------------


class Deleting(Script):
    """Refuses to delete `x` among others, and is strict about single objects."""

    def __init__(self, **single: bytes) -> None:
        self.single = single
        self.asked: list[str] = []

    async def reply(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> bytes | None:
        if method == "POST":
            failed = "<Error><Key>x</Key><Code>AccessDenied</Code><Message>m</Message></Error>"
            return answer("200 OK", f"<DeleteResult>{failed}</DeleteResult>".encode())
        name = target.rpartition("/")[2]
        self.asked.append(name)
        return self.single.get(name[0], b"HTTP/1.1 204 No Content\r\n\r\n")


async def test_each_key_that_xml_cannot_say_is_tried_and_told_of() -> None:
    service = Deleting(
        gone=error("404 Not Found", "NoSuchKey"),
        d=error("403 Forbidden", "AccessDenied"),
        g=error("404 Not Found", "NoSuchKey"),
    )
    async with service.storage(any_key=True) as storage:
        with pytest.raises(DeleteManyError) as caught:
            await storage.delete_many(["x", "g\x01", "d\x01", "k\x01"])
        assert service.asked == ["g%01", "d%01", "k%01"]
        assert set(caught.value.failures) == {"x", "d\x01"}
        assert all(
            isinstance(each, PermissionDeniedError) for each in caught.value.failures.values()
        )


# -- versions --------------------------------------------------------------------------------------


class Cut(Script):
    """Tells no etag, and cuts the first answer in half."""

    size = 1_000_000

    def __init__(self, later: Mapping[str, str], total: str = "1000000") -> None:
        self.later, self.total = later, total

    async def reply(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> bytes | None:
        asked = headers.get("range")
        if asked is None:
            return head_answer(self.size, connection="close") + b"A" * (self.size // 2)
        begin, end = map(int, asked.removeprefix("bytes=").split("-"))
        return answer(
            "206 Partial Content", b"A" * (end + 1 - begin),
            content_range=f"bytes {begin}-{end}/{self.total}", **self.later,
        )  # fmt: skip


async def test_without_etags_a_reader_goes_on_while_time_and_size_are_the_same() -> None:
    async with Cut({"last_modified": DATE}).storage() as storage:
        assert await storage.read_bytes("k") == b"A" * Cut.size


@pytest.mark.parametrize(
    ("later", "total"),
    [
        ({"last_modified": "Sat, 28 Nov 2026 14:00:01 GMT"}, "1000000"),
        ({"last_modified": DATE}, "1000001"),
        ({"last_modified": DATE}, "*"),
        ({}, "1000000"),
    ],
    ids=["time", "size", "no size", "no time"],
)
async def test_without_etags_versions_are_not_mixed(later: dict[str, str], total: str) -> None:
    async with Cut(later, total).storage() as storage:
        with pytest.raises(ObjectChangedError):
            await storage.read_bytes("k")
