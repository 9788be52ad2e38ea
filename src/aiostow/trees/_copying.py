"""One file from one storage to another, by the way that costs least."""

from __future__ import annotations

import hashlib
import mimetypes
from datetime import UTC, datetime, timedelta

from .._context import ErrorContext
from .._transfer import BLOCK, Progress, pump
from ..driver import Resumer
from ..errors import ObjectChangedError
from ..files import Reader, Writer
from ..models import ListEntry, Support, WriteOptions
from ..storage import Storage
from ._compare import md5_of, version
from ._journal import Journal
from ._kept import KeptUploads

_FRESH = timedelta(seconds=2)
_SMALL = 1 << 20  # bytes that are read and written without the costs of open files


class Copying:
    """Copies single files, and tells whether two have the same content.

    Args:
        source: where from.
        destination: where to.
        journal: keeps what is needed to go on with a large file.
    """

    def __init__(self, source: Storage, destination: Storage, journal: Journal | None) -> None:
        self._source = source
        self._destination = destination
        self._journal = journal
        self._within = source.is_one_service(destination)
        self._plain = not source.capabilities.metadata
        self._typed = self._plain and bool(destination.capabilities.metadata)

    async def copy(self, entry: ListEntry) -> tuple[ListEntry, ListEntry]:
        """Copy a file; the destination has it whole, or what it had.

        Returns:
            what was copied, which may be newer than `entry`, and what it has become.

        Raises:
            ObjectChangedError: it changed while it was read.
            StorageError: it cannot be read, or not written.
        """
        if self._within:
            return entry, await self._source.copy(entry.name, entry.name, to=self._destination)
        if self._plain and entry.size <= _SMALL:
            return await self._copy_small(entry)
        return await self._stream(entry)

    async def _copy_small(self, entry: ListEntry) -> tuple[ListEntry, ListEntry]:
        name = entry.name
        try:
            data = await self._source.read_bytes(name, if_match=entry.etag)
        except ObjectChangedError:  # since it was listed; once is fine
            entry = await self._source.stat(name)
            data = await self._source.read_bytes(name, if_match=entry.etag)
        if self._typed:
            written = await self._destination.write_bytes(
                name, data, content_type=guessed_type(name)
            )
        else:
            written = await self._destination.write_bytes(name, data)
        return entry, written

    async def _stream(self, entry: ListEntry) -> tuple[ListEntry, ListEntry]:
        async with self._source.open(entry.name) as reader:
            options = WriteOptions()
            if self._typed:
                options = WriteOptions(content_type=guessed_type(entry.name))
            elif self._destination.capabilities.metadata:
                options = options.over(reader.entry)
            context, full = self._destination._checked("open", entry.name)
            driver = await self._destination._ready()
            kept = None
            if (
                self._journal is not None
                and isinstance(driver, Resumer)
                and not may_hide_a_change(self._source, reader.entry)
            ):
                budget = self._destination.memory_budget
                kept = KeptUploads(
                    driver, self._journal, entry.name, version(reader.entry), reader.size, budget
                )

            async def start(context: ErrorContext, origin: str) -> Writer:
                return self._destination._writer_to(
                    kept or driver, context, full, options, reader.size, origin
                )

            writer = await context.opening(start)("sync()")  # an operation, as by open()
            async with writer:
                if kept is not None and reader.size > driver.write_limits.preferred:
                    await reader.seek(await writer._pipeline.resume())
                await pump(reader.read1, writer.write, Progress(None, reader.size))
                return reader.entry, await writer.commit()

    async def same_content(self, source: ListEntry, destination: ListEntry) -> bool:
        """Tell whether two files of one size have the same content, reading as little as can be.

        Raises:
            StorageError: one of them cannot be read.
        """
        for known, other, storage in (
            (source, destination, self._destination),
            (destination, source, self._source),
        ):
            md5 = md5_of(known)
            if md5 is not None and md5 == await _md5(storage, other.name):
                return True
        async with (
            self._source.open(source.name) as left,
            self._destination.open(destination.name) as right,
        ):
            return left.size == right.size and await _alike(left, right)


def may_hide_a_change(storage: Storage, entry: ListEntry) -> bool:
    """Whether a file is so new that a later change may have the same version."""
    whole_seconds = storage.capabilities.versions is not Support.native
    return whole_seconds and datetime.now(UTC) - entry.last_modified < _FRESH


def guessed_type(name: str) -> str | None:
    """Return the content type that a name tells, None for none or for what is compressed."""
    kind, encoding = mimetypes.guess_type(name)
    return kind if encoding is None else None


async def _md5(storage: Storage, name: str) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    async with storage.open(name) as reader:
        while data := await reader.read1():
            await storage._shared.threads.run(digest.update, data)
    return digest.hexdigest()


async def _alike(left: Reader, right: Reader) -> bool:
    while True:
        ours, theirs = await left.read(BLOCK), await right.read(BLOCK)
        if ours != theirs:
            return False
        if not ours:
            return True
