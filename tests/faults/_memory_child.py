"""Runs one transfer or listing and prints by how many bytes it grew this process at its peak."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from aiostow import LocalFSStorage, Storage

MIB = 1 << 20


def resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


async def fresh(size: int) -> AsyncIterator[bytes]:
    for number in range(size // MIB):
        # Neither one shared block nor untouched zeros, which would take no memory.
        yield bytes([number % 255 + 1]) * MIB


async def read(storage: Storage, size: int) -> None:
    done = 0
    async with storage.open("sparse") as file:
        async for chunk in file:
            done += len(chunk)
    assert done == size


async def write(storage: Storage, size: int) -> None:
    entry = await storage.upload(fresh(size), "written")
    assert entry.size == size


async def across(storage: Storage, size: int) -> None:
    assert isinstance(storage, LocalFSStorage)
    other = LocalFSStorage(
        storage.root / "other", durable=False, memory_budget=storage.memory_budget
    )
    async with other:
        entry = await storage.copy("sparse", "written", to=other)
    assert entry.size == size


async def listing(storage: Storage, count: int) -> None:
    last = b""
    found = 0
    async for entry in storage.list():
        place = entry.name.encode()
        assert place > last
        last = place
        found += 1
    assert found == count


async def main(what: str, root: str, budget: int, size: int) -> None:
    if what == "across":
        budget //= 2  # each of the two storages has a budget of its own
    storage = LocalFSStorage(root, durable=False, memory_budget=budget)
    async with storage:
        await storage.write_bytes("warm", bytes(MIB))
        await storage.read_bytes("warm")
        await storage.list("other")
        await storage.delete("warm")
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
        before = resident("VmRSS")
        await {"read": read, "write": write, "across": across, "listing": listing}[what](
            storage, size
        )
        print(resident("VmHWM") - before)


if __name__ == "__main__":
    os.nice(5)
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
