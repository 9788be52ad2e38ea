"""A listing of S3."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..models import Folder, ListEntry
from ._s3_plane import Plane
from ._s3_xml import ListPage, place


class S3Pages:
    """A listing; the next page is asked for while the last one is used."""

    def __init__(self, plane: Plane, prefix: str, delimiter: str, start_after: str | None) -> None:
        self._plane = plane
        self._prefix = prefix
        self._delimiter = delimiter
        self._start_after = start_after
        self._after = None if start_after is None else start_after.encode()
        self._token: str | None = None
        self._coming: asyncio.Task[ListPage] | None = None
        self._ended = False

    async def next_page(self) -> Sequence[ListEntry | Folder] | None:
        if self._ended:
            return None
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
        if page.token is None:
            self._ended = True
        else:
            self._coming = self._ask()
        items: Sequence[ListEntry | Folder] = page.items
        if self._after is not None:
            items = [item for item in items if place(item) > self._after]
        return items

    def _ask(self) -> asyncio.Task[ListPage]:
        task = asyncio.get_running_loop().create_task(
            self._plane.list(self._prefix, self._delimiter, self._start_after, self._token)
        )
        task.add_done_callback(_seen)
        return task

    async def aclose(self) -> None:
        self._ended = True
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.cancel()
            await asyncio.wait([coming])


def _seen(task: asyncio.Task[ListPage]) -> None:
    if not task.cancelled():
        task.exception()  # told when its page is asked for, or nobody's
