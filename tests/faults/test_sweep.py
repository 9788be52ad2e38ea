"""A sweep removes what dead writers left, by age, and nothing else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from aiostow import LocalFSStorage, PermissionDeniedError, Storage
from aiostow._disk import features
from aiostow.backends.local import LocalDriver
from aiostow.keys import TEMP_PREFIX
from aiostow.testing import FaultyDriver, pattern
from aiostow.testing.faulty import error

from ._kill_child import SYSTEMS, Bench, Children, Operation, files_below

pytestmark = pytest.mark.anyio

NOW = timedelta(0)
DAY = 86400.0
HOUR = 3600.0


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[LocalFSStorage]:
    async with LocalFSStorage(tmp_path / "root", durable=False) as storage:
        yield storage


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)


def leave(folder: Path, name: str, seconds: float = 0) -> Path:
    """Leave what a writer leaves who is killed."""
    path = folder / (TEMP_PREFIX + name)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half of")
    age(path, seconds)
    return path


# -- age -------------------------------------------------------------------------------------------


async def test_leftovers_are_swept_by_their_age(storage: LocalFSStorage) -> None:
    await storage.write_bytes("folder/key", b"whole")
    there: set[str] = set()
    for name, seconds in (("seconds", 5), ("hours", 3 * HOUR), ("days", 3 * DAY)):
        leave(storage.root, name, seconds)
        leave(storage.root / "folder" / "deep", name, seconds)
        there.add(name)
    steps: list[tuple[timedelta, set[str]]] = [
        (timedelta(days=7), set()),
        (timedelta(days=2), {"days"}),
        (timedelta(hours=1), {"hours"}),
        (timedelta(minutes=1), set()),
        (NOW, {"seconds"}),
        (NOW, set()),
    ]
    for older_than, gone in steps:
        assert await storage.sweep(older_than) == 2 * len(gone)
        there -= gone
        names = [TEMP_PREFIX + name for name in there]
        assert files_below(storage.root) == {
            "folder/key", *names, *(f"folder/deep/{name}" for name in names)
        }  # fmt: skip
    assert await storage.read_bytes("folder/key") == b"whole"


async def test_without_an_age_a_sweep_takes_what_is_older_than_a_day(
    storage: LocalFSStorage,
) -> None:
    young = leave(storage.root, "young", 23 * HOUR)
    old = leave(storage.root, "old", 25 * HOUR)
    assert await storage.sweep() == 1
    assert young.exists()
    assert not old.exists()


async def test_a_sweep_of_nothing_makes_nothing(storage: LocalFSStorage) -> None:
    assert await storage.sweep(NOW) == 0
    assert await storage.at("nowhere").sweep(NOW) == 0
    assert not storage.root.exists()


async def test_several_sweeps_at_once_count_each_leftover_once(storage: LocalFSStorage) -> None:
    for number in range(200):
        leave(storage.root / str(number % 7), str(number), DAY)
    async with LocalFSStorage(storage.root) as other:
        sweeps = (one.sweep(NOW) for one in (storage, other, storage, other))
        assert sum(await asyncio.gather(*sweeps)) == 200
    assert files_below(storage.root) == set()


# -- living writers --------------------------------------------------------------------------------

CONTENT = pattern((9 << 20) + 1, 2)
WRITER = """
import asyncio, sys
from pathlib import Path
from aiostow import Storage
from aiostow._disk import features
from aiostow.backends.local import LocalDriver
from aiostow.testing import pattern

async def main():
    system = features()
    system.tmpfile = system.tmpfile and sys.argv[2] != "named"
    driver = LocalDriver(Path(sys.argv[1]), durable=False, system=system)
    async with Storage(driver, name="disk") as storage:
        async with storage.open("folder/key", "w") as file:
            await file.write(pattern((9 << 20) + 1, 2))
            print("writing", flush=True)
            sys.stdin.readline()

asyncio.run(main())
"""


@contextmanager
def writer(root: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """Start another process that has written several pieces, and commits when told to."""
    command = [sys.executable, "-c", WRITER, str(root), kind]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
            yield process
        finally:
            process.kill()


def has_name(kind: str) -> bool:
    return kind == "named" or not features().tmpfile


def temporary(root: Path) -> list[Path]:
    return [root / name for name in files_below(root) if TEMP_PREFIX in name]


@pytest.mark.parametrize("kind", ["named", "unnamed"])
async def test_what_a_living_process_writes_stays_however_old_it_seems(
    storage: LocalFSStorage, kind: str
) -> None:
    with writer(storage.root, kind) as process:
        held = temporary(storage.root)
        assert len(held) == has_name(kind)
        for path in held:
            age(path, 30 * DAY)
        for older_than in (NOW, timedelta(hours=1), timedelta(days=1)):
            assert await storage.sweep(older_than) == 0
        assert temporary(storage.root) == held
        process.communicate("commit\n")
        assert process.returncode == 0
    assert await storage.read_bytes("folder/key") == CONTENT
    assert files_below(storage.root) == {"folder/key"}


@pytest.mark.parametrize("kind", ["named", "unnamed"])
async def test_what_a_killed_process_wrote_goes_at_once(storage: LocalFSStorage, kind: str) -> None:
    with writer(storage.root, kind) as process:
        process.kill()
        process.communicate()
        assert await storage.list() == []
        assert await storage.sweep(timedelta(hours=1)) == 0
        assert await storage.sweep(NOW) == has_name(kind)
    assert files_below(storage.root) == set()


async def test_what_the_own_process_writes_stays(tmp_path: Path) -> None:
    system = features()
    system.tmpfile = False
    driver = LocalDriver(tmp_path, durable=False, system=system)
    async with Storage(driver, name="disk") as storage:
        async with storage.open("key", "w") as file:
            await file.write(CONTENT)
            assert len(temporary(tmp_path)) == 1
            assert await storage.sweep(NOW) == 0
        assert await storage.read_bytes("key") == CONTENT
        assert await storage.sweep(NOW) == 0
    assert files_below(tmp_path) == {"key"}


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    children = Children()
    yield children
    children.close()


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("do", ["open", "create"])
async def test_a_sweep_at_any_moment_disturbs_no_living_writer(
    need_program: Callable[[str], str], children: Children, tmp_path: Path, do: str, system: str
) -> None:
    bench = Bench(children, need_program("strace"), tmp_path, 70_001)
    operation = Operation(do, over=do == "open")
    delayed = [call for call in bench.count(operation, SYSTEMS[system]) if call.writes()]
    disturbed = []
    for call in delayed:
        bench.prepare(operation)
        # Long enough for many sweeps, in the moment before the call.
        inject = f"{call.name}:delay_enter=50000:when={call.nth}"
        run = asyncio.create_task(asyncio.to_thread(bench.run, operation, SYSTEMS[system], inject))
        sweeps = 0
        async with LocalFSStorage(bench.root) as storage:
            while not run.done():
                await storage.sweep(NOW)
                sweeps += 1
                await asyncio.sleep(0.001)
        outcome = await run
        assert sweeps > 1
        if outcome.error is not None:
            disturbed.append(f"{call.name} {call.nth}: {outcome.error}")
        else:
            assert await bench.check(operation) == 1
    assert not disturbed, "\n".join(disturbed)
    assert len(delayed) >= 5


# -- what is not ours ------------------------------------------------------------------------------


async def test_foreign_files_stay_however_similar_their_names(storage: LocalFSStorage) -> None:
    names = {
        TEMP_PREFIX.rstrip("-"),
        TEMP_PREFIX.lstrip("."),
        TEMP_PREFIX.upper() + "1",
        "x" + TEMP_PREFIX + "1",
        "key.tmp",
        ".hidden",
        "folder/key",
    }
    for name in names:
        path = storage.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"foreign")
        age(path, 365 * DAY)
    assert await storage.sweep(NOW) == 0
    assert files_below(storage.root) == names


async def test_symlinks_are_neither_followed_nor_removed(
    storage: LocalFSStorage, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    precious = outside / "precious"
    leave(outside, "old", DAY)
    precious.write_bytes(b"precious")
    age(precious, DAY)
    storage.root.mkdir()
    links = {
        TEMP_PREFIX + "to-file": precious,
        TEMP_PREFIX + "to-leftover": outside / (TEMP_PREFIX + "old"),
        TEMP_PREFIX + "to-folder": outside,
        TEMP_PREFIX + "to-nothing": tmp_path / "nothing",
        "folder": outside,
    }
    for name, target in links.items():
        (storage.root / name).symlink_to(target)
        age(storage.root / name, DAY)
    assert await storage.sweep(NOW) == 0
    assert await storage.at("folder").sweep(NOW) == 0
    assert {path.name for path in storage.root.iterdir()} == set(links)
    assert files_below(outside) == {"precious", TEMP_PREFIX + "old"}
    assert precious.read_bytes() == b"precious"


async def test_what_is_no_file_stays_though_named_like_a_leftover(storage: LocalFSStorage) -> None:
    inner = storage.root / (TEMP_PREFIX + "folder")
    leave(inner, "old", DAY)
    (inner / "key").write_bytes(b"foreign")
    fifo = storage.root / (TEMP_PREFIX + "fifo")
    os.mkfifo(fifo)  # opening it would wait for its other end
    for path in (inner, fifo):
        age(path, DAY)
    assert await asyncio.wait_for(storage.sweep(NOW), 10) == 0
    assert fifo.is_fifo()
    assert files_below(inner) == {"key", TEMP_PREFIX + "old"}


async def test_a_leftover_that_is_also_a_key_leaves_the_key(storage: LocalFSStorage) -> None:
    # A create-only write that was killed between getting its name and losing the other.
    await storage.write_bytes("key", b"whole")
    path = storage.root / (TEMP_PREFIX + "1")
    path.hardlink_to(storage.root / "key")
    assert await storage.sweep(NOW) == 1
    assert await storage.read_bytes("key") == b"whole"
    assert files_below(storage.root) == {"key"}


# -- looking ---------------------------------------------------------------------------------------


async def test_what_would_be_removed_is_told_and_stays(storage: LocalFSStorage) -> None:
    for name, seconds in (("old", 3 * DAY), ("young", HOUR)):
        leave(storage.root / "a" / "b", name, seconds)
    (only,) = await storage.leftovers()
    assert only == (await storage.leftovers(timedelta(days=2)))[0]
    assert (only.key, only.size, only.upload_id) == (f"a/b/{TEMP_PREFIX}old", 7, None)
    assert abs(only.since.timestamp() - (time.time() - 3 * DAY)) < 60
    assert [each.key for each in await storage.at("a").leftovers()] == [f"b/{TEMP_PREFIX}old"]
    assert await storage.at("b").leftovers() == []
    assert len(await storage.leftovers(NOW)) == 2
    assert len(temporary(storage.root)) == 2


async def test_who_looks_disturbs_neither_a_writer_nor_a_sweep(storage: LocalFSStorage) -> None:
    for number in range(100):
        leave(storage.root, str(number), DAY)
    with writer(storage.root, "named") as process:
        async with LocalFSStorage(storage.root) as other:
            looks = asyncio.gather(*(other.leftovers(NOW) for _ in range(8)))
            swept = await storage.sweep(NOW)
            await looks
        assert swept + await storage.sweep(NOW) == 100
        process.communicate("commit\n")
    assert await storage.read_bytes("folder/key") == CONTENT


async def test_one_that_cannot_be_removed_keeps_no_other_from_it(storage: LocalFSStorage) -> None:
    for number in range(5):
        leave(storage.root, str(number), DAY)
    driver = FaultyDriver(storage.driver, error("discard", PermissionError(1, "no"), nth=2))
    faulty = Storage(driver, name="faulty")
    with pytest.raises(PermissionDeniedError) as caught:
        await faulty.sweep(NOW)
    assert caught.value.operation == "sweep"
    assert (caught.value.key or "").startswith(TEMP_PREFIX)
    assert len(temporary(storage.root)) == 1


# -- views -----------------------------------------------------------------------------------------


async def test_a_view_sweeps_only_below_its_prefix(storage: LocalFSStorage) -> None:
    folders = ["", "a", "a/b", "a/b/c", "a/bc", "ab", "b"]
    for folder in folders:
        leave(storage.root / folder, "old", DAY)

    def left() -> list[str]:
        return [
            folder for folder in folders if (storage.root / folder / f"{TEMP_PREFIX}old").exists()
        ]

    assert await storage.at("a/b").sweep(NOW) == 2
    assert left() == ["", "a", "a/bc", "ab", "b"]
    assert await storage.at("a").at("b").sweep(NOW) == 0
    assert await storage.at("a").sweep(NOW) == 2
    assert left() == ["", "ab", "b"]
    assert await storage.sweep(NOW) == 3
    assert left() == []
