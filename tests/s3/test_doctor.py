"""Faults planted on real servers, each of which the doctor names alone, and healthy ones."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aiostow import S3Storage
from aiostow.doctor import Diagnosis, diagnose
from aiostow.testing import FaultProxy
from aiostow.testing.proxy import WireFault
from tests.doctor._findings import all_green, check, only_failure, with_status
from tests.servers import S3Server

from ._suite import MakeStorage

pytestmark = pytest.mark.anyio

ORIGIN = "https://app.example"
RULES = {
    "CORSRules": [
        {
            "AllowedOrigins": [ORIGIN],
            "AllowedMethods": ["PUT", "GET"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag"],
        }
    ]
}
CANARY = "CANARY-that-nobody-may-see"


@pytest.fixture(params=["ceph", "ministack"])
def server(request: pytest.FixtureRequest, start_server: Callable[[str], S3Server]) -> S3Server:
    return start_server(request.param)


def on(name: str) -> pytest.MarkDecorator:
    """Run a test on one of the servers."""
    return pytest.mark.parametrize("server", [name], indirect=True)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine that nobody listens on, nor can."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


async def examined(storage: S3Storage, **asked: Any) -> Diagnosis:
    async with storage:
        return await diagnose(storage, **asked)


class Look:
    """What is in a bucket, visible or not, by the SDK."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.client = client
        self.bucket = bucket

    def __call__(self) -> tuple[list[Any], list[Any]]:
        objects = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        uploads = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [(each["Key"], each["ETag"]) for each in objects], uploads


@pytest.fixture
def look(server: S3Server, bucket: str, boto: Callable[[S3Server], Any]) -> Look:
    return Look(boto(server), bucket)


async def test_a_healthy_bucket_is_green_and_as_it_was(
    make_storage: MakeStorage, look: Look
) -> None:
    look.client.put_bucket_cors(Bucket=look.bucket, CORSConfiguration=RULES)
    look.client.put_object(Bucket=look.bucket, Key="mine", Body=b"mine")
    before = look()
    diagnosis = await examined(make_storage(checksum="md5"), origin=ORIGIN)
    all_green(diagnosis)
    assert look() == before
    assert len(before[0]) == 1


async def test_without_write_nothing_is_written(make_storage: MakeStorage, look: Look) -> None:
    diagnosis = await examined(make_storage(), write=False)
    assert diagnosis.healthy
    assert "write" in with_status(diagnosis, "skipped")
    assert look() == ([], [])


@on("ceph")
async def test_where_no_links_can_be_signed_they_are_left_out(
    make_storage: MakeStorage, look: Look
) -> None:
    diagnosis = await examined(make_storage(checksum="md5", sse_customer_key=b"k" * 32))
    only_failure(diagnosis, "copy")  # which this service does not implement with such keys
    assert with_status(diagnosis, "skipped") == ["cors", "links", "move"]
    assert look() == ([], [])


# -- getting there --------------------------------------------------------------------------------


async def test_nothing_listens(make_storage: MakeStorage, closed_port: int) -> None:
    found = only_failure(
        await examined(make_storage(endpoint_url=f"http://127.0.0.1:{closed_port}")), "reachable"
    )
    assert "refused" in found.found
    assert "start the service" in found.advice


async def test_a_host_that_has_no_address(make_storage: MakeStorage) -> None:
    found = only_failure(
        await examined(make_storage(endpoint_url="http://no-such-host.invalid:9000")), "reachable"
    )
    assert "no-such-host.invalid" in found.found
    assert "DNS" in found.advice


async def test_a_service_that_does_not_speak_tls(
    make_storage: MakeStorage, server: S3Server
) -> None:
    found = only_failure(
        await examined(make_storage(endpoint_url=f"https://127.0.0.1:{server.port}")), "reachable"
    )
    assert "TLS" in found.found
    assert "scheme" in found.advice


@on("ceph")
async def test_a_host_in_a_black_hole(
    make_storage: MakeStorage, proxy: FaultProxy, look: Look
) -> None:
    proxy.add(WireFault(black_hole=True, times=None))
    storage = make_storage(endpoint_url=f"http://127.0.0.1:{proxy.port}", read_timeout=0.5)
    found = only_failure(await examined(storage), "reachable")
    assert "no answer" in found.found
    assert "firewall" in found.advice


@on("ceph")
async def test_a_clock_that_is_an_hour_off(
    make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch, look: Look
) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)
    diagnosis = await examined(make_storage())
    found = only_failure(diagnosis, "clock")
    assert re.search("3(599|600|601) s ahead", found.found)
    assert "NTP" in found.advice
    assert check(diagnosis, "credentials").status == "skipped"


@on("ceph")
@pytest.mark.parametrize(("off", "status"), [(-120, "warning"), (-30, "ok"), (120, "warning")])
async def test_a_clock_that_is_a_little_off(
    make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch, off: int, status: str
) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + off)
    diagnosis = await examined(make_storage())
    assert check(diagnosis, "clock").status == status
    assert diagnosis.healthy


# -- getting in -----------------------------------------------------------------------------------


@on("ceph")
async def test_a_wrong_secret(make_storage: MakeStorage) -> None:
    diagnosis = await examined(make_storage(aws_secret_access_key=CANARY))
    found = only_failure(diagnosis, "credentials")
    assert "aws_secret_access_key" in found.advice
    assert CANARY not in str(diagnosis)


@on("ceph")
async def test_a_key_that_the_service_does_not_know(make_storage: MakeStorage) -> None:
    found = only_failure(
        await examined(make_storage(aws_access_key_id="AKIANOBODY", aws_secret_access_key=CANARY)),
        "credentials",
    )
    assert "aws_access_key_id" in found.found


async def test_a_profile_that_is_not_there(server: S3Server, bucket: str) -> None:
    storage = S3Storage(bucket, aws_profile="nobody", endpoint_url=server.endpoint_url)
    only_failure(await examined(storage), "configuration")


async def test_no_such_bucket(make_storage: MakeStorage) -> None:
    found = only_failure(await examined(make_storage(bucket="no-such-bucket")), "place")
    assert "create the bucket 'no-such-bucket'" in found.advice


# -- what may be done -----------------------------------------------------------------------------


@pytest.fixture
def deny(look: Look) -> Callable[..., None]:
    """Let a policy of the bucket forbid actions on its objects, or on itself."""

    def deny(*actions: str, itself: bool = False) -> None:
        below = "" if itself else "/*"
        statement = {
            "Effect": "Deny", "Principal": "*", "Action": list(actions),
            "Resource": [f"arn:aws:s3:::{look.bucket}{below}"],
        }  # fmt: skip
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        look.client.put_bucket_policy(Bucket=look.bucket, Policy=json.dumps(policy))

    return deny


@on("ceph")
@pytest.mark.parametrize(
    ("action", "name", "itself"),
    [
        ("s3:PutObject", "write", False),
        ("s3:GetObject", "read", False),
        ("s3:DeleteObject", "delete", False),
        ("s3:ListBucket", "list", True),
        ("s3:AbortMultipartUpload", "abort", False),
    ],
)
async def test_what_a_policy_forbids(
    make_storage: MakeStorage, look: Look, deny: Callable[..., None], action: str, name: str,
    itself: bool,
) -> None:  # fmt: skip
    deny(action, itself=itself)
    found = only_failure(await examined(make_storage()), name)
    look.client.delete_bucket_policy(Bucket=look.bucket)
    assert action in found.advice
    objects, uploads = look()
    assert len(objects) == (name == "delete")
    assert len(uploads) == (name == "abort")
    assert ("sweep" in found.advice) == (name == "abort")
    assert all(key in found.found for key, _ in objects)


# -- what is relied on ----------------------------------------------------------------------------


@on("ceph")
async def test_a_checksum_that_the_service_does_not_know(make_storage: MakeStorage) -> None:
    found = only_failure(await examined(make_storage(checksum="crc32")), "checksum")
    assert found.advice == "pass checksum='md5'"


@on("ministack")
async def test_a_checksum_that_is_kept_and_not_checked(make_storage: MakeStorage) -> None:
    diagnosis = await examined(make_storage(checksum="crc32"))
    assert check(diagnosis, "checksum").status == "warning"
    assert diagnosis.healthy


@on("ceph")
async def test_a_condition_that_is_ignored_at_the_end_of_an_upload(
    make_storage: MakeStorage, look: Look
) -> None:
    diagnosis = await examined(make_storage(conditional_complete=True))
    found = only_failure(diagnosis, "conditional complete")
    assert "overwrites" in found.found
    assert "conditional_complete=False" in found.advice
    assert look() == ([], [])


@on("ceph")
async def test_a_condition_that_is_not_implemented_on_a_write(make_storage: MakeStorage) -> None:
    found = only_failure(
        await examined(make_storage(conditional_writes=True)), "conditional writes"
    )
    assert "conditional_writes=False" in found.advice


@on("ministack")
async def test_conditions_that_could_be_relied_on_are_suggested(make_storage: MakeStorage) -> None:
    diagnosis = await examined(make_storage(conditional_writes=False, conditional_complete=False))
    assert diagnosis.healthy
    assert "conditional_writes=True" in check(diagnosis, "conditional writes").advice
    assert "conditional_complete=True" in check(diagnosis, "conditional complete").advice


# -- browsers -------------------------------------------------------------------------------------


@on("ceph")
async def test_no_rule_lets_a_browser_in(make_storage: MakeStorage, look: Look) -> None:
    found = only_failure(await examined(make_storage(), origin=ORIGIN), "cors")
    assert ORIGIN in found.advice
    assert "PUT" in found.advice
    diagnosis = await examined(make_storage())
    assert with_status(diagnosis, "warning", "failed") == ["cors"]
    assert check(diagnosis, "cors").status == "warning"


@on("ceph")
async def test_a_rule_for_another_origin_or_method(make_storage: MakeStorage, look: Look) -> None:
    for change in ({"AllowedOrigins": ["https://other.example"]}, {"AllowedMethods": ["GET"]}):
        rules = {"CORSRules": [{**RULES["CORSRules"][0], **change}]}
        look.client.put_bucket_cors(Bucket=look.bucket, CORSConfiguration=rules)
        only_failure(await examined(make_storage(), origin=ORIGIN), "cors")


@on("ceph")
async def test_an_etag_that_a_browser_does_not_see(make_storage: MakeStorage, look: Look) -> None:
    rule = {name: value for name, value in RULES["CORSRules"][0].items() if name[0] != "E"}
    look.client.put_bucket_cors(Bucket=look.bucket, CORSConfiguration={"CORSRules": [rule]})
    diagnosis = await examined(make_storage(), origin=ORIGIN)
    assert with_status(diagnosis, "warning", "failed") == ["cors"]
    assert "ETag" in check(diagnosis, "cors").advice


@on("ministack")
async def test_a_link_that_does_not_download(make_storage: MakeStorage) -> None:
    # Nothing but links is verified there, so this secret fails nowhere else.
    only_failure(await examined(make_storage(aws_secret_access_key=CANARY)), "links")


# -- and what is left -----------------------------------------------------------------------------


@on("ceph")
async def test_a_cancellation_leaves_nothing(
    make_storage: MakeStorage, look: Look, long: bool
) -> None:

    delay = 0.0
    while True:
        async with make_storage(conditional_complete=True) as storage:
            task = asyncio.ensure_future(diagnose(storage))
            done, _ = await asyncio.wait([task], timeout=delay)
            if done:
                break
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert look() == ([], [])
        delay += 0.003 if long else 0.02
    assert task.result().healthy is False  # it came as far as what is ignored
    assert look() == ([], [])
