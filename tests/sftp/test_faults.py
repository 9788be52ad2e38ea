"""Connections that break, servers that are silent or lack something: no wrong byte, no leftover."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aiostow import (
    AmbiguousWriteError,
    ClosedError,
    ConnectionLostError,
    FileExistsInStorageError,
    ListEntry,
    ObjectChangedError,
    SFTPStorage,
    StorageError,
    UnreachableError,
    UnsupportedOperationError,
)
from aiostow.backends._sftp_session import Session
from aiostow.keys import TEMP_PREFIX
from aiostow.testing.conformance._base import pattern

from ._suite import MakeStorage, StartServer, storage_on, temporary
from ._wire import Wire

pytestmark = pytest.mark.anyio

MIB = 1 << 20
LARGE = 3 * MIB + 345
POINTS = 100


@pytest.fixture
async def storage(through: MakeStorage) -> AsyncIterator[SFTPStorage]:
    async with through(timeout=5) as storage:
        yield storage


def old(folder: Path, name: str, data: bytes) -> Path:
    """Write a file that was last changed a minute ago."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    os.utime(path, (time.time() - 60,) * 2)
    return path


async def swept(storage: SFTPStorage, folder: Path) -> list[str]:
    await storage.sweep(timedelta(0))
    return temporary(folder)


class TestReading:
    @pytest.mark.parametrize("closed", ["file", "storage"])
    async def test_a_read_that_waits_ends_when_its_file_is_closed(
        self, storage: SFTPStorage, folder: Path, wire: Wire, closed: str
    ) -> None:
        old(folder, "k", pattern(LARGE))
        file = await storage.open("k")
        wire.silent = True
        task = asyncio.ensure_future(file.read())
        await asyncio.sleep(0.1)
        closing = asyncio.ensure_future(file.close() if closed == "file" else storage.aclose())
        async with asyncio.timeout(1):
            with pytest.raises(ClosedError, match="the file was closed while it was read"):
                await task
        await closing

    async def test_a_read_goes_on_at_100_points_where_its_connection_breaks(
        self, storage: SFTPStorage, folder: Path, wire: Wire
    ) -> None:
        data = pattern(LARGE)
        old(folder, "k", data)
        await storage.exists("k")
        dice = random.Random(6)
        for _ in range(POINTS):
            before = wire.connections
            wire.down = dice.randrange(1, LARGE)
            assert await storage.read_bytes("k") == data
            assert wire.connections > before

    async def test_a_read_by_small_steps_goes_on(
        self, storage: SFTPStorage, folder: Path, wire: Wire
    ) -> None:
        data = pattern(12 * MIB)  # more than is read ahead
        old(folder, "k", data)
        dice = random.Random(7)
        async with storage.open("k") as file:
            found = b""
            while part := await file.read(dice.randrange(1, 200_000)):
                found += part
                if dice.random() < 0.6:
                    wire.reset()
        assert found == data
        assert wire.connections >= 3

    async def test_a_file_that_was_replaced_meanwhile_is_told(
        self, storage: SFTPStorage, folder: Path, wire: Wire
    ) -> None:
        path = old(folder, "k", pattern(LARGE))
        async with storage.open("k") as file:
            await file.read(10)
            old(folder, "new", pattern(LARGE, 2)).replace(path)
            os.utime(path, (time.time() - 30,) * 2)
            wire.reset()
            with pytest.raises(ObjectChangedError, match="replaced"):
                await file.read()

    async def test_a_file_that_was_young_is_not_trusted_to_be_the_same(
        self, storage: SFTPStorage, folder: Path, wire: Wire
    ) -> None:
        # Within the same second, with the same size: nothing of it shows in the protocol.
        await storage.write_bytes("k", pattern(LARGE))
        async with storage.open("k") as file:
            await file.read(10)
            wire.reset()
            with pytest.raises(ObjectChangedError, match="shortly before"):
                await file.read()

    async def test_a_reader_holds_one_file_open_and_so_one_version(
        self, storage: SFTPStorage, folder: Path
    ) -> None:
        data = pattern(LARGE)
        path = old(folder, "k", data)
        async with storage.open("k") as file:
            await file.read(10)
            old(folder, "new", pattern(LARGE, 2)).replace(path)
            assert await file.read() == data[10:]

    async def test_a_file_that_is_changed_in_place_is_told(
        self, storage: SFTPStorage, folder: Path
    ) -> None:
        path = old(folder, "k", pattern(LARGE))
        async with storage.open("k") as file:
            await file.read(10)
            with path.open("r+b") as own:
                own.seek(MIB)
                own.write(b"changed")
            with pytest.raises(ObjectChangedError):
                await file.read()

    async def test_a_file_that_is_cut_short_is_told(
        self, storage: SFTPStorage, folder: Path
    ) -> None:
        path = old(folder, "k", pattern(LARGE))
        async with storage.open("k") as file:
            await file.read(10)
            os.truncate(path, MIB)
            with pytest.raises(ObjectChangedError):
                await file.read()

    async def test_a_page_that_was_given_up_is_asked_for_again(
        self, storage: SFTPStorage, folder: Path, wire: Wire
    ) -> None:
        for name in ("a", "b", "c"):
            (folder / name).mkdir(parents=True)
            (folder / name / "1").touch()
        await storage.exists("a")
        listing = aiter(storage.list())
        wire.late = 0.1
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(listing), 0.05)
        wire.late = 0
        assert [entry.name async for entry in listing] == ["a/1", "b/1", "c/1"]

    async def test_a_listing_goes_on(self, storage: SFTPStorage, folder: Path, wire: Wire) -> None:
        for directory in range(30):
            (folder / f"d{directory}").mkdir(parents=True)
            for number in range(100):
                (folder / f"d{directory}" / str(number)).touch()
        await storage.exists("k")
        wire.down = 60_000
        assert len(await storage.list()) == 3000
        assert wire.connections == 2

    async def test_what_may_be_done_twice_is_done_again(
        self, storage: SFTPStorage, folder: Path, wire: Wire
    ) -> None:
        old(folder, "k", b"data")
        await storage.exists("k")
        for call in (
            lambda: storage.stat("k"),
            lambda: storage.read_bytes("k"),
            lambda: storage.exists("none"),
            lambda: storage.write_bytes("w", b"data"),
            lambda: storage.copy("k", "c"),
            lambda: storage.delete("w"),
        ):
            wire.down = 1
            await call()
        assert wire.connections == 6 + 1


class TestSilence:
    async def test_a_silent_server_is_given_up(self, through: MakeStorage, wire: Wire) -> None:
        async with through(timeout=0.3, connect_timeout=1) as storage:
            await storage.write_bytes("k", b"data")
            wire.silent = True
            with pytest.raises(ConnectionLostError):
                async with asyncio.timeout(20):
                    await storage.stat("k")

    async def test_a_late_answer_is_waited_for_also_after_an_idle_time(
        self, through: MakeStorage, wire: Wire
    ) -> None:
        async with through(timeout=1) as storage:
            await storage.exists("k")
            await asyncio.sleep(0.8)
            wire.late = 0.6
            await storage.exists("k")
        assert wire.connections == 1

    async def test_a_storage_that_is_closed_says_so_to_whoever_waits(
        self, through: MakeStorage, wire: Wire
    ) -> None:
        storage = through()
        await storage.write_bytes("k", bytes(300_000))
        wire.late = 0.2
        calls: list[Any] = [storage.stat("k"), storage.read_bytes("k"), storage.list()]
        waiting = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0.1)
        await storage.aclose()
        for each in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(each, ClosedError | ListEntry | bytes | list), each

    async def test_a_server_that_went_away_while_nothing_was_asked_is_connected_anew(
        self, storage: SFTPStorage, wire: Wire
    ) -> None:
        await storage.write_bytes("k", b"data")
        wire.reset()
        await asyncio.sleep(0.05)
        assert await storage.read_bytes("k") == b"data"

    async def test_a_server_that_stays_away_is_told(self, storage: SFTPStorage, wire: Wire) -> None:
        await storage.write_bytes("k", b"data")
        wire.closed = True
        wire.reset()
        with pytest.raises(UnreachableError, match=f"127.0.0.1:{wire.port}"):
            await storage.read_bytes("k")


class TestWriting:
    @pytest.mark.parametrize("size", [1000, LARGE])
    async def test_a_write_is_old_or_new_at_100_points_where_its_connection_breaks(
        self, storage: SFTPStorage, folder: Path, wire: Wire, size: int
    ) -> None:
        before, after = pattern(size, 1), pattern(size, 2)
        await storage.write_bytes("k", before)
        dice = random.Random(size)
        lost = 0
        for _ in range(POINTS):
            await storage.exists("k")
            wire.up = dice.randrange(1, size + 2000)
            try:
                async with storage.open("k", "w") as file:
                    await file.write(after)
            except AmbiguousWriteError:
                lost += 1
            except ConnectionLostError:
                lost += 1
                assert (folder / "k").read_bytes() == before
            else:
                assert (folder / "k").read_bytes() == after
            wire.up = None
            assert (folder / "k").read_bytes() in (before, after)
            (folder / "k").write_bytes(before)
            assert [entry.name for entry in await storage.list()] == ["k"]
        assert lost > POINTS / 2 or size < MIB
        assert await swept(storage, folder) == []

    @pytest.mark.parametrize("size", [1000, LARGE])
    async def test_nothing_is_left_where_answers_to_its_beginning_are_lost(
        self, storage: SFTPStorage, folder: Path, wire: Wire, size: int
    ) -> None:
        await storage.write_bytes("k", b"old")
        for down in range(1, 140, 13):
            wire.down = down
            with contextlib.suppress(ConnectionLostError):  # of a large one, that has begun
                async with storage.open("k", "w") as file:
                    await file.write(pattern(size))
            assert temporary(folder) == []

    async def test_a_new_name_has_the_whole_file_or_none(
        self, storage: SFTPStorage, folder: Path, wire: Wire
    ) -> None:
        data = pattern(LARGE)
        dice = random.Random(8)
        for number in range(20):
            key = f"new/{number}"
            await storage.exists("k")
            wire.up = dice.randrange(1, LARGE)
            with pytest.raises(ConnectionLostError):
                async with storage.open(key, "x") as file:
                    await file.write(data)
            assert not (folder / key).exists()
        # The connection was there again when they were discarded.
        assert temporary(folder) == []

    @pytest.fixture
    def losing(self, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Lose the answer to the next request of one kind, or the request itself."""

        def lose(name: str, what: str) -> None:
            original: Any = getattr(Session, name)

            def losing(session: Session, *arguments: Any) -> Any:
                monkeypatch.undo()
                if what == "request":
                    wire.up = 1
                    return original(session, *arguments)
                wire.silent = True
                asyncio.get_running_loop().call_later(0.2, wire.reset)
                return original(session, *arguments)

            monkeypatch.setattr(Session, name, losing)

        return lose

    @pytest.mark.parametrize("size", [1000, LARGE])
    @pytest.mark.parametrize("what", ["request", "answer"])
    async def test_a_lost_rename_is_looked_after(
        self,
        storage: SFTPStorage,
        folder: Path,
        losing: Callable[..., None],
        what: str,
        size: int,
    ) -> None:
        await storage.write_bytes("k", b"old")
        losing("replace", what)
        async with storage.open("k", "w") as file:
            await file.write(pattern(size))
        assert (folder / "k").read_bytes() == pattern(size)
        assert temporary(folder) == []

    async def test_what_is_lost_before_the_rename_is_surely_not_written(
        self, storage: SFTPStorage, folder: Path, losing: Callable[..., None]
    ) -> None:
        await storage.write_bytes("k", b"old")
        losing("sync", "answer")
        with pytest.raises(ConnectionLostError, match="nothing is written"):
            async with storage.open("k", "w") as file:
                await file.write(pattern(LARGE))
        assert (folder / "k").read_bytes() == b"old"
        losing("sync", "answer")
        await storage.write_bytes("k", b"new")  # a small one is done again
        assert (folder / "k").read_bytes() == b"new"
        assert temporary(folder) == []

    async def test_a_lost_rename_that_nobody_can_judge_is_ambiguous(
        self,
        storage: SFTPStorage,
        folder: Path,
        wire: Wire,
        losing: Callable[..., None],
    ) -> None:
        await storage.write_bytes("k", b"old")
        losing("replace", "answer")
        # Somebody else's write comes right after ours.
        asyncio.get_running_loop().call_later(
            0.1, lambda: old(folder, "other", b"other").replace(folder / "k")
        )
        with pytest.raises(AmbiguousWriteError):
            await storage.write_bytes("k", pattern(1000))
        assert (folder / "k").read_bytes() == b"other"

        losing("replace", "answer")
        wire.closed = True
        with pytest.raises(AmbiguousWriteError):
            await storage.write_bytes("k", pattern(1000))
        wire.closed = False

    async def test_a_lost_answer_to_a_create_only_write_is_ambiguous(
        self, storage: SFTPStorage, folder: Path, losing: Callable[..., None]
    ) -> None:
        await storage.write_bytes("other", b"")
        losing("link", "answer")
        with pytest.raises(AmbiguousWriteError):
            await storage.write_bytes("k", b"new", if_absent=True)
        assert (folder / "k").read_bytes() == b"new"
        assert await swept(storage, folder) == []

    async def test_a_lost_move_is_ambiguous_and_a_lost_preparation_is_not(
        self, storage: SFTPStorage, folder: Path, wire: Wire, losing: Callable[..., None]
    ) -> None:
        await storage.write_bytes("k", b"data")
        wire.down = 1
        await storage.move("k", "m")
        losing("replace", "answer")
        with pytest.raises(AmbiguousWriteError):
            await storage.move("m", "n")
        assert not (folder / "m").exists()
        assert (folder / "n").read_bytes() == b"data"

    async def test_a_create_only_move_that_is_lost_between_its_steps_is_ambiguous(
        self, storage: SFTPStorage, folder: Path, wire: Wire, losing: Callable[..., None]
    ) -> None:
        await storage.write_bytes("k", b"data")
        losing("remove", "request")
        await storage.move("k", "m", overwrite=False)  # the second step is done again
        assert os.listdir(folder) == ["m"]
        losing("remove", "request")
        wire.closed = True  # to whoever connects
        with pytest.raises(AmbiguousWriteError):
            await storage.move("m", "n", overwrite=False)
        wire.closed = False
        assert (folder / "n").read_bytes() == b"data"

    async def test_a_lost_copy_is_made_again(
        self, storage: SFTPStorage, folder: Path, losing: Callable[..., None]
    ) -> None:
        old(folder, "k", pattern(LARGE))
        await storage.exists("k")
        losing("copy_data", "answer")
        await storage.copy("k", "c")
        assert (folder / "c").read_bytes() == pattern(LARGE)
        assert temporary(folder) == []


class TestSweeping:
    async def test_a_sweep_removes_what_is_old_and_nobodys(
        self, storage: SFTPStorage, folder: Path
    ) -> None:
        name = TEMP_PREFIX + "0123456789abcdef"
        (folder / "a" / "b").mkdir(parents=True)
        stale = [old(folder, name, b"1"), old(folder / "a" / "b", name, b"2")]
        (folder / "a" / name).write_bytes(b"young")
        old(folder, "k", b"mine")
        async with storage.open("w", "w") as file:
            await file.write(pattern(LARGE))
            assert await storage.sweep(timedelta(seconds=30)) == 2
            assert not any(path.exists() for path in stale)
            assert await storage.sweep(timedelta(0)) == 1
        assert sorted(entry.name for entry in await storage.list()) == ["k", "w"]
        assert (folder / "w").read_bytes() == pattern(LARGE)

    async def test_a_writer_whose_file_was_swept_says_so(
        self, storage: SFTPStorage, make_storage: MakeStorage, folder: Path
    ) -> None:
        await storage.write_bytes("k", b"old")
        with pytest.raises(StorageError, match="removed meanwhile"):
            async with storage.open("k", "w") as file:
                await file.write(pattern(LARGE))
                async with make_storage() as other:
                    assert await other.sweep(timedelta(0)) == 1
        assert (folder / "k").read_bytes() == b"old"


class TestBadServers:
    async def test_without_posix_rename_nothing_is_replaced_unless_asked_for(
        self, start_server: StartServer, folder: Path
    ) -> None:
        server = start_server("no-posix-rename")
        async with storage_on(server, folder.name) as storage:
            await storage.write_bytes("k", b"old")
            await storage.write_bytes("src", b"new")
            for change in (
                lambda: storage.write_bytes("k", b"new"),
                lambda: storage.write_bytes("k", pattern(LARGE)),
                lambda: storage.copy("src", "k"),
                lambda: storage.move("src", "k"),
            ):
                with pytest.raises(UnsupportedOperationError, match="allow_non_atomic"):
                    await change()
            assert await storage.read_bytes("k") == b"old"
            await storage.move("src", "moved")
            with pytest.raises(FileExistsInStorageError):
                await storage.write_bytes("k", b"new", if_absent=True)
        async with storage_on(server, folder.name, allow_non_atomic=True) as storage:
            await storage.write_bytes("k", b"new")
            assert await storage.read_bytes("k") == b"new"
            await storage.copy("moved", "k")
            await storage.move("moved", "k")
        assert temporary(server.root / folder.name) == []

    @pytest.mark.parametrize("name", ["small-limits", "short-reads", "bare"])
    async def test_small_limits_and_short_answers_change_no_byte(
        self, start_server: StartServer, folder: Path, name: str
    ) -> None:
        async with storage_on(start_server(name), folder.name) as storage:
            data = pattern(MIB + 345)
            async with storage.open("k", "w") as file:
                await file.write(data)
            assert await storage.read_bytes("k") == data
            await storage.copy("k", "c")
            assert await storage.read_bytes("c") == data
            async with storage.open("c", "rw") as file:
                await file.seek(100_000)
                await file.write(b"changed")
            assert (await storage.read_bytes("c"))[100_000:100_007] == b"changed"

    async def test_what_is_no_sftp_is_told(self, make_storage: MakeStorage) -> None:
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with make_storage(port=port) as storage:
                with pytest.raises(UnreachableError):
                    await storage.stat("k")
