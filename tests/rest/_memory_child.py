"""Uploads, downloads or lists and prints by how many bytes that grew this process at its peak."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiostow
from aiostow import Storage
from tests.faults._memory_child import fresh, resident

MIB = 1 << 20


async def main(what: str, size: int, backend: str, arguments: dict[str, Any]) -> None:
    opened: Storage = getattr(aiostow, backend)(**arguments)
    async with opened as storage:
        await storage.write_bytes("warm", bytes(MIB))
        await storage.read_bytes("warm")
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
        before = resident("VmRSS")
        if what == "write":
            entry = await storage.upload(fresh(size), "big")
            assert entry.size == size
        elif what in ("put", "upload"):
            with tempfile.NamedTemporaryFile() as file:
                file.truncate(size)
                if what == "put":
                    entry = await storage.put(file.name, "big")
                else:
                    with open(file.name, "rb") as source:
                        entry = await storage.upload(source, "big")
            assert entry.size == size
        elif what == "list":
            count = 0
            async for _ in storage.list("tree"):
                count += 1
            assert count == size
        else:
            done = 0
            async with storage.open("big") as file:
                async for chunk in file:
                    done += len(chunk)
            assert done == size
        print(resident("VmHWM") - before)


if __name__ == "__main__":
    os.nice(5)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])))
