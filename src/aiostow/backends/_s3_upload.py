"""An object that goes up to S3 in parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..driver import Buffer, Limits
from ..errors import (
    AmbiguousWriteError,
    FileExistsInStorageError,
    WriteConflictError,
)
from ..models import ListEntry, WriteOptions
from ._checksums import Checksums, parts_etag
from ._rest_entry import etag_of, written
from ._rest_errors import ambiguous
from ._s3_plane import Answer, Plane
from ._s3_xml import Part
from .http import ServiceError

_ABORTS = 3


@dataclass(frozen=True, slots=True)
class Found:
    """What a key holds after a write of which an earlier try may have been carried out.

    Attributes:
        entry: of the object.
        by_md5: whether its etag is made of MD5s, so that another one is that of other content.
    """

    entry: ListEntry
    by_md5: bool


class S3Upload:
    """See `Upload`.

    Args:
        plane: the frequent verbs.
        living: ids of the uploads under way in this process.
        key: of the object.
        token: the id of this upload.
        limits: of its parts.
        options: of the write.
        conditions: headers that its end is bound to.
        checksums: of the parts.
        look: returns what the key holds, None for nothing.
    """

    def __init__(
        self,
        plane: Plane,
        living: set[str],
        key: str,
        token: str,
        limits: Limits,
        options: WriteOptions,
        conditions: Mapping[str, str],
        checksums: Checksums | None,
        look: Callable[[str], Awaitable[Found | None]],
    ) -> None:
        self._plane = plane
        self._living = living
        self._key = key
        self._options = options
        self._conditions = conditions
        self._checksums = checksums
        self._look = look
        self._parts: dict[int, Part] = {}
        self._begun = 0  # parts that were sent, perhaps in vain
        self._ended = False
        self.token: str = token
        self.limits = limits
        self.staged: dict[int, int] = {}

    async def stage(self, index: int, offset: int, buffers: Sequence[Buffer]) -> None:
        headers: dict[str, str] = {}
        checksum: tuple[str, str] | None = None
        if self._checksums is not None:
            value = headers[self._checksums.header] = self._checksums.value(buffers)
            if self._checksums.element is not None:
                checksum = (self._checksums.element, value)
        self._begun += 1
        answer = await self._plane.part(self._key, self.token, index + 1, buffers, headers)
        etag = etag_of(answer.headers) or ""
        self.note(index, sum(map(len, buffers)), etag, checksum)

    def note(
        self, index: int, size: int, etag: str, checksum: tuple[str, str] | None = None
    ) -> None:
        """Note a part that the service has."""
        self._parts[index] = Part(index + 1, etag, checksum)
        self.staged[index] = size

    def note_listed(self, part: Mapping[str, Any]) -> None:
        """Note a part as the service lists it, unless it lacks the checksum that the end needs."""
        element = None if self._checksums is None else self._checksums.element
        checksum = None if element is None else (element, str(part.get(element, "")))
        if checksum is None or checksum[1]:
            self._begun += 1
            self.note(
                int(part["PartNumber"]) - 1, int(part["Size"]), str(part["ETag"]).strip('"'),
                checksum,
            )  # fmt: skip

    @property
    def _size(self) -> int:
        return sum(self.staged.values())

    async def commit(self) -> ListEntry:
        parts = [self._parts[index] for index in sorted(self._parts)]
        try:
            answer = await self._plane.complete(self._key, self.token, parts, self._conditions)
        except ServiceError as exc:
            entry = await self._after_failed_complete(parts, exc)
        else:
            entry = await self._entry(answer)
        self.leave()
        return entry

    async def _entry(self, answer: Answer) -> ListEntry:
        if etag_of(answer.headers) is None:  # some services keep it to themselves
            found = await self._look(self._key)
            if found is not None:
                return found.entry
        return written(self._key, self._size, answer.headers, self._options)

    async def _after_failed_complete(self, parts: Sequence[Part], exc: ServiceError) -> ListEntry:
        """Find out what became of a commit that was refused, perhaps after its own earlier try."""
        if exc.unsure and (exc.code == "NoSuchUpload" or exc.status in (404, 412)):
            expected = parts_etag([part.etag for part in parts])
            found = await self._look(self._key)
            ours = found is not None and found.entry.size == self._size  # perhaps
            if found is not None and ours:
                if found.entry.etag == expected:
                    return found.entry
                ours = expected is None or not found.by_md5
            if exc.status != 412 or ours:
                raise AmbiguousWriteError(
                    "an earlier try may have written it: what the key holds now does not tell"
                ) from exc
        check_commit(exc, self._options)
        raise exc

    async def abort(self) -> None:
        """Discard the parts, also those that the service is still taking in."""
        if self._ended:
            return
        late = self._begun != len(self._parts)
        try:
            for _ in range(_ABORTS if late else 1):
                await self._plane.abort(self._key, self.token)
        except ServiceError as exc:
            if exc.status != 404:
                raise
        finally:
            self._living.discard(self.token)  # what is left is for a sweep
        self.leave()

    def leave(self) -> None:
        self._ended = True
        self._living.discard(self.token)


def check_commit(exc: ServiceError, options: WriteOptions) -> None:
    """Raise what a refused commit means, if it means more than its code says."""
    if exc.status == 412 and options.if_absent:
        raise FileExistsInStorageError("the key exists, and the write was create-only") from exc
    if exc.unsure:
        raise ambiguous(exc)
    missing = exc.status == 404 and options.if_match is not None and exc.code != "NoSuchBucket"
    if exc.status == 412 or missing:
        raise WriteConflictError(f"the object is not the version {options.if_match!r}") from exc
