"""The files that `Storage.open` returns."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, NoReturn

from ._context import ErrorContext
from ._file import File, FileT, Opening, as_bytes
from ._readahead import ReadAhead
from ._reading import DEFAULT_CHUNK_SIZE, BytesIterator, ReadMethods
from ._tasks import Cleanups, after
from ._writebehind import WriteBehind
from .driver import Buffer, RandomAccess
from .errors import ClosedError, InvalidArgumentError, InvalidTypeError, StorageError
from .models import ListEntry

__all__ = [
    "BytesIterator",
    "File",
    "FileT",
    "Opening",
    "Reader",
    "UpdateFile",
    "Writer",
    "as_bytes",
]

_UPDATE_BLOCK = 64 << 10


class Reader(ReadMethods):
    """One version of an object, open for reading; made by ``Storage.open(key)``.

    Reads behave as on `io.BytesIO`; ``async for`` gives chunks as they come. What is returned is
    always of the version that was opened: if it is replaced, reading goes on with the old bytes or
    raises `ObjectChangedError`.
    """

    def __init__(
        self,
        pipeline: ReadAhead,
        entry: ListEntry,
        context: ErrorContext,
        cleanups: Cleanups,
        origin: str,
    ) -> None:
        super().__init__(context, cleanups, origin)
        self._pipeline = pipeline
        self.entry = entry

    @property
    def size(self) -> int:
        """The size in bytes of the object."""
        return self.entry.size

    async def _load(self, offset: int, wanted: int) -> tuple[Buffer, int]:
        try:
            data, index = await self._pipeline.at(offset, wanted)
        except BaseException as exc:
            self._context.note(exc)
            raise
        self._context.moved(len(data) - index)
        return data, index

    async def _end(self) -> int:
        return self.size

    @property
    def _best(self) -> int:
        return self._pipeline.best

    async def write(self, data: object) -> NoReturn:
        """Refuse: the file is open for reading."""
        self._check("write")
        self._refuse("write", "is not offered by a file that is open for reading: open it with 'w'")

    async def close(self) -> None:
        """Stop reading ahead and give back what the file holds; idempotent."""
        if not self._is_elsewhere() and not self._closed and self._pipeline.stop():
            self._closed = True
            self._context.end()
        await self._discard()

    async def _release(self) -> None:
        await self._pipeline.aclose()
        self._context.end()

    def _releaser(self) -> Callable[[], Any]:
        return self._pipeline.release


class Writer(File):
    """An object in the making; made by ``Storage.open(key, "w")`` or ``"x"``.

    Leaving ``async with`` cleanly commits; an exception or cancellation aborts, and the key is as
    it was with nothing left behind. Where the abort fails too, that is a note on the exception.
    After the commit `entry` tells what was written.
    """

    def __init__(
        self, pipeline: WriteBehind, context: ErrorContext, cleanups: Cleanups, origin: str
    ) -> None:
        super().__init__(context, cleanups, origin)
        self._pipeline = pipeline
        self._broken: BaseException | None = None
        self._abandoned = False  # by the storage, so that whoever comes to commit must be told
        self._turn = asyncio.Lock()  # tasks that share a writer take turns
        self._handled_at_opening = sys.exc_info()[1]
        self.entry: ListEntry | None = None

    def writable(self) -> bool:
        return True

    async def write(self, data: Any) -> int:
        """Take bytes and return how many.

        Args:
            data: bytes-like. Bytes are kept by reference until they are staged; what can change is
                copied.

        Raises:
            InvalidTypeError: `data` is not bytes-like.
            StorageError: this or an earlier part could not be stored; the file can only be aborted.
        """
        self._check("write")
        self._check_broken()
        try:
            buffer = as_bytes(data)
        except InvalidTypeError as exc:
            raise self._context.name(exc) from None
        async with self._turn:
            self._check("write")
            try:
                await self._pipeline.feed(buffer)
            except BaseException as exc:
                self._broken = exc
                self._context.note(exc)
                raise
        self._context.moved(len(buffer))
        return len(buffer)

    async def writelines(self, lines: Iterable[Any]) -> None:
        """Write each of `lines`; no separators are added."""
        for line in lines:
            await self.write(line)

    async def flush(self) -> None:
        """Do nothing: bytes become visible, all at once, by the commit only."""
        self._check("flush")

    async def tell(self) -> int:
        """Return how many bytes were written."""
        self._check("tell")
        return self._pipeline.size

    async def read(self, size: int | None = -1) -> NoReturn:
        """Refuse: the file is open for writing."""
        self._check("read")
        self._refuse("read", "is not offered by a file that is open for writing")

    async def seek(self, offset: int, whence: int = 0) -> NoReturn:
        """Refuse: objects are written in order."""
        self._check("seek")
        self._refuse("seek", "is not offered while writing: objects are written in order")

    async def commit(self) -> ListEntry:
        """Make what was written the object, whole and at once, and close the file.

        The commit itself is not cut by a cancellation, which is raised after it.

        Returns:
            what is known of the object that was written.

        Raises:
            StorageError: nothing was written, unless it is an `AmbiguousWriteError`.
        """
        async with self._turn:
            self._check("commit")
            return await self._commit()

    async def _commit(self) -> ListEntry:
        await self._prepare()
        self._closed = True
        self.entry = await self._cleanups.finish(self._commit_or_abort())
        return self.entry

    async def _prepare(self) -> None:
        """Wait until all that was written is stored, invisibly; what is left is one step."""
        self._check_broken()
        try:
            await self._pipeline.prepare()
        except BaseException as exc:
            self._context.note(exc)
            with after(exc):
                await self.abort()
            raise

    async def _commit_or_abort(self) -> ListEntry:
        try:
            entry = await self._pipeline.commit()
        except BaseException as exc:
            self._context.note(exc)
            with after(exc):
                await self._release()
            raise
        self._context.end()
        return entry

    async def abort(self) -> None:
        """Discard what was written, leave the key as it was, and close the file; idempotent."""
        await self._discard()

    async def abandon(self) -> None:
        self._abandoned = self._abandoned or not self._closed
        await super().abandon()

    async def close(self) -> None:
        """Commit, unless something failed; idempotent.

        In a ``finally`` or ``except`` clause, while an exception is being handled that was not yet
        there when the file was opened, close discards instead. `commit` always commits.

        Raises:
            StorageError: an earlier write or the commit failed; nothing was written.
            ClosedError: so, too, when the storage or the event loop of the file was closed before.
        """
        handled = sys.exc_info()[1]
        if handled is not None and handled is not self._handled_at_opening:
            self._context.note(handled)
            with after(handled):
                await self.abort()
        else:
            await self._finish()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if exc is not None:
            self._context.note(exc)
            with after(exc):
                await self.abort()
        else:
            await self._finish()

    async def _finish(self) -> None:
        """Commit unless a write failed; once, also when several tasks come to close the file."""
        if self._is_elsewhere() and not self._closed:
            if self.loop.is_closed():
                await self.abort()
                raise self._context.name(
                    ClosedError("its event loop was closed, so what was written is discarded")
                )
            self._check("close")
        async with self._turn:
            self._check_abandoned()
            if self._closed:
                return
            if self._broken is not None:
                with after(self._broken):
                    await self.abort()
                self._check_broken()
            await self._commit()

    def _check_abandoned(self) -> None:
        """Raise, the first time, if the storage was closed before the file."""
        if self._abandoned:
            self._abandoned = False
            raise self._context.name(
                ClosedError("its storage was closed first, so what was written is discarded")
            )

    def _check_broken(self) -> None:
        if isinstance(self._broken, StorageError):
            raise self._broken
        if self._broken is not None:
            raise self._context.name(
                ClosedError("an earlier write() did not end, so this file can only be aborted")
            ) from self._broken

    def _consequence(self) -> str:
        return f"what was written is discarded; close it, or use `{self._entered_by}`"

    async def _release(self) -> None:
        try:
            await self._pipeline.abort()
        finally:
            self._context.discard()

    def _releaser(self) -> Callable[[], Any]:
        return self._pipeline.abort


class UpdateFile(ReadMethods):
    """An existing object, open for changes in place; made by ``Storage.open(key, "rw")``.

    Behaves as `io.BytesIO` over the object. Changes are made at once and are not atomic: this is
    the one way of writing that others may see half done.
    """

    def __init__(
        self, handle: RandomAccess, context: ErrorContext, cleanups: Cleanups, origin: str
    ) -> None:
        super().__init__(context, cleanups, origin)
        self._handle = handle

    def writable(self) -> bool:
        return True

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except BaseException as exc:
            self._context.note(exc)
            raise

    @property
    def _best(self) -> int:
        return _UPDATE_BLOCK

    async def _load(self, offset: int, wanted: int) -> tuple[Buffer, int]:
        # A read of everything is cut into blocks of a sensible size; the caller loops.
        length = max(min(wanted, DEFAULT_CHUNK_SIZE), _UPDATE_BLOCK)
        with self._failing(), self._context:
            data = await self._handle.read_at(offset, length)
        self._context.moved(len(data))
        return data, 0

    async def _end(self) -> int:
        with self._context:
            return await self._handle.size()

    async def write(self, data: Any) -> int:
        """Write bytes at the position and return how many; a gap before them reads as zeros."""
        self._check("write")
        try:
            buffer = as_bytes(data)
        except InvalidTypeError as exc:
            raise self._context.name(exc) from None
        self._cursor.drop()
        if len(buffer):
            await self._change(self._handle.write_at(self._cursor.position, buffer))
            self._context.moved(len(buffer))
            self._cursor.move(self._cursor.position + len(buffer))
        return len(buffer)

    async def _change(self, coro: Coroutine[Any, Any, None]) -> None:
        """Make a change that no cancellation cuts in half."""
        self._busy = True
        try:
            with self._failing(), self._context:
                await self._cleanups.finish(coro)
        finally:
            self._busy = False

    async def writelines(self, lines: Iterable[Any]) -> None:
        """Write each of `lines`; no separators are added."""
        for line in lines:
            await self.write(line)

    async def truncate(self, size: int | None = None) -> int:
        """Cut the file to `size` bytes, or to the position; return the size. The position stays."""
        self._check("truncate")
        size = self._cursor.position if size is None else size
        if size < 0:
            raise self._context.name(InvalidArgumentError(f"negative size {size}"))
        self._cursor.drop()
        await self._change(self._handle.truncate(size))
        return size

    async def flush(self) -> None:
        """Make what was written durable, as far as the storage promises durability."""
        self._check("flush")
        with self._failing(), self._context:
            await self._handle.flush()

    async def close(self) -> None:
        """Flush and close; idempotent."""
        await self._discard()

    async def _release(self) -> None:
        try:
            with self._failing(), self._context:
                await self._handle.aclose()
        finally:
            self._context.end()

    def _releaser(self) -> Callable[[], Any]:
        return self._handle.aclose
