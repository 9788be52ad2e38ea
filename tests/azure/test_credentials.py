"""Credentials like those of azure-identity: their tokens, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential, CredentialUnavailableError
from azure.identity.aio import ClientSecretCredential as AsyncClientSecretCredential

from aiostow import ClosedError, CredentialsError, PermissionDeniedError
from aiostow.backends._azure_auth import Tokens
from aiostow.backends.http import ServiceError

from ._credentials import AsyncCredential, SyncCredential, make_token
from ._suite import MakeStorage

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kind", [AsyncCredential, SyncCredential])
async def test_one_token_serves_all_requests(
    make_secure: MakeStorage, kind: type[AsyncCredential]
) -> None:
    credential = kind()
    async with make_secure(credential) as storage:
        await asyncio.gather(*(storage.write_bytes(f"k{i}", b"data") for i in range(20)))
        assert await storage.read_bytes("k1") == b"data"
        await storage.delete_many(f"k{i}" for i in range(20))
        await storage.link_to("k", "download", 60)
    assert credential.asked == [{"scopes": ("https://storage.azure.com/.default",)}]


async def test_a_sync_credential_does_not_hold_up_the_loop(
    make_secure: MakeStorage,
) -> None:
    class Slow(SyncCredential):
        def get_token(self, *scopes: str, **told: Any) -> AccessToken:  # type: ignore[override]
            assert threading.current_thread() is not threading.main_thread()
            time.sleep(0.2)
            return super().get_token(*scopes, **told)

    async with make_secure(Slow()) as storage:
        task = asyncio.ensure_future(storage.write_bytes("k", b"data"))
        turns = 0
        while not task.done():
            await asyncio.sleep(0.01)
            turns += 1
        await task
        assert turns > 10


async def test_tokens_are_renewed_before_they_end(make_secure: MakeStorage) -> None:
    credential = AsyncCredential(make_token(100), make_token(3600))
    async with make_secure(credential) as storage:
        await storage.write_bytes("k", b"1")  # the short one serves, and another is asked for
        assert len(credential.asked) == 2
        assert await storage.read_bytes("k") == b"1"
        assert len(credential.asked) == 2


async def test_a_token_that_ends_is_not_sent(make_secure: MakeStorage) -> None:
    credential = AsyncCredential(make_token(20), make_token(3600))
    async with make_secure(credential) as storage:
        await storage.write_bytes("k", b"1")
        assert await storage.read_bytes("k") == b"1"
    assert len(credential.asked) == 2


async def test_a_refused_token_is_replaced_once(make_secure: MakeStorage) -> None:
    old = make_token(3600, exp=int(time.time()) - 60)  # it says that it lasts, and does not
    credential = AsyncCredential(old)
    async with make_secure(credential) as storage:
        await storage.write_bytes("k", b"1")
        assert await storage.read_bytes("k") == b"1"
    assert len(credential.asked) == 2
    refused = AsyncCredential(*[old] * 100)
    async with make_secure(refused) as storage:
        with pytest.raises(PermissionDeniedError) as caught:
            await storage.read_bytes("k")
        assert old.token not in "".join(traceback.format_exception(caught.value))
    assert len(refused.asked) == 2


async def test_a_credential_that_gives_nothing_is_told(make_secure: MakeStorage) -> None:
    for failure in (
        CredentialUnavailableError("run 'az login'\nhttps://host/?sig=canary"),
        ClientAuthenticationError("no such tenant https://host/?sig=canary"),
    ):
        async with make_secure(AsyncCredential(*[failure] * 10)) as storage:
            for call in (
                storage.read_bytes("k"),
                storage.list(),
                storage.link_to("k", "download", 60),
                storage.copy("k", "l"),
            ):
                with pytest.raises(CredentialsError, match=r"az login|no such tenant") as caught:
                    await call
                assert "canary" not in str(caught.value)


async def test_those_of_azure_identity_are_taken(make_secure: MakeStorage) -> None:
    """They cannot reach their authority here, and say so; the storage closes all the same."""
    told = ("tenant", "client", "canary-of-a-secret")
    sync = ClientSecretCredential(*told, authority="https://127.0.0.1:9", retry_total=0)
    credential = AsyncClientSecretCredential(*told, authority="https://127.0.0.1:9", retry_total=0)
    async with credential:
        for each in (sync, credential):
            async with make_secure(each) as storage:
                with pytest.raises((CredentialsError, ConnectionError)) as caught:
                    await storage.read_bytes("k")
                assert "canary" not in "".join(traceback.format_exception(caught.value))
    sync.close()


async def test_a_challenge_tells_tenant_and_claims() -> None:
    credential = AsyncCredential(*[make_token()] * 3)
    tokens = Tokens(credential)
    token = await tokens.bearer()
    challenge = (
        "Bearer authorization_uri=https://login.microsoftonline.com/the-tenant/oauth2/authorize "
        'resource_id=https://storage.azure.com, error="insufficient_claims", '
        'claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ"'
    )
    assert not await tokens.renew(token, {"www-authenticate": challenge})  # the same one again
    assert credential.asked[1] == {
        "scopes": ("https://storage.azure.com/.default",),
        "tenant_id": "the-tenant",
        "claims": '{"access_token":{}}',
    }
    await tokens.renew(token, {})
    assert credential.asked[2]["tenant_id"] == "the-tenant"
    await tokens.aclose()


async def test_many_requests_whose_token_is_refused_share_the_next(
    make_secure: MakeStorage,
) -> None:
    old = make_token(3600, exp=int(time.time()) - 60)
    credential = AsyncCredential(old, *[make_token()] * 9)
    async with make_secure(credential) as storage:
        await asyncio.gather(*(storage.write_bytes(f"k{i}", b"data") for i in range(8)))
    assert len(credential.asked) <= 3
    credential = AsyncCredential(old, *[make_token()] * 9)
    async with make_secure(credential) as storage:
        await storage.delete_many(f"k{i}" for i in range(8))
        assert await storage.list() == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
async def test_an_answer_of_the_authority_is_not_taken_for_the_service_s(
    make_secure: MakeStorage, status: int
) -> None:
    response: Any = SimpleNamespace(status_code=status, reason="no", headers={}, text=lambda: "")
    failure = ClientAuthenticationError("AADSTS7000215: wrong secret", response=response)
    async with make_secure(AsyncCredential(*[failure] * 20)) as storage:
        for call in (storage.exists("k"), storage.read_bytes("k"), storage.link_to("k", "d", 60)):
            with pytest.raises(CredentialsError, match="AADSTS7000215"):
                await call


async def test_who_may_read_but_not_sign_copies_with_the_token_itself(
    make_secure: MakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_secure(AsyncCredential()) as storage:
        await storage.write_bytes("a", b"data")

        async def refused(*_: Any, **__: Any) -> str:
            raise ServiceError(403, "AuthorizationPermissionMismatch", "no", {})

        monkeypatch.setattr(storage.driver.sdk, "blob_sas", refused)
        headers = await storage.driver._source_headers("a")
        assert headers["x-ms-copy-source"].endswith("/a")
        assert headers["x-ms-copy-source-authorization"].startswith("Bearer ")
        await storage.copy("a", "b")  # Azurite asks no more of a source in the same account
        assert await storage.read_bytes("b") == b"data"
        with pytest.raises(PermissionDeniedError):
            await storage.link_to("a", "download", 60)


async def test_a_storage_that_is_closed_while_a_token_is_fetched_closes(
    make_secure: MakeStorage,
) -> None:
    class Stuck(AsyncCredential):
        async def get_token(self, *scopes: str, **told: Any) -> AccessToken:
            await asyncio.sleep(3600)
            raise AssertionError

    storage = make_secure(Stuck())
    tasks = [asyncio.ensure_future(storage.read_bytes("k")) for _ in range(2)]
    await asyncio.sleep(0.05)
    tasks[0].cancel()
    async with asyncio.timeout(5):
        await storage.aclose()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError, ClosedError]
