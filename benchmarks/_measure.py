"""Interleaved runs, medians and ratios."""

from __future__ import annotations

import asyncio
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROUNDS = 5


@dataclass(frozen=True)
class Target:
    """How many times faster ours must be than a peer: the peer's time over ours."""

    peer: str
    ratio: float


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        title: what is done.
        amount: how much of `unit` one run does.
        unit: such as MiB or files.
        runs: what each contender does; the first is ours.
        targets: what was promised.
        rounds: how many runs of each.
        between: called after each run, for what must not run into the next.
    """

    title: str
    amount: float
    unit: str
    runs: dict[str, Callable[[], Awaitable[object]]]
    targets: tuple[Target, ...] = ()
    rounds: int = ROUNDS
    between: Callable[[], object] = lambda: None


def chosen(cases: Iterable[Case]) -> Iterator[Case]:
    """Leave out the cases that ``BENCH_CASE``, part of a title, does not name."""
    wanted = os.environ.get("BENCH_CASE", "")
    return (case for case in cases if wanted in case.title)


async def drain(chunks: Any, size: int) -> None:
    """Take in and count what comes."""
    total = 0
    async for chunk in chunks:
        total += len(chunk)
    assert total == size, total


async def together(call: Callable[[int], Awaitable[object]], calls: int, flight: int) -> None:
    """Make numbered calls, so many in flight."""
    numbers = iter(range(calls))

    async def work() -> None:
        for number in numbers:
            await call(number)

    await asyncio.gather(*(work() for _ in range(flight)))


def workplace() -> tempfile.TemporaryDirectory[str]:
    """Return a fresh folder, on a tmpfs where there is one."""
    base = Path("/dev/shm")
    return tempfile.TemporaryDirectory(
        dir=base if os.access(base, os.W_OK) else None, prefix="aiostow-bench-"
    )


def about(*packages: str) -> str:
    """Return machine and versions, for the head of a table."""
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} missing")
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, {', '.join(versions)}"
    )


async def measure(case: Case) -> None:
    """Run a case and print its rows, as Markdown."""
    times: dict[str, list[float]] = {name: [] for name in case.runs}
    busy: dict[str, list[float]] = {name: [] for name in case.runs}
    for run in case.runs.values():
        await run()  # once for the caches of the system and of each contender
        case.between()
    for _ in range(case.rounds):
        order = list(case.runs)
        random.shuffle(order)
        for name in order:
            begin, worked = time.perf_counter(), time.process_time()
            await case.runs[name]()
            times[name].append(time.perf_counter() - begin)
            busy[name].append(time.process_time() - worked)
            await asyncio.sleep(0)
            case.between()
    medians = {name: statistics.median(values) for name, values in times.items()}
    ours = next(iter(medians.values()))
    targets = {target.peer: target.ratio for target in case.targets}
    print(f"\n{case.title}\n")
    print(f"| | {case.unit}/s | own CPU, µs/{case.unit} | ours is | target | |")
    print("|---|---|---|---|---|---|")
    for name, median in medians.items():
        ratio = median / ours
        cpu = statistics.median(busy[name]) / case.amount * 1e6
        row = f"| {name} | {case.amount / median:,.0f} | {cpu:,.0f} | "
        if median is not ours:
            row += f"{ratio:.2f}x"
        if name in targets:
            met = "met" if ratio >= targets[name] else "MISSED"
            row += f" | {targets[name]}x | {met} |"
        else:
            row += " | | |"
        print(row, flush=True)
