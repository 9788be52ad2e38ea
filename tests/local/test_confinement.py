"""What lies on the disk beside plain files: refused, never followed, never waited for."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import selectors
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from aiostow import (
    DeleteManyError,
    FileExistsInStorageError,
    FileNotFoundInStorageError,
    Folder,
    InvalidKeyError,
    KeyConflictError,
    ListEntry,
    LocalFSStorage,
    NotAFileError,
    Storage,
    StorageError,
)
from aiostow._disk import Features, features
from aiostow.backends.local import LocalDriver
from aiostow.keys import TEMP_PREFIX

pytestmark = pytest.mark.anyio

WAYS = ("openat2", "walk")  # the two ways of confinement
BODY = b"inside"
SECRET = b"the secret"
PATIENCE = 5  # seconds, for what must not block at all


class Place:
    """A root full of traps, and what they lead to."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "root"
        self.outside = base / "outside"
        self.own = base / "own"  # the caller's files
        self.devices: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX)

    def build(self) -> None:
        for directory in (self.root, self.outside / "below", self.own):
            directory.mkdir(parents=True)
        for file in ("secret", "plain", "new.d", "below/secret"):
            (self.outside / file).write_bytes(SECRET)
        (self.own / "source").write_bytes(BODY)
        root = self.root
        (root / "plain").write_bytes(BODY)
        (root / "full" / "deep").mkdir(parents=True)
        (root / "full" / "plain").write_bytes(BODY)
        (root / "full" / "deep" / "plain").write_bytes(BODY)
        (root / "empty" / "er").mkdir(parents=True)
        for name, target in self.links().items():
            (root / name).symlink_to(target)
        os.mkfifo(root / "fifo")
        # By a short path: the name of a socket may have some hundred bytes only.
        here = os.open(root, os.O_RDONLY)
        try:
            self._socket.bind(f"/proc/self/fd/{here}/socket")
        finally:
            os.close(here)
        for name, kind, device in (
            ("null", stat.S_IFCHR, os.makedev(1, 3)),
            ("zero", stat.S_IFCHR, os.makedev(1, 5)),
            ("no-driver", stat.S_IFCHR, os.makedev(240, 77)),
            ("block", stat.S_IFBLK, os.makedev(7, 77)),
        ):
            with contextlib.suppress(PermissionError):  # only root may make them
                os.mknod(root / name, kind | 0o666, device)
                self.devices.append(name)

    def close(self) -> None:
        self._socket.close()

    def links(self) -> dict[str, str | Path]:
        """Names of symlinks within the root, and what they point to."""
        return {
            "to-secret": self.outside / "secret",
            "to-secret-relative": "../outside/secret",
            "to-plain": "plain",  # what is inside is not followed either
            "dangling": self.outside / "new",
            "dangling-inside": "new",
            "to-outside": self.outside,
            "to-outside-relative": "../outside",
            "to-full": "full",
            "to-parent": "..",
            "to-itself": ".",
            "to-top": "/",
            "to-proc": "/proc/self/root",
            "to-cwd": "/proc/self/cwd",
            "to-fd": "/dev/fd/0",
            "loop": "loop",
            "loop-a": "loop-b",
            "loop-b": "loop-a",
            "to-fifo": "fifo",
            "full/to-outside": "../../outside",
            "full/deep/to-secret": "../../../outside/secret",
            "empty/er/to-outside": self.outside,
        }

    def snapshot(self) -> dict[str, tuple[object, ...]]:
        """Return the state of everything, inside and outside, but the caller's own files."""
        found: dict[str, tuple[object, ...]] = {}
        for directory, names, files in os.walk(self.base):
            here = Path(directory)
            names[:] = [name for name in names if here / name != self.own]
            for name in (*names, *files):
                path = here / name
                info = path.lstat()
                state: tuple[object, ...] = (info.st_mode, info.st_ino, info.st_nlink)
                if stat.S_ISREG(info.st_mode):
                    state += (info.st_mtime_ns, path.read_bytes())
                if stat.S_ISLNK(info.st_mode):
                    state += (os.readlink(path),)
                found[os.path.relpath(path, self.base)] = state
        return found


def system_of(way: str, **changes: bool) -> Features:
    """Return the system's features, confined in one way and without those in `changes`."""
    system = features()
    if way == "openat2" and not system.openat2:
        pytest.skip("this system has no openat2")
    system.openat2 = way == "openat2"
    for name, value in changes.items():
        setattr(system, name, getattr(system, name) and value)
    return system


def make(way: str, root: Path, **changes: bool) -> Storage:
    driver = LocalDriver(root, durable=False, system=system_of(way, **changes))
    return Storage(driver, name="tested")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "base")
    place.build()
    yield place
    place.close()


@pytest.fixture(params=WAYS)
async def storage(request: pytest.FixtureRequest, place: Place) -> AsyncIterator[Storage]:
    async with make(request.param, place.root) as storage:
        yield storage


# -- methods --------------------------------------------------------------------------------------

Call: TypeAlias = Callable[[Storage, str, Place], Awaitable[object]]


async def _open(storage: Storage, key: str, mode: str) -> object:
    async with storage.open(key, mode) as file:
        return await (file.write(BODY) if "r" not in mode else file.read())


async def _delete_many(storage: Storage, key: str) -> None:
    try:
        await storage.delete_many(["full/missing", key])
    except DeleteManyError as exc:
        assert key in exc.failures
        raise exc.failures[key] from exc


READING: dict[str, Call] = {
    "open r": lambda s, k, p: _open(s, k, "r"),
    "open rw": lambda s, k, p: _open(s, k, "rw"),
    "stat": lambda s, k, p: s.stat(k),
    "read_bytes": lambda s, k, p: s.read_bytes(k),
    "get": lambda s, k, p: s.get(k, p.own / "got"),
    "download": lambda s, k, p: s.download(k, io.BytesIO()),
    "copy from": lambda s, k, p: s.copy(k, "copied"),
    "copy itself": lambda s, k, p: s.copy(k, k),
    "move from": lambda s, k, p: s.move(k, "moved"),
    "move itself": lambda s, k, p: s.move(k, k),
}
WRITING: dict[str, Call] = {
    "open w": lambda s, k, p: _open(s, k, "w"),
    "write_bytes": lambda s, k, p: s.write_bytes(k, BODY),
    "put": lambda s, k, p: s.put(p.own / "source", k),
    "upload": lambda s, k, p: s.upload(io.BytesIO(BODY), k),
    "copy to": lambda s, k, p: s.copy("plain", k),
    "move to": lambda s, k, p: s.move("plain", k),
}
CREATING: dict[str, Call] = {
    "open x": lambda s, k, p: _open(s, k, "x"),
    "write_bytes": lambda s, k, p: s.write_bytes(k, BODY, if_absent=True),
    "copy to": lambda s, k, p: s.copy("plain", k, overwrite=False),
    "move to": lambda s, k, p: s.move("plain", k, overwrite=False),
}
DELETING: dict[str, Call] = {
    "delete": lambda s, k, p: s.delete(k),
    "delete what exists": lambda s, k, p: s.delete(k, missing_ok=False),
    "delete_many": lambda s, k, p: _delete_many(s, k),
}


async def _outcome(call: Call, storage: Storage, key: str, place: Place) -> str:
    """Return the name of the error that a call raises, or ``""``."""
    try:
        async with asyncio.timeout(PATIENCE):
            await call(storage, key, place)
    except StorageError as exc:
        assert exc.operation
        assert exc.storage
        return type(exc).__name__
    return ""


async def check(
    storage: Storage,
    place: Place,
    keys: Iterator[str] | list[str],
    calls: dict[str, Call],
    *names: str,
) -> None:
    """Apply all calls to all keys: each must raise one of `names` and change nothing at all."""
    before = place.snapshot()
    wrong: list[tuple[str, str, str]] = []
    for key in keys:
        for call in calls:
            outcome = await _outcome(calls[call], storage, key, place)
            if outcome not in names:
                wrong.append((call, key, outcome))
    assert wrong == []
    assert place.snapshot() == before
    assert os.listdir(place.own) == ["source"]


def _special(place: Place) -> list[str]:
    return ["fifo", "socket", *place.devices]


def _through(place: Place) -> list[str]:
    """Keys that lead through a symlink, to what is there and to what would be made."""
    names = [name for name in place.links() if name not in ("to-proc", "to-cwd", "to-top")]
    keys = [
        f"{name}/{last}" for name in names for last in ("secret", "plain", "new", "below/secret")
    ]
    away = str(place.outside).lstrip("/")
    keys += [f"to-top{place.outside}/secret", f"to-proc/{away}/secret", f"to-top/{away}/new"]
    keys += ["to-proc/etc/passwd", "to-cwd/pyproject.toml", "to-parent/root/plain"]
    keys += ["to-itself/plain", "to-itself/to-itself/plain", "to-parent/outside/secret"]
    return keys


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", [READING, WRITING, DELETING], ids=["read", "write", "delete"])
async def test_a_symlink_is_no_file(storage: Storage, place: Place, calls: dict[str, Call]) -> None:
    await check(storage, place, list(place.links()), calls, "NotAFileError")


@pytest.mark.parametrize("calls", [READING, WRITING, DELETING], ids=["read", "write", "delete"])
async def test_fifos_sockets_and_devices_are_no_files(
    storage: Storage, place: Place, calls: dict[str, Call]
) -> None:
    await check(storage, place, _special(place), calls, "NotAFileError")


@pytest.mark.parametrize(
    "calls", [READING, WRITING, CREATING, DELETING], ids=["read", "write", "create", "delete"]
)
async def test_no_key_leads_through_a_symlink(
    storage: Storage, place: Place, calls: dict[str, Call]
) -> None:
    # Neither a secret is read nor a file made or removed behind it, nor is it taken for nothing:
    # a deletion that did not take place must not look as if it had.
    await check(storage, place, _through(place), calls, "NotAFileError")


@pytest.mark.parametrize("calls", [READING, WRITING, DELETING], ids=["read", "write", "delete"])
async def test_a_link_deep_in_a_key_is_refused_as_the_first_one_is(
    storage: Storage, place: Place, calls: dict[str, Call]
) -> None:
    keys = [
        f"{key}/x/y" for key in ("to-outside/below", "full/to-outside/below", "loop", "dangling")
    ]
    await check(storage, place, keys, calls, "NotAFileError")


async def test_create_only_finds_every_name_taken(storage: Storage, place: Place) -> None:
    keys = [*place.links(), *_special(place), "plain", "full/plain"]
    names = ("FileExistsInStorageError", "NotAFileError")
    await check(storage, place, [key for key in keys if key != "plain"], CREATING, *names)


async def test_a_directory_is_no_file(storage: Storage, place: Place) -> None:
    directories = ["full", "full/deep", "empty/er"]
    name = "IsADirectoryInStorageError"
    await check(storage, place, directories, READING, name)
    await check(storage, place, directories, DELETING, name)
    await check(storage, place, directories, WRITING, "KeyConflictError")
    await check(storage, place, directories, CREATING, "KeyConflictError")


async def test_what_is_no_directory_has_no_keys_below(storage: Storage, place: Place) -> None:
    keys = [f"{name}/{below}" for name in ("plain", *_special(place)) for below in ("x", "x/y")]
    await check(storage, place, keys, READING, "FileNotFoundInStorageError")
    await check(storage, place, keys, WRITING, "KeyConflictError")
    await check(storage, place, keys, CREATING, "KeyConflictError")
    deleting = {name: call for name, call in DELETING.items() if name != "delete what exists"}
    await check(storage, place, keys, deleting, "")


async def test_exists_tells_that_there_is_no_file(storage: Storage, place: Place) -> None:
    keys = [*place.links(), *_special(place), *_through(place), "full", "empty", "fifo/x"]
    before = place.snapshot()
    async with asyncio.timeout(PATIENCE):
        assert [key for key in keys if await storage.exists(key)] == []
    assert place.snapshot() == before


async def test_empty_directories_are_in_nobodys_way(storage: Storage, place: Place) -> None:
    (place.root / "empty" / "er" / "to-outside").unlink()
    await storage.write_bytes("empty", BODY)
    assert await storage.read_bytes("empty") == BODY


async def test_a_directory_of_links_is_not_empty(storage: Storage, place: Place) -> None:
    # No listing shows what is in it, but it is somebody's.
    before = place.snapshot()
    with pytest.raises(KeyConflictError):
        await storage.write_bytes("empty", BODY)
    with pytest.raises(KeyConflictError):
        await storage.move("plain", "empty")
    assert place.snapshot() == before


async def test_views_are_confined_alike(storage: Storage, place: Place) -> None:
    before = place.snapshot()
    for prefix in ("to-outside", "to-itself", "to-full", "full/to-outside", "loop", "fifo"):
        view = storage.at(prefix)
        for key in ("secret", "plain", "below/secret", "new"):
            for call in (*READING.values(), *DELETING.values()):
                with contextlib.suppress(NotAFileError, FileNotFoundInStorageError):
                    assert await call(view, key, place) is None
        with contextlib.suppress(NotAFileError):
            assert await view.list() == []
        with contextlib.suppress(NotAFileError):
            assert await view.sweep() == 0
    assert place.snapshot() == before


# -- what is not even opened ----------------------------------------------------------------------


@pytest.fixture
def waiting(place: Place) -> Iterator[Callable[[], bool]]:
    """A process that waits for the other end of the FIFO; tells whether it still does."""
    script = (
        "import os, sys; os.write(1, b'1'); os.open(sys.argv[1], os.O_WRONLY); os.write(1, b'2')"
    )
    command = [sys.executable, "-c", script, str(place.root / "fifo")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.read(1) == b"1"
            end = time.monotonic() + PATIENCE
            while _state(child.pid) != "S" and time.monotonic() < end:
                time.sleep(0.01)
            with selectors.DefaultSelector() as selector:
                selector.register(child.stdout, selectors.EVENT_READ)
                yield lambda: not selector.select(0.05)
        finally:
            child.kill()


async def test_a_fifo_is_never_opened(
    storage: Storage, place: Place, waiting: Callable[[], bool]
) -> None:
    """Or whoever waits for its other end would go on, and die of a broken pipe."""
    calls = {**READING, **WRITING, **DELETING}
    for call in calls.values():
        with contextlib.suppress(NotAFileError, FileNotFoundInStorageError):
            await call(storage, "fifo", place)
    assert waiting()
    assert (place.root / "fifo").is_fifo()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


# -- listings -------------------------------------------------------------------------------------


async def test_listings_hold_files_only(storage: Storage, place: Place) -> None:
    async with asyncio.timeout(PATIENCE):
        found = await storage.list()
        assert [entry.name for entry in found] == ["full/deep/plain", "full/plain", "plain"]
        assert [(entry.size, entry.addressable) for entry in found] == [(len(BODY), True)] * 3
        level = await storage.list(recursive=False)
        assert level == [Folder("empty"), Folder("full"), found[-1]]
        assert [entry.name for entry in await storage.list("full")] == [
            "full/deep/plain",
            "full/plain",
        ]
        assert await storage.list("empty/er") == []
        assert await storage.sweep() == 0


async def test_a_file_is_a_prefix_of_nothing(storage: Storage, place: Place) -> None:
    for prefix in ("plain", *_special(place)):
        for recursive in (True, False):
            async with asyncio.timeout(PATIENCE):
                assert await storage.list(prefix, recursive=recursive) == []


async def test_a_link_is_never_gone_down(storage: Storage, place: Place) -> None:
    # No key begins with a link, so nothing is listed; or the listing is refused.
    for prefix in (*place.links(), "to-outside/below", "to-itself/full", "to-parent/outside"):
        for recursive in (True, False):
            with contextlib.suppress(NotAFileError):
                async with asyncio.timeout(PATIENCE):
                    assert await storage.list(prefix, recursive=recursive) == []


async def test_starts_and_marks_lead_through_no_link(storage: Storage, place: Place) -> None:
    for name in ("to-outside", "to-itself", "full/to-outside", "loop", "fifo"):
        for start in (name, f"{name}/", f"{name}/s", f"{name}/below/"):
            with contextlib.suppress(NotAFileError):
                assert await storage.list(starting=start) == []
        after = [entry.name for entry in await storage.list(start_after=f"{name}/secret")]
        assert after == [n for n in ("full/deep/plain", "full/plain", "plain") if n > name]


async def test_a_directory_that_becomes_a_link_is_left_out(storage: Storage, place: Place) -> None:
    # "An object that goes while the listing is under way may or may not be listed": it does not
    # end the listing of all others.
    for name in ("a", "b", "c"):
        (place.root / "tree" / name).mkdir(parents=True)
        for number in range(1500 if name == "a" else 3):
            (place.root / "tree" / name / f"{number:04}").touch()
    found: list[str] = []
    async for entry in storage.list("tree"):
        if not found:  # the first page is here, and it ends within "a"
            (place.root / "tree" / "b").rename(place.root / "moved-away")
            (place.root / "tree" / "b").symlink_to(place.outside)
        found.append(entry.name)
    assert [name for name in found if name.startswith("tree/b")] == []
    assert len(found) == 1503


FOREIGN = (
    b"\xff", b"latin-\xe9", b"new\nline", b"tab\tbed", b"esc\x1b[2J", b"del\x7f", b"nel\xc2\x85",
    b"\xc0\xae\xc0\xae", b"..\xc0\xafsecret", b"\xed\xa0\x80", b"cut-\xe2\x82", b"\r",
)  # fmt: skip


@pytest.fixture
def foreign(place: Place) -> set[str]:
    """The keys of files with names that are no keys, beside others that are."""
    top = os.fsencode(place.root) + b"/foreign"
    os.mkdir(top)
    for name in FOREIGN:
        try:
            for path in (name, b"dir-" + name + b"/plain"):
                os.makedirs(os.path.dirname(top + b"/" + path), exist_ok=True)
                with open(top + b"/" + path, "xb") as file:
                    file.write(BODY)
        except OSError:  # a file system that takes no such names
            pytest.skip("this file system refuses foreign names")
    for plain in (b"plain", b"zz", "\u00e9".encode()):
        with open(top + b"/" + plain, "xb") as file:
            file.write(BODY)
    names = [os.fsdecode(name) for name in FOREIGN]
    return {*(f"foreign/{name}" for name in names), *(f"foreign/dir-{n}/plain" for n in names)}


async def test_foreign_names_are_listed_and_marked(storage: Storage, foreign: set[str]) -> None:
    found = await storage.list("foreign")
    assert {entry.name for entry in found if not entry.addressable} == foreign
    assert {entry.name for entry in found if entry.addressable} == {
        "foreign/plain", "foreign/zz", "foreign/\u00e9",
    }  # fmt: skip
    assert all(entry.size == len(BODY) for entry in found)
    order = [os.fsencode(entry.name) for entry in found]
    assert order == sorted(order)
    for name in foreign:
        with pytest.raises(InvalidKeyError):
            await storage.read_bytes(name)
        with pytest.raises(InvalidKeyError):
            await storage.delete(name)


async def test_foreign_folders_are_listed_and_marked(storage: Storage, foreign: set[str]) -> None:
    level = await storage.list("foreign", recursive=False)
    folders = {item.name for item in level if isinstance(item, Folder)}
    assert folders == {f"foreign/dir-{os.fsdecode(name)}" for name in FOREIGN}
    assert not any(item.addressable for item in level if isinstance(item, Folder))
    files = [item for item in level if isinstance(item, ListEntry)]
    assert sum(item.addressable for item in files) == 3
    assert len(files) == 3 + len(FOREIGN)
    view = storage.at("foreign")
    assert {entry.name for entry in await view.list() if entry.addressable} == {
        "plain", "zz", "\u00e9",
    }  # fmt: skip


# -- the root -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_the_root_may_be_a_symlink(way: str, place: Place) -> None:
    target = place.base / "target"
    target.mkdir()
    link = place.base / "link"
    link.symlink_to(target)
    async with make(way, link) as storage:
        await storage.write_bytes("a/b", BODY)
        assert await storage.read_bytes("a/b") == BODY
        assert [entry.name for entry in await storage.list()] == ["a/b"]
        assert (target / "a" / "b").read_bytes() == BODY
        # It is followed once: a storage in use is not led elsewhere.
        link.unlink()
        link.symlink_to(place.outside)
        assert not await storage.exists("secret")
        await storage.move("a/b", "c")
        assert [entry.name for entry in await storage.list()] == ["c"]
        await storage.delete("c")
    assert sorted(os.listdir(place.outside)) == ["below", "new.d", "plain", "secret"]


async def test_the_root_may_be_reached_through_symlinks(place: Place) -> None:
    (place.base / "link").symlink_to(place.base)
    async with LocalFSStorage(place.base / "link" / "root" / "made" / "later") as storage:
        await storage.write_bytes("a", BODY)
    assert (place.root / "made" / "later" / "a").read_bytes() == BODY


# -- mode bits ------------------------------------------------------------------------------------

WRITE_UNDER_UMASK = """
    import asyncio, os, sys
    from pathlib import Path
    from aiostow import Storage
    from aiostow._disk import features
    from aiostow.backends.local import LocalDriver

    os.umask(0o027)
    system = features()
    system.openat2 = system.openat2 and sys.argv[2] == "openat2"
    system.tmpfile = system.tmpfile and sys.argv[3] == "tmpfile"
    system.links = sys.argv[4] == "links"

    async def main():
        root = Path(sys.argv[1])
        driver = LocalDriver(root, durable=False, system=system)
        async with Storage(driver, name="tested") as storage:
            await storage.write_bytes("deep/er/new", b"new")
            async with storage.open("created", "x") as file:
                await file.write(b"created")
            async with storage.open("pieces", "w") as file:
                for _ in range(3):
                    await file.write(bytes(3 << 20))
            await storage.copy("deep/er/new", "copied")
            os.chmod(root / "deep" / "er" / "new", 0o604)
            await storage.copy("deep/er/new", "copied-again")
            for key in os.listdir(root / "kept"):
                await storage.write_bytes(f"kept/{key}", b"new")
                assert await storage.read_bytes(f"kept/{key}") == b"new"

    asyncio.run(main())
"""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tmpfile", [True, False], ids=["tmpfile", "named"])
@pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])
def test_new_files_follow_the_umask_and_overwritten_keep_their_mode(
    tmp_path: Path, way: str, tmpfile: bool, links: bool
) -> None:
    system_of(way)
    kept = tmp_path / "kept"
    kept.mkdir()
    modes = {f"{mode:o}": mode for mode in (0o400, 0o600, 0o604, 0o666, 0o755, 0o777, 0o640)}
    for name, mode in modes.items():
        (kept / name).write_bytes(b"old")
        (kept / name).chmod(mode)
    subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c", textwrap.dedent(WRITE_UNDER_UMASK)),
            *(str(tmp_path), way, "tmpfile" if tmpfile else "", "links" if links else ""),
        ],
        check=True,
        timeout=60,
    )

    def mode_of(name: str) -> int:
        return stat.S_IMODE((tmp_path / name).stat().st_mode)

    for name in ("created", "pieces", "copied", "copied-again"):
        assert mode_of(name) == 0o640, name
    assert mode_of("deep") == mode_of("deep/er") == 0o750
    assert {name: mode_of(f"kept/{name}") for name in modes} == modes
    names = [name for _, _, files in os.walk(tmp_path) for name in files]
    assert not [name for name in names if name.startswith(TEMP_PREFIX)]


# -- copies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "changes",
    [{}, {"tmpfile": False}, {"copy_range": False}, {"tmpfile": False, "links": False}],
    ids=["all", "no-tmpfile", "no-copy-range", "no-tmpfile-no-links"],
)
@pytest.mark.parametrize("size", [0, 10, 5 << 20])
async def test_a_copy_is_a_file_of_its_own(
    tmp_path: Path, way: str, changes: dict[str, bool], size: int
) -> None:
    content = os.urandom(size)
    async with make(way, tmp_path, **changes) as storage:
        await storage.write_bytes("original", content)
        await storage.copy("original", "copy")
        await storage.copy("original", "created", overwrite=False)
        await storage.copy("original", "copy")  # over what is there
        files = [(tmp_path / name).stat() for name in ("original", "copy", "created")]
        assert [info.st_nlink for info in files] == [1, 1, 1]
        assert len({info.st_ino for info in files}) == 3

        async with storage.open("copy", "rw") as file:
            await file.write(b"changed in place")
        assert await storage.read_bytes("original") == content
        assert await storage.read_bytes("created") == content
        async with storage.open("original", "rw") as file:
            await file.truncate(size // 2)
        assert await storage.read_bytes("created") == content
        assert (await storage.read_bytes("copy"))[:16] == b"changed in place"
        await storage.delete("original")
        assert await storage.read_bytes("created") == content


@pytest.mark.parametrize("way", WAYS)
async def test_a_move_takes_the_file_itself(tmp_path: Path, way: str) -> None:
    async with make(way, tmp_path) as storage:
        await storage.write_bytes("old", BODY)
        before = (tmp_path / "old").stat()
        await storage.move("old", "deep/new")
        after = (tmp_path / "deep" / "new").stat()
        assert (after.st_ino, after.st_nlink) == (before.st_ino, 1)
        with pytest.raises(FileExistsInStorageError):
            await storage.move("deep/new", "deep/new", overwrite=False)
        # Two names of one file: POSIX renames nothing then, but the old key must go.
        os.link(tmp_path / "deep" / "new", tmp_path / "twin")
        await storage.move("twin", "deep/new")
        assert [entry.name for entry in await storage.list()] == ["deep/new"]
        assert (tmp_path / "deep" / "new").stat().st_nlink == 1
