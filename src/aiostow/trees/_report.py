"""What became of each name of a tree, and of all of them."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

KEPT_FAILURES = 1000
"""Failures that a report holds; all are counted, and told as they happen."""


class Action(enum.Enum):
    """What was done, or with a dry run would be, or what a comparison found."""

    copied = "copied"
    deleted = "deleted"
    unchanged = "unchanged"
    failed = "failed"
    missing = "missing"
    extra = "extra"
    different = "different"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one name.

    Attributes:
        name: within the trees; empty for what is of no single file, such as a listing that failed.
        action: what was done.
        size: in bytes.
        error: of what failed.
    """

    name: str
    action: Action
    size: int = 0
    error: Exception | None = None

    def __str__(self) -> str:
        parts = [self.action.value, self.name, "" if self.error is None else str(self.error)]
        return ": ".join(filter(None, parts))

    def as_dict(self) -> dict[str, Any]:
        """Return the same as JSON can hold it."""
        told: dict[str, Any] = {
            "name": self.name,
            "action": self.action.value,
            "size": self.size,
        }
        if self.error is not None:
            told |= {"error": type(self.error).__name__, "message": str(self.error)}
        return told


@dataclass(slots=True)
class Report:
    """What a run came to.

    Attributes:
        dry_run: nothing was done: this is what would have been.
        bytes: of all that was copied.
        failures: the first thousand.
    """

    dry_run: bool = False
    bytes: int = 0
    failures: list[Outcome] = field(default_factory=list)
    _counts: Counter[Action] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Take in what became of a name."""
        self._counts[outcome.action] += 1
        if outcome.action is Action.copied:
            self.bytes += outcome.size
        if outcome.action is Action.failed and len(self.failures) < KEPT_FAILURES:
            self.failures.append(outcome)

    def __getitem__(self, action: Action) -> int:
        """Return to how many names something was done."""
        return self._counts[action]

    @property
    def failed(self) -> int:
        """How many names failed; 0 means that all was done."""
        return self[Action.failed]

    @property
    def same(self) -> bool:
        """Whether nothing had to be done, or no difference was found, and nothing failed."""
        return not any(count for action, count in self._counts.items() if action not in _QUIET)

    def __str__(self) -> str:
        told = [f"{count} {action.value}" for action in Action if (count := self[action])]
        text = ", ".join(told) or "nothing there"
        if self.bytes:
            text += f" ({self.bytes} bytes)"
        return f"dry run: {text}" if self.dry_run else text

    def as_dict(self) -> dict[str, Any]:
        """Return the same as JSON can hold it."""
        return {
            "dry_run": self.dry_run,
            **{action.value: self[action] for action in Action if self[action]},
            "bytes": self.bytes,
            "failures": [outcome.as_dict() for outcome in self.failures],
        }


_QUIET = frozenset({Action.unchanged})
