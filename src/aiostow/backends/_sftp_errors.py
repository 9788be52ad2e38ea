"""What the failures of SSH and SFTP mean."""

from __future__ import annotations

import asyncio
import errno
import os

import asyncssh
from asyncssh import SFTPError

from ..errors import (
    ConnectionLostError,
    CredentialsError,
    FileExistsInStorageError,
    FileNotFoundInStorageError,
    HostKeyError,
    InvalidKeyError,
    IsADirectoryInStorageError,
    KeyConflictError,
    NotAFileError,
    PermissionDeniedError,
    StorageError,
    StorageFullError,
    StorageIOError,
    UnreachableError,
    UnsupportedOperationError,
)
from ._sftp_wire import Status

_CAUSES: dict[int, tuple[type[StorageError], str]] = {
    Status.EOF: (StorageIOError, "the file ended where it must not"),
    Status.NO_SUCH_FILE: (FileNotFoundInStorageError, "no such file"),
    Status.NO_SUCH_PATH: (FileNotFoundInStorageError, "no such file"),
    Status.PERMISSION_DENIED: (PermissionDeniedError, "the server denied permission"),
    Status.WRITE_PROTECT: (PermissionDeniedError, "the server's file system is read-only"),
    Status.OP_UNSUPPORTED: (UnsupportedOperationError, "the server does not support this"),
    Status.FILE_ALREADY_EXISTS: (FileExistsInStorageError, "the file exists"),
    Status.NO_SPACE: (StorageFullError, "no space is left on the server"),
    Status.QUOTA_EXCEEDED: (StorageFullError, "the quota on the server is used up"),
    Status.NOT_A_DIRECTORY: (KeyConflictError, "a segment of this key is a file"),
    Status.DIR_NOT_EMPTY: (KeyConflictError, "the name is a directory with files in it"),
    Status.INVALID_FILENAME: (InvalidKeyError, "the server cannot hold a file of this name"),
    Status.LINK_LOOP: (NotAFileError, "symlinks lead in a circle"),
    Status.FILE_IS_A_DIRECTORY: (
        IsADirectoryInStorageError,
        "this is a directory, not a file",
    ),
    Status.NO_CONNECTION: (ConnectionLostError, "the server lost its own connection"),
    Status.CONNECTION_LOST: (ConnectionLostError, "the server lost its own connection"),
}

# Version 3 has no codes for these, but many servers say them in the words of their system.
_SAID = {
    os.strerror(errno.ENOSPC): Status.NO_SPACE,
    os.strerror(errno.EDQUOT): Status.QUOTA_EXCEEDED,
    os.strerror(errno.EROFS): Status.WRITE_PROTECT,
    os.strerror(errno.EISDIR): Status.FILE_IS_A_DIRECTORY,
    os.strerror(errno.ENOTDIR): Status.NOT_A_DIRECTORY,
    os.strerror(errno.ENOTEMPTY): Status.DIR_NOT_EMPTY,
    os.strerror(errno.ENAMETOOLONG): Status.INVALID_FILENAME,
    os.strerror(errno.ELOOP): Status.LINK_LOOP,
}

_ERRNOS: dict[int, int] = {Status.QUOTA_EXCEEDED: errno.EDQUOT, Status.WRITE_PROTECT: errno.EROFS}


class Refused(Exception):  # noqa: N818  # what came of an attempt, which several may wait for
    """No session could be had; each who waits for it gets an error of their own.

    Args:
        cause: the error that it is.
        message: what went wrong, with the host, and without what is secret.
    """

    def __init__(self, cause: type[StorageError], message: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.message = message

    @property
    def passing(self) -> bool:
        """Whether a later attempt may succeed."""
        return self.cause is UnreachableError


def map_error(exc: BaseException) -> StorageError | None:
    """Return the error by cause, or None for a stranger."""
    if isinstance(exc, StorageError):
        return None
    if isinstance(exc, Refused):
        return exc.cause(exc.message)
    if isinstance(exc, SFTPError):
        return _status_error(exc)
    if isinstance(exc, asyncssh.DisconnectError | ConnectionError | asyncio.IncompleteReadError):
        reason = getattr(exc, "reason", "") or str(exc)
        return ConnectionLostError(f"the connection was lost: {reason}")
    if isinstance(exc, asyncssh.Error):
        return StorageIOError(f"SSH failed: {exc.reason}")
    return None


def _status_error(exc: SFTPError) -> StorageError:
    code = exc.code
    if code == Status.FAILURE:
        code = _SAID.get(exc.reason.strip(), code)
    found = _CAUSES.get(code)
    if found is None:
        said = exc.reason.strip() or f"status {exc.code}"
        return StorageIOError(f"the server failed and says only {said!r}")
    cause, message = found
    number = _ERRNOS.get(code)
    return cause(message) if number is None else cause(message, errno=number)


def connect_failure(exc: BaseException, where: str, keys: str) -> Refused | None:
    """Return why no connection was made, or None for what is no error, such as a cancellation.

    Args:
        exc: what asyncssh or the system raised.
        where: user, host and port.
        keys: what was offered to the server, such as the path of a key.
    """
    if isinstance(exc, Refused):
        return exc
    if isinstance(exc, asyncssh.PermissionDenied):
        return Refused(CredentialsError, f"{where} did not accept {keys}")
    if isinstance(exc, asyncssh.HostKeyNotVerifiable):
        return Refused(HostKeyError, f"{where}: {exc.reason}")
    if isinstance(exc, asyncssh.ChannelOpenError):
        return Refused(UnreachableError, f"{where} could not be reached: {exc.reason}")
    if isinstance(exc, TimeoutError):
        return Refused(UnreachableError, f"{where} did not answer in time")
    if isinstance(exc, asyncssh.DisconnectError):
        return Refused(UnreachableError, f"{where} ended the connection: {exc.reason}")
    if isinstance(exc, OSError):
        said = exc.strerror or str(exc) or type(exc).__name__
        return Refused(UnreachableError, f"{where} could not be reached: {said}")
    if isinstance(exc, asyncssh.Error):
        return Refused(UnreachableError, f"{where}: {exc.reason}")
    if isinstance(exc, Exception):
        # What asyncssh makes of names, answers and keys that it did not expect.
        return Refused(UnreachableError, f"{where} could not be talked to: {type(exc).__name__}")
    return None
