"""A blob that goes up in blocks."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..driver import Buffer, Limits
from ..errors import FileExistsInStorageError, WriteConflictError
from ..models import ListEntry, WriteOptions
from ._azure_config import META
from ._azure_rest import AzureRest
from ._checksums import Checksums
from ._rest_entry import entry_of, written
from ._rest_errors import ambiguous
from .http import ServiceError, TransportError

_WRITER = 11  # random bytes that an id begins with
_NUMBER = 4  # bytes of the block's number; an id is 20 characters of base64


class AzureUpload:
    """See `Upload`.

    All ids have one length, as the service wants it for all blocks under a key, and begin with
    what no other writer has: a commit takes the blocks of its own writer or fails.

    Args:
        plane: the frequent verbs.
        key: of the blob.
        limits: of its blocks.
        options: of the write.
        headers: of the commit.
        checksums: tells how a block of a size in bytes is checked.
        token: of an upload that goes on; a new one by default.
    """

    def __init__(
        self,
        plane: AzureRest,
        key: str,
        limits: Limits,
        options: WriteOptions,
        headers: Mapping[str, str],
        checksums: Callable[[int], Checksums | None],
        token: str | None = None,
    ) -> None:
        self._plane = plane
        self._key = key
        self._options = options
        self._headers = headers
        self._checksums = checksums
        self.token: str = secrets.token_bytes(_WRITER).hex() if token is None else token
        self._writer = bytes.fromhex(self.token)
        self.staged: dict[int, int] = {}
        self.limits = limits

    def _id(self, index: int) -> str:
        return base64.b64encode(self._writer + index.to_bytes(_NUMBER, "big")).decode()

    def note_listed(self, blocks: Mapping[str, int]) -> None:
        """Note which of a blob's blocks, by their ids and sizes, are of this upload."""
        for id, size in blocks.items():
            raw = base64.b64decode(id)
            if raw[:_WRITER] == self._writer and len(raw) == _WRITER + _NUMBER:
                self.staged[int.from_bytes(raw[_WRITER:], "big")] = size

    async def stage(self, index: int, offset: int, buffers: Sequence[Buffer]) -> None:
        size = sum(map(len, buffers))
        checksums = self._checksums(size)
        headers = {} if checksums is None else {checksums.header: checksums.value(buffers)}
        await self._plane.block(self._key, self._id(index), buffers, headers)
        self.staged[index] = size

    async def fetch(self, index: int, size: int, source: Mapping[str, str]) -> None:
        """Let the service fetch one block from a URL.

        Args:
            index: of the block.
            size: in bytes.
            source: headers that tell the URL, the range and the version.
        """
        await self._plane.block(self._key, self._id(index), (), source)
        self.staged[index] = size

    async def commit(self) -> ListEntry:
        ids = [self._id(index) for index in sorted(self.staged)]
        try:
            reply = await self._plane.commit(self._key, ids, self._headers)
        except ServiceError as exc:
            if exc.unsure:
                return await self._look(ids, exc)
            lost = exc.code == "InvalidBlockList"
            if lost and self._options.if_absent and await self._is_there():
                raise _refused() from exc
            check_commit(exc, self._options)
            raise
        return written(self._key, sum(self.staged.values()), reply.headers, self._options)

    async def _look(self, ids: Sequence[str], exc: ServiceError) -> ListEntry:
        """Find out what became of a commit that was refused after its own earlier try."""
        try:
            there = list(await self._plane.blocks(self._key, committed=True))
            if ids and there == ids:
                head = await self._plane.head(self._key)
                return entry_of(self._key, head.headers, META)
        except (ServiceError, TransportError) as lost:
            if not isinstance(lost, ServiceError) or lost.status not in (404, 409):
                raise ambiguous(exc)  # noqa: B904  # it has its cause
            there = None  # nothing, or no blob of blocks
        if ids and there is not None and self._options.if_absent:
            raise _refused() from exc
        raise ambiguous(exc)

    async def _is_there(self) -> bool:
        try:
            await self._plane.head(self._key)
        except ServiceError as exc:
            if exc.status == 404:
                return False
            raise
        return True

    async def abort(self) -> None:
        """Leave the blocks to the service, which drops them a week after the last one.

        There is no other way that cannot hit the blob of another writer.
        """
        self.staged.clear()

    def leave(self) -> None:
        """Leave the blocks to the service for a week."""


def check_commit(exc: ServiceError, options: WriteOptions) -> None:
    """Raise what a refused write means, if it means more than its code says."""
    if exc.unsure:
        raise ambiguous(exc)
    refused = exc.status in (409, 412) and exc.code in (
        "BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet", ""
    )  # fmt: skip
    if options.if_absent and refused:
        raise _refused() from exc
    if options.if_match is not None and exc.status in (404, 412) and "Container" not in exc.code:
        raise WriteConflictError(f"the object is not the version {options.if_match!r}") from exc


def _refused() -> FileExistsInStorageError:
    return FileExistsInStorageError("the key exists, and the write was create-only")


def renamed(entry: ListEntry, key: str, headers: Mapping[str, str]) -> ListEntry:
    """Return the entry of a copy, from that of its source and the headers of the answer."""
    new = written(key, entry.size, headers, WriteOptions())
    return replace(entry, name=key, etag=new.etag, last_modified=new.last_modified)
