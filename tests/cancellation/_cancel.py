"""Cancelling an operation at its n-th await, as often as asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any


class CancelAt:
    """Awaits `work` and cancels the running task each time it is about to wait for `at`'s turn.

    Args:
        work: the operation.
        at: the number of the await that is cancelled, from 1.
        again: how many of the awaits that follow are cancelled too.
    """

    def __init__(self, work: Awaitable[Any], at: int, again: int = 0) -> None:
        self._work = work
        self._turns = range(at, at + again + 1)
        self.awaits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        iterator = self._work.__await__()
        task = asyncio.current_task()
        assert task is not None
        to_send: Any = None
        error: BaseException | None = None
        while True:
            try:
                if error is None:
                    waited = iterator.send(to_send)
                else:
                    thrown, error = error, None
                    waited = iterator.throw(thrown)
            except StopIteration as stop:
                return stop.value
            self.awaits += 1
            if self.awaits in self._turns:
                asyncio.get_running_loop().call_soon(task.cancel)
            try:
                to_send = yield waited
            except BaseException as exc:
                error = exc
