"""Files under way, as many as bring something, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from .._tasks import Cleanups
from ._width import Width

T = TypeVar("T")

_LARGE = 12 << 20  # bytes of buffers that a file has at most, between reading and writing it


class Crew:
    """Runs jobs, each for a file, a changing number of them at once.

    Args:
        width: how many.
        memory: what the buffers of all may come to, in bytes; one job always goes on.
    """

    def __init__(self, width: Width, memory: int) -> None:
        self._width = width
        self._memory = memory
        self._used = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._single: asyncio.Task[None] | None = None  # which no other has run beside so far
        self._queued = 0  # jobs that want to be alone
        self._turn = asyncio.Lock()
        self._error: BaseException | None = None
        self._cancelling = False
        self._change = asyncio.Event()

    async def start(self, job: Callable[[], Coroutine[Any, Any, None]], size: int) -> None:
        """Run a job once there is room for it.

        Args:
            job: handles what may go wrong with its file; what it raises ends the whole run.
            size: of its file, in bytes.
        """
        weight = min(size, _LARGE)
        self._check()
        while self._tasks and (
            self._queued
            or len(self._tasks) >= self._width.now
            or self._used + weight > self._memory
        ):
            await self._wait()
        self._used += weight
        task = asyncio.get_running_loop().create_task(job())
        self._single = None if self._tasks else task
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(task, size, weight))

    @property
    def had_company(self) -> bool:
        """Whether another job has run beside the one that asks."""
        return asyncio.current_task() is not self._single

    async def alone(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do a part of a job once all others have ended, and before any other starts.

        Args:
            work: the part; what it returns or raises is returned or raised.
        """
        self._queued += 1
        self._change.set()  # one less for whom the first in the queue waits
        try:
            async with self._turn:
                while len(self._tasks) > self._queued:
                    self._change.clear()
                    await self._change.wait()
                return await work()
        finally:
            self._queued -= 1
            self._change.set()

    def _ended(self, task: asyncio.Task[None], size: int, weight: int) -> None:
        self._tasks.discard(task)
        self._used -= weight
        if task.cancelled():
            if not self._cancelling:  # by a stranger; what it was about is not done
                self._error = self._error or asyncio.CancelledError("a job was cancelled")
        elif task.exception() is not None:
            self._error = self._error or task.exception()
        else:
            self._width.done(size, task.get_loop().time())
        self._change.set()

    async def _wait(self) -> None:
        self._change.clear()
        await self._change.wait()
        self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    async def finish(self) -> None:
        """Wait for all jobs, and raise what one of them raised, even if it ended long ago."""
        while self._tasks:
            await self._wait()
        self._check()

    async def cancel(self) -> None:
        """Cancel all jobs and wait until they have cleaned up, however often that is cancelled."""
        self._cancelling = True
        await Cleanups().finish(self._cancelled())

    async def _cancelled(self) -> None:
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
