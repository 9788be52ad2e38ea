"""The one place that turns a failure of a service into an error of this library."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

from .errors import (
    AmbiguousWriteError,
    ConnectionLostError,
    FileNotFoundInStorageError,
    ObjectChangedError,
    StorageError,
    UnreachableError,
)

T = TypeVar("T")

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class ErrorContext:
    """A context manager that names operation, key and storage in the errors that pass it.

    It holds no state, so one serves every call of an operation, also at the same time. Only calls
    of the driver belong inside: errors of the caller's own files and callbacks stay as they are.

    Args:
        map_error: of the driver.
        operation: the public method.
        key: as the caller gave it.
        storage: the storage's name.
    """

    __slots__ = ("_map_error", "key", "operation", "storage")

    def __init__(
        self,
        map_error: Callable[[BaseException], StorageError | None],
        operation: str,
        key: str | None,
        storage: str,
    ) -> None:
        self._map_error = map_error
        self.operation: str = operation
        self.key: str | None = key
        self.storage: str = storage

    def changing(self) -> Changing:
        """Return the context of the one call that makes a change.

        When the connection is lost within it, nobody knows whether the change was made.
        """
        return Changing(self)

    # What follows is told to nobody here; a storage with an `on_event` hook has contexts that do.

    def begin(self) -> ErrorContext:
        """Return the context of an operation that begins now, and that `end` or `discard` ends."""
        return self

    def opening(
        self, start: Callable[[ErrorContext, str], Awaitable[T]]
    ) -> Callable[[str], Awaitable[T]]:
        """Return `start` with the context of an operation that begins when it is called."""
        return functools.partial(start, self)

    def moved(self, count: int) -> None:
        """Count bytes of content that were read or written."""

    def note(self, exc: BaseException) -> None:
        """Remember why the operation fails, unless it goes on to move bytes."""

    def end(self) -> None:
        """End the operation, which failed if a reason was noted; the first ending counts."""

    def discard(self) -> None:
        """End the operation of what is not kept, which failed in any case."""

    def name(self, error: StorageError) -> StorageError:
        """Return `error` with operation, key and storage filled in."""
        return error.with_context(operation=self.operation, key=self.key, storage=self.storage)

    def wrap(self, exc: BaseException, changes: bool = False) -> BaseException:
        """Return the library's error for `exc`, caused by it, or `exc` itself, a stranger.

        Args:
            exc: what was raised.
            changes: by the one call that makes a change.
        """
        error = exc if isinstance(exc, StorageError) else self._map_error(exc)
        if error is None:
            return exc
        lost = isinstance(error, ConnectionLostError) and not isinstance(error, UnreachableError)
        if changes and lost:
            error = AmbiguousWriteError(
                "the connection was lost before the service told whether it was done: the object "
                "is wholly as it was, or wholly as it was to become"
            )
        if error is not exc:
            error.__cause__ = exc
        return self.name(error)

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if exc is not None:
            self.leave(exc)

    def leave(self, exc: BaseException, changes: bool = False) -> None:
        """Raise what `wrap` makes of an error, unless it is a stranger's."""
        if not isinstance(exc, Exception):
            return
        wrapped = self.wrap(exc, changes)
        try:
            if wrapped is not exc:
                raise wrapped from exc
        finally:
            del wrapped, exc  # or its own traceback would keep the error, and all it holds, alive


class Changing:
    """A context within which a change is made."""

    __slots__ = ("_context",)

    def __init__(self, context: ErrorContext) -> None:
        self._context = context

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if exc is not None:
            self._context.leave(exc, changes=True)


class PairContext(ErrorContext):
    """A context of two keys: what is missing or changed is the first, all else is the second."""

    __slots__ = ("_new_key", "_new_storage")

    def __init__(
        self,
        map_error: Callable[[BaseException], StorageError | None],
        operation: str,
        key: str,
        new_key: str,
        storage: str,
        new_storage: str,
    ) -> None:
        super().__init__(map_error, operation, key, storage)
        self._new_key = new_key
        self._new_storage = new_storage

    def name(self, error: StorageError) -> StorageError:
        of_source = isinstance(error, (FileNotFoundInStorageError, ObjectChangedError))
        key, storage = (self.key, self.storage) if of_source else (self._new_key, self._new_storage)
        return error.with_context(operation=self.operation, key=key, storage=storage)


def caller() -> str:
    """Return ``file:line`` of the nearest frame outside this package."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
