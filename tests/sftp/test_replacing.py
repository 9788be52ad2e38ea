"""Files that take the name of another, and callers who give up meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncssh import ConnectionLost

from aiostow import AmbiguousWriteError, SFTPStorage, StorageIOError
from aiostow.backends._sftp_session import Session

from ._suite import MakeStorage, StartServer, storage_on, temporary

pytestmark = pytest.mark.anyio

LONG_AGO = 1_700_000_000
Then = Callable[[str, Callable[[Session], object]], None]


@pytest.fixture
def then(monkeypatch: pytest.MonkeyPatch) -> Then:
    """Do something when the next request of one kind is answered, before its caller goes on."""

    def then(name: str, act: Callable[[Session], object]) -> None:
        original: Any = getattr(Session, name)

        def asking(session: Session, *arguments: Any) -> Any:
            monkeypatch.undo()
            answer = original(session, *arguments)
            answer.add_done_callback(lambda _: act(session))
            return answer

        monkeypatch.setattr(Session, name, asking)

    return then


class TestByRemovingFirst:
    @pytest.fixture
    def place(self, start_server: StartServer, folder: Path) -> Path:
        """A directory of a server that cannot replace files."""
        place = start_server("no-posix-rename-sshd").root / folder.name
        place.mkdir()
        (place / "dst").write_bytes(b"old")
        (place / "src").write_bytes(b"new")
        return place

    @pytest.fixture
    async def storage(self, start_server: StartServer, place: Path) -> AsyncIterator[SFTPStorage]:
        server = start_server("no-posix-rename-sshd")
        async with storage_on(server, str(place), allow_non_atomic=True) as storage:
            yield storage

    def change(self, storage: SFTPStorage, name: str) -> asyncio.Future[Any]:
        if name == "write":
            return asyncio.ensure_future(storage.write_bytes("dst", b"new"))
        changing = storage.copy if name == "copy" else storage.move
        return asyncio.ensure_future(changing("src", "dst"))

    @pytest.mark.parametrize("name", ["write", "copy", "move"])
    async def test_a_cancellation_waits_for_the_new_file(
        self, storage: SFTPStorage, place: Path, then: Then, name: str
    ) -> None:
        then("remove", lambda _: task.cancel())
        task = self.change(storage, name)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (place / "dst").read_bytes() == b"new"
        assert (place / "src").exists() == (name != "move")
        await storage.exists("dst")  # after whatever else was asked
        assert temporary(place) == []

    @pytest.mark.parametrize("how", ["refused", "cancelled", "lost"])
    @pytest.mark.parametrize("name", ["write", "copy", "move"])
    async def test_the_only_whole_copy_is_never_discarded(
        self, storage: SFTPStorage, place: Path, then: Then, name: str, how: str
    ) -> None:
        def hinder(session: Session) -> None:
            if how == "lost":
                session.end(ConnectionLost("by the test"))
                return
            (place / "dst").mkdir()
            if how == "cancelled":
                task.cancel()

        then("remove", hinder)
        task = self.change(storage, name)
        if how == "refused":
            kind = "old name 'src'" if name == "move" else r"temporary name '\.aiostow-tmp-"
            with pytest.raises(StorageIOError, match=f"whole copy is left under its {kind}"):
                await task
        else:
            with pytest.raises(
                asyncio.CancelledError if how == "cancelled" else AmbiguousWriteError
            ):
                await task
        await storage.exists("src")  # after whatever else was asked
        left = [place / "src"] if name == "move" else [Path(each) for each in temporary(place)]
        assert [each.read_bytes() for each in left] == [b"new"]
        # Nobody works on it any more, so it is for a sweep.
        assert await storage.sweep(timedelta(0)) == (name != "move")
        assert temporary(place) == []

    async def test_a_file_is_discarded_when_the_old_one_could_not_be_removed(
        self, storage: SFTPStorage, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = Session.remove

        def remove(session: Session, path: bytes) -> asyncio.Future[None]:
            if path.endswith(b"/dst"):
                path += b"/none"  # which the server refuses
            return original(session, path)

        monkeypatch.setattr(Session, "remove", remove)
        with pytest.raises(StorageIOError):
            await storage.copy("src", "dst")
        await storage.exists("dst")
        assert (place / "dst").read_bytes() == b"old"
        assert temporary(place) == []


class TestMovesBetweenNamesOfOneFile:
    @pytest.fixture
    async def storage(self, make_storage: MakeStorage) -> AsyncIterator[SFTPStorage]:
        async with make_storage() as storage:
            yield storage

    async def test_a_move_that_was_cancelled_halfway_can_be_repeated(
        self, storage: SFTPStorage, folder: Path, then: Then
    ) -> None:
        await storage.write_bytes("a", b"data")
        then("link", lambda _: task.cancel())
        task = asyncio.ensure_future(storage.move("a", "b", overwrite=False))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(os.listdir(folder)) == ["a", "b"]
        await storage.move("a", "b")
        assert os.listdir(folder) == ["b"]
        assert (folder / "b").read_bytes() == b"data"

    async def test_a_cancellation_leaves_no_third_name(
        self, storage: SFTPStorage, folder: Path, then: Then
    ) -> None:
        await storage.write_bytes("a", b"data")
        os.link(folder / "a", folder / "b")
        then("rename", lambda _: task.cancel())
        task = asyncio.ensure_future(storage.move("a", "b"))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert os.listdir(folder) == ["b"]

    async def test_one_name_that_is_spelt_in_two_ways_is_not_removed(
        self, storage: SFTPStorage, folder: Path
    ) -> None:
        await storage.write_bytes("d/k", b"data")
        (folder / "link").symlink_to("d")
        await storage.move("d/k", "link/k")
        assert os.listdir(folder / "d") == ["k"]
        assert (folder / "d" / "k").read_bytes() == b"data"

    async def test_a_new_file_of_the_old_name_is_left(
        self, storage: SFTPStorage, folder: Path, then: Then
    ) -> None:
        folder.mkdir()
        for name in ("a", "b"):  # alike as far as the protocol shows
            (folder / name).write_bytes(name.encode())
            os.utime(folder / name, (LONG_AGO, LONG_AGO))
        then("replace", lambda _: (folder / "a").write_bytes(b"c"))
        await storage.move("a", "b")
        assert (folder / "a").read_bytes() == b"c"
        assert (folder / "b").read_bytes() == b"a"
