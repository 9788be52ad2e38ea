"""What stays with the SDK: signatures for links, keys that sign for a credential, rare verbs."""

from __future__ import annotations

import math
import os
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from azure.core import exceptions as sdk
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob import UserDelegationKey, generate_blob_sas, generate_container_sas
from azure.storage.blob.aio import BlobServiceClient, ContainerClient, ExponentialRetry

from ..errors import InvalidArgumentError, UnsupportedOperationError
from ._azure_auth import Tokens
from ._azure_config import AzureConfig
from ._azure_errors import service_error
from .http import HttpOptions, TransportError, tls_context

# A delegation key lasts 7 days at most, by the service's clock and from its beginning.
_MAX_DELEGATION = timedelta(days=7) - timedelta(minutes=30)
_KEY_LIFE = timedelta(days=1)  # of a delegation key at least, so that links share it
_SKEW = timedelta(minutes=15)  # by which the service's clock may be behind


class Sdk:
    """The SDK's clients of one storage, on one event loop.

    Args:
        config: of the storage.
        tokens: of a credential.
    """

    def __init__(self, config: AzureConfig, tokens: Tokens | None) -> None:
        self._config = config
        self._place = config.place
        self._tokens = tokens
        self._verify: bool | str = True
        if config.verify is not None:
            self._verify = config.verify
        elif bundle := os.environ.get("REQUESTS_CA_BUNDLE"):
            self._verify = bundle
        self._service: BlobServiceClient | None = None
        self._delegation: UserDelegationKey | None = None
        self._delegation_end = datetime.fromtimestamp(0, UTC)

    @property
    def service(self) -> BlobServiceClient:
        """The SDK's client of the account; made when first used."""
        if self._service is None:
            config, place = self._config, self._place
            who: Any = self._tokens or place.sas
            if place.key is not None:
                who = AzureNamedKeyCredential(place.account, place.key)
            self._service = BlobServiceClient(
                place.endpoint,
                credential=who,
                connection_timeout=config.connect_timeout,
                read_timeout=config.read_timeout,
                retry_policy=ExponentialRetry(
                    initial_backoff=1, increment_base=2, retry_total=3, retry_connect=1
                ),
                transport=self._transport(),
                proxies=None if config.proxies is None else dict(config.proxies),
            )
        return self._service

    def _transport(self) -> AioHttpTransport:
        """Return the SDK's way to send, with the certificates that we trust."""
        tls = tls_context(self._verify) if self._place.endpoint.startswith("https:") else True
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=self._config.proxies is None,
        )
        return AioHttpTransport(session=session, session_owner=True)

    @property
    def client(self) -> ContainerClient:
        """The SDK's client of the container."""
        return self.service.get_container_client(self._place.container)

    def http_options(self, origin: str) -> HttpOptions:
        """Return how an origin is reached: proxy and certificates."""
        config, parts = self._config, urlsplit(origin)
        proxies: Mapping[str, str] | None = config.proxies
        if proxies is None:
            around = urllib.request.proxy_bypass(parts.hostname or "")
            proxies = {} if around else urllib.request.getproxies()
        return HttpOptions(
            connect_timeout=config.connect_timeout,
            read_timeout=config.read_timeout,
            retry_deadline=config.retry_deadline,
            proxy=proxies.get(parts.scheme),
            tls=tls_context(self._verify) if parts.scheme == "https" else True,
        )

    async def blob_sas(self, key: str, permissions: str, expires: datetime, **told: Any) -> str:
        """Return a shared access signature for one blob, as a query.

        Args:
            key: of the blob.
            permissions: letters, in the service's order.
            expires: its end.
            told: headers that an answer is to have.

        Raises:
            InvalidArgumentError: it would outlive the credential's key.
        """
        place, signer = self._place, await self._signer(expires)
        return generate_blob_sas(
            place.account, place.container, key, permission=permissions, expiry=_text(expires),
            protocol=self._protocol, **signer, **told,
        )  # fmt: skip

    async def container_sas(self, permissions: str, expires: datetime, ip: str | None) -> str:
        """Return a shared access signature for the whole container, as a query."""
        place, signer = self._place, await self._signer(expires)
        return generate_container_sas(
            place.account, place.container, permission=permissions, expiry=_text(expires), ip=ip,
            protocol=self._protocol, **signer,
        )  # fmt: skip

    @property
    def _protocol(self) -> str:
        return "https" if self._place.endpoint.startswith("https:") else "https,http"

    async def _signer(self, expires: datetime) -> dict[str, Any]:
        if self._place.key is not None:
            return {"account_key": self._place.key}
        if self._tokens is None:
            raise UnsupportedOperationError(
                "a shared access signature signs no others: give the account's key, or a credential"
            )
        return {"user_delegation_key": await self._delegation_key(expires)}

    async def _delegation_key(self, expires: datetime) -> UserDelegationKey:
        """Return a key that signs for the credential until `expires` at least."""
        now = datetime.now(UTC)
        if expires - now > _MAX_DELEGATION:
            raise InvalidArgumentError(
                "a link that a credential signs lasts at most 7 days less half an hour: let it end "
                "earlier, or use the account's key"
            )
        if self._delegation is None or self._delegation_end < expires:
            end = max(expires, now + _KEY_LIFE)
            end = datetime.fromtimestamp(math.ceil(end.timestamp()), UTC)
            if self._tokens is not None:
                await self._tokens.bearer()  # what fails is told now; the SDK would try for long
            with translated():
                self._delegation = await self.service.get_user_delegation_key(now - _SKEW, end)
            self._delegation_end = end
        return self._delegation

    async def set_tier(self, key: str, tier: str, priority: str | None) -> None:
        """Move a blob to another access tier."""
        with translated():
            blob: Any = self.client.get_blob_client(key)
            await blob.set_standard_blob_tier(tier, rehydrate_priority=priority)

    async def aclose(self) -> None:
        """Close the SDK's connections."""
        if self._service is not None:
            await self._service.close()


def _text(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def translated() -> Iterator[None]:
    """Let the errors of the SDK leave as those of every other request."""
    error: Exception
    try:
        yield
        return
    except sdk.HttpResponseError as exc:
        error = service_error(exc)
    except sdk.ServiceRequestError:
        error = TransportError("the service could not be reached", connected=False)
    except (sdk.ServiceResponseError, sdk.IncompleteReadError):
        error = TransportError("the connection was lost", connected=True)
    raise error
