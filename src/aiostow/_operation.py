"""One operation under way, as its events tell it."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

from ._process import process_id
from .errors import StorageError
from .events import (
    Event,
    OperationFailed,
    OperationFinished,
    OperationRetried,
    OperationStarted,
    Target,
)

_CANCELLATIONS = (asyncio.CancelledError, GeneratorExit)


class Listener(Protocol):
    """Who is told of a storage's operations, and what that points to."""

    @property
    def target(self) -> Target: ...

    def tell(self, event: Event) -> None: ...


class Operation:
    """One operation under way, which begins when it is made.

    Args:
        observer: who is told.
        name: of the public method.
        storage: its name.
        key: as the caller gave it.
    """

    __slots__ = ("_about", "_began", "_loop", "_pid", "_since", "bytes", "ended", "observer")

    def __init__(self, observer: Listener, name: str, storage: str, key: str | None) -> None:
        self.ended = False
        self.observer = observer
        self.bytes = 0
        self._pid = process_id()
        self._loop = _running_loop()
        self._about: dict[str, Any] = {
            "id": uuid4().hex, "operation": name, "storage": storage, "key": key,
            "target": observer.target,
        }  # fmt: skip
        self._began = time.time_ns()
        self._since = time.monotonic_ns()
        observer.tell(OperationStarted(**self._about, timestamp=self._began))

    def _now(self) -> tuple[dict[str, Any], float]:
        """Return what every further event tells, and the duration so far."""
        elapsed = time.monotonic_ns() - self._since
        return self._about | {"timestamp": self._began + elapsed}, elapsed / 1e9

    def retried(self, attempt: int, pause: float, error: BaseException, reason: str) -> None:
        """Tell that a part of it is tried again."""
        if not self.ended:
            about, _ = self._now()
            kind = type(error).__name__
            self.observer.tell(
                OperationRetried(
                    **about, attempt=attempt, pause=pause, error_type=kind, reason=reason
                )
            )

    def finish(self) -> None:
        """Tell that it did what it was asked for; of several endings the first counts."""
        if not self.ended:
            self.ended = True
            self.observer.tell(self._finished())

    def fail(self, reason: BaseException | str) -> None:
        """Tell that it did not; of several endings the first counts."""
        if not self.ended:
            self.ended = True
            self.observer.tell(self._failed(reason))

    def _finished(self) -> OperationFinished:
        about, duration = self._now()
        return OperationFinished(**about, duration=duration, bytes=self.bytes)

    def _failed(self, reason: BaseException | str) -> OperationFailed:
        about, duration = self._now()
        return OperationFailed(
            **about,
            duration=duration,
            bytes=self.bytes,
            error=reason if isinstance(reason, StorageError) else None,
            error_type=reason if isinstance(reason, str) else type(reason).__name__,
            cancelled=isinstance(reason, _CANCELLATIONS),
        )

    def forget(self) -> None:
        """Tell that nobody can end it any more: a listing that was left early, or an open file."""
        if self.ended or self._pid != process_id():
            return
        self.ended = True
        is_list = self._about["operation"] == "list"
        event = self._finished() if is_list else self._failed("unclosed")
        loop, tell = self._loop, self.observer.tell
        if loop is not None and loop.is_running():
            try:  # in its own turn: a hook must not run wherever memory happens to be freed
                loop.call_soon_threadsafe(tell, event)
                return
            except RuntimeError:  # closed in between
                pass
        tell(event)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Under(NamedTuple):
    """The operation under way, and the one that it is carried out within."""

    operation: Operation
    outer: Under | None


under_way: ContextVar[Under | None] = ContextVar("aiostow_operation", default=None)
"""Set only where somebody is told. Tasks inherit it, and so do the callbacks of the caller."""


def enter(operation: Operation) -> Under:
    """Set what is under way; whoever does so sets it to `outer` again."""
    under = Under(operation, under_way.get())
    under_way.set(under)
    return under


def tell_retry(attempt: int, pause: float, error: BaseException, reason: str) -> None:
    """Tell that a part of the operation under way is tried again, if anybody wants to know.

    Args:
        attempt: which try failed: 1 for the first.
        pause: before the next, in seconds.
        error: what went wrong; only its class is told.
        reason: a few words, without key, URL or secret.
    """
    under = under_way.get()
    if under is not None:
        under.operation.retried(attempt, pause, error, reason)
