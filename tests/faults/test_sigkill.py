"""A writer killed at any of its system calls leaves every key whole, and nothing that stays."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aiostow import LocalFSStorage
from aiostow.keys import TEMP_PREFIX

pytestmark = pytest.mark.anyio

CHILD = Path(__file__).with_name("_kill_child.py")
SIGKILL = -9

# A question mark: not every architecture has the call.
WRITING = (
    "openat", "openat2", "write", "writev", "pwrite64", "pwritev", "?pwritev2", "copy_file_range",
    "sendfile", "ftruncate", "fallocate", "fchmod", "flock", "fsync", "fdatasync", "?link",
    "linkat", "?rename", "?renameat", "renameat2", "?unlink", "unlinkat", "?mkdir", "mkdirat",
)  # fmt: skip

SOURCE = "source"
OLD = random.Random(1).randbytes(300_001)
SIZES = {"one write": 70_001, "pieces": (9 << 20) + 1}  # pieces are of 4 MiB

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Operation:
    """What is there before, and what is done; `move` and `copy` go from SOURCE to `key`."""

    do: str
    over: bool  # whether `key` exists before
    key: str = "folder/key"

    def states(self, content: bytes) -> list[Files]:
        """Return what may be there after a kill: first the beginning, last the end."""
        old: Files = {self.key: OLD} if self.over else {}
        new: Files = {self.key: content}
        source: Files = {SOURCE: content}
        match self.do:
            case "open":
                return [old, new]
            case "create":
                return [old] if self.over else [old, new]
            case "copy":
                return [{**source, **old}, {**source, **new}]
            case _:
                return [{**source, **old}, {**source, **new}, new]


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
SYSTEMS: dict[str, Sequence[str]] = {
    "all features": (),
    "no unnamed files": ("tmpfile",),
    "few features": ("tmpfile", "openat2", "links", "copy_range"),
}


@dataclass(frozen=True)
class Call:
    """One system call: the `nth` of its name in its thread, as strace counts."""

    thread: str
    name: str
    nth: int
    text: str

    def writes(self) -> bool:
        """Whether it is one to be killed at."""
        return self.name != "openat" or re.search(r"O_CREAT|O_TMPFILE", self.text) is not None


def parse(log: str) -> list[Call]:
    calls: list[Call] = []
    for line in log.splitlines():
        match = re.match(r"(\d+) +(\w+)\((.*)", line)
        if match is not None:
            thread, name, text = match.groups()
            before = [call for call in calls if (call.thread, call.name) == (thread, name)]
            calls.append(Call(thread, name, len(before) + 1, text))
    return calls


class Bench:
    """Runs operations under strace, each in a tree of its own.

    Args:
        strace: the program.
        path: of a directory to work in.
        size: of what is written.
    """

    def __init__(self, strace: str, path: Path, size: int) -> None:
        self._strace = strace
        self._log = path / "log"
        self._content_path = path / "content"
        self.content = random.Random(2).randbytes(size)
        self._content_path.write_bytes(self.content)
        # Not there yet, nor its parent: the first write makes them.
        self.root = path / "disk" / "root"
        self._child = subprocess.Popen(
            [sys.executable, CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        self._child.communicate()

    def clear(self) -> None:
        shutil.rmtree(self.root.parent, ignore_errors=True)

    def prepare(self, operation: Operation) -> None:
        self.clear()
        for key, content in operation.states(self.content)[0].items():
            path = self.root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def run(
        self,
        operation: Operation,
        without: Sequence[str],
        kill: tuple[str, int] | None,
        *,
        workers: int = 1,
    ) -> tuple[int, list[Call]]:
        """Do the operation; return the exit status and the calls of the threads that write."""
        command = [self._strace, "-f", "-o", str(self._log), "-e", f"trace={','.join(WRITING)}"]
        if kill is not None:
            command += ["-e", f"inject={kill[0]}:signal=KILL:when={kill[1]}"]
        transfer = operation.do in ("copy", "move")
        task = {
            "do": operation.do, "root": str(self.root),
            "key": SOURCE if transfer else operation.key, "new_key": operation.key,
            "content": str(self._content_path), "without": list(without),
            "workers": workers, "strace": command, "file_size": None, "free": None,
        }  # fmt: skip
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(task) + "\n")
        self._child.stdin.flush()
        outcome: dict[str, Any] = json.loads(self._child.stdout.readline())
        report = outcome["report"]
        error = None if report is None else report["error"]
        if error is not None:
            assert operation == OPERATIONS["create-only refused"]
            assert error["type"] == "FileExistsInStorageError"
        calls = parse(self._log.read_text())
        # The last look of the child at its descriptors is not of the operation.
        return outcome["status"], [call for call in calls if _path(call) != "/proc/self/fd"]

    def count(self, operation: Operation, without: Sequence[str]) -> list[Call]:
        """Return all calls of an operation with one worker, which come in the same order ever."""
        self.prepare(operation)
        status, calls = self.run(operation, without, None)
        assert status == 0
        # Else a kill might hit a thread that has made as many calls of this name already.
        assert len({call.thread for call in calls}) == 1
        return calls

    async def check(self, operation: Operation) -> int:
        """Check what a killed operation left; return which of the states it is."""
        states = operation.states(self.content)
        async with LocalFSStorage(self.root) as storage:
            found = await _contents(storage)
            assert found in states
            await storage.sweep(timedelta(0))
            assert await _contents(storage) == found
        # Neither temporary files nor anything else that no listing shows.
        assert _files(self.root) == set(found)
        return states.index(found)


def _path(call: Call) -> str | None:
    match = re.match(r'AT_FDCWD, "([^"]*)"', call.text)
    return match.group(1) if match is not None and call.name == "openat" else None


async def _contents(storage: LocalFSStorage) -> dict[str, bytes]:
    entries = await storage.list()
    assert not [entry.name for entry in entries if TEMP_PREFIX in entry.name]
    contents = {entry.name: await storage.read_bytes(entry.name) for entry in entries}
    assert [entry.size for entry in entries] == [len(content) for content in contents.values()]
    return contents


def _files(root: Path) -> set[str]:
    return {
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, names in os.walk(root)
        for name in names
    }


@pytest.fixture
def make_bench(
    need_program: Callable[[str], str], tmp_path: Path
) -> Iterator[Callable[[int], Bench]]:
    strace = need_program("strace")
    made: list[Bench] = []

    def make(size: int) -> Bench:
        made.append(Bench(strace, tmp_path, size))
        return made[-1]

    yield make
    for bench in made:
        bench.close()
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
        status, calls = bench.run(operation, without, (call.name, call.nth))
        assert status == SIGKILL
        # It was hit where it was meant to be, and the calls before it were the same.
        assert [c.name for c in calls] == [c.name for c in counted[: at + 1]]
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
    pieces = sum(name.startswith("pwrite") for name in names)
    if operation.do != "copy":
        assert pieces == (1 if size == "one write" else 3)
    elif "copy_range" not in SYSTEMS[system]:
        assert "copy_file_range" in names


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", ["create", "overwrite", "create-only"])
async def test_a_kill_while_several_threads_write_leaves_the_old_or_the_new_content(
    make_bench: Callable[[int], Bench], name: str, system: str
) -> None:
    operation = OPERATIONS[name]
    bench = make_bench(SIZES["pieces"])
    kills = 0
    # Which thread makes which call is chance: the nth of any thread, until none makes so many.
    names = {call.name for call in bench.count(operation, SYSTEMS[system]) if call.writes()}
    for call in sorted(names):
        for nth in range(1, 100):
            bench.prepare(operation)
            status, _ = bench.run(operation, SYSTEMS[system], (call, nth), workers=4)
            await bench.check(operation)
            if status == 0:
                break
            assert status == SIGKILL
            kills += 1
        assert nth > 1
    assert kills >= 6


@pytest.fixture
def mounted(need_program: Callable[[str], str], tmp_path: Path) -> Iterator[Path]:
    """Return the path of another file system."""
    path = tmp_path / "disk" / "root" / "mounted"
    path.mkdir(parents=True)
    mount = [need_program("mount"), "-t", "tmpfs", "-o", "size=64m", "none", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        message = f"no file system can be mounted here: {done.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    yield path
    subprocess.run([need_program("umount"), str(path)], check=True)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("over", [False, True])
async def test_a_kill_while_moving_to_another_file_system_leaves_the_content_under_a_key(
    make_bench: Callable[[int], Bench], mounted: Path, over: bool, system: str
) -> None:
    bench = make_bench(SIZES["one write"])
    operation = Operation("move", over, f"{mounted.name}/key")
    killed, left = await kill_everywhere(bench, operation, SYSTEMS[system])
    # There, then gone here: in between it is under both keys.
    assert {0, 1} <= set(left)
    assert any(call.name.startswith("unlink") for call in killed)
