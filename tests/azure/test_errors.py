"""What users get wrong, and what they are told; never a signature."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from azure.core import exceptions as sdk
from azure.storage.blob import generate_blob_sas, generate_container_sas

from aiostow import (
    AmbiguousWriteError,
    AzureStorage,
    ConnectionLostError,
    CredentialsError,
    DeleteManyError,
    FileNotFoundInStorageError,
    IntegrityError,
    InvalidArgumentError,
    InvalidKeyError,
    ObjectChangedError,
    PermissionDeniedError,
    ServiceUnavailableError,
    StorageError,
    StorageNotFoundError,
    UnsupportedOperationError,
)
from aiostow.backends._azure_config import Place
from aiostow.backends._azure_errors import to_storage_error
from aiostow.backends.http import ServiceError
from aiostow.testing import FaultProxy, WireFault
from tests.servers import AzuriteServer
from tests.servers.front import answer, front

from ._suite import ACCOUNT, MakeStorage

pytestmark = pytest.mark.anyio
Call = Callable[[AzureStorage], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "read": lambda s: s.read_bytes("k"),
    "write": lambda s: s.write_bytes("k", b"1"),
    "large": lambda s: s.write_bytes("k", bytes(12 << 20)),
    "stat": lambda s: s.stat("k"),
    "list": lambda s: s.list(),
    "delete": lambda s: s.delete("k"),
    "delete_many": lambda s: s.delete_many(["k", "l"]),
    "copy": lambda s: s.copy("k", "l"),
}
KEY = "a2V5" * 8
LETTERS = {
    "read": "r", "write": "w", "large": "w", "stat": "r", "list": "l", "delete": "d",
    "delete_many": "d", "copy": "r",
}  # fmt: skip


def told_by(call: str, why: str) -> str:
    """Return what an error says: to a HEAD, Azurite does not tell who from what."""
    return "refused" if call in ("stat", "copy") else why


class TestIncompleteCredentials:
    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"account": "one"},
            {"account": "one", "key": KEY},
            {"account": "one", "bucket": "cont"},
            {"key": KEY, "bucket": "cont"},
            {"connection_string": "UseDevelopmentStorage=true"},
            {"bucket": "cont", "anonymous": True},
            {"account": "one", "credential": object()},
            {"account": "one", "key": KEY, "bucket": "cont", "credential": object()},
            {"account": "one", "bucket": "cont", "credential": object(), "anonymous": True},
            {"account": "", "key": "", "bucket": "cont"},
        ],
    )
    def test_list_what_is_accepted(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="credential") as caught:
            AzureStorage(**arguments)
        assert isinstance(caught.value, InvalidArgumentError)
        for accepted in (
            "account, key and bucket", "credential (of azure-identity)", "connection_string",
            "sas_container_url", "sas_blob_url", "anonymous=True",
        ):  # fmt: skip
            assert accepted in str(caught.value)
        assert KEY not in str(caught.value)

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ({"key": "no base64!"}, "base64"),
            ({"bucket": "Upper"}, "lower-case"),
            ({"bucket": "a/b"}, "bucket"),
            ({"endpoint": "example.org"}, "endpoint"),
            ({"endpoint": "https://user:pw@example.org"}, "endpoint"),
            ({"endpoint": "https://example.org/?sig=canary"}, "sas_container_url"),
            ({"chunk_size": 0}, "chunk_size"),
            ({"chunk_size": 5000 << 20}, "chunk_size"),
            ({"checksum": "crc32"}, "checksum"),
            ({"connect_timeout": 0}, "connect_timeout"),
            ({"access_tier": "Cool\r\nx-evil: 1"}, "ASCII"),
        ],
    )
    def test_wrong_arguments_are_refused_at_once(
        self, arguments: dict[str, Any], told: str
    ) -> None:
        with pytest.raises(InvalidArgumentError, match=told) as caught:
            AzureStorage(**{"account": "one", "key": KEY, "bucket": "cont", **arguments})
        assert "canary" not in str(caught.value)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"sas_container_url": "https://one.blob.core.windows.net/cont"},
            {"sas_container_url": "https://one.blob.core.windows.net/?sig=canary"},
            {"sas_container_url": "https://one.blob.core.windows.net/cont/blob?sig=canary"},
            {"sas_container_url": "not a URL?sig=canary"},
            {"sas_blob_url": "https://one.blob.core.windows.net/cont?sig=canary"},
            {"sas_blob_url": "https://one.blob.core.windows.net/cont/?sig=canary"},
            {"sas_blob_url": "http://127.0.0.1:1/one/cont?sig=canary"},
            {"connection_string": "AccountName=one", "bucket": "cont"},
            {"connection_string": "BlobEndpoint=https://x;AccountKey=canary", "bucket": "cont"},
            {"account": "one", "bucket": "cont", "credential": 1, "endpoint": "http://one"},
        ],
    )
    def test_urls_and_strings_that_cannot_be_are_refused_without_their_secrets(
        self, arguments: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            AzureStorage(**arguments)
        assert "canary" not in "".join(traceback.format_exception(caught.value))


class TestWrongPlace:
    @pytest.mark.parametrize("call", CALLS)
    async def test_a_missing_container(self, make_storage: MakeStorage, call: str) -> None:
        async with make_storage(bucket="no-such-container") as storage:
            with pytest.raises(StorageNotFoundError, match="container"):
                await CALLS[call](storage)

    async def test_a_missing_object(self, make_storage: MakeStorage) -> None:
        async with make_storage() as storage:
            for call in ("stat", "read", "copy"):
                with pytest.raises(FileNotFoundInStorageError):
                    await CALLS[call](storage)
            with pytest.raises(FileNotFoundInStorageError):
                await storage.set_access_tier("k", "Cool")
            assert not await storage.exists("k")

    async def test_keys_that_azure_takes_for_others_are_refused_before_anything_is_sent(
        self, make_storage: MakeStorage
    ) -> None:
        async with make_storage(endpoint="http://127.0.0.1:9/one", any_key=True) as storage:
            for key, told in (
                ("k" * 1025, "1024"),
                ("a\\b", "another object"),
                ("a.", "another object"),
                ("../other/k", "another object"),
                ("a/./b", "another object"),
                ("a/..", "another object"),
                ("Jr./k", "another object"),
            ):
                for call in (
                    storage.read_bytes(key),
                    storage.write_bytes(key, b""),
                    storage.write_bytes(key, bytes(6 << 20)),
                    storage.stat(key),
                    storage.delete(key),
                    storage.copy("k", key),
                    storage.copy(key, "k"),
                    storage.copy_from_url("https://x.example/y", key),
                    storage.set_access_tier(key, "Hot"),
                ):
                    with pytest.raises(InvalidKeyError, match=told):
                        await call


class TestWrongCredentials:
    async def test_a_wrong_key_and_an_unknown_account(
        self, make_storage: MakeStorage, server: AzuriteServer
    ) -> None:
        secret = "Y2FuYXJ5" * 8
        async with make_storage(key=secret) as storage:
            for name, call in CALLS.items():
                with pytest.raises(PermissionDeniedError, match=told_by(name, "key")) as caught:
                    await call(storage)
                told = "".join(traceback.format_exception(caught.value))
                assert secret not in told, name
                assert "SharedKey" not in told, name
                assert "MAC signature" not in told, name
            assert secret not in repr(storage.driver.config)
        nobody = server.endpoint(ACCOUNT).replace("/one", "/nobody")
        async with make_storage(account="nobody", endpoint=nobody) as storage:
            with pytest.raises(StorageError):
                await storage.read_bytes("k")

    async def test_a_clock_that_is_off_is_thought_of(self, make_storage: MakeStorage) -> None:
        async with make_storage(key=KEY) as storage:
            with pytest.raises(CredentialsError, match="clock"):
                await storage.read_bytes("k")

    async def test_anonymous_access_to_a_private_container(self, make_storage: MakeStorage) -> None:
        async with make_storage(key=None, anonymous=True) as storage:
            for call in CALLS.values():
                with pytest.raises((PermissionDeniedError, FileNotFoundInStorageError)):
                    await call(storage)

    async def test_anonymous_access_to_a_public_container(
        self, make_storage: MakeStorage, container: Any
    ) -> None:
        container.set_container_access_policy({}, public_access="container")
        async with make_storage() as owner, make_storage(key=None, anonymous=True) as guest:
            await owner.write_bytes("k", b"data")
            assert await guest.read_bytes("k") == b"data"
            assert [entry.name for entry in await guest.list()] == ["k"]
            with pytest.raises(PermissionDeniedError):
                await guest.write_bytes("k", b"evil")
            assert await owner.read_bytes("k") == b"data"


class TestSignatures:
    @pytest.fixture
    def sign(self, server: AzuriteServer, container: Any) -> Callable[..., str]:
        """Return the URL of the container with a signature by the SDK."""

        def url(permission: str, seconds: float = 600, name: str | None = None) -> str:
            sas = generate_container_sas(
                ACCOUNT, name or container.container_name, server.accounts[ACCOUNT],
                permission=permission, protocol="https,http",
                expiry=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds)),
            )  # fmt: skip
            return f"{container.url}?{sas}"

        return url

    @pytest.mark.parametrize("missing", "rwld")
    async def test_without_a_permission(
        self, sign: Callable[..., str], missing: str, make_storage: MakeStorage
    ) -> None:
        async with make_storage() as owner:
            await owner.write_bytes("k", b"data")
        granted = "rcwdl".replace(missing, "").replace("c" if missing == "w" else "-", "")
        url = sign(granted)
        async with AzureStorage(sas_container_url=url) as storage:
            for name, call in CALLS.items():
                if LETTERS[name] != missing:
                    continue
                with pytest.raises((PermissionDeniedError, DeleteManyError)) as caught:
                    await call(storage)
                if isinstance(caught.value, DeleteManyError):
                    failures = caught.value.failures.values()
                    assert [type(each) for each in failures] == [PermissionDeniedError] * 2
                told = "".join(traceback.format_exception(caught.value))
                assert f"grants {granted!r}" in str(caught.value), name
                assert url.partition("sig=")[2] not in told, name
                assert "sig=" not in told, name

    async def test_an_expired_one_says_so(self, sign: Callable[..., str]) -> None:
        url = sign("rcwdl", -60)
        async with AzureStorage(sas_container_url=url) as storage:
            for call in CALLS.values():
                with pytest.raises(StorageError, match=r"ended at 20.*new one") as caught:
                    await call(storage)
                assert "sig=" not in "".join(traceback.format_exception(caught.value))

    async def test_one_for_another_container_and_a_changed_one(
        self, sign: Callable[..., str]
    ) -> None:
        url = sign("rcwdl")
        cut = url[:-8] + "AAAA%3D" if url.endswith("%3D") else url[:-4] + "AAA="
        for wrong in (sign("rcwdl", name="another-one"), cut):
            async with AzureStorage(sas_container_url=wrong) as storage:
                for name, call in CALLS.items():
                    expected = told_by(name, "another container")
                    with pytest.raises(StorageError, match=expected) as caught:
                        await call(storage)
                    assert "sig=" not in "".join(traceback.format_exception(caught.value))
                assert "sig" not in repr(storage)
                assert "sig" not in repr(storage.driver.config)


class TestBlobUrl:
    @pytest.fixture
    def url(self, server: AzuriteServer, container: Any) -> str:
        sas = generate_blob_sas(
            ACCOUNT, container.container_name, "a/b c.txt", account_key=server.accounts[ACCOUNT],
            permission="rcwd", protocol="https,http",
            expiry=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 600)),
        )  # fmt: skip
        return f"{container.url}/a/b%20c.txt?{sas}"

    async def test_its_path_is_the_only_key(self, url: str) -> None:
        async with AzureStorage(sas_blob_url=url) as storage:
            for data in (b"data", bytes(12 << 20)):
                await storage.write_bytes("a/b c.txt", data)
                assert await storage.read_bytes("a/b c.txt") == data
            assert (await storage.stat("a/b c.txt")).size == 12 << 20
            for call in (
                storage.read_bytes("a/b"),
                storage.write_bytes("b", b""),
                storage.stat("other"),
                storage.delete("other"),
                storage.delete_many(["a/b c.txt", "other"]),
                storage.copy("a/b c.txt", "other"),
            ):
                with pytest.raises(InvalidKeyError, match=r"the one blob 'a/b c\.txt'") as caught:
                    await call
                assert "sig=" not in "".join(traceback.format_exception(caught.value))
            with pytest.raises(UnsupportedOperationError, match="listing"):
                await storage.list()
            assert storage.driver.identity.endswith("/a/b c.txt")
            await storage.delete("a/b c.txt")
            assert not await storage.exists("a/b c.txt")


class TestStrangeAnswers:
    @pytest.mark.parametrize(
        ("status", "code", "expected"),
        [
            ("401 Unauthorized", "InvalidAuthenticationInfo", CredentialsError),
            ("403 Forbidden", "AuthorizationFailure", PermissionDeniedError),
            ("403 Forbidden", "KeyBasedAuthenticationNotPermitted", CredentialsError),
            ("403 Forbidden", "", PermissionDeniedError),
            ("400 Bad Request", "Md5Mismatch", IntegrityError),
            ("409 Conflict", "ContainerBeingDeleted", StorageNotFoundError),
            ("409 Conflict", "BlobArchived", UnsupportedOperationError),
            ("503 Server Busy", "ServerBusy", ServiceUnavailableError),
            ("500 Failed", "InternalError", ServiceUnavailableError),
            ("500 Failed", "OperationTimedOut", ServiceUnavailableError),
            ("418 I'm a teapot", "Teapot", StorageError),
        ],
    )
    async def test_become_errors_by_cause(
        self,
        server: AzuriteServer,
        make_storage: MakeStorage,
        status: str,
        code: str,
        expected: type[StorageError],
    ) -> None:
        secret = "sig=canary&AuthenticationErrorDetail: The MAC signature 'canary' is not"
        body = f"<Error><Code>{code}</Code><Message>told {secret}\ncanary</Message></Error>"
        told = answer(status, body.encode(), x_ms_error_code=code)
        bare = answer(status, x_ms_error_code=code)
        async with front(server.port, lambda h: bare if h.startswith(b"HEAD") else told) as port:
            url = f"http://127.0.0.1:{port}/{ACCOUNT}"
            async with make_storage(endpoint=url, retry_deadline=0.5) as storage:
                for call in ("read", "list", "delete", "delete_many", "stat"):
                    with pytest.raises(expected) as caught:
                        await CALLS[call](storage)
                    assert "sig=canary" not in "".join(traceback.format_exception(caught.value))

    async def test_what_is_no_answer_of_http_is_a_lost_connection(
        self, server: AzuriteServer, make_storage: MakeStorage
    ) -> None:
        async with front(server.port, lambda head: b"HTTP/ canary of nonsense\r\n\r\n") as port:
            url = f"http://127.0.0.1:{port}/{ACCOUNT}"
            async with make_storage(endpoint=url, retry_deadline=0.5) as storage:
                for call in ("read", "list", "stat", "large"):
                    with pytest.raises(ConnectionLostError, match="no answer of HTTP") as caught:
                        await CALLS[call](storage)
                    assert "canary" not in "".join(traceback.format_exception(caught.value))
                with pytest.raises(AmbiguousWriteError):
                    await storage.write_bytes("k", b"1")

    async def test_a_flipped_bit_is_noticed_where_there_is_a_checksum(
        self, make_storage: MakeStorage, proxy: FaultProxy
    ) -> None:
        url = f"http://127.0.0.1:{proxy.port}/{ACCOUNT}"
        async with make_storage(endpoint=url) as storage:
            data = bytes(100_000)
            await storage.write_bytes("k", data)
            proxy.add(WireFault(b"GET /", flip_at=50_000))
            with pytest.raises(IntegrityError):
                await storage.read_bytes("k")
            assert await storage.read_bytes("k") == data

    async def test_bytes_that_change_on_their_way_up_are_refused(
        self, server: AzuriteServer, make_storage: MakeStorage
    ) -> None:
        other = "1B2M2Y8AsgTpgAmY7PhCfg=="  # of no bytes

        def swap(head: bytes) -> bytes:
            begin = head.find(b"content-md5: ")
            if begin < 0:
                return head
            begin += len(b"content-md5: ")
            return head[:begin] + other.encode() + head[begin + 24 :]

        async with front(server.port, swap) as port:
            async with make_storage() as owner:
                whole = await owner.create_container_url(timedelta(hours=1))
            whole_here = whole.replace(str(server.port), str(port))
            async with AzureStorage(sas_container_url=whole_here) as storage:
                for size in (100_000, 6 << 20):
                    with pytest.raises(IntegrityError):
                        await storage.write_bytes("k", bytes(size))
                    assert not await storage.exists("k")


def test_every_error_of_the_sdk_is_known() -> None:
    place = Place(account="one", endpoint="https://one", container="cont")
    classes = {
        value
        for value in vars(sdk).values()
        if isinstance(value, type) and issubclass(value, sdk.AzureError)
    }
    assert len(classes) > 10
    for cls in classes:
        error = type(
            "Plain", (cls,), {"__init__": Exception.__init__, "__str__": Exception.__str__}
        )("text https://host/?sig=canary")
        error.status_code = None
        known = to_storage_error(error, place)
        assert isinstance(known, StorageError), cls
        assert "canary" not in str(known)
    assert to_storage_error(ZeroDivisionError(), place) is None
    missing = to_storage_error(ServiceError(404, "BlobNotFound", "", {}), place)
    assert isinstance(missing, FileNotFoundInStorageError)


async def test_a_version_cannot_smuggle_a_header(make_storage: MakeStorage) -> None:
    async with make_storage() as storage:
        await storage.write_bytes("k", b"1")
        with pytest.raises((InvalidArgumentError, ObjectChangedError)):
            await storage.read_bytes("k", if_match='x"\r\nx-evil: "')


async def test_a_closed_storage_of_a_dead_service_closes() -> None:
    storage = AzureStorage("one", KEY, "cont", endpoint="http://127.0.0.1:9/one")
    await asyncio.gather(storage.exists("k"), return_exceptions=True)
    await storage.aclose()


async def test_a_lease_of_somebody_else_is_told(make_storage: MakeStorage, container: Any) -> None:
    async with make_storage() as storage:
        await storage.write_bytes("k", b"1")
        lease = container.get_blob_client("k").acquire_lease()
        for data in (b"2", bytes(12 << 20)):
            with pytest.raises(StorageError, match="lease"):
                await storage.write_bytes("k", data)
        with pytest.raises(StorageError, match="lease"):
            await storage.delete("k")
        lease.release()
        await storage.write_bytes("k", b"2")


async def test_blobs_of_other_kinds_are_read_and_named(
    make_storage: MakeStorage, container: Any
) -> None:
    blob = container.get_blob_client("log")
    blob.create_append_blob()
    blob.append_block(b"line")
    async with make_storage() as storage:
        assert await storage.read_bytes("log") == b"line"
        with pytest.raises(UnsupportedOperationError, match="append or page"):
            await storage.write_bytes("log", bytes(12 << 20))
        assert await storage.read_bytes("log") == b"line"
        await storage.copy("log", "copy")
        assert await storage.read_bytes("copy") == b"line"
