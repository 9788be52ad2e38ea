"""Links that S3 itself honours."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .._disposition import content_disposition
from ..driver import PresignedUrl
from ..errors import CredentialsError, InvalidArgumentError, NotSupportedError
from ..links import InternalLinkTokenData
from ..models import ShareLinkOperation
from ._percent import encode_path
from ._s3_config import S3Config
from ._s3_sdk import Sdk
from ._sigv4 import MAX_EXPIRY, Signer

_METHODS = {
    ShareLinkOperation.download: "GET",
    ShareLinkOperation.upload: "PUT",
    ShareLinkOperation.remove: "DELETE",
}
_OCTETS = "application/octet-stream"


async def presign_link(
    sdk: Sdk, config: S3Config, key: str, grant: InternalLinkTokenData, now: float
) -> PresignedUrl:
    """Return the URL of a grant, with every constraint inside its signature.

    Raises:
        NotSupportedError: S3 cannot enforce a constraint.
        InvalidArgumentError: it would last longer than S3 or the credentials allow.
    """
    if grant.operations not in _METHODS:
        raise NotSupportedError(
            "a link of S3 is signed for one operation: make one link for each, or configure an "
            "endpoint that serves them together"
        )
    for name in ("once", "max_size"):
        if getattr(grant, name):
            raise NotSupportedError(
                f"S3 cannot enforce {name} on a link: configure an endpoint, which can"
            )
    headers: dict[str, str] = {}
    parameters: list[tuple[str, str]] = []
    if grant.allow_upload:
        headers["content-type"] = grant.content_type or _OCTETS
        if not grant.overwrite:
            headers["if-none-match"] = "*"
        if grant.exact_size is not None:
            headers["content-length"] = str(grant.exact_size)
        headers |= config.write_headers()
    elif grant.allow_download:
        name = grant.output_path or key.rpartition("/")[2]
        disposition = content_disposition(grant.disposition, name)
        parameters.append(("response-content-disposition", disposition))
        if grant.content_type is not None:
            parameters.append(("response-content-type", grant.content_type))
    method = _METHODS[grant.operations]
    expires = seconds_left(sdk, grant, now)
    return await sign_url(sdk, config, method, key, parameters, headers, now, expires)


def seconds_left(sdk: Sdk, grant: InternalLinkTokenData, now: float) -> int:
    """Return how long a link lasts, which S3 and the credentials must allow."""
    seconds = math.floor(grant.expires.timestamp() - now)
    if seconds < 1:
        raise InvalidArgumentError("the link would end within this second")
    if seconds > MAX_EXPIRY:
        raise InvalidArgumentError(
            f"a link of S3 lasts 7 days at most ({MAX_EXPIRY} seconds), not {seconds}"
        )
    if sdk.outlives_credentials(seconds):
        raise InvalidArgumentError(
            "the link would outlive the temporary credentials that sign it: let it end earlier, "
            "or sign with lasting ones"
        )
    return seconds


async def sign_url(
    sdk: Sdk,
    config: S3Config,
    method: str,
    key: str,
    parameters: list[tuple[str, str]],
    headers: Mapping[str, str],
    now: float,
    expires: int,
) -> PresignedUrl:
    """Return a signed URL and the headers that it must be used with."""
    endpoint = sdk.endpoint
    if not endpoint.plain or config.customer_key is not None:
        raise NotSupportedError(
            "links to this bucket cannot be signed by us: use `storage.driver.client`, or "
            "configure an endpoint"
        )
    credentials = await sdk.credentials()
    if credentials is None:
        raise CredentialsError("anonymous access signs no links: give credentials")
    if config.request_payer:
        parameters = [*parameters, ("x-amz-request-payer", "requester")]
    path = endpoint.base + encode_path(key)
    signer = Signer(endpoint.host, endpoint.region, endpoint.service)
    query = signer.presign(method, path, parameters, headers, credentials, now, expires)
    url = f"{endpoint.origin}{path}?{query}"
    return PresignedUrl(url, (method,), {name.title(): value for name, value in headers.items()})
