"""Credentials like those of azure-identity, whose tokens Azurite takes."""

from __future__ import annotations

import time
from typing import Any

import jwt
from azure.core.credentials import AccessToken

_TENANT = "ab1f708d-50f6-404c-a006-d71b2ac7a606"


def make_token(life: float = 3600, **claims: Any) -> AccessToken:
    """Return a token that ends after `life` seconds; its signature is not looked at."""
    now = int(time.time())
    told = {
        "aud": "https://storage.azure.com",
        "iss": f"https://sts.windows.net/{_TENANT}/",
        "iat": now - 10,
        "nbf": now - 10,
        "exp": int(now + life),
        "oid": "11059fcc-5514-4800-b5f8-49808b9cfab6",
        "tid": _TENANT,
        **claims,
    }
    return AccessToken(jwt.encode(told, "k" * 32, "HS256"), int(now + life))


class AsyncCredential:
    """An async one.

    Attributes:
        asked: the arguments of each call.
        tokens: what it gives next, before it makes its own.
    """

    def __init__(self, *tokens: AccessToken | Exception) -> None:
        self.asked: list[dict[str, Any]] = []
        self.tokens = list(tokens)

    def _next(self, scopes: tuple[str, ...], told: dict[str, Any]) -> AccessToken:
        self.asked.append({"scopes": scopes, **told})
        token = self.tokens.pop(0) if self.tokens else make_token()
        if isinstance(token, Exception):
            raise token
        return token

    async def get_token(self, *scopes: str, **told: Any) -> AccessToken:
        return self._next(scopes, told)


class SyncCredential(AsyncCredential):
    """A sync one, as of azure.identity itself."""

    def get_token(self, *scopes: str, **told: Any) -> AccessToken:  # type: ignore[override]
        return self._next(scopes, told)
