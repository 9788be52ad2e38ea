"""Work that a cancellation must not cut in half."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

DEADLINE = 60.0
"""Seconds that a commit or a cleanup may hold back a cancellation."""


_GLANCE = 0.05  # seconds between looks at whether another loop still runs
_GLANCES = 40  # at a loop that ends, until it is closed


def living(task: asyncio.Task[Any]) -> bool:
    """Whether a task can still end; one whose event loop was closed never does."""
    return not task.get_loop().is_closed()


@contextmanager
def after(exc: BaseException | None) -> Iterator[None]:
    """Clean up after `exc`, which travels on: what the cleanup raises becomes a note on it."""
    try:
        yield
    except Exception as error:
        if exc is None:
            raise
        exc.add_note(f"cleaning up failed too: {type(error).__name__}: {error}")


async def run_elsewhere(coro: Coroutine[Any, Any, object], loop: asyncio.AbstractEventLoop) -> bool:
    """Run `coro` on another event loop; return whether it ended, rather than its loop before it.

    Raises:
        Exception: what `coro` raised.
    """
    try:
        future = asyncio.run_coroutine_threadsafe(coro, loop)
    except RuntimeError:  # closed since it was looked at
        coro.close()
        return False
    done = asyncio.wrap_future(future)
    while loop.is_running() and not done.done():
        await asyncio.wait([done], timeout=_GLANCE)  # nobody tells that a loop has stopped
    if done.done() and not done.cancelled():
        done.result()
        return True
    for _ in range(_GLANCES):  # asyncio.run() cancels all tasks first, and then closes the loop
        if loop.is_closed():
            break
        await asyncio.sleep(_GLANCE)
    if loop.is_closed() and inspect.getcoroutinestate(coro) == inspect.CORO_CREATED:
        coro.close()
    return False


class Cleanups:
    """The tasks that must end before their storage is closed.

    A task is referenced here until it is done, since the event loop itself keeps weak references
    only and would drop a cleanup under way.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `coro` as a task that `join` waits for."""
        task = asyncio.get_running_loop().create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        undo: Callable[[T], object] | None = None,
        deadline: float = DEADLINE,
    ) -> T:
        """Await `coro` to its end, also when cancelled, then raise the cancellation.

        A second and further cancellations change nothing. After `deadline` seconds the cancellation
        is raised and the task goes on; `join` waits for it.

        Args:
            coro: what must not be cut in half.
            undo: called with the result when it came but the caller was cancelled.
            deadline: in seconds, from the first cancellation.
        """
        task = self.start(coro)
        cancelled: asyncio.CancelledError | None = None
        end = 0.0
        loop = asyncio.get_running_loop()
        while not task.done():
            timeout = None
            if cancelled is not None:
                timeout = end - loop.time()
                if timeout <= 0:
                    break
            try:
                # Unlike awaiting the task, wait() leaves it alone when we are cancelled.
                await asyncio.wait([task], timeout=timeout)
            except asyncio.CancelledError as exc:
                if cancelled is None:
                    cancelled, end = exc, loop.time() + deadline
        if cancelled is None:
            return task.result()
        task.add_done_callback(lambda done: _settle(done, undo))
        raise cancelled

    async def join(self) -> None:
        """Wait until every task has ended; their errors were told to whoever started them."""
        loop = asyncio.get_running_loop()
        while tasks := [task for task in self._tasks if task.get_loop() is loop]:
            await asyncio.wait(tasks)


def _settle(task: asyncio.Task[T], undo: Callable[[T], object] | None) -> None:
    # Reading the exception tells asyncio that it was seen: the cancellation outranks it.
    if not task.cancelled() and task.exception() is None and undo is not None:
        undo(task.result())
