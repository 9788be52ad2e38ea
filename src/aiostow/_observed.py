"""How a storage with an `on_event` hook is watched: each operation begins once and ends once.

A storage without a hook pays nothing for it: its methods are the class's own. One with a hook has
watched ones in their place, each of which tells of the operation around a call. Files and listings
live longer than the call that makes them, so their operation goes with their `ErrorContext`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from ._context import Changing, ErrorContext
from ._operation import Operation, enter, under_way
from .driver import Driver
from .errors import InvalidTypeError, StorageError
from .events import (
    Event,
    EventHook,
    Target,
)

T = TypeVar("T")
CallT = TypeVar("CallT", bound=Callable[..., Any])

_logger = logging.getLogger("aiostow")

_LASTING = frozenset({"open", "list"})  # operations that go on after the call that begins them
_KEYS = ("key", "path")  # how the argument is named that an event tells as the key


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is known of a public method that is an operation.

    Attributes:
        index: where the key stands among positional arguments, without `self`; None for nowhere.
        name: of the argument that is the key.
        size: returns the bytes that were moved, from what the method returns.
    """

    index: int | None
    name: str | None
    size: Callable[[Any], int] | None


def observed(*, size: Callable[[Any], int] | None = None) -> Callable[[CallT], CallT]:
    """Mark a public method as an operation; the method itself stays as it is.

    Args:
        size: returns the bytes that were moved, from what the method returns; without it they are
            those that its files tell.
    """

    def mark(method: CallT) -> CallT:
        code = method.__code__
        positional = code.co_varnames[1 : code.co_argcount]
        named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        name = next((name for name in _KEYS if name in named), None)
        index = positional.index(name) if name in positional else None
        method._mark = _Mark(index, name, size)  # type: ignore[attr-defined]  # of a function
        return method

    return mark


def marked(cls: type) -> dict[str, _Mark]:
    """Return the operations of a class by the names of their methods, files and listings aside."""
    found: dict[str, _Mark] = {}
    for base in reversed(cls.__mro__):
        for name, method in vars(base).items():
            mark = getattr(method, "_mark", None)
            if isinstance(mark, _Mark):
                found[name] = mark
    return found


class Observer:
    """Tells the hook of one storage and of its views.

    Args:
        hook: takes the events.
        driver: of the storage.

    Raises:
        InvalidTypeError: the hook is no plain function.
    """

    def __init__(self, hook: EventHook, driver: Driver) -> None:
        call = getattr(hook, "__call__", None)  # noqa: B004  # to look at it
        if not callable(hook) or any(map(inspect.iscoroutinefunction, (hook, call))):
            raise InvalidTypeError(
                "on_event must be a plain function of one event, which is called and not awaited, "
                f"not {type(hook).__name__}"
            )
        self._hook = hook
        self._driver = driver
        self._complained = False

    @functools.cached_property
    def target(self) -> Target:
        """What the storage points to."""
        target = getattr(self._driver, "target", None)
        if isinstance(target, Target):
            return target
        return Target(self._driver.identity.partition(":")[0])

    def tell(self, event: Event) -> None:
        """Call the hook. What it raises disturbs nobody, and is logged once."""
        try:
            self._hook(event)
        except (Exception, asyncio.CancelledError) as exc:
            if not self._complained:
                self._complained = True
                _logger.error(
                    "on_event raised an error, which is not told again: %s of storage %r",
                    type(event).__name__, event.storage, exc_info=exc,
                )  # fmt: skip

    def context(
        self,
        map_error: Callable[[BaseException], StorageError | None],
        operation: str,
        key: str | None,
        storage: str,
    ) -> ErrorContext:
        """Return the context of an operation, as `ErrorContext` does."""
        context: ErrorContext
        if operation in _LASTING:
            context = _Lasting(map_error, operation, key, storage)
            context.observer = self
            return context
        under = under_way.get()
        if under is None or under.operation.observer is not self:
            return ErrorContext(map_error, operation, key, storage)
        context = _Part(map_error, operation, key, storage)
        context.running = under.operation
        return context

    def watch(self, storage: Any) -> None:
        """Put watched methods in the place of a storage's own."""
        for name, mark in marked(type(storage)).items():
            method = getattr(storage, name)
            is_async = inspect.iscoroutinefunction(method)
            watched = self._awaited if is_async else self._called
            vars(storage)[name] = functools.wraps(method)(watched(storage, method, name, mark))

    def _begin(self, storage: Any, name: str, mark: _Mark, args: Any, kwargs: Any) -> Operation:
        key = kwargs.get(mark.name)
        if mark.index is not None and len(args) > mark.index:
            key = args[mark.index]
        return Operation(self, name, storage.name, key if isinstance(key, str) else None)

    def _awaited(self, storage: Any, method: Any, name: str, mark: _Mark) -> Any:
        async def watched(*args: Any, **kwargs: Any) -> Any:
            operation = self._begin(storage, name, mark, args, kwargs)
            under = enter(operation)
            try:
                result = await method(*args, **kwargs)
            except BaseException as exc:
                operation.fail(exc)
                raise
            finally:
                if under_way.get() is under:  # or a coroutine is closed where it never ran
                    under_way.set(under.outer)
            if mark.size is not None:
                operation.bytes = mark.size(result)
            operation.finish()
            return result

        return watched

    def _called(self, storage: Any, method: Any, name: str, mark: _Mark) -> Any:
        def watched(*args: Any, **kwargs: Any) -> Any:
            operation = self._begin(storage, name, mark, args, kwargs)
            try:
                result = method(*args, **kwargs)
            except BaseException as exc:
                operation.fail(exc)
                raise
            operation.finish()
            return result

        return watched


def unwatched(state: dict[str, Any], cls: type) -> dict[str, Any]:
    """Return the attributes of a storage without its watched methods."""
    names = marked(cls)
    return {name: value for name, value in state.items() if name not in names}


class _Lasting(ErrorContext):
    """The context of a call that may begin an operation which goes on after it."""

    __slots__ = ("observer",)

    observer: Observer

    def begin(self) -> ErrorContext:
        context = _Running(self._map_error, self.operation, self.key, self.storage)
        context.running = Operation(self.observer, self.operation, self.storage, self.key)
        context.noted = None
        return context

    def opening(
        self, start: Callable[[ErrorContext, str], Awaitable[T]]
    ) -> Callable[[str], Awaitable[T]]:
        async def opened(origin: str) -> T:
            context = self.begin()
            try:
                return await start(context, origin)
            except BaseException as exc:
                context.note(exc)
                context.end()
                raise

        return opened

    def leave(self, exc: BaseException, changes: bool = False) -> None:
        """Tell of an operation that was refused before it began, too."""
        operation = Operation(self.observer, self.operation, self.storage, self.key)
        try:
            super().leave(exc, changes)
        except BaseException as wrapped:
            operation.fail(wrapped)
            raise
        operation.fail(exc)


class _Part(ErrorContext):
    """The context of a file that is a part of an operation, which counts its bytes."""

    __slots__ = ("running",)

    running: Operation

    def moved(self, count: int) -> None:
        self.running.bytes += count


class _Running(_Part):
    """The context of a file or listing whose operation is its own.

    Calls of the driver are made under the operation; in between, the caller's code is not.
    """

    __slots__ = ("noted",)

    noted: BaseException | None

    def __del__(self) -> None:
        # The operation itself may live on, in the context variables of a connection's tasks.
        if hasattr(self, "running"):
            self.running.forget()

    def __enter__(self) -> None:
        enter(self.running)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._exit(exc, False)

    def _exit(self, exc: BaseException | None, changes: bool) -> None:
        under = under_way.get()
        if under is not None and under.operation is self.running:
            under_way.set(under.outer)
        if exc is not None:
            self.leave(exc, changes)

    def changing(self) -> Changing:
        return _RunningChange(self)

    def moved(self, count: int) -> None:
        super().moved(count)
        self.noted = None

    def note(self, exc: BaseException) -> None:
        self.noted = exc

    def end(self) -> None:
        if self.noted is None:
            self.running.finish()
        else:
            noted, self.noted = self.noted, None  # or its traceback would keep the file alive
            self.running.fail(noted)

    def discard(self) -> None:
        if self.noted is None:
            self.running.fail("discarded")
        self.end()


class _RunningChange(Changing):
    """Within it a change is made, under the operation."""

    __slots__ = ()

    _context: _Running

    def __enter__(self) -> None:
        self._context.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._context._exit(exc, True)
