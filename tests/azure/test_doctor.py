"""Faults planted on Azurite, each of which the doctor names alone, and a healthy container."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.storage.blob import (
    BlobServiceClient,
    CorsRule,
    generate_blob_sas,
    generate_container_sas,
)

from aiostow import AzureStorage
from aiostow.doctor import Diagnosis, diagnose
from aiostow.testing import FaultProxy
from aiostow.testing.proxy import WireFault
from tests.doctor._findings import all_green, check, only_failure, with_status
from tests.servers import AzuriteServer

from ._suite import ACCOUNT, MakeStorage

pytestmark = pytest.mark.anyio

ORIGIN = "https://app.example"
WRONG = "d3Jvbmcta2V5LXRoYXQtbm9ib2R5LW1heS1zZWU="

MakeSas = Callable[..., AzureStorage]


async def examined(storage: AzureStorage, **asked: Any) -> Diagnosis:
    async with storage:
        return await diagnose(storage, **asked)


def blobs(container: Any) -> list[tuple[str, str]]:
    """Return what is there, with what is not committed."""
    found = container.list_blobs(include=["uncommittedblobs"])
    return [(blob.name, blob.etag) for blob in found]


@pytest.fixture
def make_sas(server: AzuriteServer, container: Any) -> MakeSas:
    """Return a storage by a signature for the container."""

    def make(permission: str, left: timedelta = timedelta(days=2)) -> AzureStorage:
        sas = generate_container_sas(
            ACCOUNT, container.container_name, account_key=server.accounts[ACCOUNT],
            permission=permission, expiry=datetime.now(UTC) + left,
        )  # fmt: skip
        return AzureStorage(
            sas_container_url=f"{server.endpoint(ACCOUNT)}/{container.container_name}?{sas}"
        )

    return make


@pytest.fixture
def cors(server: AzuriteServer) -> Any:
    """Let a browser in, or with no rule nobody; the rules are the account's."""

    def allow(*rules: CorsRule) -> None:
        with BlobServiceClient(
            server.endpoint(ACCOUNT), credential=server.accounts[ACCOUNT]
        ) as service:
            service.set_service_properties(cors=list(rules))

    yield allow
    allow()


RULE = CorsRule(
    [ORIGIN], ["PUT", "GET"], allowed_headers=["*"], exposed_headers=["ETag"], max_age_in_seconds=1
)


async def test_a_healthy_container_is_green_and_as_it_was(
    make_storage: MakeStorage, container: Any, cors: Any
) -> None:
    cors(RULE)
    container.upload_blob("mine", b"mine")
    before = blobs(container)
    all_green(await examined(make_storage(), origin=ORIGIN))
    assert blobs(container) == before
    assert len(before) == 1


async def test_a_signature_for_all_is_green(make_sas: MakeSas, container: Any) -> None:
    diagnosis = await examined(make_sas("racwdl"))
    all_green(diagnosis, "links")
    assert blobs(container) == []
    assert "sig=" not in str(diagnosis)


# -- getting there and in -------------------------------------------------------------------------


async def test_a_host_in_a_black_hole(make_storage: MakeStorage, proxy: FaultProxy) -> None:
    proxy.add(WireFault(black_hole=True, times=None))
    endpoint = f"http://127.0.0.1:{proxy.port}/{ACCOUNT}"
    found = only_failure(
        await examined(make_storage(endpoint=endpoint, read_timeout=0.5)), "reachable"
    )
    assert "firewall" in found.advice


async def test_a_certificate_that_nobody_vouches_for(
    secure_server: AzuriteServer, make_storage: MakeStorage
) -> None:
    found = only_failure(
        await examined(make_storage(endpoint=secure_server.endpoint(ACCOUNT))), "reachable"
    )
    assert "certificate" in found.found
    assert "verify=" in found.advice


async def test_a_wrong_key(make_storage: MakeStorage) -> None:
    diagnosis = await examined(make_storage(key=WRONG))
    found = only_failure(diagnosis, "credentials")
    assert "Access keys" in found.advice
    assert WRONG not in str(diagnosis)


async def test_no_such_container(make_storage: MakeStorage) -> None:
    found = only_failure(await examined(make_storage(bucket="no-such-container")), "place")
    assert "create the container 'no-such-container'" in found.advice


async def test_a_signature_that_has_ended(make_sas: MakeSas) -> None:
    diagnosis = await examined(make_sas("racwdl", timedelta(minutes=-5)))
    found = only_failure(diagnosis, "expiry")
    assert "new shared access signature" in found.advice
    assert check(diagnosis, "credentials").status == "skipped"
    assert "sig=" not in str(diagnosis)


async def test_a_signature_that_ends_soon(make_sas: MakeSas) -> None:
    diagnosis = await examined(make_sas("racwdl", timedelta(hours=3)))
    assert with_status(diagnosis, "warning", "failed") == ["expiry"]
    assert diagnosis.healthy


# -- what may be done -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("granted", "name", "letter"),
    [("rl", "write", "c and w"), ("racwl", "delete", "d"), ("racwd", "list", "l")],
)
async def test_what_a_signature_does_not_grant(
    make_sas: MakeSas, container: Any, granted: str, name: str, letter: str
) -> None:
    found = only_failure(await examined(make_sas(granted)), name)
    assert f"grants {letter} " in found.advice
    left = blobs(container)
    assert len(left) == (name == "delete")
    assert all(key in found.found for key, _ in left)


async def test_the_storage_of_one_blob_is_left_alone(server: AzuriteServer, container: Any) -> None:
    container.upload_blob("mine", b"mine")
    before = blobs(container)
    sas = generate_blob_sas(
        ACCOUNT, container.container_name, "mine", account_key=server.accounts[ACCOUNT],
        permission="rcwd", expiry=datetime.now(UTC) + timedelta(days=2),
    )  # fmt: skip
    url = f"{server.endpoint(ACCOUNT)}/{container.container_name}/mine?{sas}"
    diagnosis = await examined(AzureStorage(sas_blob_url=url))
    assert with_status(diagnosis, "warning", "failed") == []
    assert check(diagnosis, "credentials").status == "skipped"
    assert blobs(container) == before


# -- browsers -------------------------------------------------------------------------------------


async def test_no_rule_lets_a_browser_in(make_storage: MakeStorage, cors: Any) -> None:
    cors()
    found = only_failure(await examined(make_storage(), origin=ORIGIN), "cors")
    assert ORIGIN in found.advice
    assert "az storage cors add" in found.advice
    assert check(await examined(make_storage()), "cors").status == "warning"


async def test_a_rule_for_another_origin(make_storage: MakeStorage, cors: Any) -> None:
    cors(CorsRule(["https://other.example"], ["PUT"], allowed_headers=["*"]))
    only_failure(await examined(make_storage(), origin=ORIGIN), "cors")


# -- and what is left -----------------------------------------------------------------------------


async def test_a_cancellation_leaves_nothing(
    make_storage: MakeStorage, container: Any, long: bool
) -> None:
    delay = 0.0
    while True:
        async with make_storage() as storage:
            task = asyncio.ensure_future(diagnose(storage))
            done, _ = await asyncio.wait([task], timeout=delay)
            if done:
                break
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert [blob.name for blob in container.list_blobs()] == []
        delay += 0.003 if long else 0.02
    assert task.result().healthy
