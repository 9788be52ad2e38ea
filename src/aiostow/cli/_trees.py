"""Keeping trees in step from the command line, and comparing them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ..errors import FileNotFoundInStorageError, InvalidArgumentError
from ..storage import Storage
from ..trees import Action, Compare, Outcome, Report, sync, verify
from ._output import json_line, print_lines
from ._places import LocalPath, Object, Place
from ._progress import Bar, bar
from ._run import Session

_QUIET = (Action.unchanged, Action.failed)
_OF_THE_SOURCE = (
    Action.copied, Action.unchanged, Action.different, Action.missing, Action.failed
)  # fmt: skip


@dataclass(frozen=True)
class Trees:
    """What the two commands have in common.

    Attributes:
        source: one tree.
        destination: the other.
        include: patterns of names.
        exclude: patterns of names.
        jobs: files at once, at most.
        as_json: print an object of JSON for each name, and one for all.
        quiet: show no progress, and of names those alone that failed.
    """

    source: Place
    destination: Place
    include: Sequence[str]
    exclude: Sequence[str]
    jobs: int
    as_json: bool
    quiet: bool

    async def sync(
        self, session: Session, *, compare: Compare, delete: bool, dry_run: bool, keep: bool,
        journal: str | None,
    ) -> None:  # fmt: skip
        """Make the destination hold what the source does."""
        source, destination = self._storages(session)
        path: str | Path | None = journal
        if journal is None and keep:
            path = _own_journal(source, destination)
        with self._bar("sync", dry_run) as shown:
            report = await sync(
                source, destination, compare=compare, include=self.include, exclude=self.exclude,
                delete=delete, dry_run=dry_run, journal=path, jobs=self.jobs,
                on_outcome=lambda outcome: self._tell(session, outcome, shown),
            )  # fmt: skip
        self._end(session, report)

    async def verify(self, session: Session, *, compare: Compare) -> None:
        """Compare the trees; a difference is a failure."""
        source, destination = self._storages(session)
        with self._bar("verify", False) as shown:
            report = await verify(
                source, destination, compare=compare, include=self.include, exclude=self.exclude,
                jobs=self.jobs, on_outcome=lambda outcome: self._tell(session, outcome, shown),
            )  # fmt: skip
        self._end(session, report)
        if not report.same:
            session.failures += 1

    def _storages(self, session: Session) -> tuple[Storage, Storage]:
        if isinstance(self.source, LocalPath) and not os.path.isdir(self.source.path):
            raise InvalidArgumentError(f"{self.source.path!r} is no folder")
        return session.places.as_tree(self.source), session.places.as_tree(self.destination)

    def _bar(self, word: str, dry_run: bool) -> AbstractContextManager[Bar]:
        return bar(word, self.quiet or dry_run or self.as_json)

    def _tell(self, session: Session, outcome: Outcome, shown: Bar) -> None:
        shown.found(None)
        shown.begin()(outcome.size)
        shown.ended()
        if self.as_json:
            if outcome.action is not Action.unchanged:
                print_lines([json_line(outcome.as_dict())])
        elif outcome.action not in _QUIET and not self.quiet:
            print_lines([f"{outcome.action.value}: {outcome.name}"])
        if outcome.error is not None:
            session.failed(outcome.error)

    def _end(self, session: Session, report: Report) -> None:
        found = any(report[action] for action in _OF_THE_SOURCE)
        if isinstance(self.source, Object) and self.source.key and not found:
            session.failed(FileNotFoundInStorageError("no file is below it", key=self.source.key))
        if self.as_json:
            print_lines([json_line({"report": report.as_dict()})])
        elif not self.quiet:
            print_lines([str(report)])


def _own_journal(source: Storage, destination: Storage) -> Path:
    """Return where the user's own journal of two trees is, in a folder that is made."""
    home = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(home) if os.path.isabs(home) else Path("~/.local/state").expanduser()
    both = f"{source.address}\n{destination.address}".encode("utf-8", "surrogateescape")
    path = folder / "aiostow" / "sync" / f"{hashlib.sha256(both).hexdigest()[:32]}.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
