"""One async storage API over S3, Azure Blob, SFTP, the local disk and memory."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._extras import BACKENDS, SDKS, missing_extra

if TYPE_CHECKING:
    from .backends.azure import AzureStorage as AzureStorage
    from .backends.local import LocalFSStorage
    from .backends.memory import MemoryStorage
    from .backends.s3 import S3Storage as S3Storage
    from .backends.sftp import SFTPStorage as SFTPStorage
    from .errors import (
        AmbiguousWriteError,
        BlockingCallError,
        ClosedError,
        ConnectionLostError,
        CredentialsError,
        DeleteManyError,
        ExpiredLinkError,
        FileExistsInStorageError,
        FileNotFoundInStorageError,
        HostKeyError,
        IntegrityError,
        InvalidArgumentError,
        InvalidKeyError,
        InvalidLinkError,
        InvalidTypeError,
        IsADirectoryInStorageError,
        KeyConflictError,
        LinkTooLongError,
        MemoryBudgetError,
        NotAFileError,
        NotSupportedError,
        ObjectChangedError,
        PermissionDeniedError,
        ProfileError,
        ResourceLimitError,
        ServiceUnavailableError,
        ShortReadError,
        StorageError,
        StorageFullError,
        StorageIOError,
        StorageNotFoundError,
        UnknownProfileError,
        UnreachableError,
        UnsupportedOperationError,
        WriteConflictError,
    )
    from .files import Reader, UpdateFile, Writer
    from .links import InternalLinkTokenData
    from .models import (
        Capabilities,
        FileMode,
        Folder,
        Leftover,
        Link,
        ListEntry,
        ShareLinkOperation,
        Support,
        WriteOptions,
        as_mode,
        as_operation,
    )
    from .operations import StorageOperations, SyncStorageOperations
    from .profiles import Profiles
    from .storage import InternalLinksStorageBackend, Storage

__all__ = [
    "AmbiguousWriteError",
    "BlockingCallError",
    "Capabilities",
    "ClosedError",
    "ConnectionLostError",
    "CredentialsError",
    "DeleteManyError",
    "ExpiredLinkError",
    "FileExistsInStorageError",
    "FileMode",
    "FileNotFoundInStorageError",
    "Folder",
    "HostKeyError",
    "IntegrityError",
    "InternalLinkTokenData",
    "InternalLinksStorageBackend",
    "InvalidArgumentError",
    "InvalidKeyError",
    "InvalidLinkError",
    "InvalidTypeError",
    "IsADirectoryInStorageError",
    "KeyConflictError",
    "Leftover",
    "Link",
    "LinkTooLongError",
    "ListEntry",
    "LocalFSStorage",
    "MemoryBudgetError",
    "MemoryStorage",
    "NotAFileError",
    "NotSupportedError",
    "ObjectChangedError",
    "PermissionDeniedError",
    "ProfileError",
    "Profiles",
    "Reader",
    "ResourceLimitError",
    "ServiceUnavailableError",
    "ShareLinkOperation",
    "ShortReadError",
    "Storage",
    "StorageError",
    "StorageFullError",
    "StorageIOError",
    "StorageNotFoundError",
    "StorageOperations",
    "Support",
    "SyncStorageOperations",
    "UnknownProfileError",
    "UnreachableError",
    "UnsupportedOperationError",
    "UpdateFile",
    "WriteConflictError",
    "WriteOptions",
    "Writer",
    "as_mode",
    "as_operation",
]

# All is imported when it is first named: a command line that only tells its options must not wait
# for what it does not use. Each of these modules imports those before it.
_FLOORS = ("errors", "models", "links", "files", "storage", "profiles", "operations")


def __getattr__(name: str) -> Any:
    if name in BACKENDS:
        value = _backend(name)
    elif name in __all__:
        modules = (importlib.import_module(f".{module}", __name__) for module in _FLOORS)
        value = next(vars(module)[name] for module in modules if name in module.__all__)
    elif name in _FLOORS:
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _backend(name: str) -> Any:
    module = BACKENDS[name]
    try:
        return getattr(importlib.import_module(f".backends.{module}", __name__), name)
    except ModuleNotFoundError as exc:
        sdk = (exc.name or "").partition(".")[0]
        if sdk not in SDKS.get(module, ()):
            raise
        raise missing_extra(name, module, exc) from exc


def __dir__() -> list[str]:
    return sorted({*__all__, *BACKENDS})
