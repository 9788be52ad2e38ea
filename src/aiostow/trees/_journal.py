"""What a run has done, so that the next one, or one that goes on for it, need not do it again."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..errors import InvalidArgumentError, StorageError
from ._compare import Verdict
from ._stop import Stopped

_APPLICATION = 0x616F7374  # marks the file as a journal
_FORMAT = 1
_FRESH = "~"  # what is put after a version that may hide a later change
_TABLES = """
CREATE TABLE IF NOT EXISTS about (format INTEGER, source TEXT, destination TEXT);
CREATE TABLE IF NOT EXISTS files (
    name BLOB PRIMARY KEY, source TEXT NOT NULL, destination TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS begun (
    name BLOB PRIMARY KEY, source TEXT NOT NULL, before TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
    name BLOB PRIMARY KEY, source TEXT NOT NULL, token TEXT NOT NULL
) WITHOUT ROWID;
"""


class Journal:
    """A file that remembers, for one pair of trees, which version of each file was copied.

    It is written as files are done, so that a killed run loses nothing of it; a power cut may lose
    the last seconds, which are then found out by comparing. It holds names and versions, no secret.
    One run at a time has it.

    Args:
        path: of the file, which is made if it is not there, for its owner alone; its folder must
            be.
        source: the address of what is copied.
        destination: the address of where to.

    Raises:
        InvalidArgumentError: the file is of other trees, or no journal.
        StorageError: another run has it, or it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], source: str, destination: str) -> None:
        self._path = Path(os.fspath(path)).absolute()
        try:
            # One that is there must not be opened: closing it would drop the locks of another run
            # in this process.
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            self._base = sqlite3.connect(self._path, isolation_level=None, timeout=0)
        except (OSError, sqlite3.Error) as exc:
            raise StorageError(f"the journal {str(self._path)!r} cannot be opened: {exc}") from exc
        try:
            self._begin(source, destination)
        except BaseException:
            self._base.close()
            raise

    def _begin(self, source: str, destination: str) -> None:
        name = repr(str(self._path))
        try:
            (marked,) = self._base.execute("PRAGMA application_id").fetchone()
            (tables,) = self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables and marked != _APPLICATION:
                raise InvalidArgumentError(f"{name} is no journal, but some other database")
            # Exclusive for as long as it is open; commits then wait for no disk.
            for setting in (
                "locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL",
                f"application_id={_APPLICATION}",
            ):  # fmt: skip
                self._base.execute(f"PRAGMA {setting}")
            self._base.executescript(f"BEGIN EXCLUSIVE; {_TABLES} COMMIT;")
            row = self._base.execute("SELECT * FROM about").fetchone()
            if row is None:
                row = (_FORMAT, source, destination)
                self._base.execute("INSERT INTO about VALUES (?, ?, ?)", row)
        except sqlite3.OperationalError as exc:
            raise StorageError(
                f"the journal {name} is in use by another run, or cannot be written: {exc}"
            ) from exc
        except sqlite3.DatabaseError as exc:
            raise InvalidArgumentError(f"{name} is no journal: {exc}") from exc
        if row != (_FORMAT, source, destination):
            raise InvalidArgumentError(
                f"the journal {name} is of other trees: {row[1]!r} to {row[2]!r}"
            )

    def _do(self, statement: str, *values: object) -> Any:
        try:
            return self._base.execute(statement, values).fetchone()
        except sqlite3.Error as exc:
            error = StorageError(
                f"the journal {str(self._path)!r} cannot be read or written any more: {exc}"
            )
            error.__cause__ = exc
            raise Stopped(error) from exc

    def begin(self, name: str, source: str, before: str | None) -> None:
        """Remember that a file is about to be copied.

        Args:
            name: of the file.
            source: its version.
            before: the version of what the destination holds; None for nothing.
        """
        self._do("INSERT OR REPLACE INTO begun VALUES (?, ?, ?)", _key(name), source, before)

    def finish(self, name: str, source: str, destination: str, *, fresh: bool = False) -> None:
        """Remember that the version `destination` is a copy of the version `source`.

        Args:
            name: of the file.
            source: its version.
            destination: the version of the copy.
            fresh: the source's version is so new that it may hide a later change.
        """
        if fresh:
            source += _FRESH
        self._do("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", _key(name), source, destination)
        for table in ("begun", "uploads"):
            self._do(f"DELETE FROM {table} WHERE name = ?", _key(name))

    def verdict(self, name: str, source: str, destination: str) -> Verdict | None:
        """Tell whether the destination's version is a copy of the source's; None: not known."""
        begun = self._do("SELECT source, before FROM begun WHERE name = ?", _key(name))
        if begun is not None and begun[1] != destination:
            # A copy that failed or was killed, and then something was written. A commit changes the
            # version at once and whole, so it may be ours; only the contents can tell.
            return Verdict.unsure if _size(destination) == _size(source) else Verdict.different
        row = self._do("SELECT source, destination FROM files WHERE name = ?", _key(name))
        if row is None:
            return None
        copied, copy = row
        if copy == destination and copied in (source, source + _FRESH):
            return Verdict.same if copied == source else Verdict.unsure
        return Verdict.different

    def forget(self, name: str) -> None:
        """Forget a name that is gone."""
        for table in ("files", "begun", "uploads"):
            self._do(f"DELETE FROM {table} WHERE name = ?", _key(name))

    def upload(self, name: str) -> tuple[str, str] | None:
        """Return source version and token of an upload that was left under way."""
        row = self._do("SELECT source, token FROM uploads WHERE name = ?", _key(name))
        return None if row is None else (row[0], row[1])

    def note_upload(self, name: str, source: str, token: str) -> None:
        """Remember an upload under way."""
        self._do("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?)", _key(name), source, token)

    def close(self) -> None:
        """Close the file; idempotent."""
        self._base.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


def _key(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _size(version: str) -> str:
    return version.partition(" ")[0]
