"""What an examination of a storage consists of, and what it finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from .models import Link

CheckStatus: TypeAlias = Literal["ok", "warning", "failed", "skipped"]

_MARKS: dict[CheckStatus, str] = {
    "ok": "ok", "warning": "WARN", "failed": "FAIL", "skipped": "skip",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """What one check of a storage found. Neither text holds a secret, a token or a signed URL.

    Attributes:
        name: of the check, the same each time.
        status: ``"ok"``, ``"warning"``, ``"failed"``, or ``"skipped"`` where it could not be told.
        found: what was seen.
        advice: what to do, or what could be done; empty for nothing.
    """

    name: str
    status: CheckStatus
    found: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{_MARKS[self.status]:<4}  {self.name}: {_one_line(self.found)}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an examination of a storage found; its str is a line a check, then what to do.

    Attributes:
        storage: its name.
        checks: in the order in which they were made.
    """

    storage: str
    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether no check failed; warnings do not count."""
        return not any(check.status == "failed" for check in self.checks)

    def __str__(self) -> str:
        lines = [str(check) for check in self.checks]
        lines += [
            f"  -> {check.name}: {_one_line(check.advice)}" for check in self.checks if check.advice
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return the same as JSON can hold it."""
        return {
            "storage": self.storage,
            "healthy": self.healthy,
            "checks": [asdict(check) for check in self.checks],
        }


def _one_line(text: str) -> str:
    return " ".join(text.split())


class Finding(NamedTuple):
    """What a step found: a `Check` without its name."""

    status: CheckStatus
    found: str
    advice: str = ""


def after(name: str) -> Finding:
    """Return the finding of a step that stands on another, which did not succeed."""
    return Finding("skipped", f"after {name!r}, without which it cannot be told")


@dataclass(frozen=True, slots=True)
class Step:
    """One check, to be made.

    Attributes:
        name: of the check.
        run: makes it. An error of the storage is a failed check.
        needs: names of checks that must not have failed before; those that are not made count as
            passed.
        writes: it changes objects of `Canary`, and nothing else.
        first: it comes before all that needs credentials, also in place of a shared one.
    """

    name: str
    run: Callable[[], Awaitable[Finding]]
    needs: tuple[str, ...] = ()
    writes: bool = False
    first: bool = False


@dataclass(frozen=True, slots=True)
class Canary:
    """The objects that an examination may make; whatever becomes of it, they are removed.

    Attributes:
        key: the driver's, of an object that holds `data` until the check ``delete``.
        other: another key, of no object.
        data: some bytes.
        origin: whence a browser would upload.
        origin_named: whether the caller named it.
        link: makes a link of the service's own to `key`, for an operation; None where links are
            not the service's.
    """

    key: str
    other: str
    data: bytes = field(repr=False)
    origin: str
    origin_named: bool
    link: Callable[[str], Awaitable[Link]] | None
