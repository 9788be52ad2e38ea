"""What is easily done wrong: it is told in a sentence, at the right place, and it costs no data."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import inspect
import io
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aiostow import (
    ClosedError,
    FileMode,
    InvalidArgumentError,
    InvalidKeyError,
    InvalidTypeError,
    LocalFSStorage,
    MemoryStorage,
    Reader,
    Storage,
    StorageError,
    UpdateFile,
    Writer,
)
from aiostow.keys import TEMP_PREFIX
from aiostow.testing import pattern

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick_garbage")]

LARGE = pattern((9 << 20) + 1)  # three pieces
STEP = 100_000
HERE = os.path.abspath(__file__)
KINDS = ("memory", "local")


def make(kind: str, folder: Path, **options: Any) -> Storage:
    if kind == "memory":
        return MemoryStorage(**options)
    return LocalFSStorage(folder / "root", durable=False, **options)


@pytest.fixture(params=KINDS)
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    async with make(request.param, tmp_path) as storage:
        await storage.write_bytes("k", b"one\ntwo\n")
        yield storage


def same(found: bytes, expected: bytes) -> bool:
    """Compare large contents; a difference of megabytes would take pytest minutes to print."""
    return found == expected


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def line(_: object = None) -> str:
    """Return where the caller of this function stands, as messages tell it."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return f"{HERE}:{frame.f_back.f_lineno}"


def previous_line() -> str:
    """Return where the line before the caller's stands."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return f"{HERE}:{frame.f_back.f_lineno - 1}"


# -- text for bytes -------------------------------------------------------------------------------

NO_BYTES: list[tuple[Any, str]] = [
    ("text", "write bytes, not str: encode it first"),
    ("", "encode it first"),
    (None, "not NoneType"),
    (5, "not int"),
    ([b"a"], "not list"),
    (io.BytesIO(b"a"), "not BytesIO"),
]


@pytest.mark.parametrize("mode", ["w", "x", "rw"])
@pytest.mark.parametrize(("data", "told"), NO_BYTES)
async def test_what_is_no_bytes_is_refused_and_the_file_goes_on(
    storage: Storage, mode: str, data: Any, told: str
) -> None:
    key = "new" if mode == "x" else "k"
    async with storage.open(key, mode) as file:
        await file.write(b"ONE")
        with pytest.raises(TypeError) as caught:
            await file.write(data)
        assert isinstance(caught.value, InvalidTypeError)
        assert told in caught.value.message
        assert (caught.value.operation, caught.value.key) == ("open", key)
        with pytest.raises(TypeError):
            await file.writelines([data])
        await file.write(b"TWO")
    expected = b"ONETWOo\n" if mode == "rw" else b"ONETWO"
    assert await storage.read_bytes(key) == expected


@pytest.mark.parametrize(("data", "told"), NO_BYTES)
async def test_what_is_no_bytes_is_not_written(storage: Storage, data: Any, told: str) -> None:
    with pytest.raises(InvalidTypeError) as caught:
        await storage.write_bytes("k", data)
    assert told in caught.value.message
    assert (caught.value.operation, caught.value.key) == ("write_bytes", "k")
    with pytest.raises(InvalidTypeError):
        async with storage.open("k", "w") as file:
            await file.write(b"before")
            await file.write(data)
    assert await storage.read_bytes("k") == b"one\ntwo\n"


async def test_a_coroutine_for_bytes_is_told_to_be_awaited(storage: Storage) -> None:
    coroutine = storage.read_bytes("k")
    try:
        with pytest.raises(InvalidTypeError, match="write `await` before"):
            await storage.write_bytes("new", coroutine)  # type: ignore[arg-type]
    finally:
        coroutine.close()
    assert not await storage.exists("new")


# -- a forgotten await ----------------------------------------------------------------------------


@contextlib.contextmanager
def collected() -> Iterator[None]:
    """Let the collector have what is garbage in the end."""
    yield
    gc.collect()


@contextlib.contextmanager
def never_awaited(call: str) -> Iterator[None]:
    """Expect the warning that a call was not awaited, which names where it stands."""
    with pytest.warns(RuntimeWarning) as seen, collected():
        yield
    (message,) = [str(one.message) for one in seen]
    assert message.startswith(f"{call} at {HERE}:")
    assert message.endswith("was never awaited")


ATTRIBUTES = sorted(
    {
        name
        for kind in (Reader, Writer, UpdateFile)
        for name in (*dir(kind), "entry", "size", "name", "closed")
        if not name.startswith("_")
    }
)


@pytest.mark.parametrize("attribute", [*ATTRIBUTES, "nonsense"])
async def test_an_attribute_of_an_unawaited_open_says_to_await(
    storage: Storage, attribute: str
) -> None:
    with never_awaited("storage.open('k', 'r')"):
        opening: Any = storage.open("k")
        with pytest.raises(AttributeError) as caught:
            getattr(opening, attribute)
        assert f"not awaited before .{attribute}" in str(caught.value)
        assert "async with storage.open('k', 'r') as f:" in str(caught.value)
        assert "f = await storage.open('k', 'r')" in str(caught.value)
        assert isinstance(caught.value.__cause__, InvalidTypeError)
        assert not hasattr(opening, attribute)  # as duck typing asks
        del opening, caught


async def _iterate(opening: Any) -> None:
    async for _ in opening:
        raise AssertionError


async def _loop(opening: Any) -> None:
    for _ in opening:
        raise AssertionError


async def _enter(opening: Any) -> None:
    with opening:
        raise AssertionError


@pytest.mark.parametrize("misuse", [_iterate, _loop, _enter])
async def test_an_unawaited_open_is_no_file(storage: Storage, misuse: Any) -> None:
    with never_awaited("storage.open('k', 'r')"):
        with pytest.raises(TypeError, match=r"async with storage\.open") as caught:
            await misuse(storage.open("k"))
        assert isinstance(caught.value, InvalidTypeError)
        del caught


async def test_what_was_opened_and_never_awaited_is_told_with_its_place(storage: Storage) -> None:
    with pytest.warns(RuntimeWarning) as seen, collected():
        where = line(storage.open("k", "w"))
    assert [str(one.message) for one in seen] == [
        f"storage.open('k', 'w') at {where} was never awaited"
    ]
    assert await storage.read_bytes("k") == b"one\ntwo\n"


async def test_what_was_opened_and_awaited_is_not_told(storage: Storage) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = await storage.open("k")
        await file.close()
        async with storage.open("k"):
            pass
        with pytest.raises(StorageError):
            await storage.open("missing")
        for wrong in ("nonsense", "a"):
            with pytest.raises(InvalidArgumentError):
                storage.open("k", wrong)
        gc.collect()


async def test_an_opening_opens_once(storage: Storage) -> None:
    opening = storage.open("k")
    async with opening as file:
        assert await file.read() == b"one\ntwo\n"
    with pytest.raises(InvalidTypeError, match=r"was awaited already: open the file again"):
        await opening
    with pytest.raises(InvalidTypeError, match=r"was awaited already"):
        async with opening:
            raise AssertionError


async def test_awaited_or_entered_or_both_an_open_is_a_file(storage: Storage) -> None:
    file = await storage.open("k")
    async with file:
        assert await file.read(3) == b"one"
    assert file.closed
    async with await storage.open("k") as file:
        assert await file.read(3) == b"one"
    assert file.closed


async def test_a_plain_for_over_a_listing_says_what_to_write(storage: Storage) -> None:
    with pytest.raises(TypeError, match=r"async for entry in storage\.list") as caught:
        for _ in storage.list():
            raise AssertionError
    assert isinstance(caught.value, InvalidTypeError)
    with pytest.raises(InvalidTypeError, match=r"await storage\.list"):
        list(storage.list())


@pytest.mark.parametrize("mode", ["r", "rw"])
async def test_a_plain_for_over_a_file_says_what_to_write(storage: Storage, mode: str) -> None:
    async with storage.open("k", mode) as file:
        with pytest.raises(InvalidTypeError, match="write `async for`, not `for`"):
            for _ in file:
                raise AssertionError


@pytest.mark.parametrize("mode", ["r", "w", "rw"])
async def test_a_plain_with_over_a_file_says_what_to_write(storage: Storage, mode: str) -> None:
    async with storage.open("k", mode) as file:
        with pytest.raises(InvalidTypeError, match="write `async with`, not `with`"):
            with file:
                raise AssertionError


# -- after the end --------------------------------------------------------------------------------


async def _first(iterator: AsyncIterator[bytes]) -> object:
    return await anext(iterator)


READING: dict[str, Callable[[Any], Awaitable[object]]] = {
    "read": lambda file: file.read(),
    "read 0": lambda file: file.read(0),
    "read1": lambda file: file.read1(),
    "readinto": lambda file: file.readinto(bytearray(5)),
    "readline": lambda file: file.readline(),
    "readlines": lambda file: file.readlines(),
    "seek": lambda file: file.seek(0),
    "tell": lambda file: file.tell(),
    "async for": lambda file: _first(aiter(file)),
    "iter_chunks": lambda file: _first(file.iter_chunks(5)),
    "iter_lines": lambda file: _first(file.iter_lines()),
}
WRITING: dict[str, Callable[[Any], Awaitable[object]]] = {
    "write": lambda file: file.write(b"more"),
    "write nothing": lambda file: file.write(b""),
    "writelines": lambda file: file.writelines([b"more"]),
    "flush": lambda file: file.flush(),
    "tell": lambda file: file.tell(),
}
METHODS: dict[str, dict[str, Callable[[Any], Awaitable[object]]]] = {
    "r": {**READING, "write": WRITING["write"]},
    "w": {
        **WRITING,
        "read": READING["read"],
        "seek": READING["seek"],
        "commit": lambda file: file.commit(),
    },
    "rw": {**READING, **WRITING, "truncate": lambda file: file.truncate(0)},
}
CLASSES: dict[str, type] = {"r": Reader, "w": Writer, "rw": UpdateFile}
# What tells about a closed file, as on the files of Python, and what ends it.
STILL_THERE = {"abandon", "abort", "close", "closed", "readable", "seekable", "size", "writable"}


@pytest.mark.parametrize("mode", METHODS)
def test_all_methods_are_tried_after_close(mode: str) -> None:
    public = {name for name in dir(CLASSES[mode]) if not name.startswith("_")}
    assert public - STILL_THERE == {name.split()[0] for name in METHODS[mode]} - {"async"}


@pytest.mark.parametrize(
    ("mode", "method"), [(mode, method) for mode, methods in METHODS.items() for method in methods]
)
@pytest.mark.parametrize("end", ["close", "abandon", "async with", "storage"])
async def test_a_closed_file_says_so(storage: Storage, mode: str, method: str, end: str) -> None:
    file = await storage.open("k", mode)
    if mode == "w":
        await file.write(b"new")
    if end == "async with":
        async with file:
            pass
    elif end == "storage":
        await storage.aclose()
    else:
        await getattr(file, end)()
    assert file.closed
    with pytest.raises(ValueError) as caught:  # as files of Python do
        await METHODS[mode][method](file)
    assert isinstance(caught.value, ClosedError)
    assert "closed file" in caught.value.message
    assert (caught.value.operation, caught.value.key) == ("open", "k")
    assert caught.value.storage == storage.name
    assert "closed" in repr(file)


@pytest.mark.parametrize("mode", METHODS)
async def test_a_closed_file_still_tells_what_it_was(storage: Storage, mode: str) -> None:
    file = await storage.open("k", mode)
    told = (file.name, file.readable(), file.writable(), file.seekable())
    assert told == ("k", "r" in mode, "w" in mode, "r" in mode)
    await file.close()
    assert told == (file.name, file.readable(), file.writable(), file.seekable())
    if mode != "rw":
        assert file.entry.name == "k"


@pytest.mark.parametrize("mode", METHODS)
async def test_closing_again_does_nothing(storage: Storage, mode: str) -> None:
    file = await storage.open("k", mode)
    if mode == "w":
        await file.write(b"new")
    await file.close()
    await storage.write_bytes("k", b"later")
    await file.close()
    async with file:
        pass
    if mode == "w":
        await file.abort()
    assert await storage.read_bytes("k") == b"later"


@pytest.mark.parametrize("mode", METHODS)
async def test_a_file_closed_by_several_at_once_is_closed_once(storage: Storage, mode: str) -> None:
    file = await storage.open("k", mode)
    if mode == "w":
        await file.write(LARGE)
    await asyncio.gather(*(file.close() for _ in range(5)))
    assert file.closed
    assert same(await storage.read_bytes("k"), LARGE if mode == "w" else b"one\ntwo\n")


async def _each(listing: Any) -> list[Any]:
    return [item async for item in listing]


# Every method of a storage, called with a key; the folder holds a file `mine`.
CALLS: dict[str, Callable[[Any, Any, Path], Any]] = {
    "open": lambda storage, key, folder: storage.open(key),
    "open w": lambda storage, key, folder: storage.open(key, "w"),
    "open x": lambda storage, key, folder: storage.open(key, "x"),
    "open rw": lambda storage, key, folder: storage.open(key, "rw"),
    "read_bytes": lambda storage, key, folder: storage.read_bytes(key),
    "write_bytes": lambda storage, key, folder: storage.write_bytes(key, b"new"),
    "stat": lambda storage, key, folder: storage.stat(key),
    "exists": lambda storage, key, folder: storage.exists(key),
    "list": lambda storage, key, folder: storage.list(key),
    "list each": lambda storage, key, folder: _each(storage.list(key)),
    "get": lambda storage, key, folder: storage.get(key, folder / "got"),
    "put": lambda storage, key, folder: storage.put(folder / "mine", key),
    "upload": lambda storage, key, folder: storage.upload(io.BytesIO(b"new"), key),
    "download": lambda storage, key, folder: storage.download(key, io.BytesIO()),
    "copy": lambda storage, key, folder: storage.copy(key, "c"),
    "copy to": lambda storage, key, folder: storage.copy("k", key),
    "move": lambda storage, key, folder: storage.move(key, "m"),
    "move to": lambda storage, key, folder: storage.move("k", key),
    "delete": lambda storage, key, folder: storage.delete(key),
    "delete_many": lambda storage, key, folder: storage.delete_many([key]),
    "link_to": lambda storage, key, folder: storage.link_to(key, "d", 60),
    "create_link_token": lambda storage, key, folder: storage.create_link_token(
        path=key, operation="d", expire=60
    ),
}
KEYLESS: dict[str, Callable[[Any, Any, Path], Any]] = {
    "delete_many none": lambda storage, key, folder: storage.delete_many([]),
    "list all": lambda storage, key, folder: storage.list(),
    "leftovers": lambda storage, key, folder: storage.leftovers(timedelta(0)),
    "sweep": lambda storage, key, folder: storage.sweep(timedelta(0)),
    "deserialize_link_token": lambda storage, key, folder: storage.deserialize_link_token("x"),
}
NO_CALLS = {
    "address",
    "at",
    "aclose",
    "capabilities",
    "closed",
    "credential_fields",
    "driver",
    "is_one_service",
    "memory_budget",
}


async def call(name: str, storage: Storage, key: Any, folder: Path) -> None:
    """Call a method, and await what it returns."""
    (folder / "mine").write_bytes(b"mine")
    result = {**CALLS, **KEYLESS}[name](storage, key, folder)
    if inspect.isawaitable(result):
        await result


def test_all_methods_of_a_storage_are_tried() -> None:
    public = {name for name in dir(Storage) if not name.startswith("_")}
    assert public - NO_CALLS == {name.split()[0] for name in (*CALLS, *KEYLESS)}


@pytest.mark.parametrize("which", ["the storage", "a view of it", "a closed view"])
@pytest.mark.parametrize("name", [*CALLS, *KEYLESS])
async def test_a_closed_storage_says_so(
    storage: Storage, tmp_path: Path, name: str, which: str
) -> None:
    view = storage.at("view")
    await view.write_bytes("k", b"one")
    subject = storage if which == "the storage" else view
    await (view if which == "a closed view" else storage).aclose()
    assert subject.closed
    with pytest.raises(ValueError) as caught:
        await call(name, subject, "k", tmp_path)
    assert isinstance(caught.value, ClosedError)
    assert caught.value.message == "the storage is closed"
    assert caught.value.operation == name.split()[0]
    assert caught.value.storage == storage.name
    if name in CALLS and not name.startswith("delete_many"):
        assert caught.value.key == "k"
    assert not (tmp_path / "got").exists()
    if which == "a closed view":
        assert not storage.closed
        assert [entry.name for entry in await storage.list()] == ["k", "view/k"]


async def test_nothing_can_be_copied_to_a_closed_storage(storage: Storage) -> None:
    async with MemoryStorage() as other:
        await other.write_bytes("k", b"new")
        await storage.aclose()
        with pytest.raises(ClosedError) as caught:
            await other.copy("k", "new", to=storage)
        assert (caught.value.operation, caught.value.key) == ("copy", "new")
        assert caught.value.storage == storage.name


async def test_a_view_made_of_a_closed_storage_is_closed(storage: Storage) -> None:
    view = storage.at("view")
    await view.aclose()
    with contextlib.suppress(ClosedError):
        assert view.at("deeper").closed
    await storage.aclose()
    with contextlib.suppress(ClosedError):
        assert storage.at("view").closed


async def test_a_listing_that_outlives_its_storage_says_so(storage: Storage) -> None:
    before = storage.list()
    begun = aiter(storage.list())
    await storage.aclose()
    with pytest.raises(ClosedError):
        await before
    with pytest.raises(ClosedError):
        await anext(begun)


async def test_an_opening_that_outlives_its_storage_says_so(storage: Storage) -> None:
    openings = [storage.open("k"), storage.open("new", "w"), storage.open("k", "rw")]
    await storage.aclose()
    for opening in openings:
        with pytest.raises(ClosedError, match="the storage is closed"):
            await opening  # type: ignore[misc]


async def test_closing_a_storage_again_does_nothing(storage: Storage) -> None:
    await asyncio.gather(*(storage.aclose() for _ in range(3)))
    await storage.aclose()
    async with storage:
        pass
    assert storage.closed


# -- a forgotten close ----------------------------------------------------------------------------


def descriptors() -> int | None:
    """Return how many files this process has open, where the system can tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else None


async def settled(reached: Callable[[], bool]) -> bool:
    """Wait until something is so, for some seconds at most, and return whether it is."""
    for _ in range(1000):
        if reached():
            return True
        await asyncio.sleep(0.01)
    return reached()


async def forget(storage: Storage, mode: str, data: bytes) -> str:
    """Open a file, use it, forget it, and return where that was."""
    opening = storage.open("k", mode)
    where = previous_line()
    file = await opening
    await (file.write(data) if mode != "r" else file.read(100))
    return where


CONSEQUENCES = {
    "r": "Reader 'k' in storage '{}', opened at {}: close it, or use `async with`",
    "w": "Writer 'k' in storage '{}', opened at {}: what was written is discarded; "
    "close it, or use `async with`",
    "rw": "UpdateFile 'k' in storage '{}', opened at {}: close it, or use `async with`",
}


@pytest.mark.parametrize("within", ["storage", "view"])
@pytest.mark.parametrize("size", [3, len(LARGE)], ids=["small", "large"])
@pytest.mark.parametrize("mode", CONSEQUENCES)
async def test_a_forgotten_file_is_told_with_its_place_and_leaves_nothing(
    storage: Storage, tmp_path: Path, mode: str, size: int, within: str
) -> None:
    subject = storage.at("view") if within == "view" else storage
    old = LARGE[::-1][:size]
    await subject.write_bytes("k", old)
    assert same(await subject.read_bytes("k"), old)  # all that is opened once is open now
    gc.collect()
    before, tasks = descriptors(), asyncio.all_tasks()
    with pytest.warns(ResourceWarning) as seen, collected():
        where = await forget(subject, mode, LARGE[:size])
    told = "unclosed " + CONSEQUENCES[mode].format(storage.name, where)
    assert [str(one.message) for one in seen] == [told]
    await turns()
    assert await settled(lambda: asyncio.all_tasks() == tasks)
    assert await settled(lambda: descriptors() == before)
    assert storage._shared.budget.used == 0
    if mode != "rw":
        assert same(await subject.read_bytes("k"), old)
    assert [path for path in tmp_path.rglob("*") if path.name.startswith(TEMP_PREFIX)] == []


async def test_what_a_forgotten_writer_wrote_never_appears(storage: Storage) -> None:
    with pytest.warns(ResourceWarning), collected():
        await forget(storage, "w", LARGE)
    await storage.aclose()  # joins what is left to be done
    driver = storage.driver
    await driver.connect()
    assert (await driver.stat("k")).size == 8
    await driver.aclose()


async def test_what_a_forgotten_file_in_place_wrote_is_there(storage: Storage) -> None:
    before = asyncio.all_tasks()
    with pytest.warns(ResourceWarning), collected():
        await forget(storage, "rw", b"ONE")
    await turns()
    assert await settled(lambda: asyncio.all_tasks() == before)
    assert await storage.read_bytes("k") == b"ONE\ntwo\n"


@pytest.mark.parametrize("mode", CONSEQUENCES)
async def test_a_file_that_was_closed_is_not_told(storage: Storage, mode: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = await storage.open("k", mode)
        await file.close()
        del file
        gc.collect()
        file = await storage.open("k", mode)
        await storage.aclose()
        del file
        gc.collect()


SLOPPY = """
    import asyncio, sys
    from aiostow import LocalFSStorage, MemoryStorage

    async def main():
        storage = eval(sys.argv[1])
        await storage.write_bytes("k", b"data")
        global reader, writer
        reader = await storage.open("k")
        writer = await storage.open("k", "w")
        await writer.write(bytes(9 << 20))
        print(await reader.read())

    asyncio.run(main())
"""


def run_script(script: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_closes_nothing_ends_all_the_same(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    made = "MemoryStorage()" if kind == "memory" else f"LocalFSStorage({str(root)!r})"
    assert run_script(SLOPPY, made) == ["b'data'"]
    if kind == "local":
        assert [(path.name, path.read_bytes()) for path in root.iterdir()] == [("k", b"data")]


# -- several tasks, cancelled tasks, and more than one loop ----------------------------------------


async def test_tasks_that_write_at_once_write_all_of_it_or_an_error(storage: Storage) -> None:
    """In which order is theirs to say; that nothing is torn or lost is ours."""
    parts = [pattern(3_000_000 + i, i) for i in range(5)]
    try:
        async with storage.open("k", "w") as file:
            await asyncio.gather(*(file.write(part) for part in parts))
    except StorageError:
        assert await storage.read_bytes("k") == b"one\ntwo\n"
    else:
        found = await storage.read_bytes("k")
        assert len(found) == sum(map(len, parts))
        for part in parts:
            assert part in found


async def test_pieces_that_a_stranger_cancelled_are_not_left_out(storage: Storage) -> None:
    """Programs that end often cancel all tasks, those of the library among them."""
    before = asyncio.all_tasks()
    file = await storage.open("k", "w")
    await file.write(LARGE)
    for task in asyncio.all_tasks() - before:
        task.cancel()
    try:
        await file.close()
    except StorageError:
        assert await storage.read_bytes("k") == b"one\ntwo\n"
    else:
        assert same(await storage.read_bytes("k"), LARGE)


async def test_ranges_that_a_stranger_cancelled_are_not_left_out(storage: Storage) -> None:
    await storage.write_bytes("k", LARGE * 3)
    before = asyncio.all_tasks()
    async with storage.open("k") as file:
        begin = await file.read(5 << 20)
        for task in asyncio.all_tasks() - before:
            task.cancel()
        # Nobody cancelled us, so reading must not say that somebody did.
        try:
            rest = await file.read()
        except asyncio.CancelledError:
            pytest.fail("a cancellation of something else arrived here")
        except StorageError:
            return
        assert same(begin + rest, LARGE * 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_storage_serves_one_loop_after_another(kind: str, tmp_path: Path) -> None:
    storage = make(kind, tmp_path)

    async def use(number: int) -> None:
        await storage.upload(io.BytesIO(LARGE), f"k{number}")
        for key in [entry.name async for entry in storage.list()]:
            assert same(await storage.read_bytes(key), LARGE)

    for number in range(3):
        asyncio.run(use(number))
    asyncio.run(storage.aclose())


async def _ended(work: Awaitable[Any]) -> Any:
    """Return the result of work or the library's error, at once."""
    try:
        return await asyncio.wait_for(work, 30)
    except StorageError as error:
        return error


async def _write_and_close(writer: Writer) -> None:
    async with writer:
        await writer.write(LARGE)


def test_a_storage_is_made_and_opened_outside_of_any_loop(tmp_path: Path) -> None:
    for kind in KINDS:
        storage = make(kind, tmp_path)
        writing, listing = storage.open("k", "w"), storage.list()

        async def use(writing: Any = writing, listing: Any = listing) -> None:
            async with writing as file:
                await file.write(b"data")
            assert [entry.name async for entry in listing] == ["k"]

        asyncio.run(use())
        asyncio.run(storage.aclose())


# -- other processes ------------------------------------------------------------------------------

FORK = """
    import asyncio, gc, os, signal, sys
    from aiostow import LocalFSStorage, MemoryStorage

    storage = eval(sys.argv[1])
    data = bytes(range(256)) * 40_000      # several pieces

    async def use(name):
        async def work():
            assert await storage.read_bytes("k") == b"data"
            await storage.write_bytes(name, data)
            assert await storage.read_bytes(name) == data
            await storage.copy(name, name + "-copy")
            assert name in [entry.name for entry in await storage.list()]
        await work()

    def in_child(work):
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            signal.alarm(15)       # what hangs is killed
            code = 1
            try:
                work()
                code = 0
            except Exception as error:
                print(repr(error))
            finally:
                sys.stdout.flush()
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""

FORK_BETWEEN_LOOPS = """
    async def begin():
        await storage.write_bytes("k", b"data")
        await use("before")

    asyncio.run(begin())
    print(in_child(lambda: asyncio.run(use("child"))))
    asyncio.run(use("parent"))
    asyncio.run(storage.aclose())
"""

FORK_WITHIN_A_LOOP = """
    async def begin():
        await storage.write_bytes("k", b"data")
        reader = await storage.open("k")
        async with storage.open("written", "w") as writer:
            await writer.write(data)

            def child():
                nonlocal reader, writer
                asyncio.run(use("child"))
                del reader, writer
                gc.collect()

            print(in_child(child))
            await writer.write(data)
        assert await storage.read_bytes("written") == data * 2
        assert await reader.read() == b"data"
        await reader.close()
        await use("parent")
        await storage.aclose()

    asyncio.run(begin())
"""

FORK_AND_CLOSE = """
    async def begin():
        await storage.write_bytes("k", b"data")
        reader = await storage.open("k")
        async with storage.open("written", "w") as writer:
            await writer.write(data)           # with pieces under way

            def child():
                asyncio.run(storage.aclose())

            print(in_child(child))
            await writer.write(data)
        assert await storage.read_bytes("written") == data * 2
        assert await reader.read() == b"data"
        await reader.close()
        await storage.aclose()

    asyncio.run(begin())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("script", [FORK_BETWEEN_LOOPS, FORK_WITHIN_A_LOOP, FORK_AND_CLOSE])
@pytest.mark.parametrize("kind", KINDS)
def test_a_forked_child_uses_the_storage_that_it_inherits(
    kind: str, script: str, tmp_path: Path
) -> None:
    root = str(tmp_path / "root")
    made = "MemoryStorage()" if kind == "memory" else f"LocalFSStorage({root!r}, durable=False)"
    assert run_script(FORK + script, made) == ["0"]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
async def test_a_disk_travels_as_its_configuration(tmp_path: Path, protocol: int) -> None:
    root = tmp_path / "root"
    async with LocalFSStorage(root, name="mine", durable=False, memory_budget=9 << 20) as storage:
        await storage.write_bytes("a/k", b"data")
        clone: LocalFSStorage = pickle.loads(pickle.dumps(storage, protocol))
        async with clone:
            assert type(clone) is LocalFSStorage
            assert (clone.name, clone.root, clone.memory_budget) == ("mine", root, 9 << 20)
            assert repr(clone.driver.__reduce__()) == repr(storage.driver.__reduce__())
            assert clone.driver is not storage.driver
            assert repr(clone) == repr(storage)
            assert await clone.read_bytes("a/k") == b"data"
        assert not storage.closed
        assert await storage.read_bytes("a/k") == b"data"


async def test_memory_travels_empty() -> None:
    async with MemoryStorage(name="mine", memory_budget=9 << 20) as storage:
        await storage.write_bytes("k", b"data")
        clone: MemoryStorage = pickle.loads(pickle.dumps(storage))
        async with clone:
            assert type(clone) is MemoryStorage
            assert (clone.name, clone.memory_budget) == ("mine", 9 << 20)
            assert await clone.list() == []
            await clone.write_bytes("other", b"theirs")
        assert [entry.name for entry in await storage.list()] == ["k"]


async def test_views_travel_as_views(storage: Storage) -> None:
    view = storage.at("a").at("b")
    await view.write_bytes("k", b"data")
    clone: Storage = pickle.loads(pickle.dumps(view))
    assert repr(clone) == repr(view)
    await clone.write_bytes("c", b"theirs")
    names = [entry.name for entry in await clone.list()]
    assert names == (["c", "k"] if isinstance(storage, LocalFSStorage) else ["c"])
    with pytest.raises(InvalidKeyError):
        await clone.read_bytes("../k")
    await clone.aclose()
    assert not view.closed
    await clone.driver.aclose()


async def test_a_closed_or_busy_storage_travels_as_an_open_one(storage: Storage) -> None:
    async with storage.open("k") as reader:
        assert await reader.read(1) == b"o"
        clones = [pickle.loads(pickle.dumps(storage))]
    await storage.aclose()
    clones.append(pickle.loads(pickle.dumps(storage)))
    for clone in clones:
        async with clone:
            assert not clone.closed
            await clone.write_bytes("new", b"data")
            assert await clone.read_bytes("new") == b"data"


# -- wrong arguments ------------------------------------------------------------------------------

WRONG_MODES = ["", "a", "ab", "rt", "wt", "r+", "w+", "rx", "read", "R", None, 5, FileMode(0)]


@pytest.mark.parametrize("mode", WRONG_MODES, ids=repr)
async def test_a_wrong_mode_is_refused_at_once(storage: Storage, mode: Any) -> None:
    with pytest.raises(ValueError, match="mode must be 'r', 'w', 'x' or 'rw'") as caught:
        storage.open("k", mode)
    assert isinstance(caught.value, InvalidArgumentError)
    assert (caught.value.operation, caught.value.key) == ("open", "k")
    assert caught.value.storage == storage.name


WRONG_OPTIONS: list[tuple[str, dict[str, Any], str]] = [
    ("r", {"content_type": "text/plain"}, "opening for read does not take content_type"),
    ("r", {"if_absent": True}, "opening for read does not take if_absent"),
    ("r", {"size_hint": 5}, "opening for read does not take size_hint"),
    ("r", {"encoding": "utf-8"}, "opening for read does not take encoding"),
    ("r", {"newline": "", "buffering": 0}, "does not take buffering, newline"),
    ("w", {"colour": "red"}, "opening for write does not take colour"),
    ("x", {"encoding": "utf-8"}, "opening for create does not take encoding"),
    ("x", {"if_match": "1"}, "if_absent and if_match exclude each other"),
    ("w", {"if_match": "1", "if_absent": True}, "if_absent and if_match exclude each other"),
    ("w", {"metadata": {"owner": 5}}, "metadata maps str to str"),
    ("rw", {"if_match": "1"}, "opening for update does not take if_match"),
    ("rw", {"content_type": "a"}, "opening for update does not take content_type"),
    ("rw", {"size_hint": 0}, "opening for update does not take size_hint"),
]


@pytest.mark.parametrize(("mode", "options", "told"), WRONG_OPTIONS)
async def test_a_wrong_option_is_refused_at_once(
    storage: Storage, mode: str, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        storage.open("k", mode, **options)
    assert told in caught.value.message
    assert (caught.value.operation, caught.value.key) == ("open", "k")


UNKNOWN: dict[str, Any] = {
    "colour": "red", "mode": "x", "size_hint": 5, "encoding": "utf-8", "operation": "none",
}  # fmt: skip


@pytest.mark.parametrize("option", UNKNOWN)
@pytest.mark.parametrize("name", ["write_bytes", "upload", "put"])
async def test_an_unknown_option_is_refused_by_name(
    storage: Storage, tmp_path: Path, name: str, option: str
) -> None:
    if (name, option) == ("upload", "size_hint"):
        pytest.skip("this one it has")
    path = tmp_path / "mine"
    path.write_bytes(b"mine")
    wrong: Any = {option: UNKNOWN[option]}
    with pytest.raises(InvalidArgumentError, match=option) as caught:
        if name == "write_bytes":
            await storage.write_bytes("k", b"new", **wrong)
        elif name == "upload":
            await storage.upload(io.BytesIO(b"new"), "k", **wrong)
        else:
            await storage.put(path, "k", **wrong)
    assert (caught.value.operation, caught.value.key) == (name, "k")
    assert await storage.read_bytes("k") == b"one\ntwo\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("budget", [0, -1, -(64 << 20)])
def test_a_budget_of_nothing_is_refused(kind: str, budget: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"memory_budget must be .*{budget}") as caught:
        make(kind, tmp_path, memory_budget=budget)
    assert isinstance(caught.value, InvalidArgumentError)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("budget", ["64MiB", None, 1e6, float("nan"), float("inf"), [1]])
def test_a_budget_that_is_no_count_of_bytes_is_refused(
    kind: str, budget: Any, tmp_path: Path
) -> None:
    with pytest.raises((TypeError, ValueError), match="memory_budget") as caught:
        make(kind, tmp_path, memory_budget=budget)
    assert isinstance(caught.value, (InvalidTypeError, InvalidArgumentError))


@pytest.mark.parametrize("kind", KINDS)
def test_the_least_budget_works(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with make(kind, tmp_path, memory_budget=1) as storage:
            await storage.upload(io.BytesIO(b"0123456789"), "k")
            assert await storage.read_bytes("k") == b"0123456789"

    asyncio.run(main())


NO_KEYS: list[tuple[Any, str]] = [
    (b"k", "a key is a str, not bytes: decode it, for example b'k'.decode()"),
    (Path("k"), "a key is a str, not PosixPath: for a path use path.as_posix()"),
    (None, "a key is a str, not NoneType"),
    (5, "a key is a str, not int"),
]


@pytest.mark.parametrize(("key", "told"), NO_KEYS, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("name", CALLS)
async def test_what_is_no_text_is_no_key(
    storage: Storage, tmp_path: Path, name: str, key: Any, told: str
) -> None:
    with pytest.raises(ValueError) as caught:
        await call(name, storage, key, tmp_path)
    assert isinstance(caught.value, InvalidKeyError)
    assert told in caught.value.message
    assert caught.value.operation == name.split()[0]
    assert caught.value.storage == storage.name
    assert not (tmp_path / "got").exists()
    assert [entry.name for entry in await storage.list()] == ["k"]


@pytest.mark.parametrize(("key", "told"), NO_KEYS[:2], ids=["bytes", "path"])
async def test_what_is_no_text_is_no_prefix(storage: Storage, key: Any, told: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: storage.at(key),
        lambda: storage.list(starting=key),
        lambda: storage.list(start_after=key),
    ]
    for attempt in calls:
        with pytest.raises(InvalidKeyError) as caught:
            attempt()
        assert told in caught.value.message
        assert caught.value.operation in ("at", "list")


async def test_a_single_key_is_not_many(storage: Storage) -> None:
    for key in ("k", ""):
        with pytest.raises(InvalidTypeError, match="for a single one use delete"):
            await storage.delete_many(key)
    assert await storage.exists("k")


async def test_an_error_of_the_callers_own_keys_is_passed_on(storage: Storage) -> None:
    error = OSError(errno.EIO, "mine")

    def keys() -> Iterator[str]:
        yield "k"
        raise error

    with pytest.raises(OSError) as caught:
        await storage.delete_many(keys())
    assert caught.value is error


@pytest.mark.parametrize("operation", ["get", "put"])
async def test_errors_of_the_callers_own_paths_stay_as_they_are(
    storage: Storage, tmp_path: Path, operation: str
) -> None:
    """A missing local directory is no missing object."""
    missing = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        await (storage.get("k", missing) if operation == "get" else storage.put(missing, "k"))
    assert not isinstance(caught.value, StorageError)
    assert str(missing.parent) in str(caught.value)
    assert await storage.read_bytes("k") == b"one\ntwo\n"
