"""One event loop in a thread of its own, for calls from threads that have none."""

from __future__ import annotations

import asyncio
import errno
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from ._process import process_id
from .errors import BlockingCallError, ClosedError, ResourceLimitError

T = TypeVar("T")

_PATIENCE = 5.0
"""Seconds that the end of a process waits for a loop that nobody closed."""


class Portal:
    """Runs coroutines for threads that wait for them; typed as the coroutine is.

    The loop is uvloop's where that is installed. It begins with the first call, and anew in a
    forked child.

    Args:
        last: what the loop runs before it ends, also when nobody closed the portal.
    """

    def __init__(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._last = last
        self._thread: _LoopThread | None = None
        self._lock = threading.RLock()  # a finalizer may come in between
        self._pid = process_id()
        self._closed = False

    def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Return what `coro` returns. It sees a copy of the caller's context variables.

        Whatever interrupts the waiting thread, such as Ctrl-C, cancels `coro` and is raised when
        that has cleaned up; a second interruption does not wait.

        Raises:
            BlockingCallError: the calling thread runs an event loop, which would stand still.
            ClosedError: the portal is closed.
            ResourceLimitError: the system did not start the loop's thread; the next call tries
                anew.
        """
        call = self.begin(coro)
        return call.wait()

    def begin(self, coro: Coroutine[Any, Any, T]) -> Call[T]:
        """Start `coro`, as `run` does; somebody must `wait` for the call or `cancel` it."""
        try:
            self.check()
            call = Call(self._ready(), coro)
        except BaseException:
            coro.close()
            raise
        call.hand_over()
        return call

    def start(self, coro: Coroutine[Any, Any, object]) -> None:
        """Run `coro` without waiting, also on the loop's own thread; dropped once closed."""
        thread = self._thread
        if thread is None or self._pid != process_id() or not thread.submit(coro):
            coro.close()

    def close(self) -> None:
        """End the loop and its thread; what runs is cancelled. Idempotent."""
        self._renew()
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.end()

    def check(self) -> None:
        """Refuse a thread that runs an event loop, as `run` does."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._thread is not None and loop is self._thread.loop:
            raise BlockingCallError(
                "called back from the facade's own event loop, which waits for this very call: "
                "await the storage that the facade wraps (its .storage)"
            )
        raise BlockingCallError(
            "called where an event loop is running, which would stand still: await the storage "
            "itself instead of its sync facade, or use `await asyncio.to_thread(...)`"
        )

    def _renew(self) -> None:
        if self._pid != process_id():
            # Forked: the parent's thread is not here, and its lock may be held for ever.
            self._lock = threading.RLock()
            self._thread = None
            self._pid = process_id()

    def _ready(self) -> _LoopThread:
        self._renew()
        with self._lock:
            if self._closed:
                raise ClosedError("the storage is closed")
            if self._thread is None:
                self._thread = self._new_thread()
            return self._thread

    def _new_thread(self) -> _LoopThread:
        thread = _LoopThread(self._last)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as exc:
            thread.loop.close()
            raise ResourceLimitError(
                f"no thread could be started: {exc}", errno=errno.EAGAIN
            ) from exc
        except BaseException:  # interrupted, and nobody knows whether it began
            thread.give_up()
            raise
        weakref.finalize(self, thread.end, _PATIENCE)
        return thread


class _LoopThread(threading.Thread):
    """The thread of the loop; a daemon, so that a forgotten `close` holds nothing back."""

    def __init__(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        super().__init__(name="aiostow-sync", daemon=True)
        self._last = last
        self.loop: asyncio.AbstractEventLoop = new_event_loop()
        self.calls: set[Call[Any]] = set()  # that somebody waits for
        self._end = self.loop.create_future()
        self._tasks: set[asyncio.Task[object]] = set()  # the loop itself holds them weakly

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._until_ended())
        # The loop is closed and takes no more; what came too late to be begun must not hang.
        for call in list(self.calls):
            call.drop()

    async def _until_ended(self) -> None:
        await self._end
        await self._last()

    def submit(self, coro: Coroutine[Any, Any, object]) -> bool:
        """Start a task; return whether the loop still runs."""
        return self._soon(lambda: self._keep(self.loop.create_task(coro)))

    def end(self, patience: float | None = None) -> None:
        """End the loop; wait for it, at most `patience` seconds."""
        self._soon(self._finish)
        if threading.current_thread() is not self and self.is_alive():
            self.join(patience)

    def give_up(self) -> None:
        """End a loop that nobody used, should it begin; what it was to run last is not run."""
        self._last = _nothing
        self._soon(self._finish)

    def _finish(self) -> None:
        if not self._end.done():
            self._end.set_result(None)

    def _keep(self, task: asyncio.Task[object]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _soon(self, callback: Callable[[], object]) -> bool:
        try:
            self.loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed
            return False
        return True


class Call(Generic[T]):
    """One coroutine, from a thread to the loop and back."""

    def __init__(self, thread: _LoopThread, coro: Coroutine[Any, Any, T]) -> None:
        self._thread = thread
        self._coro = coro
        self._task: asyncio.Task[None] | None = None
        self._given_up = False
        self._ended = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None

    def hand_over(self) -> None:
        """Have the loop begin."""
        try:
            self._thread.calls.add(self)
            try:
                self._thread.loop.call_soon_threadsafe(self._begin)
            except RuntimeError:  # the loop was closed
                self.drop()
        except BaseException:  # interrupted
            self.cancel()
            raise

    def wait(self) -> T:
        """Return the result; an interruption cancels the call and is raised once it has ended."""
        try:
            self._ended.wait()
        except BaseException:
            self.cancel()
            raise
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # breaks the cycle of exception, frame and call
        return self._result  # type: ignore[return-value]  # no error: the result is a T

    def drop(self) -> None:
        """End without having begun."""
        if not self._ended.is_set():
            self._coro.close()
            self._error = ClosedError("the storage is closed")
            self._end()

    def _begin(self) -> None:
        if self._given_up:
            self.drop()
        else:
            # In the context of the waiting thread, as call_soon_threadsafe has copied it.
            self._task = self._thread.loop.create_task(self._run())
            self._task.add_done_callback(self._check_begun)

    async def _run(self) -> None:
        # SystemExit and KeyboardInterrupt of a callback must not end the loop but reach the caller.
        try:
            self._result = await self._coro
        except asyncio.CancelledError:
            self._error = ClosedError("the storage was closed meanwhile")
        except BaseException as exc:  # noqa: BLE001  # raised where it is waited for
            self._error = exc
        self._end()

    def _check_begun(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.drop()

    def _end(self) -> None:
        self._thread.calls.discard(self)
        self._ended.set()

    def cancel(self) -> None:
        """Cancel the call and wait until it has ended, cleanups included."""
        try:
            self._thread.loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:  # the loop was closed
            self.drop()
        self._ended.wait()

    def _cancel(self) -> None:
        self._given_up = True
        if self._task is not None:
            self._task.cancel()
        else:
            self._begin()  # it was not even handed over


async def _nothing() -> None:
    pass


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a loop of uvloop's where that is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
