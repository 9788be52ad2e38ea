"""Links that Azure itself honours: shared access signatures."""

from __future__ import annotations

from datetime import UTC, datetime

from .._disposition import content_disposition
from ..driver import PresignedUrl
from ..errors import InvalidArgumentError, NotSupportedError
from ..links import InternalLinkTokenData
from ._azure_config import Place
from ._azure_sdk import Sdk

_OCTETS = "application/octet-stream"


async def presign_link(
    sdk: Sdk, place: Place, key: str, grant: InternalLinkTokenData, now: float
) -> PresignedUrl:
    """Return the URL of a grant, with every constraint inside its signature.

    Raises:
        NotSupportedError: Azure cannot enforce a constraint.
        InvalidArgumentError: it would end at once, or outlive what signs it.
    """
    for name in ("once", "max_size", "exact_size"):
        if getattr(grant, name):
            raise NotSupportedError(
                f"Azure cannot enforce {name} on a link: configure an endpoint, which can"
            )
    if grant.allow_upload and grant.content_type is not None:
        raise NotSupportedError(
            "Azure cannot enforce the content_type of an upload: configure an endpoint, which can"
        )
    expires = datetime.fromtimestamp(int(grant.expires.timestamp()), UTC)
    if expires.timestamp() < now + 1:
        raise InvalidArgumentError("the link would end within this second")
    permissions, methods = "", []
    told: dict[str, str] = {}
    headers: dict[str, str] = {}
    if grant.allow_download:
        permissions += "r"
        methods += ["GET", "HEAD"]
        name = grant.output_path or key.rpartition("/")[2]
        told["content_disposition"] = content_disposition(grant.disposition, name)
        if grant.content_type is not None:
            told["content_type"] = grant.content_type
    if grant.allow_upload:
        permissions += "cw" if grant.overwrite else "c"
        methods.append("PUT")
        headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": _OCTETS}
    if grant.allow_remove:
        permissions += "d"
        methods.append("DELETE")
    signature = await sdk.blob_sas(key, permissions, expires, **told)
    return PresignedUrl(f"{place.url(key)}?{signature}", tuple(methods), headers)
