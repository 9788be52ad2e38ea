"""Every error of the library, by cause.

StorageError
├── InvalidTypeError (TypeError)              text where bytes are meant, no file, ...
├── InvalidArgumentError (ValueError)         a mode, number or option that cannot be
│   ├── InvalidKeyError                       a key that no storage may address
│   ├── LinkTooLongError                      a link's constraints do not fit into its token
│   ├── ProfileError                          a configuration of storages that cannot be
│   │   └── UnknownProfileError (LookupError)  no profile has this name
│   └── ClosedError                           the file or the storage is closed
├── BlockingCallError (RuntimeError)          a call of the sync facade that would block a loop
├── ConnectionLostError (ConnectionError)     the connection to the service was lost
│   └── UnreachableError                      there was none: nothing was sent
├── HostKeyError (ConnectionError)            the server's key is unknown, changed or revoked
├── StorageNotFoundError (LookupError)        the bucket, container or root is not there
├── FileNotFoundInStorageError (FileNotFoundError)
├── FileExistsInStorageError (FileExistsError)
├── NotAFileError (OSError)                   a symlink, FIFO, socket or device
│   └── IsADirectoryInStorageError (IsADirectoryError)
├── KeyConflictError (OSError)                "a" beside "a/b" where keys are paths of a disk
├── InvalidLinkError                          a token that this storage did not make as it is
│   └── ExpiredLinkError                      one that it made, too long ago
├── PermissionDeniedError (PermissionError)
│   └── CredentialsError                      missing, wrong, expired, or a clock that is off
├── UnsupportedOperationError (io.UnsupportedOperation)
│   └── NotSupportedError                     a link's constraint that the service cannot enforce
├── WriteConflictError                        another writer won, or `if_match` no longer holds
├── AmbiguousWriteError                       wholly old or wholly new, and nobody can tell
├── ObjectChangedError                        replaced while it was read, or not the wanted version
├── ShortReadError (EOFError)                 fewer bytes came than were promised
├── StorageFullError (OSError)                no space, quota or file-size limit
├── ResourceLimitError (OSError)              too many open files, no memory, no thread
├── StorageIOError (OSError)                  any other failure of the disk or service
│   ├── ServiceUnavailableError               the service is overloaded or broken; try later
│   └── IntegrityError                        bytes were changed on their way
├── MemoryBudgetError (MemoryError)           a piece of the stream would not fit the budget
└── DeleteManyError                           some of many deletions failed: see `.failures`

Each is also the builtin that people already catch, carries `.key`, `.operation` and `.storage` (a
name), and pickles.
"""

from __future__ import annotations

import errno as _errno
import io
from collections.abc import Mapping
from typing import Any, Self

__all__ = [
    "AmbiguousWriteError",
    "BlockingCallError",
    "ClosedError",
    "ConnectionLostError",
    "CredentialsError",
    "DeleteManyError",
    "ExpiredLinkError",
    "FileExistsInStorageError",
    "FileNotFoundInStorageError",
    "HostKeyError",
    "IntegrityError",
    "InvalidArgumentError",
    "InvalidKeyError",
    "InvalidLinkError",
    "InvalidTypeError",
    "IsADirectoryInStorageError",
    "KeyConflictError",
    "LinkTooLongError",
    "MemoryBudgetError",
    "NotAFileError",
    "NotSupportedError",
    "ObjectChangedError",
    "PermissionDeniedError",
    "ProfileError",
    "ResourceLimitError",
    "ServiceUnavailableError",
    "ShortReadError",
    "StorageError",
    "StorageFullError",
    "StorageIOError",
    "StorageNotFoundError",
    "UnknownProfileError",
    "UnreachableError",
    "UnsupportedOperationError",
    "WriteConflictError",
]


class StorageError(Exception):
    """The base of all errors of this library.

    Args:
        message: what went wrong and, where it helps, what to do; without key or storage.
        key: the key as the caller gave it.
        operation: the method that was called, such as ``"open"``.
        storage: the name of the storage.
        errno: the system's error number, for those that are also an `OSError`.
    """

    key: str | None
    operation: str | None
    storage: str | None
    _default_errno: int | None = None

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        operation: str | None = None,
        storage: str | None = None,
        errno: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.key = key
        self.operation = operation
        self.storage = storage
        if isinstance(self, OSError):
            _describe(self, errno if errno is not None else self._default_errno, message, key)

    def with_context(self, *, operation: str | None, key: str | None, storage: str | None) -> Self:
        """Fill in what is not known yet and return this error."""
        if self.operation is None:
            self.operation = operation
        if self.key is None:
            self.key = key
            if isinstance(self, OSError):
                _describe(self, self.errno, self.message, key)
        if self.storage is None:
            self.storage = storage
        return self

    def __str__(self) -> str:
        where = " ".join(
            part
            for part in (
                self.operation,
                None if self.key is None else repr(self.key),
                None if self.storage is None else f"in storage {self.storage!r}",
            )
            if part
        )
        return f"{where}: {self.message}" if where else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        errno = self.errno if isinstance(self, OSError) else None
        return _rebuild, (type(self), self.message, errno), self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        self.__dict__.update(state or {})
        if isinstance(self, OSError):
            _describe(self, self.errno, self.message, self.key)


def _describe(error: OSError, errno: int | None, message: str, key: str | None) -> None:
    error.errno, error.strerror, error.filename = errno, message, key


def _rebuild(cls: type[StorageError], message: str, errno: int | None) -> StorageError:
    return cls(message, errno=errno)


class InvalidTypeError(StorageError, TypeError):
    """An argument has the wrong type; the message says what to write instead."""


class InvalidArgumentError(StorageError, ValueError):
    """An argument has a value that cannot be; the message says what can."""


class InvalidKeyError(InvalidArgumentError):
    """No storage may have this key, which is told before any I/O, or this one cannot hold it."""


class LinkTooLongError(InvalidArgumentError):
    """The token of a link would be too long for a URL: shorten key, file name or content type."""


class ProfileError(InvalidArgumentError):
    """A configuration of storages cannot be; the message says where, and holds no value."""


class UnknownProfileError(ProfileError, LookupError):
    """No profile has this name; the message says which there are."""


class ClosedError(InvalidArgumentError):
    """The file or the storage was closed before."""


class BlockingCallError(StorageError, RuntimeError):
    """The sync facade was called where waiting would block an event loop, its own or another."""


class ConnectionLostError(StorageError, ConnectionError):
    """The connection to the service was lost, or none could be made."""

    _default_errno = _errno.ECONNRESET


class UnreachableError(ConnectionLostError):
    """No connection to the service could be made, so nothing was sent and nothing was done."""

    _default_errno = _errno.ECONNREFUSED


class HostKeyError(StorageError, ConnectionError):
    """The server could not show that it is the one that is meant, so nothing was sent to it."""

    _default_errno = _errno.ECONNREFUSED


class StorageNotFoundError(StorageError, LookupError):
    """The bucket, container or root of the storage itself is not there."""


class FileNotFoundInStorageError(StorageError, FileNotFoundError):
    """No object has this key."""

    _default_errno = _errno.ENOENT


class FileExistsInStorageError(StorageError, FileExistsError):
    """The key exists and the write was create-only."""

    _default_errno = _errno.EEXIST


class NotAFileError(StorageError, OSError):
    """The name on disk is a symlink, FIFO, socket or device, which are never followed or opened."""

    _default_errno = _errno.EINVAL


class IsADirectoryInStorageError(NotAFileError, IsADirectoryError):
    """The name on disk is a directory where a file is meant."""

    _default_errno = _errno.EISDIR


class KeyConflictError(StorageError, OSError):
    """On disk a name is a file or a directory: ``a`` and ``a/b`` exclude each other."""

    _default_errno = _errno.ENOTDIR


class PermissionDeniedError(StorageError, PermissionError):
    """The disk or service refused this operation."""

    _default_errno = _errno.EACCES


class CredentialsError(PermissionDeniedError):
    """The service does not accept who asks; the message says what to do."""


class UnsupportedOperationError(StorageError, io.UnsupportedOperation):
    """This storage or file cannot do what was asked, and does not pretend to."""


class NotSupportedError(UnsupportedOperationError):
    """The service cannot enforce what the link was to promise, so there is no such link."""


class InvalidLinkError(StorageError):
    """A token is not one that this storage made, or not as it made it; it does not tell which."""


class ExpiredLinkError(InvalidLinkError):
    """A token of this storage is past its time."""


class WriteConflictError(StorageError):
    """Another writer won, or the version `if_match` is no longer there; nothing was written."""


class AmbiguousWriteError(StorageError):
    """The write is there whole or not at all, and nobody can tell which; read to find out."""


class ObjectChangedError(StorageError):
    """The object is not the version that was asked for or opened; nothing mixed was returned."""


class ShortReadError(StorageError, EOFError):
    """The body ended before its promised length."""


class StorageFullError(StorageError, OSError):
    """No space, quota or file-size limit is left; nothing of this write is visible."""

    _default_errno = _errno.ENOSPC


class ResourceLimitError(StorageError, OSError):
    """A limit of this process or machine was met, such as the number of open files."""

    _default_errno = _errno.EMFILE


class StorageIOError(StorageError, OSError):
    """The disk or service failed in a way that no other error names."""

    _default_errno = _errno.EIO


class ServiceUnavailableError(StorageIOError):
    """The service was overloaded or broken for as long as it was tried."""


class IntegrityError(StorageIOError):
    """Bytes were changed on their way: they do not match their checksum."""


class MemoryBudgetError(StorageError, MemoryError):
    """The stream needs larger pieces than `memory_budget` allows."""


class DeleteManyError(StorageError):
    """Some of many deletions failed; the others were carried out.

    `failures` maps each key that is still there to its own error.
    """

    failures: Mapping[str, StorageError]

    def __init__(
        self, message: str, *, failures: Mapping[str, StorageError] | None = None, **context: Any
    ) -> None:
        super().__init__(message, **context)
        self.failures = dict(failures or {})
