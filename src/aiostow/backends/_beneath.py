"""Opening names below a root directory, never through a symlink and never outside. It blocks.

Linux resolves a whole path under these rules in one call (openat2); elsewhere each component is
opened by itself, without following, from the descriptor of the one before. Both are immune to a
component being swapped for a symlink meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

from .. import _libc
from .._disk import Descriptor, Features, check_regular, sync
from ..errors import StorageIOError

_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_TRIES = 64


class Root:
    """The directory that keys are relative to; opened when first needed, made when first written.

    Args:
        path: absolute. Symlinks in it are the owner's choice and are followed, once.
        system: what to use of the system's features.
        durable: whether directories that are made are made durable.
    """

    def __init__(self, path: Path, *, system: Features, durable: bool) -> None:
        self._path = path
        self._system = system
        self._durable = durable
        self._descriptor: Descriptor | None = None
        self._lock = threading.Lock()

    def _opened(self, *, create: bool) -> Descriptor:
        with self._lock:
            if self._descriptor is None:
                self._descriptor = Descriptor(self._open_root(create))
            return self._descriptor

    def _open_root(self, create: bool) -> int:
        try:
            if create:
                self._make()
            return os.open(self._path, _DIRECTORY | os.O_CLOEXEC)
        except (FileExistsError, NotADirectoryError) as exc:
            raise StorageIOError(
                "the root of this storage is no directory, but a file or a symlink to nowhere",
                errno=errno.ENOTDIR,
            ) from exc

    def close(self) -> None:
        """Close the root's descriptor; the next use opens it again."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            descriptor.close()

    def open(self, key: str, flags: int) -> int:
        """Open the file `key`, never waiting for the other end of a FIFO.

        Raises:
            NotAFileError: this is no regular file; it was not opened.
            OSError: ELOOP for a symlink anywhere in the key, and as `os.open`.
        """
        # To open a FIFO or device has effects on others. One that appears in between is opened
        # after all, which is why it must not block, and the caller must look again.
        with self._opened(create=False) as root:
            try:
                info = os.stat(key, dir_fd=root, follow_symlinks=False)
            except OSError:  # opening it tells what is wrong, under the rules of confinement
                info = None
        if info is not None:
            check_regular(info)
        return self._open(key, flags | os.O_NONBLOCK | os.O_NOCTTY, create=False)

    def open_directory(self, path: str) -> int:
        """Open the directory `path`, ``""`` for the root itself.

        Raises:
            NotADirectoryError: it is something else; a symlink in the way is no directory.
            FileNotFoundError: it does not exist.
        """
        try:
            return self._open(path or ".", _DIRECTORY, create=False)
        except OSError as exc:
            if exc.errno != errno.ELOOP:
                raise
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from exc

    def open_parent(self, key: str, *, create: bool = False) -> tuple[int, str]:
        """Open the directory that holds `key`; return its descriptor and the last segment.

        Args:
            key: of a file.
            create: whether to make directories that are missing, the root included.
        """
        parent, _, name = key.rpartition("/")
        try:
            return self._open(parent or ".", _DIRECTORY, create=create), name
        except FileNotFoundError:
            if not create:
                raise
        return self._make_directories(parent), name

    def _open(self, path: str, flags: int, *, create: bool) -> int:
        with self._opened(create=create) as root:
            if not self._system.openat2:
                return _walk(root, path, flags)
            for _ in range(_TRIES):
                try:
                    return _libc.openat2(root, path, flags)
                except BlockingIOError:  # the kernel could not rule out a race: again
                    continue
                except OSError as exc:
                    if exc.errno == errno.ENAMETOOLONG:  # the path perhaps, none of its segments
                        return _walk(root, path, flags)
                    raise
        raise OSError(errno.EAGAIN, "the directory is being changed too often to be opened safely")

    def _make_directories(self, path: str) -> int:
        with self._opened(create=True) as root:
            directory = os.dup(root)
        try:
            for segment in path.split("/"):
                try:
                    os.mkdir(segment, dir_fd=directory)
                    if self._durable:
                        sync(directory)
                except FileExistsError:
                    pass
                directory, outer = _step(directory, segment, _DIRECTORY), directory
                os.close(outer)
        except BaseException:
            os.close(directory)
            raise
        return directory

    def _make(self) -> None:
        missing = [path for path in (self._path, *self._path.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            if self._durable:
                parent = os.open(path.parent, _DIRECTORY | os.O_CLOEXEC)
                try:
                    sync(parent)
                finally:
                    os.close(parent)


def _walk(root: int, path: str, flags: int) -> int:
    *parents, name = path.split("/")
    directory = os.dup(root)
    try:
        for segment in parents:
            directory, outer = _step(directory, segment, _DIRECTORY), directory
            os.close(outer)
        return _step(directory, name, flags)
    finally:
        os.close(directory)


def _step(directory: int, segment: str, flags: int) -> int:
    try:
        return os.open(segment, flags | _NOFOLLOW, dir_fd=directory)
    except NotADirectoryError:
        # Asked for a directory, systems answer ENOTDIR for a symlink; openat2 says ELOOP.
        info = os.stat(segment, dir_fd=directory, follow_symlinks=False)
        # A directory by now: it was swapped meanwhile, which must not pass for "not there".
        if stat.S_ISLNK(info.st_mode) or stat.S_ISDIR(info.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise
