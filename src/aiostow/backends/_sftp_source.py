"""One file of an SFTP server, open for reading on one handle."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from asyncssh import SFTPError

from ..driver import Buffer
from ..errors import ObjectChangedError, StorageIOError
from ..models import ListEntry
from ._sftp_pool import Lease
from ._sftp_session import is_status
from ._sftp_wire import Attrs, Open, Status

_HEAD = 64 << 10  # bytes that are asked for with the opening: a file within is read at once
_RANGE = 4  # blocks of one range
_AHEAD = 8  # blocks under way at once, of one range
_SETTLED = 2.0  # seconds after which a changed file must show another mtime

GetLease = Callable[[int], Awaitable[Lease]]


class SFTPSource:
    """An open file, or the whole content of a small one.

    Args:
        lease: gives the use of a session and of so many files.
        key: of the object.
        path: of the file.
    """

    read_depth = 4
    adaptive = False
    entry: ListEntry

    def __init__(self, lease: GetLease, key: str, path: bytes) -> None:
        self._get_lease = lease
        self._key = key
        self._path = path
        self._lease: Lease | None = None
        self._handle = b""
        self._head: Buffer = b""
        self._attrs = Attrs(None, None, None)
        self._settled = False
        self._opening = asyncio.Lock()
        self.first_size = _HEAD
        self.read_size = _HEAD

    async def open(self, if_match: str | None) -> None:
        """Open the file and read its beginning.

        Raises:
            SFTPError, NotAFileError: it is not there, or no file.
            ObjectChangedError: it is not the version `if_match`.
        """
        lease = await self._get_lease(1)
        try:
            session = lease.session
            # Not in one turn: opening a FIFO would stop the server's side of the session for ever.
            (await session.lstat(self._path)).check_file()
            handle = await lease.open(self._path, Open.READ)
            size = min(_HEAD, session.limits.read_size)
            attrs, head = session.fstat(handle), session.read(handle, 0, size)
            self._attrs = await attrs
            self._attrs.check_file()
            if self._attrs.size is None:
                raise StorageIOError("the server does not tell how large the file is")
            self._head = await read_data(head, size)
            self.entry = self._attrs.entry(self._key)
            if if_match is not None and if_match != self.entry.etag:
                raise ObjectChangedError(
                    f"the file's etag is {self.entry.etag!r}, not {if_match!r}"
                )
        except BaseException:
            lease.release()
            raise
        self.read_size = _RANGE * session.limits.read_size
        mtime = self._attrs.mtime
        self._settled = mtime is not None and time.time() - mtime >= _SETTLED
        if len(self._head) >= self.entry.size:
            lease.release()
        else:
            self._lease, self._handle = lease, handle

    async def stream(self, offset: int, length: int) -> Blocks:
        end = min(offset + length, self.entry.size)
        if end <= len(self._head):
            return Blocks(self._head[offset:end], None, end, end, self._attrs)
        first = self._head[offset:]
        lease, handle = await self._open_handle()
        return Blocks(first, (lease, handle), offset + len(first), end, self._attrs)

    async def _open_handle(self) -> tuple[Lease, bytes]:
        async with self._opening:  # of several ranges one opens the file again
            lease = self._lease
            if lease is None or lease.session.lost is not None:
                if lease is not None:
                    lease.release()
                await self._reopen()
            assert self._lease is not None, "_reopen sets it or raises"
            return self._lease, self._handle

    async def _reopen(self) -> None:
        """Open the file again after its connection was lost, if it is surely the same.

        The protocol tells whole seconds only: a file that was young when it was opened may have
        been replaced within the second, by another of its size.
        """
        if not self._settled:
            raise ObjectChangedError(
                "the connection was lost, and the file had changed so shortly before it was opened "
                "that nobody can tell whether it is still the same"
            )
        lease = await self._get_lease(1)
        try:
            (await lease.session.lstat(self._path)).check_file()
            handle = await lease.open(self._path, Open.READ)
            if (await lease.session.fstat(handle)).version != self._attrs.version:
                raise ObjectChangedError("the file was replaced while its connection was lost")
        except BaseException:
            lease.release()
            raise
        self._lease, self._handle = lease, handle

    def close(self) -> None:
        if self._lease is not None:
            self._lease.release()


class Blocks:
    """The bytes of one range: those at hand, then blocks that are asked for side by side."""

    def __init__(
        self,
        first: Buffer,
        file: tuple[Lease, bytes] | None,
        position: int,
        end: int,
        attrs: Attrs,
    ) -> None:
        self._first = first
        self._file = file
        self._next = position  # to be asked for
        self._end = end
        self._attrs = attrs
        self._blocks: deque[tuple[int, int, asyncio.Future[Buffer]]] = deque()
        self._now: asyncio.Future[Attrs] | None = None  # of the file after the last block
        self._fill()

    def _fill(self) -> None:
        if self._file is None:
            return
        lease, handle = self._file
        while self._next < self._end and len(self._blocks) < _AHEAD:
            size = min(self._end - self._next, lease.session.limits.read_size)
            self._ask(self._next, size)
            self._next += size
        if self._now is None and self._next == self._end and self._blocks:
            self._now = lease.session.fstat(handle)

    def _ask(self, offset: int, size: int, *, first: bool = False) -> None:
        assert self._file is not None
        lease, handle = self._file
        block = (offset, size, lease.session.read(handle, offset, size))
        if first:
            self._blocks.appendleft(block)
        else:
            self._blocks.append(block)

    def __aiter__(self) -> Blocks:
        return self

    async def __anext__(self) -> Buffer:
        if self._first:
            first, self._first = self._first, b""
            return first
        if not self._blocks:
            raise StopAsyncIteration
        offset, size, block = self._blocks.popleft()
        data = await read_data(block, size)
        if not data:
            raise ObjectChangedError("the file was cut short while it was read")
        if len(data) < size:  # as a server may
            self._ask(offset + len(data), size - len(data), first=True)
        self._fill()
        if not self._blocks and self._now is not None:
            # Replacing a file leaves ours alone; only a change in place shows here.
            if (await self._now).version != self._attrs.version:
                raise ObjectChangedError("the file was changed in place while it was read")
            self._now = None
        return data

    def close(self) -> None:
        self._first = b""
        self._blocks.clear()


async def read_data(reading: asyncio.Future[Buffer], size: int) -> Buffer:
    """Return what a READ of so many bytes gives, which is nothing at the end of the file."""
    try:
        data = await reading
    except SFTPError as exc:
        if is_status(exc, Status.EOF):
            return b""
        raise
    if len(data) > size:
        raise StorageIOError("the server sent more than was asked for")
    return data
