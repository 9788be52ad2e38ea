"""Jobs at once, and alone."""

from __future__ import annotations

import asyncio

import pytest

from aiostow.trees._crew import Crew
from aiostow.trees._width import Width

pytestmark = pytest.mark.anyio


class Jobs:
    """Jobs that run until they are let go, and tell what else is going on."""

    def __init__(self, most: int = 8) -> None:
        self.crew = Crew(Width(most), 1 << 30)
        self.running: set[str] = set()
        self.beside: dict[str, set[str]] = {}  # what was running when one was alone
        self.company: dict[str, bool] = {}
        self.gates: dict[str, asyncio.Event] = {}

    async def start(self, name: str, *, alone: bool = False) -> None:
        self.gates[name] = asyncio.Event()

        async def part() -> None:
            self.beside[name] = set(self.running)
            self.running.add(name)
            await asyncio.sleep(0.01)
            assert self.running == {name}

        async def job() -> None:
            self.running.add(name)
            await self.gates[name].wait()
            self.company[name] = self.crew.had_company
            if alone:
                self.running.discard(name)  # it waits, and does nothing
                await self.crew.alone(part)
            self.running.discard(name)

        await self.crew.start(job, 1)


async def test_one_that_is_alone_waits_for_all_others_and_holds_up_the_next() -> None:
    jobs = Jobs()
    for name in "abc":
        await jobs.start(name, alone=name in "ab")
    for name in "ab":
        jobs.gates[name].set()
    await asyncio.sleep(0.02)
    assert jobs.beside == {}, "before c has ended"
    later = asyncio.create_task(jobs.start("d"))
    await asyncio.sleep(0.02)
    assert jobs.running == {"c"}
    jobs.gates["c"].set()
    await later
    assert jobs.beside == {"a": set(), "b": set()}
    jobs.gates["d"].set()
    await jobs.crew.finish()
    assert jobs.company.keys() == set("abcd")
    assert all(jobs.company[name] for name in "abc")


async def test_several_that_come_one_after_another_do_not_wait_for_each_other() -> None:
    jobs = Jobs()
    for name in "abc":
        await jobs.start(name, alone=True)
    for name in "abc":
        jobs.gates[name].set()
        await asyncio.sleep(0.01)
    await asyncio.wait_for(jobs.crew.finish(), 5)
    assert jobs.beside == {"a": set(), "b": set(), "c": set()}


async def test_company_counts_when_it_came_later_or_has_gone() -> None:
    jobs = Jobs()
    await jobs.start("a")
    await jobs.start("b")
    jobs.gates["b"].set()
    await asyncio.sleep(0.01)
    jobs.gates["a"].set()
    await jobs.crew.finish()
    assert jobs.company == {"a": True, "b": True}
    await jobs.start("c")
    jobs.gates["c"].set()
    await jobs.crew.finish()
    assert not jobs.company["c"]


async def test_what_fails_alone_lets_the_others_go_on() -> None:
    crew = Crew(Width(4), 1 << 30)
    done: list[str] = []

    async def fails() -> None:
        async def part() -> None:
            raise ValueError("alone")

        with pytest.raises(ValueError, match="alone"):
            await crew.alone(part)

    async def works() -> None:
        done.append("next")

    await crew.start(fails, 1)
    await crew.start(works, 1)
    await crew.finish()
    assert done == ["next"]


async def test_a_job_that_a_stranger_cancels_ends_the_run() -> None:
    jobs = Jobs()
    await jobs.start("a")
    (task,) = jobs.crew._tasks
    task.cancel()
    with pytest.raises(asyncio.CancelledError, match="a job was cancelled"):
        await jobs.crew.finish()


async def test_cancelling_waits_for_all_also_when_it_is_cancelled_itself() -> None:
    crew = Crew(Width(4), 1 << 30)
    ended: list[int] = []

    async def job() -> None:
        try:
            await asyncio.sleep(5)
        finally:
            await asyncio.sleep(0.05)
            ended.append(1)

    await crew.start(job, 1)
    await crew.start(job, 1)
    await asyncio.sleep(0)
    cancelling = asyncio.create_task(crew.cancel())
    for _ in range(3):
        await asyncio.sleep(0.01)
        cancelling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelling
    assert ended == [1, 1]


async def test_one_that_waits_to_be_alone_can_be_cancelled() -> None:
    jobs = Jobs()
    await jobs.start("a", alone=True)
    await jobs.start("b")
    jobs.gates["a"].set()
    await asyncio.sleep(0.01)
    await asyncio.wait_for(jobs.crew.cancel(), 5)
    assert jobs.beside == {}
