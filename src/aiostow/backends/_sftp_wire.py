"""The packets of the SFTP protocol, version 3: requests to bytes, answers from bytes. Pure."""

from __future__ import annotations

import stat
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TypeAlias

from asyncssh import SFTPError
from pendulum import UTC, DateTime

from ..driver import Buffer
from ..errors import IsADirectoryInStorageError, NotAFileError
from ..models import ListEntry

VERSION = 3

# What comes before the first byte of data in a packet with its length: of a DATA answer, of a
# WRITE request without its handle.
HEAD = 4

_SIZE, _OWNER, _MODE, _TIMES, _EXTENDED = 0x1, 0x2, 0x4, 0x8, 0x80000000
_VIEWED = 16 << 10  # bytes from which on a view is cheaper than a copy

_u32 = struct.Struct(">I")
_u64 = struct.Struct(">Q")
_head = struct.Struct(">IBI")  # length, kind, number of the request


class Kind(IntEnum):
    """The kinds of packets that we send or take."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    RENAME = 18
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Status(IntEnum):
    """The codes of answers; servers use those past 8 too, though they are of later versions."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    NO_CONNECTION = 6
    CONNECTION_LOST = 7
    OP_UNSUPPORTED = 8
    NO_SUCH_PATH = 10
    FILE_ALREADY_EXISTS = 11
    WRITE_PROTECT = 12
    NO_SPACE = 14
    QUOTA_EXCEEDED = 15
    DIR_NOT_EMPTY = 18
    NOT_A_DIRECTORY = 19
    INVALID_FILENAME = 20
    LINK_LOOP = 21
    FILE_IS_A_DIRECTORY = 24


class Open(IntFlag):
    """How a file is opened."""

    READ = 0x01
    WRITE = 0x02
    CREATE = 0x08
    EXCLUSIVE = 0x20


Answer: TypeAlias = "bytes | memoryview | Attrs | list[tuple[str, Attrs]] | None"
"""A handle or an extended reply, data, attributes, names, or None for a plain success."""


@dataclass(frozen=True, slots=True)
class Attrs:
    """What a server tells of a file; what it does not tell is None.

    Attributes:
        size: in bytes.
        mode: type and permissions, as in `os.stat_result.st_mode`.
        mtime: in whole seconds since the epoch.
    """

    size: int | None
    mode: int | None
    mtime: int | None

    @property
    def is_dir(self) -> bool:
        return self.mode is not None and stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return self.mode is None or stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        return self.mode is not None and stat.S_ISLNK(self.mode)

    @property
    def version(self) -> tuple[int | None, int | None]:
        """What changes when the file does, as far as the protocol shows it."""
        return self.size, self.mtime

    def entry(self, key: str) -> ListEntry:
        """Return what is known of an object."""
        seconds = self.mtime or 0
        # Built directly: pendulum's own constructors from a timestamp cost four times as much.
        modified = DateTime(*time.gmtime(seconds)[:6], tzinfo=UTC)
        size = self.size or 0
        return ListEntry(key, modified, size, f"{seconds:x}-{size:x}")

    def check_file(self) -> None:
        """Refuse what is no regular file."""
        if self.is_dir:
            raise IsADirectoryInStorageError("this is a directory, not a file")
        if self.is_link:
            raise NotAFileError("this is a symlink, and symlinks are never followed")
        if not self.is_file:
            raise NotAFileError("this is a FIFO, socket or device, and no file")


def string(data: bytes) -> bytes:
    return _u32.pack(len(data)) + data


def u64(value: int) -> bytes:
    return _u64.pack(value)


def u32(value: int) -> bytes:
    return _u32.pack(value)


def packet(kind: Kind, number: int, *fields: bytes) -> bytes:
    """Return a request, with its length."""
    body = b"".join(fields)
    return _head.pack(5 + len(body), kind, number) + body


def init() -> bytes:
    return _u32.pack(5) + bytes([Kind.INIT]) + _u32.pack(VERSION)


def write(number: int, handle: bytes, offset: int, buffers: Sequence[Buffer]) -> list[Buffer]:
    """Return a WRITE request: its head, and then the buffers as they are."""
    size = sum(map(len, buffers))
    fields = string(handle) + _u64.pack(offset) + _u32.pack(size)
    head = _head.pack(5 + len(fields) + size, Kind.WRITE, number) + fields
    return [head, *buffers]


def blocks(buffers: Sequence[Buffer], size: int) -> Iterator[list[Buffer]]:
    """Cut buffers into blocks of `size` bytes, without copying."""
    block: list[Buffer] = []
    room = size
    for buffer in buffers:
        view = buffer
        while len(view) >= room:
            whole = memoryview(view)
            yield [*block, whole[:room]]
            view, block, room = whole[room:], [], size
        if view:
            block.append(view)
            room -= len(view)
    if block:
        yield block


def new_mode(mode: int | None) -> bytes:
    """Return attributes that set the permissions, or nothing."""
    if mode is None:
        return _u32.pack(0)
    return _u32.pack(_MODE) + _u32.pack(stat.S_IMODE(mode))


def new_size(size: int) -> bytes:
    """Return attributes that set the size."""
    return _u32.pack(_SIZE) + _u64.pack(size)


def path_bytes(path: str) -> bytes:
    """Return a path as it travels: names that are no UTF-8 as the server has them."""
    return path.encode("utf-8", "surrogateescape")


def packet_end(data: Buffer, begin: int) -> int:
    """Return where the packet that begins here ends, with its length."""
    return begin + HEAD + int(_u32.unpack_from(data, begin)[0])


def answer_number(data: Buffer, begin: int) -> int:
    """Return the number of the request that the packet answers."""
    return int(_u32.unpack_from(data, begin + HEAD + 1)[0])


def answer(data: bytes, begin: int, end: int, expected: Kind) -> Answer:
    """Return what a packet says.

    Args:
        data: holds the packet.
        begin: where it begins, with its length.
        end: where it ends.
        expected: the kind of the answer if the request succeeded.

    Raises:
        SFTPError: it says that the request failed.
        ValueError, struct.error, IndexError: it is no packet of this protocol, or no answer to
            what was asked.
    """
    kind = data[begin + HEAD]
    if kind not in (Kind.STATUS, expected):
        raise ValueError(f"an answer of the kind {kind}, where {expected.name} was asked for")
    at = begin + HEAD + 5
    if kind == Kind.DATA:
        size = _u32.unpack_from(data, at)[0]
        if at + 4 + size > end:
            raise ValueError("data beyond the end of their packet")
        at += 4
        return data[at : at + size] if size < _VIEWED else memoryview(data)[at : at + size]
    if kind == Kind.STATUS:
        _check_status(data, at, end)
        if expected is not Kind.STATUS:
            raise ValueError(f"a success without the {expected.name} that was asked for")
        return None
    if kind == Kind.ATTRS:
        return _attrs(data, at)[0]
    if kind == Kind.HANDLE:
        return _string(data, at, end)[0]
    if kind == Kind.NAME:
        return _names(data, at, end)
    return data[at:end]


def version(data: bytes, end: int) -> frozenset[bytes]:
    """Return the extensions that a VERSION packet announces, as ``name=value``."""
    if data[HEAD] != Kind.VERSION:
        raise ValueError("the first packet is no VERSION")
    found = set()
    at = HEAD + 5
    while at < end:
        name, at = _string(data, at, end)
        value, at = _string(data, at, end)
        found.add(name + b"=" + value)
    return frozenset(found)


def numbers(reply: bytes, count: int) -> tuple[int, ...]:
    """Return the 64-bit numbers of an extended reply."""
    if len(reply) < 8 * count:
        raise SFTPError(Status.BAD_MESSAGE, "the answer is too short")
    return struct.unpack_from(f">{count}Q", reply)


def _string(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    begin = at + 4
    after = begin + int(_u32.unpack_from(data, at)[0])
    if after > end:
        raise ValueError("a string beyond the end of its packet")
    return data[begin:after], after


def _check_status(data: bytes, at: int, end: int) -> None:
    code = _u32.unpack_from(data, at)[0]
    if code == Status.OK:
        return
    # Old servers leave the message out.
    message = _string(data, at + 4, end)[0] if at + 4 < end else b""
    raise SFTPError(code, message.decode("utf-8", "replace"))


def _attrs(data: bytes, at: int) -> tuple[Attrs, int]:
    flags = _u32.unpack_from(data, at)[0]
    at += 4
    size = mode = mtime = None
    if flags & _SIZE:
        size = _u64.unpack_from(data, at)[0]
        at += 8
    if flags & _OWNER:
        at += 8
    if flags & _MODE:
        mode = _u32.unpack_from(data, at)[0]
        at += 4
    if flags & _TIMES:
        mtime = _u32.unpack_from(data, at + 4)[0]
        at += 8
    if flags & _EXTENDED:
        count = _u32.unpack_from(data, at)[0]
        at += 4
        for _ in range(2 * count):
            _, at = _string(data, at, len(data))
    return Attrs(size, mode, mtime), at


def _names(data: bytes, at: int, end: int) -> list[tuple[str, Attrs]]:
    count = _u32.unpack_from(data, at)[0]
    at += 4
    found = []
    for _ in range(count):
        name, at = _string(data, at, end)
        _, at = _string(data, at, end)  # the line as `ls -l` shows it
        attrs, at = _attrs(data, at)
        found.append((name.decode("utf-8", "surrogateescape"), attrs))
    return found
