"""A driver that fails on purpose, over any driver that works."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from ..driver import (
    Buffer,
    Chunks,
    Driver,
    Limits,
    Mover,
    Pages,
    PresignedUrl,
    Presigner,
    RandomAccess,
    Source,
    Sweeper,
    Updater,
    Upload,
)
from ..errors import ConnectionLostError, StorageError
from ..links import InternalLinkTokenData
from ..models import Capabilities, Leftover, ListEntry, WriteOptions

T = TypeVar("T")

CALLS = frozenset(
    {
        "connect", "stat", "next_page", "open_read", "stream", "write", "begin", "stage", "commit",
        "abort", "delete", "copy", "move", "open_update", "read_at", "write_at", "truncate",
        "flush", "size", "close_update", "leftovers", "discard", "presign",
    }
)  # fmt: skip
"""The calls of a driver, its uploads, sources, listings and files in place that can fail."""


class CrashedError(Exception):
    """The process is dead, as far as the driver can tell: no call does anything any more."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one of a driver's calls; made by the functions beside it.

    Attributes:
        call: which of `CALLS`.
        nth: the number of the call that it happens to, from 1, counted from when it was added.
        times: to how many calls in a row it happens.
        error: what is raised.
        after: the call is made first, so that only its answer is lost.
        seconds: how long the call is held back.
        at: after how many bytes of a body.
        crash: from this call on, nothing is done any more.
    """

    call: str
    nth: int = 1
    times: int = 1
    error: Exception | None = None
    after: bool = False
    seconds: float = 0
    at: int | None = None
    crash: bool = False

    def __post_init__(self) -> None:
        if self.call not in CALLS:
            raise ValueError(f"no call is named {self.call!r}: choose from {sorted(CALLS)}")
        if self.nth < 1 or self.times < 1:
            raise ValueError("calls are counted from 1")

    def hits(self, number: int) -> bool:
        """Return whether it happens to the call of this number."""
        return self.nth <= number < self.nth + self.times


def error(call: str, error: Exception, *, nth: int = 1, times: int = 1) -> Fault:
    """The call raises, and does nothing."""
    return Fault(call, nth, times, error=error)


def delay(call: str, seconds: float, *, nth: int = 1, times: int = 1) -> Fault:
    """The call takes longer."""
    return Fault(call, nth, times, seconds=seconds)


def short_read(at: int, *, nth: int = 1, times: int = 1) -> Fault:
    """A body ends after `at` bytes as if it were complete."""
    return Fault("stream", nth, times, at=at)


def disconnect(at: int, *, nth: int = 1, times: int = 1) -> Fault:
    """The connection is lost after `at` bytes of a body."""
    return Fault("stream", nth, times, at=at, error=ConnectionResetError("by a fault"))


def crash(call: str = "commit", *, nth: int = 1) -> Fault:
    """The process dies before the call: by default between the last piece and the commit."""
    return Fault(call, nth, crash=True)


def lost_reply(call: str = "commit", *, nth: int = 1, times: int = 1) -> Fault:
    """The call does what it should, and the connection is lost before its answer comes."""
    return Fault(call, nth, times, error=ConnectionResetError("by a fault"), after=True)


@dataclass(frozen=True)
class DriverCall:
    """A call that a driver was asked for.

    Attributes:
        name: which of `CALLS`.
        key: of the object, where there is one.
        detail: its other arguments, but for bytes, of which the count is told.
    """

    name: str
    key: str | None
    detail: tuple[Any, ...] = ()


class FaultyDriver:
    """A driver that does what another does, but for its faults.

    Connections that are lost by a fault are `ConnectionLostError`; whatever else a fault raises is
    mapped as the other driver maps it.

    Args:
        driver: that does the work.
        faults: what goes wrong; `add` takes more.

    Attributes:
        calls: what was asked for, in order.
        crashed: whether a `crash` has happened.
    """

    def __init__(self, driver: Driver, *faults: Fault) -> None:
        self.inner: Driver = driver
        self.calls: list[DriverCall] = []
        self.crashed: bool = False
        self._faults: list[tuple[Fault, int]] = []  # and how many calls there were before
        self._counts: Counter[str] = Counter()
        self.add(*faults)
        # Found by Storage only where the other driver has them.
        if isinstance(driver, Mover):
            self.move: Callable[..., Awaitable[None]] = self._move
        if isinstance(driver, Updater):
            self.open_update: Callable[..., Awaitable[RandomAccess]] = self._open_update
        if isinstance(driver, Sweeper):
            self.leftovers: Callable[..., Awaitable[Sequence[Leftover]]] = self._leftovers
            self.discard: Callable[..., Awaitable[bool]] = self._discard
        if isinstance(driver, Presigner):
            self.presign: Callable[..., Awaitable[PresignedUrl]] = self._presign

    def add(self, *faults: Fault) -> None:
        """Let more go wrong, counted from now."""
        self._faults += [(fault, self._counts[fault.call]) for fault in faults]

    def clear(self) -> None:
        """Let nothing go wrong any more, and forget the calls; who crashed is alive again."""
        self._faults.clear()
        self.calls.clear()
        self.crashed = False

    def count(self, name: str) -> int:
        """Return how often a call was asked for since `clear`."""
        return sum(call.name == name for call in self.calls)

    def __reduce__(self) -> Any:
        return FaultyDriver, (self.inner, *(fault for fault, _ in self._faults))

    def due(self, name: str, key: str | None, *detail: Any) -> Fault | None:
        """Record a call, and return what is to go wrong with it."""
        self.calls.append(DriverCall(name, key, detail))
        if self.crashed:
            raise CrashedError(f"{name}() of a crashed process")
        self._counts[name] += 1
        number = self._counts[name]
        for fault, before in self._faults:
            if fault.call == name and fault.hits(number - before):
                return fault
        return None

    async def make(
        self, work: Callable[[], Awaitable[T]], name: str, key: str | None, *detail: Any
    ) -> T:
        """Make a call, or let it fail."""
        fault = self.due(name, key, *detail)
        return await (work() if fault is None else self.fail(fault, work))

    async def fail(self, fault: Fault, work: Callable[[], Awaitable[T]]) -> T:
        """Let a call go wrong."""
        if fault.seconds:
            await asyncio.sleep(fault.seconds)
        if fault.crash:
            self.crashed = True
            raise CrashedError(f"before {fault.call}()")
        if fault.error is not None and not fault.after:
            raise fault.error
        result = await work()
        if fault.error is not None:
            raise fault.error
        return result

    # -- the driver -----------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    @property
    def identity(self) -> str:
        return self.inner.identity

    @property
    def write_limits(self) -> Limits:
        return self.inner.write_limits

    def map_error(self, exc: BaseException) -> StorageError | None:
        if isinstance(exc, (ConnectionError, TimeoutError)):
            return ConnectionLostError(str(exc))
        return self.inner.map_error(exc)

    async def connect(self) -> None:
        await self.make(self.inner.connect, "connect", None)

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def stat(self, key: str) -> ListEntry:
        return await self.make(lambda: self.inner.stat(key), "stat", key)

    def scan(self, prefix: str, *, recursive: bool, start_after: str | None) -> Pages:
        pages = self.inner.scan(prefix, recursive=recursive, start_after=start_after)
        return _Pages(self, pages, prefix)

    async def open_read(self, key: str, *, if_match: str | None) -> Source:
        source = await self.make(
            lambda: self.inner.open_read(key, if_match=if_match), "open_read", key, if_match
        )
        return _Source(self, source, key)

    async def write(self, key: str, buffers: Sequence[Buffer], options: WriteOptions) -> ListEntry:
        return await self.make(
            lambda: self.inner.write(key, buffers, options), "write", key, sum(map(len, buffers))
        )

    async def begin(self, key: str, options: WriteOptions, *, size_hint: int | None) -> Upload:
        upload = await self.make(
            lambda: self.inner.begin(key, options, size_hint=size_hint), "begin", key, size_hint
        )
        return _Upload(self, upload, key)

    async def delete(self, keys: Sequence[str]) -> Mapping[str, BaseException]:
        return await self.make(lambda: self.inner.delete(keys), "delete", None, *keys)

    async def copy(self, src: str, dst: str, options: WriteOptions) -> ListEntry:
        return await self.make(lambda: self.inner.copy(src, dst, options), "copy", src, dst)

    async def _move(self, src: str, dst: str, options: WriteOptions) -> None:
        inner = self.inner
        assert isinstance(inner, Mover), "offered only then"
        await self.make(lambda: inner.move(src, dst, options), "move", src, dst)

    async def _open_update(self, key: str) -> RandomAccess:
        inner = self.inner
        assert isinstance(inner, Updater), "offered only then"
        handle = await self.make(lambda: inner.open_update(key), "open_update", key)
        return _RandomAccess(self, handle, key)

    async def _leftovers(self, prefix: str, older_than: timedelta) -> Sequence[Leftover]:
        inner = self.inner
        assert isinstance(inner, Sweeper), "offered only then"
        return await self.make(lambda: inner.leftovers(prefix, older_than), "leftovers", prefix)

    async def _discard(self, leftover: Leftover) -> bool:
        inner = self.inner
        assert isinstance(inner, Sweeper), "offered only then"
        return await self.make(lambda: inner.discard(leftover), "discard", leftover.key)

    async def _presign(self, key: str, grant: InternalLinkTokenData, now: float) -> PresignedUrl:
        inner = self.inner
        assert isinstance(inner, Presigner), "offered only then"
        return await self.make(lambda: inner.presign(key, grant, now), "presign", key)


class _Pages:
    def __init__(self, driver: FaultyDriver, pages: Pages, prefix: str) -> None:
        self._driver = driver
        self._pages = pages
        self._prefix = prefix

    async def next_page(self) -> Any:
        return await self._driver.make(self._pages.next_page, "next_page", self._prefix)

    async def aclose(self) -> None:
        await self._pages.aclose()


class _Source:
    def __init__(self, driver: FaultyDriver, source: Source, key: str) -> None:
        self._driver = driver
        self._source = source
        self._key = key

    @property
    def entry(self) -> ListEntry:
        return self._source.entry

    @property
    def first_size(self) -> int:
        return self._source.first_size

    @property
    def read_size(self) -> int:
        return self._source.read_size

    @property
    def adaptive(self) -> bool:
        return self._source.adaptive

    @property
    def read_depth(self) -> int:
        return self._source.read_depth

    async def stream(self, offset: int, length: int) -> Chunks:
        fault = self._driver.due("stream", self._key, offset, length)
        if fault is None:
            return await self._source.stream(offset, length)
        if fault.at is not None:  # within the body, not of the call
            return _Chunks(await self._source.stream(offset, length), fault)
        return await self._driver.fail(fault, lambda: self._source.stream(offset, length))

    def close(self) -> None:
        self._source.close()


class _Chunks:
    """A body that breaks off."""

    def __init__(self, chunks: Chunks, fault: Fault) -> None:
        self._chunks = chunks
        self._error = fault.error
        self._left = fault.at or 0

    def __aiter__(self) -> AsyncIterator[Buffer]:
        return self

    async def __anext__(self) -> Buffer:
        if not self._left:
            if self._error is not None:
                raise self._error
            raise StopAsyncIteration
        chunk = await anext(self._chunks)
        kept = memoryview(chunk)[: self._left]
        self._left -= len(kept)
        return bytes(kept)

    def close(self) -> None:
        self._chunks.close()


class _Upload:
    def __init__(self, driver: FaultyDriver, upload: Upload, key: str) -> None:
        self._driver = driver
        self._upload = upload
        self._key = key

    @property
    def limits(self) -> Limits:
        return self._upload.limits

    async def stage(self, index: int, offset: int, buffers: Sequence[Buffer]) -> None:
        await self._driver.make(
            lambda: self._upload.stage(index, offset, buffers),
            "stage", self._key, index, offset, sum(map(len, buffers)),
        )  # fmt: skip

    async def commit(self) -> ListEntry:
        return await self._driver.make(self._upload.commit, "commit", self._key)

    async def abort(self) -> None:
        await self._driver.make(self._upload.abort, "abort", self._key)


class _RandomAccess:
    def __init__(self, driver: FaultyDriver, handle: RandomAccess, key: str) -> None:
        self._driver = driver
        self._handle = handle
        self._key = key

    async def size(self) -> int:
        return await self._driver.make(self._handle.size, "size", self._key)

    async def read_at(self, offset: int, length: int) -> bytes:
        return await self._driver.make(
            lambda: self._handle.read_at(offset, length), "read_at", self._key, offset, length
        )

    async def write_at(self, offset: int, data: Buffer) -> None:
        await self._driver.make(
            lambda: self._handle.write_at(offset, data), "write_at", self._key, offset, len(data)
        )

    async def truncate(self, size: int) -> None:
        await self._driver.make(lambda: self._handle.truncate(size), "truncate", self._key, size)

    async def flush(self) -> None:
        await self._driver.make(self._handle.flush, "flush", self._key)

    async def aclose(self) -> None:
        await self._driver.make(self._handle.aclose, "close_update", self._key)
