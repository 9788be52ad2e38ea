"""A listing of a REST service, page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from ..models import Folder, ListEntry


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of a listing.

    Attributes:
        token: asks for the next page; None after the last.
        items: reads what is listed, which takes its time: the next page comes meanwhile.
    """

    token: str | None
    items: Callable[[], Sequence[ListEntry | Folder]]


def place(item: ListEntry | Folder) -> bytes:
    """Return where an item stands in the byte order of full keys."""
    return (item.name + "/" if isinstance(item, Folder) else item.name).encode()


class RestPages:
    """A listing; the next page is asked for while the last one is used.

    Args:
        ask: for a page, by the token of the one before.
        start_after: leave out what does not come after this key.
    """

    def __init__(
        self,
        ask: Callable[[str | None], Coroutine[Any, Any, ListPage]],
        start_after: str | None,
    ) -> None:
        self._page = ask
        self._after = None if start_after is None else start_after.encode()
        self._token: str | None = None
        self._coming: asyncio.Task[ListPage] | None = None
        self._come: ListPage | None = None  # and not yet given: whoever asked was cancelled
        self._ended = False

    async def next_page(self) -> Sequence[ListEntry | Folder] | None:
        page = self._come
        if page is None:
            if self._ended:
                return None
            page = self._come = await self._arrived()
            if page.token is None:
                self._ended = True
            else:
                self._coming = self._ask()
                await asyncio.sleep(0)  # lets the request go out
        self._come = None
        items = page.items()
        if self._after is not None:
            items = [item for item in items if place(item) > self._after]
        return items

    async def _arrived(self) -> ListPage:
        coming = self._coming or self._ask()
        try:
            page = await asyncio.shield(coming)
        except asyncio.CancelledError:
            self._coming = None if coming.done() else coming
            raise
        except BaseException:
            self._coming = None
            raise
        self._token, self._coming = page.token, None
        return page

    def _ask(self) -> asyncio.Task[ListPage]:
        task = asyncio.get_running_loop().create_task(self._page(self._token))
        task.add_done_callback(_seen)
        return task

    async def aclose(self) -> None:
        self._ended = True
        self._come = None
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.cancel()
            await asyncio.wait([coming])


def _seen(task: asyncio.Task[ListPage]) -> None:
    if not task.cancelled():
        task.exception()  # told when its page is asked for, or nobody's
