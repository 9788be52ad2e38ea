"""The pool: as few threads as keep up, and none that outlives its use."""

from __future__ import annotations

import asyncio
import errno
import gc
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from aiostow import LocalFSStorage, ResourceLimitError, _pool
from aiostow._pool import Pool
from aiostow._threads import Threads

pytestmark = pytest.mark.anyio

PATIENT = 30.0  # seconds; what takes longer hangs


def alive(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENT
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


async def test_quick_calls_have_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pool, "STALL", 5.0)  # a machine that stands still is no slow disk
    threads = Threads("quick", 8)
    try:
        idents = await asyncio.gather(*(threads.run(threading.get_ident) for _ in range(500)))
        assert len(set(idents)) == 1
    finally:
        threads.close()


@pytest.mark.parametrize("at_once", [3, 8])
async def test_slow_calls_have_as_many_threads_as_they_need(at_once: int) -> None:
    threads = Threads("slow", 8)
    together = threading.Barrier(at_once)
    try:
        # Each waits for all the others: with fewer threads none of them would ever end.
        await asyncio.gather(*(threads.run(together.wait, PATIENT) for _ in range(at_once)))
        assert len(alive("slow_")) == at_once
    finally:
        threads.close()


async def test_there_are_never_more_threads_than_allowed() -> None:
    threads = Threads("bounded", 3)
    running: list[int] = []
    most = 0
    lock = threading.Lock()

    def call() -> None:
        nonlocal most
        with lock:
            running.append(1)
            most = max(most, len(running))
        time.sleep(0.01)
        with lock:
            running.pop()

    try:
        await asyncio.gather(*(threads.run(call) for _ in range(30)))
        assert most == 3
        assert len(alive("bounded_")) == 3
    finally:
        threads.close()


async def test_a_slow_call_does_not_hold_back_the_quick_ones() -> None:
    threads = Threads("mixed", 4)
    go = threading.Event()
    slow = asyncio.ensure_future(threads.run(go.wait, PATIENT))
    try:
        for _ in range(20):
            assert await asyncio.wait_for(threads.run(abs, -1), PATIENT) == 1
        assert not slow.done()
        go.set()
        assert await slow is True
    finally:
        go.set()
        threads.close()


async def test_threads_that_only_quick_calls_use_are_let_go() -> None:
    threads = Threads("spare", 8)
    together = threading.Barrier(6)
    try:
        await asyncio.gather(*(threads.run(together.wait, PATIENT) for _ in range(6)))
        for _ in range(200):
            await asyncio.gather(*(threads.run(int) for _ in range(50)))
            if len(alive("spare_")) <= 2:
                break
        assert len(alive("spare_")) <= 2
        assert await threads.run(abs, -1) == 1
    finally:
        threads.close()


async def test_calls_one_after_the_other_stay_in_one_thread() -> None:
    """The memory that a call allocates belongs to its thread: a stream must not touch them all."""
    threads = Threads("stream", 8)
    together = threading.Barrier(5)
    try:
        await asyncio.gather(*(threads.run(together.wait, PATIENT) for _ in range(5)))
        idents = set()
        for _ in range(50):
            await asyncio.sleep(0.002)  # all of them are waiting
            idents.add(await threads.run(threading.get_ident))
        assert len(idents) == 1
    finally:
        threads.close()


def test_idle_threads_end_but_for_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pool, "_IDLE", 0.02)
    pool = Pool("idle", 4)
    together = threading.Barrier(4)
    for future in [pool.submit(together.wait, PATIENT) for _ in range(4)]:
        future.result(PATIENT)
    assert eventually(lambda: len(alive("idle_")) == 1)
    assert pool.submit(abs, -1).result(PATIENT) == 1
    pool.shutdown()
    assert alive("idle_") == []


def test_an_executor_tells_results_and_errors() -> None:
    pool = Pool("executor", 2)
    assert pool.submit(divmod, 7, 3).result(PATIENT) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 7, 0).result(PATIENT)
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(abs, -1)


def test_a_call_that_was_cancelled_in_time_is_not_made() -> None:
    pool = Pool("cancelled", 1)
    go = threading.Event()
    made: list[int] = []
    first = pool.submit(go.wait, PATIENT)
    second = pool.submit(made.append, 1)
    assert second.cancel()
    go.set()
    assert first.result(PATIENT) is True
    pool.shutdown()
    assert made == []


def test_shutdown_makes_the_calls_that_were_given() -> None:
    pool = Pool("ending", 1)
    made: list[int] = []
    for number in range(20):
        pool.submit(made.append, number)
    pool.shutdown()
    assert made == list(range(20))
    assert alive("ending_") == []


def test_a_pool_that_is_forgotten_ends_its_threads() -> None:
    pool = Pool("forgotten", 2)
    pool.submit(abs, -1).result(PATIENT)
    assert alive("forgotten_")
    del pool
    gc.collect()
    assert eventually(lambda: not alive("forgotten_"))


def test_a_call_that_hangs_does_not_hold_back_the_end_of_the_process() -> None:
    script = (
        "import time\n"
        "from aiostow._pool import Pool\n"
        "pool = Pool('hanging', 1)\n"
        "pool.submit(time.sleep, 60)\n"
        "print('end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


# -- where the system starts no more threads -----------------------------------------------------


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, before: Callable[[int], bool]) -> list[str]:
    """Let threads of this name not start while `before` holds of their number; return them."""
    real = threading.Thread.start
    refused: list[str] = []

    def start(self: threading.Thread) -> None:
        if self.name.startswith(name) and before(len(refused)):
            refused.append(self.name)
            raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    return refused


async def test_a_call_without_any_thread_fails_and_the_next_one_tries_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refuse(monkeypatch, "none_", lambda number: number < 2)
    threads = Threads("none", 2)
    made: list[int] = []
    try:
        for _ in range(2):
            with pytest.raises(ResourceLimitError, match="can't start new thread") as caught:
                await threads.run(made.append, 1)
            assert caught.value.errno == errno.EAGAIN
        await asyncio.wait_for(threads.run(made.append, 2), PATIENT)
        assert made == [2]  # what has failed is not made later
        assert len(alive("none_")) == 1
    finally:
        threads.close()


async def test_a_storage_tells_of_a_thread_that_was_refused_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refuse(monkeypatch, "aiostow-local", lambda number: number < 1)
    async with LocalFSStorage(tmp_path) as storage:
        with pytest.raises(ResourceLimitError, match="write_bytes 'a'"):
            await storage.write_bytes("a", b"old")
        assert not await asyncio.wait_for(storage.exists("a"), PATIENT)
        await storage.write_bytes("a", b"new")
        assert await storage.read_bytes("a") == b"new"


async def test_calls_wait_for_the_threads_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Threads("few", 2)
    go = threading.Event()
    refused: list[str] = []
    try:
        assert await threads.run(abs, -1) == 1
        refused = refuse(monkeypatch, "few_", lambda number: number < 3)
        slow = asyncio.ensure_future(threads.run(go.wait, PATIENT))
        await asyncio.sleep(0)  # it comes first
        # The pool goes on trying, so that at last there is a second thread.
        assert await asyncio.wait_for(threads.run(abs, -2), PATIENT) == 2
        assert len(refused) == 3
        assert not slow.done()
    finally:
        go.set()
        threads.close()
    assert await slow is True


def test_what_is_submitted_waits_for_the_threads_that_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Pool("executor-few", 2)
    go = threading.Event()
    first = pool.submit(go.wait, PATIENT)
    assert eventually(lambda: bool(pool._state.busy))
    refused = refuse(monkeypatch, "executor-few_", lambda _: True)
    second = pool.submit(abs, -1)
    assert refused
    go.set()
    assert first.result(PATIENT) is True
    assert second.result(PATIENT) == 1
    pool.shutdown()  # joins those alone that were started


def test_a_call_given_while_a_start_fails_has_a_thread_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Pool("race", 2)
    refuse(
        monkeypatch, "race_",
        lambda number: number == 0 and eventually(lambda: len(pool._state.jobs) == 2),
    )  # fmt: skip
    failed: list[BaseException] = []

    def first() -> None:
        try:
            pool.submit(abs, -1)
        except ResourceLimitError as exc:
            failed.append(exc)

    thread = threading.Thread(target=first, daemon=True)
    thread.start()
    assert eventually(lambda: bool(pool._state.jobs))
    assert pool.submit(abs, -2).result(PATIENT) == 2
    thread.join(PATIENT)
    assert len(failed) == 1
    pool.shutdown()


# -- calls that come while the pool ends ---------------------------------------------------------


def test_a_call_that_comes_after_the_last_thread_is_refused() -> None:
    pool = Pool("late", 1)
    pool.submit(abs, -1).result(PATIENT)

    class Ending(deque[_pool.Job]):
        def append(self, job: _pool.Job) -> None:
            pool.shutdown()
            super().append(job)

    pool._state.jobs = Ending()
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(abs, -1)
    assert not pool._state.jobs


def test_a_call_that_comes_before_the_last_thread_has_gone_is_made() -> None:
    pool = Pool("last", 1)
    pool.submit(abs, -1).result(PATIENT)
    made: list[int] = []
    leave = pool._state.leave

    def leave_late(door: object) -> bool:
        if not made:
            pool._state.jobs.append(lambda: made.append(1))
        return leave(door)  # type: ignore[arg-type]  # it is the thread's own

    pool._state.leave = leave_late  # type: ignore[method-assign]  # in between
    pool.shutdown()
    assert made == [1]
