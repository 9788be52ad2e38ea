"""The local disk: files below a root directory, confined to it."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from .. import _disk
from .._diagnosis import Canary, Step
from .._disk import Descriptor
from .._linking import LinkedEndpoint
from .._process import process_id
from .._staged import BLOCK, LIMITS, StagedFile, StagedUpload, etag, file_entry, write_whole
from .._threads import Threads
from ..driver import Buffer, Driver, Pages
from ..errors import (
    FileExistsInStorageError,
    FileNotFoundInStorageError,
    InvalidKeyError,
    IsADirectoryInStorageError,
    KeyConflictError,
    NotAFileError,
    ObjectChangedError,
    PermissionDeniedError,
    ResourceLimitError,
    StorageError,
    StorageFullError,
    StorageIOError,
)
from ..events import EventHook
from ..links import Secrets
from ..models import Capabilities, Folder, Leftover, ListEntry, Support, WriteOptions
from ..storage import DEFAULT_MEMORY_BUDGET, InternalLinksStorageBackend
from ._beneath import Root
from ._disk_options import check_disk_options
from ._local_checks import advise, local_steps
from ._local_scan import Scan, temporary_files

__all__ = ["LocalDriver", "LocalFSStorage"]

T = TypeVar("T")

_WHOLE = 256 << 10  # a file up to this size is opened, read and closed in one thread hop
_WORKERS = 16
_CAPABILITIES = Capabilities(create_only=Support.native, nested_keys=False)

_CANNOT_BE = (errno.ENOTDIR, errno.ENAMETOOLONG, errno.EILSEQ)

_CAUSES: dict[int, tuple[type[StorageError], str]] = {
    errno.ENOENT: (FileNotFoundInStorageError, "no such file"),
    errno.EEXIST: (FileExistsInStorageError, "the file exists"),
    errno.EISDIR: (IsADirectoryInStorageError, "this is a directory, not a file"),
    errno.ELOOP: (NotAFileError, "a symlink is in the way, and symlinks are never followed"),
    errno.EXDEV: (NotAFileError, "the name leads to another file system or out of the root"),
    errno.ENXIO: (NotAFileError, "this is a FIFO, socket or device, and no file"),
    errno.ENAMETOOLONG: (InvalidKeyError, "the key is longer than this disk allows"),
    errno.EILSEQ: (InvalidKeyError, "this disk cannot hold the characters of the key"),
    errno.EACCES: (PermissionDeniedError, "permission denied"),
    errno.EPERM: (PermissionDeniedError, "operation not permitted"),
    errno.EROFS: (PermissionDeniedError, "the file system is read-only"),
    errno.ENOSPC: (StorageFullError, "no space is left on the disk"),
    errno.EDQUOT: (StorageFullError, "the disk quota is used up"),
    errno.EFBIG: (StorageFullError, "the file is larger than a limit allows"),
    errno.EMFILE: (ResourceLimitError, "this process has too many open files"),
    errno.ENFILE: (ResourceLimitError, "this machine has too many open files"),
    errno.ENOMEM: (ResourceLimitError, "the system has no memory left"),
}


class _Chunks:
    """The bytes of one range, read in one thread hop, or at hand already."""

    def __init__(self, source: _Source, offset: int, length: int) -> None:
        self._source = source
        self._offset = offset
        self._left = length

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> Buffer:
        if not self._left:
            raise StopAsyncIteration
        data = await self._source.read(self._offset, self._left)
        self._offset += len(data)
        self._left = self._left - len(data) if data else 0
        if not data:
            raise StopAsyncIteration
        return data

    def close(self) -> None:
        self._left = 0


class _Source:
    """An open file, or the whole content of a small one."""

    read_size = BLOCK
    read_depth = 2
    adaptive = False

    def __init__(
        self, threads: Threads, entry: ListEntry, file: Descriptor | None, whole: bytes | None
    ) -> None:
        self._threads = threads
        self._file = file
        self._whole = whole
        self.entry = entry
        self.first_size = 64 << 10 if whole is None else entry.size

    async def stream(self, offset: int, length: int) -> _Chunks:
        return _Chunks(self, offset, length)

    async def read(self, offset: int, length: int) -> bytes:
        if self._whole is not None:
            return self._whole[offset : offset + length]
        return await self._threads.run(self._read, offset, min(length, BLOCK))

    def _read(self, offset: int, length: int) -> bytes:
        assert self._file is not None
        with self._file as fd:
            data = _disk.read_at(fd, offset, length)
            _check_unchanged(fd, self.entry)
        return data

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _check_unchanged(fd: int, entry: ListEntry) -> None:
    # Replacing a file leaves ours alone; only a change in place shows here.
    if etag(os.fstat(fd)) != entry.etag:
        raise ObjectChangedError("the file was changed in place while it was read")


class _RandomAccess:
    """An existing file, changed in place."""

    def __init__(self, threads: Threads, file: Descriptor, durable: bool) -> None:
        self._threads = threads
        self._file = file
        self._durable = durable
        self._dirty = False

    async def size(self) -> int:
        with self._file as fd:
            return os.fstat(fd).st_size

    async def read_at(self, offset: int, length: int) -> bytes:
        return await self._run(lambda fd: _disk.read_at(fd, offset, length))

    async def write_at(self, offset: int, data: Buffer) -> None:
        self._dirty = True
        await self._run(lambda fd: _disk.write_at(fd, offset, [data]))

    async def truncate(self, size: int) -> None:
        self._dirty = True
        await self._run(lambda fd: os.ftruncate(fd, size))

    async def _run(self, call: Callable[[int], T]) -> T:
        def using() -> T:
            with self._file as fd:
                return call(fd)

        return await self._threads.run(using)

    async def flush(self) -> None:
        if self._dirty and self._durable:
            await self._run(_disk.sync)
        self._dirty = False

    async def aclose(self) -> None:
        try:
            await self.flush()
        finally:
            self._file.close()


class _Pages:
    def __init__(self, threads: Threads, scan: Scan) -> None:
        self._threads = threads
        self._scan: Scan | None = scan

    async def next_page(self) -> list[ListEntry | Folder] | None:
        scan = self._scan
        return None if scan is None else await self._threads.run(scan.page, undo=scan.put_back)

    async def aclose(self) -> None:
        self._scan = None


class _Wish:
    """Whether somebody still waits for a long call, which must change nothing after that."""

    def __init__(self) -> None:
        self._withdrawn = False

    def withdraw(self) -> None:
        self._withdrawn = True

    def check(self) -> None:
        if self._withdrawn:
            raise OSError(errno.ECANCELED, "nobody waits for it any more")


class LocalDriver:
    """The driver of `LocalFSStorage`; blocking work goes to its own threads, in few large hops.

    Args:
        root: absolute path of the directory that keys are relative to.
        durable: whether a write returns only when a power cut can no longer lose it.
        system: what to use of the system's features; by default all that are there.
    """

    capabilities = _CAPABILITIES
    write_limits = LIMITS

    def __init__(self, root: Path, *, durable: bool, system: _disk.Features | None = None) -> None:
        _disk.require_posix("LocalFSStorage")
        self.root = root
        self._config = (root, durable, system)
        self._durable = durable
        self._system = system or _disk.features()
        self._begin()

    def _begin(self) -> None:
        self._pid = process_id()
        self._root = Root(self.root, system=self._system, durable=self._durable)
        self.threads: Threads = Threads("aiostow-local", _WORKERS)

    @property
    def identity(self) -> str:
        return f"file:{os.path.realpath(self.root)}"

    def __reduce__(self) -> Any:
        return _restored, self._config

    async def connect(self) -> None:
        if self._pid != process_id():  # forked: locks may be held by threads that are not here
            self._begin()

    async def aclose(self) -> None:
        self.threads.close()
        self._root.close()

    async def stat(self, key: str) -> ListEntry:
        return await self.threads.run(self._stat, key)

    def _stat(self, key: str) -> ListEntry:
        with _finding():
            directory, name = self._root.open_parent(key)
            try:
                info = os.stat(name, dir_fd=directory, follow_symlinks=False)
            finally:
                os.close(directory)
        _disk.check_regular(info)
        return file_entry(key, info)

    def scan(self, prefix: str, *, recursive: bool, start_after: str | None) -> Pages:
        scan = Scan(self._root, file_entry, prefix, recursive=recursive, start_after=start_after)
        return _Pages(self.threads, scan)

    async def open_read(self, key: str, *, if_match: str | None) -> _Source:
        return await self.threads.run(self._open_read, key, if_match, undo=_Source.close)

    def _open_read(self, key: str, if_match: str | None) -> _Source:
        file, info = self._open_regular(key, os.O_RDONLY)
        try:
            entry = file_entry(key, info)
            if if_match is not None and if_match != entry.etag:
                raise ObjectChangedError(f"the file's etag is {entry.etag!r}, not {if_match!r}")
            if info.st_size > _WHOLE:
                return _Source(self.threads, entry, file, None)
            with file as fd:
                whole = _disk.read_at(fd, 0, info.st_size)
                _check_unchanged(fd, entry)
            file.close()
            return _Source(self.threads, entry, None, whole)
        except BaseException:
            file.close()
            raise

    async def write(self, key: str, buffers: Sequence[Buffer], options: WriteOptions) -> ListEntry:
        return await self.threads.run(self._write, key, buffers, options)

    def _write(self, key: str, buffers: Sequence[Buffer], options: WriteOptions) -> ListEntry:
        return write_whole(self._stage(key, options), key, buffers, options)

    async def begin(
        self, key: str, options: WriteOptions, *, size_hint: int | None
    ) -> StagedUpload:
        file = await self.threads.run(self._stage, key, options, undo=StagedFile.discard)
        return StagedUpload(self.threads, file, key, options)

    def _stage(self, key: str, options: WriteOptions) -> StagedFile:
        check_disk_options(options)
        directory, name = self._parent_to_write(key)
        return StagedFile(Descriptor(directory), name, durable=self._durable, system=self._system)

    async def delete(self, keys: Sequence[str]) -> Mapping[str, BaseException]:
        return await self.threads.run(self._delete, keys)

    def _delete(self, keys: Sequence[str]) -> Mapping[str, BaseException]:
        failures: dict[str, BaseException] = {}
        parents: set[str] = set()
        for key in keys:
            try:
                self._delete_one(key)
                parents.add(key.rpartition("/")[0])
            except FileNotFoundError:
                continue
            except (OSError, StorageError) as exc:
                failures[key] = exc
        if self._durable:
            for parent in parents:
                self._sync_directory(parent)
        return failures

    def _delete_one(self, key: str) -> None:
        with _finding():
            directory, name = self._root.open_parent(key)
            try:
                _disk.check_regular(os.stat(name, dir_fd=directory, follow_symlinks=False))
                os.unlink(name, dir_fd=directory)
            finally:
                os.close(directory)

    def _sync_directory(self, path: str) -> None:
        try:
            directory = self._root.open_directory(path)
        except FileNotFoundError:
            return  # its removal is somebody else's to make durable
        try:
            _disk.sync_names(directory)
        finally:
            os.close(directory)

    async def copy(self, src: str, dst: str, options: WriteOptions) -> ListEntry:
        return await self.copy_across(self, src, dst, options)

    def same_service(self, other: Driver) -> bool:
        return isinstance(other, LocalDriver)

    async def copy_across(
        self, other: Driver, src: str, dst: str, options: WriteOptions
    ) -> ListEntry:
        assert isinstance(other, LocalDriver), "of this machine"
        wish = _Wish()
        return await self.threads.run(
            self._copy, other, src, dst, options, wish, stop=wish.withdraw
        )

    def _copy(
        self, other: LocalDriver, src: str, dst: str, options: WriteOptions, wish: _Wish
    ) -> ListEntry:
        source, info = other._open_regular(src, os.O_RDONLY)
        try:
            return self._copy_from(source, info, dst, options, wish)
        finally:
            source.close()

    def _copy_from(
        self,
        source: Descriptor,
        info: os.stat_result,
        dst: str,
        options: WriteOptions,
        wish: _Wish,
    ) -> ListEntry:
        file = self._stage(dst, options)
        try:
            with source as src_fd, file.descriptor as dst_fd:
                _disk.copy_bytes(src_fd, dst_fd, self._system, wish.check)
                if etag(os.fstat(src_fd)) != etag(info):
                    raise ObjectChangedError("the file was changed in place while it was copied")
            wish.check()
            return file_entry(dst, file.commit(if_absent=options.if_absent))
        finally:
            file.discard()

    async def move(self, src: str, dst: str, options: WriteOptions) -> None:
        wish = _Wish()
        await self.threads.run(self._move, src, dst, options, wish, stop=wish.withdraw)

    def _move(self, src: str, dst: str, options: WriteOptions, wish: _Wish) -> None:
        check_disk_options(options)
        with _finding():
            directory, name = self._root.open_parent(src)
        try:
            with _finding():
                info = os.stat(name, dir_fd=directory, follow_symlinks=False)
            _disk.check_regular(info)
            to_directory, to_name = self._parent_to_write(dst)
            try:
                _disk.move(directory, name, to_directory, to_name, options.if_absent, self._system)
            except OSError as exc:
                if exc.errno != errno.EXDEV:
                    raise
                # Another file system is mounted below the root: whole there, then gone here.
                self._move_across(src, directory, name, dst, options, wish)
            else:
                if self._durable:
                    _disk.sync_names(to_directory)
            finally:
                os.close(to_directory)
            if self._durable:
                _disk.sync_names(directory)
        finally:
            os.close(directory)

    def _move_across(
        self, src: str, directory: int, name: str, dst: str, options: WriteOptions, wish: _Wish
    ) -> None:
        source, info = self._open_regular(src, os.O_RDONLY)
        try:
            self._copy_from(source, info, dst, options, wish)
            now = _disk.lstat(directory, name)
            # What was written to the old name meanwhile is another object, and stays.
            if now is not None and etag(now) == etag(info):
                os.unlink(name, dir_fd=directory)
        finally:
            source.close()

    async def open_update(self, key: str) -> _RandomAccess:
        file = await self.threads.run(
            lambda: self._open_regular(key, os.O_RDWR)[0], undo=Descriptor.close
        )
        return _RandomAccess(self.threads, file, self._durable)

    async def leftovers(self, prefix: str, older_than: timedelta) -> list[Leftover]:
        before = time.time() - older_than.total_seconds()
        return await self.threads.run(
            temporary_files, self._root, prefix, lambda fd, name: _disk.leftover(fd, name, before)
        )

    async def discard(self, leftover: Leftover) -> bool:
        return await self.threads.run(self._discard, leftover.key)

    def _discard(self, key: str) -> bool:
        try:
            directory, name = self._root.open_parent(key)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            return _disk.discard(directory, name)
        finally:
            os.close(directory)

    def file_path(self, key: str) -> str:
        return os.path.join(os.path.abspath(self.root), key)

    def _open_regular(self, key: str, flags: int) -> tuple[Descriptor, os.stat_result]:
        with _finding():
            fd = self._root.open(key, flags)
        try:
            info = os.fstat(fd)
            _disk.check_regular(info)
        except BaseException:
            os.close(fd)
            raise
        return Descriptor(fd), info

    def _parent_to_write(self, key: str) -> tuple[int, str]:
        try:
            return self._root.open_parent(key, create=True)
        except NotADirectoryError as exc:
            raise KeyConflictError(
                "on a disk a segment of this key is a file: 'a' and 'a/b' cannot both be files"
            ) from exc

    def steps(self, canary: Canary) -> Sequence[Step]:
        return local_steps(self.root, self.threads)

    def advise(self, check: str, error: StorageError) -> str:
        return advise(self.root, check, error)

    def map_error(self, exc: BaseException) -> StorageError | None:
        if not isinstance(exc, OSError):
            return None
        code = exc.errno or errno.EIO
        cause, message = _CAUSES.get(code, (StorageIOError, os.strerror(code)))
        return cause(message, errno=code)


@contextlib.contextmanager
def _finding() -> Iterator[None]:
    """Take names that this disk cannot have for names that it does not have."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in _CANNOT_BE or isinstance(exc, StorageError):
            raise
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from exc


def _restored(root: Path, durable: bool, system: _disk.Features | None) -> LocalDriver:
    return LocalDriver(root, durable=durable, system=system)


class LocalFSStorage(InternalLinksStorageBackend):
    """Files below a directory of the local disk, on Linux and macOS.

    Nothing outside the directory is ever opened: no symlink is followed, and FIFOs and devices are
    refused. A write becomes visible whole or not at all, also when the process is killed. New files
    follow the umask; an overwritten file keeps its mode bits. Directories are made as needed and
    stay when emptied; empty ones are in nobody's way.

    Args:
        root: the directory; made by the first write if it does not exist.
        linked_endpoint: where share links lead; see `Storage`.
        secret_key: signs share links; see `Storage`.
        on_event: told of every operation; see `Storage`.
        name: for messages and profiles; by default ``fs-`` and the directory's name.
        durable: whether a write returns only when a power cut can no longer lose it. False leaves
            the fsyncs out; a crash of the process alone still never tears a file.
        memory_budget: for the buffers of all transfers together, in bytes.

    Raises:
        UnsupportedOperationError: on Windows, with what it lacks.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        linked_endpoint: LinkedEndpoint | None = None,
        secret_key: Secrets | None = None,
        name: str | None = None,
        *,
        durable: bool = True,
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        on_event: EventHook | None = None,
    ) -> None:
        path = Path(os.path.abspath(root))
        super().__init__(
            LocalDriver(path, durable=durable),
            name=name if name is not None else f"fs-{path.name}",
            memory_budget=memory_budget,
            linked_endpoint=linked_endpoint,
            secret_key=secret_key,
            on_event=on_event,
        )
        self.root = path

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} at {str(self.root)!r}>"
