"""Who asks: what authorizes a request to Azure."""

from __future__ import annotations

import asyncio
import base64
import functools
import hmac
import inspect
import re
import time
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import unquote

from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError

from .._threads import Threads
from ..errors import ClosedError
from ._azure_errors import TokenError, told
from .http import Request

VERSION = "2023-11-03"
"""Of the REST API that requests speak."""

_SCOPE = "https://storage.azure.com/.default"
_EARLY = (
    300.0  # seconds before its end that a token is fetched anew, while the old one still serves
)
_LATE = 30.0  # seconds before its end that a token serves no more
# What stands in a signature by its value alone, in this order; the length follows the first two.
_VALUES = (
    "content-md5", "content-type", "date", "if-modified-since", "if-match", "if-none-match",
    "if-unmodified-since", "range",
)  # fmt: skip


class SharedKey:
    """Signs requests with the key of an account (Shared Key). Pure.

    Args:
        account: its name.
        key: in base64.
    """

    def __init__(self, account: str, key: str) -> None:
        self._account = account
        self._key = base64.b64decode(key)

    def sign(self, request: Request, headers: Mapping[str, str], length: int) -> str:
        """Return the ``Authorization`` of a request.

        Args:
            request: method, path and query.
            headers: all that are sent; names in lower case.
            length: of the body.
        """
        get = headers.get
        values = "\n".join([get(name, "") for name in _VALUES])
        names = _sorted(tuple(name for name in headers if name.startswith("x-ms-")))
        lines = "".join([f"{name}:{headers[name]}\n" for name in names])
        text = (
            f"{request.method}\n{get('content-encoding', '')}\n{get('content-language', '')}\n"
            f"{length or ''}\n{values}\n{lines}/{self._account}{request.path}"
        )
        if request.query:
            text += _canonical_query(request.query)
        digest = hmac.digest(self._key, text.encode(), "sha256")
        return f"SharedKey {self._account}:{base64.b64encode(digest).decode()}"


@functools.lru_cache(maxsize=1024)
def _sorted(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names in the service's order, in which dashes do not count and ``_`` is the least."""
    return tuple(sorted(names, key=lambda name: name.replace("-", "").replace("_", " ")))


def _canonical_query(query: str) -> str:
    pairs = (part.partition("=") for part in query.split("&"))
    decoded = sorted((unquote(name).lower(), unquote(value)) for name, _, value in pairs)
    return "".join(f"\n{name}:{value}" for name, value in decoded)


class Tokens:
    """The tokens of a credential: one serves all requests, and is renewed before it ends.

    The SDK takes this for a credential too, so its requests share the tokens.

    Args:
        credential: of azure-identity or like it, sync or async. It stays the caller's to close.
    """

    def __init__(self, credential: Any) -> None:
        self._credential = credential
        self._async = inspect.iscoroutinefunction(credential.get_token)
        self._threads = Threads("aiostow-azure", 1)  # where a sync one may block
        self._token: AccessToken | None = None
        self._fetching: asyncio.Task[AccessToken] | None = None
        self._asked: dict[str, str] = {}  # what a challenge wants of a token

    async def bearer(self) -> str:
        """Return a token that is good for now."""
        token = self._token
        left = 0.0 if token is None else token.expires_on - time.time()
        if token is None or left < _LATE:
            token = await self._fetched()
        elif left < _EARLY and self._fetching is None:
            self._begin()
        return str(token.token)

    async def renew(self, refused: str, headers: Mapping[str, str]) -> bool:
        """See to another token after one was refused, and return whether there is one.

        Args:
            refused: the token, which may have been replaced meanwhile.
            headers: of the refusal; a challenge may name the tenant, and claims to be met.
        """
        if self._token is None or self._token.token == refused:
            challenge = headers.get("www-authenticate", "")
            tenant = re.search(r'authorization_uri="?https://[^/"\s]+/([^/"\s,]+)', challenge)
            claims = re.search(r'claims="([A-Za-z0-9+/=_-]+)"', challenge)
            if tenant is not None:
                self._asked["tenant_id"] = tenant[1]
            if claims is not None:
                padded = claims[1] + "=" * (-len(claims[1]) % 4)
                self._asked["claims"] = base64.urlsafe_b64decode(padded).decode()
            await self._fetched()
        assert self._token is not None, "it was fetched"
        return bool(self._token.token != refused)

    async def _fetched(self) -> AccessToken:
        fetching = self._fetching or self._begin()
        await asyncio.wait([fetching])  # others wait for it too
        if fetching.cancelled():
            raise ClosedError("the storage was closed while a token was fetched")
        return fetching.result()

    def _begin(self) -> asyncio.Task[AccessToken]:
        self._fetching = asyncio.get_running_loop().create_task(self._fetch())
        self._fetching.add_done_callback(self._ended)
        return self._fetching

    def _ended(self, task: asyncio.Task[AccessToken]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # told to those who wait, if any do: the old token may still serve

    async def _fetch(self) -> AccessToken:
        get = functools.partial(self._credential.get_token, _SCOPE, **self._asked)
        try:
            token: AccessToken = await get() if self._async else await self._threads.run(get)
        except AzureError as exc:
            failure = TokenError(told(exc))
        else:
            self._token = token
            return token
        raise failure

    # -- a credential for the SDK ---------------------------------------------------------------

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """Return the token as the SDK wants it."""
        await self.bearer()
        assert self._token is not None, "bearer sets it or raises"
        return self._token

    async def close(self) -> None:
        """Do nothing: see `aclose`."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def aclose(self) -> None:
        """End what is under way; the credential itself stays open."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        self._threads.close()
