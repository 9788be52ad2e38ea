"""One async storage API over S3, Azure Blob, SFTP, the local disk and memory."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import (
    AmbiguousWriteError,
    BlockingCallError,
    ClosedError,
    ConnectionLostError,
    DeleteManyError,
    ExpiredLinkError,
    FileExistsInStorageError,
    FileNotFoundInStorageError,
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
    ResourceLimitError,
    ShortReadError,
    StorageError,
    StorageFullError,
    StorageIOError,
    UnsupportedOperationError,
    WriteConflictError,
)
from .files import Reader, UpdateFile, Writer
from .links import InternalLinkTokenData
from .models import (
    Capabilities,
    FileMode,
    Folder,
    Link,
    ListEntry,
    ShareLinkOperation,
    Support,
    WriteOptions,
    as_mode,
    as_operation,
)
from .storage import InternalLinksStorageBackend, Storage

if TYPE_CHECKING:
    from .backends.local import LocalFSStorage
    from .backends.memory import MemoryStorage

__all__ = [
    "AmbiguousWriteError",
    "BlockingCallError",
    "Capabilities",
    "ClosedError",
    "ConnectionLostError",
    "DeleteManyError",
    "ExpiredLinkError",
    "FileExistsInStorageError",
    "FileMode",
    "FileNotFoundInStorageError",
    "Folder",
    "InternalLinkTokenData",
    "InternalLinksStorageBackend",
    "InvalidArgumentError",
    "InvalidKeyError",
    "InvalidLinkError",
    "InvalidTypeError",
    "IsADirectoryInStorageError",
    "KeyConflictError",
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
    "Reader",
    "ResourceLimitError",
    "ShareLinkOperation",
    "ShortReadError",
    "Storage",
    "StorageError",
    "StorageFullError",
    "StorageIOError",
    "Support",
    "UnsupportedOperationError",
    "UpdateFile",
    "WriteConflictError",
    "WriteOptions",
    "Writer",
    "as_mode",
    "as_operation",
]

# Backends are imported when they are first named, so that no SDK is loaded for nothing.
_BACKENDS = {
    "LocalFSStorage": "local",
    "MemoryStorage": "memory",
}


def __getattr__(name: str) -> Any:
    module = _BACKENDS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".backends.{module}", __name__), name)


def __dir__() -> list[str]:
    return __all__
