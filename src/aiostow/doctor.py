"""Looking a storage over: what is wrong with it, and what to do."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from ._checks import SharedChecks, advice_for
from ._diagnosis import Check, CheckStatus, Diagnosis, Finding, Step, after
from .driver import Inspector
from .errors import ClosedError, InvalidArgumentError, StorageError
from .storage import Storage

__all__ = ["Check", "CheckStatus", "Diagnosis", "diagnose"]

_ORIGIN = re.compile(r"https?://[^\s/?#@,]+")


async def diagnose(
    storage: Storage, *, prefix: str = "", origin: str | None = None, write: bool = True
) -> Diagnosis:
    """Look a storage over, and tell what is wrong with it and what to do.

    Nothing is raised because the storage is ill: that is what the checks tell. Objects are made
    under names of 128 random bits that begin with ``aiostow-doctor-``, and removed again, also
    after an error or a cancellation; no other object is read, changed or removed. Whoever is killed
    leaves at most such objects, which the next examination names, and what `Storage.sweep`
    removes.

    Args:
        storage: to be examined; it stays open.
        prefix: make the objects below it, as `Storage.at` would; it need not exist.
        origin: of the web page whose uploads are to be let in, such as ``"https://app.example"``.
            If it is named, to refuse it is a failure; else ``http://localhost`` is tried, and to
            refuse that is worth a warning.
        write: False makes no objects: what needs them is skipped.

    Raises:
        InvalidArgumentError: `origin` is none, or no key can begin with `prefix`.
        ClosedError: the storage is closed.
    """
    if origin is not None:
        check_origin(origin)
    if storage.closed:
        raise ClosedError("the storage is closed")
    view = storage.at(prefix) if prefix else storage
    shared = SharedChecks(view, origin)
    examination = _Examination(view, write)
    try:
        await examination.run(shared, shared.steps())
    finally:
        if examination.wrote:
            await view._shared.cleanups.finish(examination.clean(shared))
    return Diagnosis(storage.name, tuple(examination.checks.values()))


def check_origin(origin: str) -> None:
    """Refuse what is no origin of a web page.

    Raises:
        InvalidArgumentError: it is none.
    """
    if not _ORIGIN.fullmatch(origin):
        raise InvalidArgumentError(
            f"{origin!r} is no origin: write scheme and host, as in 'https://app.example'"
        )


class _Examination:
    """One run of all checks, and what they found so far."""

    def __init__(self, storage: Storage, write: bool) -> None:
        self._storage = storage
        self._write = write
        self._advise: Callable[[str, StorageError], str] = advice_for
        self.checks: dict[str, Check] = {}
        self.wrote = False

    async def run(self, shared: SharedChecks, steps: list[Step]) -> None:
        """Make all checks, those of the driver's own among them."""
        driver = self._storage.driver
        if isinstance(driver, Inspector):
            self._advise = driver.advise
        await self._make(steps[0])
        own: Mapping[str, Step] = {}
        if isinstance(driver, Inspector) and self._status("configuration") == "ok":
            own = {step.name: step for step in driver.steps(shared.canary)}
        for step in _merged(steps[1:], own):
            await self._make(step)

    async def clean(self, shared: SharedChecks) -> None:
        """Remove what was made, and tell of what could not be removed."""
        cleaned = await self._found("clean-up", shared.remove)
        if cleaned.status == "ok":
            return
        told = self.checks.get("delete")
        if told is not None and told.status == "failed":  # which is the same failure
            found = f"{told.found}; so {shared.keys[0]!r} is left"
            self.checks["delete"] = replace(told, found=found)
            return
        found = f"{cleaned.found}; what is left begins with {shared.keys[0]!r}"
        self.checks["clean-up"] = Check("clean-up", "failed", found, cleaned.advice)

    async def _make(self, step: Step) -> None:
        self.checks[step.name] = Check(step.name, *await self._finding(step))

    async def _finding(self, step: Step) -> Finding:
        for name in step.needs:
            if self._status(name) in ("failed", "skipped"):
                return after(name)
        if not step.writes:
            return await self._found(step.name, step.run)
        if not self._write:
            return Finding("skipped", "it writes, which was not allowed")
        self.wrote = True
        # Never cut: what a step has made must be known to be there or not when it is removed.
        return await self._storage._shared.cleanups.finish(self._found(step.name, step.run))

    async def _found(self, name: str, run: Callable[[], Awaitable[Finding]]) -> Finding:
        try:
            return await run()
        except Exception as exc:  # noqa: BLE001  # whatever it is, the other checks go on
            error = self._storage._context(name, None).wrap(exc)
            if isinstance(error, StorageError):
                return Finding("failed", error.message, self._advise(name, error))
            # A stranger's words may hold anything.
            return Finding("failed", f"this was not foreseen: {type(exc).__name__}")

    def _status(self, name: str) -> CheckStatus:
        check = self.checks.get(name)
        return "ok" if check is None else check.status


def _merged(shared: list[Step], own: Mapping[str, Step]) -> list[Step]:
    """Return all steps: a driver's own in place of shared ones, or after the last that it needs."""
    made = [own.get(step.name, step) for step in shared]
    places = {step.name: place for place, step in enumerate(made)}
    merged = [(-1 if step.first else places[step.name], step) for step in made]
    for step in own.values():
        if step.name not in places:
            needed = [places[name] for name in step.needs if name in places]
            merged.append((-1 if step.first else max(needed, default=-1), step))
    merged.sort(key=lambda each: each[0])
    return [step for _, step in merged]
