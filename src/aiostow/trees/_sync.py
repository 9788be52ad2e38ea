"""One way from a tree to another: what differs is copied, and what is too much may be deleted."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from contextlib import ExitStack, closing

from ..driver import Locator
from ..errors import (
    AmbiguousWriteError,
    ConnectionLostError,
    CredentialsError,
    DeleteManyError,
    InvalidArgumentError,
    KeyConflictError,
    ServiceUnavailableError,
    StorageError,
    StorageFullError,
    UnreachableError,
)
from ..models import ListEntry
from ..storage import Storage
from ._compare import Compare, Verdict, version
from ._copying import may_hide_a_change
from ._journal import Journal
from ._report import Action, Report
from ._run import OnOutcome, Run, check_storages
from ._spool import Spool

_IN_A_ROW = 20  # failures to reach a service, after which nothing more is tried
_DELETED = 1000  # at once
_LOST = (AmbiguousWriteError, ConnectionLostError, CredentialsError, ServiceUnavailableError)


async def sync(
    source: Storage,
    destination: Storage,
    *,
    compare: Compare = "mtime",
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    delete: bool = False,
    dry_run: bool = False,
    journal: str | os.PathLike[str] | None = None,
    jobs: int = 64,
    on_outcome: OnOutcome | None = None,
) -> Report:
    """Make the destination hold what the source holds.

    Each file appears whole or stays what it was. What fails is told, and the rest is done. Files
    that are the same are not copied. To take parts of trees, hand over views:
    ``storage.at("reports")``.

    Args:
        source: what to copy; it is not changed.
        destination: where to. Files of other names stay, unless `delete`.
        compare: by what a file is known to be the same; see `Compare`.
        include: patterns of names to take; all by default.
        exclude: patterns of names to leave alone on both sides.
        delete: remove what the source does not have, after all copies, and only if nothing has
            failed: all was listed and copied. Nothing is removed for a source that has no file at
            all, which is more often a disk that is not mounted than a wish.
        dry_run: change nothing, and tell what would be done.
        journal: a file that remembers what was copied. With it, changes are known by versions
            rather than by times, a run that was killed goes on without sending a finished file
            again, and a large file goes on at the part where the service keeps parts.
        jobs: the most files under way at once; how many there are follows from what brings most.
        on_outcome: called with what became of each name, as it happens; may be async. What it
            raises ends the run.

    Returns:
        what was done; `Report.failed` is 0 if all was.

    Raises:
        InvalidArgumentError: one tree is within the other, or the journal within one of them, or it
            is of other trees, or an argument is wrong.
        StorageError: the journal cannot be written, or another run has it.
    """
    check_storages("sync", source, destination)
    _check_apart(source.address, destination.address)
    _check_apart(await _place(source), await _place(destination))
    if journal is not None:
        _check_outside(journal, source, destination)
    with ExitStack() as stack:
        opened = None
        if journal is not None and not (dry_run and not os.path.exists(journal)):
            opened = stack.enter_context(Journal(journal, source.address, destination.address))
        run = _Sync(
            source, destination, compare=compare, include=include, exclude=exclude, jobs=jobs,
            on_outcome=on_outcome, journal=opened,
        )  # fmt: skip
        run.extra = stack.enter_context(closing(Spool())) if delete else None
        run.report.dry_run = dry_run
        return await run.whole(run.run())


def _check_apart(here: str, there: str) -> None:
    if here == there:
        raise InvalidArgumentError("source and destination are the same place")
    if there.startswith(here):
        raise InvalidArgumentError("the destination is within the source: the copy would not end")
    if here.startswith(there):
        raise InvalidArgumentError(
            "the source is within the destination, which would be changed while it is copied"
        )


async def _place(storage: Storage) -> str:
    """Return the address as the service itself tells it, if it can be asked."""
    if not isinstance(storage.driver, Locator):
        return storage.address
    try:
        with storage._context("sync", None):
            driver = await storage._ready()
            assert isinstance(driver, Locator), "the same one"
            location = await driver.locate()
    except StorageError:
        return storage.address  # who cannot be asked cannot be listed either, which is told
    return f"{location.rstrip('/')}/{storage._prefix.text}"


def _check_outside(journal: str | os.PathLike[str], *trees: Storage) -> None:
    path = f"file:{os.path.realpath(journal)}"
    if any(path.startswith(storage.address) for storage in trees):
        raise InvalidArgumentError(
            f"the journal {os.fspath(journal)!r} is within one of the trees, where it would be "
            "copied or deleted: put it elsewhere"
        )


class _Sync(Run):
    """One run of `sync`."""

    extra: Spool | None = None  # what only the destination has, if it is to be deleted
    _found = False  # whether the source has any file
    _in_a_row = 0
    _lost: StorageError | None = None  # the service cannot be reached, so no more is tried

    async def run(self) -> None:
        self._in_the_way: list[ListEntry] = []
        await self.over_pairs()
        await self.crew.finish()
        if self.extra is not None and any(True for _ in self.extra):
            error = self._against_deleting()
            if error is not None:
                await self.tell("", Action.failed, error=error)
            else:
                await self._delete(self.extra)
        if self.extra is not None and not self.report.failed:
            again, self._in_the_way = self._in_the_way, []
            for entry in again:
                await self.only_here(entry)
            await self.crew.finish()
        for entry in self._in_the_way:
            error = KeyConflictError("a file is where a folder must be, or the reverse")
            await self.tell(entry.name, Action.failed, entry.size, error)

    def _against_deleting(self) -> StorageError | None:
        if self.report.failed:
            return StorageError("nothing is deleted, since something failed before")
        if not self._found:
            return InvalidArgumentError(
                "the source is empty, so nothing is deleted: delete the destination's files "
                "themselves if that is meant"
            )
        return None

    async def only_here(self, entry: ListEntry) -> None:
        self._found = True
        await self.start(entry.name, entry.size, lambda: self._copy(entry, None))

    async def only_there(self, entry: ListEntry) -> None:
        if self.extra is not None:
            self.extra.add([entry])

    async def both(self, left: ListEntry, right: ListEntry, verdict: Verdict) -> None:
        self._found = True
        if verdict is Verdict.same:
            await self.tell(left.name, Action.unchanged, left.size)
        else:
            unsure = verdict is Verdict.unsure
            await self.start(left.name, left.size, lambda: self._copy(left, right, unsure))

    async def _copy(self, left: ListEntry, right: ListEntry | None, unsure: bool = False) -> None:
        if self._lost is not None:
            raise UnreachableError(f"not tried any more: {self._lost}", key=left.name)
        try:
            if unsure and right is not None and await self.copying.same_content(left, right):
                self.remember(left, right)
                await self.tell(left.name, Action.unchanged, left.size)
                return
            if not self.report.dry_run:
                left = await self._copy_now(left, right)
        except KeyConflictError:
            if self.extra is None:
                raise
            self._in_the_way.append(left)  # what is in the way may be about to be deleted
            return
        except _LOST as exc:
            self._note_loss(exc)
            raise
        self._in_a_row = 0
        await self.tell(left.name, Action.copied, left.size)

    async def _copy_now(self, left: ListEntry, right: ListEntry | None) -> ListEntry:
        if self.journal is not None:
            before = None if right is None else version(right)
            self.journal.begin(left.name, version(left), before)
        try:
            copied, written = await self.copying.copy(left)
        except StorageFullError:
            if not self.crew.had_company:
                raise
            # Files beside it, which may not have fitted either, had the room for a while.
            copied, written = await self.crew.alone(lambda: self.copying.copy(left))
        self.remember(copied, written)
        return copied

    def remember(self, left: ListEntry, right: ListEntry) -> None:
        if self.journal is None or self.report.dry_run:
            return
        fresh = may_hide_a_change(self.source, left)
        self.journal.finish(left.name, version(left), version(right), fresh=fresh)

    def _note_loss(self, exc: StorageError) -> None:
        self._in_a_row += 1
        if self._in_a_row >= _IN_A_ROW:
            self._lost = exc
        if isinstance(exc, ServiceUnavailableError):
            self.width.overloaded()

    async def _delete(self, extra: Spool) -> None:
        entries = iter(extra)
        while batch := list(itertools.islice(entries, _DELETED)):
            failures = {} if self.report.dry_run else await self._delete_batch(batch)
            for entry in batch:
                error = failures.get(entry.name)
                action = Action.deleted if error is None else Action.failed
                await self.tell(entry.name, action, entry.size, error)

    async def _delete_batch(self, batch: list[ListEntry]) -> dict[str, StorageError]:
        names = [entry.name for entry in batch]
        try:
            await self.destination.delete_many(names)
        except DeleteManyError as exc:
            return dict(exc.failures)
        except StorageError as exc:
            return dict.fromkeys(names, exc)
        if self.journal is not None:
            for name in names:
                self.journal.forget(name)
        return {}
