"""What only Azure Blob has to look at."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs

from .._diagnosis import Canary, Finding, Step
from ..errors import CredentialsError, PermissionDeniedError, StorageError, StorageNotFoundError
from ._azure_config import Place
from ._rest_checks import RestChecks
from .http import HttpOptions

_SOON = 24 * 3600  # seconds
_LETTERS = {
    "stat": "r",
    "read": "r",
    "range read": "r",
    "list": "l",
    "write": "c and w",
    "replace": "w",
    "delete": "d",
    "leftovers": "l",
}


def azure_steps(place: Place, options: HttpOptions, canary: Canary) -> list[Step]:
    """Return the steps of Azure.

    Args:
        place: where, and who asks.
        options: how it is reached.
        canary: what may be written.
    """

    async def expiry() -> Finding:
        return _expiry(place.sas or "", datetime.now(UTC))

    rest = RestChecks(
        place.origin, options, canary,
        f"add a CORS rule to the blob service of the account {place.account!r} "
        "(az storage cors add --services b)",
        etag_needed=False,
    )  # fmt: skip
    own = [] if place.sas is None else [Step("expiry", expiry, first=True)]
    return [*rest.steps(), *own]


def advise(place: Place, check: str, error: StorageError) -> str:
    """Return what to do about the error of a check."""
    if isinstance(error, CredentialsError):
        if place.sas is not None:
            return "get a new shared access signature for this container, and pass its URL"
        if place.key is not None:
            return "correct account and key, as the portal shows them under 'Access keys'"
        return "correct the credential, or give one: key, credential or sas_container_url"
    if isinstance(error, PermissionDeniedError):
        if place.sas is not None:
            letters = _LETTERS.get(check, "r, c, w, d and l")
            return f"get a shared access signature that grants {letters} (sp=racwdl for all)"
        return "give the identity the role 'Storage Blob Data Contributor' on the container"
    if isinstance(error, StorageNotFoundError):
        return f"create the container {place.container!r}, or correct bucket, account or endpoint"
    return "see the message, and check account, bucket and endpoint"


def _expiry(sas: str, now: datetime) -> Finding:
    end = parse_qs(sas).get("se", [""])[0]
    try:
        moment = datetime.fromisoformat(end)
    except ValueError:
        return Finding("ok", "a stored policy tells when the signature ends")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    left = (moment - now).total_seconds()
    advice = "get a new shared access signature, and pass its URL"
    if left <= 0:
        return Finding("failed", f"the shared access signature ended at {end}", advice)
    status = "warning" if left < _SOON else "ok"
    found = f"the shared access signature ends at {end}"
    return Finding("warning", found, advice) if status == "warning" else Finding("ok", found)
