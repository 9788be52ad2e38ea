"""Blocking calls: none is left running behind its caller, and none is lost or done twice."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from aiostow import _threads
from aiostow._threads import Threads

pytestmark = pytest.mark.anyio

PATIENT = 30  # seconds; what takes longer hangs


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads("test-threads", 2)
    yield threads
    threads.close()


@pytest.fixture
def single() -> Iterator[Threads]:
    threads = Threads("test-single", 1)
    yield threads
    threads.close()


class Call:
    """A blocking call that goes on when it is told to."""

    def __init__(self, result: object = "result", error: BaseException | None = None) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.count = 0
        self._result = result
        self._error = error

    def __call__(self) -> object:
        self.count += 1
        self.begun.set()
        assert self.go.wait(PATIENT)
        if self._error is not None:
            raise self._error
        return self._result

    async def under_way(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, PATIENT)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# -- undisturbed ----------------------------------------------------------------------------------


async def test_the_result_is_returned(threads: Threads) -> None:
    undone: list[object] = []
    assert await threads.run(divmod, 7, 3, undo=undone.append) == (2, 1)
    nothing: dict[str, str] = {}
    assert await threads.run(nothing.get, "missing") is None
    assert undone == []


async def test_the_error_is_raised_as_it_is(threads: Threads) -> None:
    error = ZeroDivisionError("mine")

    def fail() -> None:
        raise error

    undone: list[object] = []
    with pytest.raises(ZeroDivisionError) as caught:
        await threads.run(fail, undo=undone.append)
    assert caught.value is error
    assert "fail" in [entry.name for entry in caught.traceback]
    assert undone == []


@pytest.mark.parametrize("error", [KeyboardInterrupt("k"), asyncio.CancelledError("c")])
async def test_errors_that_are_no_exceptions_are_raised_too(
    threads: Threads, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await threads.run(fail)
    assert caught.value is error
    assert await threads.run(lambda: 5) == 5  # its thread lives on


async def test_an_error_is_not_kept_by_a_cycle(threads: Threads) -> None:
    """What its frames hold, such as buffers, would else be there until the collector comes."""

    class Heavy:
        pass

    held: list[weakref.ref[Heavy]] = []

    def fail() -> None:
        heavy = Heavy()
        held.append(weakref.ref(heavy))
        raise ZeroDivisionError

    gc.collect()
    gc.disable()
    try:
        try:
            await threads.run(fail)
        except ZeroDivisionError:
            pass
        await turns()
        assert held[0]() is None
    finally:
        gc.enable()


async def test_calls_are_made_in_few_threads_of_our_own(threads: Threads) -> None:
    names: set[str] = set()
    together = threading.Barrier(2)

    def call() -> None:
        together.wait(PATIENT)  # two at a time, or it breaks
        names.add(threading.current_thread().name)

    await asyncio.gather(*(threads.run(call) for _ in range(20)))
    assert names == {"test-threads_0", "test-threads_1"}


async def test_the_loop_runs_on_while_a_call_blocks(threads: Threads) -> None:
    call = Call()
    running = asyncio.ensure_future(threads.run(call))
    await call.under_way()
    await turns()
    assert not running.done()
    call.go.set()
    assert await running == "result"


# -- cancelled ------------------------------------------------------------------------------------


async def test_a_call_that_has_not_begun_is_dropped(single: Threads) -> None:
    blocking, dropped = Call(), Call()
    first = asyncio.ensure_future(single.run(blocking))
    await blocking.under_way()
    undone: list[object] = []
    second = asyncio.ensure_future(single.run(dropped, undo=undone.append))
    await turns()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(second, PATIENT)  # at once, though the thread is busy
    blocking.go.set()
    assert await first == "result"
    assert await single.run(lambda: "later") == "later"
    assert dropped.count == 0
    assert undone == []


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_a_call_under_way_is_waited_for_and_undone_once(threads: Threads, times: int) -> None:
    result = object()
    call = Call(result)
    undone: list[object] = []
    caller = asyncio.ensure_future(threads.run(call, undo=undone.append))
    await call.under_way()
    for _ in range(times):
        caller.cancel()
        await turns()
        assert not caller.done()
    assert undone == []
    call.go.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(caller, PATIENT)
    assert undone == [result]
    assert call.count == 1
    await turns()
    assert undone == [result]


async def test_a_call_under_way_without_undo_is_waited_for(threads: Threads) -> None:
    call = Call()
    caller = asyncio.ensure_future(threads.run(call))
    await call.under_way()
    caller.cancel()
    await turns()
    assert not caller.done()
    call.go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_a_cancelled_call_that_fails_is_not_undone(threads: Threads) -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    call = Call(error=ZeroDivisionError())
    undone: list[object] = []
    caller = asyncio.ensure_future(threads.run(call, undo=undone.append))
    await call.under_way()
    caller.cancel()
    await turns()
    call.go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert undone == []
    del call, caller
    gc.collect()
    await turns()
    assert complaints == []


@pytest.mark.parametrize("turn", range(6))
async def test_a_result_is_had_by_the_caller_or_by_undo(threads: Threads, turn: int) -> None:
    """Wherever the cancellation strikes, also when the result is on its way to the loop."""
    call = Call("result")
    undone: list[object] = []
    caller = asyncio.ensure_future(threads.run(call, undo=undone.append))
    await call.under_way()
    call.go.set()
    await threads.run(lambda: None)  # by another thread, so that the result has had its time
    for _ in range(turn):
        await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    await turns()
    had = [] if caller.cancelled() else [caller.result()]
    assert had + undone == ["result"]


async def test_no_result_is_lost_or_had_twice_whenever_callers_are_cancelled(
    threads: Threads, long: bool
) -> None:
    loop = asyncio.get_running_loop()
    random = Random(5)
    made: list[int] = []
    undone: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        time.sleep(random.random() / 5000)
        return number

    count = 50_000 if long else 1000
    callers = []
    for number in range(count):
        caller = asyncio.ensure_future(threads.run(make, number, undo=undone.append))
        callers.append(caller)
        loop.call_later(random.random() / 2000, caller.cancel)
        if number % 3 == 0:
            await asyncio.sleep(random.random() / 3000)
    await asyncio.wait(callers)
    had = [caller.result() for caller in callers if not caller.cancelled()]
    assert sorted(had + undone) == sorted(made)
    # Else this has shown nothing: some came too late, some in time, some in between.
    assert had
    assert undone
    assert len(made) < count


async def test_patience_ends_and_the_late_result_is_undone_once(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_threads, "PATIENCE", 0.05)
    call = Call("late")
    undone: list[object] = []
    caller = asyncio.ensure_future(threads.run(call, undo=undone.append))
    await call.under_way()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(caller, PATIENT)
    assert undone == []
    call.go.set()
    for _ in range(500):
        if undone:
            break
        await asyncio.sleep(0.01)
    assert undone == ["late"]


async def test_a_late_error_is_not_undone(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_threads, "PATIENCE", 0.05)
    call = Call(error=ZeroDivisionError())
    undone: list[object] = []
    caller = asyncio.ensure_future(threads.run(call, undo=undone.append))
    await call.under_way()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(caller, PATIENT)
    call.go.set()
    threads.pool.shutdown()  # waits for the thread
    await turns()
    assert undone == []


# -- the end --------------------------------------------------------------------------------------


async def test_closing_lets_calls_end_and_new_threads_begin(single: Threads) -> None:
    under_way, waiting = Call("first"), Call("second")
    waiting.go.set()
    first = asyncio.ensure_future(single.run(under_way))
    await under_way.under_way()
    second = asyncio.ensure_future(single.run(waiting))
    await turns()
    single.close()
    single.close()
    # New threads: not those that are busy with calls from before.
    assert await asyncio.wait_for(single.run(lambda: "anew"), PATIENT) == "anew"
    under_way.go.set()
    assert await first == "first"
    assert await asyncio.wait_for(second, PATIENT) == "second"


async def test_closing_ends_the_threads() -> None:
    threads = Threads("test-ending", 2)
    thread = await threads.run(threading.current_thread)
    assert thread.is_alive()
    threads.close()
    await asyncio.to_thread(thread.join, PATIENT)
    assert not thread.is_alive()


def test_threads_that_were_never_used_close_and_never_were() -> None:
    before = threading.active_count()
    threads = Threads("test-unused", 2)
    threads.close()
    assert threading.active_count() == before


def test_a_loop_closed_early_leaves_the_threads_working(single: Threads) -> None:
    """A call that ends after its loop was closed tells nobody, and breaks nothing."""
    call = Call()
    loop = asyncio.new_event_loop()
    caller = loop.create_task(single.run(call))
    loop.call_soon(lambda: None)
    loop.run_until_complete(asyncio.sleep(0))
    assert call.begun.wait(PATIENT)
    loop.close()
    complaints: list[Any] = []
    threading.excepthook, hook = complaints.append, threading.excepthook
    try:
        call.go.set()
        assert asyncio.run(single.run(lambda: "works")) == "works"
    finally:
        threading.excepthook = hook
    assert complaints == []
    assert not caller.done()
    caller._log_destroy_pending = False  # type: ignore[attr-defined]  # it was closed on purpose


def test_a_late_result_is_undone_also_when_its_loop_is_closed(
    single: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the descriptor that it holds would stay open for ever."""
    monkeypatch.setattr(_threads, "PATIENCE", 0.05)
    call = Call("late")
    undone: list[object] = []

    async def main() -> None:
        caller = asyncio.ensure_future(single.run(call, undo=undone.append))
        await call.under_way()
        caller.cancel()
        await asyncio.wait([caller])

    asyncio.run(main())
    assert undone == []
    call.go.set()
    single.pool.shutdown()
    assert undone == ["late"]


async def test_several_loops_share_the_threads(threads: Threads) -> None:
    async def work() -> list[int]:
        return list(await asyncio.gather(*(threads.run(abs, -i) for i in range(50))))

    others = [asyncio.to_thread(lambda: asyncio.run(work())) for _ in range(2)]
    for result in await asyncio.gather(work(), *others):
        assert result == list(range(50))


FORK = """
    import asyncio, os, threading
    from aiostow._threads import Threads

    threads = Threads("forked", 1)
    mine = asyncio.run(threads.run(os.getpid))
    assert mine == os.getpid()
    pool = threads.pool
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            # The parent's threads are not here: waiting for one of them would never end.
            found = asyncio.run(asyncio.wait_for(threads.run(os.getpid), 20))
            assert found == os.getpid(), found
            assert threads.pool is not pool
            threads.close()
            os.write(write, b"child works")
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    print(os.read(read, 100).decode())
    assert threads.pool is pool
    assert asyncio.run(threads.run(os.getpid)) == os.getpid()
    print("parent works")
"""

FORK_AND_CLOSE = """
    import asyncio, os
    from aiostow._threads import Threads

    threads = Threads("forked", 1)
    asyncio.run(threads.run(os.getpid))
    child = os.fork()
    if child == 0:
        threads.close()       # nothing to wait for: the threads are the parent's
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(asyncio.run(threads.run(lambda: "parent works")))
"""


FORK_DURING_A_START = """
    import asyncio, gc, os, threading
    from aiostow._threads import Threads

    threads = Threads("forked", 1)
    asyncio.run(threads.run(os.getpid))
    held, go = threading.Event(), threading.Event()

    def hold():
        with threads.pool._state.lock:
            held.set()
            go.wait()

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    child = os.fork()
    if child == 0:
        import signal
        signal.alarm(20)       # what hangs is killed
        asyncio.run(threads.run(os.getpid))
        gc.collect()           # the parent's pool is forgotten here
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    go.set()
    other.join()
"""


def run_script(script: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_forked_child_has_threads_of_its_own() -> None:
    assert run_script(FORK) == ["child works", "parent works"]


def test_a_forked_child_closes_nothing_of_its_parent() -> None:
    assert run_script(FORK_AND_CLOSE) == ["7", "parent works"]


def test_a_child_that_was_forked_while_a_thread_was_started_does_not_hang() -> None:
    assert run_script(FORK_DURING_A_START) == ["7"]
