"""A pool of as few threads as keep up.

Calls that are over in microseconds are served fastest by a single thread: several only take the
interpreter from one another. Calls that wait for a slow disk need many. So a pool begins with one
thread, adds one whenever calls have been waiting for a millisecond and none was begun meanwhile,
and lets those go that are not needed any more.
"""

from __future__ import annotations

import contextlib
import errno
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeAlias, TypeVar

from ._process import process_id
from .errors import ResourceLimitError

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
        self.pid = process_id()
        self.jobs: deque[Job] = deque()
        # The doors of threads that wait, the last to come on top: it is taken first, so that a
        # stream of calls stays in one thread, and with it the memory that the calls allocate.
        self.idle: list[queue.SimpleQueue[None]] = []
        self.doors: list[queue.SimpleQueue[None]] = []
        self.busy: set[queue.SimpleQueue[None]] = set()
        self.lock = threading.RLock()  # a finalizer may come in between
        self.begun = 0.0  # when the last call was begun
        self.ended = False

    def end(self) -> None:
        if self.pid != process_id():
            return  # forked: the threads are not here, and their lock may be held for ever
        with self.lock:
            self.ended = True
            for door in self.doors:
                door.put(None)

    def leave(self, door: queue.SimpleQueue[None]) -> bool:
        """Let the calling thread go, unless it is needed: the last one, or calls at the end."""
        with self.lock:
            self._withdraw(door)  # at the end it was woken where it stood, and not for a call
            if self.jobs if self.ended else len(self.doors) == 1:
                return False
            self.doors.remove(door)
            return True

    def take(self) -> Job | None:
        """Return the next job, if there is one."""
        try:
            return self.jobs.popleft()
        except IndexError:
            return None

    def stand(self, door: queue.SimpleQueue[None]) -> bool:
        """Wait for a job at the door; return whether to look for one."""
        self.idle.append(door)
        # A job that came before we were seen to wait has woken nobody.
        if (self.jobs or self.ended) and self._withdraw(door):
            return True
        try:
            door.get(timeout=_IDLE)
        except queue.Empty:
            if self._withdraw(door):
                return False
            door.get()  # somebody is about to knock
        return True

    def _withdraw(self, door: queue.SimpleQueue[None]) -> bool:
        try:
            self.idle.remove(door)
        except ValueError:
            return False
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
        self._name = name
        self._workers = workers
        self._made = 0
        self._threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._state = _State()
        self.pid: int = self._state.pid
        self._finalizer = weakref.finalize(self, self._state.end)
        self._finalizer.atexit = False  # what cleans up at the end of the process may need it

    def put(self, job: Job) -> None:
        """Have a call made that raises nothing.

        Where the system starts no more threads, those that there are make it. What cannot be made
        at all is not kept: the next call tries anew.

        Raises:
            ResourceLimitError: the system did not start the first thread.
            RuntimeError: the pool was shut down.
        """
        state = self._state
        if state.ended:
            raise RuntimeError("the pool was shut down")
        state.jobs.append(job)
        try:
            door = state.idle.pop()
        except IndexError:
            # Under the lock no thread is about to come or to go.
            with state.lock:
                if not state.doors:
                    self._begin(job)
        else:
            door.put(None)

    def _begin(self, job: Job) -> None:
        try:
            if self._state.ended:
                raise RuntimeError("the pool was shut down")
            self._add()
        except Exception:
            self._state.jobs.remove(job)  # there is no thread that could have taken it
            raise

    def keep_up(self) -> bool:
        """Add a thread if calls wait and all are held up in calls; return whether any wait."""
        state = self._state
        if state.ended or not state.jobs:
            return False
        # A thread that was woken and is not running yet needs no help, but a processor.
        if time.monotonic() - state.begun > STALL and len(state.busy) == len(state.doors):
            self._help()
        return True

    def _help(self) -> None:
        # Calls that wait have a thread already: `put` has seen to that.
        with contextlib.suppress(ResourceLimitError):
            self._add()

    def _add(self) -> None:
        state = self._state
        with state.lock:
            if state.ended or len(state.doors) == self._workers:
                return
            state.begun = time.monotonic()  # a new thread has its time to begin
            door: queue.SimpleQueue[None] = queue.SimpleQueue()
            name = f"{self._name}_{self._made}"
            thread = threading.Thread(target=_work, args=(state, door), name=name, daemon=True)
            state.doors.append(door)
            try:
                thread.start()
            except (RuntimeError, MemoryError) as exc:
                state.doors.remove(door)
                raise ResourceLimitError(
                    f"no thread could be started: {exc}", errno=errno.EAGAIN
                ) from exc
            self._made += 1
            self._threads.add(thread)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have ``fn(*args, **kwargs)`` called, as `put` does; for libraries that take an executor.

        Raises:
            ResourceLimitError: see `put`.
            RuntimeError: see `put`.
        """
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
        if self._state.jobs:
            self._help()  # nobody watches over these calls
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Make the calls that were given, then end the threads; idempotent."""
        self._finalizer()
        if wait:
            for thread in list(self._threads):
                thread.join()


def _work(state: _State, door: queue.SimpleQueue[None]) -> None:
    quick = 0
    while True:
        job = state.take()
        if job is None:
            if (state.ended or not state.stand(door)) and state.leave(door):
                return
            continue
        state.busy.add(door)
        state.begun = begun = time.monotonic()
        job()
        del job  # what it holds is not kept until the next one comes
        state.busy.discard(door)
        quick = quick + 1 if time.monotonic() - begun < _QUICK else 0
        if quick >= _ENOUGH_QUICK:
            quick = 0
            if state.leave(door):
                return
