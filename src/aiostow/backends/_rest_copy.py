"""A copy within a service by pieces that it fetches itself, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .._tasks import Cleanups, after
from ..driver import Upload
from ..models import ByteRange, ListEntry

_AT_ONCE = 8


async def copy_by_pieces(
    upload: Upload,
    size: int,
    piece: int,
    fetch: Callable[[int, ByteRange], Awaitable[None]],
    check: Callable[[], Awaitable[None]] | None = None,
    cleanups: Cleanups | None = None,
) -> ListEntry:
    """Return the entry of the copy, which is whole or, after an error, not there.

    Args:
        upload: of the copy.
        size: of the source, in bytes.
        piece: in bytes.
        fetch: makes a range of the source the piece of a number.
        check: looks once more before the commit.
        cleanups: hold what must end before the connections are closed.
    """
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(index: int, begin: int) -> None:
        async with turns:
            await fetch(index, ByteRange(begin, min(piece, size - begin)))

    tasks = [
        asyncio.ensure_future(one(index, begin))
        for index, begin in enumerate(range(0, size, piece))
    ]

    async def undo() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await upload.abort()

    try:
        await asyncio.gather(*tasks)
        if check is not None:
            await check()
        return await upload.commit()
    except BaseException as exc:
        with after(exc):
            await (cleanups or Cleanups()).finish(undo())
        raise
