"""A storage on several event loops, and in forked children."""

from __future__ import annotations

import subprocess
import sys

_CODE = """
import asyncio, os
from aiostow import *
from aiostow import AzureStorage, S3Storage, SFTPStorage

storage = {storage}

async def work(data):
    await storage.write_bytes("k", data)
    assert await storage.read_bytes("k") == data

asyncio.run(work(b"1"))
asyncio.run(work(b"2"))  # the first loop's client was forgotten, not closed

def forked(data):
    child = os.fork()
    if child == 0:
        asyncio.events._set_running_loop(None)  # the parent's
        asyncio.run(work(data))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

forked(b"3")

async def main():
    await work(b"4")
    forked(b"5")  # in the middle of a loop, whose connections the parent goes on using
    await work(b"6")
    await storage.aclose()

asyncio.run(main())
print("done")
"""


def check_loops_and_forks(storage: str) -> None:
    """Use a storage on loops that end and in forked children; none may hang or fail.

    Args:
        storage: the expression that makes it.
    """
    done = subprocess.run(
        [sys.executable, "-c", _CODE.format(storage=storage)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "done\n", done.stderr
