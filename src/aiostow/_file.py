"""What all files have in common, and what stands for a file until it is open."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from ._context import ErrorContext, caller
from ._process import process_id
from ._tasks import Cleanups, after, run_elsewhere
from .driver import Buffer
from .errors import (
    ClosedError,
    InvalidArgumentError,
    InvalidTypeError,
    StorageError,
    UnsupportedOperationError,
)


def as_bytes(data: object) -> Buffer:
    """Return `data` as bytes that its owner cannot change afterwards.

    Bytes, and read-only views of bytes, are kept without a copy.

    Raises:
        InvalidTypeError: `data` is not bytes-like.
    """
    if type(data) is bytes:
        return data
    if isinstance(data, str):
        raise InvalidTypeError("write bytes, not str: encode it first, as in text.encode('utf-8')")
    try:
        view = memoryview(data)  # type: ignore[arg-type]  # the TypeError is the check
    except TypeError:
        hint = ": write `await` before the call that makes it" if _is_awaitable(data) else ""
        raise InvalidTypeError(f"write bytes, not {type(data).__name__}{hint}") from None
    if view.readonly and isinstance(view.obj, bytes) and view.contiguous:
        return view.cast("B")
    return view.tobytes()


def _is_awaitable(value: object) -> bool:
    return hasattr(value, "__await__")


class File:
    """What readers, writers and files in place have in common.

    Attributes:
        name: the key, as the caller gave it.
    """

    def __init__(self, context: ErrorContext, cleanups: Cleanups, origin: str) -> None:
        self._closed = False
        self._context = context
        self._cleanups = cleanups
        self._origin = origin
        self._entered_by: str = "async with"  # for messages; the sync facade has another way
        self._pid = process_id()
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.name: str = context.key or ""

    @property
    def closed(self) -> bool:
        """Whether the file was closed, committed or aborted."""
        return self._closed

    def readable(self) -> bool:
        """Whether `read` is offered."""
        return False

    def writable(self) -> bool:
        """Whether `write` is offered."""
        return False

    def seekable(self) -> bool:
        """Whether `seek` is offered."""
        return False

    async def close(self) -> None:
        """Close the file; idempotent."""
        raise NotImplementedError

    async def _release(self) -> None:
        """Give back what the file holds, without keeping anything that was not kept yet."""
        raise NotImplementedError

    async def abandon(self) -> None:
        """Close without keeping anything; for the storage that is closed under an open file.

        It may be called on another event loop than the file's, which then does it, if it runs.
        """
        await self._discard()

    async def _discard(self) -> None:
        if self._closed:
            return
        if self._pid != process_id():  # in a forked child: what it holds is the parent's
            self._closed = True
            return
        if self._is_elsewhere() and not self.loop.is_closed():
            if not self.loop.is_running():  # it does so if it ever runs again
                asyncio.run_coroutine_threadsafe(self._discard(), self.loop)
                return
            if await run_elsewhere(self._discard(), self.loop) or not self.loop.is_closed():
                return
        self._closed = True
        await self._cleanups.finish(self._release())

    def _is_elsewhere(self) -> bool:
        return asyncio.get_running_loop() is not self.loop

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with after(exc):
            await self.close()

    def __enter__(self) -> NoReturn:
        raise InvalidTypeError("write `async with`, not `with`")

    def __exit__(self, *_: object) -> None: ...

    def _check(self, operation: str) -> None:
        if self._closed:
            raise self._context.name(ClosedError(f"{operation}() on a closed file"))
        if self._is_elsewhere():
            raise self._context.name(
                InvalidArgumentError("the file belongs to the event loop that opened it")
            )

    def _named(self, error: StorageError) -> StorageError:
        """Return `error` with operation, key and storage filled in."""
        return self._context.name(error)

    def _refuse(self, operation: str, why: str) -> NoReturn:
        raise self._context.name(UnsupportedOperationError(f"{operation}() {why}"))

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__name__} {self.name!r} in {self._context.storage!r}, {state}>"

    def _consequence(self) -> str:
        return f"close it, or use `{self._entered_by}`"

    def __del__(self) -> None:
        if getattr(self, "_closed", True) or self._pid != process_id():
            return
        self._closed = True
        warnings.warn(
            f"unclosed {type(self).__name__} {self.name!r} in storage {self._context.storage!r}, "
            f"opened at {self._origin}: {self._consequence()}",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )
        # No input or output here: a task of the loop gives back what the file held. It holds the
        # pipeline only, so this object does not come to life again.
        release = self._releaser()
        if not self.loop.is_closed():
            try:
                self.loop.call_soon_threadsafe(_start_release, self._cleanups, release)
            except RuntimeError:  # closed in between: nothing is left that could run it
                return

    def _releaser(self) -> Callable[[], Any]:
        raise NotImplementedError


def _start_release(cleanups: Cleanups, release: Callable[[], Any]) -> None:
    cleanups.start(release())


FileT = TypeVar("FileT", bound=File)


class Opening(Generic[FileT]):
    """What `Storage.open` returns: await it, or enter it with ``async with``."""

    def __init__(self, start: Callable[[str], Awaitable[FileT]], call: str) -> None:
        self._start: Callable[[str], Awaitable[FileT]] | None = start
        self._call = call
        self._origin = caller()
        self._file: FileT | None = None

    def __await__(self) -> Generator[Any, Any, FileT]:
        start, self._start = self._start, None
        if start is None:
            raise InvalidTypeError(f"{self._call} was awaited already: open the file again")
        return start(self._origin).__await__()

    async def __aenter__(self) -> FileT:
        self._file = await self
        return self._file

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._file is not None, "__aexit__ follows __aenter__"
        await self._file.__aexit__(kind, exc, tb)

    def _misused(self, what: str) -> InvalidTypeError:
        return InvalidTypeError(
            f"{what}: write `async with {self._call} as f:` or `f = await {self._call}`"
        )

    def __enter__(self) -> NoReturn:
        raise self._misused("open() cannot be entered with a plain `with`")

    def __exit__(self, *_: object) -> None: ...

    def __aiter__(self) -> NoReturn:
        raise self._misused("open() was not awaited before iterating")

    def __iter__(self) -> NoReturn:
        raise self._misused("open() was not awaited before iterating")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        error = self._misused(f"open() was not awaited before .{name}")
        raise AttributeError(str(error)) from error

    def __del__(self) -> None:
        if self.__dict__.get("_start") is not None:
            warnings.warn(
                f"{self._call} at {self._origin} was never awaited",
                RuntimeWarning,
                source=self,
                stacklevel=2,
            )
