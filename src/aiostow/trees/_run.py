"""What a sync and a comparison have in common: pairs of entries, and what becomes of each."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, TypeAlias

from ..errors import InvalidArgumentError, InvalidKeyError, InvalidTypeError, StorageError
from ..models import ListEntry
from ..storage import Storage
from ._compare import Compare, Verdict, by_entries, version
from ._copying import Copying
from ._crew import Crew
from ._journal import Journal
from ._merge import pairs
from ._patterns import chosen
from ._report import Action, Outcome, Report
from ._stop import Stopped
from ._width import Width

OnOutcome: TypeAlias = Callable[[Outcome], object]

_COMPARES = ("mtime", "etag", "checksum")


class Run:
    """One run over two trees.

    Args:
        source: one of them.
        destination: the other.
        compare: by what files are told apart.
        include: patterns of the names that are meant.
        exclude: patterns of those that are not.
        jobs: the most files under way at once.
        on_outcome: called with what became of each name.
        journal: what is known from other runs.

    Raises:
        InvalidArgumentError, InvalidTypeError: one of the arguments is wrong.
    """

    def __init__(
        self,
        source: Storage,
        destination: Storage,
        *,
        compare: Compare,
        include: Iterable[str],
        exclude: Iterable[str],
        jobs: int,
        on_outcome: OnOutcome | None,
        journal: Journal | None = None,
    ) -> None:
        if compare not in _COMPARES:
            raise InvalidArgumentError(f"compare must be one of {_COMPARES}, not {compare!r}")
        if not isinstance(jobs, int) or jobs < 1:
            raise InvalidArgumentError(f"jobs must be a number of at least 1, not {jobs!r}")
        if on_outcome is not None and not callable(on_outcome):
            raise InvalidTypeError(f"on_outcome is called: {on_outcome!r} cannot be")
        self.source = source
        self.destination = destination
        self.journal = journal
        self.copying = Copying(source, destination, journal)
        self.report = Report()
        self.width = Width(jobs)
        self.crew = Crew(self.width, max(source.memory_budget, destination.memory_budget))
        self._compare: Compare = compare
        self._meant = chosen(include, exclude)
        self._on_outcome = on_outcome

    async def tell(
        self, name: str, action: Action, size: int = 0, error: Exception | None = None
    ) -> None:
        """Note what became of a name, and tell it."""
        outcome = Outcome(name, action, size, error)
        self.report.add(outcome)
        if self._on_outcome is not None:
            try:
                result = self._on_outcome(outcome)
                if inspect.isawaitable(result):
                    await result
            except Exception as exc:
                raise Stopped(exc) from exc  # an OSError of theirs is no failure of a file

    async def whole(self, work: Coroutine[Any, Any, None]) -> Report:
        """Return the report of a run once all its jobs have ended, however it ends."""
        try:
            await work
        except Stopped as stopped:
            raise stopped.error from stopped.error.__cause__
        finally:
            await self.crew.cancel()
        return self.report

    async def over_pairs(self) -> None:
        """Handle every name that one of the trees has; what cannot be listed is told."""

        async def unreadable(folder: str, exc: StorageError) -> None:
            await self.tell(folder and f"{folder}/", Action.failed, error=exc)

        listings = pairs(self.source, self.destination, self._meant, unreadable)
        try:
            async with aclosing(listings) as found:
                async for left, right in found:
                    entry = left or right
                    assert entry is not None, "a pair is of something"
                    if left is None and not entry.addressable:
                        continue  # a stranger's, which stays
                    if not entry.addressable:
                        error = InvalidKeyError("no storage may have this name", key=entry.name)
                        await self.tell(entry.name, Action.failed, entry.size, error)
                    elif left is None:
                        await self.only_there(entry)
                    elif right is None:
                        await self.only_here(entry)
                    else:
                        await self.both(left, right, self._verdict(left, right))
        except (StorageError, OSError) as exc:
            await self.tell("", Action.failed, error=exc)

    def _verdict(self, left: ListEntry, right: ListEntry) -> Verdict:
        if self.journal is not None and self._compare != "checksum":
            known = self.journal.verdict(left.name, version(left), version(right))
            if known is not None:
                return known
        verdict = by_entries(left, right, self._compare)
        if verdict is Verdict.same:
            self.remember(left, right)
        return verdict

    def remember(self, left: ListEntry, right: ListEntry) -> None:
        """Note what was found to be the same, and was not known to be."""

    async def only_here(self, entry: ListEntry) -> None:
        """Handle what only the source has."""
        raise NotImplementedError

    async def only_there(self, entry: ListEntry) -> None:
        """Handle what only the destination has."""
        raise NotImplementedError

    async def both(self, left: ListEntry, right: ListEntry, verdict: Verdict) -> None:
        """Handle what both have."""
        raise NotImplementedError

    async def start(self, name: str, size: int, job: Callable[[], Awaitable[None]]) -> None:
        """Start a job for a file; that it fails is told."""
        await self.crew.start(lambda: self._guarded(name, size, job), size)

    async def _guarded(self, name: str, size: int, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except (StorageError, OSError) as exc:
            await self.tell(name, Action.failed, size, exc)


def check_storages(call: str, *storages: Storage) -> None:
    """Raise `InvalidTypeError` for what is no storage."""
    for storage in storages:
        if not isinstance(storage, Storage):
            raise InvalidTypeError(
                f"{call}() takes storages, or views of them, not {type(storage).__name__}"
            )
