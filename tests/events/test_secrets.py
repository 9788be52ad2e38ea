"""No event holds a secret: canaries are planted wherever one may be."""

from __future__ import annotations

import dataclasses
import traceback
from typing import Any

import pytest

from aiostow import AzureStorage, MemoryStorage, S3Storage, SFTPStorage, Storage, StorageError
from aiostow.backends.http import ServiceError
from aiostow.events import Event, OperationFailed

from ._recorder import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick_garbage")]

CANARY = "c4n4ryc4n4ryc4n4ryc4n4ryc4n4ry42"  # 32 bytes, and base64 of 24
NOWHERE = "127.0.0.1:9"  # the port where nobody listens


def texts(event: Event) -> list[str]:
    """Return all that an event shows: its fields, and what its error carries along."""
    found = [repr(event), str(event), repr(dataclasses.asdict(event))]
    if isinstance(event, OperationFailed) and event.error is not None:
        found += traceback.format_exception(event.error)
        found.append(repr(vars(event.error)))
    return found


def check(recorder: Recorder, *secrets: str) -> None:
    recorder.check()
    assert recorder.events
    shown = "\n".join(text for event in recorder.events for text in texts(event))
    for secret in (CANARY, CANARY[:12], CANARY[-12:], *secrets):
        assert secret not in shown


STORAGES: dict[str, tuple[type[Storage], dict[str, Any]]] = {
    "memory": (
        MemoryStorage,
        {"secret_key": CANARY, "linked_endpoint": "https://files.example/x"},
    ),
    "s3": (
        S3Storage,
        {
            "bucket": "b", "aws_region": "eu-west-1", "aws_access_key_id": CANARY[:16],
            "aws_secret_access_key": CANARY, "aws_session_token": CANARY,
            "endpoint_url": f"http://{NOWHERE}", "retry_deadline": 1,
            "sse_customer_key": CANARY.encode(),
        },
    ),
    "azure": (
        AzureStorage,
        {
            "account": "name", "bucket": "box", "key": CANARY,
            "endpoint": f"http://{NOWHERE}/name", "retry_deadline": 1,
        },
    ),
    "azure-signature": (
        AzureStorage,
        {
            "sas_container_url": f"http://{NOWHERE}/name/box?sv=2020-01-01&sr=c&sig={CANARY}",
            "retry_deadline": 1,
        },
    ),
    "sftp": (
        SFTPStorage,
        {
            "host": "127.0.0.1", "port": 9, "username": "me", "password": CANARY,
            "passphrase": CANARY, "known_hosts_fpath": "/dev/null",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STORAGES)
async def test_no_event_holds_a_credential(name: str) -> None:
    cls, arguments = STORAGES[name]
    recorder = Recorder()
    failures = 0
    async with cls(**arguments, on_event=recorder) as storage:
        for operation in (
            storage.stat("k"), storage.read_bytes("k"), storage.write_bytes("k", b"x"),
            storage.delete("k"), storage.move("k", "l"), storage.copy("k", "l"),
        ):  # fmt: skip
            try:
                await operation
            except StorageError:
                failures += 1
        with pytest.raises(StorageError):
            await storage.link_to("k", "download", -1)
        with pytest.raises(StorageError):
            storage.deserialize_link_token(f"{CANARY}.{CANARY}.{CANARY}")
    assert failures >= 3
    check(recorder)


@pytest.mark.parametrize("name", ["memory", "s3", "azure"])
async def test_a_link_is_told_by_its_key_and_never_by_its_url(name: str) -> None:
    cls, arguments = STORAGES[name]
    recorder = Recorder()
    own = {"sse_customer_key": None} if name == "s3" else {}
    async with cls(**{**arguments, **own}, on_event=recorder) as storage:
        url = await storage.link_to("k", "download", 60)
        more: list[str] = [url]
        if name == "memory":
            token = storage.create_link_token(path="k", operation="download", expire=60)
            storage.deserialize_link_token(token)
            more.append(token)
        if isinstance(storage, AzureStorage):
            more.append(await storage.create_container_url(60))
            more.append(await storage.create_upload_url("k", 60))
    assert recorder.events[0].key == "k"
    assert {event.operation for event in recorder.events} >= {"link_to"}
    signatures = [part for each in more for part in each.split("?", 1)[-1].split("&")]
    check(recorder, *more, *(part for part in signatures if len(part) > 20))


async def test_the_source_of_a_copy_from_a_url_is_not_told() -> None:
    cls, arguments = STORAGES["azure"]
    recorder = Recorder()
    async with cls(**arguments, on_event=recorder) as storage:
        assert isinstance(storage, AzureStorage)
        for url in (f"http://{NOWHERE}/x?sig={CANARY}", f"{CANARY}://x", f"http://u:{CANARY}@h/"):
            with pytest.raises(StorageError):
                await storage.copy_from_url(url, "k")
    assert {event.key for event in recorder.events} == {"k"}
    check(recorder)


def test_the_reason_of_a_retry_has_none_of_the_services_own_words() -> None:
    error = ServiceError(503, "SlowDown", f"not so fast with {CANARY}", {"x": CANARY})
    assert error.brief == "503 SlowDown"
    assert ServiceError(503, "", CANARY, {}).brief == "503"


async def test_the_check_would_notice() -> None:
    recorder = Recorder()
    async with MemoryStorage(on_event=recorder) as storage:
        await storage.exists(f"x{CANARY}")
    with pytest.raises(AssertionError):
        check(recorder)
