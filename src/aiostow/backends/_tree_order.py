"""The order of a tree's names: the bytes of full keys, a directory as its name with ``/``. Pure."""

from __future__ import annotations

PAGE = 1000
"""Entries of one page, at least while there are as many."""


def order(name: str) -> bytes:
    """Return the sort key of a full key; names that are no UTF-8 sort by their bytes."""
    return name.encode("utf-8", "surrogateescape")


class Listed:
    """What a listing is of.

    Attributes:
        recursive: files of all levels, or one level with folders.
        top: the directory to begin with, "" or ending with ``/``.
        start: how names in it begin.

    Args:
        prefix: what keys begin with; may end within a segment.
        recursive: see above.
        start_after: list only what comes after this key.
    """

    def __init__(self, prefix: str, *, recursive: bool, start_after: str | None) -> None:
        parent, slash, start = prefix.rpartition("/")
        self.recursive: bool = recursive
        self.top: str = parent + slash
        self.start: str = start
        self._after = None if start_after is None else order(start_after)

    def passed(self, place: bytes, is_dir: bool) -> bool:
        """Whether all of a file or directory lies at or before `start_after`."""
        if self._after is None or place > self._after:
            return False
        return not (is_dir and self.recursive and self._after.startswith(place))
