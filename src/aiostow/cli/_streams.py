"""Standard input and output, as bytes that may come and go while other things do."""

from __future__ import annotations

import asyncio
import io
import os
import select
import stat
import sys
from collections.abc import AsyncGenerator
from typing import Any, TextIO

_PIECE = 256 << 10


def standard_input() -> Any:
    """Return what `Storage.upload` reads: the file that it is, or what comes through a pipe.

    A pipe is read when something is there, so that an interruption need not wait for its end.
    """
    fd = _pipe(sys.stdin)
    return sys.stdin.buffer if fd is None else _pieces(fd)


def _pipe(stream: TextIO) -> int | None:
    """Return the descriptor of what may have to be waited for; None of a file or one in memory."""
    try:
        fd = stream.fileno()
    except io.UnsupportedOperation:
        return None
    return None if stat.S_ISREG(os.fstat(fd).st_mode) else fd


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
    """What `Storage.download` writes to; an interruption need not wait for who reads a pipe."""

    async def write(self, data: Any) -> None:
        """Write all of `data`."""
        fd = _pipe(sys.stdout)
        if fd is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        view = memoryview(data).cast("B")
        while view:
            if not select.select([], [fd], [], 0)[1]:
                await _writable(fd)
            view = view[os.write(fd, view[: select.PIPE_BUF]) :]


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)
