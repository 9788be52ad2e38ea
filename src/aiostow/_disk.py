"""What is done to a disk. Everything here blocks.

A directory is given as a descriptor and a name within it, so that no path is resolved twice.
"""

from __future__ import annotations

import errno
import os
import stat as stat_module
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from . import _libc
from .driver import Buffer
from .errors import (
    AmbiguousWriteError,
    FileExistsInStorageError,
    IsADirectoryInStorageError,
    KeyConflictError,
    NotAFileError,
    UnsupportedOperationError,
)

try:
    import fcntl
except ImportError:  # Windows: require_posix() tells
    fcntl = None  # type: ignore[assignment]

_IOV_MAX = 1024
_COPY_BLOCK = 64 << 20
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS)
_NO_COPY_RANGE = (
    errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EPERM,
)  # fmt: skip


@dataclass(slots=True)
class Features:
    """What the system offers; tests take features away to prove the ways around them."""

    openat2: bool
    tmpfile: bool
    links: bool = True
    rename_noreplace: bool = True
    copy_range: bool = True


def features() -> Features:
    """Return what this system offers; a file system may still refuse, and is then gone around."""
    return Features(
        openat2=_libc.has_openat2(),
        tmpfile=hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"),
        copy_range=hasattr(os, "copy_file_range"),
    )


def require_posix(what: str) -> None:
    """Refuse on systems without directory descriptors and file locks.

    Raises:
        UnsupportedOperationError: names what is lacking.
    """
    lacking = [
        name
        for name, there in (
            ("directory descriptors", os.open in os.supports_dir_fd),
            ("O_NOFOLLOW", hasattr(os, "O_NOFOLLOW")),
            ("flock", fcntl is not None),
        )
        if not there
    ]
    if lacking:
        raise UnsupportedOperationError(
            f"{what} needs Linux or macOS: this system lacks {', '.join(lacking)}, without which "
            "files cannot be confined and written safely"
        )


class Descriptor:
    """A file descriptor that is closed only when no thread is using it any more.

    A number that was closed may already name another file, so a thread must never come late: it
    enters the descriptor for each use, and after `close` that is an error.
    """

    __slots__ = ("_closed", "_fd", "_lock", "_users")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._users = 0
        self._closed = False
        self._lock = threading.Lock()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def __enter__(self) -> int:
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, "the file was closed")
            self._users += 1
            return self._fd

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._closed:
                os.close(self._fd)

    def close(self) -> None:
        """Close as soon as nobody uses it; idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if not self._users:
                os.close(self._fd)

    def __del__(self) -> None:
        self.close()


def lock(fd: int) -> None:
    """Show a sweep, also in other processes, that the file is in use while it is open."""
    fcntl.flock(fd, fcntl.LOCK_EX)


def sync(fd: int) -> None:
    """Make a file or directory durable, through the drive's own cache where the system can."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError:  # not every file system has it
            os.fsync(fd)
    else:
        os.fsync(fd)


def sync_names(directory: int) -> None:
    """Make durable what was named, renamed or removed in a directory.

    Raises:
        AmbiguousWriteError: it is done, but a power cut may undo it.
    """
    try:
        sync(directory)
    except OSError as exc:
        raise AmbiguousWriteError(
            f"it is done, but could not be made durable: {exc.strerror}"
        ) from exc


def check_regular(info: os.stat_result) -> None:
    """Refuse whatever is no regular file.

    Raises:
        IsADirectoryInStorageError, NotAFileError: says what it is.
    """
    mode = info.st_mode
    if stat_module.S_ISREG(mode):
        return
    if stat_module.S_ISDIR(mode):
        raise IsADirectoryInStorageError("this is a directory, not a file")
    kind = next(
        (
            name
            for test, name in (
                (stat_module.S_ISLNK, "a symlink"),
                (stat_module.S_ISFIFO, "a FIFO"),
                (stat_module.S_ISSOCK, "a socket"),
            )
            if test(mode)
        ),
        "a device",
    )
    raise NotAFileError(f"this is {kind}, which is never followed or opened")


def read_at(fd: int, offset: int, length: int) -> bytes:
    """Read up to `length` bytes; fewer only at the end of the file."""
    data = os.pread(fd, length, offset)
    if len(data) == length or not data:
        return data
    parts = [data]
    got = len(data)
    while got < length and (data := os.pread(fd, length - got, offset + got)):
        parts.append(data)
        got += len(data)
    return b"".join(parts)


def write_at(fd: int, offset: int, buffers: Sequence[Buffer]) -> None:
    """Write all of `buffers`, one after the other."""
    pending = [memoryview(buffer) for buffer in buffers if len(buffer)]
    first = 0
    while first < len(pending):
        done = os.pwritev(fd, pending[first : first + _IOV_MAX], offset)
        offset += done
        while first < len(pending) and done >= len(pending[first]):
            done -= len(pending[first])
            first += 1
        if done:
            pending[first] = pending[first][done:]


def lstat(directory: int, name: str) -> os.stat_result | None:
    """Return the state of a name, without following it; None where there is none."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def conflict() -> KeyConflictError:
    """Return the error for a key that is a directory with files in it."""
    return KeyConflictError(
        "on a disk this name is a directory with files in it: 'a' and 'a/b' cannot both be files"
    )


def remove_empty(directory: int, name: str, *, levels: int = 100) -> None:
    """Remove a directory that holds nothing but empty directories, which no listing shows.

    Raises:
        KeyConflictError: it holds something, or more levels than are looked into.
    """
    if not levels:
        raise conflict()
    try:
        os.rmdir(name, dir_fd=directory)
        return
    except FileNotFoundError:
        return
    except OSError as exc:
        if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, dir_fd=directory)
    try:
        with os.scandir(fd) as entries:
            inner = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        if not all(is_dir for _, is_dir in inner):
            raise conflict()
        for inner_name, _ in inner:
            remove_empty(fd, inner_name, levels=levels - 1)
    finally:
        os.close(fd)
    try:
        os.rmdir(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except OSError as exc:
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise conflict() from exc
        raise


def move_new(directory: int, name: str, to_directory: int, to_name: str, system: Features) -> None:
    """Rename, but never over an existing name.

    Raises:
        FileExistsError: the name exists.
        UnsupportedOperationError: the file system cannot.
    """
    error: OSError | None = None
    if system.rename_noreplace:
        try:
            return _libc.rename_noreplace(directory, name, to_name, to_directory)
        except FileExistsError:
            raise
        except OSError as exc:
            if exc.errno not in (*NO_LINKS, errno.EINVAL):
                raise
            error = exc
    raise UnsupportedOperationError(
        "this file system has neither hard links nor RENAME_NOREPLACE, so create-only cannot "
        "have one winner"
    ) from error


def copy_bytes(src: int, dst: int, system: Features, go_on: Callable[[], None]) -> None:
    """Copy a whole file into an empty one, within the kernel where it can (a reflink at best).

    Args:
        src: the file, open for reading.
        dst: the empty one, open for writing.
        system: what to use of its features.
        go_on: called between blocks; what it raises ends the copy.
    """
    offset = 0
    if system.copy_range:
        try:
            while done := os.copy_file_range(src, dst, _COPY_BLOCK, offset, offset):
                offset += done
                go_on()
        except OSError as exc:
            if offset or exc.errno not in _NO_COPY_RANGE:
                raise
    # Some file systems report nothing copied (such as /proc's): reading tells the end.
    while data := os.pread(src, 4 << 20, offset):
        write_at(dst, offset, [data])
        offset += len(data)
        go_on()


def leftover(directory: int, name: str, before: float) -> os.stat_result | None:
    """Return the state of a temporary file if it is older than `before` and nobody's.

    Args:
        directory: that holds it.
        name: of the file.
        before: in seconds since the epoch.
    """
    try:
        info = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if info.st_mtime > before or not stat_module.S_ISREG(info.st_mode):
            return None
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    finally:
        os.close(fd)
    return info


def discard(directory: int, name: str) -> bool:
    """Remove a temporary file that is nobody's; return whether this call did."""
    try:
        fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Under our lock: if the name still leads to this file, its writer is dead.
        now = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not os.path.samestat(now, os.fstat(fd)):
            return False
        os.unlink(name, dir_fd=directory)
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(fd)
    return True


def move(
    directory: int, name: str, to_directory: int, to_name: str, if_absent: bool, system: Features
) -> None:
    """Rename a regular file in one step.

    Raises:
        FileExistsInStorageError: with `if_absent`, the new name exists.
        KeyConflictError: the new name is a directory with files in it.
        NotAFileError: the new name is a symlink, FIFO or device.
    """
    existing = lstat(to_directory, to_name)
    if existing is not None:
        if stat_module.S_ISDIR(existing.st_mode):
            remove_empty(to_directory, to_name)
        elif if_absent:
            raise FileExistsInStorageError("the new key exists, and the move was create-only")
        else:
            check_regular(existing)
    if if_absent:
        try:
            move_new(directory, name, to_directory, to_name, system)
        except FileExistsError as exc:
            raise FileExistsInStorageError(
                "the new key exists, and the move was create-only"
            ) from exc
        return
    try:
        os.rename(name, to_name, src_dir_fd=directory, dst_dir_fd=to_directory)
    except IsADirectoryError as exc:
        raise conflict() from exc
    # POSIX renames nothing when both names are hard links to one file: then the old one must go.
    # With one link both are one name, on a disk that ignores case.
    if existing is not None and existing.st_nlink > 1:
        left = lstat(directory, name)
        if left is not None and os.path.samestat(existing, left):
            os.unlink(name, dir_fd=directory)
