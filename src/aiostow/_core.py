"""What stands behind every storage: shared state, life and death, and the opening of files."""

from __future__ import annotations

import time
import weakref
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from ._budget import Budget
from ._context import ErrorContext, PairContext
from ._observed import Observer, unwatched
from ._process import process_id
from ._readahead import ReadAhead
from ._staged import PathTarget
from ._tasks import Cleanups, after
from ._threads import Threads
from ._writebehind import Target, WriteBehind
from .driver import CrossCopier, Driver, Mover, Updater
from .errors import ClosedError, InvalidArgumentError, UnsupportedOperationError
from .events import EventHook
from .files import File, FileT, Opening, Reader, UpdateFile, Writer
from .keys import ANY_KEY, PORTABLE, Prefix
from .models import Capabilities, FileMode, ListEntry, Support, WriteKeywords, WriteOptions, as_mode

DEFAULT_MEMORY_BUDGET = 64 << 20
_PLAIN = WriteOptions()
_FILE_THREADS = 32  # their calls may wait long, as for a pipe


class _Shared:
    """What a storage and its views have in common."""

    def __init__(self, driver: Driver, memory_budget: int) -> None:
        self.driver = driver
        self.observer: Observer | None = None
        self.context: Callable[..., ErrorContext] = ErrorContext
        self.links: Any = None  # how links are made; see _linking
        self.clock: Callable[[], float] = time.time  # tells when links end
        self.closed = False
        self._begin(memory_budget)

    def _begin(self, memory_budget: int) -> None:
        self._pid = process_id()
        self.budget = Budget(memory_budget)
        self.cleanups = Cleanups()
        self.threads = Threads("aiostow-files", _FILE_THREADS)  # for the callers' own files
        self.files: weakref.WeakSet[File] = weakref.WeakSet()

    def renew(self) -> None:
        """Begin anew in a forked child: locks may be held by threads that are not here."""
        if self._pid != process_id():
            self._begin(self.budget.total)

    async def aclose(self) -> None:
        async with AsyncExitStack() as stack:  # whose steps are all done, whatever some raise
            stack.push_async_callback(self.driver.aclose)
            stack.callback(self.threads.close)
            stack.push_async_callback(self.cleanups.join)
            for file in list(self.files):
                stack.push_async_callback(file.abandon)


class StorageCore:
    """The parts of `Storage` that no user calls by themselves."""

    def __init__(
        self,
        driver: Driver,
        *,
        name: str,
        memory_budget: int,
        any_key: bool,
        on_event: EventHook | None,
    ) -> None:
        if not isinstance(memory_budget, int) or memory_budget <= 0:
            raise InvalidArgumentError(
                f"memory_budget must be positive, not {memory_budget!r}: an int, in bytes"
            )
        self.name = name
        self._shared = _Shared(driver, memory_budget)
        self._prefix = Prefix()
        self._rules = ANY_KEY if any_key else PORTABLE
        self._is_view = False
        self._closed = False
        self._observe(on_event)

    def _observe(self, hook: EventHook | None) -> None:
        """Tell a hook of every operation, unless another is told already."""
        shared = self._shared
        if hook is not None and shared.observer is None:
            shared.observer = Observer(hook, shared.driver)
            shared.context = shared.observer.context
            shared.observer.watch(self)

    @property
    def driver(self) -> Driver:
        """The backend; service-specific objects such as clients are reached through it."""
        return self._shared.driver

    @property
    def memory_budget(self) -> int:
        """For the buffers of all transfers together, in bytes."""
        return self._shared.budget.total

    @property
    def capabilities(self) -> Capabilities:
        """What this storage can do: native, emulated or unsupported."""
        driver = self.driver
        return replace(
            driver.capabilities,
            move=Support.native if isinstance(driver, Mover) else Support.emulated,
            update=Support.native if isinstance(driver, Updater) else Support.unsupported,
        )

    @property
    def address(self) -> str:
        """What the storage points to, down to the prefix of a view, with a final ``/``; no secret.

        One storage's keys are among another's where its address begins with the other's.
        """
        return f"{self.driver.identity.rstrip('/')}/{self._prefix.text}"

    def is_one_service(self, other: StorageCore) -> bool:
        """Whether a copy from here to another storage is made by their service, not by us."""
        if other._shared is self._shared:
            return True
        target = other.driver
        return isinstance(target, CrossCopier) and target.same_service(self.driver)

    @property
    def closed(self) -> bool:
        """Whether this storage, or the one that it is a view of, was closed."""
        return self._closed or self._shared.closed

    async def aclose(self) -> None:
        """Close the storage: abort open writers, close open files, and join every cleanup.

        Idempotent. On a view, close the view alone. A writer that comes to its end afterwards
        raises `ClosedError`.

        Raises:
            StorageError: what was under way could not be cleaned up; all else is done.
        """
        self._closed = True
        shared = self._shared
        if not self._is_view and not shared.closed:
            shared.renew()
            shared.closed = True
            # A set of its own: the cleanups that are joined must not include the joining.
            await Cleanups().finish(shared.aclose())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with after(exc):
            await self.aclose()

    def __getstate__(self) -> dict[str, Any]:
        state = unwatched(self.__dict__, type(self))
        del state["_shared"], state["_closed"]
        return state | {"driver": self.driver, "memory_budget": self.memory_budget}

    def __setstate__(self, state: dict[str, Any]) -> None:
        shared = _Shared(state.pop("driver"), state.pop("memory_budget"))
        # A view that travelled stands on a driver of its own.
        self.__dict__.update(state, _shared=shared, _is_view=False, _closed=False)

    def __repr__(self) -> str:
        where = f" at {self._prefix.text!r}" if self._prefix.text else ""
        return f"<{type(self).__name__} {self.name!r}{where}>"

    def _context(self, operation: str, key: object) -> ErrorContext:
        known = key if isinstance(key, str) else None
        return self._shared.context(self.driver.map_error, operation, known, self.name)

    def _pair_context(
        self, operation: str, key: str, new_key: str, new_storage: str | None = None
    ) -> PairContext:
        return PairContext(
            self.driver.map_error, operation, key, new_key, self.name, new_storage or self.name
        )

    def _checked(self, operation: str, key: str) -> tuple[ErrorContext, str]:
        """Return the context of an operation, and the driver's key."""
        context = self._context(operation, key)
        with context:
            self._check_open()
            return context, self._prefix.join(self._rules.key(key))

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedError("the storage is closed")
        self._shared.renew()

    async def _ready(self) -> Driver:
        """Return the driver, connected."""
        self._check_open()
        driver = self.driver
        await driver.connect()
        self._check_open()  # it may have been closed meanwhile
        return driver

    def _own(self, entry: ListEntry) -> ListEntry:
        """Return a driver's entry under this view's name."""
        if not self._prefix.text:
            return entry
        return replace(entry, name=self._prefix.strip(entry.name))

    def _opening(
        self,
        operation: str,
        key: str,
        mode: FileMode | str,
        *,
        size_hint: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Opening[Any]:
        context, full = self._checked(operation, key)
        with context:
            kind = as_mode(mode)
            start = self._start(full, kind, size_hint, dict(options or {}))
        return Opening(context.opening(start), f"storage.open({key!r}, {mode!r})")

    def _start(
        self, full: str, kind: FileMode, size_hint: int | None, options: dict[str, Any]
    ) -> Callable[[ErrorContext, str], Awaitable[File]]:
        if kind in (FileMode.write, FileMode.create):
            write_options = as_write_options(options, kind)
            return lambda context, origin: self._writer(
                context, full, write_options, size_hint, origin
            )
        if size_hint is not None:
            options = {**options, "size_hint": size_hint}
        if kind is FileMode.update:
            _refuse_others(options, (), kind)
            return lambda context, origin: self._update_file(context, full, origin)
        _refuse_others(options, ("if_match",), kind)
        if_match = options.get("if_match")
        return lambda context, origin: self._reader(context, full, if_match, origin)

    async def _reader(
        self, context: ErrorContext, full: str, if_match: str | None, origin: str
    ) -> Reader:
        with context:
            driver = await self._ready()
            source = await driver.open_read(full, if_match=if_match)
            if self.closed:  # meanwhile, and what is open would stay so
                source.close()
                self._check_open()
        pipeline = ReadAhead(source, self._shared.budget, context)
        entry = self._own(source.entry)
        return self._track(Reader(pipeline, entry, context, self._shared.cleanups, origin))

    async def _writer(
        self,
        context: ErrorContext,
        full: str,
        options: WriteOptions,
        size_hint: int | None,
        origin: str,
    ) -> Writer:
        with context:
            driver = await self._ready()
        return self._writer_to(driver, context, full, options, size_hint, origin)

    def _path_writer(self, operation: str, key: str, path: str, size: int) -> Writer:
        """Return a writer to the caller's own disk, whose errors stay as they are."""
        context = ErrorContext(lambda exc: None, operation, key, self.name)
        with context:
            target = PathTarget(self._shared.threads)
        return self._writer_to(target, context, path, WriteOptions(), size, f"{operation}()")

    def _writer_to(
        self,
        target: Target,
        context: ErrorContext,
        full: str,
        options: WriteOptions,
        size_hint: int | None,
        origin: str,
    ) -> Writer:
        shared = self._shared
        with context:
            pipeline = WriteBehind(
                target, full, options, size_hint, shared.budget, shared.cleanups, context
            )
        return self._track(Writer(pipeline, context, shared.cleanups, origin))

    async def _update_file(self, context: ErrorContext, full: str, origin: str) -> UpdateFile:
        with context:
            driver = await self._ready()
            if not isinstance(driver, Updater):
                raise UnsupportedOperationError(
                    "this storage cannot change an object in place: read it, and write it anew"
                )
            handle = await driver.open_update(full)
            if self.closed:
                await handle.aclose()
                self._check_open()
        return self._track(UpdateFile(handle, context, self._shared.cleanups, origin))

    def _track(self, file: FileT) -> FileT:
        self._shared.files.add(file)
        return file


def as_write_options(options: Mapping[str, Any], kind: FileMode = FileMode.write) -> WriteOptions:
    """Return the options of a write that a caller gave as keywords."""
    if kind is FileMode.write and not options:
        return _PLAIN
    _refuse_others(options, WriteKeywords.__annotations__, kind)
    if kind is FileMode.create:
        options = {**options, "if_absent": True}
    return WriteOptions(**options)


def _refuse_others(options: Mapping[str, Any], known: Any, kind: FileMode) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InvalidArgumentError(f"opening for {kind.name} does not take {', '.join(unknown)}")
