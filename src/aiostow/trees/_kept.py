"""Uploads whose pieces stay with the service when a run ends, for the next one to go on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..driver import Buffer, Driver, Limits, ResumableUpload, Resumer
from ..models import ListEntry, WriteOptions
from ._journal import Journal


class KeptUploads:
    """Where the write pipeline writes one file: a driver, with what a journal knows of it.

    Args:
        driver: also a `Resumer`.
        journal: remembers the upload.
        name: of the file, in the journal.
        source: the version of the file that is read: pieces of another are of no use.
    """

    def __init__(self, driver: Driver, journal: Journal, name: str, source: str) -> None:
        assert isinstance(driver, Resumer), "asked before"
        self._driver = driver
        self._resumer: Resumer = driver
        self._journal = journal
        self._name = name
        self._source = source

    @property
    def write_limits(self) -> Limits:
        return self._driver.write_limits

    async def write(self, key: str, buffers: Sequence[Buffer], options: WriteOptions) -> ListEntry:
        return await self._driver.write(key, buffers, options)

    async def begin(self, key: str, options: WriteOptions, *, size_hint: int | None) -> _KeptUpload:
        upload = await self._left(key, options)
        if upload is None:
            upload = await self._resumer.begin(key, options, size_hint=size_hint)
            self._journal.note_upload(self._name, self._source, upload.token)
        return _KeptUpload(upload)

    async def _left(self, key: str, options: WriteOptions) -> ResumableUpload | None:
        known = self._journal.upload(self._name)
        if known is None:
            return None
        source, token = known
        upload = await self._resumer.resume(key, options, token=token)
        if upload is None or source == self._source:
            return upload
        await upload.abort()
        return None


class _KeptUpload:
    """An upload that is left, rather than aborted."""

    def __init__(self, upload: ResumableUpload) -> None:
        self._upload = upload
        self.limits = upload.limits
        self.staged: Mapping[int, int] = dict(upload.staged)

    async def stage(self, index: int, offset: int, buffers: Sequence[Buffer]) -> None:
        if self.staged.get(index) != sum(map(len, buffers)):
            await self._upload.stage(index, offset, buffers)

    async def commit(self) -> ListEntry:
        return await self._upload.commit()

    async def abort(self) -> None:
        self._upload.leave()
