"""Work that no cancellation cuts: it ends, its caller learns of it, and nothing is forgotten."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from aiostow._tasks import Cleanups

pytestmark = pytest.mark.anyio


class Work:
    """A coroutine that goes on when it is told to, and remembers how far it came."""

    def __init__(self, result: object = "result", error: BaseException | None = None) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.ended = False
        self.interrupted = False
        self._result = result
        self._error = error

    async def run(self) -> object:
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.interrupted = True
            raise
        self.ended = True
        if self._error is not None:
            raise self._error
        return self._result


async def turns(count: int = 5) -> None:
    """Let everything run that can."""
    for _ in range(count):
        await asyncio.sleep(0)


def listen() -> list[Any]:
    """Collect what the event loop complains of, such as errors that nobody looked at."""
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    return complaints


# -- undisturbed ----------------------------------------------------------------------------------


async def test_the_result_is_returned() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 5

    undone: list[int] = []
    assert await Cleanups().finish(work(), undo=undone.append) == 5
    assert undone == []


async def test_the_error_is_raised_as_it_is() -> None:
    error = ZeroDivisionError("mine")

    async def work() -> int:
        raise error

    undone: list[int] = []
    with pytest.raises(ZeroDivisionError) as caught:
        await Cleanups().finish(work(), undo=undone.append)
    assert caught.value is error
    assert undone == []


async def test_work_that_cancels_itself_is_cancelled_and_not_its_caller() -> None:
    async def work() -> None:
        raise asyncio.CancelledError("of the work")

    with pytest.raises(asyncio.CancelledError):
        await Cleanups().finish(work())
    await asyncio.sleep(0)  # we are not cancelled ourselves


# -- cancelled ------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2, 10])
async def test_cancellations_wait_until_the_work_ends(times: int) -> None:
    work = Work()
    caller = asyncio.ensure_future(Cleanups().finish(work.run()))
    await work.begun.wait()
    for _ in range(times):
        caller.cancel()
        await turns()
        assert not caller.done()
    assert not work.interrupted
    work.go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert work.ended
    assert caller.cancelled()


async def test_a_cancellation_before_the_work_began_does_not_cut_it_either() -> None:
    work = Work()
    work.go.set()
    cleanups = Cleanups()

    async def call() -> object:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()  # strikes at the first await, when the work has not had a turn yet
        return await cleanups.finish(work.run())

    caller = asyncio.ensure_future(call())
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert work.ended


async def test_the_first_cancellation_is_the_one_that_is_raised() -> None:
    work = Work()
    seen: list[asyncio.CancelledError] = []

    async def call() -> None:
        try:
            await Cleanups().finish(work.run())
        except asyncio.CancelledError as exc:
            seen.append(exc)
            raise

    caller = asyncio.ensure_future(call())
    await work.begun.wait()
    for message in ("first", "second", "third"):
        caller.cancel(message)
        await turns()
    work.go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert [exc.args for exc in seen] == [("first",)]


@pytest.mark.parametrize("cancel", [False, True], ids=["undisturbed", "cancelled"])
@pytest.mark.parametrize("fail", [False, True], ids=["result", "error"])
async def test_undo_gets_the_result_that_a_cancelled_caller_does_not_get(
    cancel: bool, fail: bool
) -> None:
    complaints = listen()
    result = object()
    work = Work(result, ZeroDivisionError() if fail else None)
    undone: list[object] = []
    caller = asyncio.ensure_future(Cleanups().finish(work.run(), undo=undone.append))
    await work.begun.wait()
    if cancel:
        caller.cancel()
        await turns()
        caller.cancel()
        await turns()
    assert undone == []
    work.go.set()
    await asyncio.wait([caller])
    await turns()
    assert undone == ([result] if cancel and not fail else [])
    if cancel:
        assert caller.cancelled()
    elif fail:
        assert isinstance(caller.exception(), ZeroDivisionError)
    else:
        assert caller.result() is result
    # The error that the cancellation outranked was seen: asyncio has nothing to report.
    del caller, work
    gc.collect()
    await turns()
    assert complaints == []


async def test_a_cancellation_in_the_turn_of_the_result_is_not_lost() -> None:
    work = Work("late")
    undone: list[object] = []
    caller = asyncio.ensure_future(Cleanups().finish(work.run(), undo=undone.append))
    await work.begun.wait()
    loop = asyncio.get_running_loop()
    # The work ends in the next turn but one; the cancellation comes before its caller wakes up.
    work.go.set()
    loop.call_soon(lambda: loop.call_soon(caller.cancel))
    await asyncio.wait([caller])
    await turns()
    assert work.ended
    # Whichever came first: the caller has the result, or undo has it, and never both or none.
    assert caller.cancelled() != (undone == [])
    assert undone == (["late"] if caller.cancelled() else [])


@pytest.mark.parametrize("delay", range(1, 9))
async def test_a_result_is_had_by_the_caller_or_by_undo(delay: int) -> None:
    async def work() -> str:
        for _ in range(3):
            await asyncio.sleep(0)
        return "result"

    undone: list[str] = []
    caller = asyncio.ensure_future(Cleanups().finish(work(), undo=undone.append))
    await turns(delay)
    caller.cancel()
    await asyncio.wait([caller])
    await turns()
    had = [] if caller.cancelled() else [caller.result()]
    assert had + undone == ["result"]


# -- the deadline ---------------------------------------------------------------------------------


async def test_after_the_deadline_the_cancellation_is_raised_and_the_work_goes_on() -> None:
    work = Work("late")
    undone: list[object] = []
    cleanups = Cleanups()
    caller = asyncio.ensure_future(cleanups.finish(work.run(), undo=undone.append, deadline=0.05))
    await work.begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(caller, 30)
    assert not work.ended
    assert undone == []
    work.go.set()
    await cleanups.join()
    await turns()
    assert work.ended
    assert not work.interrupted
    assert undone == ["late"]


async def test_more_cancellations_do_not_put_the_deadline_off() -> None:
    work = Work()
    cleanups = Cleanups()
    caller = asyncio.ensure_future(cleanups.finish(work.run(), deadline=0.3))
    await work.begun.wait()
    begin = time.monotonic()
    while not caller.done() and time.monotonic() - begin < 30:
        caller.cancel()
        await asyncio.sleep(0.02)
    assert caller.cancelled()
    work.go.set()
    await cleanups.join()


async def test_the_deadline_counts_from_the_cancellation_on() -> None:
    work = Work("in time")
    caller = asyncio.ensure_future(Cleanups().finish(work.run(), deadline=0.01))
    await asyncio.sleep(0.1)
    assert not caller.done()  # nobody is waiting for a cancellation: work may take what it takes
    work.go.set()
    assert await caller == "in time"


async def test_an_error_after_the_deadline_is_no_complaint() -> None:
    complaints = listen()
    work = Work(error=ZeroDivisionError())
    cleanups = Cleanups()
    caller = asyncio.ensure_future(cleanups.finish(work.run(), deadline=0.01))
    await work.begun.wait()
    caller.cancel()
    await asyncio.wait([caller])
    work.go.set()
    await cleanups.join()
    del work, caller
    await turns()
    gc.collect()
    await turns()
    assert complaints == []


# -- join -----------------------------------------------------------------------------------------


async def test_join_waits_for_all_and_for_what_they_start() -> None:
    cleanups = Cleanups()
    order: list[str] = []

    async def inner() -> None:
        await turns()
        order.append("inner")

    async def outer() -> None:
        await turns()
        cleanups.start(inner())
        order.append("outer")

    cleanups.start(outer())
    cleanups.start(outer())
    await cleanups.join()
    assert sorted(order) == ["inner", "inner", "outer", "outer"]
    await cleanups.join()  # nothing left: at once


async def test_join_waits_for_work_whose_caller_waits_too() -> None:
    work = Work()
    cleanups = Cleanups()
    caller = asyncio.ensure_future(cleanups.finish(work.run()))
    await work.begun.wait()
    joining = asyncio.ensure_future(cleanups.join())
    await turns()
    assert not joining.done()
    work.go.set()
    await joining
    assert await caller == "result"


async def test_join_leaves_errors_to_whoever_started_the_work() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    cleanups = Cleanups()
    task = cleanups.start(fail())
    await cleanups.join()
    assert isinstance(task.exception(), ZeroDivisionError)


def test_join_does_not_wait_for_another_loop() -> None:
    """Waiting for a task of another loop is an error of asyncio, and for a dead one for ever."""
    cleanups = Cleanups()
    other = asyncio.new_event_loop()
    try:
        other.run_until_complete(_begin_something(cleanups))
        asyncio.run(asyncio.wait_for(cleanups.join(), 30))
    finally:
        other.run_until_complete(_cancel_all())
        other.close()


async def _begin_something(cleanups: Cleanups) -> None:
    cleanups.start(asyncio.sleep(3600))
    await turns()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


# -- memory ---------------------------------------------------------------------------------------


async def test_work_under_way_is_not_collected() -> None:
    """The loop holds a task weakly, so work that only waits for itself would be garbage."""
    waiting: list[weakref.ref[asyncio.Future[None]]] = []
    done: list[str] = []

    async def work() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(weakref.ref(future))
        await future
        done.append("work")

    cleanups = Cleanups()
    cleanups.start(work())
    await turns()
    gc.collect()
    future = waiting[0]()
    assert future is not None
    future.set_result(None)
    del future
    await cleanups.join()
    assert done == ["work"]


async def test_work_that_ended_is_forgotten() -> None:
    class Result:
        pass

    async def work() -> Result:
        return Result()

    async def fail() -> Result:
        raise ZeroDivisionError

    cleanups = Cleanups()
    result: weakref.ref[Any] = weakref.ref(await cleanups.finish(work()))
    starts: list[Callable[[], Any]] = [work, fail]
    for start in starts:
        task = cleanups.start(start())
        await cleanups.join()
        task.exception()
        await turns()
        forgotten: weakref.ref[Any] = weakref.ref(task)
        del task
        gc.collect()
        assert forgotten() is None
    assert result() is None
