"""A writer killed at any of its system calls leaves every key whole, and nothing that stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ._kill_child import SIZES, SYSTEMS, Bench, Call, Children, Operation, mounted

pytestmark = pytest.mark.anyio

KILLED = -9
OPERATIONS = {
    "create": Operation("open", over=False),
    "overwrite": Operation("open", over=True),
    "create-only": Operation("create", over=False),
    "create-only refused": Operation("create", over=True),
    "copy": Operation("copy", over=False),
    "copy over": Operation("copy", over=True),
    "move": Operation("move", over=False),
    "move over": Operation("move", over=True),
}


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    children = Children()
    yield children
    children.close()


@pytest.fixture
def make_bench(
    need_program: Callable[[str], str], children: Children, tmp_path: Path
) -> Iterator[Callable[[int], Bench]]:
    strace = need_program("strace")
    made: list[Bench] = []

    def make(size: int) -> Bench:
        made.append(Bench(children, strace, tmp_path, size))
        return made[-1]

    yield make
    for bench in made:
        bench.clear()


async def kill_everywhere(
    bench: Bench, operation: Operation, without: Sequence[str]
) -> tuple[list[Call], list[int]]:
    """Kill the operation at each of its calls; return those and the states that were left."""
    counted = bench.count(operation, without)
    assert await bench.check(operation) == len(operation.states(bench.content)) - 1
    killed, left = [], []
    for at, call in enumerate(counted):
        if not call.writes():
            continue
        bench.prepare(operation)
        # The kill comes before the call does anything.
        outcome = bench.run(operation, without, f"{call.name}:signal=KILL:when={call.nth}")
        assert outcome.status == KILLED
        # It was hit where it was meant to be, and the calls before it were the same. The one that
        # was killed may be told twice.
        names = [c.name for c in outcome.calls[: at + 1]]
        assert names == [c.name for c in counted[: at + 1]]
        left.append(await bench.check(operation))
        killed.append(call)
    assert left == sorted(left)
    return killed, left


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_kill_at_any_system_call_leaves_the_old_or_the_new_content(
    make_bench: Callable[[int], Bench], name: str, system: str, size: str
) -> None:
    operation = OPERATIONS[name]
    bench = make_bench(SIZES[size])
    killed, left = await kill_everywhere(bench, operation, SYSTEMS[system])
    names = [call.name for call in killed]
    # Kills before and after the one call that makes the change; a rename never shows both keys.
    assert set(left) == {0, len(operation.states(bench.content)) - 1}
    if operation.do == "move":
        assert len(names) >= 3
        return
    assert len(names) >= 5
    assert "fsync" in names
    if operation.do != "copy":
        pieces = [name for name in names if name.startswith("pwrite")]
        assert len(pieces) == (1 if size == "one write" else 3)
    elif "copy_range" not in SYSTEMS[system]:
        assert "copy_file_range" in names


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", ["create", "overwrite", "create-only"])
async def test_a_kill_while_several_threads_write_leaves_the_old_or_the_new_content(
    make_bench: Callable[[int], Bench], name: str, system: str
) -> None:
    operation = OPERATIONS[name]
    bench = make_bench(SIZES["pieces"])
    names = {call.name for call in bench.count(operation, SYSTEMS[system]) if call.writes()}
    kills = 0
    for call in sorted(names):
        # Which thread makes which call is chance: the nth of any, until none makes so many.
        nth, status = 0, KILLED
        while status == KILLED:
            nth += 1
            bench.prepare(operation)
            inject = f"{call}:signal=KILL:when={nth}"
            status = bench.run(operation, SYSTEMS[system], inject, workers=4).status
            await bench.check(operation)
        assert status == 0
        assert nth > 1
        kills += nth - 1
    assert kills >= 6


@pytest.fixture
def other_disk(need_program: Callable[[str], str], tmp_path: Path) -> Iterator[str]:
    """Return the name of a directory of the root that is another file system."""
    need_program("mount")
    with mounted(tmp_path / "disk" / "root" / "other", "size=64m") as problem:
        if problem is not None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(problem)
        yield "other"


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("over", [False, True])
async def test_a_kill_while_moving_to_another_file_system_leaves_the_content_under_a_key(
    make_bench: Callable[[int], Bench], other_disk: str, over: bool, system: str
) -> None:
    bench = make_bench(SIZES["one write"])
    operation = Operation("move", over, f"{other_disk}/key")
    killed, left = await kill_everywhere(bench, operation, SYSTEMS[system])
    # There, then gone here: in between it is under both keys.
    assert {0, 1} <= set(left)
    assert any(call.name.startswith("unlink") for call in killed)
