"""The portable storage that users hold."""

from __future__ import annotations

import os
from collections.abc import Awaitable
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, Unpack, overload

import aiofiles
from aiofiles.threadpool.binary import AsyncFileIO

from ._context import ErrorContext
from ._core import DEFAULT_MEMORY_BUDGET, as_write_options
from ._linking import LinkedEndpoint
from ._listing import ConnectedPages, Listing, ListingIterator
from ._objects import Objects
from ._observed import observed
from ._readahead import ReadAhead
from ._transfer import Blocks, Incoming, Outgoing, Progress, ProgressCallback, pump
from .driver import Buffer, CrossCopier, Driver, Mover
from .errors import (
    FileExistsInStorageError,
    InvalidTypeError,
)
from .events import EventHook
from .files import Opening, Reader, UpdateFile, Writer, as_bytes
from .links import Secrets
from .models import FileMode, Folder, ListEntry, WriteKeywords, WriteOptions

__all__ = ["DEFAULT_MEMORY_BUDGET", "InternalLinksStorageBackend", "Storage"]

FileT = TypeVar("FileT")

ReadMode: TypeAlias = Literal["r", "rb", "br"]
WriteMode: TypeAlias = Literal["w", "wb", "bw", "x", "xb", "bx"]
UpdateMode: TypeAlias = Literal["rw", "rwb", "rbw", "brw", "wr", "wrb", "wbr", "bwr"]


def _size(entry: ListEntry) -> int:
    return entry.size


class Storage(Objects):
    """One storage: its objects, by key. Backends are its subclasses; this is all that is common.

    Use it with ``async with``, or call `aclose` at the end. It pickles as its configuration.

    Args:
        driver: the backend.
        name: for messages and profiles; links are bound to it.
        memory_budget: for the buffers of all transfers together, in bytes.
        any_key: take any name that the service takes for a key; links excepted.
        linked_endpoint: where share links lead: a base URL, or a function that makes the URL from
            a token and the file name that a download suggests.
        secret_key: signs share links: a secret of at least 32 bytes, or several of which the first
            signs and all verify, in a list or by name. It does not travel in pickles.
        on_event: told of every operation, by a call in the thread that carries it out, so it must
            not block; see `aiostow.events`. It does not travel in pickles.

    Raises:
        InvalidArgumentError: `memory_budget` is not positive, a secret is too short, or
            `linked_endpoint` is no URL.
    """

    credential_fields: ClassVar[frozenset[str]] = frozenset({"secret_key"})
    """The arguments that are secrets; a configuration may take them from elsewhere."""

    def __init__(
        self,
        driver: Driver,
        *,
        name: str,
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        any_key: bool = False,
        linked_endpoint: LinkedEndpoint | None = None,
        secret_key: Secrets | None = None,
        on_event: EventHook | None = None,
    ) -> None:
        super().__init__(
            driver,
            name=name,
            memory_budget=memory_budget,
            any_key=any_key,
            linked_endpoint=linked_endpoint,
            secret_key=secret_key,
            on_event=on_event,
        )

    def at(self, prefix: str) -> Storage:
        """Return a view of the keys below `prefix`, which can reach no others.

        The view shares connections and budget; closing it leaves this storage open.

        Raises:
            InvalidKeyError: no key can begin so.
        """
        with self._context("at", None):
            inner = self._prefix.at(prefix, self._rules)
        view = Storage.__new__(Storage)
        view.name = self.name
        view._shared = self._shared
        view._prefix = inner
        view._rules = self._rules
        view._is_view = True
        view._closed = self.closed
        if self._shared.observer is not None:
            self._shared.observer.watch(view)
        return view

    # -- files ----------------------------------------------------------------------------------

    @overload
    def open(
        self, key: str, mode: ReadMode = "r", *, if_match: str | None = None
    ) -> Opening[Reader]: ...

    @overload
    def open(
        self,
        key: str,
        mode: WriteMode,
        *,
        size_hint: int | None = None,
        **options: Unpack[WriteKeywords],
    ) -> Opening[Writer]: ...

    @overload
    def open(self, key: str, mode: UpdateMode) -> Opening[UpdateFile]: ...

    @overload
    def open(self, key: str, mode: FileMode | str, **options: Any) -> Opening[Any]: ...

    def open(
        self,
        key: str,
        mode: FileMode | str = "r",
        *,
        size_hint: int | None = None,
        **options: Any,
    ) -> Opening[Any]:
        """Open an object: ``async with storage.open(key) as f`` or ``f = await storage.open(key)``.

        Args:
            key: of the object.
            mode: ``"r"`` for a `Reader`; ``"w"`` for a `Writer` that replaces what is there and
                ``"x"`` for one that refuses to; ``"rw"`` for an `UpdateFile`, which changes an
                existing object in place where the storage can.
            size_hint: the size of the object to write, in bytes, where known; it need not be exact.
            options: for writing, those of `WriteOptions`; for reading, `if_match`.

        Raises:
            InvalidKeyError, InvalidArgumentError: at once, before anything is opened.
            FileNotFoundInStorageError: on opening, for reading or in place.
            UnsupportedOperationError: on opening, for what the storage cannot do.
        """
        return self._opening("open", key, mode, size_hint=size_hint, options=options)

    @observed(size=len)
    async def read_bytes(self, key: str, *, if_match: str | None = None) -> bytes:
        """Return the whole content of an object.

        Raises:
            FileNotFoundInStorageError: no object has this key.
            ObjectChangedError: it is not the version `if_match`.
        """
        # As a Reader does it, without the costs of an open file: small objects are read by this.
        context, full = self._checked("read_bytes", key)
        with context:
            driver = await self._ready()
            source = await driver.open_read(full, if_match=if_match)
        pipeline = ReadAhead(source, self._shared.budget, context)
        try:
            return await pipeline.all()
        finally:
            if not pipeline.stop():
                await self._shared.cleanups.finish(pipeline.aclose())

    @observed(size=_size)
    async def write_bytes(
        self, key: str, data: bytes | bytearray | memoryview, **options: Unpack[WriteKeywords]
    ) -> ListEntry:
        """Write an object whole and return what is known of it.

        Args:
            key: of the object.
            data: its content.
            options: those of `WriteOptions`.

        Raises:
            FileExistsInStorageError: with `if_absent`, the key exists.
            WriteConflictError: it is not the version `if_match`, or another writer won.
        """
        context, full = self._checked("write_bytes", key)
        with context:
            buffer = as_bytes(data)
            write_options = as_write_options(options)
            driver = await self._ready()
        if len(buffer) <= driver.write_limits.preferred:
            # As a Writer does it, without the costs of an open file: small objects go this way.
            return self._own(
                await self._shared.cleanups.finish(
                    _written(driver, context, full, buffer, write_options)
                )
            )
        opening: Opening[Writer] = self._opening(
            "write_bytes", key, "w", size_hint=len(buffer), options=options
        )
        async with opening as writer:
            await writer.write(buffer)
            return await writer.commit()

    # -- what is there --------------------------------------------------------------------------

    @overload
    def list(
        self,
        prefix: str = "",
        *,
        recursive: Literal[True] = True,
        starting: str = "",
        start_after: str | None = None,
    ) -> Listing[ListEntry]: ...

    @overload
    def list(
        self,
        prefix: str = "",
        *,
        recursive: bool,
        starting: str = "",
        start_after: str | None = None,
    ) -> Listing[ListEntry | Folder]: ...

    def list(
        self,
        prefix: str = "",
        *,
        recursive: bool = True,
        starting: str = "",
        start_after: str | None = None,
    ) -> Listing[Any]:
        """List objects: ``async for entry in storage.list()`` or ``await storage.list()``.

        A prefix that no key begins with lists nothing. Names are full keys, in the byte order of
        their UTF-8 where `capabilities.ordered`. An object that appears or goes while the listing
        is under way may or may not be listed.

        Args:
            prefix: list what lies below; ``"l"`` is ``"l/"`` and never matches ``lx``.
            recursive: all levels; False gives one level, with a `Folder` for each that lies below.
            starting: list only names that begin so, after `prefix`; need not end at a segment.
            start_after: list only what comes after this key.

        Raises:
            InvalidKeyError: at once, for a prefix that no key can have.
        """
        context, rules = self._context("list", prefix), self._rules
        with context:
            below = self._prefix.join(rules.prefix(prefix) + rules.name_start(starting))
            after = None if start_after is None else self._prefix.join(rules.key(start_after))

        def begin() -> ListingIterator[Any]:
            with context:
                self._check_open()
            pages = ConnectedPages(
                self._ready,
                lambda driver: driver.scan(below, recursive=recursive, start_after=after),
            )
            return ListingIterator(pages, self._prefix, rules, context.begin())

        return Listing(begin)

    # -- transfers ------------------------------------------------------------------------------

    @observed()
    async def get(
        self,
        key: str,
        path: str | os.PathLike[str],
        *,
        progress_callback: ProgressCallback | None = None,
    ) -> None:
        """Copy an object to a local file, which appears or is replaced whole or not at all.

        Args:
            key: of the object.
            path: of the local file.
            progress_callback: called with the bytes done so far and, if it takes two arguments,
                the total.

        Raises:
            FileNotFoundInStorageError: no object has this key.
            OSError: the local file cannot be written; it is as it was.
        """
        opening: Opening[Reader] = self._opening("get", key, "r")
        async with opening as reader:
            async with self._path_writer("get", key, os.fspath(path), reader.size) as writer:
                await pump(reader.read1, writer.write, Progress(progress_callback, reader.size))

    @observed()
    async def put(
        self,
        path: str | os.PathLike[str],
        key: str,
        *,
        progress_callback: ProgressCallback | None = None,
        **options: Unpack[WriteKeywords],
    ) -> ListEntry:
        """Copy a local file to an object and return what is known of it.

        Args:
            path: of the local file.
            key: of the object.
            progress_callback: called with the bytes done so far and, if it takes two arguments,
                the total.
            options: those of `WriteOptions`.

        Raises:
            OSError: the local file cannot be read.
            StorageError: the object cannot be written. Either way it is as it was.
        """
        self._checked("put", key)
        # A blocking call under way is waited for, so that no thread uses a file that was closed.
        finish = self._shared.cleanups.finish
        opened = aiofiles.open(path, "rb", buffering=0, executor=self._shared.threads.pool)
        file = await finish(_entered(opened), undo=_close_late)
        try:
            total = os.fstat(file.fileno()).st_size
            opening: Opening[Writer]
            opening = self._opening("put", key, "w", size_hint=total, options=options)
            blocks = Blocks(lambda buffer: finish(file.readinto(buffer)))
            async with opening as writer:
                await pump(blocks.read, writer.write, Progress(progress_callback, total))
                return await writer.commit()
        finally:
            await finish(file.close())

    @observed()
    async def upload(
        self,
        source: Any,
        key: str,
        *,
        progress_callback: ProgressCallback | None = None,
        size_hint: int | None = None,
        **options: Unpack[WriteKeywords],
    ) -> ListEntry:
        """Write what a file object or iterator gives, and return what is known of the object.

        Args:
            source: a file object, sync or async, open in binary mode; or an iterable, sync or
                async, of bytes. It is read from where it stands and never closed.
            key: of the object.
            progress_callback: called with the bytes done so far and, if it takes two arguments,
                the total or None.
            size_hint: the size in bytes, if you know it and `source` cannot tell.
            options: those of `WriteOptions`.

        Raises:
            InvalidTypeError: `source` is nothing of the kind, or gives text.
            StorageError: the object cannot be written. It is as it was, as it is after an
                exception of `source` itself, which is passed on.
        """
        context, _ = self._checked("upload", key)
        with context:
            incoming = Incoming(source, self._shared.threads)
        total = await incoming.total()
        if total is None:
            total = size_hint
        opening: Opening[Writer] = self._opening(
            "upload", key, "w", size_hint=total, options=options
        )
        async with opening as writer:
            await pump(
                lambda: _named(context, incoming), writer.write, Progress(progress_callback, total)
            )
            return await writer.commit()

    @observed()
    async def download(
        self, key: str, destination: Any, *, progress_callback: ProgressCallback | None = None
    ) -> None:
        """Write an object's content to a file object.

        Args:
            key: of the object.
            destination: a file object, sync or async, open in binary mode; written from where it
                stands and never closed. After a failure it may hold a part.
            progress_callback: called with the bytes done so far and, if it takes two arguments,
                the total.

        Raises:
            InvalidTypeError: `destination` cannot take bytes.
            FileNotFoundInStorageError: no object has this key.
        """
        context, _ = self._checked("download", key)
        with context:
            outgoing = Outgoing(destination, self._shared.threads)
        opening: Opening[Reader] = self._opening("download", key, "r")
        async with opening as reader:
            await pump(reader.read1, outgoing.write, Progress(progress_callback, reader.size))

    @observed()
    async def copy(
        self,
        key: str,
        new_key: str,
        *,
        to: Storage | None = None,
        overwrite: bool = True,
        progress_callback: ProgressCallback | None = None,
    ) -> ListEntry:
        """Copy an object within the storage, or to another one.

        The new object appears whole or not at all. Copying an object to itself changes nothing.

        Args:
            key: of the object.
            new_key: of the copy.
            to: another storage; a copy within one service, such as to another bucket of the same
                account, never leaves it.
            overwrite: False refuses when `new_key` exists.
            progress_callback: as for `get`; a copy within the service tells the end only.

        Raises:
            FileNotFoundInStorageError: no object has this key.
            FileExistsInStorageError: `new_key` exists and `overwrite` is False.
        """
        destination = self if to is None else to
        context, full = self._checked("copy", key)
        new_context, new_full = destination._checked("copy", new_key)
        options = WriteOptions(if_absent=not overwrite)
        if not self.is_one_service(destination):
            return await self._stream(
                await self._reader(context, full, None, "copy()"),
                destination, new_context, new_full, options, progress_callback,
            )  # fmt: skip
        pair = self._pair_context("copy", key, new_key, destination.name)
        with pair:
            driver, target = await self._ready(), await destination._ready()
            if full == new_full and (target is driver or driver.identity == target.identity):
                entry = await _unless_create_only(driver, full, options)
            elif isinstance(target, CrossCopier):
                with pair.changing():
                    entry = await target.copy_across(driver, full, new_full, options)
            else:
                with pair.changing():
                    entry = await driver.copy(full, new_full, options)
        await Progress(progress_callback, entry.size).advance(entry.size)
        return destination._own(entry)

    @staticmethod
    async def _stream(
        reader: Reader,
        destination: Storage,
        context: ErrorContext,
        full: str,
        options: WriteOptions,
        progress_callback: ProgressCallback | None,
    ) -> ListEntry:
        async with reader:
            if destination.capabilities.metadata:
                options = options.over(reader.entry)
            writer = await destination._writer(context, full, options, reader.size, "copy()")
            async with writer:
                await pump(reader.read1, writer.write, Progress(progress_callback, reader.size))
                return await writer.commit()

    @observed()
    async def move(self, key: str, new_key: str, *, overwrite: bool = True) -> None:
        """Rename an object; where the service cannot, copy it and then delete the old one.

        Moving an object to itself changes nothing. At every moment the object is whole under one
        of the keys, or under both.

        Args:
            key: of the object.
            new_key: of the object afterwards.
            overwrite: False refuses when `new_key` exists.

        Raises:
            FileNotFoundInStorageError: no object has this key.
            FileExistsInStorageError: `new_key` exists and `overwrite` is False.
        """
        _, full = self._checked("move", key)
        _, new_full = self._checked("move", new_key)
        options = WriteOptions(if_absent=not overwrite)
        pair = self._pair_context("move", key, new_key)
        with pair:
            driver = await self._ready()
            if full == new_full:
                await _unless_create_only(driver, full, options)
            else:
                with pair.changing():
                    if isinstance(driver, Mover):
                        await driver.move(full, new_full, options)
                    else:
                        await driver.copy(full, new_full, options)
        if full != new_full and not isinstance(driver, Mover):
            await self._delete(key)


class InternalLinksStorageBackend(Storage):
    """A storage whose service has no links of its own: its links are tokens for an endpoint."""


def _close_late(file: AsyncFileIO) -> None:
    file._file.close()  # type: ignore[attr-defined]  # of aiofiles; its own close() is a thread hop


async def _written(
    driver: Driver, context: ErrorContext, full: str, buffer: Buffer, options: WriteOptions
) -> ListEntry:
    with context.changing():
        return await driver.write(full, [buffer] if buffer else [], options)


async def _entered(opened: Awaitable[FileT]) -> FileT:
    return await opened


async def _named(context: ErrorContext, incoming: Incoming) -> Buffer:
    """Read what the caller gives; name our own complaints about it, and leave its errors alone."""
    try:
        return await incoming.read()
    except InvalidTypeError as exc:
        raise context.name(exc) from None


async def _unless_create_only(driver: Driver, full: str, options: WriteOptions) -> ListEntry:
    """Return the entry of an object that is copied or moved to itself."""
    entry = await driver.stat(full)
    if options.if_absent:
        raise FileExistsInStorageError("the new key is the old one, and it exists")
    return entry
