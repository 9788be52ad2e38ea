"""A way to a server on which connections end at a chosen byte, or go silent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


class Wire:
    """Passes bytes on, on the loop of the test; SSH hides from it what they are.

    Args:
        port: of the server, on this machine.

    Attributes:
        port: where to connect instead.
        connections: how many there were.
        up, down: how many bytes more are passed on, to the server and from it, before everything
            that is connected is reset; None for any.
        silent: nothing of the server's is passed on.
        late: seconds by which what is the server's is passed on late.
        closed: whoever connects is reset.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.connections = 0
        self.up: int | None = None
        self.down: int | None = None
        self.silent = False
        self.late = 0.0
        self.closed = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self) -> None:
        """Break whatever is connected, and be as new."""
        self.up = self.down = None
        self.silent = False
        for writer in self._writers:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        if self.closed:
            self.reset()
            return
        self.connections += 1
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(inner_writer)
        with contextlib.suppress(OSError, asyncio.CancelledError):  # as when the test ends
            await asyncio.gather(
                self._pass(reader, inner_writer, "up"), self._pass(inner_reader, writer, "down")
            )
        for end in (writer, inner_writer):
            self._writers.discard(end)
            end.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str
    ) -> None:
        while data := await reader.read(16 << 10):
            if way == "down":
                await asyncio.sleep(self.late)
                if self.silent:
                    continue
            left: int | None = getattr(self, way)
            if left is not None and len(data) >= left:
                writer.write(data[:left])
                await asyncio.sleep(0.005)  # or the reset would overtake the bytes before it
                self.reset()
                return
            if left is not None:
                setattr(self, way, left - len(data))
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
