"""Copies by the service itself: never pending, of one version, also across accounts."""

from __future__ import annotations

import asyncio
import functools
import traceback
from datetime import timedelta
from typing import Any

import pytest

from aiostow import (
    AzureStorage,
    FileExistsInStorageError,
    FileNotFoundInStorageError,
    InvalidArgumentError,
    ObjectChangedError,
    PermissionDeniedError,
    StorageIOError,
    UnsupportedOperationError,
)
from aiostow.backends import _azure_driver
from aiostow.models import WriteOptions
from aiostow.testing.conformance._base import pattern
from tests.servers import AzuriteServer
from tests.servers.front import answer, front

from ._credentials import AsyncCredential
from ._suite import ACCOUNT, MakeStorage, Prepare

pytestmark = pytest.mark.anyio
MIB = 1 << 20
HOUR = timedelta(hours=1)
TOLD: dict[str, Any] = {
    "content_type": "text/x-own", "cache_control": "no-cache", "metadata": {"k": "v"},
}  # fmt: skip


@pytest.fixture(params=["at once", "by blocks"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Copies are made at once, or by blocks as of a blob of over 256 MiB."""
    if request.param == "by blocks":
        monkeypatch.setattr(_azure_driver, "_COPY_LIMIT", 0)
        monkeypatch.setattr(_azure_driver, "_COPY_BLOCK", MIB)
    return str(request.param)


@pytest.fixture
async def other(server: AzuriteServer, prepare: Prepare) -> Any:
    """A storage on another account."""
    async with AzureStorage(
        "two", server.accounts["two"], prepare(server, "two").container_name,
        endpoint=server.endpoint("two"),
    ) as storage:  # fmt: skip
        yield storage


@pytest.mark.parametrize("size", [0, 1, MIB, 3 * MIB + 17])
async def test_a_copy_is_the_same_in_all_it_has(
    make_storage: MakeStorage, container: Any, way: str, size: int
) -> None:
    async with make_storage() as storage:
        await storage.write_bytes("a b%.txt", pattern(size), **TOLD)
        entry = await storage.copy("a b%.txt", "copy")
        assert await storage.read_bytes("copy") == pattern(size)
        seen = await storage.stat("copy")
        assert (seen.etag, seen.size, seen.last_modified) == (
            entry.etag, size, entry.last_modified,
        )  # fmt: skip
        assert (seen.content_type, seen.cache_control, seen.metadata) == (
            "text/x-own", "no-cache", {"k": "v"},
        )  # fmt: skip
        status = container.get_blob_client("copy").get_blob_properties().copy.status
        assert status in (None, "success")


async def test_what_only_the_service_knows_of_is_kept(
    make_storage: MakeStorage, container: Any, way: str
) -> None:
    from azure.storage.blob import ContentSettings

    settings = ContentSettings(
        content_type="text/x", content_language="de", content_disposition="inline"
    )
    container.get_blob_client("a").upload_blob(b"data", content_settings=settings)
    async with make_storage() as storage:
        await storage.copy("a", "b")
    seen = container.get_blob_client("b").get_blob_properties().content_settings
    assert (seen.content_language, seen.content_disposition) == ("de", "inline")


async def test_options_take_the_place_of_the_source_s(make_storage: MakeStorage) -> None:
    async with make_storage() as storage:
        await storage.write_bytes("a", b"data", **TOLD)
        await storage.driver.copy("a", "b", WriteOptions(content_type="text/new"))
        seen = await storage.stat("b")
        assert (seen.content_type, seen.metadata) == ("text/new", {"k": "v"})
        assert await storage.read_bytes("b") == b"data"


async def test_a_copy_may_refuse_to_overwrite(make_storage: MakeStorage, way: str) -> None:
    async with make_storage() as storage:
        await storage.write_bytes("a", b"data")
        await storage.write_bytes("b", b"there")
        with pytest.raises(FileExistsInStorageError):
            await storage.copy("a", "b", overwrite=False)
        assert await storage.read_bytes("b") == b"there"
        await storage.copy("a", "c", overwrite=False)
        assert await storage.read_bytes("c") == b"data"


async def test_a_replaced_source_is_told_and_nothing_is_left(
    server: AzuriteServer, make_storage: MakeStorage, way: str
) -> None:
    async with make_storage() as direct:
        await direct.write_bytes("a", pattern(3 * MIB, 1))
        turn = 0

        async def decide(head: bytes) -> bytes:
            nonlocal turn
            turn += b"x-ms-copy-source: " in head
            if turn == (2 if way == "by blocks" else 1):
                await direct.write_bytes("a", pattern(3 * MIB, 2))
            # Azurite fetches from itself only, so it must not see this front's port.
            return head.replace(b"127.0.0.1:%d/" % port, b"127.0.0.1:%d/" % server.port).replace(
                b"host: 127.0.0.1:%d" % port, b"host: 127.0.0.1:%d" % server.port
            )

        async with front(server.port, decide) as port:
            url = await direct.create_container_url(HOUR)
            here = url.replace(f":{server.port}/", f":{port}/")
            async with AzureStorage(sas_container_url=here) as storage:
                with pytest.raises(ObjectChangedError):
                    await storage.copy("a", "b")
        assert not await direct.exists("b")


async def test_a_cancelled_copy_leaves_nothing(make_storage: MakeStorage, way: str) -> None:
    async with make_storage() as storage:
        await storage.write_bytes("a", pattern(8 * MIB))
        await storage.write_bytes("b", b"old")
        for pause in (0, 0.002, 0.01, 0.03):
            task = asyncio.ensure_future(storage.copy("a", "b"))
            await asyncio.sleep(pause)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await storage.read_bytes("b") in (b"old", pattern(8 * MIB))


async def test_with_a_signature_that_was_given(make_storage: MakeStorage, way: str) -> None:
    async with make_storage() as owner:
        url = await owner.create_container_url(HOUR)
    async with AzureStorage(sas_container_url=url) as storage:
        await storage.write_bytes("a", pattern(3 * MIB), **TOLD)
        await storage.copy("a", "b")
        assert await storage.read_bytes("b") == pattern(3 * MIB)


async def test_with_a_credential(secure_server: AzuriteServer, prepare: Prepare, way: str) -> None:
    async with AzureStorage(
        ACCOUNT,
        bucket=prepare(secure_server).container_name,
        endpoint=secure_server.endpoint(ACCOUNT),
        credential=AsyncCredential(),
        verify=str(secure_server.certificate),
    ) as storage:
        await storage.write_bytes("a", pattern(3 * MIB))
        await storage.copy("a", "b")
        assert await storage.read_bytes("b") == pattern(3 * MIB)


def refuse(status: str, head: bytes) -> bytes:
    return answer(status)


class TestAcrossAccounts:
    async def test_the_service_copies_by_url(
        self, make_storage: MakeStorage, other: AzureStorage, way: str
    ) -> None:
        async with make_storage() as storage:
            await other.write_bytes("dir/a b.txt", pattern(2 * MIB + 1), **TOLD)
            url = await other.link_to("dir/a b.txt", "download", HOUR)
            entry = await storage.copy_from_url(url, "copied")
            assert (entry.name, entry.size) == ("copied", 2 * MIB + 1)
            assert await storage.read_bytes("copied") == pattern(2 * MIB + 1)
            seen = await storage.stat("copied")
            assert (seen.metadata, seen.cache_control) == ({"k": "v"}, "no-cache")
            assert seen.etag == entry.etag
            with pytest.raises(FileExistsInStorageError):
                await storage.copy_from_url(url, "copied", overwrite=False)

    async def test_an_empty_blob_too(
        self, make_storage: MakeStorage, other: AzureStorage, way: str
    ) -> None:
        async with make_storage() as storage:
            await other.write_bytes("empty", b"")
            url = await other.link_to("empty", "download", HOUR)
            assert (await storage.copy_from_url(url, "copied")).size == 0
            assert await storage.read_bytes("copied") == b""

    async def test_what_cannot_be_copied_is_told_without_its_signature(
        self, make_storage: MakeStorage, other: AzureStorage
    ) -> None:
        async with make_storage() as storage:
            missing = await other.link_to("missing", "download", HOUR)
            await other.write_bytes("a", b"data")
            wrong = await other.link_to("a", "upload", HOUR)
            for url, expected in (
                (missing, FileNotFoundInStorageError),
                (wrong, PermissionDeniedError),
                ("no URL", InvalidArgumentError),
                ("ftp://host/x", InvalidArgumentError),
                ("http://127.0.0.1:9/x?sig=canary", ConnectionError),
            ):
                with pytest.raises(expected) as caught:
                    await storage.copy_from_url(url, "copied")
                assert "sig=" not in "".join(traceback.format_exception(caught.value))
            assert await storage.list() == []

    async def test_the_source_s_refusal_is_not_taken_for_our_own(
        self, server: AzuriteServer, make_storage: MakeStorage
    ) -> None:
        async with make_storage() as owner:
            mine = await owner.create_container_url(HOUR)
        async with AzureStorage(sas_container_url=mine) as storage:
            for status, expected in (
                ("401 Unauthorized", PermissionDeniedError),
                ("403 Forbidden", PermissionDeniedError),
                ("404 Not Found", FileNotFoundInStorageError),
                ("418 Teapot", StorageIOError),
            ):
                async with front(server.port, functools.partial(refuse, status)) as port:
                    with pytest.raises(expected, match=r"source|behind") as caught:
                        await storage.copy_from_url(f"http://127.0.0.1:{port}/x", "copied")
                assert "signature" not in str(caught.value)
            for host in ("a..b", "x" * 70 + ".example"):
                with pytest.raises((ConnectionError, InvalidArgumentError)):
                    await storage.copy_from_url(f"http://{host}/x", "copied")

    @pytest.mark.parametrize("etag", ['W/"weak"', None])
    async def test_a_large_source_without_a_strong_etag_is_refused(
        self, server: AzuriteServer, make_storage: MakeStorage, etag: str | None
    ) -> None:
        headers = {"last_modified": "Tue, 24 Nov 2026 12:00:00 GMT"}
        if etag is not None:
            headers["etag"] = etag
        told = answer("200 OK", b"", **headers).replace(b"length: 0", b"length: 99999999")
        async with front(server.port, lambda head: told) as port:
            async with make_storage() as storage:
                with pytest.raises(UnsupportedOperationError, match="strong etag"):
                    await storage.copy_from_url(f"http://127.0.0.1:{port}/x", "copied")

    async def test_a_url_that_is_too_long_is_told(
        self, server: AzuriteServer, make_storage: MakeStorage, other: AzureStorage
    ) -> None:
        await other.write_bytes("a", b"data")
        url = await other.link_to("a", "download", HOUR)

        def decide(head: bytes) -> bytes:
            if b"x-ms-copy-source" in head:
                return answer("400 Bad Request", x_ms_error_code="OutOfRangeInput")
            return head

        async with front(server.port, decide) as port:
            async with make_storage(endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}") as storage:
                with pytest.raises(InvalidArgumentError, match="2 KiB"):
                    await storage.copy_from_url(url, "copied")

    async def test_a_source_shows_no_signature(self, other: AzureStorage) -> None:
        await other.write_bytes("a", b"data")
        url = await other.link_to("a", "download", HOUR)
        source = await other.driver.find_source(url, "b")
        assert "sig=" not in repr(source)
