"""What the errors of Azure Blob and of its SDK mean, in the terms of this library."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs

from azure.core import exceptions as sdk

from ..errors import (
    ConnectionLostError,
    CredentialsError,
    FileExistsInStorageError,
    FileNotFoundInStorageError,
    IntegrityError,
    InvalidArgumentError,
    InvalidKeyError,
    ObjectChangedError,
    PermissionDeniedError,
    ResourceLimitError,
    StorageError,
    StorageFullError,
    StorageIOError,
    StorageNotFoundError,
    UnreachableError,
    UnsupportedOperationError,
    WriteConflictError,
)
from ._azure_config import Place
from ._rest_errors import other_error, transport_error
from .http import ServiceError, TransportError

_URL = re.compile(r"https?://[^\s'\"]+")
_MAX_TOLD = 200  # characters of a stranger's message

_NO_CONTAINER = (
    "there is no such container: create it, or correct its name, the account or the endpoint"
)
_QUICKER = (
    "another writer of this key was quicker, and the service dropped the blocks of this one; "
    "nothing of it is visible"
)
_LEASED = "somebody else holds a lease on the blob; nothing was written"
_IMMUTABLE = "the blob is immutable by a policy or a legal hold"
_REFUSED = "the service refused: this may not be done here with these credentials"
_CHANGED_ON_THE_WAY = "the bytes that arrived are not the bytes that were sent"
_BAD_NAME = "the service does not take this for a name: 1,024 characters at most"
_OTHER_KIND = "the blob is an append or page blob, and blocks cannot replace it: delete it first"
_OTHER_BLOCKS = (
    "unfinished blocks of another program, whose ids have another length, are in the way of an "
    "upload in blocks: the service drops them a week after the last of them, or when the blob is "
    "written in one request (within chunk_size); nothing was written"
)

_BY_CODE: dict[str, tuple[type[StorageError], str]] = {
    "BlobNotFound": (FileNotFoundInStorageError, "no such object"),
    "ResourceNotFound": (FileNotFoundInStorageError, "no such object"),
    "ContainerNotFound": (StorageNotFoundError, _NO_CONTAINER),
    "ContainerBeingDeleted": (StorageNotFoundError, "the container is being deleted"),
    "ContainerDisabled": (StorageNotFoundError, "the container is disabled"),
    "BlobAlreadyExists": (
        FileExistsInStorageError,
        "the key exists, and the write was create-only",
    ),
    "ConditionNotMet": (WriteConflictError, "the object is not the version that was named"),
    "TargetConditionNotMet": (WriteConflictError, "the object is not the version that was named"),
    "SourceConditionNotMet": (ObjectChangedError, "the source was replaced while it was copied"),
    "InvalidBlockList": (WriteConflictError, _QUICKER),
    "InvalidBlobOrBlock": (WriteConflictError, _OTHER_BLOCKS),
    "LeaseIdMissing": (WriteConflictError, _LEASED),
    "LeaseIdMismatchWithBlobOperation": (WriteConflictError, _LEASED),
    "BlobImmutableDueToPolicy": (PermissionDeniedError, _IMMUTABLE),
    "BlobImmutableDueToLegalHold": (PermissionDeniedError, _IMMUTABLE),
    "AuthorizationFailure": (PermissionDeniedError, _REFUSED),
    "AuthorizationPermissionMismatch": (PermissionDeniedError, _REFUSED),
    "InsufficientAccountPermissions": (PermissionDeniedError, _REFUSED),
    "UnauthorizedBlobOverwrite": (PermissionDeniedError, _REFUSED),
    "AuthorizationSourceIPMismatch": (
        PermissionDeniedError,
        "the service refuses the address that the request comes from",
    ),
    "AuthorizationProtocolMismatch": (
        PermissionDeniedError,
        "the service is to be asked by https only",
    ),
    "AccountRequiresHttps": (
        PermissionDeniedError,
        "the service is to be asked by https only",
    ),
    "AccountIsDisabled": (PermissionDeniedError, "the account is disabled"),
    "NoAuthenticationInformation": (
        CredentialsError,
        "the container is not public: anonymous access is refused",
    ),
    "PublicAccessNotPermitted": (
        CredentialsError,
        "the account allows no public containers: anonymous access is refused",
    ),
    "KeyBasedAuthenticationNotPermitted": (
        CredentialsError,
        "the account does not accept its key: use credential, of azure-identity",
    ),
    "InvalidBlobType": (UnsupportedOperationError, _OTHER_KIND),
    "BlobArchived": (
        UnsupportedOperationError,
        "the blob is archived: rehydrate it by a warmer access tier before it is read",
    ),
    "BlobBeingRehydrated": (
        UnsupportedOperationError,
        "the blob is being rehydrated, which takes hours",
    ),
    "BlockCountExceedsLimit": (
        ResourceLimitError,
        "too many unfinished blocks wait under this key: write it in one request to drop them",
    ),
    "AccountLimitExceeded": (StorageFullError, "the account has no space left"),
    "InsufficientStorage": (StorageFullError, "the account has no space left"),
    "RequestBodyTooLarge": (InvalidArgumentError, "the object or block is larger than Azure takes"),
    "InvalidResourceName": (InvalidKeyError, _BAD_NAME),
    "InvalidUri": (InvalidKeyError, _BAD_NAME),
    "OutOfRangeInput": (InvalidKeyError, _BAD_NAME),
    "InvalidMetadata": (InvalidArgumentError, "the service refuses the metadata"),
    "MetadataTooLarge": (InvalidArgumentError, "the metadata is larger than the 8 KiB of Azure"),
    "Md5Mismatch": (IntegrityError, _CHANGED_ON_THE_WAY),
    "InvalidMd5": (IntegrityError, _CHANGED_ON_THE_WAY),
}
_BY_STATUS = {
    403: "AuthorizationFailure",
    404: "BlobNotFound",
    412: "ConditionNotMet",
    507: "InsufficientStorage",
}
_OF_SOURCE: dict[int, type[StorageError]] = {
    401: PermissionDeniedError,
    403: PermissionDeniedError,
    404: FileNotFoundInStorageError,
}
_AUTHENTICATION = frozenset({"AuthenticationFailed", "InvalidAuthenticationInfo"})
_NEEDED = "reading needs r, listing l, writing c and w, deleting d"


class TokenError(Exception):
    """A credential gave no token. It has no cause: that may hold what must not be told."""


def to_storage_error(exc: BaseException, place: Place) -> StorageError | None:
    """Return the error by cause; None for a stranger's."""
    if isinstance(exc, ServiceError):
        return _of_service(exc, place)
    if isinstance(exc, TransportError):
        return transport_error(exc)
    if isinstance(exc, TokenError):
        return CredentialsError(f"the credential gave no token: {exc}")
    if isinstance(exc, sdk.HttpResponseError) and exc.status_code is not None:
        return _of_service(service_error(exc), place)
    if isinstance(exc, sdk.ServiceRequestError):
        return UnreachableError("the service could not be reached")
    if isinstance(exc, (sdk.ServiceResponseError, sdk.IncompleteReadError)):
        return ConnectionLostError("the connection was lost")
    if isinstance(exc, sdk.AzureError):
        return StorageIOError(f"the SDK of Azure failed: {told(exc)}")
    return None


def service_error(exc: sdk.HttpResponseError) -> ServiceError:
    """Return the SDK's error as that of every other request."""
    headers: Mapping[str, str] = getattr(exc.response, "headers", {})
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    code = lower.get("x-ms-error-code") or str(getattr(exc, "error_code", "") or "")
    return ServiceError(exc.status_code or 0, code.rpartition(".")[2], told(exc), lower)


def told(exc: BaseException) -> str:
    """Return a stranger's first line, without URLs: they may hold signatures."""
    return _URL.sub("(URL)", str(exc).strip().partition("\n")[0])[:_MAX_TOLD]


def _of_service(exc: ServiceError, place: Place) -> StorageError:
    if exc.code == "CannotVerifyCopySource":  # its status is that of the source
        kind = _OF_SOURCE.get(exc.status, StorageIOError)
        return kind("the service could not read the source of the copy")
    if _is_authentication(exc):
        return CredentialsError(_authentication(place))
    found = _BY_CODE.get(exc.code) or _BY_CODE.get(_BY_STATUS.get(exc.status, ""))
    if found is not None:
        cls, text = found
        if cls is PermissionDeniedError and text is _REFUSED and place.sas is not None:
            text = _ended(place.sas) or text + _granted(place.sas)
        return cls(text)
    return other_error(exc)


def _is_authentication(exc: ServiceError) -> bool:
    if exc.code in _AUTHENTICATION or (exc.status == 401 and exc.code not in _BY_CODE):
        return True
    # Azurite has one code for who asks and for what is asked.
    return exc.code == "AuthorizationFailure" and "authenticate" in exc.message


def _authentication(place: Place) -> str:
    if place.sas is not None:
        return _ended(place.sas) or (
            "the shared access signature was refused: it is for another container or blob, was "
            "revoked, or is not whole"
        )
    if place.key is not None:
        return (
            "the signature was refused: check account and key, and whether the clock of this "
            "machine is right"
        )
    if place.credential is not None:
        return "the token of the credential was refused: check its tenant and audience"
    return "the container is not public: anonymous access is refused"


def _ended(sas: str) -> str | None:
    end = parse_qs(sas).get("se", [""])[0]
    try:
        moment = datetime.fromisoformat(end)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment.timestamp() < time.time():
        return f"the shared access signature ended at {end}: get a new one"
    return None


def _granted(sas: str) -> str:
    granted = parse_qs(sas).get("sp", [""])[0]
    if not granted:  # a stored policy tells
        return ""
    return f": the shared access signature grants {granted!r}, and {_NEEDED}"
