"""How many ranges are under way at once: one while it is fast, more while the reader starves.

A single stream is the cheapest way to read and, on a fast network, the quickest. A distant service
gives each connection little; there several at once are faster by their number. Which it is shows
in what comes, and may change while an object is read. Pure: it is told what came, and when.
"""

from __future__ import annotations

FAST = 100 << 20
"""Bytes a second of a single stream that are left alone."""

_FIRST_WINDOW = 2 << 20  # bytes after which a single stream is judged first
_WINDOW = 16 << 20  # and then again
_PATIENCE = 0.25  # seconds after which it is judged though less came
_STEPS = (1, 8, 16)
_GAIN = 1.25  # what a step must bring to be kept
_STARVED = 0.5  # share of the time that the reader waited
_PAUSE = 8  # windows after a step that brought nothing, doubled each time


class Pace:
    """Chooses the number of ranges for one reader.

    Args:
        deepest: the most that the source can use.
        range_size: in bytes, of one of several ranges.
    """

    def __init__(self, deepest: int, range_size: int) -> None:
        self._steps = [step for step in _STEPS if step <= deepest]
        self._range_size = range_size
        self._step = 0
        self._rates: dict[int, float] = {}
        self._pause = 0  # windows until the next step up may be tried
        self._next_pause = _PAUSE
        self._window = _FIRST_WINDOW
        self.restart(0.0)

    @property
    def depth(self) -> int:
        """How many ranges may be under way now."""
        return self._steps[self._step]

    def restart(self, now: float) -> None:
        """Begin to measure anew, as after a jump; what was learnt is kept."""
        self._since = now
        self._bytes = 0
        self._waited = 0.0

    def came(self, count: int, waited: float, now: float) -> bool:
        """Take in what came, and return whether `depth` has changed.

        Args:
            count: of bytes.
            waited: seconds that the reader waited for them.
            now: in seconds, of any clock.
        """
        if self._since == 0.0:
            # The time to the first byte says nothing about the rate.
            self.restart(now)
            return False
        self._bytes += count
        self._waited += waited
        elapsed = now - self._since
        if self._bytes < self._window and (self.depth > 1 or elapsed < _PATIENCE):
            return False
        before = self.depth
        if elapsed > 0:
            self._judge(self._bytes / elapsed, self._waited / elapsed > _STARVED)
        self._window = (
            max(_WINDOW, 2 * self.depth * self._range_size) if self.depth > 1 else _WINDOW
        )
        self.restart(now)
        return self.depth != before

    def _judge(self, rate: float, starved: bool) -> None:
        self._rates[self._step] = rate
        if not starved:
            return
        if self._step and rate < _GAIN * self._rates.get(self._step - 1, 0.0):
            self._step -= 1
            self._pause, self._next_pause = self._next_pause, 2 * self._next_pause
        elif self._pause:
            self._pause -= 1
        elif rate < FAST or self._step:
            self._step = min(self._step + 1, len(self._steps) - 1)
