"""Files on an SFTP server that become visible whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import posixpath
import secrets
import stat
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any

from asyncssh import ConnectionLost, SFTPError

from .._operation import tell_retry
from .._tasks import Cleanups
from ..driver import Buffer, Limits
from ..errors import (
    FileExistsInStorageError,
    IntegrityError,
    InvalidKeyError,
    PermissionDeniedError,
    StorageError,
    StorageFullError,
    StorageIOError,
    UnreachableError,
    UnsupportedOperationError,
)
from ..keys import TEMP_PREFIX
from ..models import ListEntry, WriteOptions
from ._sftp_errors import Refused
from ._sftp_pool import Lease
from ._sftp_session import (
    FSYNC,
    HARDLINK,
    POSIX_RENAME,
    STATVFS,
    Session,
    is_status,
    together,
)
from ._sftp_tree import MISSING, NO_NAMES, conflict, find, make_parents, remove_empty
from ._sftp_wire import Attrs, Open, Status, blocks, path_bytes

GetLease = Callable[[int], Awaitable[Lease]]

PIECE = 4 * (255 << 10)
LIMITS = Limits(preferred=PIECE, depth=4)

_COPIED = 16 << 20  # bytes of one request to copy: its session does nothing else meanwhile
_TRIES = 3  # of a rename or removal whose answer was lost


class StagedFile:
    """A file in the making beside its final name, with a temporary one.

    Whoever is killed leaves at most a file with a temporary name, for `sweep`.

    Args:
        lease: gives the use of a session and of so many files.
        path: the final name.
        options: of the write.
        allow_non_atomic: whether to remove the old file first where the server cannot replace it.
        living: the temporary names of this process, which no sweep removes.
    """

    def __init__(
        self,
        lease: GetLease,
        path: str,
        options: WriteOptions,
        *,
        allow_non_atomic: bool,
        living: set[str],
    ) -> None:
        self._get_lease = lease
        self._path = path
        self._final = path_bytes(path)
        self._if_absent = options.if_absent
        self._allow_non_atomic = allow_non_atomic
        self._living = living
        self._name, self._temp = temporary_beside(path)
        self._handle = b""
        self._existing: Attrs | None = None  # what had the final name at the beginning
        self._chmod: asyncio.Future[None] | None = None
        self._size = 0
        self._left = False  # whether there may be something to remove
        self._lease: Lease | None = None

    @property
    def lease(self) -> Lease:
        """The use of the session on which the file is, once it is created."""
        assert self._lease is not None, "create sets it"
        return self._lease

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Discard the file after an error, and else leave it."""
        if isinstance(exc, ConnectionLost):
            await self.discard()
        elif exc is not None:
            self.discard_soon()

    async def create(self, lease: Lease | None = None) -> None:
        """Make the file, and the directories above it where they are missing.

        Args:
            lease: the one to use, with room for the file; by default one of its own.

        Raises:
            NotAFileError: the final name is a symlink, FIFO or device.
            KeyConflictError: a segment of it is a file.
            UnsupportedOperationError: it exists and the server cannot replace it in one step.
        """
        self._lease = lease = lease or await self._get_lease(1)
        self._living.add(self._name)
        session = lease.session
        try:
            looking, opening = session.lstat(self._final), self._open()
            with contextlib.suppress(SFTPError):  # it is not there, or the opening tells why
                self._existing = await looking
            try:
                self._handle = await opening
            except SFTPError as exc:
                if not is_status(exc, *MISSING):
                    raise
                await make_parents(session, self._path)
                self._handle = await self._open()
            self._check()
            refused = looking.exception()
            if refused is not None and is_status(refused, *NO_NAMES):
                raise _no_name()
        except ConnectionLost:
            await self.discard()
            raise
        except BaseException:
            self.discard_soon()
            raise

    def _open(self) -> asyncio.Future[bytes]:
        self._left = True
        return self.lease.open(self._temp, Open.WRITE | Open.CREATE | Open.EXCLUSIVE)

    def _check(self) -> None:
        existing, session = self._existing, self.lease.session
        if existing is None or existing.is_dir:
            return
        existing.check_file()
        if self._if_absent:
            raise _exists()
        if POSIX_RENAME not in session.extensions and not self._allow_non_atomic:
            raise _not_atomic()
        if existing.mode is not None:
            self._chmod = session.chmod(self._handle, stat.S_IMODE(existing.mode))

    def send(self, offset: int, buffers: Sequence[Buffer]) -> list[asyncio.Future[None]]:
        """Begin to write at an offset, and return what `sent` is to wait for."""
        session = self.lease.session
        requests = []
        for block in blocks(buffers, session.limits.write_size):
            requests.append(session.write(self._handle, offset, block))
            offset += sum(map(len, block))
        self._size = max(self._size, offset)
        return requests

    async def sent(self, requests: Sequence[asyncio.Future[Any]]) -> list[Any]:
        """Wait for answers, and tell why nothing can be written."""
        try:
            return await together(*requests)
        except SFTPError as exc:
            await refuse_full(self.lease.session, self._path, exc)
            raise

    async def copy(self, handle: bytes, size: int) -> None:
        """Fill the file, within the server, from another that is open on the same lease."""
        for offset in range(0, size, _COPIED):
            length = min(_COPIED, size - offset)
            copying = self.lease.session.copy_data(handle, offset, length, self._handle)
            await self.sent([copying])
        self._size = size

    async def finish(self, requests: Sequence[asyncio.Future[None]] = ()) -> Attrs:
        """Make the bytes durable where the server can, close the file and tell of it.

        Args:
            requests: of `send`, that are to be waited for too.
        """
        session = self.lease.session
        ending: list[asyncio.Future[Any]] = [session.fstat(self._handle)]
        if FSYNC in session.extensions:
            ending.append(session.sync(self._handle))
        ending.append(self.lease.close(self._handle))
        answers = await self.sent([*requests, *ending])
        attrs: Attrs = answers[len(requests)]
        if attrs.size is not None and attrs.size != self._size:
            raise IntegrityError(f"the server has {attrs.size} bytes, where {self._size} were sent")
        await self._check_mode(attrs)
        return attrs

    async def _check_mode(self, attrs: Attrs) -> None:
        """Refuse to replace a file by one that more people may use, where chmod is forbidden."""
        if self._chmod is None:
            return
        try:
            await self._chmod
        except SFTPError as exc:
            assert self._existing is not None
            if stat.S_IMODE((attrs.mode or 0) & ~(self._existing.mode or 0)):
                raise PermissionDeniedError(
                    "the server does not let the new file have the permissions of the old one, "
                    "which are stricter"
                ) from exc

    async def publish(self, attrs: Attrs) -> None:
        """Give the finished file its name, in one step.

        Args:
            attrs: what `finish` told.

        Raises:
            FileExistsInStorageError: create-only, and the name exists.
            KeyConflictError: the name is a directory with files in it.
            StorageIOError: as of `rename_over`; the file keeps its temporary name.
            ConnectionLost: nobody knows whether it has its name.
        """
        session = self.lease.session
        both = False  # whether it has its temporary name still
        try:
            if self._existing is not None and self._existing.is_dir:
                await remove_empty(self.lease, self._final)
            if self._if_absent:
                both = await create_only(session, self._temp, self._final)
            elif POSIX_RENAME in session.extensions:
                await self._replace(attrs)
            else:
                await rename_over(
                    session,
                    self._temp,
                    self._final,
                    allow_non_atomic=self._allow_non_atomic,
                    keep=self._keep,
                )
        except SFTPError as exc:
            raise await unreplaced(self.lease.session, self._final, exc) from exc
        self._left = both
        await self.discard()

    def _keep(self, keep: bool) -> None:
        self._left = not keep

    async def _replace(self, attrs: Attrs) -> None:
        """Rename; when the answer is lost, look whether it was done, and else do it."""
        lost: ConnectionLost | None = None
        for turn in range(_TRIES):
            if lost is not None:
                tell_retry(turn, 0.0, lost, "the connection was lost")
            try:
                await self.lease.session.replace(self._temp, self._final)
                return
            except ConnectionLost as exc:
                lost = exc
                try:
                    await self._renew()
                except Refused:
                    raise lost from None
            except SFTPError as exc:
                if lost is None or not is_status(exc, *MISSING):
                    raise
            # Nothing but that rename takes our temporary name away, unless it is a sweep.
            if await find(self.lease.session, self._temp) is None:
                now = await find(self.lease.session, self._final)
                if now is not None and now.version == attrs.version:
                    return
                raise lost
        assert lost is not None, "every turn ends or loses a connection"
        raise lost

    async def _renew(self) -> None:
        self.lease.release()
        self._lease = await self._get_lease(0)

    def _release(self) -> None:
        self._living.discard(self._name)
        if self._lease is not None:
            self._lease.release()

    def discard_soon(self) -> None:
        """Remove the file without waiting for it."""
        self._release()  # closes it first
        if self._left and self.lease.session.lost is None:
            self.lease.session.remove(self._temp)
            self._left = False

    async def discard(self) -> None:
        """Remove the file; what cannot be removed is left to a sweep. Idempotent."""
        try:
            for _ in range(_TRIES if self._left else 0):
                try:
                    if self.lease.session.lost is not None:
                        await self._renew()
                    self.lease.release()  # closes it first
                    await self.lease.session.remove(self._temp)
                except ConnectionLost:
                    continue  # which a connection may show only now
                except (SFTPError, Refused):
                    pass
                self._left = False
                return
        finally:
            self._release()


class SFTPUpload:
    """A staged file that is written piece by piece.

    Args:
        file: created already.
        key: for the entry that `commit` returns.
    """

    limits = LIMITS

    def __init__(self, file: StagedFile, key: str) -> None:
        self._file = file
        self._key = key

    async def stage(self, index: int, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write a piece where it belongs."""
        await self._file.sent(self._file.send(offset, buffers))

    async def commit(self) -> ListEntry:
        """Give the file its name."""
        try:
            attrs = await self._file.finish()
        except ConnectionLost as exc:
            raise nothing_written() from exc
        await self._file.publish(attrs)
        return attrs.entry(self._key)

    async def abort(self) -> None:
        """Remove the file."""
        await self._file.discard()


async def refuse_full(session: Session, path: str, exc: SFTPError) -> None:
    """Tell that the disk is full, of which sshd says only that it failed to write.

    Raises:
        StorageFullError: it is.
    """
    if is_status(exc, Status.FAILURE) and STATVFS in session.extensions:
        with contextlib.suppress(SFTPError, ConnectionLost):
            parent = path_bytes(posixpath.dirname(path) or ".")
            if await session.free_space(parent) < PIECE:
                raise StorageFullError("no space is left on the server") from exc


async def create_only(session: Session, path: bytes, new_path: bytes) -> bool:
    """Give a file a new name, unless that name exists; of several who do, one succeeds.

    Returns:
        whether it still has its old name too.

    Raises:
        FileExistsInStorageError: it exists.
        UnsupportedOperationError: the server has no way that is safe.
    """
    if HARDLINK in session.extensions:
        try:
            await session.link(path, new_path)
        except SFTPError as exc:
            await _refuse_taken(session, new_path)
            if is_status(exc, Status.FAILURE):
                raise UnsupportedOperationError(
                    "the server could not link the finished file to its name, without which "
                    "nothing is surely create-only on it"
                ) from exc
            if not is_status(exc, Status.OP_UNSUPPORTED, Status.PERMISSION_DENIED):
                raise
        else:
            return True
    try:
        await session.rename(path, new_path)  # which refuses a name that exists
    except SFTPError:
        await _refuse_taken(session, new_path)
        raise
    return False


async def _refuse_taken(session: Session, path: bytes) -> None:
    found = await find(session, path)
    if found is not None:
        raise conflict() if found.is_dir else _exists()


async def rename_over(
    session: Session,
    path: bytes,
    new_path: bytes,
    *,
    allow_non_atomic: bool,
    keep: Callable[[bool], None] | None = None,
) -> None:
    """Rename on a server that replaces no file by renaming another.

    A cancellation waits until a file whose place was cleared has taken it.

    Args:
        allow_non_atomic: whether to remove the old file first.
        keep: told True before the old file is removed, from when on `path` may be the only whole
            copy, and False if the server would not remove it.

    Raises:
        UnsupportedOperationError: the name exists, and its file is not to be removed first.
        StorageIOError: the old file was removed, but `path` could not take its name.
    """
    try:
        await session.rename(path, new_path)
    except SFTPError:
        found = await find(session, new_path)
        if found is None or found.is_dir:
            raise
        if not allow_non_atomic:
            raise _not_atomic() from None
        await Cleanups().finish(_supplant(session, path, new_path, keep or (lambda _: None)))


async def _supplant(
    session: Session, path: bytes, new_path: bytes, keep: Callable[[bool], None]
) -> None:
    keep(True)  # before it is sent: an answer that is lost tells nothing
    try:
        await session.remove(new_path)
    except SFTPError:
        keep(False)
        raise
    try:
        await session.rename(path, new_path)
    except SFTPError as exc:
        if await find(session, path) is None:
            raise
        name = posixpath.basename(path).decode(errors="replace")
        which = "temporary" if name.startswith(TEMP_PREFIX) else "old"
        raise StorageIOError(
            "the old file was removed, but the server does not give its name to the new one: the "
            f"whole copy is left under its {which} name {name!r}"
        ) from exc


async def take_away(session: Session, path: bytes, new_path: bytes, aside: bytes) -> None:
    """Take away the first of two names of one file, unless both are one name spelt in two ways.

    Such are names on a disk that ignores case, or below a directory and a symlink to it; no server
    tells them from hard links, so the file is never removed while it may have no other name.

    Args:
        aside: a name that does not exist, for the moment.
    """
    await session.rename(path, aside)
    if await find(session, new_path) is None:
        await session.rename(aside, new_path)
    else:
        await session.remove(aside)


def temporary_beside(path: str) -> tuple[str, bytes]:
    """Return a new temporary name, and the path of it in the directory of another."""
    name = TEMP_PREFIX + secrets.token_hex(8)
    return name, path_bytes(posixpath.join(posixpath.dirname(path), name))


async def unreplaced(session: Session, path: bytes, exc: SFTPError) -> Exception:
    """Return why a name could not be taken."""
    found = await find(session, path)
    if found is not None and found.is_dir:
        return conflict()
    if is_status(exc, *NO_NAMES):
        return _no_name()
    if is_status(exc, *MISSING):
        return StorageIOError("the file or its directory was removed meanwhile: write again")
    return exc


def nothing_written() -> StorageError:
    """Return the error of a connection that was lost before anything could become visible."""
    return UnreachableError("the connection was lost before the file was whole: nothing is written")


def _exists() -> StorageError:
    return FileExistsInStorageError("the key exists, and the write was create-only")


def _no_name() -> StorageError:
    return InvalidKeyError("the server cannot hold a file of this name")


def _not_atomic() -> StorageError:
    return UnsupportedOperationError(
        "the server has no posix-rename, so no file can be replaced in one step: delete it first, "
        "or give allow_non_atomic=True, by which a reader may find no file for a moment, and a "
        "crash then leaves none"
    )
