"""Standard input and output, as bytes that may come and go while other things do."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncGenerator
from typing import Any

_PIECE = 256 << 10


def standard_input() -> Any:
    """Return what `Storage.upload` reads: the file that it is, or what comes through a pipe.

    A pipe is read when something is there, so that an interruption need not wait for its end.
    """
    if stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode):
        return sys.stdin.buffer
    return _pieces(sys.stdin.fileno())


async def read_line() -> str:
    """Return a line of standard input, as far as there is one."""
    line = b""
    pieces = _pieces(sys.stdin.fileno())
    while not line.endswith(b"\n") and (piece := await anext(pieces, b"")):
        line += piece
    await pieces.aclose()
    return line.decode(errors="replace")


async def _pieces(fd: int) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    while True:
        ready = asyncio.Event()
        try:
            loop.add_reader(fd, ready.set)
        except PermissionError:  # as /dev/null: what cannot be waited for never blocks
            ready.set()
        try:
            await ready.wait()
        finally:
            loop.remove_reader(fd)
        data = os.read(fd, _PIECE)
        if not data:
            return
        yield data


class StandardOutput:
    """What `Storage.download` writes to. It blocks, as a pipe does that nobody reads from."""

    async def write(self, data: Any) -> None:
        """Write all of `data`."""
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
