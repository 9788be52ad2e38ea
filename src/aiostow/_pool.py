"""A pool of as few threads as keep up.

Calls that are over in microseconds are served fastest by a single thread: several only take the
interpreter from one another. Calls that wait for a slow disk need many. So a pool begins with one
thread, adds one whenever calls have been waiting for a millisecond and none was begun meanwhile,
and lets those go that are not needed any more.
"""

from __future__ import annotations

import os
import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Job: TypeAlias = Callable[[], object]

STALL = 0.001
"""Seconds after which waiting calls are given another thread."""

_QUICK = STALL / 4
_ENOUGH_QUICK = 200  # calls in a row, after which a thread is held to be one too many
_IDLE = 10.0  # seconds after which a thread that has nothing to do ends, unless it is the last


class _State:
    """What a pool shares with its threads, which must not keep the pool itself alive."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.threads: list[threading.Thread] = []
        self.begun = 0.0  # when the last call was begun
        self.ended = False

    def end(self) -> None:
        with self.lock:
            self.ended = True
            for _ in self.threads:
                self.jobs.put(None)

    def leave(self) -> bool:
        """Let the calling thread go, unless it is the last."""
        with self.lock:
            if self.ended or len(self.threads) == 1:
                return False
            self.threads.remove(threading.current_thread())
            return True


class Pool(Executor):
    """Threads that make blocking calls in the order in which they were given.

    The threads are daemons: a call that hangs on a dead disk does not hold back the end of the
    process.

    Args:
        name: of the threads.
        workers: the greatest number of threads.
    """

    def __init__(self, name: str, workers: int) -> None:
        self.pid: int = os.getpid()
        self._name = name
        self._workers = workers
        self._made = 0
        self._state = _State()
        self._finalizer = weakref.finalize(self, self._state.end)

    def put(self, job: Job) -> None:
        """Have a call made that raises nothing.

        Raises:
            RuntimeError: the pool was shut down.
        """
        state = self._state
        if state.ended:
            raise RuntimeError("the pool was shut down")
        state.jobs.put(job)
        if not state.threads:
            self._add()

    def keep_up(self) -> bool:
        """Add a thread if calls wait and none was begun lately; return whether any wait."""
        state = self._state
        if state.ended or state.jobs.empty():
            return False
        if time.monotonic() - state.begun > STALL and len(state.threads) < self._workers:
            self._add()
        return True

    def _add(self) -> None:
        state = self._state
        with state.lock:
            if state.ended or len(state.threads) == self._workers:
                return
            thread = threading.Thread(
                target=_work, args=(state,), name=f"{self._name}_{self._made}", daemon=True
            )
            self._made += 1
            state.threads.append(thread)
            state.begun = time.monotonic()  # a new thread has its time to begin
            thread.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have ``fn(*args, **kwargs)`` called; for libraries that take an executor."""
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as exc:  # noqa: BLE001  # raised again where it is awaited
                future.set_exception(exc)
            else:
                future.set_result(result)

        self.put(job)
        if not self._state.jobs.empty():
            self._add()  # nobody watches over these calls
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Make the calls that were given, then end the threads; idempotent."""
        self._finalizer()
        if wait:
            for thread in self._state.threads:
                thread.join()


def _work(state: _State) -> None:
    quick = 0
    job: Any
    while True:
        try:
            job = state.jobs.get(timeout=_IDLE)
        except queue.Empty:
            if state.leave():
                return
            continue
        if job is None:
            return
        state.begun = begun = time.monotonic()
        job()
        del job  # what it holds is not kept until the next one comes
        quick = quick + 1 if time.monotonic() - begun < _QUICK else 0
        if quick >= _ENOUGH_QUICK:
            quick = 0
            if state.leave():
                return
