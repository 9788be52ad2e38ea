"""Does operations of a local storage, each in a forked child that strace may tamper with.

A task is a line of JSON on stdin, its outcome a line of JSON on stdout. Forking from a process that
has imported everything makes a task cost milliseconds; and strace, which is attached when the child
is ready, sees the operation and nothing else.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401  # else imported within the operation
import ctypes
import dataclasses
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, TypedDict

from aiostow import Storage, StorageError, _disk
from aiostow._threads import Threads
from aiostow.backends.local import LocalDriver

_PR_SET_PTRACER = 0x59616D61
_PATIENCE = 60  # seconds for one task; an alarm then ends what hangs
_BLOCK = 1 << 20


class Task(TypedDict):
    """What is to be done, and what is done to it."""

    do: str  # write_bytes, open (mode "w"), create (mode "x"), copy or move
    root: str
    key: str
    new_key: str  # of copy and move
    content: str  # path of a file with what is written
    without: list[str]  # fields of Features that are taken away
    workers: int  # threads of the driver
    strace: list[str]  # its command line but for the process; empty for none
    file_size: int | None  # greatest size of a file
    free: int | None  # descriptors that can still be opened


def main() -> None:
    for line in sys.stdin:
        signal.alarm(_PATIENCE)
        outcome = serve(json.loads(line))
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
        tracer = attach(task["strace"], child) if task["strace"] else None
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
    content = Path(task["content"]).read_bytes()
    system = dataclasses.replace(_disk.features(), **dict.fromkeys(task["without"], False))
    driver = LocalDriver(Path(task["root"]), durable=True, system=system)
    driver.threads = Threads("worker", task["workers"])
    storage = Storage(driver, name="disk")
    before = descriptors()
    channel.sendall(b"?")
    channel.recv(1)
    error: BaseException | None = None
    with limits(task):
        try:
            await perform(storage, task, content)
        except Exception as exc:
            error = exc
    # Counted while the error is still held, as a caller may that gathers errors.
    leaked = descriptors() - before - {task["root"]}
    channel.sendall(json.dumps({"error": describe(error), "leaked": sorted(leaked)}).encode())
    await storage.aclose()


async def perform(storage: Storage, task: Task, content: bytes) -> None:
    key, new_key = task["key"], task["new_key"]
    match task["do"]:
        case "write_bytes":
            await storage.write_bytes(key, content)
        case "open" | "create" as do:
            async with storage.open(key, "w" if do == "open" else "x") as file:
                for start in range(0, len(content), _BLOCK):
                    await file.write(content[start : start + _BLOCK])
        case "copy":
            await storage.copy(key, new_key)
        case "move":
            await storage.move(key, new_key)
        case do:
            raise NotImplementedError(do)


def descriptors() -> set[str]:
    """Return what is open; the root of the storage may be open once, its parents may not."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue  # the listing's own
        found.add(target if os.path.isdir(target) else f"{target} as {fd}")
    return found


class limits:  # noqa: N801  # reads as what it does
    """Sets the limits of a task, for as long as it takes."""

    def __init__(self, task: Task) -> None:
        self._file_size = task["file_size"]
        self._free = task["free"]

    def __enter__(self) -> None:
        self._old = resource.getrlimit(resource.RLIMIT_NOFILE)
        if self._file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._file_size, resource.RLIM_INFINITY))
        if self._free is not None:
            # The limit is on the number, and the lowest free number is always taken.
            taken = [os.dup(0) for _ in range(self._free + 1)]
            for fd in taken:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (taken[-1], self._old[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self._old)


def describe(error: BaseException | None) -> dict[str, Any] | None:
    if error is None:
        return None
    if not isinstance(error, StorageError):
        raise error
    return {
        "type": type(error).__name__,
        "errno": error.errno if isinstance(error, OSError) else None,
        "operation": error.operation,
        "key": error.key,
        "storage": error.storage,
        "text": str(error),
    }


if __name__ == "__main__":
    main()
