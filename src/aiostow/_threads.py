"""Blocking calls in threads of our own, safe under cancellation."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds that a blocking call under way may hold back a cancellation."""


class _Job(Generic[T]):
    """One blocking call: claimed either by a worker thread, once, or by its cancelled caller."""

    __slots__ = ("_claims", "_fn", "_loop", "error", "finished", "late", "result", "waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop, fn: Callable[[], T]) -> None:
        self._loop = loop
        self._fn = fn
        self._claims = [None]
        self.waiter: asyncio.Future[None] = loop.create_future()
        self.finished = False
        self.result: T | None = None
        self.error: BaseException | None = None
        self.late: Callable[[T], object] | None = None

    def claim(self) -> bool:
        try:
            self._claims.pop()  # atomic: exactly one caller gets the only item
        except IndexError:
            return False
        return True

    def __call__(self) -> None:
        if not self.claim():
            return
        try:
            self.result = self._fn()
        except BaseException as exc:  # noqa: BLE001  # raised again where it is awaited
            self.error = exc
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop was closed without waiting for us
            self._deliver()

    def _deliver(self) -> None:
        self.finished = True
        if self.late is not None and self.error is None:
            self.late(self.result)  # type: ignore[arg-type]  # no error: result is a T
        elif not self.waiter.done():
            self.waiter.set_result(None)


class Threads:
    """A thread pool whose calls end before their caller goes on, even a cancelled one.

    Few calls, each doing much, are what makes it fast: a call costs some 50 microseconds.

    Args:
        name: of the threads.
        workers: the greatest number of threads.
    """

    def __init__(self, name: str, workers: int) -> None:
        self._name = name
        self._workers = workers
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The executor of this process; made when first used, and anew in a forked child."""
        if self._pool is None or self._pid != os.getpid():
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix=self._name)
            self._pid = os.getpid()
        return self._pool

    async def run(
        self, fn: Callable[..., T], *args: Any, undo: Callable[[T], object] | None = None
    ) -> T:
        """Call ``fn(*args)`` in a thread and return what it returns.

        When the caller is cancelled, a call not begun is dropped and one under way is waited for,
        then the cancellation is raised; so no thread uses a descriptor that the caller has closed.

        Args:
            fn: the blocking function.
            args: its arguments.
            undo: called with the result of a call that ended after its caller was cancelled.
        """
        loop = asyncio.get_running_loop()
        job: _Job[T] = _Job(loop, (lambda: fn(*args)) if args else fn)
        self.pool.submit(job)
        try:
            await job.waiter
        except asyncio.CancelledError:
            if not job.claim():
                await _outlast(loop, job, undo)
            raise
        if job.error is not None:
            try:
                raise job.error
            finally:
                job.error = None  # breaks the cycle of exception, frame and job
        return job.result  # type: ignore[return-value]  # no error: result is a T

    def close(self) -> None:
        """End the threads when their calls have ended; used again, new threads are made."""
        if self._pool is not None and self._pid == os.getpid():
            self._pool.shutdown(wait=False)
        self._pool = None


async def _outlast(
    loop: asyncio.AbstractEventLoop, job: _Job[T], undo: Callable[[T], object] | None
) -> None:
    end = loop.time() + PATIENCE
    while not job.finished and (left := end - loop.time()) > 0:
        # The cancellation took the old waiter with it.
        job.waiter = loop.create_future()
        try:
            await asyncio.wait([job.waiter], timeout=left)
        except asyncio.CancelledError:
            continue  # the first cancellation is raised by our caller
    if not job.finished:
        job.late = undo
    elif job.error is None and undo is not None:
        undo(job.result)  # type: ignore[arg-type]  # no error: result is a T
