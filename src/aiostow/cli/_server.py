"""A web server for one application, which a signal ends without leaving anything half done."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, TypeAlias

import uvicorn

from ._output import print_lines, say

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_UNDOING = 10.0  # seconds that requests have which were cut off
_HEARING = 0.2  # seconds that their answers have to leave
_GLANCE = 0.1  # seconds between looks at who is still there
_SORRY = b"The server is ending; nothing was stored."


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: a name or an address of this machine.
        port: 0 for any that is free.

    Raises:
        OSError: it cannot; the message names host and port.
    """
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return socket.create_server(address[:2], family=family)
    except OSError as exc:
        number = exc.errno or 0
        # What a socket cannot do is told with its address once more; a name has errors of its own.
        reason = os.strerror(number) if number > 0 else exc.strerror
        raise OSError(number, reason, f"{host}:{port}") from exc


def is_loopback(listening: socket.socket) -> bool:
    """Tell whether only this machine reaches a socket."""
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def url_of(listening: socket.socket) -> str:
    """Return the URL of a server, as its socket has it."""
    host, port, *_ = listening.getsockname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


async def serve(app: Application, listening: socket.socket, *, grace: float) -> None:
    """Serve an application until SIGINT or SIGTERM.

    Then nobody new is let in, and what is under way may end. What takes too long is cut off, as it
    is by a second signal: then it is undone, and told of in a sentence. What goes on in spite of
    that is cut off anew by another signal.

    Afterwards SIGINT does what it did before, and SIGTERM nothing: the process is about to end.

    Args:
        app: an ASGI application that needs no lifespan.
        listening: a socket, which is closed at the end.
        grace: in seconds that what is under way has.
    """
    config = uvicorn.Config(
        _Told(app), lifespan="off", ws="none", proxy_headers=False, server_header=False,
        log_config=None, access_log=False,  # which would hold the links
    )  # fmt: skip
    await _Server(config, grace).serve([listening])


class _Told:
    """Answers a request that was cut off before its answer began, so that its sender knows."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            if begun:
                return  # the connection is cut
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": _SORRY})


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, grace: float) -> None:
        super().__init__(config)
        self._grace = grace
        self._impatient = asyncio.Event()
        self._cut: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print_lines(map(url_of, sockets or ()))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The loop's handlers, since the command that runs has one already.
        loop = asyncio.get_running_loop()
        interrupt = signal.getsignal(signal.SIGINT)
        with contextlib.suppress(NotImplementedError):  # on Windows, where Ctrl-C interrupts
            for each in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(each, self._end)
        try:
            yield
        finally:
            # That of SIGTERM stays: without any, it would kill a process that cleans up.
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(signal.SIGINT)
                signal.signal(signal.SIGINT, interrupt)

    def _end(self) -> None:
        if self.should_exit:
            self._cut.clear()
            self._impatient.set()
        else:
            self.should_exit = True
            asyncio.get_running_loop().call_later(self._grace, self._impatient.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cutting = asyncio.create_task(self._cut_off())  # it begins when nobody listens any more
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    async def _cut_off(self) -> None:
        await self._impatient.wait()
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it would tell of each
        while True:  # who was let in last may be seen late
            tasks = self.server_state.tasks - self._cut
            self._cut |= tasks
            for task in tasks:
                task.cancel()
            if tasks:
                what = "A request was" if len(tasks) == 1 else f"{len(tasks)} requests were"
                with contextlib.suppress(OSError):  # whoever read may be gone
                    say(f"{what} cut off; nothing is half stored.")
                await asyncio.wait(tasks, timeout=_UNDOING)
                await asyncio.sleep(_HEARING)
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            await asyncio.sleep(_GLANCE)
