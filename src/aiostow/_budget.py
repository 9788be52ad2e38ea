"""The memory budget that all transfers of one storage share."""

from __future__ import annotations

import threading


class Budget:
    """A count of bytes, never waited for.

    Nobody waits for bytes that another file holds: a reader that gets none does not read ahead, and
    a writer that gets none waits for its own pieces under way, or if it has none goes on with one
    piece. So one task may hold any number of idle files without a deadlock, and the excess is at
    most a piece for each open file.

    Args:
        total: in bytes.
    """

    __slots__ = ("_lock", "_used", "total")

    def __init__(self, total: int) -> None:
        self.total: int = total
        self._used = 0
        # Loops in several threads may share a storage.
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """How many bytes are held; more than `total` when files went on without."""
        return self._used

    def try_take(self, size: int) -> bool:
        """Take `size` bytes if they are free."""
        with self._lock:
            if self._used + size > self.total:
                return False
            self._used += size
            return True

    def take(self, size: int) -> None:
        """Take `size` bytes, free or not."""
        with self._lock:
            self._used += size

    def give(self, size: int) -> None:
        """Give `size` bytes back."""
        with self._lock:
            self._used -= size
