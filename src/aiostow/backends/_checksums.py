"""Checksums that services verify when bytes arrive, and that we verify when they come back."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from ..driver import Buffer
from ..errors import IntegrityError, InvalidArgumentError
from ._rest_source import Opened

Checksum: TypeAlias = Literal["crc32", "crc64nvme", "md5"]


class _Sum(Protocol):
    def update(self, data: Buffer, /) -> object: ...

    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Buffer) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class _Crc64:
    def __init__(self) -> None:
        self._value = 0
        self._add = _crt().crc64nvme

    def update(self, data: Buffer) -> None:
        self._value = self._add(bytes(data), self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(8, "big")


def _crt() -> Any:
    try:
        from awscrt import checksums
    except ModuleNotFoundError as exc:
        raise InvalidArgumentError(
            "checksum='crc64nvme' needs the package awscrt: install it, or take 'crc32'"
        ) from exc
    return checksums


def _md5() -> _Sum:
    return hashlib.md5(usedforsecurity=False)


@dataclass(frozen=True, slots=True)
class Checksums:
    """How the bytes of a storage are checked.

    Attributes:
        header: of a request with a body, and of an answer.
        element: in the list of parts, where the service wants it there.
        begin: headers that begin an upload in parts.
    """

    kind: Checksum
    header: str
    element: str | None = None
    begin: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, kind: Checksum) -> Checksums:
        """Return the ways of one kind.

        Raises:
            InvalidArgumentError: what computes it is not installed.
        """
        if kind == "md5":
            return cls("md5", "content-md5")
        name = kind.upper()
        if kind == "crc64nvme":
            _crt()
        whole = "COMPOSITE" if kind == "crc32" else "FULL_OBJECT"
        begin = {"x-amz-checksum-algorithm": name, "x-amz-checksum-type": whole}
        return cls(kind, f"x-amz-checksum-{kind}", f"Checksum{name}", begin)

    def _sum(self) -> _Sum:
        return {"md5": _md5, "crc32": _Crc32, "crc64nvme": _Crc64}[self.kind]()

    def value(self, buffers: Iterable[Buffer]) -> str:
        """Return the checksum of a body as a header says it."""
        total = self._sum()
        for buffer in buffers:
            total.update(buffer)
        return _text(total.digest())

    def watch(self, body: Opened, headers: Mapping[str, str], size: int) -> Opened:
        """Return the body of a whole object, checked at its end if the answer tells how."""
        value = headers.get(self.header)
        if value is None or "-" in value:
            return body  # the sum of parts' sums says nothing about the bytes in a row
        return _Watched(body, self._sum(), value, size)


def md5_text(buffers: Sequence[Buffer]) -> str:
    """Return the MD5 of a body as ``Content-MD5`` says it."""
    return Checksums.of("md5").value(buffers)


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def md5_hex(buffers: Iterable[Buffer]) -> str:
    """Return the MD5 of a body as etags say it."""
    total = hashlib.md5(usedforsecurity=False)
    for buffer in buffers:
        total.update(buffer)
    return total.hexdigest()


def parts_etag(etags: Sequence[str]) -> str | None:
    """Return the etag of an object of parts; None where parts' etags are not MD5."""
    try:
        digests = b"".join(binascii.unhexlify(etag) for etag in etags)
    except ValueError:
        return None
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(etags)}"


class _Watched:
    """A body that is checked when all of it has come."""

    def __init__(self, body: Opened, total: _Sum, expected: str, size: int) -> None:
        self._body = body
        self._total = total
        self._expected = expected
        self._left = size

    def __aiter__(self) -> _Watched:
        return self

    async def __anext__(self) -> Buffer:
        chunk = await anext(self._body)
        self._left -= len(chunk)
        self._total.update(chunk)
        # With the last bytes, not after them: who has them all need not ask again.
        if self._left == 0 and _text(self._total.digest()) != self._expected:
            raise IntegrityError("the bytes that came do not match the object's checksum")
        return chunk

    def limit(self, length: int) -> Opened:
        return self._body.limit(length)

    def close(self) -> None:
        self._body.close()
