"""An async storage whose every call goes through the sync facade, for the conformance suite."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self

from aiostow import Storage
from aiostow.files import Opening
from aiostow.sync import SyncStorage, SyncWriter, _opened

_CALLS = (
    "read_bytes", "write_bytes", "stat", "exists", "get", "put", "upload", "download", "copy",
    "move", "delete", "delete_many", "sweep", "leftovers", "link_to",
)  # fmt: skip


class ThroughFacade(Storage):
    """Looks like `storage` and asks the facade for everything."""

    def __init__(self, storage: Storage) -> None:
        self._wear(SyncStorage(storage))

    def _wear(self, facade: SyncStorage) -> None:
        self.__dict__.update(facade.storage.__dict__)
        self._facade = facade
        for name in _CALLS:
            setattr(self, name, _in_thread(getattr(facade, name)))

    @property
    def closed(self) -> bool:
        return self._facade.closed

    async def aclose(self) -> None:
        await asyncio.to_thread(self._facade.close)

    def __reduce__(self) -> Any:
        return _unpickled, (self._facade,)

    def at(self, prefix: str) -> Storage:
        view = ThroughFacade.__new__(ThroughFacade)
        view._wear(self._facade.at(prefix))
        return view

    def open(self, key: Any, mode: Any = "r", **options: Any) -> Any:
        facade = self._facade
        opening = facade.storage.open(key, mode, **options)  # what is wrong is told at once

        def finish() -> Any:
            return facade._sync(facade._run("open", key, _opened(opening)))

        async def start(_: str) -> Any:
            return AsyncFile(await _in_thread(finish)())

        return Opening(start, "open()")

    def list(self, prefix: str = "", **options: Any) -> Any:
        return AsyncListing(self._facade.list(prefix, **options))


def _unpickled(facade: SyncStorage) -> ThroughFacade:
    storage = ThroughFacade.__new__(ThroughFacade)
    storage._wear(facade)
    return storage


def _in_thread(call: Callable[..., Any]) -> Callable[..., Any]:
    async def run(*args: Any, **options: Any) -> Any:
        handled = sys.exception()
        return await asyncio.to_thread(_handling, handled, call, *args, **options)

    return run


def _handling(
    handled: BaseException | None, call: Callable[..., Any], *args: Any, **options: Any
) -> Any:
    """Call in a thread as if it were in the ``except`` or ``finally`` clause of the caller."""
    if handled is None:
        return call(*args, **options)
    try:
        raise handled
    except BaseException:
        return call(*args, **options)


async def _each(iterator: Iterator[Any]) -> AsyncIterator[Any]:
    nothing = object()
    while (item := await asyncio.to_thread(next, iterator, nothing)) is not nothing:
        yield item


class AsyncListing:
    def __init__(self, listing: Any) -> None:
        self._listing = listing

    def __aiter__(self) -> AsyncIterator[Any]:
        return _each(iter(self._listing))

    def __iter__(self) -> Any:
        return self._listing.__aiter__()  # the other way round, the same mistake

    def __await__(self) -> Any:
        return asyncio.to_thread(list, self._listing).__await__()


class AsyncFile:
    """A file of the facade, called in threads."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._file, name)
        if not inspect.ismethod(value) and not inspect.isbuiltin(value):
            return value
        if name in ("readable", "writable", "seekable"):
            return value
        if name in ("iter_chunks", "iter_lines"):
            return lambda *args: _each(value(*args))
        return _in_thread(value)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _each(iter(self._file.read1, b""))

    async def __aenter__(self) -> Self:
        self._file.__enter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if isinstance(self._file, SyncWriter):
            leave: Any = self._file.__exit__
            await asyncio.to_thread(leave, *exc)
        else:
            await asyncio.to_thread(self._file.close)
