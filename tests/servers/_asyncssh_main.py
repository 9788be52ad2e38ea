"""The program of `asyncssh_server`: asyncssh's own server, bad in the ways that it is told.

Usage: port root host_key authorized_keys username password [bad ...], where bad is of:

- ``no-posix-rename``, ``no-hardlink``, ``no-fsync``, ``no-limits``, ``no-copy-data``,
  ``no-statvfs``: an extension is neither announced nor served;
- ``small-limits``: it tells small limits, opens no more handles, and answers reads by 1000 bytes;
- ``short-reads``: reads answer 1000 bytes fewer than asked, though at least one;
- ``full``, ``quota``: no file grows beyond 100,000 bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import sys
from typing import Any, cast

import asyncssh
import asyncssh.sftp
from asyncssh.constants import FXP_OPEN, FXP_OPENDIR, FXP_READ
from asyncssh.packet import SSHPacket, String, UInt32, UInt64

PORT, ROOT, HOST_KEY, AUTHORIZED_KEYS, USERNAME, PASSWORD, *BAD = sys.argv[1:]

WITHOUT = {
    "no-posix-rename": {b"posix-rename@openssh.com"},
    "no-hardlink": {b"hardlink@openssh.com"},
    "no-fsync": {b"fsync@openssh.com"},
    "no-limits": {b"limits@openssh.com"},
    "no-copy-data": {b"copy-data"},
    "no-statvfs": {b"statvfs@openssh.com", b"fstatvfs@openssh.com"},
}
ERRORS = {"full": errno.ENOSPC, "quota": errno.EDQUOT}
ROOM = 100_000  # bytes of a file
LENGTH, HANDLES, ANSWER = 4096, 4, 1000  # of small limits

if unknown := set(BAD) - {*WITHOUT, *ERRORS, "small-limits", "short-reads"}:
    sys.exit(f"no such way to be bad: {', '.join(sorted(unknown))}")
ABSENT = set[bytes]().union(*(WITHOUT.get(each, ()) for each in BAD))


class Handler(asyncssh.sftp.SFTPServerHandler):
    """Speaks the protocol with less, or less well.

    Reads are shortened here and not in `Server`, where they would shorten copies in the server.
    """

    _extensions = [  # noqa: RUF012  # as asyncssh declares it
        each for each in asyncssh.sftp.SFTPServerHandler._extensions if each[0] not in ABSENT
    ]

    def _check_handles(self) -> None:
        if len(self._file_handles) + len(self._dir_handles) >= HANDLES:
            raise asyncssh.SFTPFailure("Too many open handles")

    async def _process_open(self, packet: SSHPacket) -> bytes:
        self._check_handles()
        return await super()._process_open(packet)

    async def _process_opendir(self, packet: SSHPacket) -> bytes:
        self._check_handles()
        return await super()._process_opendir(packet)

    async def _process_limits(self, packet: SSHPacket) -> asyncssh.sftp.SFTPLimits:
        packet.check_end()
        return asyncssh.sftp.SFTPLimits(LENGTH + 1024, LENGTH, LENGTH, HANDLES)

    async def _process_read(self, packet: SSHPacket) -> tuple[bytes, bool]:
        handle, offset = packet.get_string(), packet.get_uint64()
        asked = length = packet.get_uint32()
        if "short-reads" in BAD:
            length = max(1, length - 1000)
        if "small-limits" in BAD:
            length = min(length, ANSWER)
        shorter = String(handle) + UInt64(offset) + UInt32(min(asked, length))
        return await super()._process_read(SSHPacket(shorter))

    _packet_handlers: dict[Any, Any] = {  # noqa: RUF012  # likewise
        name: handler
        for name, handler in asyncssh.sftp.SFTPServerHandler._packet_handlers.items()
        if name not in ABSENT
    }
    if "small-limits" in BAD:
        _packet_handlers |= {FXP_OPEN: _process_open, FXP_OPENDIR: _process_opendir}
        if b"limits@openssh.com" not in ABSENT:
            _packet_handlers[b"limits@openssh.com"] = _process_limits
    if {"small-limits", "short-reads"} & set(BAD):
        _packet_handlers[FXP_READ] = _process_read


class Server(asyncssh.SFTPServer):
    """Serves the root, on a disk that may be full."""

    def __init__(self, channel: asyncssh.SSHServerChannel[Any]) -> None:
        super().__init__(channel, chroot=os.fsencode(ROOT))

    def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        file = cast(Any, file_obj)
        begin = os.fstat(file.fileno()).st_size if "a" in file.mode else offset
        for each in BAD:
            if each in ERRORS and begin + len(data) > ROOM:
                raise OSError(ERRORS[each], os.strerror(ERRORS[each]))
        return super().write(file_obj, offset, data)


class Logins(asyncssh.SSHServer):
    """Knows one password, and the keys that the file has now."""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        with contextlib.suppress(ValueError):  # it has none
            self._connection.set_authorized_keys(AUTHORIZED_KEYS)
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USERNAME, PASSWORD)


async def main() -> None:
    """Serve until ended."""
    asyncssh.sftp.SFTPServerHandler = Handler  # type: ignore[misc]  # no other way in
    server = await asyncssh.create_server(
        Logins, "127.0.0.1", int(PORT), server_host_keys=[HOST_KEY], sftp_factory=Server
    )
    await server.wait_closed()


logging.basicConfig(level=logging.INFO)
asyncio.run(main())
