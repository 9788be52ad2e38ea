"""One SFTP session: requests and answers over one channel, many under way at once."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncssh
from asyncssh import ConnectionLost, SFTPError

from ..driver import Buffer
from . import _sftp_wire as wire
from ._sftp_wire import Attrs, Kind, Open, Status, string, u32, u64

_BLOCK = 255 << 10  # the most of sshd; more in one request brings nothing
_SAFE_BLOCK = 32 << 10  # what every server must take
_ASSUMED_HANDLES = 100  # of servers that do not say: an old limit of OpenSSH's
_MANY_HANDLES = 1000  # of servers that say they have no limit
_LARGEST = 16 << 20  # bytes of a packet that no server sends
_WINDOW = 8 << 20  # bytes that may be on their way to us
_PORTION = 64 << 10  # bytes that asyncssh takes apart at once: two of its packets
_PATIENT = 10  # times longer is a request waited for that works the server's disk

POSIX_RENAME = b"posix-rename@openssh.com=1"
FSYNC = b"fsync@openssh.com=1"
HARDLINK = b"hardlink@openssh.com=1"
STATVFS = b"statvfs@openssh.com=2"
COPY_DATA = b"copy-data=1"
_LIMITS = b"limits@openssh.com=1"


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one session may ask for.

    Attributes:
        read_size: the most bytes of one READ.
        write_size: the most bytes of one WRITE.
        handles: how many files and directories may be open at once.
    """

    read_size: int = _SAFE_BLOCK
    write_size: int = _SAFE_BLOCK
    handles: int = _ASSUMED_HANDLES


@dataclass(slots=True)
class _Request:
    waiter: asyncio.Future[Any]
    expected: Kind
    patient: bool


class Session(asyncssh.SSHClientSession[bytes]):
    """Sends requests as they come and gives each answer to whoever waits for it.

    The methods that make requests send them at once, in the order of the calls, and return what is
    to be awaited; servers answer in any order but carry out what concerns one file in that of the
    requests. Requests of one turn of the loop leave in one packet.

    Args:
        timeout: in seconds without a byte from the server, after which the session is given up.
        ended: called once when the session ends, however it ends.
        freed: called when a file that nobody waited for is closed.
    """

    def __init__(
        self, timeout: float, ended: Callable[[Session], None], freed: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._ended: Callable[[Session], None] | None = ended
        self._freed = freed
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._number = 0
        self._requests: dict[int, _Request] = {}
        self._patient = 0
        self._out: list[Buffer] = []
        self._flushing: asyncio.Handle | None = None
        self._parts: list[bytes] = []  # of a packet that is not whole yet
        self._have = 0
        self._want = wire.HEAD
        self._watch: asyncio.TimerHandle | None = None
        self._heard = 0.0  # when the server was heard last, or asked after it had been idle
        self._hello: asyncio.Future[frozenset[bytes]] = self._loop.create_future()
        self._quiet: asyncio.Future[None] | None = None  # done when nothing is under way
        self.lost: Exception | None = None
        self.stray: int = 0  # files that will be opened though nobody waits for them any more
        self.extensions: frozenset[bytes] = frozenset()
        self.limits: ServerLimits = ServerLimits()

    @classmethod
    async def start(
        cls,
        connection: asyncssh.SSHClientConnection,
        timeout: float,
        ended: Callable[[Session], None],
        freed: Callable[[], None],
    ) -> Session:
        """Open a channel and agree with the server."""
        session = cls(timeout, ended, freed)
        channel, _ = await connection.create_session(
            lambda: session,
            subsystem="sftp", encoding=None, window=_WINDOW, request_pty=False,
        )  # fmt: skip
        try:
            await session._begin()
        except BaseException:
            channel.abort()
            raise
        if session.lost is not None:
            raise ConnectionLost(str(session.lost))
        return session

    async def _begin(self) -> None:
        self._write([wire.init()])
        self._await_answer()
        self.extensions = await self._hello
        if _LIMITS in self.extensions:
            reply = await self._extended(b"limits@openssh.com", to=Kind.EXTENDED_REPLY)
            _, read, written, handles = wire.numbers(reply, 4)
            self.limits = ServerLimits(
                min(read or _SAFE_BLOCK, _BLOCK),
                min(written or _SAFE_BLOCK, _BLOCK),
                handles or _MANY_HANDLES,
            )

    # What asyncssh calls.

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: Any) -> None:
        if datatype is not None:
            return  # what the server's side writes to stderr
        self._heard = self._loop.time()
        if self._parts:
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._want:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        try:
            rest = self._take(data)
        except (ValueError, IndexError, struct.error) as exc:
            self.end(asyncssh.ProtocolError(f"the server does not speak SFTP: {exc}"))
            return
        if rest < len(data):
            tail = data[rest:]
            self._parts.append(tail)
            self._have = len(tail)
            self._want = wire.HEAD
            if self._have >= wire.HEAD:
                self._want = wire.packet_end(tail, 0)

    def _take(self, data: bytes) -> int:
        at, size = 0, len(data)
        while size - at >= wire.HEAD:
            end = wire.packet_end(data, at)
            if end - at > _LARGEST:
                raise ValueError("a packet of an impossible length")
            if end > size:
                break
            self._answered(data, at, end)
            at = end
        return at

    def _answered(self, data: bytes, begin: int, end: int) -> None:
        if not self._hello.done():
            self._hello.set_result(wire.version(data, end))
            return
        self._deliver(data, begin, end)
        if not self._requests:
            self._rest()

    def _rest(self) -> None:
        if self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)

    def _deliver(self, data: bytes, begin: int, end: int) -> None:
        request = self._requests.pop(wire.answer_number(data, begin), None)
        if request is None:
            raise ValueError("an answer to nothing that was asked")
        self._patient -= request.patient
        waiter = request.waiter
        unwanted = waiter.done()
        opens = request.expected is Kind.HANDLE
        if unwanted and opens:
            self.stray -= 1
            self._loop.call_soon(self._freed)
        try:
            result = wire.answer(data, begin, end, request.expected)
        except SFTPError as exc:
            if not unwanted:
                waiter.set_exception(exc)
                waiter.exception()  # whoever gave up waiting for it need not be told
            return
        if not unwanted:
            waiter.set_result(result)
        elif opens and isinstance(result, bytes):
            self.close(result)

    def eof_received(self) -> bool:
        self.end(ConnectionLost("the server ended the session"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(exc or ConnectionLost("the connection was closed"))

    # The life of the session.

    def end(self, exc: Exception) -> None:
        """Give up: whatever is under way fails with `exc`; idempotent."""
        if self.lost is not None:
            return
        self.lost = exc
        if self._watch is not None:
            self._watch.cancel()
        if self._flushing is not None:
            self._flushing.cancel()
        requests, self._requests = self._requests, {}
        for waiter in [self._hello, *(request.waiter for request in requests.values())]:
            if not waiter.done():
                # Each its own: one exception raised in several tasks grows one traceback.
                waiter.set_exception(ConnectionLost(str(exc) or type(exc).__name__))
                waiter.exception()
        self._rest()
        self._out.clear()
        self._parts.clear()
        if self._channel is not None:
            self._channel.abort()
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self)

    async def answered(self, timeout: float) -> None:
        """Wait until nothing is under way, for so many seconds at most."""
        if self._requests and self.lost is None:
            self._quiet = self._loop.create_future()
            await asyncio.wait([self._quiet], timeout=timeout)

    def _await_answer(self) -> None:
        if self._watch is None:
            self._heard = self._loop.time()
            self._watch = self._loop.call_later(self._timeout, self._look)

    def _look(self) -> None:
        self._watch = None
        if not self._requests and self._hello.done():
            return
        limit = self._timeout * (_PATIENT if self._patient else 1)
        left = self._heard + limit - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look)
        else:
            self.end(ConnectionLost(f"the server was silent for {limit:g} seconds"))

    def _write(self, buffers: Sequence[Buffer]) -> None:
        self._out += buffers
        if self._flushing is None:
            self._flushing = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = None
        out, self._out = self._out, []
        if self.lost is None and self._channel is not None:
            try:
                for portion in wire.blocks(out, _PORTION):
                    self._channel.write(b"".join(portion))
            except OSError as exc:
                self.end(exc)

    # Requests.

    def _register(self, expected: Kind = Kind.STATUS, *, patient: bool = False) -> int:
        if self.lost is not None:
            raise ConnectionLost(str(self.lost))
        if not self._requests:
            self._heard = self._loop.time()  # it owed nothing until now
        number = self._number = (self._number + 1) & 0xFFFFFFFF
        self._requests[number] = _Request(self._loop.create_future(), expected, patient)
        self._patient += patient
        self._await_answer()
        return number

    def _ask(
        self, kind: Kind, *fields: bytes, to: Kind = Kind.STATUS, patient: bool = False
    ) -> asyncio.Future[Any]:
        number = self._register(to, patient=patient)
        self._write([wire.packet(kind, number, *fields)])
        return self._requests[number].waiter

    def _extended(
        self, name: bytes, *fields: bytes, to: Kind = Kind.STATUS, patient: bool = False
    ) -> asyncio.Future[Any]:
        return self._ask(Kind.EXTENDED, string(name), *fields, to=to, patient=patient)

    def open(self, path: bytes, how: Open, mode: int | None = None) -> asyncio.Future[bytes]:
        """Open a file; a handle that nobody waits for any more is closed."""
        return self._ask(Kind.OPEN, string(path), u32(how), wire.new_mode(mode), to=Kind.HANDLE)

    def close(self, handle: bytes) -> asyncio.Future[None]:
        """Close a file or directory; need not be awaited, but tells what the disk refused late."""
        return self._ask(Kind.CLOSE, string(handle))

    def read(self, handle: bytes, offset: int, size: int) -> asyncio.Future[Buffer]:
        """Read up to `size` bytes; the end of the file is an `SFTPError`."""
        return self._ask(Kind.READ, string(handle), u64(offset), u32(size), to=Kind.DATA)

    def write(self, handle: bytes, offset: int, buffers: Sequence[Buffer]) -> asyncio.Future[None]:
        """Write all of `buffers`, which are no longer needed once the loop has turned."""
        number = self._register()
        self._write(wire.write(number, handle, offset, buffers))
        return self._requests[number].waiter

    def lstat(self, path: bytes) -> asyncio.Future[Attrs]:
        """Tell of a file without following a symlink."""
        return self._ask(Kind.LSTAT, string(path), to=Kind.ATTRS)

    def fstat(self, handle: bytes) -> asyncio.Future[Attrs]:
        """Tell of an open file."""
        return self._ask(Kind.FSTAT, string(handle), to=Kind.ATTRS)

    def chmod(self, handle: bytes, mode: int) -> asyncio.Future[None]:
        """Set the permissions of an open file."""
        return self._ask(Kind.FSETSTAT, string(handle), wire.new_mode(mode))

    def truncate(self, handle: bytes, size: int) -> asyncio.Future[None]:
        """Set the size of an open file."""
        return self._ask(Kind.FSETSTAT, string(handle), wire.new_size(size))

    def open_dir(self, path: bytes) -> asyncio.Future[bytes]:
        """Open a directory, as `open` does."""
        return self._ask(Kind.OPENDIR, string(path), to=Kind.HANDLE)

    def read_dir(self, handle: bytes) -> asyncio.Future[list[tuple[str, Attrs]]]:
        """Return some more names; the end is an `SFTPError`."""
        return self._ask(Kind.READDIR, string(handle), to=Kind.NAME)

    def real_path(self, path: bytes) -> asyncio.Future[list[tuple[str, Attrs]]]:
        """Return the absolute path, without links, as the only name of a list."""
        return self._ask(Kind.REALPATH, string(path), to=Kind.NAME)

    def remove(self, path: bytes) -> asyncio.Future[None]:
        """Remove a file."""
        return self._ask(Kind.REMOVE, string(path))

    def make_dir(self, path: bytes) -> asyncio.Future[None]:
        """Make a directory."""
        return self._ask(Kind.MKDIR, string(path), wire.new_mode(None))

    def remove_dir(self, path: bytes) -> asyncio.Future[None]:
        """Remove an empty directory."""
        return self._ask(Kind.RMDIR, string(path))

    def rename(self, path: bytes, new_path: bytes) -> asyncio.Future[None]:
        """Rename, unless the new name exists."""
        return self._ask(Kind.RENAME, string(path), string(new_path))

    def replace(self, path: bytes, new_path: bytes) -> asyncio.Future[None]:
        """Rename, replacing the new name in one step."""
        return self._extended(b"posix-rename@openssh.com", string(path), string(new_path))

    def link(self, path: bytes, new_path: bytes) -> asyncio.Future[None]:
        """Give a file another name, unless that name exists."""
        return self._extended(b"hardlink@openssh.com", string(path), string(new_path))

    def sync(self, handle: bytes) -> asyncio.Future[None]:
        """Make an open file durable."""
        return self._extended(b"fsync@openssh.com", string(handle), patient=True)

    def copy_data(
        self, handle: bytes, offset: int, size: int, new_handle: bytes
    ) -> asyncio.Future[None]:
        """Copy bytes of one open file to the same place in another, within the server."""
        return self._extended(
            b"copy-data", string(handle), u64(offset), u64(size), string(new_handle), u64(offset),
            patient=True,
        )  # fmt: skip

    async def free_space(self, path: bytes) -> int:
        """Return how many bytes are free to us where a path leads."""
        reply = await self._extended(b"statvfs@openssh.com", string(path), to=Kind.EXTENDED_REPLY)
        _, unit, _, _, available = wire.numbers(reply, 5)
        return unit * available


async def together(*requests: asyncio.Future[Any]) -> list[Any]:
    """Return the answers to requests under way, or raise the first error once all are answered."""
    answers, failed = [], None
    for request in requests:
        try:
            answers.append(await request)
        except (SFTPError, ConnectionLost) as exc:
            failed = failed or exc
    if failed is not None:
        raise failed
    return answers


def is_status(exc: BaseException, *codes: Status) -> bool:
    """Whether an error is one of these answers of a server."""
    return isinstance(exc, SFTPError) and exc.code in codes
