"""Shared access signatures, used by a plain HTTP client: they allow what they say, and no more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import arrow
import pytest
from azure.storage.blob import BlobClient

from aiostow import (
    AzureStorage,
    InvalidArgumentError,
    InvalidKeyError,
    Link,
    NotSupportedError,
    Storage,
    Support,
    UnsupportedOperationError,
)
from aiostow.sync import SyncStorage
from tests.rest.client import ask

from ._credentials import AsyncCredential
from ._suite import MakeStorage

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)
COMBINATIONS = ("d", "u", "r", "du", "dr", "ur", "dur")
METHODS = {"d": "GET", "u": "PUT", "r": "DELETE"}
UPLOAD = {"x-ms-blob-type": "BlockBlob"}


@pytest.fixture(params=["key", "credential"])
async def storage(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AzureStorage]:
    """By the key of the account, and by keys that are delegated to a credential."""
    made: AzureStorage
    if request.param == "key":
        made = request.getfixturevalue("make_storage")()
    else:
        made = request.getfixturevalue("make_secure")(AsyncCredential())
        monkeypatch.setenv("SSL_CERT_FILE", str(made.driver.config.verify))  # of the links' client
    async with made:
        yield made


@pytest.mark.parametrize("granted", COMBINATIONS)
async def test_every_combination_allows_what_was_granted_and_nothing_else(
    storage: AzureStorage, granted: str
) -> None:
    await storage.write_bytes("other", b"secret")
    link = await storage.link_to("a/k", granted, HOUR)
    assert {METHODS[letter] for letter in granted} == set(link.methods) - {"HEAD"}
    for letter, method in METHODS.items():
        await storage.write_bytes("a/k", b"data")
        body = b"new" if method == "PUT" else None
        answer = await ask(link, method, body, UPLOAD if body else {})
        now = await storage.read_bytes("a/k") if await storage.exists("a/k") else None
        if letter in granted:
            assert answer.status in (200, 201, 202), (granted, method)
            assert now == {"d": b"data", "u": b"new", "r": None}[letter]
            assert letter != "d" or answer.body == b"data"
        else:
            assert answer.status == 403, (granted, method)
            assert now == b"data"
        for changed in tampered(link, "/a/k?", "/other?"):
            refused = await ask(changed, method, body, UPLOAD if body else {})
            assert refused.status == 403, (granted, method, changed)
    assert await storage.read_bytes("other") == b"secret"
    listing = link.replace("/a/k?", "?").replace("?", "?restype=container&comp=list&")
    assert (await ask(listing)).status == 403


def tampered(link: str, here: str, there: str) -> list[str]:
    """Return links that are not quite the one that was signed."""
    query = parse_qs(urlsplit(link).query)
    signature = link.index("sig=") + 4
    swapped = "B" if link[signature] != "B" else "C"
    end, may = query["se"][0].replace(":", "%3A"), query["sp"][0]
    changed = [
        link.replace(here, there),
        link[:signature] + swapped + link[signature + 1 :],
        link.replace(f"se={end}", f"se={end.replace('202', '203', 1)}"),
        link.replace(f"sp={may}", "sp=rcwdl"),
    ]
    assert all(each != link for each in changed)
    return changed


async def test_an_expired_link_is_refused(storage: AzureStorage) -> None:
    await storage.write_bytes("k", b"1")
    link = await storage.link_to("k", "dur", timedelta(seconds=2))
    assert (await ask(link)).status == 200
    await asyncio.sleep(max(link.expires.timestamp() - time.time(), 0) + 1.2)
    for method, body in (("GET", None), ("PUT", b"evil"), ("DELETE", None)):
        assert (await ask(link, method, body, UPLOAD if body else {})).status == 403
    assert await storage.read_bytes("k") == b"1"


async def test_a_download_has_the_name_and_type_that_were_signed(storage: AzureStorage) -> None:
    await storage.write_bytes("a/b c+d%#?.txt", b"content", content_type="text/x-own")
    link = await storage.link_to("a/b c+d%#?.txt", "download", HOUR, "Ü; 1.txt", "text/csv")
    assert link.methods == ("GET", "HEAD")
    answer = await ask(link)
    assert (answer.status, answer.body) == (200, b"content")
    assert answer.headers["Content-Type"] == "text/csv"
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename=\"_; 1.txt\"; filename*=UTF-8''%C3%9C%3B%201.txt"
    )
    inline = await storage.link_to(
        "a/b c+d%#?.txt", "download", HOUR, content_type="text/plain", disposition="inline"
    )
    assert (await ask(inline)).headers["Content-Disposition"].startswith("inline; filename=")
    assert "Link http" in repr(link)
    assert "sig" not in repr(link)


async def test_an_upload_stores_and_may_refuse_to_overwrite(storage: AzureStorage) -> None:
    link = await storage.link_to("new", "upload", HOUR)
    assert dict(link.headers)["x-ms-blob-type"] == "BlockBlob"
    assert (await ask(link, "PUT", b"a,b", link.headers)).status == 201
    assert await storage.read_bytes("new") == b"a,b"
    assert (await storage.stat("new")).content_type == "application/octet-stream"
    once = await storage.link_to("once", "upload", HOUR, overwrite=False)
    assert (await ask(once, "PUT", b"first", once.headers)).status == 201
    assert (await ask(once, "PUT", b"second", once.headers)).status == 403
    assert await storage.read_bytes("once") == b"first"


async def test_what_azure_cannot_enforce_is_refused(storage: AzureStorage) -> None:
    refused: tuple[dict[str, Any], ...] = (
        {"once": True}, {"max_size": 10}, {"exact_size": 10}, {"content_type": "text/plain"},
    )  # fmt: skip
    for options in refused:
        for operation in ("u", "dur"):
            with pytest.raises(NotSupportedError, match=next(iter(options))):
                await storage.link_to("k", operation, HOUR, **options)
    assert storage.capabilities.links is Support.native


async def test_limits_are_checked_by_us(storage: AzureStorage) -> None:
    for expire in (0, -5, timedelta(seconds=-1), datetime(2026, 1, 1)):
        with pytest.raises(InvalidArgumentError):
            await storage.link_to("k", "download", expire)
    for key in ("a/../secret", "/k", "a//b", "k\n", "a\\b", "a."):
        with pytest.raises(InvalidKeyError):
            await storage.link_to(key, "download", HOUR)
    long = timedelta(days=7, minutes=1)
    if isinstance(storage.driver.config.place.credential, AsyncCredential):
        with pytest.raises(InvalidArgumentError, match="7 days"):
            await storage.link_to("k", "download", long)
        await storage.link_to("k", "download", timedelta(days=6, hours=23))
    else:
        await storage.link_to("k", "download", long)


async def test_the_helpers_of_the_ancestor(storage: AzureStorage) -> None:
    expire: Any = arrow.utcnow().shift(hours=1)
    up = await storage.create_upload_url("up", expire)
    assert isinstance(up, Link)

    def by_sdk() -> None:  # as its documentation shows it
        verify = storage.driver.config.verify
        with BlobClient.from_blob_url(
            str(up), connection_verify=True if verify is None else verify
        ) as client:
            client.upload_blob(b"by the SDK")

    await asyncio.to_thread(by_sdk)
    assert await storage.read_bytes("up") == b"by the SDK"
    down = await storage.create_download_url("up", expire)
    assert (await ask(down)).body == b"by the SDK"
    whole = await storage.create_container_url(datetime.now(UTC) + HOUR, ip="127.0.0.1-127.0.0.9")
    assert parse_qs(urlsplit(whole).query)["sip"] == ["127.0.0.1-127.0.0.9"]
    verify = storage.driver.config.verify
    async with AzureStorage(sas_container_url=whole, verify=verify) as guest:
        await guest.write_bytes("by/guest", b"1")
        assert [entry.name for entry in await guest.list()] == ["by/guest", "up"]
        await guest.delete_many(["up", "by/guest"])
    assert await storage.list() == []
    with pytest.raises(InvalidArgumentError, match="ip="):
        await storage.create_container_url(HOUR, ip="here")
    with pytest.raises(InvalidKeyError):
        await storage.create_upload_url("../up", HOUR)


async def test_a_signature_signs_no_others(make_storage: MakeStorage) -> None:
    async with make_storage() as owner:
        url = await owner.create_container_url(HOUR)
    async with AzureStorage(sas_container_url=url) as guest:
        assert guest.capabilities.links is Support.unsupported
        for call in (
            guest.link_to("k", "download", HOUR),
            guest.create_upload_url("k", HOUR),
            guest.create_download_url("k", HOUR),
            guest.create_container_url(HOUR),
        ):
            with pytest.raises(UnsupportedOperationError) as caught:
                await call
            assert "sig=" not in str(caught.value)
    async with AzureStorage(
        sas_container_url=url, linked_endpoint="https://files.example/x", secret_key="s" * 32
    ) as guest:
        assert (await guest.link_to("k", "dur", HOUR, max_size=5)).startswith("https://files.ex")


async def test_links_of_a_view_lead_below_its_prefix(storage: AzureStorage) -> None:
    await storage.write_bytes("view/k", b"below")
    view: Storage = storage.at("view")
    assert (await ask(await view.link_to("k", "download", HOUR))).body == b"below"


async def test_delegated_keys_are_shared_and_renewed(make_secure: MakeStorage) -> None:
    async with make_secure(AsyncCredential()) as storage:
        ends = []
        for hours in (1, 2, 30, 20):
            link = await storage.link_to("k", "download", timedelta(hours=hours))
            query = parse_qs(urlsplit(link).query)
            assert query["ske"][0] >= query["se"][0]
            ends.append(query["ske"][0])
        assert ends[0] == ends[1] < ends[2] == ends[3]


async def test_what_only_azure_has_through_the_facade(make_storage: MakeStorage) -> None:
    def work() -> str:
        with SyncStorage(make_storage()) as storage:
            storage.write_bytes("k", b"data")
            backend = storage.storage
            assert isinstance(backend, AzureStorage)
            with pytest.raises(InvalidArgumentError, match="ip="):
                storage.run(backend.create_container_url(60, ip="here"))
            whole = storage.run(backend.create_container_url(60))
            return whole.replace("?", "/k?")

    assert (await ask(await asyncio.to_thread(work))).body == b"data"
