"""Streaming lists: iterated, or awaited for all at once."""

from __future__ import annotations

import builtins
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import replace
from typing import Any, Generic, NoReturn, Self, TypeVar

from ._context import ErrorContext
from .driver import Driver, Pages
from .errors import InvalidTypeError
from .keys import KeyRules, Prefix
from .models import Folder, ListEntry

ItemT = TypeVar("ItemT", bound=ListEntry | Folder)


class ConnectedPages:
    """The pages of a listing that connects only when its first page is asked for."""

    def __init__(
        self, ready: Callable[[], Awaitable[Driver]], scan: Callable[[Driver], Pages]
    ) -> None:
        self._ready = ready
        self._scan = scan
        self._pages: Pages | None = None

    async def next_page(self) -> Sequence[ListEntry | Folder] | None:
        driver = await self._ready()
        if self._pages is None:
            self._pages = self._scan(driver)
        return await self._pages.next_page()

    async def aclose(self) -> None:
        if self._pages is not None:
            await self._pages.aclose()


class ListingIterator(Generic[ItemT]):
    """One pass over a listing. It holds no connection between pages."""

    def __init__(
        self, pages: Pages, prefix: Prefix, rules: KeyRules, context: ErrorContext
    ) -> None:
        self._pages: Pages | None = pages
        self._prefix = prefix
        self._rules = rules
        self._context = context
        self._items: deque[Any] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ItemT:
        if not self._items:
            await self._load()
        return self._own(self._items.popleft())

    async def _load(self) -> None:
        while not self._items:
            if self._pages is None:
                raise StopAsyncIteration
            try:
                with self._context:
                    page = await self._pages.next_page()
            except BaseException as exc:
                self._context.note(exc)
                self._context.end()
                raise
            if page is None:
                await self.aclose()
            else:
                self._items.extend(page)

    async def page(self) -> builtins.list[ItemT]:
        """Return the next items, as many as came at once; none at the end."""
        try:
            await self._load()
        except StopAsyncIteration:
            return []
        items = [self._own(item) for item in self._items]
        self._items.clear()
        return items

    def _own(self, item: Any) -> ItemT:
        name = self._prefix.strip(item.name) if self._prefix.text else item.name
        addressable = self._rules.is_key(name)
        if name is not item.name or not addressable:
            item = replace(item, name=name, addressable=addressable)
        return item  # type: ignore[no-any-return]  # the driver lists what was asked for

    async def aclose(self) -> None:
        """End the listing; idempotent."""
        pages, self._pages = self._pages, None
        self._items.clear()
        if pages is not None:
            try:
                with self._context:
                    await pages.aclose()
            finally:
                self._context.end()


class Listing(Generic[ItemT]):
    """What `Storage.list` returns: go through it with ``async for``, or await it for a list."""

    def __init__(self, start: Callable[[], ListingIterator[ItemT]]) -> None:
        self._start = start

    def __aiter__(self) -> ListingIterator[ItemT]:
        return self._start()

    def __await__(self) -> Generator[Any, Any, builtins.list[ItemT]]:
        return self._collect().__await__()

    async def _collect(self) -> builtins.list[ItemT]:
        items = self._start()
        try:
            return [item async for item in items]
        finally:
            await items.aclose()  # one that is cancelled must not leave its next page under way

    def __iter__(self) -> NoReturn:
        raise InvalidTypeError(
            "write `async for entry in storage.list(...)`, or `await storage.list(...)` for a list"
        )
