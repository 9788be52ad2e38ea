"""Entries in a temporary file, in the order of their names."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import Any

from pendulum import DateTime

from ..models import ListEntry


def place(entry: ListEntry) -> bytes:
    """Return where an entry stands in the order of all listings: that of the bytes of names."""
    return entry.name.encode("utf-8", "surrogateescape")


class Spool:
    """Any number of entries in little memory; the file goes with the process."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.execute("CREATE TABLE entries (place BLOB PRIMARY KEY, time, size, etag, known)")

    def add(self, entries: Iterable[ListEntry]) -> None:
        """Take entries in."""
        self._base.execute("BEGIN")
        self._base.executemany(
            "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)",
            (
                (place(entry), entry.last_modified.timestamp(), entry.size, entry.etag,
                 entry.addressable)
                for entry in entries
            ),
        )  # fmt: skip
        self._base.execute("COMMIT")

    def __iter__(self) -> Iterator[ListEntry]:
        rows: Any = self._base.execute("SELECT * FROM entries ORDER BY place")
        for name, time, size, etag, addressable in rows:
            yield ListEntry(
                name.decode("utf-8", "surrogateescape"), DateTime.fromtimestamp(time, UTC), size,
                etag, addressable=bool(addressable),
            )  # fmt: skip

    def close(self) -> None:
        """Drop everything."""
        self._base.close()
