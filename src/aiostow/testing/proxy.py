"""A TCP proxy on loopback whose connections fail by a script."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from .._portal import Portal

_BLOCK = 64 << 10
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST
_TICK = 0.02  # seconds between the slices of a slow answer


@dataclass(frozen=True)
class WireFault:
    """What goes wrong with one request and its answer, or with a connection that knows no requests.

    It is armed by request bytes that hold `match`, on whichever connection they come first, and
    stays until the next request on that connection. Answer bytes are counted from there.

    Attributes:
        match: what the request bytes hold, such as ``b"uploadId="``; empty for any.
        times: how often it is armed; None for ever.
        latency: seconds by which every block is late, in both directions.
        rate: bytes a second that the answer comes at.
        first_byte: seconds before the first byte of the answer.
        reset_at: after how many bytes of the answer the connection is reset (RST).
        cut_at: after how many bytes of the answer it ends (FIN), as if all had come.
        flip_at: the index of the byte of the answer of which a bit is flipped.
        black_hole: the request goes nowhere, and nothing ever comes.
        unavailable: the proxy itself answers 503; says how many seconds to wait (Retry-After).
        drop_reply: the request is served, and its answer lost with the connection.
    """

    match: bytes = b""
    times: int | None = 1
    latency: float = 0
    rate: float | None = None
    first_byte: float = 0
    reset_at: int | None = None
    cut_at: int | None = None
    flip_at: int | None = None
    black_hole: bool = False
    unavailable: float | None = None
    drop_reply: bool = False


class FaultProxy:
    """Passes connections on to a server on this machine, but for its faults.

    It runs in a thread of its own, so it serves blocking clients too; use it with ``with``.

    Args:
        port: of the server.
        host: of the server; an address of the loopback interface.

    Attributes:
        port: where to connect instead.
        armed: the faults that were armed, in order.
        connections: how many there were.

    Raises:
        ValueError: the host is not this machine.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"faults are for servers on this machine, not {host}")
        self._target = (host, port)
        self._portal = Portal(self._end)
        self._faults: list[tuple[WireFault, int]] = []  # and how often each was armed
        self._lock = threading.Lock()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.armed: list[WireFault] = []
        self.connections: int = 0
        self.port: int = 0

    def __enter__(self) -> Self:
        self._portal.run(self._begin())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._portal.close()

    def add(self, *faults: WireFault) -> None:
        """Let more go wrong; of several that match, the one that was added first is armed."""
        with self._lock:
            self._faults += [(fault, 0) for fault in faults]

    def clear(self) -> None:
        """Let nothing go wrong any more, but for what is armed already."""
        with self._lock:
            self._faults.clear()
            self.armed.clear()

    def arm(self, data: bytes) -> WireFault | None:
        """Return the fault that these request bytes arm."""
        with self._lock:
            for place, (fault, count) in enumerate(self._faults):
                if fault.match in data and (fault.times is None or count < fault.times):
                    self._faults[place] = (fault, count + 1)
                    self.armed.append(fault)
                    return fault
        return None

    async def _begin(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        connection = _Connection(self, reader, writer, inner_reader, inner_writer)
        try:
            await connection.run()
        finally:
            for end in (writer, inner_writer):
                end.close()


class _Broken(Exception):  # noqa: N818  # no error: the way out of a connection that a fault ends
    """The connection has ended by its fault."""


class _Connection:
    def __init__(
        self,
        proxy: FaultProxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        inner_reader: asyncio.StreamReader,
        inner_writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._inner_reader = inner_reader
        self._inner_writer = inner_writer
        self._fault: WireFault | None = None
        self._answered = 0  # bytes, since the fault was armed
        self._fresh = True  # whether a new request may begin

    async def run(self) -> None:
        both = [asyncio.ensure_future(self._requests()), asyncio.ensure_future(self._answers())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _requests(self) -> None:
        while data := await self._reader.read(_BLOCK):
            if self._fresh:
                self._fault = self._proxy.arm(data)
                self._answered = 0
                self._fresh = False
            fault = self._fault
            if fault is not None:
                if fault.black_hole:
                    continue
                if fault.unavailable is not None:
                    await self._refuse(fault.unavailable)
                await asyncio.sleep(fault.latency)
            self._inner_writer.write(data)
            await self._inner_writer.drain()
        with contextlib.suppress(OSError):
            self._inner_writer.write_eof()

    async def _refuse(self, seconds: float) -> None:
        self._writer.write(
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n"
            b"Retry-After: %d\r\n\r\n" % seconds
        )
        await self._writer.drain()
        self._writer.write_eof()
        # What is left of the request is taken in, or closing would reset the answer away.
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(1):
                while await self._reader.read(_BLOCK):
                    pass
        raise _Broken

    async def _answers(self) -> None:
        while data := await self._inner_reader.read(_BLOCK):
            await self._answer(data, self._fault)
            self._fresh = True
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def _answer(self, data: bytes, fault: WireFault | None) -> None:
        if fault is None:
            self._writer.write(data)
            await self._writer.drain()
            return
        if fault.drop_reply:
            raise _Broken
        await asyncio.sleep(fault.latency + (0 if self._answered else fault.first_byte))
        if fault.flip_at is not None and 0 <= fault.flip_at - self._answered < len(data):
            place = fault.flip_at - self._answered
            data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        ends = [at for at in (fault.reset_at, fault.cut_at) if at is not None]
        left = min(ends, default=self._answered + len(data) + 1) - self._answered
        await self._write(data[:left], fault.rate)
        if left <= len(data):
            await asyncio.sleep(_TICK)  # or a reset would overtake the bytes before it
            if fault.reset_at is not None:
                _reset(self._writer)
            raise _Broken

    async def _write(self, data: bytes, rate: float | None) -> None:
        step = len(data) if rate is None else max(int(rate * _TICK), 1)
        for begin in range(0, len(data), step or 1):
            part = data[begin : begin + step]
            self._writer.write(part)
            await self._writer.drain()
            self._answered += len(part)
            if rate is not None:
                await asyncio.sleep(len(part) / rate)


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
