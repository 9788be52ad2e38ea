"""What the errors of S3 and of its SDK mean, in the terms of this library."""

from __future__ import annotations

from botocore import exceptions as sdk

from ..errors import (
    CredentialsError,
    FileNotFoundInStorageError,
    IntegrityError,
    InvalidArgumentError,
    InvalidKeyError,
    PermissionDeniedError,
    StorageError,
    StorageFullError,
    StorageNotFoundError,
    UnsupportedOperationError,
    WriteConflictError,
)
from ._rest_errors import other_error, transport_error
from .http import ServiceError, TransportError

_NO_CREDENTIALS = (
    "no credentials were found: pass aws_access_key_id and aws_secret_access_key, set them in the "
    "environment, name an aws_profile, or pass anonymous=True for a public bucket"
)
_WRONG_KEY = "the service does not know the access key: check aws_access_key_id"
_EXPIRED = "the credentials have expired: get new ones"
_CLOCK = (
    "the clock of this machine is too far from the service's, so its signatures are refused: "
    "set the clock"
)
_ARCHIVED = "the object is archived: restore it before it is read"
_CHANGED_ON_THE_WAY = "the bytes that arrived are not the bytes that were sent"

_BY_CODE: dict[str, tuple[type[StorageError], str]] = {
    "NoSuchKey": (FileNotFoundInStorageError, "no such object"),
    "NoSuchVersion": (FileNotFoundInStorageError, "no such object"),
    "NoSuchBucket": (
        StorageNotFoundError,
        "there is no such bucket: create it, or correct its name, the region or the endpoint",
    ),
    "NoSuchUpload": (
        WriteConflictError,
        "the upload was ended by somebody else, such as a sweep; nothing was written",
    ),
    "PreconditionFailed": (WriteConflictError, "the object is not the version that was named"),
    "ConditionalRequestConflict": (WriteConflictError, "another writer was at work; write again"),
    "OperationAborted": (WriteConflictError, "another operation was at work; write again"),
    "InvalidAccessKeyId": (CredentialsError, _WRONG_KEY),
    "SignatureDoesNotMatch": (
        CredentialsError,
        "the signature was refused: check aws_secret_access_key",
    ),
    "InvalidToken": (CredentialsError, "the session token was refused: check aws_session_token"),
    "InvalidSecurity": (CredentialsError, "the credentials were refused: check them"),
    "ExpiredToken": (CredentialsError, _EXPIRED),
    "TokenRefreshRequired": (CredentialsError, _EXPIRED),
    "RequestExpired": (CredentialsError, _CLOCK),
    "RequestTimeTooSkewed": (CredentialsError, _CLOCK),
    "AccessDenied": (
        PermissionDeniedError,
        "the service refused: these credentials may not do this here",
    ),
    "KeyTooLongError": (InvalidKeyError, "the key is too long for S3: 1,024 bytes at most"),
    "InvalidBucketName": (InvalidArgumentError, "this is no name that a bucket can have"),
    "EntityTooLarge": (InvalidArgumentError, "the object or part is larger than S3 allows"),
    "EntityTooSmall": (InvalidArgumentError, "a part is smaller than this service allows"),
    "QuotaExceeded": (StorageFullError, "the quota is used up"),
    "InsufficientStorage": (StorageFullError, "the service has no space left"),
    "NotImplemented": (UnsupportedOperationError, "this service does not implement it"),
    "MethodNotAllowed": (UnsupportedOperationError, "this service does not allow it"),
    "InvalidObjectState": (UnsupportedOperationError, _ARCHIVED),
    "BadDigest": (IntegrityError, _CHANGED_ON_THE_WAY),
    "InvalidDigest": (IntegrityError, _CHANGED_ON_THE_WAY),
    "XAmzContentChecksumMismatch": (IntegrityError, _CHANGED_ON_THE_WAY),
    "XAmzContentSHA256Mismatch": (IntegrityError, _CHANGED_ON_THE_WAY),
}
_BY_STATUS = {
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    409: "OperationAborted",
    412: "PreconditionFailed",
    501: "NotImplemented",
    507: "InsufficientStorage",
}
_OTHER_REGION = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed",
     "IllegalLocationConstraintException"}
)  # fmt: skip
_CREDENTIALS = (
    sdk.CredentialRetrievalError,
    sdk.MetadataRetrievalError,
    sdk.NoAuthTokenError,
    sdk.PartialCredentialsError,
    sdk.RefreshWithMFAUnsupportedError,
    sdk.SSOError,
    sdk.TokenRetrievalError,
    sdk.UnknownCredentialError,
)
_UNREACHABLE = (
    sdk.ConnectTimeoutError,
    sdk.EndpointConnectionError,
    sdk.ProxyConnectionError,
    sdk.SSLError,
)
_LOST = (sdk.ConnectionError, sdk.HTTPClientError, sdk.ResponseStreamingError)


def to_storage_error(exc: BaseException) -> StorageError | None:
    """Return the error by cause; None for a stranger's."""
    if isinstance(exc, ServiceError):
        return _of_service(exc)
    if isinstance(exc, TransportError):
        return transport_error(exc)
    if isinstance(exc, sdk.NoCredentialsError):
        return CredentialsError(_NO_CREDENTIALS)
    if isinstance(exc, _CREDENTIALS):
        return CredentialsError(f"the credentials could not be had: {exc}")
    if isinstance(exc, (sdk.FlexibleChecksumError, sdk.ChecksumError)):
        return IntegrityError(_CHANGED_ON_THE_WAY)
    if isinstance(exc, sdk.BotoCoreError):
        return InvalidArgumentError(f"the SDK of S3 refuses: {exc}")
    return None


def lost_by_sdk(exc: BaseException) -> TransportError | None:
    """Return our error for one of the SDK's connections; None for anything else."""
    if isinstance(exc, _UNREACHABLE):
        return TransportError("the service could not be reached", connected=False)
    if isinstance(exc, (*_LOST, TimeoutError)):
        return TransportError("the connection was lost", connected=True)
    return None


def region_of(error: ServiceError) -> str | None:
    """Return the region that an answer sends us to, if it does."""
    if error.status in (301, 307) or error.code in _OTHER_REGION:
        return error.headers.get("x-amz-bucket-region")
    return None


def _of_service(exc: ServiceError) -> StorageError:
    region = region_of(exc)
    if region is not None or exc.code in _OTHER_REGION:
        where = f"pass aws_region={region!r}" if region else "correct aws_region and endpoint_url"
        return InvalidArgumentError(f"the bucket is in another region: {where}")
    found = _BY_CODE.get(exc.code) or _BY_CODE.get(_BY_STATUS.get(exc.status, ""))
    if found is not None:
        cls, text = found
        return cls(text)
    return other_error(exc)
