"""A pool of connections and of sessions on them, which grows with the work and shrinks again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncssh

from ..errors import ClosedError, ResourceLimitError, UnreachableError
from ._sftp_errors import Refused, connect_failure
from ._sftp_session import Session
from ._sftp_wire import Open

_CROWDED = 16  # users of every session from which on another is made, beside the work
_LAST = 5.0  # seconds that the last requests are waited for, such as removals of what was aborted
_PAUSE = 30.0  # seconds until a server that refused a session or connection is asked for one again

Connect = Callable[[], Awaitable[asyncssh.SSHClientConnection]]


class Lease:
    """The use of a session, and of some of the files that it may have open.

    Whatever was opened and not closed is closed with the lease, also what is still being opened.
    """

    def __init__(self, pool: Pool, session: Session, files: int) -> None:
        self._pool = pool
        self._files = files
        self._opened: list[asyncio.Future[bytes]] = []
        self._released = False
        self.session: Session = session

    def open(self, path: bytes, how: Open, mode: int | None = None) -> asyncio.Future[bytes]:
        """Open a file, as `Session.open` does."""
        return self._keep(self.session.open(path, how, mode))

    def open_dir(self, path: bytes) -> asyncio.Future[bytes]:
        """Open a directory."""
        return self._keep(self.session.open_dir(path))

    def _keep(self, opened: asyncio.Future[bytes]) -> asyncio.Future[bytes]:
        self._opened.append(opened)
        return opened

    def close(self, handle: bytes) -> asyncio.Future[None]:
        """Close what was opened; the answer tells what the disk refused late."""
        self._opened = [each for each in self._opened if not _holds(each, handle)]
        return self.session.close(handle)

    def release(self) -> None:
        """Give the session back; idempotent."""
        if self._released:
            return
        self._released = True
        session = self.session
        for opened in self._opened:
            if session.lost is not None:
                break
            if not opened.done():
                opened.cancel()
            if opened.cancelled():
                session.stray += 1  # until the answer comes, which closes it
            elif opened.exception() is None:
                session.close(opened.result())
        self._pool.released(session, self._files)

    def __enter__(self) -> Session:
        return self.session

    def __exit__(self, *_: object) -> None:
        self.release()


def _holds(opened: asyncio.Future[bytes], handle: bytes) -> bool:
    return (
        opened.done()
        and not opened.cancelled()
        and opened.exception() is None
        and opened.result() == handle
    )


class _Member:
    """A session of the pool, and who uses it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.users = 0
        self.files = 0
        self.idle_since = 0.0

    def room(self, files: int) -> bool:
        used = self.files + self.session.stray
        return not files or used + files <= self.session.limits.handles


class _Link:
    """A connection of the pool."""

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self.connection = connection
        self.members: list[_Member] = []
        self.most: int | None = None  # sessions that the server allows, once it has refused one


class Pool:
    """Sessions on one event loop.

    One session carries any number of operations. Another is made, on a connection that is there or
    on a new one, when all are crowded or have as many files open as the server allows; those that
    nobody has used for a while are closed.

    Args:
        connect: makes a connection, or raises `Refused`.
        where: user, host and port, for messages.
        max_connections: how many there may be at once.
        idle_timeout: in seconds, after which what nobody uses is closed.
        timeout: in seconds without a byte, after which a session is given up; also for how long
            is waited until one has room.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        where: str,
        max_connections: int,
        idle_timeout: float,
        timeout: float,
    ) -> None:
        self._connect = connect
        self._where = where
        self._max_connections = max_connections
        self._idle_timeout = idle_timeout
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._links: list[_Link] = []
        self._growing: asyncio.Task[None] | None = None
        self._refused_until = 0.0
        self._room: asyncio.Event = asyncio.Event()  # set and renewed when there may be room
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False
        self.connected: bool = False  # whether there ever was a session

    @property
    def size(self) -> tuple[int, int]:
        """How many connections and sessions there are."""
        return len(self._links), len(self._members())

    def _members(self) -> list[_Member]:
        return [member for link in self._links for member in link.members]

    async def lease(self, files: int = 0) -> Lease:
        """Return the least used session.

        Args:
            files: how many files and directories will be open at once.

        Raises:
            Refused: the server cannot be reached, or lets no more files be open.
        """
        end = self._loop.time() + self._timeout
        while True:
            if self._closed:
                raise Refused(ClosedError, "the storage was closed")
            fitting = [member for member in self._members() if member.room(files)]
            if fitting:
                best = min(fitting, key=lambda member: member.users)
                if best.users >= _CROWDED:
                    self._grow()
                return self._take(best, files)
            growing = self._grow()
            if growing is not None:
                await asyncio.wait([growing])
                error = None if growing.cancelled() else growing.exception()
                if error is not None and not self._members():
                    raise error if not isinstance(error, Refused) else _own(error)
                continue
            await self._wait_for_room(end)

    def _take(self, member: _Member, files: int) -> Lease:
        member.users += 1
        member.files += files
        return Lease(self, member.session, files)

    async def _wait_for_room(self, end: float) -> None:
        room, now = self._room, self._loop.time()
        # By then the server may be asked for more again.
        wake = min(end, self._refused_until) if self._refused_until > now else end
        try:
            async with asyncio.timeout_at(wake):
                await room.wait()
        except TimeoutError:
            if wake < end:
                return
            raise Refused(
                ResourceLimitError,
                f"{self._where} lets no more files be open at once: close some, or raise "
                "max_connections",
            ) from None

    def _make_room(self) -> None:
        room, self._room = self._room, asyncio.Event()
        room.set()

    def released(self, session: Session, files: int) -> None:
        """Take a lease back."""
        for member in self._members():
            if member.session is session:
                member.users -= 1
                member.files -= files
                member.idle_since = self._loop.time()
                if not member.users:
                    self._watch_idle()
        self._make_room()

    # Growing.

    def _grow(self) -> asyncio.Task[None] | None:
        """Return the task that makes another session, or None where the limits are met."""
        if self._growing is not None:
            return self._growing
        if self._links and self._loop.time() < self._refused_until:
            return None
        link = self._roomy_link()
        if link is None and len(self._links) >= self._max_connections:
            return None
        self._growing = self._loop.create_task(self._add(link))
        self._growing.add_done_callback(self._grown)
        return self._growing

    def _roomy_link(self) -> _Link | None:
        for link in self._links:
            if link.most is None or len(link.members) < link.most:
                return link
        return None

    def _grown(self, task: asyncio.Task[None]) -> None:
        self._growing = None
        if not task.cancelled() and task.exception() is not None and self._links:
            self._refused_until = self._loop.time() + _PAUSE
        self._make_room()

    async def _add(self, link: _Link | None) -> None:
        if link is not None:
            try:
                await self._add_session(link)
                return
            except asyncssh.ChannelOpenError:
                # As many as the server allows: this one goes on a connection of its own.
                link.most = len(link.members)
                if len(self._links) >= self._max_connections:
                    return
            except (asyncssh.Error, OSError):  # of which TimeoutError is one
                if link.members:
                    raise  # the others work on; it is tried again later
                self._drop(link)
        connection = await self._connect()
        link = _Link(connection)
        try:
            await self._add_session(link)
        except BaseException as exc:
            connection.abort()
            refused = connect_failure(exc, self._where, "")
            if isinstance(exc, asyncssh.ChannelOpenError):
                refused = Refused(UnreachableError, f"{self._where} offers no SFTP: {exc.reason}")
            if refused is not None:
                raise refused from exc
            raise
        self._links.append(link)
        self.connected = True

    async def _add_session(self, link: _Link) -> None:
        async with asyncio.timeout(self._timeout):
            session = await Session.start(
                link.connection,
                self._timeout,
                lambda session: self._ended(link, session),
                self._make_room,
            )
        member = _Member(session)
        member.idle_since = self._loop.time()
        link.members.append(member)
        self._watch_idle()

    # Ending.

    def _ended(self, link: _Link, session: Session) -> None:
        link.members = [member for member in link.members if member.session is not session]
        if not link.members:
            self._drop(link)
        self._make_room()

    def _drop(self, link: _Link) -> None:
        if link in self._links:
            self._links.remove(link)
        for member in list(link.members):
            member.session.end(asyncssh.ConnectionLost("the connection was given up"))
        link.connection.abort()

    def _watch_idle(self) -> None:
        if self._reaper is None and not self._closed:
            self._reaper = self._loop.call_later(self._idle_timeout, self._reap)

    def _reap(self) -> None:
        self._reaper = None
        before = self._loop.time() - self._idle_timeout
        for member in self._members():
            if not member.users and member.idle_since <= before:
                member.session.end(asyncssh.ConnectionLost("it was idle"))
        if self._links:
            self._watch_idle()

    async def aclose(self) -> None:
        """Close every session and connection."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        if self._growing is not None:
            self._growing.cancel()
            await asyncio.wait([self._growing])
        await asyncio.gather(*(member.session.answered(_LAST) for member in self._members()))
        links, self._links = self._links, []
        waiting: list[Any] = []
        for link in links:
            for member in list(link.members):
                member.session.end(asyncssh.ConnectionLost("the storage was closed"))
            link.connection.close()
            waiting.append(asyncio.ensure_future(link.connection.wait_closed()))
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=1.0)
            for link in links if late else ():
                link.connection.abort()


def _own(error: Refused) -> Refused:
    own = Refused(error.cause, error.message)
    own.__cause__ = error.__cause__
    return own
