"""What users get wrong, and what they are told."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any
from xml.parsers import expat

import pytest
from botocore import exceptions as sdk
from hypothesis import given
from hypothesis import strategies as st

from aiostow import (
    CredentialsError,
    FileNotFoundInStorageError,
    IntegrityError,
    InvalidArgumentError,
    InvalidKeyError,
    ObjectChangedError,
    PermissionDeniedError,
    S3Storage,
    ServiceUnavailableError,
    StorageError,
    StorageNotFoundError,
    UnsupportedOperationError,
)
from aiostow.backends._s3_errors import to_storage_error
from aiostow.backends._s3_xml import as_error, parse_list, parse_time
from aiostow.backends.http import ServiceError
from aiostow.testing import FaultProxy, WireFault
from tests.servers import S3Server
from tests.servers.front import answer, front

from ._suite import MakeStorage

pytestmark = pytest.mark.anyio
Call = Callable[[S3Storage], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "read": lambda s: s.read_bytes("k"),
    "write": lambda s: s.write_bytes("k", b"1"),
    "large": lambda s: s.write_bytes("k", bytes(12 << 20)),
    "stat": lambda s: s.stat("k"),
    "list": lambda s: s.list(),
    "delete": lambda s: s.delete("k"),
    "delete_many": lambda s: s.delete_many(["k", "l"]),
    "copy": lambda s: s.copy("k", "l"),
    "sweep": lambda s: s.sweep(),
}
ceph_only = pytest.mark.parametrize("server", ["ceph"], indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest, start_server: Callable[[str], S3Server]) -> S3Server:
    return start_server(request.param)


class TestWrongArguments:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ({"part_size": 0}, "part_size"),
            ({"part_size": 5 * (1 << 20) - 1}, "5 MiB"),
            ({"part_size": 6 << 30}, "5 GiB"),
            ({"aws_access_key_id": "A"}, "aws_secret_access_key"),
            ({"aws_secret_access_key": "A"}, "aws_access_key_id"),
            ({"aws_session_token": "A"}, "aws_access_key_id"),
            (
                {"aws_access_key_id": "A", "aws_secret_access_key": "s", "anonymous": True},
                "anonymous",
            ),
            (
                {"aws_access_key_id": "A", "aws_secret_access_key": "s", "aws_profile": "p"},
                "aws_profile",
            ),
            ({"endpoint_url": "s3.example.org"}, "endpoint_url"),
            ({"endpoint_url": "https://user:pw@s3.example.org"}, "endpoint_url"),
            ({"endpoint_url": "https://s3.example.org:port"}, "endpoint_url"),
            ({"addressing_style": "dns"}, "addressing_style"),
            ({"checksum": "sha1"}, "checksum"),
            ({"data_plane": "fast"}, "data_plane"),
            ({"sse_customer_key": b"short"}, "32 bytes"),
            ({"kms_key_id": "k"}, "aws:kms"),
            ({"connect_timeout": 0}, "connect_timeout"),
            ({"storage_class": "A\r\nx-amz-acl: public-read"}, "storage-class"),
            ({"bucket": ""}, "bucket"),
        ],
    )
    def test_are_refused_at_once(self, arguments: dict[str, Any], told: str) -> None:
        with pytest.raises(InvalidArgumentError, match=told):
            S3Storage(**{"bucket": "bucket", **arguments})

    @ceph_only
    @pytest.mark.parametrize(
        "options",
        [
            {"metadata": {"name": "ü"}},
            {"metadata": {"na me\r\n": "x"}},
            {"metadata": {"name": " padded "}},
            {"content_type": "text/plain\r\nx-amz-acl: public-read"},
            {"cache_control": "ü"},
        ],
    )
    async def test_headers_that_s3_cannot_keep_are_refused(
        self, make_storage: MakeStorage, options: dict[str, Any]
    ) -> None:
        async with make_storage() as storage:
            for size in (1, 6 << 20):
                with pytest.raises(InvalidArgumentError, match="ASCII"):
                    await storage.write_bytes("k", bytes(size), **options)
            assert await storage.list() == []
            assert await storage.sweep_uploads() == 0

    @ceph_only
    async def test_a_version_cannot_smuggle_a_header(self, make_storage: MakeStorage) -> None:
        async with make_storage() as storage:
            await storage.write_bytes("k", b"1")
            with pytest.raises((InvalidArgumentError, ObjectChangedError)):
                await storage.read_bytes("k", if_match='x"\r\nx-evil: "')

    @ceph_only
    async def test_keys_too_long_for_s3_are_refused_before_anything_is_sent(
        self, make_storage: MakeStorage
    ) -> None:
        key = "é" * 513
        async with make_storage(endpoint_url="http://127.0.0.1:9") as storage:
            for call in (
                lambda: storage.read_bytes(key),
                lambda: storage.write_bytes(key, b""),
                lambda: storage.stat(key),
                lambda: storage.delete(key),
                lambda: storage.link_to(key, "download", 60),
            ):
                with pytest.raises(InvalidKeyError, match=r"1,?024"):
                    await call()


class TestWrongPlace:
    @pytest.mark.parametrize("server", ["ceph", "swift", "ministack"], indirect=True)
    @pytest.mark.parametrize("call", CALLS)
    async def test_a_missing_bucket(
        self, make_storage: MakeStorage, server: S3Server, call: str
    ) -> None:
        async with make_storage(bucket="no-such-bucket-here") as storage:
            with pytest.raises(StorageNotFoundError, match="bucket"):
                await CALLS[call](storage)

    @ceph_only
    async def test_a_missing_object_in_a_bucket_that_is_there(
        self, make_storage: MakeStorage
    ) -> None:
        async with make_storage() as storage:
            for call in ("stat", "read", "copy"):
                with pytest.raises(FileNotFoundInStorageError):
                    await CALLS[call](storage)
            assert not await storage.exists("k")


class TestWrongCredentials:
    @pytest.mark.parametrize("server", ["ceph", "swift"], indirect=True)
    @pytest.mark.parametrize("data_plane", ["auto", "sdk"])
    async def test_a_wrong_secret_and_an_unknown_key(
        self, make_storage: MakeStorage, data_plane: Any
    ) -> None:
        secret = "canary-of-a-secret-key"
        for keys in (
            {"aws_secret_access_key": secret},
            {"aws_access_key_id": "NOBODY", "aws_secret_access_key": secret},
        ):
            async with make_storage(**keys, data_plane=data_plane) as storage:
                for call in CALLS.values():
                    with pytest.raises(PermissionDeniedError) as caught:
                        await call(storage)
                    assert secret not in "".join(traceback.format_exception(caught.value))
                    assert secret not in repr(storage.driver.config)

    @ceph_only
    async def test_what_is_wrong_is_said(self, make_storage: MakeStorage) -> None:
        async with make_storage(aws_secret_access_key="wrong") as storage:
            with pytest.raises(CredentialsError, match="aws_secret_access_key"):
                await storage.read_bytes("k")
        async with make_storage(aws_access_key_id="NOBODY") as storage:
            with pytest.raises(CredentialsError, match="aws_access_key_id"):
                await storage.read_bytes("k")

    @ceph_only
    async def test_a_clock_that_is_off(
        self, make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() - 3600)
        async with make_storage() as storage:
            with pytest.raises(CredentialsError, match="clock"):
                await storage.read_bytes("k")

    @ceph_only
    async def test_somebody_elses_object(
        self, server: S3Server, bucket: str, make_storage: MakeStorage
    ) -> None:
        async with make_storage() as storage:
            await storage.write_bytes("k", b"mine")
        async with make_storage(
            anonymous=True, aws_access_key_id=None, aws_secret_access_key=None
        ) as storage:
            for call in ("read", "write", "delete", "list"):
                with pytest.raises(PermissionDeniedError):
                    await CALLS[call](storage)


class TestStrangeAnswers:
    @ceph_only
    @pytest.mark.parametrize(
        ("status", "code", "expected"),
        [
            ("400 Bad Request", "ExpiredToken", CredentialsError),
            ("400 Bad Request", "InvalidToken", CredentialsError),
            ("403 Forbidden", "RequestTimeTooSkewed", CredentialsError),
            ("403 Forbidden", "AccessDenied", PermissionDeniedError),
            ("400 Bad Request", "BadDigest", IntegrityError),
            ("501 Not Implemented", "NotImplemented", UnsupportedOperationError),
            ("503 Slow Down", "SlowDown", ServiceUnavailableError),
            ("500 Internal Server Error", "InternalError", ServiceUnavailableError),
            ("418 I'm a teapot", "Teapot", StorageError),
            ("403 Forbidden", "", PermissionDeniedError),
        ],
    )
    async def test_become_errors_by_cause(
        self,
        server: S3Server,
        make_storage: MakeStorage,
        status: str,
        code: str,
        expected: type[StorageError],
    ) -> None:
        body = f"<Error><Code>{code}</Code><Message>told</Message></Error>" if code else ""
        told = answer(status, body.encode())
        async with front(server.port, lambda head: told) as port:
            url = f"http://127.0.0.1:{port}"
            async with make_storage(endpoint_url=url, retry_deadline=0.5) as storage:
                for call in ("read", "list", "delete", "delete_many"):
                    with pytest.raises(expected):
                        await CALLS[call](storage)

    @ceph_only
    async def test_an_error_in_an_answer_of_success(
        self, server: S3Server, make_storage: MakeStorage
    ) -> None:
        """Complete may answer 200 and then fail: once it is tried again, for ever it is told."""
        failing = 1

        def decide(head: bytes) -> bytes:
            nonlocal failing
            if head.startswith(b"POST") and b"uploadId" in head and failing:
                failing -= 1
                return answer("200 OK", b"\n\n <Error><Code>InternalError</Code></Error>".strip())
            return head

        async with front(server.port, decide) as port:
            url = f"http://127.0.0.1:{port}"
            async with make_storage(endpoint_url=url, retry_deadline=2) as storage:
                await storage.write_bytes("k", bytes(12 << 20))
                assert (await storage.stat("k")).size == 12 << 20
                failing = 1000
                with pytest.raises(StorageError):
                    await storage.write_bytes("l", bytes(12 << 20))
                failing = 0
                assert not await storage.exists("l")
                assert [u async for u in storage.driver.sdk.uploads("")] == []

    @pytest.mark.parametrize("server", ["ministack"], indirect=True)
    async def test_a_flipped_bit_is_noticed_where_there_is_a_checksum(
        self, make_storage: MakeStorage, proxy: FaultProxy
    ) -> None:
        async with make_storage(endpoint_url=f"http://127.0.0.1:{proxy.port}") as storage:
            data = bytes(100_000)
            await storage.write_bytes("k", data)
            proxy.add(WireFault(b"GET /", flip_at=50_000))
            with pytest.raises(IntegrityError):
                await storage.read_bytes("k")
            assert await storage.read_bytes("k") == data


def test_every_error_of_the_sdk_is_known() -> None:
    classes = {
        value
        for value in vars(sdk).values()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    strangers = []
    for cls in classes - {sdk.ClientError}:
        if issubclass(cls, (Warning,)):
            continue
        error = cls.__new__(cls)
        Exception.__init__(error, "text")
        if to_storage_error(error) is None and issubclass(cls, sdk.BotoCoreError):
            strangers.append(cls)
    assert strangers == []
    assert isinstance(to_storage_error(ServiceError(404, "NoSuchKey", "", {})), StorageError)
    assert to_storage_error(ZeroDivisionError()) is None


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reading_of_an_error(data: bytes) -> None:
    as_error(data)


@given(st.text("<>/&;ListBucketResultContentsKey \n", max_size=200))
def test_a_listing_is_read_or_refused(text: str) -> None:
    try:
        parse_list(text.encode())
    except (expat.ExpatError, KeyError, ValueError):
        pass


def test_times_of_all_services() -> None:
    for text, micros in (
        ("2026-01-31T12:00:01.000Z", 0),
        ("2026-01-31T12:00:01Z", 0),
        ("2026-01-31T12:00:01.123456Z", 123456),
        ("2026-01-31T12:00:01.5Z", 500000),
    ):
        assert parse_time(text).isoformat().startswith("2026-01-31T12:00:01")
        assert parse_time(text).microsecond == micros


async def test_a_closed_storage_of_a_dead_service_closes() -> None:
    storage = S3Storage("bucket", "r", "A", "s", endpoint_url="http://127.0.0.1:9")
    await asyncio.gather(storage.exists("k"), return_exceptions=True)
    await storage.aclose()
