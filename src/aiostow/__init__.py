"""One async storage API over S3, Azure Blob, SFTP, the local disk and memory."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import (
    AmbiguousWriteError,
    BlockingCallError,
    ClosedError,
    DeleteManyError,
    FileExistsInStorageError,
    FileNotFoundInStorageError,
    InvalidArgumentError,
    InvalidKeyError,
    InvalidTypeError,
    IsADirectoryInStorageError,
    KeyConflictError,
    MemoryBudgetError,
    NotAFileError,
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
from .models import Capabilities, FileMode, Folder, ListEntry, Support, WriteOptions, as_mode
from .storage import Storage

if TYPE_CHECKING:
    from .backends.local import LocalFSStorage
    from .backends.memory import MemoryStorage

__all__ = [
    "AmbiguousWriteError",
    "BlockingCallError",
    "Capabilities",
    "ClosedError",
    "DeleteManyError",
    "FileExistsInStorageError",
    "FileMode",
    "FileNotFoundInStorageError",
    "Folder",
    "InvalidArgumentError",
    "InvalidKeyError",
    "InvalidTypeError",
    "IsADirectoryInStorageError",
    "KeyConflictError",
    "ListEntry",
    "LocalFSStorage",
    "MemoryBudgetError",
    "MemoryStorage",
    "NotAFileError",
    "ObjectChangedError",
    "PermissionDeniedError",
    "Reader",
    "ResourceLimitError",
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
