"""How many files are under way at once: more while that makes the whole faster.

Small files wait for answers and want many at once, large ones share what the line gives and want
few, and a service that is overloaded wants fewer still. What is best shows in how much gets done.
Pure: it is told what was done, and when.
"""

from __future__ import annotations

_STEPS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
_START = 3  # index of the step to begin with
_WINDOW = 0.3  # seconds that a step is tried for, at least
_LEAST = 3  # files of each worker that a step is judged by
_GAIN = 1.04  # what a step up must bring to be kept
_LOSS = 0.9  # below which share of what was a step down is tried
_PAUSE = 4  # windows until a step up is tried again, doubled each time

PER_FILE = 64 << 10
"""Bytes that a file counts for beside its own: what asking for one costs."""


class Width:
    """Chooses how many files are under way at once.

    Args:
        most: the greatest number.
    """

    def __init__(self, most: int) -> None:
        self._steps = [step for step in _STEPS if step < most] + [most]
        self._step = min(_START, len(self._steps) - 1)
        self._rates: dict[int, float] = {}
        self._pause = 0
        self._next_pause = _PAUSE
        self._since: float | None = None
        self._work = 0
        self._files = 0

    @property
    def now(self) -> int:
        """How many files may be under way."""
        return self._steps[self._step]

    def done(self, size: int, now: float) -> None:
        """Take in a file that has ended.

        Args:
            size: in bytes.
            now: in seconds, of any clock.
        """
        if self._since is None:
            self._since = now
            return
        self._work += size + PER_FILE
        self._files += 1
        elapsed = now - self._since
        if elapsed >= _WINDOW and self._files >= _LEAST * self.now:
            self._judge(self._work / elapsed)
            self._since, self._work, self._files = now, 0, 0

    def overloaded(self) -> None:
        """Take in that the service asked for less."""
        self._step = max(self._step - 2, 0)
        self._rates.clear()
        self._pause = self._next_pause
        self._since, self._work, self._files = None, 0, 0

    def _judge(self, rate: float) -> None:
        self._rates[self._step] = rate
        below = self._rates.get(self._step - 1)
        if below is not None and rate < _GAIN * below:
            # The step up brought nothing: the one below does as well for less.
            self._step -= 1
            self._rates.pop(self._step)
            self._pause, self._next_pause = self._next_pause, 2 * self._next_pause
        elif self._pause:
            self._pause -= 1
        else:
            self._step = min(self._step + 1, len(self._steps) - 1)
