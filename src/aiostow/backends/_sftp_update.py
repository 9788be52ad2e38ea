"""An existing file of an SFTP server, changed in place."""

from __future__ import annotations

from asyncssh import SFTPError

from ..driver import Buffer
from ._sftp_pool import Lease
from ._sftp_session import FSYNC, together
from ._sftp_source import read_data
from ._sftp_staged import refuse_full
from ._sftp_wire import blocks


class SFTPRandomAccess:
    """Reads and writes at offsets of one handle; it does not outlive its connection.

    Args:
        lease: released with this object.
        handle: open for reading and writing.
        path: of the file.
    """

    def __init__(self, lease: Lease, handle: bytes, path: str) -> None:
        self._path = path
        self._lease = lease
        self._session = lease.session
        self._handle = handle
        self._dirty = False

    async def size(self) -> int:
        return (await self._session.fstat(self._handle)).size or 0

    async def read_at(self, offset: int, length: int) -> bytes:
        parts: list[Buffer] = []
        while length > 0:
            size = min(length, self._session.limits.read_size)
            data = await read_data(self._session.read(self._handle, offset, size), size)
            if not data:
                break
            parts.append(data)
            offset += len(data)
            length -= len(data)
        return b"".join(parts)

    async def write_at(self, offset: int, data: Buffer) -> None:
        self._dirty = True
        requests = []
        for block in blocks([data], self._session.limits.write_size):
            requests.append(self._session.write(self._handle, offset, block))
            offset += sum(map(len, block))
        try:
            await together(*requests)
        except SFTPError as exc:
            await refuse_full(self._session, self._path, exc)
            raise

    async def truncate(self, size: int) -> None:
        self._dirty = True
        await self._session.truncate(self._handle, size)

    async def flush(self) -> None:
        if self._dirty and FSYNC in self._session.extensions:
            await self._session.sync(self._handle)
        self._dirty = False

    async def aclose(self) -> None:
        try:
            await self.flush()
            await self._lease.close(self._handle)
        finally:
            self._lease.release()
