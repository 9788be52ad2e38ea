"""The files of the sync facade: what `io` expects of files, over those of the event loop."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from ._cursor import Cursor, Steps
from ._portal import Call, Portal
from ._reading import DEFAULT_CHUNK_SIZE
from ._tasks import after
from .driver import Buffer
from .errors import ClosedError, InvalidArgumentError, StorageError, UnsupportedOperationError
from .files import Reader, UpdateFile, Writer, as_bytes
from .models import ListEntry

T = TypeVar("T")

# Less than this is gathered here: a visit to the loop's thread costs some 50 microseconds.
_GATHER = 1 << 20


class SyncFile(io.BufferedIOBase):
    """What the facade's files have in common; safe to share between threads.

    Attributes:
        name: the key.
        mode: ``"rb"``, ``"wb"`` or ``"rb+"``, as other libraries expect it.
    """

    mode: str

    def __init__(self, file: Reader | Writer | UpdateFile, portal: Portal) -> None:
        self._file = file
        self._portal = portal
        self._lock = threading.RLock()
        self._forgotten = False
        self.name: str = file.name
        file._entered_by = "with"

    @property
    def closed(self) -> bool:
        """Whether the file was closed, committed or aborted."""
        return self._file.closed

    def readable(self) -> bool:
        return self._file.readable()

    def writable(self) -> bool:
        return self._file.writable()

    def seekable(self) -> bool:
        return self._file.seekable()

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._lock:
            if not self._file.closed and not self._forgotten:
                self._wait(self._file.close())

    def abort(self) -> None:
        """Close the file without keeping what was not kept yet; idempotent."""
        with self._lock:
            if not self._file.closed:
                self._wait(self._file._discard())

    def commit(self) -> ListEntry:
        """Make what was written the object; only a file that is open for writing does it."""
        self._check("commit")
        self._refuse("commit", "is not offered: the file is not open for writing")

    def _dealloc_warn(self, source: object) -> None:
        """Remember that nobody holds the wrapper around this file.

        `io` calls it before such a wrapper closes what it wraps, which must not commit.
        """
        self._forgotten = True

    def __del__(self) -> None:
        # Not io's way, which closes and so would commit: the file behind this one warns and
        # discards, without waiting.
        pass

    def __repr__(self) -> str:
        return repr(self._file).replace("<", "<Sync", 1)

    def _check(self, operation: str) -> None:
        if self._file.closed:
            raise self._file._named(ClosedError(f"{operation}() on a closed file"))

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except StorageError as exc:  # the portal's own have no name
            self._file._named(exc)
            raise

    def _wait(self, coro: Coroutine[Any, Any, T]) -> T:
        with self._naming():
            return self._portal.run(coro)

    def _refuse(self, operation: str, why: str) -> NoReturn:
        raise self._file._named(UnsupportedOperationError(f"{operation}() {why}"))

    def detach(self) -> NoReturn:
        self._refuse("detach", "is not offered: there is no raw file below")

    def fileno(self) -> int:
        self._refuse("fileno", "is not offered: this is no file of the operating system")


class _Readable(SyncFile):
    """Reading, by the rules of `_cursor`."""

    _file: Reader | UpdateFile

    def __init__(self, file: Reader | UpdateFile, portal: Portal) -> None:
        super().__init__(file, portal)
        self._cursor = Cursor()

    def _run(self, operation: str, steps: Steps[T]) -> T:
        with self._lock:
            self._check(operation)
            try:
                wanted = next(steps)
                while True:
                    try:
                        loaded = self._loaded(self._cursor.position, wanted)
                    except BaseException:
                        steps.close()
                        raise
                    wanted = steps.send(loaded)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # what the steps return

    def _loaded(self, offset: int, wanted: int) -> tuple[Buffer, int]:
        return self._wait(self._load(offset, wanted))

    async def _load(self, offset: int, wanted: int) -> tuple[Buffer, int]:
        self._file._check("read")
        return await self._file._load(offset, wanted)

    def read(self, size: int | None = -1, /) -> bytes:
        return self._run("read", self._cursor.read(size))

    def read1(self, size: int = -1, /) -> bytes:
        return self._run("read1", self._cursor.read1(size, self._file._best))

    def readinto(self, buffer: Any, /) -> int:
        return self._run("readinto", self._cursor.readinto(buffer))

    def __next__(self) -> bytes:
        with self._lock:
            line = None if self._file.closed else self._cursor.line()
            if line is None and not (line := self._run("readline", self._cursor.readline(-1))):
                raise StopIteration
            return line

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._run("readline", self._cursor.readline(size))

    def seek(self, offset: int, whence: int = 0, /) -> int:
        with self._lock:
            self._check("seek")
            end = self._wait(self._file._end()) if whence == 2 else 0
            try:
                return self._cursor.seek(offset, whence, end)
            except StorageError as exc:
                raise self._file._named(exc) from None

    def tell(self) -> int:
        self._check("tell")
        return self._cursor.position

    def iter_chunks(self, chunk_size: int = DEFAULT_CHUNK_SIZE) -> Iterator[bytes]:
        """Iterate chunks of exactly `chunk_size` bytes, the last one of what is left."""
        if chunk_size < 1:
            raise self._file._named(
                InvalidArgumentError(f"chunk_size must be at least 1 byte, not {chunk_size}")
            )
        return iter(lambda: self.read(chunk_size), b"")

    def iter_lines(self) -> Iterator[bytes]:
        """Iterate lines, each with its ``\\n``, as iterating the file itself does."""
        return iter(self)


class SyncReader(_Readable):
    """One version of an object, open for reading; made by ``SyncStorage.open(key)``.

    Attributes:
        entry: what is known of the object.
    """

    _file: Reader
    mode = "rb"

    def __init__(self, file: Reader, portal: Portal) -> None:
        super().__init__(file, portal)
        self.entry: ListEntry = file.entry
        self._ahead: Call[tuple[Buffer, int]] | None = None
        self._ahead_at = 0

    @property
    def size(self) -> int:
        """The size in bytes of the object."""
        return self._file.size

    def _loaded(self, offset: int, wanted: int) -> tuple[Buffer, int]:
        ahead = self._take_ahead()
        if ahead is not None and self._ahead_at == offset:
            with self._naming():
                chunk, index = ahead.wait()
        else:
            if ahead is not None:
                ahead.cancel()
            chunk, index = super()._loaded(offset, wanted)
        # In a stream the next chunk is fetched while this one is used: for the thread to visit the
        # loop and wait takes as long as reading a good part of a chunk.
        end = offset - index + len(chunk)
        if len(chunk) >= self._file._best and end < self.size:
            self._ahead_at = end
            with self._naming():
                self._ahead = self._portal.begin(self._load(end, self._file._best))
        return chunk, index

    def _take_ahead(self) -> Call[tuple[Buffer, int]] | None:
        ahead, self._ahead = self._ahead, None
        return ahead

    def close(self) -> None:
        with self._lock:
            ahead = self._take_ahead()
            if ahead is not None:
                ahead.cancel()
            super().close()

    def abort(self) -> None:
        self.close()

    def write(self, data: Any, /) -> int:
        """Refuse: the file is open for reading."""
        self._check("write")
        self._refuse("write", "is not offered by a file that is open for reading: open it with 'w'")


class SyncUpdateFile(_Readable):
    """An existing object, open for changes in place; made by ``SyncStorage.open(key, "rw")``."""

    _file: UpdateFile
    mode = "rb+"

    def write(self, data: Any, /) -> int:
        """Write bytes at the position and return how many; a gap before them reads as zeros."""
        with self._lock:
            self._check("write")
            count = self._wait(self._write(self._cursor.position, data))
            self._cursor.drop()
            self._cursor.move(self._cursor.position + count)
            return count

    async def _write(self, position: int, data: Any) -> int:
        await self._file.seek(position)
        return await self._file.write(data)

    def truncate(self, size: int | None = None, /) -> int:
        """Cut the file to `size` bytes, or to the position; return the size. The position stays."""
        with self._lock:
            self._check("truncate")
            self._cursor.drop()
            target = self._cursor.position if size is None else size
            return self._wait(self._file.truncate(target))

    def flush(self) -> None:
        """Make what was written durable, as far as the storage promises durability."""
        with self._lock:
            self._check("flush")
            self._wait(self._file.flush())


class SyncWriter(SyncFile):
    """An object in the making; made by ``SyncStorage.open(key, "w")`` or ``"x"``.

    Leaving ``with`` cleanly commits; an exception discards. Within ``with``, `close` only flushes,
    since wrappers such as `io.TextIOWrapper` call it whatever happened. Without ``with``, `close`
    commits, but discards while an exception is being handled that was not yet there when the file
    was opened. A file that is forgotten warns and discards.
    """

    _file: Writer
    mode = "wb"

    def __init__(self, file: Writer, portal: Portal, handled: BaseException | None) -> None:
        super().__init__(file, portal)
        self._handled_at_opening = handled
        self._entered = False
        self._small: list[bytes] = []
        self._small_size = 0
        self._size = 0
        self._can_seek = False

    def seekable(self) -> bool:
        return self._can_seek

    @property
    def entry(self) -> ListEntry | None:
        """What was written, after the commit."""
        return self._file.entry

    def write(self, data: Any, /) -> int:
        """Take bytes and return how many.

        Raises:
            InvalidTypeError: `data` is not bytes-like.
            StorageError: this or an earlier part could not be stored; the file can only be aborted.
        """
        with self._lock:
            self._check("write")
            try:
                buffer = as_bytes(data)
            except StorageError as exc:
                raise self._file._named(exc) from None
            if len(buffer) < _GATHER:
                self._small.append(bytes(buffer))
                self._small_size += len(buffer)
                if self._small_size >= _GATHER:
                    self._hand_over()
            else:
                self._hand_over()
                self._wait(self._file.write(buffer))
            self._size += len(buffer)
            return len(buffer)

    def _hand_over(self) -> None:
        if self._small:
            small, self._small, self._small_size = self._small, [], 0
            self._wait(self._file.write(b"".join(small)))

    def flush(self) -> None:
        """Hand over what was gathered; it becomes visible, all at once, by the commit only."""
        with self._lock:
            self._check("flush")
            self._hand_over()

    def tell(self) -> int:
        """Return how many bytes were written."""
        with self._lock:
            self._check("tell")
            return self._size

    def read(self, size: int | None = -1, /) -> bytes:
        """Refuse: the file is open for writing."""
        self._check("read")
        self._refuse("read", "is not offered by a file that is open for writing")

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Refuse: objects are written in order."""
        self._check("seek")
        self._refuse("seek", "is not offered while writing: objects are written in order")

    def truncate(self, size: int | None = None, /) -> int:
        """Refuse: objects are written in order."""
        self._check("truncate")
        self._refuse("truncate", "is not offered while writing: objects are written in order")

    def commit(self) -> ListEntry:
        """Make what was written the object, whole and at once, and close the file.

        Raises:
            StorageError: nothing was written, unless it is an `AmbiguousWriteError`.
        """
        with self._lock:
            self._check("commit")
            try:
                self._hand_over()
            except BaseException as exc:
                with after(exc):
                    self.abort()
                raise
            return self._wait(self._file.commit())

    def abort(self) -> None:
        """Discard what was written, leave the key as it was, and close the file; idempotent."""
        with self._lock:
            self._small, self._small_size = [], 0
            super().abort()

    def close(self) -> None:
        """Commit, flush or discard: see the class; idempotent.

        Raises:
            StorageError: an earlier write or the commit failed; nothing was written.
        """
        with self._lock:
            if self._forgotten:
                return
            handled = sys.exc_info()[1]
            failing = handled is not None and handled is not self._handled_at_opening
            if not failing:
                self._file._check_abandoned()
            if self._file.closed:
                return
            if self._entered:
                self._hand_over()
            elif failing:
                with after(handled):
                    self.abort()
            else:
                self.commit()

    def __enter__(self) -> Self:
        self._check("with")
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._entered = False
        if exc is not None:
            with after(exc):
                self.abort()
            return
        self._file._check_abandoned()
        if not self._file.closed:
            self.commit()


class SyncTextFile(io.TextIOWrapper):
    """Text over one of the facade's files, which keeps or discards what was written as that does.

    Made by ``SyncStorage.open(key, encoding="utf-8")`` or with a ``t`` in the mode.
    """

    def __init__(
        self, file: SyncFile, encoding: str, errors: str | None, newline: str | None
    ) -> None:
        # io writes a byte order mark only to a file that seems to know its position.
        if isinstance(file, SyncWriter):
            file._can_seek = True
        super().__init__(file, encoding, errors, newline)
        if isinstance(file, SyncWriter):
            file._can_seek = False

    @property
    def file(self) -> SyncFile:
        """The binary file below."""
        return self.buffer  # type: ignore[return-value]  # made so

    @property
    def entry(self) -> ListEntry | None:
        """What is known of the object: after the commit, where it is written."""
        return getattr(self.buffer, "entry", None)

    def commit(self) -> ListEntry:
        """Make what was written the object, whole and at once, and close the file."""
        self.flush()
        return self.file.commit()

    def abort(self) -> None:
        """Close the file without keeping what was not kept yet; idempotent."""
        self.file.abort()
        self.close()

    def close(self) -> None:
        """Flush and close the file below; idempotent."""
        if self.closed:
            self.file.close()  # which tells if its storage was closed first
        else:
            super().close()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if exc is not None:
            with after(exc):
                self.abort()
        else:
            self.close()
