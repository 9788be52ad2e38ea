"""Whether two trees hold the same."""

from __future__ import annotations

from collections.abc import Iterable

from ..models import ListEntry
from ..storage import Storage
from ._compare import Compare, Verdict
from ._report import Action, Report
from ._run import OnOutcome, Run, check_storages


async def verify(
    source: Storage,
    destination: Storage,
    *,
    compare: Compare = "checksum",
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    jobs: int = 64,
    on_outcome: OnOutcome | None = None,
) -> Report:
    """Compare two trees and change nothing.

    Args:
        source: one of them.
        destination: the other. What it lacks is ``missing``, what it has alone is ``extra``.
        compare: by what; by default the content is read, of one side only where the other's service
            tells its MD5.
        include: patterns of names to take; all by default.
        exclude: patterns of names to leave out.
        jobs: the most files under way at once.
        on_outcome: called with what was found of each name, as it is found; may be async.

    Returns:
        what was found; `Report.same` tells whether the trees are the same. What could not be read
        is counted as failed.

    Raises:
        InvalidArgumentError: one of the arguments is wrong.
    """
    check_storages("verify", source, destination)
    run = _Verify(
        source, destination, compare=compare, include=include, exclude=exclude, jobs=jobs,
        on_outcome=on_outcome,
    )  # fmt: skip
    return await run.whole(run.run())


class _Verify(Run):
    async def run(self) -> None:
        await self.over_pairs()
        await self.crew.finish()

    async def only_here(self, entry: ListEntry) -> None:
        await self.tell(entry.name, Action.missing, entry.size)

    async def only_there(self, entry: ListEntry) -> None:
        await self.tell(entry.name, Action.extra, entry.size)

    async def both(self, left: ListEntry, right: ListEntry, verdict: Verdict) -> None:
        if verdict is Verdict.unsure:
            await self.start(left.name, left.size, lambda: self._look(left, right))
        else:
            same = verdict is Verdict.same
            await self._tell_whether(same, left)

    async def _look(self, left: ListEntry, right: ListEntry) -> None:
        await self._tell_whether(await self.copying.same_content(left, right), left)

    async def _tell_whether(self, same: bool, entry: ListEntry) -> None:
        await self.tell(entry.name, Action.unchanged if same else Action.different, entry.size)
