"""The bar, drawn by rich."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_NARROW = 60  # columns, below which a bar would leave no room for itself


class RichBar:
    """One bar over all files of a command: bytes, rate and time left.

    Args:
        word: what is done, such as ``"put"``.
    """

    def __init__(self, word: str) -> None:
        console = Console(stderr=True)
        columns: list[ProgressColumn] = [TextColumn("{task.description}")]
        if console.width >= _NARROW:
            columns += [BarColumn(None), DownloadColumn()]
            columns += [TransferSpeedColumn(), TimeRemainingColumn()]
        else:
            columns += [TextColumn("{task.percentage:>3.0f}%"), TransferSpeedColumn()]
        self._progress = Progress(*columns, console=console, expand=True, redirect_stdout=False)
        self._word = word
        self._task = self._progress.add_task(word, total=None)
        self._files = 0
        self._done = 0
        self._total = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._progress.stop()

    def found(self, size: int | None) -> None:
        """Count a file that is to be sent."""
        self._files += 1
        self._total += size or 0
        self._progress.update(self._task, total=None if size is None else self._total)
        self._describe()

    def begin(self) -> Callable[[int], None]:
        """Return the callback of a file that is sent now."""
        before = 0

        def advance(done: int) -> None:
            nonlocal before
            self._progress.advance(self._task, done - before)
            before = done

        return advance

    def ended(self) -> None:
        """Count a file that is done, or failed."""
        self._done += 1
        self._describe()

    def _describe(self) -> None:
        many = f" {self._done}/{self._files}" if self._files > 1 else ""
        self._progress.update(self._task, description=self._word + many)
