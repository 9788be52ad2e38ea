"""Two listings side by side, in one order, in little memory."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, closing
from typing import TypeAlias

from ..errors import PermissionDeniedError, StorageError
from ..models import ListEntry
from ..storage import Storage
from ._spool import Spool, place

_IN_MEMORY = 20_000  # entries of an unordered listing that are sorted without a file
_AT_ONCE = 1000  # entries that go to a file

Pair: TypeAlias = tuple[ListEntry | None, ListEntry | None]
Unreadable: TypeAlias = Callable[[str, StorageError], Awaitable[None]]


async def pairs(
    source: Storage, destination: Storage, meant: Callable[[str], bool], unreadable: Unreadable
) -> AsyncGenerator[Pair]:
    """Yield the entries that two storages have under each name, None for none.

    Args:
        source: the first.
        destination: the second.
        meant: tells which names.
        unreadable: is told of a directory that is left out, since it may not be read.
    """
    async with (
        aclosing(_ordered(source, meant, unreadable)) as ours,
        aclosing(_ordered(destination, meant, unreadable)) as theirs,
    ):
        left, right = await anext(ours, None), await anext(theirs, None)
        while left is not None or right is not None:
            if right is None or (left is not None and place(left) < place(right)):
                yield left, None
                left = await anext(ours, None)
            elif left is None or place(right) < place(left):
                yield None, right
                right = await anext(theirs, None)
            else:
                yield left, right
                left, right = await anext(ours, None), await anext(theirs, None)


async def _ordered(
    storage: Storage, meant: Callable[[str], bool], unreadable: Unreadable
) -> AsyncGenerator[ListEntry]:
    """Yield entries in the order of `place`, which not every service sorts by itself."""
    async with aclosing(_listed(storage, unreadable)) as listing:
        entries = (entry async for entry in listing if meant(entry.name))
        if storage.capabilities.ordered:
            async for entry in entries:
                yield entry
            return
        head = await _some(entries, _IN_MEMORY)
        if len(head) < _IN_MEMORY:
            for entry in sorted(head, key=place):
                yield entry
            return
        with closing(Spool()) as spool:
            while head:
                spool.add(head)
                head = await _some(entries, _AT_ONCE)
            for entry in spool:
                yield entry


async def _listed(storage: Storage, unreadable: Unreadable) -> AsyncGenerator[ListEntry]:
    last = b""
    try:
        async with aclosing(aiter(storage.list())) as listing:
            async for entry in listing:
                last = place(entry)
                yield entry
        return
    except PermissionDeniedError:
        if storage.capabilities.nested_keys:
            raise
    # A disk's directory that may not be read ends the listing of all levels: go on level by level.
    async with aclosing(_level(storage, "", last, unreadable)) as rest:
        async for entry in rest:
            yield entry


async def _level(
    storage: Storage, folder: str, after: bytes, unreadable: Unreadable
) -> AsyncGenerator[ListEntry]:
    try:
        items = await storage.list(folder, recursive=False)
    except PermissionDeniedError as exc:
        await unreadable(folder, exc)
        return
    for item in items:
        if isinstance(item, ListEntry):
            if place(item) > after:
                yield item
            continue
        inner = f"{item.name}/".encode("utf-8", "surrogateescape")
        if item.addressable and (inner > after or after.startswith(inner)):
            async with aclosing(_level(storage, item.name, after, unreadable)) as below:
                async for entry in below:
                    yield entry


async def _some(entries: AsyncIterator[ListEntry], most: int) -> list[ListEntry]:
    some: list[ListEntry] = []
    for _ in itertools.repeat(None, most):
        entry = await anext(entries, None)
        if entry is None:
            break
        some.append(entry)
    return some
