"""A hook that keeps what it is told, and knows how that must look."""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict

from aiostow.events import (
    Event,
    OperationFailed,
    OperationFinished,
    OperationRetried,
    OperationStarted,
)


class Recorder:
    """Keeps all events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def told(self) -> list[str]:
        """What was told, as in ``"Started open"``."""
        return [
            f"{type(event).__name__.removeprefix('Operation')} {event.operation}"
            for event in self.events
        ]

    @property
    def started(self) -> OperationStarted:
        """The one that was told."""
        (event,) = (event for event in self.events if isinstance(event, OperationStarted))
        return event

    @property
    def finished(self) -> OperationFinished:
        """The one that was told."""
        (event,) = (event for event in self.events if isinstance(event, OperationFinished))
        return event

    @property
    def failed(self) -> OperationFailed:
        """The one that was told."""
        (event,) = (event for event in self.events if isinstance(event, OperationFailed))
        return event

    @property
    def retried(self) -> list[OperationRetried]:
        return [event for event in self.events if isinstance(event, OperationRetried)]

    async def settled(self) -> None:
        """Let what was forgotten be told."""
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def check(self) -> None:
        """Every operation began once and ended once, and nothing else was told of it."""
        operations: dict[str, list[Event]] = defaultdict(list)
        for event in self.events:
            operations[event.id].append(event)
        for first, *between, last in operations.values():
            assert isinstance(first, OperationStarted)
            assert isinstance(last, OperationFinished | OperationFailed)
            assert all(isinstance(event, OperationRetried) for event in between)
            events = (first, *between, last)
            assert len({(e.operation, e.storage, e.key, e.target) for e in events}) == 1
            times = [event.timestamp for event in events]
            assert times == sorted(times)
            assert last.duration >= 0
            assert last.bytes >= 0
