"""Hostile keys: what is no key is refused before any input or output, and the rest stays inside.

Run as a program, this module applies its corpus for the test that traces the system calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import stat
import subprocess
import sys
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from aiostow import (
    FileExistsInStorageError,
    FileNotFoundInStorageError,
    InvalidKeyError,
    ListEntry,
    MemoryStorage,
    Storage,
    StorageError,
)
from aiostow._disk import features
from aiostow.backends.local import LocalDriver
from aiostow.backends.memory import MemoryDriver
from aiostow.keys import TEMP_PREFIX, is_key

pytestmark = pytest.mark.anyio

DISKS = ("openat2", "walk")  # the two ways of confinement
STORAGES = (*DISKS, "memory")
BODY = b"inside"
SECRET = b"the secret"
LONGEST_SEGMENT = 255  # bytes, on every common disk
LONGEST_PATH = 4000  # bytes; the kernel takes 4096 at once

# -- the corpus -----------------------------------------------------------------------------------


def _illegal() -> Iterator[str]:
    """What no storage may take for a key."""
    # Segments that are none, at all places of keys of all depths.
    around = ("a", "b", "c", "d")
    segments = (".", "..", "", TEMP_PREFIX, f"{TEMP_PREFIX}x", f"{TEMP_PREFIX}0123456789abcdef")
    for segment in segments:
        for depth in range(len(around) + 1):
            for place in range(depth + 1):
                yield "/".join((*around[:place], segment, *around[place:depth]))
    # Ways up and out, as they are tried in the wild.
    for count in range(1, 13):
        yield "../" * count + "etc/passwd"
        yield "../" * count + "secret"
        yield "a/" * count + "../" * (count + 1) + "secret"
        yield "/" * count + "etc/passwd"
        yield "a" + "/" * (count + 1) + "b"
        yield "a" + "/" * count
    yield from (
        "/", "//", "/..", "/.", "../", "./", "./.", "../..", ".//..", "..//secret", "..//..//x",
        "/proc/self/environ", "/proc/self/root/etc/passwd", "/proc/self/cwd/x", "/proc/self/fd/0",
        "/dev/null", "/dev/zero", "/dev/stdin", "/etc/passwd", "/etc/shadow", "/root/.ssh/id_rsa",
        "/~", "/~root", "~/../x", "~/./x", "~//x", "//host/share", "///", "file:///etc/passwd",
        "http://host/x", "s3://bucket/x", "C:/../x", "C:/./x", "C://x", "a/../../outside/secret",
        "./secret", "secret/.", "secret/..", "secret/", "../root/plain", "../root/../secret",
        "a/b/../../../secret", "../..\\secret", "%2e%2e/../secret",
        "..%2f/../secret", ".../../secret", "....//....//secret", "....//secret", "..;/../secret",
        "../secret\x00.txt", "secret\x00", "plain\x00/../../secret", "plain\n", "\rplain",
        f"a/{TEMP_PREFIX}x/b", f"{TEMP_PREFIX}x/../../secret",
    )  # fmt: skip
    # Control characters and lone surrogates, the smuggled bytes of no UTF-8 among them.
    controls = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
    surrogates = ["\ud800", "\udb7f", "\udbff", "\udc00", "\udc80", "\udcae", "\udcff", "\udfff"]
    for character in (*controls, *surrogates):
        yield character
        yield f"a{character}b"
        yield f"a/{character}/b"
        yield f"..{character}/secret"
    yield from ("\udcc0\udcae\udcc0\udcae/secret", "..\udcc0\udcafsecret", "\udc2e\udc2e/secret")
    # What is wrong is found at the end of something long, too.
    yield "x" * 100_000 + "/../y"
    yield "x/" * 50_000
    yield "x" * 100_000 + "\x00"


def _odd() -> Iterator[str]:
    """Keys that look like attacks and are plain names here: nothing decodes or expands them."""
    dots = (
        "%2e", "%2E", "%252e", "%25252e", "%c0%ae", "%C0%AE", "%e0%80%ae", "%uff0e", "%u002e",
        "\u2024", "\uff0e", "\u3002", "\ufe52", "\u00c0\u00ae", "&#46;", "&period;", "\\x2e",
        "\\u002e", "\\056",
    )  # fmt: skip
    slashes = (
        "%2f", "%2F", "%252f", "%5c", "%255c", "%c0%af", "%e0%80%af", "%u2215", "\u2215", "\u2044",
        "\uff0f", "\u29f8", "\uff3c", "\\", "\\\\", "\u00c0\u00af", "&#47;", "\\x2f", ";",
    )  # fmt: skip
    for number, dot in enumerate(dots):
        yield dot
        yield dot * 2
        yield f"{dot * 2}/secret"
        yield f"a/{dot * 2}/{dot * 2}/secret"
        yield f"{dot}./secret"
        # Each with some of the slashes, and all of them together with all.
        for slash in slashes[number % 4 :: 4]:
            yield f"{dot * 2}{slash}secret"
    for slash in slashes:
        yield slash
        yield f"..{slash}secret"
        yield f"..{slash}..{slash}etc{slash}passwd"
        yield f"{slash}etc{slash}passwd"
        yield f"a/..{slash}b"
    yield from (
        # dots and blanks in numbers that mean nothing, or are cut off elsewhere
        "...", "....", ".....", "a/.../b", ".../a", "..a", "a..", ".a", "a.", "a..b", ".hidden",
        " ", "  ", " .", ". ", " ..", ".. ", "..\u00a0", "\u00a0..", ".. /secret", " ../secret",
        "x ", " x", "x.", "x..", "x. .", "a /b", "a./b", "a /b.",
        # drives, devices and streams of Windows
        "C:", "C:x", "C:/x", "C:\\x", "C:\\Windows\\win.ini", "c:..\\x", "\\\\host\\share\\x",
        "\\\\?\\C:\\x", "\\\\.\\pipe\\x", "\\??\\C:\\x", "CON", "con", "PRN", "AUX", "NUL", "nul",
        "COM0", "COM1", "COM9", "LPT1", "CONIN$", "CONOUT$", "CLOCK$", "con.txt", "NUL.tar.gz",
        "aux /x", "COM\u00b9", "x:stream", "x::$DATA", "desktop.ini", "PROGRA~1", "<>:|?*",
        # what shells and templates would expand
        "~", "~root", "~/x", "~root/.ssh/id_rsa", "~+", "$HOME", "${HOME}/x", "$(id)", "`id`",
        ";id", "|id", "a&b", "&&", "a>b", "*", "**", "?", "[a-z]", "{a,b}", "!x", "#", "'", '"',
        "-", "--", "-rf", "--help/x", "%", "%%", "%s", "%n%n", "%00", "%2500", "%0a", "{0}",
        "{key.__class__}", "{{7*7}}", "\\", "\\..\\..\\x", "..\\", "..\\..\\etc\\passwd", "\\0",
        "..\\../secret",
        # parts of real paths, all of them relative
        "proc/self/environ", "proc/self/root/etc/passwd", "proc/self/fd/0", "self/fd/3",
        "dev/null", "dev/fd/0", "dev/stdin", "etc/passwd", "root/plain", "tmp/x", "outside/secret",
        "lost+found", ".git/config", ".ssh/id_rsa", "file:x", "data:,x", "javascript:x", "s3:x",
        # near our temporary names
        TEMP_PREFIX[:-1], f"{TEMP_PREFIX[:-1]}/x", f"x{TEMP_PREFIX}", f" {TEMP_PREFIX}x",
        f".{TEMP_PREFIX}x", f"{TEMP_PREFIX[1:]}x", TEMP_PREFIX.upper() + "x",
        # letters that others fold, drop, turn around or take for the end of a line
        "A", "a", "\u00e9", "e\u0301", "\u212b", "\u00c5", "\u0130", "\u0131", "\u00df", "\u1e9e",
        "\ufb01", "\u03a9", "\u2126", "\u200b", "\u200d", "\u200e", "\u202ex", "\u2066x\u2069",
        "\u2028", "\u2029", "a\u2028b/c", "\ufeff", "x\ufeff", "\ufffd", "\ufffe", "\uffff",
        "\ufdd0", "\U0001fffe", "\U0010ffff", "\ue000", "\U000e0001", "\u0300", "\U0001f4a9",
        "\u00a0", "\u3000", "\u2003", "\u00ad", "\u180e", "\u115f", "\u0e33", "\ud55c",
        # long, but not too long
        "n" * 255, "\u00e9" * 127, "\U0001f4a9" * 63, "a/" + "n" * 255 + "/" + "m" * 255,
        "d/" * 120 + "f",
    )  # fmt: skip


def _too_long() -> Iterator[str]:
    """Keys that a disk cannot hold."""
    yield from ("n" * 256, "n" * 1000, "n" * 4096, "n" * 70_000, "\u00e9" * 128)
    yield from ("a/" + "n" * 256, "n" * 256 + "/a", "\U0001f4a9" * 64, "a/b/" + "n" * 300 + "/c")


ILLEGAL = tuple(dict.fromkeys(key for key in _illegal() if key))  # "" is apart: prefixes may be it
ODD = tuple(dict.fromkeys(_odd()))
TOO_LONG = tuple(_too_long())


def _legal(key: str) -> bool:
    """The rules of keys, written again without the library's own expression."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in key):
        return False
    segments = key.split("/")
    return not any(s in ("", ".", "..") or s[: len(TEMP_PREFIX)] == TEMP_PREFIX for s in segments)


def _legal_prefix(prefix: str) -> bool:
    return prefix == "" or _legal(prefix[:-1] if prefix.endswith("/") else prefix)


def _legal_start(start: str) -> bool:
    return start == "" or _legal(start + "x")


def test_the_corpus_is_large_and_sorted_rightly() -> None:
    assert len(ILLEGAL) >= 400
    assert len(ODD) >= 350
    assert len({*ILLEGAL, *ODD, *TOO_LONG}) == len(ILLEGAL) + len(ODD) + len(TOO_LONG)
    assert [key for key in ILLEGAL if _legal(key) or is_key(key)] == []
    assert [key for key in ODD + TOO_LONG if not _legal(key) or not is_key(key)] == []


# -- the surroundings -----------------------------------------------------------------------------


class Place:
    """A root among files that nobody may touch, and a directory for the caller's own files."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "up" / "root"
        self.own = base / "own"
        self.source = self.own / "source"
        self.secret = base / "outside" / "secret"
        self.other: Storage = MemoryStorage(name="other")

    def build(self) -> None:
        """Make everything, with a canary wherever a key that escapes would likely end up."""
        self.root.mkdir(parents=True)
        self.own.mkdir()
        self.source.write_bytes(BODY)
        for directory in ("", "up", "outside", "up/etc", "etc", "up/rootx", "up/root.d", "x"):
            (self.base / directory).mkdir(exist_ok=True)
            for name in ("secret", "passwd", "y"):
                canary = self.base / directory / name
                canary.write_bytes(SECRET)
                # On most mounts an access time this old is renewed by any read.
                os.utime(canary, ns=(1_000_000_000, 2_000_000_000))

    def hostile(self) -> tuple[str, ...]:
        """Keys that name these very canaries."""
        away = os.path.relpath(self.secret, self.root)
        return (str(self.secret), f"/{self.secret}", away, f"./{away}", f"plain/../{away}")

    def snapshot(self) -> dict[str, tuple[object, ...]]:
        """Return the state of everything outside the root, the caller's files excepted."""
        found: dict[str, tuple[object, ...]] = {}
        for directory, names, files in os.walk(self.base):
            here = Path(directory)
            names[:] = [name for name in names if here / name not in (self.root, self.own)]
            for name in (".", *names, *files):
                path = here / name
                info = path.lstat()
                state: tuple[object, ...] = (info.st_mode, info.st_ino, info.st_mtime_ns)
                if stat.S_ISREG(info.st_mode):
                    state += (info.st_nlink, info.st_atime_ns, _peek(path))
                found[os.path.relpath(path, self.base)] = state
        return found


def _peek(path: Path) -> bytes:
    """Read a file and leave its access time as it was."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NOATIME", 0))
    try:
        return os.read(fd, 1000)
    finally:
        os.close(fd)


def make(way: str, root: Path) -> Storage:
    """Return a storage on `root` that is confined in one way, or one in memory."""
    if way == "memory":
        return Storage(MemoryDriver(), name="tested")
    system = features()
    if way == "openat2" and not system.openat2:
        pytest.skip("this system has no openat2")
    system.openat2 = way == "openat2"
    return Storage(LocalDriver(root, durable=False, system=system), name="tested")


def record(storage: Storage, calls: list[str]) -> None:
    """Note every call of the storage's driver."""

    def noting(name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(storage.driver, name)

        def noted(*args: Any, **keywords: Any) -> Any:
            calls.append(name)
            return method(*args, **keywords)

        return noted

    for name in (
        "aclose", "begin", "connect", "copy", "delete", "discard", "leftovers", "move", "open_read",
        "open_update", "scan", "stat", "write",
    ):  # fmt: skip
        if hasattr(storage.driver, name):
            setattr(storage.driver, name, noting(name))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """The surroundings; afterwards they must be as they were."""
    place = Place(tmp_path / "base")
    place.build()
    before = place.snapshot()
    yield place
    assert place.snapshot() == before


@pytest.fixture(params=STORAGES)
async def storage(request: pytest.FixtureRequest, place: Place) -> AsyncIterator[Storage]:
    async with make(request.param, place.root) as storage:
        yield storage


# -- every method that takes a key ----------------------------------------------------------------

Call: TypeAlias = Callable[[Storage, str, Place], Awaitable[object]]


async def _open(storage: Storage, key: str, mode: str) -> object:
    async with storage.open(key, mode) as file:
        if mode == "r":
            return await file.read()
        return await file.write(BODY)


async def _download(storage: Storage, key: str) -> bytes:
    destination = io.BytesIO()
    await storage.download(key, destination)
    return destination.getvalue()


async def _list(storage: Storage, prefix: str = "", **options: Any) -> list[str]:
    return [entry.name async for entry in storage.list(prefix, **options)]


async def _at(storage: Storage, key: str) -> list[str]:
    view = storage.at(key)
    with contextlib.suppress(FileNotFoundInStorageError):
        await view.read_bytes("plain")
    return await _list(view)


@dataclass(frozen=True)
class Method:
    """A way to hand a key to a storage."""

    call: Call
    operation: str  # what its errors say
    legal: Callable[[str], bool] = field(default=_legal)


METHODS: dict[str, Method] = {
    "write_bytes": Method(lambda s, k, p: s.write_bytes(k, BODY), "write_bytes"),
    "open r": Method(lambda s, k, p: _open(s, k, "r"), "open"),
    "open w": Method(lambda s, k, p: _open(s, k, "w"), "open"),
    "open x": Method(lambda s, k, p: _open(s, k, "x"), "open"),
    "open rw": Method(lambda s, k, p: _open(s, k, "rw"), "open"),
    "list": Method(lambda s, k, p: _list(s, k), "list", _legal_prefix),
    "list flat": Method(lambda s, k, p: _list(s, k, recursive=False), "list", _legal_prefix),
    "list starting": Method(lambda s, k, p: _list(s, starting=k), "list", _legal_start),
    "list below": Method(lambda s, k, p: _list(s, "plain", starting=k), "list", _legal_start),
    "list start_after": Method(lambda s, k, p: _list(s, start_after=k), "list"),
    "stat": Method(lambda s, k, p: s.stat(k), "stat"),
    "exists": Method(lambda s, k, p: s.exists(k), "exists"),
    "get": Method(lambda s, k, p: s.get(k, p.own / "got"), "get"),
    "put": Method(lambda s, k, p: s.put(p.source, k), "put"),
    "upload": Method(lambda s, k, p: s.upload(io.BytesIO(BODY), k), "upload"),
    "download": Method(lambda s, k, p: _download(s, k), "download"),
    "read_bytes": Method(lambda s, k, p: s.read_bytes(k), "read_bytes"),
    "copy from": Method(lambda s, k, p: s.copy(k, "copied"), "copy"),
    "copy to": Method(lambda s, k, p: s.copy("plain", k), "copy"),
    "copy itself": Method(lambda s, k, p: s.copy(k, k), "copy"),
    "copy away from": Method(lambda s, k, p: s.copy(k, "copied", to=p.other), "copy"),
    "copy away to": Method(lambda s, k, p: s.copy("plain", k, to=p.other), "copy"),
    "copy hither": Method(lambda s, k, p: p.other.copy("plain", k, to=s), "copy"),
    "copy to a view": Method(lambda s, k, p: s.copy("plain", k, to=s.at("view")), "copy"),
    "at": Method(lambda s, k, p: _at(s, k), "at", _legal_prefix),
    "within a view": Method(lambda s, k, p: s.at("view").read_bytes(k), "read_bytes"),
    "write within a view": Method(lambda s, k, p: s.at("view").write_bytes(k, BODY), "write_bytes"),
    "move from": Method(lambda s, k, p: s.move(k, "moved"), "move"),
    "move to": Method(lambda s, k, p: s.move("moved", k), "move"),
    "move itself": Method(lambda s, k, p: s.move(k, k), "move"),
    "delete": Method(lambda s, k, p: s.delete(k), "delete"),
    "delete what exists": Method(lambda s, k, p: s.delete(k, missing_ok=False), "delete"),
    "delete_many": Method(lambda s, k, p: s.delete_many([k]), "delete_many"),
}


async def _refusal(method: Method, storage: Storage, key: Any, place: Place) -> StorageError | None:
    try:
        await method.call(storage, key, place)
    except InvalidKeyError as exc:
        return exc
    return None


async def test_what_is_no_key_is_refused_before_any_call(storage: Storage, place: Place) -> None:
    # No file is where escaped keys would look for one within the root, and the driver is never
    # even told of them.
    calls: list[str] = []
    record(storage, calls)
    record(place.other, calls)
    wrong: list[tuple[str, str, object]] = []
    tried = 0
    for key in (*ILLEGAL, *place.hostile()):
        for name, method in METHODS.items():
            if method.legal(key):
                continue  # such as "a/", which is no key but may be a prefix
            tried += 1
            error = await _refusal(method, storage, key, place)
            # What exists() and prefixes are called in errors has tests of its own.
            if (
                error is None
                or (name != "exists" and error.operation != method.operation)
                or (method.legal is not _legal_prefix and error.key != key)
            ):
                wrong.append((name, key, error))
    assert wrong == []
    assert calls == []
    assert tried > 10_000
    assert os.listdir(place.own) == ["source"]
    assert os.listdir(place.root) == []


async def test_the_empty_key_is_refused_where_a_file_is_meant(
    storage: Storage, place: Place
) -> None:
    calls: list[str] = []
    record(storage, calls)
    for name, method in METHODS.items():
        if not method.legal(""):
            assert await _refusal(method, storage, "", place) is not None, name
    assert calls == []


def _name_of(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize(
    "key",
    [None, 0, b"plain", bytearray(b"plain"), Path("plain"), ("plain",), object()],
    ids=_name_of,
)
async def test_what_is_no_str_is_refused_before_any_call(
    storage: Storage, place: Place, key: Any
) -> None:
    calls: list[str] = []
    record(storage, calls)
    for name, method in METHODS.items():
        if name == "list start_after" and key is None:
            continue  # which is to begin at the beginning
        assert await _refusal(method, storage, key, place) is not None, name
    assert calls == []


async def test_a_refusal_of_exists_names_exists(storage: Storage) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        await storage.exists("../secret")
    assert caught.value.operation == "exists"


@pytest.mark.parametrize("prefix", ["../", "a//", "a/../", "//"])
async def test_a_refused_prefix_is_told_as_it_was_given(
    storage: Storage, place: Place, prefix: str
) -> None:
    for name in ("list", "at"):
        error = await _refusal(METHODS[name], storage, prefix, place)
        assert error is not None
        assert error.key == prefix


async def test_a_refusal_can_be_printed_on_one_line(storage: Storage, place: Place) -> None:
    # A key with control characters must not write lines of its own into a log.
    for key in ILLEGAL:
        error = await _refusal(METHODS["stat"], storage, key, place)
        text = str(error)
        assert text.isprintable(), key
        assert text.encode()


async def test_one_bad_key_among_many_deletes_nothing_outside(
    storage: Storage, place: Place
) -> None:
    await storage.write_bytes("plain", BODY)
    for key in ("../secret", str(place.secret), "a/../../secret", "\udcff", ""):
        with pytest.raises(InvalidKeyError) as caught:
            await storage.delete_many(["missing", key, "plain"])
        assert caught.value.key == key
    assert await storage.read_bytes("plain") == BODY


# -- odd keys -------------------------------------------------------------------------------------


async def _round_trip(storage: Storage, key: str, place: Place, *, on_disk: bool) -> None:
    """Write, find, read, copy, move and delete one object beside another, named "plain"."""
    written = await storage.write_bytes(key, BODY)
    assert (written.name, written.size, written.addressable) == (key, len(BODY), True)
    if on_disk:
        # The name on the disk is the key itself: nothing was decoded, folded or expanded.
        assert Path(f"{place.root}/{key}").read_bytes() == BODY
    await _find(storage, key)
    await _read(storage, key, place)
    await _write(storage, key, place)
    await _copy_and_move(storage, key, place)

    await storage.delete(key)
    assert not await storage.exists(key)
    await storage.delete_many([key])
    with pytest.raises(FileNotFoundInStorageError):
        await storage.delete(key, missing_ok=False)
    assert await _list(storage) == ["plain"]


async def _find(storage: Storage, key: str) -> None:
    entry = await storage.stat(key)
    assert (entry.name, entry.size) == (key, len(BODY))
    assert await storage.exists(key)
    both = sorted(("plain", key), key=str.encode)
    found = await storage.list()
    assert [entry.name for entry in found] == both
    assert all(entry.addressable for entry in found)
    parent, slash, last = key.rpartition("/")
    assert key in await _list(storage, parent)
    assert await _list(storage, parent + slash, starting=last) == [key]
    assert await _list(storage, key) == []  # a prefix ends at a segment
    assert await _list(storage, starting=key) == [key]
    assert await _list(storage, start_after=key) == both[both.index(key) + 1 :]
    top = {entry.name: entry for entry in await storage.list(recursive=False)}
    assert isinstance(top[key.partition("/")[0]], ListEntry) == ("/" not in key)
    if parent:
        view = storage.at(parent)
        assert await _list(view) == [last]
        assert await view.read_bytes(last) == BODY


async def _read(storage: Storage, key: str, place: Place) -> None:
    assert await storage.read_bytes(key) == BODY
    async with storage.open(key) as reader:
        assert (reader.name, await reader.read()) == (key, BODY)
    await storage.get(key, place.own / "got")
    assert (place.own / "got").read_bytes() == BODY
    assert await _download(storage, key) == BODY


async def _write(storage: Storage, key: str, place: Place) -> None:
    with pytest.raises(FileExistsInStorageError):
        await _open(storage, key, "x")
    async with storage.open(key, "w") as writer:
        await writer.write(b"w")
    async with storage.open(key, "rw") as file:
        assert await file.read() == b"w"
        await file.write(b"rw")
    assert await storage.read_bytes(key) == b"wrw"
    assert (await storage.put(place.source, key)).name == key
    assert await storage.read_bytes(key) == BODY
    assert (await storage.upload(io.BytesIO(b"uploaded"), key)).name == key
    assert await storage.read_bytes(key) == b"uploaded"


async def _copy_and_move(storage: Storage, key: str, place: Place) -> None:
    assert (await storage.copy("plain", key)).name == key
    assert await storage.read_bytes(key) == b"plain"
    assert (await storage.copy(key, "copied")).name == "copied"
    await storage.copy(key, key, to=place.other)
    assert await place.other.read_bytes(key) == b"plain"
    await place.other.write_bytes(key, BODY)
    await place.other.copy(key, key, to=storage)
    assert await storage.read_bytes(key) == BODY
    await place.other.delete(key)

    await storage.move(key, "copied")
    assert not await storage.exists(key)
    assert await storage.read_bytes("copied") == BODY
    await storage.move("copied", key)
    await storage.move(key, key)
    assert not await storage.exists("copied")
    assert await storage.read_bytes(key) == BODY


async def test_an_odd_key_is_a_name_like_any_other(storage: Storage, place: Place) -> None:
    on_disk = isinstance(storage.driver, LocalDriver)
    await storage.write_bytes("plain", b"plain")
    relative = str(place.secret).lstrip("/")
    for key in (*ODD, relative, *(() if on_disk else TOO_LONG)):
        try:
            await _round_trip(storage, key, place, on_disk=on_disk)
        except Exception as exc:
            exc.add_note(f"with the key {key!r}")
            raise
    # Together, too, each is itself; those that are a directory of another are left out.
    keys = [key for key in ODD if not any(other.startswith(key + "/") for other in ODD)]
    for key in keys:
        await storage.write_bytes(key, key.encode())
    assert await _list(storage) == sorted([*keys, "plain"], key=str.encode)
    for key in keys:
        assert await storage.read_bytes(key) == key.encode()
    await storage.delete_many(keys)
    assert await _list(storage) == ["plain"]


@pytest.mark.parametrize("way", DISKS)
async def test_a_key_too_long_for_the_disk_is_an_error_of_the_library(
    way: str, place: Place
) -> None:
    longer = "d/" * 2100 + "f"
    async with make(way, place.root) as storage:
        await storage.write_bytes("plain", b"plain")
        for key in TOO_LONG:
            for name, method in METHODS.items():
                try:
                    await method.call(storage, key, place)
                except StorageError as exc:
                    assert exc.operation, name
                    assert exc.storage, name
                # What one method left is not the next one's business.
                with contextlib.suppress(StorageError):
                    await storage.copy("plain", "moved")
        # A path that the kernel does not take at once is refused, or it works.
        with contextlib.suppress(StorageError):
            await storage.write_bytes(longer, BODY)
            assert await storage.read_bytes(longer) == BODY
            await storage.delete(longer)
        assert await storage.read_bytes("plain") == b"plain"
    remove_deep(place.root)


@pytest.fixture(params=DISKS)
async def deep(request: pytest.FixtureRequest, place: Place) -> AsyncIterator[Storage]:
    """A storage that may become deeper than Python's own functions can clear away."""
    async with make(request.param, place.root) as storage:
        try:
            yield storage
        finally:
            remove_deep(place.root)


def remove_deep(root: Path) -> None:
    for name in os.listdir(root):
        subprocess.run(["rm", "-rf", "--", str(root / name)], check=True)


DEEP = "d/" * 1200 + "f"  # a legal key, of more segments than Python has frames


async def test_a_deep_key_comes_and_goes(deep: Storage) -> None:
    await deep.write_bytes(DEEP, BODY)
    assert await deep.read_bytes(DEEP) == BODY
    assert await _list(deep) == [DEEP]
    await deep.delete(DEEP)
    assert not await deep.exists(DEEP)


async def test_sweep_goes_as_deep_as_keys_do(deep: Storage) -> None:
    await deep.write_bytes(DEEP, BODY)
    assert await deep.sweep(timedelta(0)) == 0


async def test_listings_stay_within_their_start(storage: Storage, place: Place) -> None:
    # Not every start is a key: "..", "." and "a/" begin keys, and must find no more than those.
    names = sorted(
        ("..a", "...", "..%2fx/y", ".a/.b", "a/..b", "a/b", "a.", "ab", "b", "\\", "~", "%2e%2e/a"),
        key=str.encode,
    )
    for name in names:
        await storage.write_bytes(name, BODY)
    keys = (*ILLEGAL, *ODD, *place.hostile(), "", "a", "a/", "a/.", "a/..", "..", ".", "a/b")
    tried = 0
    for key in keys:
        if len(key) > LONGEST_PATH:
            continue  # see the test of those that are too long
        if _legal_start(key):
            tried += 1
            assert await _list(storage, starting=key) == [n for n in names if n.startswith(key)]
            below = [n for n in names if n.startswith("a/" + key)]
            assert await _list(storage, "a", starting=key) == below
        if _legal_prefix(key):
            below = [n for n in names if not key or n.startswith(key.rstrip("/") + "/")]
            assert await _list(storage, key) == below
            assert await _list(storage.at(key)) == [
                n[len(key.rstrip("/")) + 1 :] if key else n for n in below
            ]
        if _legal(key):
            after = [n for n in names if n.encode() > key.encode()]
            assert await _list(storage, start_after=key) == after
    assert tried > 400


async def test_a_view_reaches_nothing_beside_it(storage: Storage, place: Place) -> None:
    for name in ("secret", "views/secret", "view./secret", "up/secret"):
        await storage.write_bytes(name, SECRET)
    view = storage.at("up/view")
    await view.write_bytes("plain", BODY)
    for key in (*ILLEGAL, *ODD, *place.hostile()):
        for name in ("read_bytes", "open r", "download", "stat", "delete", "copy from"):
            with contextlib.suppress(FileNotFoundInStorageError, InvalidKeyError):
                assert await METHODS[name].call(view, key, place) != SECRET
        with contextlib.suppress(InvalidKeyError):
            assert SECRET not in [await view.read_bytes(found) for found in await _list(view, key)]
    assert await _list(view) == ["plain"]
    assert await _list(storage) == sorted(
        ["secret", "up/secret", "up/view/plain", "view./secret", "views/secret"]
    )


# -- the system calls -----------------------------------------------------------------------------

MARKS = ("mark-begin", "mark-end")
CPUS = "/sys/devices/system/cpu/online"  # the C library looks there when it starts a thread
_ARGUMENT = re.compile(r'(?:(?:AT_FDCWD|\d+)<((?:\\x..)*)>(?:\(deleted\))?, )?"((?:\\x..)*)"')
_OPENED = re.compile(r"\) += \d+<((?:\\x..)*)>")


def _decode(text: str) -> str:
    return os.fsdecode(bytes.fromhex(text.replace("\\x", "")))


def _paths(line: str) -> Iterator[str]:
    """Give the paths that a traced call was given, whole, and the one that it opened."""
    for directory, path in _ARGUMENT.findall(line):
        # Only text is joined: `..` stays, and an absolute path stands alone.
        yield os.path.join(_decode(directory), _decode(path))
    opened = _OPENED.search(line)
    if opened is not None:
        yield _decode(opened.group(1))


def _within(path: str, *roots: Path) -> bool:
    inside = any(path == str(root) or path.startswith(f"{root}/") for root in roots)
    return inside and not {".", ".."} & set(path.removesuffix("/.").split("/"))


@pytest.mark.parametrize("way", DISKS)
def test_no_system_call_names_a_path_outside(
    way: str, place: Place, need_program: Callable[[str], str], long: bool
) -> None:
    # Links that lead out are there as well: what is opened is told by the kernel's own path.
    for link, target in (("to-outside", place.secret.parent), ("to-secret", place.secret)):
        (place.root / link).symlink_to(target)
    make(way, place.root)  # skips where the system has no such way
    trace = place.own / "trace"
    # By default each key goes through some of the methods, each time others.
    command = [sys.executable, __file__, str(place.base), way, "1" if long else "4"]
    # The filter leaves all other calls as fast as they are.
    options = ("--seccomp-bpf", "-f", "-y", "-xx", "-e", "trace=%file,openat2", "-o", str(trace))
    strace = [need_program("strace"), *options]
    child = subprocess.run([*strace, *command], capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) > 5_000

    lines = trace.read_text("ascii").splitlines()
    marks = [
        next(n for n, line in enumerate(lines) if any(p.endswith(f"/{mark}") for p in _paths(line)))
        for mark in MARKS
    ]
    window = lines[marks[0] + 1 : marks[1]]
    # The caller's own path of `get` is looked up from the top, but nothing is opened there.
    lookups = {str(path) for path in (place.own, *place.own.parents)} | {"/proc/self/fd"}
    wrong: list[str] = []
    for line in window:
        lookup = re.search(r"\b(newfstatat|lstat|stat|readlink|readlinkat|access)\(", line)
        for path in _paths(line):
            allowed = (
                _within(path, place.root, place.own)
                or re.fullmatch(r"/proc/self/fd/\d+", path)
                or (lookup and path in lookups)
                or path == CPUS
            )
            if not allowed:
                wrong.append(f"{path}: {line[:200]}")
    assert wrong == []
    # The trace saw what it was to see: every odd key on its way, by the expected call.
    opens = sum("openat2(" in line for line in window)
    assert opens > 2_000 if way == "openat2" else opens == 0
    named = {os.path.basename(path) for line in window for path in _paths(line)}
    assert {key.rpartition("/")[2] for key in ODD} <= named


async def _apply(base: Path, way: str, step: int) -> int:
    """Apply everything to every `step`-th method; return how many calls were made."""
    place = Place(base)
    done = 0
    async with make(way, place.root) as storage:
        await place.other.write_bytes("plain", b"plain")
        linked = ("to-outside", "to-outside/secret", "to-outside/new", "to-secret", "to-secret/x")
        keys = (MARKS[0], *ILLEGAL, *ODD, *TOO_LONG, *place.hostile(), *linked, MARKS[1])
        # The first round, of all methods, loads what Python loads late.
        warm = ("warm", "../warm", "n" * 256, "to-outside/warm")
        for number, key in enumerate((*warm, *keys)):
            if key in MARKS:
                assert not (place.root / key).exists()
                continue
            methods = list(METHODS.values())
            if key not in warm and key not in linked:
                methods = methods[number % step :: step]
            if _legal(key):
                await storage.write_bytes("plain", b"plain")
                methods.insert(0, METHODS["write_bytes"])
            for method in methods:
                done += 1
                with contextlib.suppress(StorageError):
                    await method.call(storage, key, place)
            with contextlib.suppress(StorageError):
                await storage.delete(key)
    return done


if __name__ == "__main__":
    sys.stdout.write(str(asyncio.run(_apply(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))))
