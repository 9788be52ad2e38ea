"""Operations of a local storage, each in a forked child that strace may kill or let fail.

A task is a line of JSON on the script's stdin, its outcome a line of JSON on stdout. Forking from
a process that has imported everything makes a task cost milliseconds; and strace, which is attached
when the child is ready, sees the operation and nothing else.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401  # else imported within the operation
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiostow import LocalFSStorage, Storage, StorageError
from aiostow._disk import features
from aiostow._threads import Threads
from aiostow.backends.local import LocalDriver
from aiostow.keys import TEMP_PREFIX
from aiostow.testing import pattern

NAME = "disk"  # of the storage
SOURCE = "from/source"  # the key that is copied or moved
OLD = pattern(300_001, 1)  # what is overwritten
SIZES = {"one write": 70_001, "pieces": (9 << 20) + 1}  # pieces are of 4 MiB
SYSTEMS: dict[str, Sequence[str]] = {
    "all features": (),
    "no unnamed files": ("tmpfile",),
    "few features": ("tmpfile", "openat2", "links", "copy_range"),
}

# A question mark: not every architecture has the call.
_WRITING = (
    "openat", "openat2", "write", "writev", "pwrite64", "pwritev", "?pwritev2", "copy_file_range",
    "sendfile", "ftruncate", "fallocate", "fchmod", "flock", "fsync", "fdatasync", "?link",
    "linkat", "?rename", "?renameat", "renameat2", "?unlink", "unlinkat", "?mkdir", "mkdirat",
)  # fmt: skip
_PR_SET_PTRACER = 0x59616D61
_PATIENCE = 60  # seconds for one task; then an alarm ends what hangs
_BLOCK = 1 << 20

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Operation:
    """What is there before, and what is done: move and copy go from SOURCE to `key`."""

    do: str  # open (mode "w"), create (mode "x"), copy or move
    over: bool  # whether `key` exists before
    key: str = "folder/key"

    def states(self, content: bytes) -> list[Files]:
        """Return what may be there when it was cut short: first the beginning, last the end."""
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


@dataclass(frozen=True)
class Call:
    """One system call: the `nth` of its name in its thread, as strace counts."""

    thread: str
    name: str
    nth: int
    text: str

    def writes(self) -> bool:
        """Whether it may change the disk, or prepares to."""
        return self.name != "openat" or re.search(r"O_CREAT|O_TMPFILE", self.text) is not None


@dataclass(frozen=True)
class Failure:
    """An error of the library, as its caller saw it."""

    kind: str
    errno: int | None
    operation: str | None
    key: str | None
    storage: str | None
    text: str


@dataclass(frozen=True)
class Outcome:
    """What became of an operation."""

    status: int  # negative: the signal
    error: Failure | None
    leaked: list[str]  # open while the error is held by its caller
    leaked_later: list[str]  # open when it is not
    calls: list[Call]


@dataclass(frozen=True)
class Task:
    """What the child is to do."""

    root: str
    do: str
    key: str
    new_key: str
    content: str  # path of a file that holds what is written
    strace: list[str] = field(default_factory=list)  # without the process; empty for none
    without: Sequence[str] = ()  # fields of Features that are taken away
    workers: int = 1
    file_size: int | None = None  # the greatest that a file may get
    free: int | None = None  # how many descriptors can still be opened


# -- the tests' side -------------------------------------------------------------------------------


class Children:
    """The script below, which makes a child for each task."""

    def __init__(self) -> None:
        self._script = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do(self, task: Task) -> dict[str, Any]:
        assert self._script.stdin is not None
        assert self._script.stdout is not None
        self._script.stdin.write(json.dumps(asdict(task)) + "\n")
        self._script.stdin.flush()
        outcome: dict[str, Any] = json.loads(self._script.stdout.readline())
        return outcome

    def close(self) -> None:
        self._script.communicate()


class Bench:
    """Does operations in children, each with the files that it needs.

    Args:
        children: who do them.
        strace: the program.
        path: of a directory to work in.
        size: of what is written.
    """

    def __init__(self, children: Children, strace: str, path: Path, size: int) -> None:
        self._children = children
        self._log = path / "log"
        self._strace = [strace, "-f", "-o", str(self._log), "-e", f"trace={','.join(_WRITING)}"]
        self.content = pattern(size, 2)
        self._content_path = path / "content"
        self._content_path.write_bytes(self.content)
        # Not there yet, nor its parent: the first write makes them.
        self.root = path / "disk" / "root"

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
        without: Sequence[str] = (),
        inject: str | None = None,
        **limits: int,
    ) -> Outcome:
        """Do an operation.

        Args:
            operation: what to do.
            without: features of the system to do without.
            inject: what strace does to which call, in its own words.
            limits: `workers`, `file_size` and `free` of the task.
        """
        task = Task(
            str(self.root),
            operation.do,
            SOURCE if operation.do in ("copy", "move") else operation.key,
            operation.key,
            str(self._content_path),
            self._strace if inject is None else [*self._strace, "-e", f"inject={inject}"],
            without,
            **limits,
        )
        outcome = self._children.do(task)
        report = outcome["report"] or {"error": None, "leaked": [], "leaked_later": []}
        if report["error"] is not None:
            report["error"] = Failure(**report["error"])
        return Outcome(outcome["status"], calls=_parse(self._log.read_text()), **report)

    def count(self, operation: Operation, without: Sequence[str] = ()) -> list[Call]:
        """Return the calls of an operation; with one worker they always come in the same order."""
        self.prepare(operation)
        outcome = self.run(operation, without)
        assert outcome.status == 0
        assert not outcome.leaked
        # Else a fault might hit a thread that has made as many calls of this name already.
        assert len({call.thread for call in outcome.calls}) == 1
        return outcome.calls

    async def check(self, operation: Operation) -> int:
        """Check what an operation left, sweep, and return which of its states it is."""
        states = operation.states(self.content)
        async with LocalFSStorage(self.root) as storage:
            found = await _contents(storage)
            assert found in states
            await storage.sweep(timedelta(0))
            assert await _contents(storage) == found
        # Neither temporary files nor anything else that no listing shows.
        assert files_below(self.root) == set(found)
        return states.index(found)


async def _contents(storage: Storage) -> dict[str, bytes]:
    entries = await storage.list()
    assert not [entry.name for entry in entries if TEMP_PREFIX in entry.name]
    contents = {entry.name: await storage.read_bytes(entry.name) for entry in entries}
    assert [entry.size for entry in entries] == [len(content) for content in contents.values()]
    return contents


def _parse(log: str) -> list[Call]:
    calls: list[Call] = []
    for line in log.splitlines():
        match = re.match(r"(\d+) +(\w+)\((.*)", line)
        if match is not None:
            thread, name, text = match.groups()
            before = [call for call in calls if (call.thread, call.name) == (thread, name)]
            calls.append(Call(thread, name, len(before) + 1, text))
    return calls


def files_below(root: Path) -> set[str]:
    """Return all that is no directory, relative to `root`."""
    return {
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, names in os.walk(root)
        for name in names
    }


def descriptors(below: int = 60) -> set[str]:
    """Return what is open; looking at each number opens nothing, which a fault might hit."""
    found = set()
    for fd in range(below):
        try:
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except FileNotFoundError:
            continue
    return found


@contextmanager
def mounted(path: Path, options: str) -> Iterator[str | None]:
    """Mount an empty file system in memory for the time being; give the reason why not."""
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        yield f"no file system can be mounted here: {done.stderr.strip()}"
        return
    try:
        yield None
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


# -- the child's side ------------------------------------------------------------------------------


def main() -> None:
    for line in sys.stdin:
        signal.alarm(_PATIENCE)
        outcome = serve(Task(**json.loads(line)))
        signal.alarm(0)
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()


def serve(task: Task) -> dict[str, Any]:
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        signal.alarm(_PATIENCE)
        try:
            asyncio.run(work(task, theirs))
        except BaseException:
            traceback.print_exc()
            os._exit(70)
        os._exit(0)
    theirs.close()
    with ours:
        ours.recv(1)
        tracer = attach(task.strace, child) if task.strace else None
        ours.sendall(b"!")
        report = b"".join(iter(lambda: ours.recv(1 << 16), b""))
    _, status = os.waitpid(child, 0)
    if tracer is not None:
        tracer.communicate()
    return {
        "status": os.waitstatus_to_exitcode(status),
        "report": json.loads(report) if report else None,
    }


def attach(command: list[str], child: int) -> subprocess.Popen[str]:
    tracer = subprocess.Popen([*command, "-p", str(child)], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        raise RuntimeError(f"strace could not attach: {said}")
    return tracer


async def work(task: Task, channel: socket.socket) -> None:
    # Where only ancestors may trace, this lets our sibling.
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
    content = Path(task.content).read_bytes()
    system = replace(features(), **dict.fromkeys(task.without, False))
    driver = LocalDriver(Path(task.root), durable=True, system=system)
    driver.threads = Threads("worker", task.workers)
    storage = Storage(driver, name=NAME)
    before = descriptors()
    channel.sendall(b"?")
    channel.recv(1)
    report: dict[str, Any] = {"error": None, "leaked": []}
    try:
        with limits(task):
            await perform(storage, task, content)
    except StorageError as exc:
        code = exc.errno if isinstance(exc, OSError) else None
        report["error"] = asdict(
            Failure(type(exc).__name__, code, exc.operation, exc.key, exc.storage, str(exc))
        )
        report["leaked"] = leaked(before, task)
    report["leaked_later"] = leaked(before, task)
    channel.sendall(json.dumps(report).encode())
    await storage.aclose()


def leaked(before: set[str], task: Task) -> list[str]:
    """Return what was opened since, but for the root, which a storage keeps."""
    return sorted(item for item in descriptors() - before if item.split(" ", 1)[1] != task.root)


async def perform(storage: Storage, task: Task, content: bytes) -> None:
    match task.do:
        case "open" | "create":
            async with storage.open(task.key, "w" if task.do == "open" else "x") as file:
                for start in range(0, len(content), _BLOCK):
                    await file.write(content[start : start + _BLOCK])
        case "copy":
            await storage.copy(task.key, task.new_key)
        case "move":
            await storage.move(task.key, task.new_key)
        case _:
            raise NotImplementedError(task.do)


@contextmanager
def limits(task: Task) -> Iterator[None]:
    old, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if task.file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (task.file_size, resource.RLIM_INFINITY))
    if task.free is not None:
        # The limit is on the number, and the lowest free number is always taken.
        taken = [os.dup(0) for _ in range(task.free + 1)]
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken[-1], most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (old, most))


if __name__ == "__main__":
    main()
