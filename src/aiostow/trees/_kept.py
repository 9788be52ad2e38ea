"""Uploads whose pieces stay with the service when a run ends, for the next one to go on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._tasks import after
from ..driver import Buffer, Driver, Limits, ResumableUpload, Resumer
from ..errors import (
    AmbiguousWriteError,
    ConnectionLostError,
    CredentialsError,
    IntegrityError,
    PermissionDeniedError,
    ServiceUnavailableError,
)
from ..models import ListEntry, WriteOptions
from ._journal import Journal

# After these a later run may end the upload.
_PASSING = (
    AmbiguousWriteError, ConnectionLostError, CredentialsError, PermissionDeniedError,
    ServiceUnavailableError,
)  # fmt: skip


class KeptUploads:
    """Where the write pipeline writes one file: a driver, with what a journal knows of it.

    Args:
        driver: also a `Resumer`.
        journal: remembers the upload.
        name: of the file, in the journal.
        source: the version of the file that is read: pieces of another are of no use.
        size: of that version, in bytes.
        budget: in bytes, by which pieces are planned.
    """

    def __init__(
        self, driver: Driver, journal: Journal, name: str, source: str, size: int, budget: int
    ) -> None:
        assert isinstance(driver, Resumer), "asked before"
        self._driver = driver
        self._resumer: Resumer = driver
        self._journal = journal
        self._name = name
        limits = driver.write_limits
        # Pieces that were cut by another plan would lie elsewhere in the object.
        plan = limits.preferred, limits.min_size, limits.max_size, limits.max_count, budget
        self._source = f"{source} in {plan}"
        self._size = size

    @property
    def write_limits(self) -> Limits:
        return self._driver.write_limits

    async def write(self, key: str, buffers: Sequence[Buffer], options: WriteOptions) -> ListEntry:
        return await self._driver.write(key, buffers, options)

    async def begin(self, key: str, options: WriteOptions, *, size_hint: int | None) -> _KeptUpload:
        upload = await self._left(key, options)
        if upload is None:
            upload = await self._resumer.begin(key, options, size_hint=size_hint)
            try:
                self._journal.note_upload(self._name, self._source, upload.token)
            except BaseException as exc:  # or nobody would know of it
                with after(exc):
                    await upload.abort()
                raise
        return _KeptUpload(upload, self._size, self._driver)

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
    """An upload that is left, rather than aborted, unless it can come to no good."""

    def __init__(self, upload: ResumableUpload, size: int, driver: Driver) -> None:
        self._upload = upload
        self._size = size
        self._driver = driver
        self._spoiled = False
        self.limits = upload.limits
        self.staged: Mapping[int, int] = dict(upload.staged)

    async def stage(self, index: int, offset: int, buffers: Sequence[Buffer]) -> None:
        if self.staged.get(index) != sum(map(len, buffers)):
            await self._upload.stage(index, offset, buffers)

    async def commit(self) -> ListEntry:
        staged = sum(self._upload.staged.values())
        if staged != self._size:
            self._spoiled = True
            raise IntegrityError(f"the pieces of the upload have {staged} bytes, not {self._size}")
        try:
            return await self._upload.commit()
        except Exception as exc:
            error = self._driver.map_error(exc) or exc
            self._spoiled = not isinstance(error, _PASSING)
            raise

    async def abort(self) -> None:
        if self._spoiled:
            await self._upload.abort()
        else:
            self._upload.leave()
