"""Blocking calls in threads of our own, safe under cancellation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ._pool import STALL, Pool
from ._process import process_id

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds that a blocking call under way may hold back a cancellation."""


class _Job(Generic[T]):
    """One blocking call: claimed either by a worker thread, once, or by its cancelled caller."""

    __slots__ = ("_claims", "_fn", "_inbox", "error", "finished", "late", "result", "waiter")

    def __init__(self, inbox: _Inbox, fn: Callable[[], T]) -> None:
        self._inbox = inbox
        self._fn = fn
        self._claims = [None]
        self.waiter: asyncio.Future[None] = inbox.loop.create_future()
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
        self._inbox.add(self)

    def deliver(self) -> None:
        self.finished = True
        if self.late is not None:
            if self.error is None:
                self.late(self.result)  # type: ignore[arg-type]  # no error: result is a T
        elif not self.waiter.done() and not self._inbox.loop.is_closed():
            self.waiter.set_result(None)


class _Inbox:
    """Calls that have ended, on their way to one event loop, which is woken once for many."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Pool) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.pool: Pool = pool
        self._ended: deque[_Job[Any]] = deque()
        self._woken = False
        self._watching = False

    def add(self, job: _Job[Any]) -> None:
        self._ended.append(job)
        if not self._woken:
            self._woken = True
            try:
                self.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop was closed without waiting for us
                self._deliver()

    def _deliver(self) -> None:
        self._woken = False  # first: whoever adds from now on wakes the loop again
        while self._ended:
            try:
                job = self._ended.popleft()
            except IndexError:  # taken by another thread, when the loop was closed
                return
            job.deliver()

    def watch(self) -> None:
        """See to it that the pool keeps up while calls are waiting."""
        if not self._watching:
            self._watching = True
            self.loop.call_later(STALL, self._look)

    def _look(self) -> None:
        self._watching = False
        if self.pool.keep_up():
            self.watch()


class Threads:
    """Blocking calls that end before their caller goes on, even a cancelled one.

    Few calls, each doing much, are what makes it fast: a call costs some 50 microseconds.

    Args:
        name: of the threads.
        workers: the greatest number of threads.
    """

    def __init__(self, name: str, workers: int) -> None:
        self._name = name
        self._workers = workers
        self._pool: Pool | None = None
        self._inbox: _Inbox | None = None

    @property
    def pool(self) -> Pool:
        """The threads of this process; made when first used, and anew in a forked child."""
        if self._pool is None or self._pool.pid != process_id():
            self._pool = Pool(self._name, self._workers)
        return self._pool

    def _inbox_of(self, loop: asyncio.AbstractEventLoop) -> _Inbox:
        # Loops that take turns make new ones each time, which is slower and right as well.
        pool, inbox = self.pool, self._inbox
        if inbox is None or inbox.loop is not loop or inbox.pool is not pool:
            inbox = self._inbox = _Inbox(loop, pool)
        return inbox

    async def run(
        self,
        fn: Callable[..., T],
        *args: Any,
        undo: Callable[[T], object] | None = None,
        stop: Callable[[], object] | None = None,
    ) -> T:
        """Call ``fn(*args)`` in a thread and return what it returns.

        When the caller is cancelled, a call not begun is dropped and one under way is waited for,
        then the cancellation is raised; so no thread uses a descriptor that the caller has closed.

        Args:
            fn: the blocking function.
            args: its arguments.
            undo: called with the result of a call that ended after its caller was cancelled.
            stop: called when the caller is cancelled, to let a long call under way end soon.

        Raises:
            ResourceLimitError: there is no thread, and the system starts none; `fn` is not called.
        """
        loop = asyncio.get_running_loop()
        inbox = self._inbox_of(loop)
        job: _Job[T] = _Job(inbox, (lambda: fn(*args)) if args else fn)
        inbox.pool.put(job)
        inbox.watch()
        try:
            await job.waiter
        except asyncio.CancelledError:
            if not job.claim():
                if stop is not None:
                    stop()
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
        if self._pool is not None and self._pool.pid == process_id():
            self._pool.shutdown(wait=False)
        self._pool = self._inbox = None


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
