"""What an endpoint remembers of links: which were used up, and which were revoked."""

from __future__ import annotations

import enum
import math
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from ._process import process_id
from ._threads import Threads
from .errors import InvalidArgumentError

__all__ = ["LinkState", "LinkStore", "MemoryLinkStore", "SQLiteLinkStore"]

T = TypeVar("T")

_TOKEN_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
_BETWEEN_PURGES = 60.0  # seconds
_KEPT = 24 * 3600.0  # seconds after its end that a link is remembered: clocks differ, and are set
_BUSY = 10.0  # seconds that one process waits for another's write


class LinkState(enum.Enum):
    """What became of a link."""

    free = "free"
    held = "held"
    used = "used"
    revoked = "revoked"


class LinkStore(Protocol):
    """Remembers links by their `token_id`, until they expire; never the tokens themselves.

    All processes that serve a link must share what it remembers. Methods may be called on several
    event loops; whatever they raise is answered with 503, and the link is not served.
    """

    async def state(self, token_id: str) -> LinkState:
        """Return what became of a link."""
        ...

    async def take(self, token_id: str, holder: str, *, until: float, expires: float) -> bool:
        """Take a link, in one step that only one of many at once can succeed in.

        Args:
            token_id: of the link.
            holder: who takes it; the same may take it again, which prolongs it.
            until: when it is free again, in seconds since the epoch; infinite when it is used up.
            expires: when the link itself ends, and may be forgotten.

        Returns:
            whether it was taken: it was free, or held by `holder`.
        """
        ...

    async def release(self, token_id: str, holder: str) -> None:
        """Make a link free that `holder` has taken, also for good."""
        ...

    async def revoke(self, token_id: str, *, expires: datetime | float) -> None:
        """End a link before its time, whether or not it is for one use.

        Args:
            token_id: of the link.
            expires: when it would have ended by itself: an aware time, or seconds since the epoch.

        Raises:
            InvalidArgumentError: this is the id of no token, such as a whole link.
        """
        ...

    async def aclose(self) -> None:
        """Give back what the store holds; idempotent."""
        ...


@dataclass(slots=True)
class _Taken:
    holder: str | None  # None: revoked
    until: float
    expires: float


def _state(holder: str | None, until: float, now: float) -> LinkState:
    if holder is None:
        return LinkState.revoked
    if until == math.inf:
        return LinkState.used
    return LinkState.held if until > now else LinkState.free


def _checked(token_id: str, expires: datetime | float) -> float:
    """Return when a revoked link would have ended; refuse what would revoke nothing."""
    if not isinstance(token_id, str) or not _TOKEN_ID.fullmatch(token_id):
        raise InvalidArgumentError(
            "this is the id of no token: give link.token_id, or the token_id of its grant"
        )
    return expires.timestamp() if isinstance(expires, datetime) else float(expires)


class MemoryLinkStore:
    """A `LinkStore` for an application that is one process, and forgets when that ends.

    Args:
        clock: returns the seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # event loops of several threads may share it
        self._taken: dict[str, _Taken] = {}
        self._purged = clock()

    async def state(self, token_id: str) -> LinkState:
        """Return what became of a link."""
        with self._lock:
            taken = self._taken.get(token_id)
        if taken is None:
            return LinkState.free
        return _state(taken.holder, taken.until, self._clock())

    async def take(self, token_id: str, holder: str, *, until: float, expires: float) -> bool:
        """Take a link; see `LinkStore.take`."""
        now = self._clock()
        with self._lock:
            self._purge(now)
            taken = self._taken.get(token_id)
            free = taken is None or _state(taken.holder, taken.until, now) is LinkState.free
            if not free and taken is not None and taken.holder != holder:
                return False
            self._taken[token_id] = _Taken(holder, until, expires)
            return True

    async def release(self, token_id: str, holder: str) -> None:
        """Make a link free that `holder` has taken."""
        with self._lock:
            taken = self._taken.get(token_id)
            if taken is not None and taken.holder == holder:
                del self._taken[token_id]

    async def revoke(self, token_id: str, *, expires: datetime | float) -> None:
        """End a link before its time; see `LinkStore.revoke`."""
        last = _checked(token_id, expires)
        with self._lock:
            self._purge(self._clock())
            taken = self._taken.get(token_id)
            last = last if taken is None else max(last, taken.expires)
            self._taken[token_id] = _Taken(None, math.inf, last)

    async def aclose(self) -> None:
        """Do nothing: what is remembered stays as long as the store."""

    def _purge(self, now: float) -> None:
        if now - self._purged < _BETWEEN_PURGES:
            return
        self._purged = now
        for token_id in [id for id, it in self._taken.items() if it.expires < now - _KEPT]:
            del self._taken[token_id]


# SQLite counts locks by process. A child that was forked in the middle of a statement would believe
# that it has them, so no fork comes between.
_statements = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_statements.acquire,
        after_in_parent=_statements.release,
        after_in_child=_statements.release,
    )

_SCHEMA = """
CREATE TABLE IF NOT EXISTS links (
    token_id TEXT PRIMARY KEY,
    holder TEXT,
    until REAL NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID
"""

_TAKE = """
INSERT INTO links (token_id, holder, until, expires) VALUES (:token_id, :holder, :until, :expires)
ON CONFLICT (token_id) DO UPDATE SET holder = :holder, until = :until
WHERE holder = :holder OR (holder IS NOT NULL AND until <= :now)
"""

_REVOKE = """
INSERT INTO links (token_id, holder, until, expires) VALUES (?, NULL, ?, ?)
ON CONFLICT (token_id) DO UPDATE
SET holder = NULL, until = excluded.until, expires = max(expires, excluded.expires)
"""


class SQLiteLinkStore:
    """A `LinkStore` in a file that all processes of one machine share, and that outlives them.

    What was answered is on the disk. The file must be on a local disk, since SQLite's locks do not
    hold on network file systems.

    Args:
        path: of the file; it is made where it is missing.
        clock: returns the seconds since the epoch.

    Raises:
        InvalidArgumentError: the folder of the file is not there.
    """

    def __init__(
        self, path: str | os.PathLike[str], clock: Callable[[], float] = time.time
    ) -> None:
        self._path = os.path.abspath(path)
        if not os.path.isdir(os.path.dirname(self._path)):
            raise InvalidArgumentError(f"there is no folder for the file {self._path!r}: make it")
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._pid = process_id()
        self._threads = Threads("aiostow-links", 1)  # a connection is for one at a time
        self._connection: sqlite3.Connection | None = None
        self._purged = self._clock()

    def __reduce__(self) -> Any:
        return type(self), (self._path, self._clock)

    async def state(self, token_id: str) -> LinkState:
        """Return what became of a link."""
        query = "SELECT holder, until FROM links WHERE token_id = ?"
        row = await self._run(lambda db: db.execute(query, (token_id,)).fetchone())
        if row is None:
            return LinkState.free
        holder, until = row
        return _state(holder, until, self._clock())

    async def take(self, token_id: str, holder: str, *, until: float, expires: float) -> bool:
        """Take a link; see `LinkStore.take`."""
        now = self._clock()
        values = {
            "token_id": token_id, "holder": holder, "until": until, "expires": expires, "now": now,
        }  # fmt: skip

        def take(db: sqlite3.Connection) -> bool:
            self._purge(db, now)
            return db.execute(_TAKE, values).rowcount == 1

        return await self._run(take)

    async def release(self, token_id: str, holder: str) -> None:
        """Make a link free that `holder` has taken."""
        query = "DELETE FROM links WHERE token_id = ? AND holder = ?"
        await self._run(lambda db: db.execute(query, (token_id, holder)))

    async def revoke(self, token_id: str, *, expires: datetime | float) -> None:
        """End a link before its time; see `LinkStore.revoke`."""
        last = _checked(token_id, expires)
        now = self._clock()

        def revoke(db: sqlite3.Connection) -> None:
            self._purge(db, now)
            db.execute(_REVOKE, (token_id, math.inf, last))

        await self._run(revoke)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the file; used again, the store opens it anew."""
        self._leave_parent()
        if self._connection is not None:
            await self._threads.run(self._close)
        self._threads.close()

    def _purge(self, db: sqlite3.Connection, now: float) -> None:
        if now - self._purged >= _BETWEEN_PURGES:
            self._purged = now
            db.execute("DELETE FROM links WHERE expires < ?", (now - _KEPT,))

    async def _run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        self._leave_parent()

        def run() -> T:
            with _statements:
                return call(self._open())

        return await self._threads.run(run)

    def _leave_parent(self) -> None:
        """After a fork, begin with a connection of this process's own."""
        if self._pid != process_id():
            self._close()
            self._begin()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            # Each statement is a transaction of its own, and each is atomic.
            db = sqlite3.connect(
                self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False
            )
            try:
                # Not WAL, in which an idle connection holds locks; a fork does not take them along.
                db.execute("PRAGMA journal_mode = TRUNCATE")
                db.execute("PRAGMA synchronous = FULL")
                db.execute(_SCHEMA)
            except BaseException:
                db.close()
                raise
            self._connection = db
        return self._connection

    def _close(self) -> None:
        db, self._connection = self._connection, None
        if db is not None:
            db.close()
