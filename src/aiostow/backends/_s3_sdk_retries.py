"""The SDK's own retries, told as ours are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from aiobotocore.httpsession import AIOHTTPSession

from .._operation import tell_retry
from ._s3_errors import lost_by_sdk
from .http import ServiceError

_FAILED = "aiostow_failed"  # in the SDK's context of a request


class ToldSession(AIOHTTPSession):  # type: ignore[misc]  # it has no types
    """The SDK's connections, on which nothing is sent again but by the SDK, which counts it."""

    async def _get_session(self, proxy_url: str | None) -> Any:
        session = await super()._get_session(proxy_url)
        session._retry_connection = False  # see `Http`
        return session


def service_error(answer: Mapping[str, Any]) -> ServiceError:
    """Return the error that an answer of the SDK tells of."""
    told = answer.get("Error", {})
    meta = answer.get("ResponseMetadata", {})
    status = int(meta.get("HTTPStatusCode", 0))
    code = str(told.get("Code", ""))
    error = ServiceError(
        status, "" if code.isdigit() else code, str(told.get("Message", "")),
        meta.get("HTTPHeaders", {}),
    )  # fmt: skip
    error.unsure = bool(meta.get("RetryAttempts"))
    return error


def tell_retries(client: Any) -> None:
    """Let a client of the SDK's tell of what it tries again, once it does."""
    client.meta.events.register("needs-retry.s3", _remember)
    client.meta.events.register("request-created.s3", _tell)


def _remember(
    request_dict: dict[str, Any], response: Any, caught_exception: Any, attempts: int, **_: Any
) -> None:
    """Remember how a try went, which is looked at before anybody decides on another."""
    error: Exception | None = None
    if caught_exception is not None:
        error = lost_by_sdk(caught_exception) or caught_exception
    elif response is not None:
        error = service_error(response[1])
    request_dict["context"][_FAILED] = (attempts, time.monotonic(), error)


def _tell(request: Any, **_: Any) -> None:
    """Tell of a further try when its request is made, which is after the pause."""
    failed = request.context.pop(_FAILED, None)
    if failed is not None:
        attempt, since, error = failed
        reason = getattr(error, "brief", "the SDK failed")
        tell_retry(attempt, time.monotonic() - since, error, reason)
