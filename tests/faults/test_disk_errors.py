"""A disk that refuses is named by a typed error; the old file stays, and nothing else does."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aiostow import Storage, StorageFullError
from aiostow._disk import features
from aiostow.backends.local import LocalDriver
from aiostow.testing import pattern

from ._kill_child import (
    NAME,
    OLD,
    SIZES,
    SYSTEMS,
    Bench,
    Call,
    Children,
    Failure,
    Operation,
    Outcome,
    descriptors,
    files_below,
    mounted,
)

pytestmark = pytest.mark.anyio

OPERATIONS = {
    "create": Operation("open", over=False),
    "overwrite": Operation("open", over=True),
    "create-only": Operation("create", over=False),
    "copy": Operation("copy", over=False),
    "copy over": Operation("copy", over=True),
}
ALL = {
    **OPERATIONS,
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


def check_named(error: Failure, operation: Operation, kind: str, code: int | None) -> None:
    """Check that an error says what happened, and to whom."""
    assert error.kind == kind
    assert error.errno == code
    assert error.operation == ("open" if operation.do in ("open", "create") else operation.do)
    assert error.key == operation.key
    assert error.storage == NAME
    assert repr(operation.key) in error.text
    assert NAME in error.text


async def check_refused(
    bench: Bench, operation: Operation, outcome: Outcome, kind: str, code: int | None
) -> None:
    """Check that nothing happened but the error."""
    assert outcome.status == 0
    assert outcome.error is not None
    check_named(outcome.error, operation, kind, code)
    assert outcome.leaked_later == []
    before = operation.states(bench.content)[0]
    assert files_below(bench.root) == set(before)
    assert await bench.check(operation) == 0


# -- a full disk -----------------------------------------------------------------------------------


@dataclass
class Full:
    """A storage on a disk of 8 MiB."""

    storage: Storage
    root: Path

    def free(self) -> int:
        state = os.statvfs(self.root)
        return state.f_bavail * state.f_frsize

    def fill(self, left: int) -> None:
        (self.root / "filler").write_bytes(bytes(self.free() - left))


@pytest.fixture(params=SYSTEMS)
async def full(
    request: pytest.FixtureRequest, need_program: Callable[[str], str], tmp_path: Path
) -> AsyncIterator[Full]:
    need_program("mount")
    root = tmp_path / "full"
    system = dataclasses.replace(features(), **dict.fromkeys(SYSTEMS[request.param], False))
    with mounted(root, "size=8m") as problem:
        if problem is not None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(problem)
        async with Storage(LocalDriver(root, durable=True, system=system), name=NAME) as storage:
            yield Full(storage, root)


async def _open(storage: Storage, mode: str, source: Path) -> None:
    async with storage.open(KEY, mode) as file:
        with source.open("rb") as given:
            while block := given.read(1 << 20):
                await file.write(block)


KEY = "folder/key"
# The first refuses what exists, full disk or not.
WAYS: dict[str, Callable[[Storage, Path], Awaitable[object]]] = {
    "open x": lambda storage, source: _open(storage, "x", source),
    "open": lambda storage, source: _open(storage, "w", source),
    "write_bytes": lambda storage, source: storage.write_bytes(KEY, source.read_bytes()),
    "upload": lambda storage, source: storage.upload(io.BytesIO(source.read_bytes()), KEY),
    "put": lambda storage, source: storage.put(source, KEY),
    "copy": lambda storage, source: storage.copy(source.name, KEY),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("way", "over"), [(way, over) for way in WAYS for over in (True, False)][1:]
)
async def test_a_full_disk_keeps_the_old_file_and_gets_its_space_back(
    full: Full, tmp_path: Path, way: str, over: bool, size: str
) -> None:
    path = full.root / KEY
    path.parent.mkdir()
    if over:
        path.write_bytes(OLD)
    source = (full.root if way == "copy" else tmp_path) / "source"
    # Twice the source of a copy does not fit, but once it has to.
    source.write_bytes(pattern(SIZES[size] if way != "copy" else min(SIZES[size], 5 << 20), 2))
    if size == "one write":
        full.fill(left=10 << 12)
    await full.storage.list()  # now the storage has opened its root, and keeps it
    files, space, opened = files_below(full.root), full.free(), descriptors(1000)

    with pytest.raises(StorageFullError) as caught:
        await WAYS[way](full.storage, source)

    error = caught.value
    assert error.errno == errno.ENOSPC
    assert (error.operation, error.key, error.storage) == (way.split()[0], KEY, NAME)
    assert repr(KEY) in str(error)
    assert descriptors(1000) == opened
    assert files_below(full.root) == files
    assert full.free() == space
    assert path.exists() == over
    if over:
        assert path.read_bytes() == OLD
    # What fits is written, by the same storage.
    await full.storage.write_bytes(KEY, b"small")
    assert path.read_bytes() == b"small"


async def test_a_disk_that_can_hold_no_more_files_is_a_full_disk(
    need_program: Callable[[str], str], tmp_path: Path
) -> None:
    need_program("mount")
    with mounted(tmp_path / "full", "size=8m,nr_inodes=3") as problem:
        if problem is not None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(problem)
        root = tmp_path / "full"
        async with Storage(LocalDriver(root, durable=True), name=NAME) as storage:
            await storage.write_bytes("a", b"a")
            await storage.write_bytes("b", b"b")
            for key in ("c", "new/key"):
                with pytest.raises(StorageFullError) as caught:
                    await storage.write_bytes(key, b"c")
                assert caught.value.key == key
            assert [entry.name for entry in await storage.list()] == ["a", "b"]
        assert files_below(root) == {"a", "b"}


# -- limits of the process -------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_file_larger_than_the_process_may_write_is_refused(
    make_bench: Callable[[int], Bench], name: str, system: str, size: str
) -> None:
    operation = OPERATIONS[name]
    bench = make_bench(SIZES[size])
    bench.prepare(operation)
    # Within the one write, or within the second of the pieces.
    limit = 50_000 if size == "one write" else 6_000_000
    outcome = bench.run(operation, SYSTEMS[system], file_size=limit)
    await check_refused(bench, operation, outcome, "StorageFullError", errno.EFBIG)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", ALL)
async def test_too_many_open_files_are_named_wherever_they_are_met(
    make_bench: Callable[[int], Bench], name: str, system: str, size: str
) -> None:
    operation = ALL[name]
    bench = make_bench(SIZES[size])
    for free in range(20):
        bench.prepare(operation)
        outcome = bench.run(operation, SYSTEMS[system], free=free)
        if outcome.error is None:
            break
        await check_refused(bench, operation, outcome, "ResourceLimitError", errno.EMFILE)
    else:
        pytest.fail("it never worked")
    # At least the root, the directory and (but for a move) the file.
    assert free >= 3
    assert outcome.status == 0
    assert await bench.check(operation) == len(operation.states(bench.content)) - 1


# -- single calls that fail ------------------------------------------------------------------------


def fault(calls: list[Call], name: str, nth: int, code: str) -> str:
    """Return what lets the `nth` of these calls fail; systems differ in what they call it."""
    named = [call for call in calls if call.writes() and re.fullmatch(name, call.name)]
    return f"{named[nth].name}:error={code}:when={named[nth].nth}"


def injected(outcome: Outcome) -> int:
    return sum("(INJECTED)" in call.text for call in outcome.calls)


OPEN, WRITE, COPY, SYNC = "openat", "pwrite.*", "copy_file_range", "fsync"
FAULTS = [
    # A quota is met by a write or, where space is given late, by the sync.
    ("overwrite", WRITE, 0, "EDQUOT", "StorageFullError"),
    ("overwrite", WRITE, -1, "EDQUOT", "StorageFullError"),
    ("overwrite", WRITE, -1, "ENOSPC", "StorageFullError"),
    ("overwrite", SYNC, 0, "EDQUOT", "StorageFullError"),
    ("overwrite", OPEN, 0, "EDQUOT", "StorageFullError"),
    ("copy over", COPY, 0, "EDQUOT", "StorageFullError"),
    ("copy over", COPY, 1, "ENOSPC", "StorageFullError"),
    ("overwrite", WRITE, 0, "EIO", "StorageIOError"),
    ("overwrite", SYNC, 0, "EIO", "StorageIOError"),
    ("copy over", COPY, 0, "EIO", "StorageIOError"),
    ("copy over", SYNC, 0, "EIO", "StorageIOError"),
    ("overwrite", "openat2", 0, "EACCES", "PermissionDeniedError"),
    ("copy over", "openat2", 0, "EACCES", "PermissionDeniedError"),
    ("copy over", "openat2", 1, "EACCES", "PermissionDeniedError"),
    ("move over", "openat2", 1, "EACCES", "PermissionDeniedError"),
    ("overwrite", OPEN, 0, "EACCES", "PermissionDeniedError"),
    ("overwrite", OPEN, 0, "EROFS", "PermissionDeniedError"),
    ("overwrite", "rename.*", 0, "EACCES", "PermissionDeniedError"),
    ("move over", "rename.*", 0, "EACCES", "PermissionDeniedError"),
    ("overwrite", OPEN, 0, "ENFILE", "ResourceLimitError"),
    ("overwrite", WRITE, -1, "ENOMEM", "ResourceLimitError"),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("system", ["all features", "no unnamed files"])
@pytest.mark.parametrize(("name", "call", "nth", "code", "kind"), FAULTS)
async def test_a_call_that_fails_is_named_and_the_old_file_stays(
    make_bench: Callable[[int], Bench],
    name: str,
    call: str,
    nth: int,
    code: str,
    kind: str,
    system: str,
    size: str,
) -> None:
    operation = ALL[name]
    bench = make_bench(SIZES[size])
    inject = fault(bench.count(operation, SYSTEMS[system]), call, nth, code)
    bench.prepare(operation)
    outcome = bench.run(operation, SYSTEMS[system], inject)
    assert injected(outcome) == 1
    await check_refused(bench, operation, outcome, kind, getattr(errno, code))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", ALL)
async def test_a_directory_that_cannot_be_synced_makes_the_write_ambiguous(
    make_bench: Callable[[int], Bench], name: str, system: str, size: str
) -> None:
    operation = ALL[name]
    bench = make_bench(SIZES[size])
    inject = fault(bench.count(operation, SYSTEMS[system]), SYNC, -1, "EIO")
    bench.prepare(operation)
    outcome = bench.run(operation, SYSTEMS[system], inject)
    assert injected(outcome) == 1
    assert outcome.error is not None
    check_named(outcome.error, operation, "AmbiguousWriteError", None)
    assert outcome.leaked_later == []
    # Only a power cut could still undo it.
    after = operation.states(bench.content)[-1]
    assert files_below(bench.root) == set(after)
    assert await bench.check(operation) == len(operation.states(bench.content)) - 1


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", ALL)
async def test_whichever_call_fails_nothing_happened_unless_the_error_is_ambiguous(
    make_bench: Callable[[int], Bench], name: str, system: str
) -> None:
    operation = ALL[name]
    bench = make_bench(SIZES["one write"])
    calls = bench.count(operation, SYSTEMS[system])
    wrong = []
    for call in calls:
        bench.prepare(operation)
        outcome = bench.run(operation, SYSTEMS[system], f"{call.name}:error=EIO:when={call.nth}")
        assert injected(outcome) == 1
        left = files_below(bench.root)
        state = await bench.check(operation)
        try:
            assert outcome.status == 0
            assert outcome.leaked_later == []
            if call.name.startswith("unlink"):
                # A name that cannot be removed is left to a sweep, and is no failure to write.
                assert outcome.error is None or outcome.error.kind == "AmbiguousWriteError"
                continue
            assert left == set(operation.states(bench.content)[state])
            assert outcome.error is not None
            if state == 0 and outcome.error.kind != "AmbiguousWriteError":
                check_named(outcome.error, operation, "StorageIOError", errno.EIO)
            else:
                check_named(outcome.error, operation, "AmbiguousWriteError", None)
        except AssertionError as exc:
            wrong.append(f"{call.name} {call.nth}, now in state {state}: {outcome.error}\n{exc}")
    assert not wrong, "\n".join(wrong)
    assert len(calls) >= 5


@pytest.mark.parametrize("code", ["EIO", "EACCES", "EPERM"])
async def test_a_temporary_name_that_cannot_be_removed_is_no_failure_to_write(
    make_bench: Callable[[int], Bench], code: str
) -> None:
    # Linked to its own name, the file is there.
    operation, system = ALL["create-only"], SYSTEMS["no unnamed files"]
    bench = make_bench(SIZES["one write"])
    inject = fault(bench.count(operation, system), "unlink.*", 0, code)
    bench.prepare(operation)
    outcome = bench.run(operation, system, inject)
    assert injected(outcome) == 1
    assert outcome.status == 0
    assert outcome.error is None or outcome.error.kind == "AmbiguousWriteError"
    assert outcome.leaked_later == []
    assert await bench.check(operation) == 1


@pytest.mark.parametrize("call", [OPEN, WRITE, SYNC, "rename.*"])
@pytest.mark.parametrize("system", SYSTEMS)
async def test_an_error_that_its_caller_keeps_holds_no_descriptor(
    make_bench: Callable[[int], Bench], system: str, call: str
) -> None:
    # As a gathering of errors does; and after EMFILE every descriptor counts.
    operation = ALL["overwrite"]
    bench = make_bench(SIZES["one write"])
    inject = fault(bench.count(operation, SYSTEMS[system]), call, 0, "EIO")
    bench.prepare(operation)
    outcome = bench.run(operation, SYSTEMS[system], inject)
    assert outcome.error is not None
    assert outcome.leaked == []
