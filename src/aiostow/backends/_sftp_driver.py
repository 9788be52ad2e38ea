"""The driver of `SFTPStorage`."""

from __future__ import annotations

import asyncio
import functools
import posixpath
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import asyncssh
from asyncssh import ConnectionLost, SFTPError
from pendulum import from_timestamp

from .._diagnosis import Canary, Step
from .._operation import tell_retry
from .._tasks import Cleanups
from .._threads import Threads
from ..driver import Buffer, Driver
from ..errors import ClosedError, ObjectChangedError, StorageError
from ..events import Target
from ..models import Capabilities, Leftover, ListEntry, Support, WriteOptions
from ._disk_options import check_disk_options
from ._loops import PerLoop
from ._sftp_checks import SFTPChecks, advise
from ._sftp_connect import Credentials, SFTPConfig, connect
from ._sftp_errors import Refused, map_error
from ._sftp_pool import Lease, Pool
from ._sftp_scan import Scan, temporary_files
from ._sftp_session import COPY_DATA, POSIX_RENAME, Session, is_status
from ._sftp_source import Blocks, SFTPSource
from ._sftp_staged import (
    LIMITS,
    SFTPUpload,
    StagedFile,
    create_only,
    nothing_written,
    rename_over,
    take_away,
    temporary_beside,
    unreplaced,
)
from ._sftp_tree import (
    UNHEARD_OF,
    Names,
    find,
    list_directory,
    make_parents,
    remove_empty,
)
from ._sftp_update import SFTPRandomAccess
from ._sftp_wire import Attrs, Open, Status, path_bytes
from ._tree_order import Listed

T = TypeVar("T")

_TRIES = 4  # of what may be done twice
_FIRST_PAUSE = 0.1  # seconds; doubled with each try
_DELETIONS = 64  # under way at once
_STREAMED = 16  # writes under way at once of a copy that goes through this process


class SFTPDriver:
    """Files below one directory of an SFTP server.

    Args:
        config: where it is and who asks.
    """

    capabilities: Capabilities = Capabilities(
        create_only=Support.native, versions=Support.emulated, nested_keys=False
    )
    write_limits = LIMITS

    def __init__(self, config: SFTPConfig) -> None:
        self.config = config
        self._credentials: Credentials | None = None
        self._pools: PerLoop[Pool] = PerLoop(self._make_pool)
        self._living: set[str] = set()

    def __reduce__(self) -> Any:
        return SFTPDriver, (self.config,)

    @property
    def identity(self) -> str:
        return self._identity(self.config.root)

    async def locate(self) -> str:
        return self._identity(await self._repeat(lambda lease: self._real_root(lease.session)))

    async def _real_root(self, session: Session) -> str:
        try:
            ((path, _),) = await session.real_path(path_bytes(self.config.root))
        except SFTPError:  # not there yet
            ((home, _),) = await session.real_path(b".")
            path = posixpath.normpath(posixpath.join(home, self.config.root))
        return path

    def _identity(self, root: str) -> str:
        config = self.config
        user = "" if config.username is None else f"{config.username}@"
        # Without a configuration that knows another, the port is SSH's own.
        port = config.port or (22 if config.ssh_config is None else 0)
        return f"sftp://{user}{config.host.lower()}:{port}/{root}"

    @property
    def target(self) -> Target:
        return Target("sftp", self.config.host.lower(), self.config.port)

    # Connections.

    async def connect(self) -> None:
        await self._pools.connect()

    async def aclose(self) -> None:
        await self._pools.aclose()

    async def _make_pool(self) -> Pool:
        config = self.config
        return Pool(
            self._connect,
            where=config.where,
            max_connections=config.max_connections,
            idle_timeout=config.idle_timeout,
            timeout=config.timeout,
        )

    async def _connect(self) -> asyncssh.SSHClientConnection:
        if self._credentials is None:
            # Not on the loop: a passphrase takes long to try.
            threads = Threads("aiostow-sftp", 1)
            try:
                self._credentials = await threads.run(Credentials, self.config)
            finally:
                threads.close()
        return await connect(self.config, self._credentials)

    @property
    def _pool(self) -> Pool:
        """The connections of the running loop, which `connect` has made ready."""
        try:
            return self._pools.current()
        except KeyError:
            raise ClosedError("the storage was closed") from None

    async def _lease(self, files: int = 0) -> Lease:
        """Return the use of a session, and of so many files on it."""
        return await self._pool.lease(files)

    async def _repeat(self, attempt: Callable[[Lease], Awaitable[T]], files: int = 0) -> T:
        """Do what may be done twice, again when the connection was lost."""
        return await self._again(lambda: self._leased(attempt, files))

    async def _leased(self, attempt: Callable[[Lease], Awaitable[T]], files: int = 0) -> T:
        lease = await self._lease(files)
        with lease:
            return await attempt(lease)

    async def _again(self, attempt: Callable[[], Awaitable[T]]) -> T:
        known = self._pool.connected  # a server that never answered is not asked again
        for turn in range(_TRIES - 1):
            pause = _FIRST_PAUSE * 2**turn * random.uniform(0.5, 1)
            try:
                return await attempt()
            except ConnectionLost as exc:
                tell_retry(turn + 1, pause, exc, "the connection was lost")
            except Refused as exc:
                if not (known and exc.passing):
                    raise
                tell_retry(turn + 1, pause, exc, exc.message)
            await asyncio.sleep(pause)
        return await attempt()

    # Reading.

    def path(self, key: str) -> str:
        """Return the path of a key on the server."""
        return posixpath.join(self.config.root, key)

    def _bytes(self, key: str) -> bytes:
        return path_bytes(self.path(key))

    async def stat(self, key: str) -> ListEntry:
        return (await self._repeat(lambda lease: self._look(lease, key))).entry(key)

    async def _look(self, lease: Lease, key: str) -> Attrs:
        attrs = await _found(lease.session.lstat(self._bytes(key)))
        attrs.check_file()
        return attrs

    async def open_read(self, key: str, *, if_match: str | None) -> SFTPSource:
        async def attempt() -> SFTPSource:
            source = SFTPSource(self._lease, key, self._bytes(key))
            await _found(source.open(if_match))
            return source

        return await self._again(attempt)

    async def open_update(self, key: str) -> SFTPRandomAccess:
        return await self._again(lambda: self._open_update(key))

    async def _open_update(self, key: str) -> SFTPRandomAccess:
        lease = await self._lease(1)
        try:
            await self._look(lease, key)
            handle = await lease.open(self._bytes(key), Open.READ | Open.WRITE)
        except BaseException:
            lease.release()
            raise
        return SFTPRandomAccess(lease, handle, self.path(key))

    def scan(self, prefix: str, *, recursive: bool, start_after: str | None) -> Scan:
        listed = Listed(prefix, recursive=recursive, start_after=start_after)
        return Scan(self._list_directory, listed)

    async def _list_directory(self, key: str) -> Names | None:
        path = path_bytes(self.path(key).removesuffix("/") or "/" if key else self.config.root)
        return await self._repeat(lambda lease: list_directory(lease, path), files=1)

    # Writing.

    def _staged(self, key: str, options: WriteOptions) -> StagedFile:
        return StagedFile(
            self._lease,
            self.path(key),
            options,
            allow_non_atomic=self.config.allow_non_atomic,
            living=self._living,
        )

    async def _whole(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Do what makes nothing visible yet, and so may be done again."""
        try:
            return await self._again(attempt)
        except ConnectionLost as exc:
            raise nothing_written() from exc

    async def _publish(self, file: StagedFile, attrs: Attrs, key: str) -> ListEntry:
        async with file:
            await file.publish(attrs)
        return attrs.entry(key)

    async def write(self, key: str, buffers: Sequence[Buffer], options: WriteOptions) -> ListEntry:
        check_disk_options(options)

        async def attempt() -> tuple[StagedFile, Attrs]:
            file = self._staged(key, options)
            async with file:
                await file.create()
                return file, await file.finish(file.send(0, buffers))

        return await self._publish(*await self._whole(attempt), key)

    async def begin(self, key: str, options: WriteOptions, *, size_hint: int | None) -> SFTPUpload:
        check_disk_options(options)

        async def attempt() -> StagedFile:
            file = self._staged(key, options)
            await file.create()
            return file

        return SFTPUpload(await self._again(attempt), key)

    async def delete(self, keys: Sequence[str]) -> Mapping[str, BaseException]:
        failures: dict[str, BaseException] = {}
        for begin in range(0, len(keys), _DELETIONS):
            some = keys[begin : begin + _DELETIONS]
            failures |= await self._repeat(functools.partial(self._delete, some))
        return failures

    async def _delete(self, keys: Sequence[str], lease: Lease) -> dict[str, BaseException]:
        failures: dict[str, BaseException] = {}
        removing = [lease.session.remove(self._bytes(key)) for key in keys]
        for key, removed in zip(keys, removing, strict=True):
            try:
                await removed
            except SFTPError as exc:
                if is_status(exc, *UNHEARD_OF):
                    continue
                why = await self._undeleted(lease.session, key, exc)
                if why is not None:
                    failures[key] = why
        return failures

    async def _undeleted(self, session: Session, key: str, exc: SFTPError) -> Exception | None:
        """Return why a file could not be removed, or None where there is none."""
        try:
            found = await find(session, self._bytes(key))
            if found is None:
                return None
            found.check_file()
        except StorageError as why:
            return why
        except SFTPError:
            pass  # what cannot be looked at cannot be told apart
        return exc

    async def copy(self, src: str, dst: str, options: WriteOptions) -> ListEntry:
        return await self.copy_across(self, src, dst, options)

    def same_service(self, other: Driver) -> bool:
        return isinstance(other, SFTPDriver) and self.config == replace(
            other.config, root=self.config.root
        )

    async def copy_across(
        self, other: Driver, src: str, dst: str, options: WriteOptions
    ) -> ListEntry:
        assert isinstance(other, SFTPDriver), "of the same server"
        check_disk_options(options)
        made = await self._whole(lambda: self._copy(other, src, dst, options))
        return await self._publish(*made, dst)

    async def _copy(
        self, other: SFTPDriver, src: str, dst: str, options: WriteOptions
    ) -> tuple[StagedFile, Attrs]:
        lease = await self._lease(2)
        file = self._staged(dst, options)
        try:
            before = await other._look(lease, src)
            handle = await lease.open(other._bytes(src), Open.READ)
            async with file:
                await file.create(lease)
                return file, await self._fill(file, lease, handle, before)
        except BaseException:
            lease.release()
            raise

    async def _fill(self, file: StagedFile, lease: Lease, handle: bytes, before: Attrs) -> Attrs:
        """Copy within the server if it can, and else through this process."""
        size = before.size or 0
        under_way: deque[asyncio.Future[None]] = deque()
        if COPY_DATA in lease.session.extensions:
            await file.copy(handle, size)
        else:
            offset = 0
            async for block in Blocks(b"", (lease, handle), 0, size, before):
                under_way += file.send(offset, [block])
                offset += len(block)
                while len(under_way) > _STREAMED:
                    await file.sent([under_way.popleft()])
        if (await lease.session.fstat(handle)).version != before.version:
            raise ObjectChangedError("the file was changed in place while it was copied")
        return await file.finish(under_way)

    async def move(self, src: str, dst: str, options: WriteOptions) -> None:
        check_disk_options(options)
        before = await self._whole(
            lambda: self._leased(lambda lease: self._make_way(lease, src, dst), 1)
        )
        await self._leased(
            lambda lease: self._move(lease.session, src, dst, before, options.if_absent)
        )

    async def _make_way(self, lease: Lease, src: str, dst: str) -> Attrs | None:
        """Return what both names have in common, where they may be names of one file."""
        before = await self._look(lease, src)
        session = lease.session
        found = await find(session, self._bytes(dst))
        if found is None:
            await make_parents(session, self.path(dst))
        elif found.is_dir:
            await remove_empty(lease, self._bytes(dst))
        else:
            found.check_file()
        return before if found == before else None

    async def _move(
        self, session: Session, src: str, dst: str, before: Attrs | None, if_absent: bool
    ) -> None:
        old, new = self._bytes(src), self._bytes(dst)
        try:
            if if_absent:
                if await create_only(session, old, new):
                    await self._forget_name(src, dst)
            elif POSIX_RENAME in session.extensions:
                await session.replace(old, new)
                # POSIX renames nothing when both are names of one file: then the old one must go.
                if before is not None and await find(session, old) == before:
                    await Cleanups().finish(self._take_away(session, src, dst))
            else:
                await rename_over(session, old, new, allow_non_atomic=self.config.allow_non_atomic)
        except SFTPError as exc:
            if await find(session, old) is None:
                raise SFTPError(Status.NO_SUCH_FILE, exc.reason) from exc
            raise await unreplaced(session, new, exc) from exc

    async def _take_away(self, session: Session, src: str, dst: str) -> None:
        name, aside = temporary_beside(self.path(src))
        self._living.add(name)  # a sweep may come between
        try:
            await take_away(session, self._bytes(src), self._bytes(dst), aside)
        finally:
            self._living.discard(name)

    async def _forget_name(self, src: str, dst: str) -> None:
        """Remove the old one of two names of a file, or the new one if that is refused."""
        try:
            failed = (await self.delete([src])).get(src)
        except Refused as exc:
            # It is not as if nothing had been done: it has its new name already.
            raise ConnectionLost(exc.message) from exc
        if failed is not None:
            await self.delete([dst])
            raise failed

    async def leftovers(self, prefix: str, older_than: timedelta) -> list[Leftover]:
        age = older_than.total_seconds()
        return [
            Leftover(directory + name, from_timestamp(attrs.mtime or 0), attrs.size)
            async for directory, name, attrs in temporary_files(self._list_directory, prefix)
            if (attrs.mtime or 0) + age <= time.time() and name not in self._living
        ]

    async def discard(self, leftover: Leftover) -> bool:
        for failure in (await self.delete([leftover.key])).values():
            raise failure
        return True

    def steps(self, canary: Canary) -> Sequence[Step]:
        return SFTPChecks(self.config, self._lease).steps()

    def advise(self, check: str, error: StorageError) -> str:
        return advise(self.config, check, error)

    def map_error(self, exc: BaseException) -> StorageError | None:
        return map_error(exc)


async def _found(looking: Awaitable[T]) -> T:
    """Take names that the server cannot have for names that it does not have."""
    try:
        return await looking
    except SFTPError as exc:
        if is_status(exc, *UNHEARD_OF):
            raise SFTPError(Status.NO_SUCH_FILE, exc.reason) from exc
        raise
