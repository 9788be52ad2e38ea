"""The budget: a count that is right whoever counts, and never waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aiostow._budget import Budget


def test_bytes_are_taken_while_they_are_free() -> None:
    budget = Budget(100)
    assert budget.total == 100
    assert budget.try_take(60)
    assert not budget.try_take(41)
    assert budget.used == 60
    assert budget.try_take(40)
    assert budget.used == 100
    assert not budget.try_take(1)
    assert budget.try_take(0)
    budget.give(1)
    assert budget.try_take(1)


def test_who_must_go_on_takes_what_is_not_there_and_nobody_else_does() -> None:
    budget = Budget(100)
    budget.take(150)
    assert budget.used == 150
    assert not budget.try_take(0)
    budget.give(50)
    assert not budget.try_take(1)
    budget.give(1)
    assert budget.try_take(1)


@settings(deadline=None)
@given(
    st.integers(0, 100),
    st.lists(st.tuples(st.sampled_from(["try_take", "take", "give"]), st.integers(0, 60))),
)
def test_it_counts_as_a_list_of_what_is_held(total: int, steps: list[tuple[str, int]]) -> None:
    budget = Budget(total)
    held: list[int] = []
    for step, size in steps:
        if step == "try_take":
            free = sum(held) + size <= total
            assert budget.try_take(size) is free
            if free:
                held.append(size)
        elif step == "take":
            budget.take(size)
            held.append(size)
        elif held:
            budget.give(held.pop())
        assert budget.used == sum(held)


class Slow(int):
    """A number that lets other threads in while it is being added or subtracted."""

    def __radd__(self, other: int) -> int:
        time.sleep(0.002)
        return int(other) + int(self)

    def __rsub__(self, other: int) -> int:
        time.sleep(0.002)
        return int(other) - int(self)


THREADS = 8


def together(call: Callable[[], Any]) -> list[Any]:
    """Call in several threads at the same time, and return the results."""
    barrier = Barrier(THREADS)

    def work() -> Any:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(THREADS) as pool:
        return [future.result() for future in [pool.submit(work) for _ in range(THREADS)]]


def test_threads_never_take_more_than_there_is() -> None:
    budget = Budget(3)
    results = together(lambda: budget.try_take(Slow(1)))
    assert results.count(True) == 3
    assert budget.used == 3


def test_no_byte_is_lost_between_threads() -> None:
    budget = Budget(1000)
    together(lambda: budget.take(Slow(5)))
    assert budget.used == THREADS * 5
    together(lambda: budget.give(Slow(5)))
    assert budget.used == 0
