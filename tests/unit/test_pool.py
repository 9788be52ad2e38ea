"""The pool: as few threads as keep up, and none that outlives its use."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from aiostow import _pool
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
