"""The same arguments mean the same by token, presigned URL and SAS, or are refused."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from aiostow import AzureStorage, MemoryStorage, NotSupportedError, S3Storage, Storage, Support
from aiostow.backends.memory import MemoryDriver
from aiostow.endpoint import LinkEndpoint, LinkRequest
from aiostow.integrations._steps import carry_out

pytestmark = pytest.mark.anyio

KEY = base64.b64encode(bytes(range(64))).decode()
LINKED: dict[str, Any] = {"linked_endpoint": "https://files.example/", "secret_key": "s" * 32}


def s3(**own: Any) -> S3Storage:
    return S3Storage(
        "bucket", "eu-west-1", "access", "secret", endpoint_url="http://127.0.0.1:9", **own
    )


def azure(**own: Any) -> AzureStorage:
    return AzureStorage("account", KEY, "container", endpoint="http://127.0.0.1:9/account", **own)


def disposition(link: str) -> str:
    query = parse_qs(urlsplit(link).query)
    return (query.get("response-content-disposition") or query["rscd"])[0]


@pytest.fixture(params=[s3, azure])
async def service(request: pytest.FixtureRequest) -> Any:
    async with request.param() as storage:
        yield storage


async def test_a_service_shows_only_what_an_endpoint_shows(service: Storage) -> None:
    async def made(content_type: str) -> str:
        link = await service.link_to("k", "d", 60, None, content_type, disposition="inline")
        return disposition(link).partition(";")[0]

    assert await made("image/png") == "inline"
    assert await made("text/plain; charset=utf-8") == "inline"
    for scripted in ("text/html", "image/svg+xml", "application/xhtml+xml", "application/pdf"):
        assert await made(scripted) == "attachment"


async def test_a_service_does_not_show_what_it_is_not_told_the_type_of(service: Storage) -> None:
    with pytest.raises(NotSupportedError, match="give the content_type"):
        await service.link_to("photo.png", "d", 60, disposition="inline")


@pytest.mark.parametrize("limits", [{"once": True}, {"max_size": 5}])
async def test_what_a_service_cannot_enforce_its_endpoint_can(
    service: Storage, limits: dict[str, Any]
) -> None:
    with pytest.raises(NotSupportedError, match=f"{next(iter(limits))}.*endpoint"):
        await service.link_to("k", "u", 60, **limits)
    async with type(service)(**_again(service), **LINKED) as behind:
        link = await behind.link_to("k", "u", 60, **limits)
        assert link.startswith("https://files.example/?token=")
        grant = behind.deserialize_link_token(link.partition("token=")[2])
        assert {name: getattr(grant, name) for name in limits} == limits


def _again(storage: Storage) -> dict[str, Any]:
    if isinstance(storage, S3Storage):
        return {
            "bucket": "bucket", "aws_region": "eu-west-1", "aws_access_key_id": "access",
            "aws_secret_access_key": "secret", "endpoint_url": "http://127.0.0.1:9",
        }  # fmt: skip
    return {"account": "account", "key": KEY, "bucket": "container"}


async def test_a_link_that_must_not_replace_is_made_only_where_that_can_be_kept() -> None:
    # Without conditional Complete, create-only ends with the size of one request.
    async with s3(conditional_complete=False, part_size=5 << 20, **LINKED) as storage:
        limit = storage.capabilities.create_only_limit
        assert limit is not None
        for most in (None, limit + 1):
            with pytest.raises(NotSupportedError, match=f"max_size, at most {limit}"):
                await storage.link_to("k", "u", 60, overwrite=False, max_size=most)
        assert await storage.link_to("k", "u", 60, overwrite=False, max_size=limit)
        assert await storage.link_to("k", "u", 60, overwrite=False, exact_size=limit)
    driver = MemoryDriver()
    driver.capabilities = replace(driver.capabilities, create_only=Support.unsupported)
    async with Storage(driver, name="unable", **LINKED) as unable:
        with pytest.raises(NotSupportedError, match="cannot keep"):
            unable.create_link_token(path="k", operation="u", expire=60, overwrite=False)
    async with MemoryStorage(**LINKED) as memory:
        assert await memory.link_to("k", "u", 60, overwrite=False)


async def test_a_length_that_no_service_has_is_too_large_and_nobodys_fault() -> None:
    async def nothing() -> bytes:
        return b""

    async with s3(**LINKED) as storage:
        token = storage.create_link_token(path="k", operation="u", expire=60)
        request = LinkRequest("PUT", token, {"content-length": str(10**17)})
        answer = await carry_out(LinkEndpoint(storage).serve(request), nothing)
        assert answer.status == 413
