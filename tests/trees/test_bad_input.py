"""What cannot be done is told by its name, and the rest is done."""

from __future__ import annotations

import errno
import os
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aiostow import (
    InvalidArgumentError,
    InvalidTypeError,
    LocalFSStorage,
    MemoryStorage,
    PermissionDeniedError,
    S3Storage,
    Storage,
    StorageError,
    StorageFullError,
)
from aiostow.backends._beneath import Root
from aiostow.events import Event, OperationFinished
from aiostow.sync import SyncStorage
from aiostow.testing import FaultyDriver, faulty
from aiostow.trees import Action, Journal, Outcome, Report, sync, verify
from aiostow.trees._compare import version
from tests.faults._kill_child import mounted

from ._trees import actions, read, write

pytestmark = pytest.mark.anyio


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[LocalFSStorage]:
    async with LocalFSStorage(tmp_path / "from", durable=False) as storage:
        yield storage


@pytest.fixture
async def destination(tmp_path: Path) -> AsyncIterator[LocalFSStorage]:
    async with LocalFSStorage(tmp_path / "to", durable=False) as storage:
        yield storage


def failures(report: Report) -> dict[str, str]:
    """Return the failed names and the classes of their errors."""
    return {outcome.name: type(outcome.error).__name__ for outcome in report.failures}


def hidden(root: Path) -> list[str]:
    """Return the temporary files below a folder."""
    return [path.name for path in root.rglob(".*") if path.is_file()]


class TestArguments:
    async def test_trees_must_be_apart(self, tmp_path: Path) -> None:
        async with LocalFSStorage(tmp_path) as storage, LocalFSStorage(tmp_path / "a") as inner:
            await storage.write_bytes("a/b", b"1")
            for one, other, told in (
                (storage, storage, "same place"),
                (storage.at("a"), inner, "same place"),
                (storage, inner, "destination is within"),
                (inner, storage, "source is within"),
                (storage, storage.at("x"), "destination is within"),
                (storage.at("x/y"), storage.at("x"), "source is within"),
            ):
                with pytest.raises(InvalidArgumentError, match=told):
                    await sync(one, other, delete=True)
            (tmp_path / "link").symlink_to(tmp_path / "a")
            async with LocalFSStorage(tmp_path / "link") as linked:
                with pytest.raises(InvalidArgumentError, match="same place"):
                    await sync(inner, linked)
            await sync(storage.at("a"), storage.at("ab"))  # a name that begins so is apart
            assert await read(storage) == {"a/b": b"1", "ab/b": b"1"}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"compare": "size"}, {"jobs": 0}, {"jobs": "3"}, {"include": [""]}, {"exclude": ["[a"]},
            {"exclude": ["./a"]}, {"include": ["a/../b"]}, {"include": [b"a"]}, {"on_outcome": 5},
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("call", [sync, verify])
    async def test_are_checked(
        self, source: Storage, destination: Storage, call: Any, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises((InvalidArgumentError, InvalidTypeError)):
            await call(source, destination, **wrong)

    async def test_facades_are_no_storages(self, source: Storage) -> None:
        facade: Any = SyncStorage(MemoryStorage())
        for call in (sync, verify):
            with pytest.raises(InvalidTypeError, match="not SyncStorage"):
                await call(source, facade)

    async def test_one_pattern_is_a_list_of_one(self, source: Storage) -> None:
        async with MemoryStorage() as memory:
            with pytest.raises(InvalidArgumentError, match="list of patterns"):
                await sync(source, memory, include="*.txt")


class TestDestination:
    async def test_names_that_it_cannot_hold(self, destination: LocalFSStorage) -> None:
        async with MemoryStorage() as source:
            await write(source, {"fine": b"1", "n" * 300: b"2", "a": b"3", "a/b": b"4", "z": b"5"})
            report = await sync(source, destination)
            assert actions(report) == {"copied": 3, "failed": 2}
            there = set(await read(destination))  # whichever of the two came first
            (conflicting,) = {"a", "a/b"} - there
            assert there | {conflicting} == {"fine", "a", "a/b", "z"}
            expected = {"n" * 300: "InvalidKeyError", conflicting: "KeyConflictError"}
            assert failures(report) == expected
            report = await sync(source, destination, delete=True)
            assert failures(report) == expected
            assert set(await read(destination)) == there

    async def test_a_folder_in_the_place_of_a_file_goes_first(
        self, source: Storage, destination: Storage
    ) -> None:
        await write(destination, {"a/b": b"old", "c": b"old"})
        await write(source, {"a": b"1", "c/d": b"2"})
        assert failures(await sync(source, destination)) == dict.fromkeys(
            ("a", "c/d"), "KeyConflictError"
        )
        assert actions(await sync(source, destination, delete=True)) == {"copied": 2, "deleted": 2}
        assert await read(destination) == {"a": b"1", "c/d": b"2"}

    async def test_that_is_full(self, source: Storage, tmp_path: Path) -> None:
        with mounted(tmp_path / "small", "size=1m") as problem:
            if problem is not None:
                pytest.skip(problem)
            await write(source, {"a": b"1", "big": bytes(3 << 20), "z": b"2"})
            async with LocalFSStorage(tmp_path / "small") as small:
                await small.write_bytes("big", b"old")
                report = await sync(source, small)
                assert failures(report) == {"big": "StorageFullError"}
                assert await read(small) == {"a": b"1", "big": b"old", "z": b"2"}
            assert hidden(tmp_path / "small") == []

    async def test_whose_room_others_had_for_a_while(self, source: Storage) -> None:
        async with MemoryStorage() as memory:
            driver = FaultyDriver(memory.driver)
            async with Storage(driver, name="faulty") as crowded:
                await write(source, {name: name.encode() for name in "abcdef"})
                for nth in (2, 3, 4):
                    driver.add(faulty.error("write", StorageFullError("full"), nth=nth))
                assert actions(await sync(source, crowded)) == {"copied": 6}
                assert driver.count("write") == 9
                assert await read(memory) == {name: name.encode() for name in "abcdef"}

    async def test_that_is_full_for_a_single_file(self, source: Storage) -> None:
        async with MemoryStorage() as memory:
            driver = FaultyDriver(memory.driver)
            async with Storage(driver, name="faulty") as full:
                await write(source, {"a": b"1", "b": b"2"})
                driver.add(faulty.error("write", StorageFullError("full"), times=2))
                report = await sync(source, full, jobs=1)
                assert failures(report) == dict.fromkeys("ab", "StorageFullError")
                assert driver.count("write") == 2, "sent twice, with nobody to have made room"

    async def test_that_cannot_be_written(self, source: Storage, tmp_path: Path) -> None:
        with mounted(tmp_path / "fixed", "ro") as problem:
            if problem is not None:
                pytest.skip(problem)
            await write(source, {"a": b"1", "d/b": b"2"})
            async with LocalFSStorage(tmp_path / "fixed") as fixed:
                report = await sync(source, fixed)
                assert failures(report) == dict.fromkeys(("a", "d/b"), "PermissionDeniedError")

    async def test_that_refuses_some(self, source: Storage) -> None:
        async with MemoryStorage() as memory:
            driver = FaultyDriver(memory.driver)
            async with Storage(driver, name="faulty") as broken:
                await write(source, dict.fromkeys("abc", b"1"))
                await write(memory, {"x": b"1", "y": b"1"})
                driver.add(faulty.error("write", PermissionDeniedError("no")))
                told: list[Outcome] = []
                report = await sync(source, broken, delete=True, on_outcome=told.append)
                assert actions(report) == {"copied": 2, "failed": 2}
                failed, last = (outcome for outcome in told if outcome.action is Action.failed)
                assert failed.name in ("a", "b", "c")
                assert "no" in str(failed)
                assert "nothing is deleted" in str(last)
                assert {"x", "y"} < set(await read(memory))
                assert actions(await sync(source, broken, delete=True))["deleted"] == 2

    async def test_that_is_not_there_any_more(self, source: Storage, tmp_path: Path) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        await write(source, {f"f{number:03}": b"1" for number in range(60)})
        away = S3Storage(
            "bucket", "us-east-1", aws_access_key_id="k", aws_secret_access_key="s",
            endpoint_url=f"http://127.0.0.1:{port}", retry_deadline=1,
        )  # fmt: skip
        async with away:
            report = await sync(source, away, delete=True, journal=tmp_path / "journal")
        # It cannot be listed, so nobody knows what is to be copied.
        assert report.failed == 1
        assert "could not be reached" in str(report.failures[0])

    async def test_a_loss_on_the_way_is_told_of_every_name(self, source: Storage) -> None:
        names = {f"f{number:03}" for number in range(60)}
        await write(source, dict.fromkeys(names, b"1"))
        async with MemoryStorage() as memory:
            driver = FaultyDriver(memory.driver)
            driver.add(faulty.error("write", ConnectionResetError("lost"), nth=10, times=1000))
            async with Storage(driver, name="faulty") as broken:
                await memory.write_bytes("old", b"2")
                report = await sync(source, broken, jobs=1, delete=True)
                assert set(failures(report)) == {*names, "", "old"} - set(await read(memory))
                assert actions(report) == {"copied": 9, "failed": 52}
                assert driver.count("write") == 9 + 20  # then nothing more was tried
                assert "not tried any more" in str(report.failures[-2].error)
                assert "old" in await read(memory)


class TestSource:
    async def test_a_file_that_changes_while_it_is_read(
        self, source: LocalFSStorage, destination: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await write(source, {"a": b"1", "growing": b"x" * 9, "large": bytes(3 << 20), "z": b"2"})
        await write(destination, {"large": b"old"})
        root = Path(source.driver.root)  # type: ignore[attr-defined]  # of a disk
        from aiostow import _disk

        read_at = _disk.read_at

        def changing(fd: int, offset: int, length: int) -> bytes:
            data = read_at(fd, offset, length)
            path = os.readlink(f"/proc/self/fd/{fd}")
            if path in (str(root / "growing"), str(root / "large")):
                with open(path, "ab") as file:
                    file.write(b"more")
            return data

        async with MemoryStorage() as memory:  # by streams: a disk would copy to a disk by itself
            await write(memory, {"large": b"old"})
            with monkeypatch.context() as patch:
                patch.setattr(_disk, "read_at", changing)
                report = await sync(source, memory)
            assert failures(report) == dict.fromkeys(("growing", "large"), "ObjectChangedError")
            assert await read(memory) == {"a": b"1", "z": b"2", "large": b"old"}
            assert (await sync(source, memory)).failed == 0
            assert (await verify(source, memory)).same

    @pytest.mark.parametrize("size", [5, 3 << 20])
    async def test_a_file_that_changes_before_it_is_read(self, source: Storage, size: int) -> None:
        await write(source, {"a": b"1", "b": b"2" * 9, "c": b"3"})

        async def change(outcome: Outcome) -> None:
            if outcome.name == "a":
                await source.write_bytes("b", bytes(size))

        async with MemoryStorage() as memory:
            report = await sync(source, memory, jobs=1, on_outcome=change)
            assert actions(report) == {"copied": 3}
            assert await memory.read_bytes("b") == bytes(size)

    async def test_a_file_that_goes_before_it_is_read(
        self, source: Storage, destination: Storage
    ) -> None:
        await write(source, {f"f{number}": b"1" for number in range(5)})

        async def vanish(outcome: Outcome) -> None:
            await source.delete("f4")

        async with MemoryStorage() as memory:
            report = await sync(source, memory, jobs=1, on_outcome=vanish)
            assert failures(report) == {"f4": "FileNotFoundInStorageError"}
            assert len(await read(memory)) == 4

    async def test_that_cannot_be_listed_to_its_end_deletes_nothing(
        self, destination: Storage
    ) -> None:
        async with MemoryStorage() as memory:
            await write(memory, {"a": b"1"})
            await write(destination, {"b": b"2"})
            driver = FaultyDriver(
                memory.driver, faulty.error("next_page", ConnectionResetError(), nth=2)
            )
            async with Storage(driver, name="faulty") as broken:
                report = await sync(broken, destination, delete=True)
            assert failures(report) == {"": "ConnectionLostError"}
            assert await read(destination) == {"a": b"1", "b": b"2"}

    @pytest.mark.parametrize("closed", ["d", "d/e", "z", ""])
    async def test_a_directory_that_may_not_be_read(
        self, source: LocalFSStorage, destination: Storage, monkeypatch: pytest.MonkeyPatch,
        closed: str,
    ) -> None:  # fmt: skip
        names = ["a", "d/a", "d/e/b", "d/f/c", "d.x", "e", "z/a"]
        await write(source, dict.fromkeys(names, b"1"))
        await write(destination, {"d/old": b"2", "y": b"2"})
        open_directory = Root.open_directory
        root = source.driver.root  # type: ignore[attr-defined]  # of a disk

        def refused(self: Root, path: str, *more: Any) -> int:
            if path == closed and self._path == root:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return open_directory(self, path, *more)

        with monkeypatch.context() as patch:
            patch.setattr(Root, "open_directory", refused)
            report = await sync(source, destination, delete=True)
        first, last = report.failures
        assert first.name == (closed and f"{closed}/")
        assert isinstance(first.error, PermissionDeniedError)
        assert "nothing is deleted" in str(last)
        readable = {name for name in names if closed and not name.startswith(f"{closed}/")}
        assert set(await read(destination)) == {*readable, "d/old", "y"}

    async def test_without_any_file_deletes_nothing(
        self, source: Storage, destination: Storage
    ) -> None:
        await write(destination, {"b": b"2"})
        report = await sync(source, destination, delete=True)
        assert failures(report) == {"": "InvalidArgumentError"}
        assert await read(destination) == {"b": b"2"}
        assert (await sync(source, destination)).same

    async def test_names_that_are_no_keys(
        self, source: LocalFSStorage, destination: Storage
    ) -> None:
        root = Path(source.driver.root)  # type: ignore[attr-defined]  # of a disk
        root.mkdir()
        (root / "fine").write_bytes(b"1")
        (root / "a\nb").write_bytes(b"2")
        report = await sync(source, destination)
        assert failures(report) == {"a\nb": "InvalidKeyError"}
        assert await read(destination) == {"fine": b"1"}


class TestEvents:
    @pytest.mark.parametrize("size", [9, 3 << 20])
    async def test_each_file_is_told_on_both_sides(self, tmp_path: Path, size: int) -> None:
        told: list[tuple[str, str, str | None, int]] = []

        def hook(event: Event) -> None:
            if isinstance(event, OperationFinished) and event.operation != "list":
                told.append((event.storage, event.operation, event.key, event.bytes))

        source = LocalFSStorage(tmp_path / "from", name="source", on_event=hook)
        async with source, MemoryStorage(name="destination", on_event=hook) as destination:
            (tmp_path / "from").mkdir()
            (tmp_path / "from" / "k").write_bytes(bytes(size))
            await sync(source, destination, journal=tmp_path / "journal")
        assert {(storage, key, count) for storage, _, key, count in told} == {
            ("source", "k", size), ("destination", "k", size),
        }  # fmt: skip
        assert {operation for _, operation, _, _ in told} <= {
            "read_bytes", "write_bytes", "open", "stat",
        }  # fmt: skip


class TestPatterns:
    @pytest.mark.parametrize("call", ["sync", "verify"])
    async def test_leave_names_alone_on_both_sides(
        self, source: Storage, destination: Storage, call: str
    ) -> None:
        await write(source, {"a.txt": b"1", "b.log": b"2", "d/c.txt": b"3", "d/e/f.txt": b"4"})
        await write(destination, {"x.log": b"5", "y.txt": b"6", "d/e/z.txt": b"7"})
        options: dict[str, Any] = {"include": ["*.txt"], "exclude": ["d/e/"]}
        if call == "verify":
            report = await verify(source, destination, **options)
            assert actions(report) == {"missing": 2, "extra": 1}
        else:
            report = await sync(source, destination, delete=True, **options)
            assert actions(report) == {"copied": 2, "deleted": 1}
            left = {"a.txt", "d/c.txt", "x.log", "d/e/z.txt"}
            assert set(await read(destination)) == left


class TestOutcomes:
    @pytest.mark.parametrize("error", [LookupError, BrokenPipeError, PermissionDeniedError])
    @pytest.mark.parametrize("files", [1, 50])
    async def test_what_the_callback_raises_ends_the_run(
        self, source: Storage, destination: Storage, error: type[Exception], files: int
    ) -> None:
        await write(source, {f"f{number}": b"1" for number in range(files)})
        await write(destination, {"old": b"2"})
        calls = 0

        def refuse(outcome: Outcome) -> None:
            nonlocal calls
            calls += 1
            raise error("enough")

        with pytest.raises(error, match="enough"):
            await sync(source, destination, on_outcome=refuse, delete=True)
        assert calls <= 9  # of those under way
        assert set((await read(destination)).values()) == {b"1", b"2"}
        assert "old" in await read(destination)
        with pytest.raises(error, match="enough"):
            await verify(source, destination, on_outcome=refuse)
        async with MemoryStorage() as memory:
            with pytest.raises(error, match="enough"):
                await sync(source, memory, on_outcome=refuse)

    async def test_a_report_tells_it_as_text_and_as_json(self, destination: Storage) -> None:
        async with MemoryStorage() as memory:
            await write(memory, {"a": b"123", "n" * 300: b"2", "same": b"4"})
            await sync(memory, destination, include=["same"])
            report = await sync(memory, destination)
        assert str(report) == "1 copied, 1 unchanged, 1 failed (3 bytes)"
        told = report.as_dict()
        (failure,) = told.pop("failures")
        assert told == {"dry_run": False, "copied": 1, "unchanged": 1, "failed": 1, "bytes": 3}
        assert failure["name"] == "n" * 300
        assert failure["error"] == "InvalidKeyError"
        assert "longer than this disk allows" in failure["message"]

    async def test_a_dry_run_changes_nothing(self, source: Storage, destination: Storage) -> None:
        await write(source, {"a": b"123"})
        await write(destination, {"b": b"5"})
        report = await sync(source, destination, delete=True, dry_run=True)
        assert str(report) == "dry run: 1 copied, 1 deleted (3 bytes)"
        assert await read(destination) == {"b": b"5"}


class TestJournal:
    @pytest.fixture
    def journal(self, tmp_path: Path) -> Path:
        return tmp_path / "journal"

    async def test_of_other_trees_is_refused(
        self, source: Storage, destination: Storage, journal: Path
    ) -> None:
        await sync(source, destination, journal=journal)
        async with MemoryStorage() as memory:
            with pytest.raises(InvalidArgumentError, match="other trees"):
                await sync(source, memory, journal=journal)
        with pytest.raises(InvalidArgumentError, match="other trees"):
            await sync(destination, source, journal=journal)

    @pytest.mark.parametrize("what", ["text", "CREATE TABLE x (y)", "CREATE TABLE files (id)"])
    async def test_that_is_no_journal_is_refused_and_left_alone(
        self, source: Storage, destination: Storage, journal: Path, what: str
    ) -> None:
        await write(source, {"a": b"1"})
        if what == "text":
            journal.write_text("my own notes, which are longer than a header of a database " * 20)
        else:
            with closing(sqlite3.connect(journal)) as base:
                base.execute(what)
        before = journal.read_bytes()
        with pytest.raises(InvalidArgumentError, match="no journal"):
            await sync(source, destination, journal=journal)
        assert journal.read_bytes() == before

    async def test_that_cannot_be_written(self, source: Storage, destination: Storage) -> None:
        with pytest.raises(StorageError, match="cannot be opened"):
            await sync(source, destination, journal="/proc/none/journal")

    async def test_that_breaks_on_the_way_ends_the_run(
        self, source: Storage, destination: Storage, journal: Path
    ) -> None:
        await write(source, {"a": b"1", "b": b"2"})
        await sync(source, destination, journal=journal, include=["a"])
        with closing(sqlite3.connect(journal)) as base:
            base.execute("DROP TABLE begun")
            base.execute("CREATE VIEW begun AS SELECT * FROM absent")
            base.commit()
        with pytest.raises(StorageError, match="cannot be read or written any more"):
            await sync(source, destination, journal=journal)

    @pytest.mark.parametrize("where", ["from", "to"])
    async def test_within_a_tree_is_refused(
        self, source: Storage, destination: Storage, tmp_path: Path, where: str
    ) -> None:
        await write(source, {"a": b"1"})
        (tmp_path / "to").mkdir()
        with pytest.raises(InvalidArgumentError, match="within one of the trees"):
            await sync(source, destination, journal=tmp_path / where / "journal", delete=True)
        assert await read(destination) == {}

    async def test_a_copy_that_failed_is_no_copy(
        self, source: Storage, tmp_path: Path, journal: Path
    ) -> None:
        await write(source, {"f": b"AAAA"})
        async with MemoryStorage() as memory:
            driver = FaultyDriver(memory.driver, faulty.error("write", PermissionDeniedError("no")))
            async with Storage(driver, name="broken") as broken:
                assert (await sync(source, broken, journal=journal)).failed == 1
                await memory.write_bytes("f", b"XXXX")
                await source.write_bytes("f", b"AAAA")
                assert actions(await sync(source, broken, journal=journal)) == {"copied": 1}
                assert await read(memory) == {"f": b"AAAA"}

    async def test_what_may_be_a_copy_is_looked_at_once(
        self, source: Storage, destination: Storage, journal: Path
    ) -> None:
        await write(source, {"f": b"AAAA", "g": b"BBBB"})

        with closing(Journal(journal, source.address, destination.address)) as open_journal:
            for entry in await source.list():
                open_journal.begin(entry.name, version(entry), None)
        await write(destination, {"f": b"AAAA", "g": b"XXXX"})
        report = await sync(source, destination, journal=journal)
        assert actions(report) == {"copied": 1, "unchanged": 1}
        await write(destination, {"f": b"ZZZZ"})
        assert actions(await sync(source, destination, journal=journal)) == {
            "copied": 1, "unchanged": 1,
        }  # fmt: skip
        assert await read(destination) == {"f": b"AAAA", "g": b"BBBB"}

    async def test_of_another_run_is_refused(
        self, source: Storage, destination: Storage, journal: Path
    ) -> None:
        await write(source, {"a": b"1"})

        async def again(outcome: Outcome) -> None:
            with pytest.raises(StorageError, match="in use"):
                await sync(source, destination, journal=journal)
            seen.append(outcome.name)

        seen: list[str] = []
        await sync(source, destination, journal=journal, on_outcome=again)
        assert seen == ["a"]
        await sync(source, destination, journal=journal)

    async def test_is_for_its_owner_alone(
        self, source: Storage, destination: Storage, journal: Path
    ) -> None:
        await sync(source, destination, journal=journal)
        assert journal.stat().st_mode & 0o777 == 0o600

    async def test_a_dry_run_asks_it_and_writes_nothing(
        self, source: Storage, destination: Storage, journal: Path
    ) -> None:
        await write(source, {"a": b"1"})
        await sync(source, destination, dry_run=True, journal=journal)
        assert not journal.exists()
        await sync(source, destination, journal=journal)
        await destination.write_bytes("a", b"2")
        report = await sync(source, destination, dry_run=True, journal=journal)
        assert actions(report) == {"copied": 1}
        assert actions(await sync(source, destination, journal=journal)) == {"copied": 1}
        assert await read(destination) == {"a": b"1"}
