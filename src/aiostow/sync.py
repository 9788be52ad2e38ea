"""The same storage without async, for scripts and synchronous frameworks."""

from __future__ import annotations

import builtins
import itertools
import os
import sys
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, Literal, NoReturn, Self, TypeAlias, TypeVar, Unpack, overload

from ._linking import LinkKeywords
from ._listing import ItemT, Listing, ListingIterator
from ._portal import Portal
from ._syncfiles import SyncFile, SyncReader, SyncTextFile, SyncUpdateFile, SyncWriter
from ._tasks import after
from ._transfer import ProgressCallback
from .errors import InvalidArgumentError, InvalidTypeError, StorageError
from .files import Opening, Reader, UpdateFile, Writer
from .links import Disposition, Expiry, InternalLinkTokenData
from .models import (
    Capabilities,
    FileMode,
    Folder,
    Leftover,
    Link,
    ListEntry,
    ShareLinkOperation,
    WriteKeywords,
)
from .storage import ReadMode, Storage, UpdateMode, WriteMode

__all__ = [
    "SyncFile",
    "SyncListing",
    "SyncReader",
    "SyncStorage",
    "SyncTextFile",
    "SyncUpdateFile",
    "SyncWriter",
]

T = TypeVar("T")

TextMode: TypeAlias = Literal["rt", "tr", "wt", "tw", "xt", "tx", "rwt", "rtw", "twr", "wrt"]


class SyncListing(Generic[ItemT]):
    """What `SyncStorage.list` returns; each iteration over it lists anew."""

    def __init__(self, listing: Listing[ItemT], portal: Portal) -> None:
        self._listing = listing
        self._portal = portal

    def __iter__(self) -> SyncListingIterator[ItemT]:
        return SyncListingIterator(aiter(self._listing), self._portal)

    def __aiter__(self) -> NoReturn:
        raise InvalidTypeError("write `for`, not `async for`, over a listing of the sync facade")


class SyncListingIterator(Generic[ItemT]):
    """One pass over a listing; one that is abandoned is closed."""

    def __init__(self, items: ListingIterator[ItemT], portal: Portal) -> None:
        self._items = items
        self._portal = portal
        self._page: Iterator[ItemT] = iter(())
        self._ended = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ItemT:
        for item in self._page:
            return item
        if self._ended:
            raise StopIteration
        page = self._portal.run(self._items.page())
        self._ended = not page
        self._page = iter(page)
        for item in self._page:
            return item
        raise StopIteration

    def close(self) -> None:
        """End the listing; idempotent."""
        if not self._ended:
            self._ended = True
            self._page = iter(())
            self._portal.run(self._items.aclose())

    def __del__(self) -> None:
        if not getattr(self, "_ended", True):
            self._portal.start(self._items.aclose())


class SyncStorage:
    """A `Storage` whose methods are plain functions, served by an event loop in a thread.

    Every method does what the one of `Storage` does, waits for it, and may be called from any
    thread that runs no event loop. Callbacks are called in the loop's thread and must not call
    back. What interrupts a call, such as Ctrl-C, cancels it and leaves nothing behind.

    Use it with ``with``, or call `close` at the end, which closes the storage.

    Args:
        storage: to be used by this facade alone while it is open.
    """

    def __init__(self, storage: Storage) -> None:
        if not isinstance(storage, Storage):
            raise InvalidTypeError(
                f"SyncStorage() takes a storage such as LocalFSStorage(...), not "
                f"{type(storage).__name__}"
            )
        self._storage = storage
        self._portal = Portal(storage.aclose)
        self._is_view = False

    @property
    def storage(self) -> Storage:
        """The storage behind this facade."""
        return self._storage

    @property
    def name(self) -> str:
        """The name of the storage."""
        return self._storage.name

    @property
    def memory_budget(self) -> int:
        """For the buffers of all transfers together, in bytes."""
        return self._storage.memory_budget

    @property
    def capabilities(self) -> Capabilities:
        """What this storage can do: native, emulated or unsupported."""
        return self._storage.capabilities

    @property
    def address(self) -> str:
        """What the storage points to; see `Storage.address`."""
        return self._storage.address

    def is_one_service(self, other: SyncStorage) -> bool:
        """Whether a copy to another storage stays within the service; see `Storage`."""
        return self._storage.is_one_service(other._storage)

    @property
    def closed(self) -> bool:
        """Whether this storage, or the one that it is a view of, was closed."""
        return self._storage.closed

    def close(self) -> None:
        """Close the storage: discard open writers, close open files. Idempotent.

        On a view, close the view alone.
        """
        if not self._storage.closed:
            self._run("close", None, self._storage.aclose())
        if not self._is_view:
            self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with after(exc):
            self.close()

    async def __aenter__(self) -> NoReturn:
        raise InvalidTypeError("write `with`, not `async with`, for the sync facade")

    async def __aexit__(self, *_: object) -> None: ...

    def __getstate__(self) -> dict[str, Any]:
        return {"storage": self._storage}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["storage"])  # type: ignore[misc]  # what travelled is whole

    def __repr__(self) -> str:
        return f"<Sync{repr(self._storage).removeprefix('<')}"

    def _check(self, operation: str, key: str) -> None:
        try:
            self._portal.check()
        except StorageError as exc:
            raise exc.with_context(operation=operation, key=key, storage=self.name) from None

    def _run(self, operation: str, key: str | None, coro: Coroutine[Any, Any, T]) -> T:
        try:
            return self._portal.run(coro)
        except StorageError as exc:
            exc.with_context(operation=operation, key=key, storage=self.name)
            raise

    def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Wait for what only one backend has, and return what it returns.

        Args:
            coro: a call of `storage`, as in ``s.run(s.storage.create_container_url(3600))``.
        """
        return self._run("run", None, coro)

    def at(self, prefix: str) -> SyncStorage:
        """Return a view of the keys below `prefix`, which can reach no others; see `Storage.at`."""
        view = SyncStorage.__new__(SyncStorage)
        view._storage = self._storage.at(prefix)
        view._portal = self._portal
        view._is_view = True
        return view

    # -- files ----------------------------------------------------------------------------------

    @overload
    def open(
        self, key: str, mode: ReadMode = "r", *, if_match: str | None = None
    ) -> SyncReader: ...

    @overload
    def open(
        self,
        key: str,
        mode: WriteMode,
        *,
        size_hint: int | None = None,
        **options: Unpack[WriteKeywords],
    ) -> SyncWriter: ...

    @overload
    def open(self, key: str, mode: UpdateMode) -> SyncUpdateFile: ...

    @overload
    def open(
        self,
        key: str,
        mode: TextMode,
        *,
        encoding: str = "utf-8",
        errors: str | None = None,
        newline: str | None = None,
        size_hint: int | None = None,
        **options: Any,
    ) -> SyncTextFile: ...

    @overload
    def open(
        self,
        key: str,
        mode: FileMode | str = "r",
        *,
        encoding: str,
        errors: str | None = None,
        newline: str | None = None,
        size_hint: int | None = None,
        **options: Any,
    ) -> SyncTextFile: ...

    @overload
    def open(self, key: str, mode: FileMode | str, **options: Any) -> Any: ...

    def open(
        self,
        key: str,
        mode: FileMode | str = "r",
        *,
        size_hint: int | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        **options: Any,
    ) -> Any:
        """Open an object as a file of `io`: ``with storage.open(key) as f``; see `Storage.open`.

        Args:
            key: of the object.
            mode: as for `Storage.open`; with a ``t`` the file is text.
            size_hint: the size of the object to write, in bytes, where known.
            encoding: makes the file text; UTF-8 if only the mode says so.
            errors: what to do about characters that cannot be, as for the builtin `open`.
            newline: how lines end, as for the builtin `open`.
            options: for writing, those of `WriteOptions`; for reading, `if_match`.
        """
        is_text = encoding is not None
        if isinstance(mode, str) and "t" in mode:
            is_text = True
            mode = mode.replace("t", "", 1) if "b" not in mode else mode
        if not is_text and (errors is not None or newline is not None):
            raise InvalidArgumentError(
                "errors and newline are for text: name an encoding, such as 'utf-8'",
                operation="open", key=key, storage=self.name,
            )  # fmt: skip
        if is_text and isinstance(mode, str) and "b" in mode:
            raise InvalidArgumentError(
                f"a file is text or binary, not both: {mode!r} with text",
                operation="open", key=key, storage=self.name,
            )  # fmt: skip
        self._check("open", key)
        opening: Opening[Any] = self._storage.open(key, mode, size_hint=size_hint, **options)
        file = self._sync(self._run("open", key, _opened(opening)))
        if not is_text:
            return file
        try:
            return SyncTextFile(file, encoding or "utf-8", errors, newline)
        except BaseException:  # no such encoding, for example
            file.abort()
            raise

    def _sync(self, file: Reader | Writer | UpdateFile) -> Any:
        if isinstance(file, Reader):
            return SyncReader(file, self._portal)
        if isinstance(file, UpdateFile):
            return SyncUpdateFile(file, self._portal)
        return SyncWriter(file, self._portal, sys.exc_info()[1])

    def read_bytes(self, key: str, *, if_match: str | None = None) -> bytes:
        """Return the whole content of an object; see `Storage.read_bytes`."""
        return self._run("read_bytes", key, self._storage.read_bytes(key, if_match=if_match))

    def write_bytes(
        self, key: str, data: bytes | bytearray | memoryview, **options: Unpack[WriteKeywords]
    ) -> ListEntry:
        """Write an object whole and return what is known of it; see `Storage.write_bytes`."""
        return self._run("write_bytes", key, self._storage.write_bytes(key, data, **options))

    # -- what is there --------------------------------------------------------------------------

    def stat(self, key: str) -> ListEntry:
        """Return what is known of an object; see `Storage.stat`."""
        return self._run("stat", key, self._storage.stat(key))

    def exists(self, key: str) -> bool:
        """Return whether an object has this key; see `Storage.exists`."""
        return self._run("exists", key, self._storage.exists(key))

    @overload
    def list(
        self,
        prefix: str = "",
        *,
        recursive: Literal[True] = True,
        starting: str = "",
        start_after: str | None = None,
    ) -> SyncListing[ListEntry]: ...

    @overload
    def list(
        self,
        prefix: str = "",
        *,
        recursive: bool,
        starting: str = "",
        start_after: str | None = None,
    ) -> SyncListing[ListEntry | Folder]: ...

    def list(
        self,
        prefix: str = "",
        *,
        recursive: bool = True,
        starting: str = "",
        start_after: str | None = None,
    ) -> SyncListing[Any]:
        """List objects: ``for entry in storage.list()``; see `Storage.list`."""
        listing = self._storage.list(
            prefix, recursive=recursive, starting=starting, start_after=start_after
        )
        return SyncListing(listing, self._portal)

    # -- transfers ------------------------------------------------------------------------------

    def get(
        self,
        key: str,
        path: str | os.PathLike[str],
        *,
        progress_callback: ProgressCallback | None = None,
    ) -> None:
        """Copy an object to a local file, whole or not at all; see `Storage.get`."""
        self._run("get", key, self._storage.get(key, path, progress_callback=progress_callback))

    def put(
        self,
        path: str | os.PathLike[str],
        key: str,
        *,
        progress_callback: ProgressCallback | None = None,
        **options: Unpack[WriteKeywords],
    ) -> ListEntry:
        """Copy a local file to an object; see `Storage.put`."""
        return self._run(
            "put", key, self._storage.put(path, key, progress_callback=progress_callback, **options)
        )

    def upload(
        self,
        source: Any,
        key: str,
        *,
        progress_callback: ProgressCallback | None = None,
        size_hint: int | None = None,
        **options: Unpack[WriteKeywords],
    ) -> ListEntry:
        """Write what a file object or iterable gives; see `Storage.upload`."""
        return self._run(
            "upload",
            key,
            self._storage.upload(
                source,
                key,
                progress_callback=progress_callback,
                size_hint=size_hint,
                **options,
            ),
        )

    def download(
        self, key: str, destination: Any, *, progress_callback: ProgressCallback | None = None
    ) -> None:
        """Write an object's content to a file object; see `Storage.download`."""
        self._run(
            "download",
            key,
            self._storage.download(key, destination, progress_callback=progress_callback),
        )

    def copy(
        self,
        key: str,
        new_key: str,
        *,
        to: SyncStorage | Storage | None = None,
        overwrite: bool = True,
        progress_callback: ProgressCallback | None = None,
    ) -> ListEntry:
        """Copy an object within the storage, or to another one; see `Storage.copy`."""
        return self._run(
            "copy",
            key,
            self._storage.copy(
                key,
                new_key,
                to=to.storage if isinstance(to, SyncStorage) else to,
                overwrite=overwrite,
                progress_callback=progress_callback,
            ),
        )

    def move(self, key: str, new_key: str, *, overwrite: bool = True) -> None:
        """Rename an object; see `Storage.move`."""
        self._run("move", key, self._storage.move(key, new_key, overwrite=overwrite))

    # -- links ----------------------------------------------------------------------------------

    def link_to(
        self,
        path: str,
        operation: ShareLinkOperation | str,
        expire: Expiry,
        output_path: str | None = None,
        content_type: str | None = None,
        *,
        overwrite: bool = True,
        max_size: int | None = None,
        exact_size: int | None = None,
        once: bool = False,
        disposition: Disposition = "attachment",
    ) -> Link:
        """Return a URL by which whoever has it may do what it allows; see `Storage.link_to`."""
        return self._run(
            "link_to",
            path,
            self._storage.link_to(
                path, operation, expire, output_path, content_type,
                overwrite=overwrite, max_size=max_size, exact_size=exact_size, once=once,
                disposition=disposition,
            ),
        )  # fmt: skip

    def create_link_token(
        self,
        *,
        path: str,
        operation: ShareLinkOperation | str,
        expire: Expiry,
        **options: Unpack[LinkKeywords],
    ) -> str:
        """Return the token of a link; see `Storage.create_link_token`."""
        return self._storage.create_link_token(
            path=path, operation=operation, expire=expire, **options
        )

    def deserialize_link_token(self, token: str) -> InternalLinkTokenData:
        """Return what a token of this storage grants; see `Storage.deserialize_link_token`."""
        return self._storage.deserialize_link_token(token)

    # -- deletion -------------------------------------------------------------------------------

    def delete(self, key: str, *, missing_ok: bool = True) -> None:
        """Delete an object; see `Storage.delete`."""
        self._run("delete", key, self._storage.delete(key, missing_ok=missing_ok))

    def delete_many(self, keys: Iterable[str] | AsyncIterable[str]) -> None:
        """Delete many objects; see `Storage.delete_many`."""
        if isinstance(keys, Iterable) and not isinstance(keys, str):
            # Not on the loop's thread: the keys may come from a listing of this very facade.
            keys = _pulled(keys, self._storage)
        self._run("delete_many", None, self._storage.delete_many(keys))

    def sweep(self, older_than: timedelta = timedelta(days=1)) -> int:
        """Remove what killed writers left behind and return how much; see `Storage.sweep`."""
        return self._run("sweep", None, self._storage.sweep(older_than))

    def leftovers(self, older_than: timedelta = timedelta(days=1)) -> builtins.list[Leftover]:
        """Return what `sweep` would remove; see `Storage.leftovers`."""
        return self._run("leftovers", None, self._storage.leftovers(older_than))


async def _pulled(keys: Iterable[str], storage: Storage) -> AsyncIterator[str]:
    iterator = iter(keys)
    while batch := await storage._shared.threads.run(_some, iterator):
        for key in batch:
            yield key


def _some(keys: Iterator[str]) -> list[str]:
    return list(itertools.islice(keys, 1000))


async def _opened(opening: Opening[Any]) -> Any:
    return await opening
