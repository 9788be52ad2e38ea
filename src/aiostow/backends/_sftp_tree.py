"""The directories of an SFTP server: made, listed, and removed when they are in the way."""

from __future__ import annotations

import posixpath
from collections import deque

from asyncssh import SFTPError

from ..errors import KeyConflictError, StorageError, StorageIOError
from ._sftp_pool import Lease
from ._sftp_session import Session, is_status
from ._sftp_wire import Attrs, Status, path_bytes

MISSING = (Status.NO_SUCH_FILE, Status.NO_SUCH_PATH, Status.NOT_A_DIRECTORY)
NO_NAMES = (Status.BAD_MESSAGE, Status.INVALID_FILENAME)
UNHEARD_OF = (*MISSING, *NO_NAMES)
"""What servers answer for names that they do not have, also for those that they cannot have."""

_ANSWERS = 8  # packets of names under way at once, of one directory
_TRIES = 3  # of a listing that meets a file which is removed meanwhile
_LEVELS = 100  # of empty directories that are looked into

Names = list[tuple[str, Attrs]]


async def find(session: Session, path: bytes) -> Attrs | None:
    """Tell of a file or directory, or that there is none."""
    try:
        return await session.lstat(path)
    except SFTPError as exc:
        if is_status(exc, *UNHEARD_OF):
            return None
        raise


async def make_parents(session: Session, path: str) -> None:
    """Make the directories above a path, as far as they are missing.

    Raises:
        KeyConflictError: one of them is a file.
        PermissionDeniedError: one could not be made.
    """
    parents = []
    parent = posixpath.dirname(path)
    while parent not in ("", "/"):
        parents.append(path_bytes(parent))
        parent = posixpath.dirname(parent)
    parents.reverse()
    making = [session.make_dir(each) for each in parents]
    for each, made in zip(parents, making, strict=True):
        try:
            await made
        except SFTPError as exc:
            found = await find(session, each)
            if found is None and each == parents[-1]:
                raise
            if found is not None and found.is_file and not found.is_dir and found.mode is not None:
                raise KeyConflictError(
                    "on a disk a segment of this key is a file: 'a' and 'a/b' cannot both be files"
                ) from exc


async def list_directory(lease: Lease, path: bytes) -> Names | None:
    """Return what is in a directory, or None where there is none."""
    for last in (turn == _TRIES for turn in range(1, _TRIES + 1)):
        try:
            return await _list(lease, path)
        except SFTPError as exc:
            found = await find(lease.session, path)
            if found is None or not (found.is_dir or found.is_link):
                return None
            if last or not is_status(exc, *MISSING):
                raise
    raise AssertionError("the last turn returns or raises")


async def _list(lease: Lease, path: bytes) -> Names:
    handle = await lease.open_dir(path)
    names: Names = []
    asked = deque([lease.session.read_dir(handle)])
    count = 2  # a small directory is told in one answer, and its end in another
    ended = False
    try:
        while asked:
            while len(asked) < count and not ended:
                asked.append(lease.session.read_dir(handle))
            try:
                some = await asked.popleft()
            except SFTPError as exc:
                if not is_status(exc, Status.EOF):
                    raise
                ended = True  # those under way may still bring some, where answers overtake
                continue
            if not some:
                raise StorageIOError("the server lists nothing, and does not say that it ends")
            names += some
            count = min(2 * count, _ANSWERS)
    finally:
        if lease.session.lost is None:
            lease.close(handle)
    return [each for each in names if each[0] not in (".", "..")]


async def remove_empty(lease: Lease, path: bytes, *, levels: int = _LEVELS) -> None:
    """Remove a directory that holds nothing but empty directories, which no listing shows.

    Raises:
        KeyConflictError: it holds something, or more levels than are looked into.
    """
    try:
        await lease.session.remove_dir(path)
    except SFTPError as exc:
        inner = await list_directory(lease, path)
        if inner is None:
            return
        if not levels or not all(attrs.is_dir for _, attrs in inner):
            raise conflict() from exc
        for name, _ in inner:
            await remove_empty(lease, path + b"/" + path_bytes(name), levels=levels - 1)
        try:
            await lease.session.remove_dir(path)
        except SFTPError as again:
            raise conflict() from again


def conflict() -> StorageError:
    """Return the error of a directory that is in the way of a file."""
    return KeyConflictError("the name is a directory with files in it")
