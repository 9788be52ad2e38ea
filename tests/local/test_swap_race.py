"""Races against a process that swaps what lies in the root for symlinks that lead out of it.

Run as a program, this module is that process.
"""

from __future__ import annotations

import asyncio
import ctypes
import io
import mmap
import os
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from aiostow import NotAFileError, Storage, StorageError
from aiostow._disk import features
from aiostow.backends.local import LocalDriver

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="swaps by Linux's renameat2"),
]

TRIES = 10_000
TRIES_LONG = 1_000_000
LIFETIME = 60.0  # seconds that a swapping process lives at most
LIFETIME_LONG = 3600.0

BODY = b"i" * 100
SECRET = b"S" * 7777  # no length and no byte of it may ever be seen
_COUNTER = struct.Struct("Q")

# -- the swapping process -------------------------------------------------------------------------

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def _exchange(library: ctypes.CDLL, first: bytes, second: bytes) -> None:
    if library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def _swap_directories(root: str) -> Iterator[None]:
    """Let ``d`` be a directory and a link to another, in turn; it is never missing."""
    library = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(f"{root}/d"), os.fsencode(f"{root}/partner"))
    while True:
        _exchange(library, *names)
        yield


def _swap_files(root: str, secret: str) -> Iterator[None]:
    """Let ``d/f`` be a file and a link to a secret one, in turn, whatever others make of it."""
    name, new = f"{root}/d/f", f"{root}/d/swapped-in"
    while True:
        os.symlink(secret, new)
        os.rename(new, name)
        yield
        with open(new, "xb", buffering=0) as file:
            file.write(BODY)
        os.rename(new, name)
        yield


def _swap(kind: str, root: str, secret: str, counter: str, lifetime: float) -> None:
    """Swap until killed, until the time is over or until the parent is gone; count in a file."""
    parent = os.getppid()
    end = time.monotonic() + lifetime
    swaps = _swap_directories(root) if kind == "directory" else _swap_files(root, secret)
    with open(counter, "r+b") as file, mmap.mmap(file.fileno(), _COUNTER.size) as memory:
        for number, _ in enumerate(swaps, 1):
            _COUNTER.pack_into(memory, 0, number)
            if number % 1000 == 0 and (time.monotonic() > end or os.getppid() != parent):
                return


# -- the racing test ------------------------------------------------------------------------------


class Place:
    """A root with ``d/f`` in it, and a directory outside that holds files of the same names."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "root"
        self.outside = base / "outside"
        self.counter = base / "counter"
        self.source = base / "source"
        self.got = base / "got"

    def build(self) -> None:
        for directory in (self.root / "d", self.outside / "deep"):
            directory.mkdir(parents=True)
        for name in ("f", "g", "made", "deep/f", "only-outside"):
            (self.outside / name).write_bytes(SECRET)
        (self.root / "d" / "f").write_bytes(BODY)
        (self.root / "plain").write_bytes(BODY)
        (self.root / "partner").symlink_to(self.outside)
        self.source.write_bytes(BODY)
        self.counter.write_bytes(_COUNTER.pack(0))

    def snapshot(self) -> dict[str, tuple[int, int, int, bytes]]:
        """Return the names, times and contents of what is outside."""
        found: dict[str, tuple[int, int, int, bytes]] = {}
        for directory, _, files in os.walk(self.outside):
            for path in (Path(directory), *(Path(directory, name) for name in files)):
                info = path.lstat()
                content = path.read_bytes() if path.is_file() else b""
                found[str(path)] = (info.st_ino, info.st_mode, info.st_mtime_ns, content)
        return found

    def inside(self) -> Iterator[Path]:
        """Give the regular files of the root."""
        for directory, _, files in os.walk(self.root):
            paths = (Path(directory, name) for name in files)
            yield from (path for path in paths if not path.is_symlink())

    @property
    def swaps(self) -> int:
        return int(_COUNTER.unpack(self.counter.read_bytes())[0])

    def mend(self) -> None:
        """Remove what the last try made, within the root: by descriptor, for this races as well."""
        (self.root / "moved").unlink(missing_ok=True)
        for name in ("d", "partner"):
            try:
                directory = os.open(self.root / name, os.O_DIRECTORY | os.O_NOFOLLOW)
            except NotADirectoryError:
                continue
            try:
                os.unlink("g", dir_fd=directory)
            except FileNotFoundError:
                pass
            finally:
                os.close(directory)


@dataclass
class Tally:
    """What became of the tries."""

    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)


def _check(data: bytes) -> None:
    # In place, a reader may see a file half written, but never one byte of another.
    assert set(data) <= {BODY[0]}, f"read {data[:20]!r}"


async def _read(storage: Storage, place: Place) -> None:
    _check(await storage.read_bytes("d/f"))


async def _stream(storage: Storage, place: Place) -> None:
    async with storage.open("d/f") as file:
        assert file.size <= len(BODY)
        async for chunk in file:
            _check(bytes(chunk))


async def _update(storage: Storage, place: Place) -> None:
    async with storage.open("d/f", "rw") as file:
        _check(await file.read())
        await file.seek(0)
        await file.write(BODY[:10])


async def _write(storage: Storage, place: Place) -> None:
    await storage.write_bytes("d/f", BODY)


async def _write_below(storage: Storage, place: Place) -> None:
    # Directories are made on the way, too.
    await storage.write_bytes("d/deep/made", BODY)


async def _create(storage: Storage, place: Place) -> None:
    await storage.write_bytes("d/g", BODY, if_absent=True)


async def _put(storage: Storage, place: Place) -> None:
    await storage.put(place.source, "d/f")


async def _get(storage: Storage, place: Place) -> None:
    await storage.get("d/f", place.got)
    _check(place.got.read_bytes())


async def _download(storage: Storage, place: Place) -> None:
    destination = io.BytesIO()
    await storage.download("d/f", destination)
    _check(destination.getvalue())


async def _stat(storage: Storage, place: Place) -> None:
    assert (await storage.stat("d/f")).size <= len(BODY)


async def _list(storage: Storage, place: Place) -> None:
    for entry in await storage.list("d"):
        assert entry.size <= len(BODY)
        assert entry.name in ("d/f", "d/g", "d/swapped-in", "d/deep/made")


async def _list_all(storage: Storage, place: Place) -> None:
    for entry in await storage.list():
        assert entry.size <= len(BODY)
        assert not entry.name.endswith("only-outside")


async def _list_start(storage: Storage, place: Place) -> None:
    for item in await storage.list(starting="d/", recursive=False):
        assert item.name in ("d/f", "d/g", "d/swapped-in", "d/deep")


async def _delete(storage: Storage, place: Place) -> None:
    await storage.delete("d/f", missing_ok=False)


async def _delete_below(storage: Storage, place: Place) -> None:
    await storage.delete_many(["d/deep/made", "d/g", "d/only-outside", "d/deep/f"])


async def _move_within(storage: Storage, place: Place) -> None:
    await storage.move("d/f", "d/g")


async def _move_out(storage: Storage, place: Place) -> None:
    await storage.move("d/f", "moved")
    # What was stated as a file may be a link when it is renamed: then the link went, not its file.
    if not (place.root / "moved").is_symlink():
        _check(await storage.read_bytes("moved"))


async def _move_in(storage: Storage, place: Place) -> None:
    await storage.copy("plain", "going")
    await storage.move("going", "d/f")


async def _copy_out(storage: Storage, place: Place) -> None:
    assert (await storage.copy("d/f", "copied")).size <= len(BODY)
    _check(await storage.read_bytes("copied"))


async def _copy_in(storage: Storage, place: Place) -> None:
    await storage.copy("plain", "d/f")


Try: TypeAlias = Callable[[Storage, Place], Awaitable[None]]

ALL: tuple[Try, ...] = (
    _read, _write, _stat, _list, _delete, _write, _stream, _update, _move_within, _write, _get,
    _copy_out, _download, _move_out, _put, _read, _create, _list_all, _copy_in, _list_start,
    _write_below, _delete_below, _move_in, _stat,
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.build()
    return place


@pytest.fixture(params=["directory", "file"])
def kind(request: pytest.FixtureRequest) -> str:
    """What is swapped: the directory of a key, or its last segment."""
    name: str = request.param
    return name


@pytest.fixture
def swapper(place: Place, kind: str, long: bool) -> Iterator[subprocess.Popen[bytes]]:
    secret = place.outside / "f"
    lifetime = LIFETIME_LONG if long else LIFETIME
    arguments = (kind, str(place.root), str(secret), str(place.counter), str(lifetime))
    child = subprocess.Popen([sys.executable, __file__, *arguments], stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 20
        while place.swaps == 0 and child.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.fixture(params=["openat2", "walk"])
async def storage(request: pytest.FixtureRequest, place: Place) -> AsyncIterator[Storage]:
    system = features()
    if request.param == "openat2" and not system.openat2:
        pytest.skip("this system has no openat2")
    system.openat2 = request.param == "openat2"
    driver = LocalDriver(place.root, durable=False, system=system)
    async with Storage(driver, name="tested") as storage:
        yield storage


async def _race(storage: Storage, place: Place, tries: int) -> Tally:
    tally = Tally()
    for number in range(tries):
        attempt = ALL[number % len(ALL)]
        name = attempt.__name__
        try:
            async with asyncio.timeout(30):
                await attempt(storage, place)
        except NotAFileError:
            tally.refused[name] += 1
        except StorageError as exc:
            tally.others[f"{name} {type(exc).__name__}"] += 1
        else:
            tally.done[name] += 1
        if attempt in (_move_within, _move_out, _create):
            place.mend()
    return tally


async def test_no_swap_leads_out_of_the_root(
    storage: Storage, place: Place, kind: str, swapper: subprocess.Popen[bytes], long: bool
) -> None:
    before = place.snapshot()
    swaps = place.swaps
    tries = (TRIES_LONG if long else TRIES) // 4  # for two ways of confinement, two kinds of swap
    tally = await _race(storage, place, tries)
    swaps = place.swaps - swaps
    assert swapper.poll() is None, swapper.stderr and swapper.stderr.read()
    swapper.kill()
    swapper.wait()
    assert place.snapshot() == before
    assert not any(SECRET[:1] in path.read_bytes() for path in place.inside())

    # The race took place: swaps went on all the time, and tries met either side of them.
    assert swaps > tries / 10
    done, refused = tally.done.total(), tally.refused.total()
    assert done > tries / 100, tally
    assert refused > tries / 100, tally
    for attempt in (_read, _stat, _write, _copy_out):
        assert tally.done[attempt.__name__], tally
        if kind == "directory" or attempt is not _write:
            assert tally.refused[attempt.__name__], tally


async def test_a_swap_back_in_time_is_not_taken_for_nothing_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A link when it is opened, a directory when it is looked at: the file was there all the time,
    # so a deletion that leaves it must say so.
    system = features()
    system.openat2 = False
    (place.root / "d").rename(place.root / "real")
    (place.root / "partner").rename(place.root / "d")
    stat = os.stat

    def late(path: str, **options: Any) -> os.stat_result:
        if path == "d" and (place.root / "real").is_dir():
            (place.root / "d").unlink()
            (place.root / "real").rename(place.root / "d")
        return stat(path, **options)

    async with Storage(LocalDriver(place.root, durable=False, system=system), name="s") as storage:
        with monkeypatch.context() as patched:
            patched.setattr(os, "stat", late)
            try:
                await storage.delete("d/f")
            except NotAFileError:
                return
    assert not (place.root / "d" / "f").exists()


if __name__ == "__main__":
    _, kind_, root_, secret_, counter_, lifetime_ = sys.argv
    _swap(kind_, root_, secret_, counter_, float(lifetime_))
