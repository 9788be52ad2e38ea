"""Files on a disk that become visible whole or not at all, also on the caller's own paths."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from pendulum import UTC, DateTime

from ._disk import (
    NO_LINKS,
    NO_TMPFILE,
    Descriptor,
    Features,
    check_regular,
    conflict,
    features,
    lock,
    lstat,
    move_new,
    remove_empty,
    require_posix,
    sync,
    sync_names,
    write_at,
)
from ._threads import Threads
from .driver import Buffer, Limits
from .errors import (
    FileExistsInStorageError,
    KeyConflictError,
    UnsupportedOperationError,
)
from .keys import TEMP_PREFIX
from .models import ListEntry, WriteOptions

BLOCK = 4 << 20
"""The bytes of one thread hop: enough to make the hop itself cheap."""

LIMITS = Limits(preferred=BLOCK, depth=2)


def etag(info: os.stat_result) -> str:
    """Return the version of a file: changed by every replacement and by changes in place."""
    return f"{info.st_ino:x}-{info.st_mtime_ns:x}-{info.st_size:x}"


def file_entry(key: str, info: os.stat_result) -> ListEntry:
    """Return what the state of a file tells about it."""
    # Built directly: pendulum's own constructors from a timestamp cost four times as much.
    seconds, nanoseconds = divmod(info.st_mtime_ns, 1_000_000_000)
    year, month, day, hour, minute, second = time.gmtime(seconds)[:6]
    modified = DateTime(year, month, day, hour, minute, second, nanoseconds // 1000, tzinfo=UTC)
    return ListEntry(key, modified, info.st_size, etag(info))


def write_whole(
    file: StagedFile, key: str, buffers: Sequence[Buffer], options: WriteOptions
) -> ListEntry:
    """Fill and commit a staged file, or discard it. It blocks."""
    try:
        file.write(0, buffers)
        return file_entry(key, file.commit(if_absent=options.if_absent))
    finally:
        file.discard()


class StagedFile:
    """A file in the making within a directory, without a name or with a temporary one.

    Whoever is killed leaves at most a file with a temporary name, which is locked while its writer
    lives, so that `sweep` can tell.

    Args:
        directory: of the final name; closed with this object.
        name: the final name.
        durable: whether `commit` returns only when a power cut can no longer lose the file.
        system: what to use of the system's features.
    """

    def __init__(
        self, directory: Descriptor, name: str, *, durable: bool, system: Features
    ) -> None:
        self._directory = directory
        self._name = name
        self._durable = durable
        self._system = system
        self._temp: str | None = None
        self._new_mode: int | None = None
        try:
            with directory as parent:
                self.descriptor = Descriptor(self._create(parent))
        except BaseException:
            directory.close()
            raise

    def _create(self, parent: int) -> int:
        if self._system.tmpfile:
            try:
                return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=parent)
            except OSError as exc:
                if exc.errno not in NO_TMPFILE:
                    raise
        while True:
            fd = self._create_named(parent)
            if os.fstat(fd).st_nlink:
                return fd
            os.close(fd)  # swept before it was locked

    def _create_named(self, parent: int) -> int:
        temp = TEMP_PREFIX + secrets.token_hex(8)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temp, flags, 0o666, dir_fd=parent)
        self._temp = temp
        try:
            lock(fd)
            # Nobody reads it before its time; what the umask left is set again on commit.
            self._new_mode = stat.S_IMODE(os.fstat(fd).st_mode)
            os.fchmod(fd, 0o600)
        except BaseException:
            os.close(fd)
            self._unlink_temp(parent)
            raise
        return fd

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write at an offset; several threads may at once."""
        with self.descriptor as fd:
            write_at(fd, offset, buffers)

    def commit(self, *, if_absent: bool) -> os.stat_result:
        """Give the file its name, in one step, and return its state.

        Raises:
            FileExistsInStorageError: with `if_absent`, the name exists.
            KeyConflictError: the name is a directory with files in it.
            NotAFileError: the name is a symlink, FIFO or device.
            UnsupportedOperationError: with `if_absent`, the file system has no way that is safe.
            AmbiguousWriteError: it has its name, but that could not be made durable.
            OSError: nothing was written. `discard` is still to be called after any error.
        """
        with self.descriptor as fd, self._directory as parent:
            if self._durable:
                sync(fd)
            try:
                if if_absent:
                    self._publish_new(fd, parent)
                else:
                    self._publish(fd, parent)
            except FileNotFoundError as exc:
                # It held no file yet, and somebody wrote a file of its name.
                raise KeyConflictError("the directory was removed meanwhile: write again") from exc
            info = os.fstat(fd)
            if self._durable:
                sync_names(parent)
        self._close()
        return info

    def discard(self) -> None:
        """Remove what was written; idempotent, and nothing after a commit."""
        if not self._directory.closed:
            with self._directory as parent:
                self._unlink_temp(parent)
            self._close()

    def _close(self) -> None:
        self.descriptor.close()
        self._directory.close()

    def _publish(self, fd: int, parent: int) -> None:
        while True:
            existing = lstat(parent, self._name)
            if existing is None:
                if self._temp is not None:
                    _set_mode(fd, self._new_mode)
                    return self._rename(parent)
                # The usual way to a new name: no temporary name is ever seen.
                try:
                    return _link(fd, parent, self._name)
                except FileExistsError:
                    continue  # somebody was faster: replace theirs
            if stat.S_ISDIR(existing.st_mode):
                remove_empty(parent, self._name)
                continue
            check_regular(existing)
            _set_mode(fd, stat.S_IMODE(existing.st_mode))
            if self._temp is None:
                self._name_temp(fd, parent)
            return self._rename(parent)

    def _publish_new(self, fd: int, parent: int) -> None:
        existing = lstat(parent, self._name)
        if existing is not None and stat.S_ISDIR(existing.st_mode):
            remove_empty(parent, self._name)
        try:
            if self._temp is None:
                return _link(fd, parent, self._name)
            _set_mode(fd, self._new_mode)
            if self._system.links:
                try:
                    os.link(
                        self._temp,
                        self._name,
                        src_dir_fd=parent,
                        dst_dir_fd=parent,
                        follow_symlinks=False,
                    )
                except OSError as exc:
                    if exc.errno not in NO_LINKS:
                        raise
                else:
                    return self._unlink_temp(parent)
            move_new(parent, self._temp, parent, self._name, self._system)
            self._temp = None
        except FileExistsError as exc:
            raise FileExistsInStorageError("the key exists, and the write was create-only") from exc

    def _name_temp(self, fd: int, parent: int) -> None:
        lock(fd)
        temp = TEMP_PREFIX + secrets.token_hex(8)
        _link(fd, parent, temp)
        self._temp = temp

    def _rename(self, parent: int) -> None:
        assert self._temp is not None
        try:
            os.rename(self._temp, self._name, src_dir_fd=parent, dst_dir_fd=parent)
        except IsADirectoryError as exc:
            raise conflict() from exc
        self._temp = None

    def _unlink_temp(self, parent: int) -> None:
        temp, self._temp = self._temp, None
        if temp is not None:
            # What cannot be removed is left to a sweep: it must not hide what happened before.
            with contextlib.suppress(OSError):
                os.unlink(temp, dir_fd=parent)


def _set_mode(fd: int, mode: int | None) -> None:
    if mode is not None and mode != stat.S_IMODE(os.fstat(fd).st_mode):
        os.fchmod(fd, mode)


def _link(fd: int, directory: int, name: str) -> None:
    """Give an unnamed file a name, if the name is free."""
    try:
        os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=directory, follow_symlinks=True)
    except OSError as exc:
        if exc.errno not in NO_LINKS:
            raise
        raise UnsupportedOperationError(
            "the file system has unnamed files but no links to name them by"
        ) from exc


class StagedUpload:
    """A staged file that is filled from threads.

    Args:
        threads: where blocking calls run.
        file: discarded by `abort`.
        key: for the entry that `commit` returns.
        options: of the write.
    """

    limits = LIMITS

    def __init__(self, threads: Threads, file: StagedFile, key: str, options: WriteOptions) -> None:
        self._threads = threads
        self._file = file
        self._key = key
        self._options = options

    async def stage(self, index: int, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write a piece where it belongs."""
        await self._threads.run(self._file.write, offset, buffers)

    async def commit(self) -> ListEntry:
        """Give the file its name."""
        return await self._threads.run(self._commit)

    def _commit(self) -> ListEntry:
        return file_entry(self._key, self._file.commit(if_absent=self._options.if_absent))

    async def abort(self) -> None:
        """Remove the file."""
        await self._threads.run(self._file.discard)


class PathTarget:
    """Writes the caller's own paths, outside any storage, with the same promises.

    Symlinks in a path are the caller's choice: the file that one leads to is replaced.

    Args:
        threads: where blocking calls run.
    """

    write_limits = LIMITS

    def __init__(self, threads: Threads) -> None:
        require_posix("writing a local path")
        self._threads = threads
        self._system: Features = features()

    async def write(self, key: str, buffers: Sequence[Buffer], options: WriteOptions) -> ListEntry:
        """Write a whole file."""
        return await self._threads.run(lambda: write_whole(self._stage(key), key, buffers, options))

    async def begin(
        self, key: str, options: WriteOptions, *, size_hint: int | None
    ) -> StagedUpload:
        """Begin to write a file in pieces."""
        file = await self._threads.run(self._stage, key, undo=StagedFile.discard)
        return StagedUpload(self._threads, file, key, options)

    def _stage(self, key: str) -> StagedFile:
        path = Path(os.path.realpath(key))
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), key)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return StagedFile(Descriptor(directory), path.name, durable=False, system=self._system)
