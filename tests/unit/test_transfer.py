"""Transfers: whatever gives or takes bytes will do, and whatever does not is told what to write."""

from __future__ import annotations

import asyncio
import collections
import errno
import functools
import gzip
import io
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiofiles
import pytest

from aiostow import (
    FileNotFoundInStorageError,
    InvalidTypeError,
    LocalFSStorage,
    MemoryStorage,
    Storage,
    StorageError,
    UnsupportedOperationError,
)
from aiostow.keys import TEMP_PREFIX
from aiostow.testing import pattern

pytestmark = pytest.mark.anyio

SIZES = (0, 1, 70_001, (9 << 20) + 1)  # pieces are of 4 MiB
LARGE = SIZES[-1]
STEP = 100_000  # bytes, of what gives or takes few at a time


@pytest.fixture(params=["memory", "local"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    made: Storage
    if request.param == "memory":
        made = MemoryStorage()
    else:
        made = LocalFSStorage(tmp_path / "root", durable=False)
    async with made:
        await made.write_bytes("old", b"old")
        yield made
        leftovers = [path for path in tmp_path.rglob("*") if path.name.startswith(TEMP_PREFIX)]
        assert leftovers == []


def same(found: bytes, expected: bytes) -> bool:
    """Compare large contents; a difference of megabytes would take pytest minutes to print."""
    return found == expected


# -- what gives bytes -----------------------------------------------------------------------------


class ShortRaw(io.RawIOBase):
    """A raw file that gives and takes fewer bytes than it is asked to."""

    def __init__(self, data: bytes = b"") -> None:
        self.file = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self.file.read(min(size, STEP))

    def write(self, data: Any, /) -> int:
        return self.file.write(memoryview(data)[:STEP])


class AsyncFile:
    """The least that can be called an async file."""

    def __init__(self, data: bytes = b"") -> None:
        self.file = io.BytesIO(data)
        self.closed = False

    async def read(self, size: int) -> bytes:
        await asyncio.sleep(0)
        return self.file.read(min(size, STEP))

    async def write(self, data: Any) -> None:
        await asyncio.sleep(0)
        self.file.write(data)

    async def close(self) -> None:
        self.closed = True


class AsyncRaw(AsyncFile):
    """An async file that takes fewer bytes than it is given, and says how many."""

    async def write(self, data: Any) -> int:  # type: ignore[override]
        await asyncio.sleep(0)
        return self.file.write(memoryview(data)[:STEP])


class Wrapped:
    """An async file that no inspection can tell, as from a compiled or a decorated one."""

    def __init__(self, file: AsyncFile) -> None:
        self._file = file
        self.file = file.file

    def read(self, size: int) -> Awaitable[bytes]:
        return self._file.read(size)

    def write(self, data: Any) -> Awaitable[None]:
        return self._file.write(data)


class Silent:
    """A sync file whose write returns nothing."""

    def __init__(self) -> None:
        self.file = io.BytesIO()

    def write(self, data: Any) -> None:
        self.file.write(data)


class Chunks:
    """An async iterator that is no generator."""

    def __init__(self, chunks: list[Any]) -> None:
        self._chunks = iter(chunks)

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> Any:
        await asyncio.sleep(0)
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


def cut(data: bytes) -> list[Any]:
    """Cut data into chunks of all types of bytes, with empty ones between them."""
    kinds: list[Callable[[bytes], Any]] = [bytes, bytearray, memoryview]
    chunks: list[Any] = [b""]
    for turn, begin in enumerate(range(0, len(data), STEP)):
        chunks.append(kinds[turn % 3](data[begin : begin + STEP]))
        chunks.append(kinds[turn % 2](b""))
    return chunks


async def asynchronous(chunks: list[Any]) -> AsyncIterator[Any]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


class Workshop:
    """Makes sources and destinations, and tidies up after them."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.stack = stack

    def path(self, data: bytes = b"") -> Path:
        path = Path(tempfile.mkstemp(dir=self.folder)[1])
        path.write_bytes(data)
        return path

    async def source(self, kind: str, data: bytes) -> Any:
        path = self.path(data)
        match kind:
            case "file":
                return self.stack.enter_context(path.open("rb"))
            case "raw":
                return self.stack.enter_context(path.open("rb", buffering=0))
            case "BytesIO":
                return io.BytesIO(data)
            case "short raw":
                return ShortRaw(data)
            case "spooled":
                made = tempfile.SpooledTemporaryFile(1000)  # noqa: SIM115  # the stack closes it
                spooled = self.stack.enter_context(made)
                spooled.write(data)
                spooled.seek(0)
                return spooled
            case "gzip":
                path.write_bytes(gzip.compress(data, 1))
                return self.stack.enter_context(gzip.open(path))
            case "pipe":
                return self.stack.enter_context(self.pipe_from(data))
            case "aiofiles":
                return await self.stack.enter_async_context(aiofiles.open(path, "rb"))
            case "async":
                return AsyncFile(data)
            case "wrapped":
                return Wrapped(AsyncFile(data))
            case "reader":
                other = await self.stack.enter_async_context(MemoryStorage())
                await other.write_bytes("k", data)
                return await self.stack.enter_async_context(other.open("k"))
            case "async generator":
                return asynchronous(cut(data))
            case "async iterator":
                return Chunks(cut(data))
            case "generator":
                return (chunk for chunk in cut(data))
            case "list":
                return cut(data)
            case "deque":
                return collections.deque(cut(data))
        raise AssertionError(kind)

    def pipe_from(self, data: bytes) -> Any:
        reading, writing = os.pipe()
        feeder = asyncio.get_running_loop().run_in_executor(None, _feed, writing, data)
        self.stack.push_async_callback(lambda: asyncio.wait([feeder]))
        return os.fdopen(reading, "rb")

    async def destination(self, kind: str) -> tuple[Any, Callable[[], Awaitable[bytes]]]:
        """Return a destination, and a function that tells what was written to it."""
        path = self.path()

        async def on_disk() -> bytes:
            await self.stack.aclose()
            return path.read_bytes()

        made: Any
        match kind:
            case "file":
                return self.stack.enter_context(path.open("wb")), on_disk
            case "raw":
                return self.stack.enter_context(path.open("wb", buffering=0)), on_disk
            case "aiofiles":
                return await self.stack.enter_async_context(aiofiles.open(path, "wb")), on_disk
            case "aiofiles raw":
                opened = aiofiles.open(path, "wb", buffering=0)
                return await self.stack.enter_async_context(opened), on_disk
            case "gzip":
                made = self.stack.enter_context(gzip.GzipFile(path, "wb", 1))

                async def unzipped() -> bytes:
                    return gzip.decompress(await on_disk())

                return made, unzipped
            case "writer":
                other = await self.stack.enter_async_context(MemoryStorage())
                made = await self.stack.enter_async_context(other.open("k", "w"))

                async def committed() -> bytes:
                    await made.close()
                    return await other.read_bytes("k")

                return made, committed
        makers: dict[str, Callable[[], Any]] = {
            "BytesIO": io.BytesIO,
            "short raw": ShortRaw,
            "silent": Silent,
            "async": AsyncFile,
            "async raw": AsyncRaw,
            "wrapped": lambda: Wrapped(AsyncFile()),
            "wrapped raw": lambda: Wrapped(AsyncRaw()),
        }
        made = makers[kind]()

        async def in_memory() -> bytes:
            held: io.BytesIO = made if isinstance(made, io.BytesIO) else made.file
            return held.getvalue()

        return made, in_memory


def _feed(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(data)


@pytest.fixture
async def workshop(tmp_path: Path) -> AsyncIterator[Workshop]:
    folder = tmp_path / "mine"
    folder.mkdir()
    async with AsyncExitStack() as stack:
        yield Workshop(folder, stack)


TELLING = ("file", "raw", "BytesIO", "spooled", "gzip", "reader")  # their size
SOURCES = (
    *TELLING, "short raw", "pipe", "aiofiles", "async", "wrapped", "async generator",
    "async iterator", "generator", "list", "deque",
)  # fmt: skip
DESTINATIONS = (
    "file", "raw", "aiofiles", "aiofiles raw", "gzip", "writer", "BytesIO", "short raw", "silent",
    "async", "async raw", "wrapped", "wrapped raw",
)  # fmt: skip


class Seen:
    """A progress callback that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int | None]] = []

    def __call__(self, done: int, total: int | None) -> None:
        self.calls.append((done, total))

    def check(self, size: int, total: int | None) -> None:
        """Check that the calls told a transfer of `size` bytes, growing to its end."""
        done = [count for count, _ in self.calls]
        assert done == sorted(set(done))
        assert done[-1] == size
        assert {told for _, told in self.calls} == {total}
        if size == 0:
            assert len(done) == 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", SOURCES)
async def test_upload_takes_all_bytes_of_whatever_gives_them(
    storage: Storage, workshop: Workshop, kind: str, size: int
) -> None:
    data = pattern(size)
    source = await workshop.source(kind, data)
    seen = Seen()
    entry = await storage.upload(source, "a/k", progress_callback=seen)
    assert (entry.name, entry.size) == ("a/k", size)
    assert same(await storage.read_bytes("a/k"), data)
    assert not getattr(source, "closed", False)
    seen.check(size, size if kind in TELLING else None)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", DESTINATIONS)
async def test_download_gives_all_bytes_to_whatever_takes_them(
    storage: Storage, workshop: Workshop, kind: str, size: int
) -> None:
    data = pattern(size)
    await storage.write_bytes("a/k", data)
    destination, written = await workshop.destination(kind)
    seen = Seen()
    await storage.download("a/k", destination, progress_callback=seen)
    assert not getattr(destination, "closed", False)
    assert same(await written(), data)
    seen.check(size, size)


@pytest.mark.parametrize("kind", TELLING)
async def test_upload_begins_where_the_source_stands(
    storage: Storage, workshop: Workshop, kind: str
) -> None:
    source = await workshop.source(kind, b"0123456789")
    moved = source.seek(4)
    if kind == "reader":
        await moved
    seen = Seen()
    await storage.upload(source, "k", progress_callback=seen)
    assert await storage.read_bytes("k") == b"456789"
    assert seen.calls == [(6, 6)]
    # Nothing is left: what is uploaded once more is empty, and not an error.
    again = Seen()
    await storage.upload(source, "k", progress_callback=again)
    assert await storage.read_bytes("k") == b""
    assert again.calls == [(0, 0)]


async def test_a_source_past_its_end_is_empty(storage: Storage) -> None:
    source = io.BytesIO(b"0123456789")
    source.seek(1000)
    seen = Seen()
    await storage.upload(source, "k", progress_callback=seen)
    assert await storage.read_bytes("k") == b""
    assert seen.calls == [(0, 0)]


async def test_download_begins_where_the_destination_stands(storage: Storage) -> None:
    destination = io.BytesIO(b"0123456789")
    destination.seek(4)
    await storage.download("old", destination)
    assert destination.getvalue() == b"0123old789"


@pytest.mark.parametrize("empty", [[], [b""], [bytearray(), b"", memoryview(b"")]], ids=repr)
async def test_nothing_in_nothing_out(storage: Storage, empty: list[Any]) -> None:
    for source in (list(empty), asynchronous(empty), iter(empty)):
        seen = Seen()
        entry = await storage.upload(source, "k", progress_callback=seen)
        assert entry.size == 0
        assert await storage.read_bytes("k") == b""
        assert seen.calls == [(0, None)]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
async def test_an_empty_chunk_is_not_the_end(storage: Storage, kind: Any) -> None:
    chunks = [b"one", kind(b""), kind(b""), b"two", kind(b"")]
    for source in (chunks, asynchronous(chunks)):
        await storage.upload(source, "k")
        assert await storage.read_bytes("k") == b"onetwo"


async def test_chunks_may_be_reused_by_their_source(storage: Storage) -> None:
    """As readinto-style sources do: one buffer, filled again and again."""
    buffer = bytearray(STEP)

    def refill() -> Iterator[bytearray]:
        for value in range(1, 100):
            buffer[:] = bytes([value]) * STEP
            yield buffer

    expected = b"".join(bytes([value]) * STEP for value in range(1, 100))
    await storage.upload(refill(), "k")
    assert same(await storage.read_bytes("k"), expected)


async def test_a_size_that_the_caller_knows_is_the_total(storage: Storage) -> None:
    seen = Seen()
    await storage.upload([b"12345"], "k", size_hint=5, progress_callback=seen)
    assert seen.calls == [(5, 5)]


async def test_a_size_that_the_source_knows_is_the_total(storage: Storage) -> None:
    seen = Seen()
    await storage.upload(io.BytesIO(b"12345"), "k", size_hint=999, progress_callback=seen)
    assert seen.calls == [(5, 5)]


async def test_options_are_those_of_a_write(storage: Storage) -> None:
    with pytest.raises(FileExistsError):
        await storage.upload(io.BytesIO(b"new"), "old", if_absent=True)
    assert await storage.read_bytes("old") == b"old"
    await storage.upload(io.BytesIO(b"new"), "new", if_absent=True, content_type="text/plain")
    assert await storage.read_bytes("new") == b"new"


# -- progress -------------------------------------------------------------------------------------


class Method:
    """An object whose method or whose call tells progress."""

    def __init__(self, calls: list[tuple[Any, ...]]) -> None:
        self.calls = calls

    def both(self, done: int, total: int | None) -> None:
        self.calls.append((done, total))

    async def __call__(self, done: int) -> None:
        await asyncio.sleep(0)
        self.calls.append((done,))


def callbacks(calls: list[tuple[Any, ...]]) -> dict[str, tuple[Any, int]]:
    """Return callbacks by name, each with the number of arguments that it must get."""

    def one(done: int) -> None:
        calls.append((done,))

    def two(done: int, total: int | None) -> None:
        calls.append((done, total))

    def optional(done: int, total: int | None = 77) -> None:
        calls.append((done, total))

    def keyword(done: int, *, extra: int = 5) -> None:
        calls.append((done,))

    async def async_one(done: int) -> None:
        await asyncio.sleep(0)
        calls.append((done,))

    async def async_two(done: int, total: int | None) -> None:
        await asyncio.sleep(0)
        calls.append((done, total))

    def labelled(label: str, done: int, total: int | None) -> str:
        calls.append((done, total))
        return label

    return {
        "one": (one, 1),
        "two": (two, 2),
        "optional": (optional, 2),
        "keyword": (keyword, 1),
        "async one": (async_one, 1),
        "async two": (async_two, 2),
        "any number": (lambda *args: calls.append(args), 2),
        "returns an awaitable": (lambda *args: async_two(*args), 2),
        "partial": (functools.partial(labelled, "upload"), 2),
        "method": (Method(calls).both, 2),
        "async object": (Method(calls), 1),
    }


CALLBACKS = sorted(callbacks([]))


@pytest.mark.parametrize("name", CALLBACKS)
async def test_callbacks_get_as_many_arguments_as_they_take(storage: Storage, name: str) -> None:
    calls: list[tuple[Any, ...]] = []
    callback, count = callbacks(calls)[name]
    data = pattern(LARGE)
    await storage.upload(io.BytesIO(data), "k", progress_callback=callback)
    assert len(calls) == 3  # of 4, 4 and 1 MiB
    for call, done in zip(calls, (4 << 20, 8 << 20, LARGE)):
        assert call == (done, LARGE)[:count]


async def test_builtins_are_callbacks(storage: Storage) -> None:
    told: list[int] = []
    await storage.upload(io.BytesIO(b"12345"), "k", progress_callback=told.append)
    assert told == [5]
    once: set[int] = set()
    await storage.download("k", io.BytesIO(), progress_callback=once.add)
    assert once == {5}
    await storage.download("k", io.BytesIO(), progress_callback=int)  # tells no signature


async def _upload(storage: Storage, path: Path, callback: Any) -> None:
    await storage.upload(io.BytesIO(path.read_bytes()), "new", progress_callback=callback)


async def _download(storage: Storage, path: Path, callback: Any) -> None:
    await storage.write_bytes("new", path.read_bytes())
    await storage.download("new", io.BytesIO(), progress_callback=callback)


async def _put(storage: Storage, path: Path, callback: Any) -> None:
    await storage.put(path, "new", progress_callback=callback)


async def _get(storage: Storage, path: Path, callback: Any) -> None:
    await storage.write_bytes("new", path.read_bytes())
    await storage.get("new", path.with_name("got"), progress_callback=callback)


async def _copy(storage: Storage, path: Path, callback: Any) -> None:
    await storage.write_bytes("new", path.read_bytes())
    await storage.copy("new", "copy", progress_callback=callback)


async def _copy_across(storage: Storage, path: Path, callback: Any) -> None:
    await storage.write_bytes("new", path.read_bytes())
    async with MemoryStorage() as other:
        await storage.copy("new", "copy", to=other, progress_callback=callback)


TRANSFERS = (_upload, _download, _put, _get, _copy, _copy_across)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("transfer", TRANSFERS)
async def test_every_transfer_tells_how_far_it_is(
    storage: Storage, workshop: Workshop, transfer: Any, size: int
) -> None:
    seen = Seen()
    await transfer(storage, workshop.path(pattern(size)), seen)
    seen.check(size, size)


# -- what fails -----------------------------------------------------------------------------------


class Stop(BaseException):
    """Something of the caller's own that is no Exception."""


def strangers() -> dict[str, BaseException]:
    """Return errors of a caller's own, most of which look like some of a storage."""
    return {
        "arithmetic": ZeroDivisionError("mine"),
        "missing": FileNotFoundError(errno.ENOENT, "mine", "my/path"),
        "no space": OSError(errno.ENOSPC, "mine"),
        "denied": PermissionError("mine"),
        "no errno": OSError("mine"),
        "type": TypeError("mine"),
        "of another storage": FileNotFoundInStorageError(
            "gone", key="theirs", operation="open", storage="theirs"
        ),
        "of a storage": StorageError("gone"),
        "no exception": Stop("mine"),
    }


STRANGERS = sorted(strangers())


async def unchanged(
    storage: Storage, work: Awaitable[object], error: BaseException, old: bytes = b"old"
) -> None:
    """Check that work ends with this very error, and that nothing else came of it."""
    told = (str(error), error.__cause__, dict(vars(error)))
    before = await storage.list()
    with pytest.raises(type(error)) as caught:
        await work
    assert caught.value is error
    assert (str(error), error.__cause__, dict(vars(error))) == told
    assert await storage.list() == before
    assert same(await storage.read_bytes("old"), old)


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("after", [0, 1, LARGE], ids=["at once", "early", "late"])
async def test_an_error_of_the_source_is_passed_on_and_the_object_as_it_was(
    storage: Storage, name: str, after: int
) -> None:
    data = pattern(after)

    def sync_source(error: BaseException) -> Any:
        def chunks() -> Iterator[bytes]:
            yield data
            raise error

        return chunks()

    def async_source(error: BaseException) -> Any:
        async def chunks() -> AsyncIterator[bytes]:
            yield data
            raise error

        return chunks()

    def sync_file(error: BaseException) -> Any:
        class Breaking(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                found = super().read(size)
                if not found:
                    raise error
                return found

        return Breaking(data)

    def async_file(error: BaseException) -> Any:
        class Breaking(AsyncFile):
            async def read(self, size: int) -> bytes:
                found = await super().read(size)
                if not found:
                    raise error
                return found

        return Breaking(data)

    for make in (sync_source, async_source, sync_file, async_file):
        error = strangers()[name]
        source = make(error)
        await unchanged(storage, storage.upload(source, "old"), error)
        await unchanged(storage, storage.upload(make(error), "new"), error)
        assert not getattr(source, "closed", False)


@pytest.mark.parametrize("name", STRANGERS)
async def test_an_error_of_a_callback_is_passed_on_and_the_object_as_it_was(
    storage: Storage, workshop: Workshop, name: str
) -> None:
    path = workshop.path(pattern(LARGE))
    for at in (4 << 20, LARGE):  # amid the transfer, and when all bytes were taken

        def failing(error: BaseException, asynchronously: bool, at: int = at) -> Any:
            def fail(done: int) -> None:
                if done == at:
                    raise error

            async def fail_later(done: int) -> None:
                await asyncio.sleep(0)
                fail(done)

            return fail_later if asynchronously else fail

        for asynchronously in (False, True):
            error = strangers()[name]
            callback = failing(error, asynchronously)
            source = workshop.stack.enter_context(path.open("rb"))
            await unchanged(
                storage, storage.upload(source, "old", progress_callback=callback), error
            )
            assert not source.closed
            await unchanged(storage, storage.put(path, "old", progress_callback=callback), error)
            async with MemoryStorage() as other:
                await other.put(path, "k")
                work = other.copy("k", "old", to=storage, progress_callback=callback)
                await unchanged(storage, work, error)
                mine = workshop.path(b"mine")
                work_on_disk = other.get("k", mine, progress_callback=callback)
                await unchanged(storage, work_on_disk, error)
                assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize("name", STRANGERS)
async def test_an_error_of_the_destination_is_passed_on(storage: Storage, name: str) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            raise error

    class AsyncFull(AsyncFile):
        async def write(self, data: Any) -> None:
            raise error

    for make in (Full, AsyncFull):
        error = strangers()[name]
        destination: Any = make()
        await unchanged(storage, storage.download("old", destination), error)
        assert not destination.closed


async def test_a_file_that_is_not_open_for_this_says_so_itself(
    storage: Storage, workshop: Workshop
) -> None:
    path = workshop.path(b"mine")
    with path.open("ab") as source, pytest.raises(io.UnsupportedOperation, match="read"):
        await storage.upload(source, "old")
    with path.open("rb") as destination, pytest.raises(io.UnsupportedOperation, match="write"):
        await storage.download("old", destination)
    closed = path.open("rb")
    closed.close()
    with pytest.raises(ValueError, match="closed file"):
        await storage.upload(closed, "old")
    async with storage.open("old") as reader:
        with pytest.raises(UnsupportedOperationError, match="open it with 'w'"):
            await storage.download("old", reader)
    assert await storage.read_bytes("old") == b"old"


async def test_a_missing_key_leaves_the_destination_alone(storage: Storage) -> None:
    destination = io.BytesIO(b"mine")
    with pytest.raises(FileNotFoundInStorageError) as caught:
        await storage.download("missing", destination)
    assert (caught.value.operation, caught.value.key) == ("download", "missing")
    assert destination.getvalue() == b"mine"


async def test_bytes_that_a_full_pipe_does_not_take_are_not_lost_in_silence(
    storage: Storage,
) -> None:
    """A raw non-blocking file answers None when it took nothing at all."""
    data = pattern(1 << 20)  # much more than a pipe holds
    await storage.write_bytes("k", data)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb", buffering=0) as destination:
        with pytest.raises((OSError, TypeError)):
            await asyncio.wait_for(storage.download("k", destination), 20)
        destination.close()
        assert data.startswith(await asyncio.to_thread(pipe.read))


async def test_a_source_with_no_bytes_yet_is_not_taken_for_empty(storage: Storage) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(writing, "wb"), os.fdopen(reading, "rb", buffering=0) as source:
        with pytest.raises(InvalidTypeError, match="non-blocking") as caught:
            await storage.upload(source, "old")
    assert (caught.value.operation, caught.value.key) == ("upload", "old")
    assert await storage.read_bytes("old") == b"old"


# -- what is no file ------------------------------------------------------------------------------


async def refused(storage: Storage, operation: str, given: Any, advice: str) -> None:
    """Check that a wrong argument is refused with advice, and that nothing came of it."""
    before = await storage.list()
    work = storage.upload(given, "old") if operation == "upload" else storage.download("old", given)
    with pytest.raises(TypeError) as caught:
        await work
    error = caught.value
    assert isinstance(error, InvalidTypeError)
    assert advice in error.message
    assert (error.operation, error.key, error.storage) == (operation, "old", storage.name)
    assert str(error).startswith(f"{operation} 'old' in storage '{storage.name}': ")
    assert await storage.list() == before
    assert await storage.read_bytes("old") == b"old"


@pytest.mark.parametrize("text", ["", "text"])
async def test_text_is_no_source(storage: Storage, workshop: Workshop, text: str) -> None:
    path = workshop.path(text.encode())
    await refused(storage, "upload", io.StringIO(text), "open it with 'rb'")
    with path.open() as file:
        await refused(storage, "upload", file, "open it with 'rb'")
        assert not file.closed
    async with aiofiles.open(path) as async_file:
        await refused(storage, "upload", async_file, "open it with 'rb'")
    for chunks in ([b"bytes first", text], [text]):
        await refused(storage, "upload", list(chunks), "str")
        await refused(storage, "upload", iter(chunks), "str")
        await refused(storage, "upload", asynchronous(chunks), "str")


@pytest.mark.parametrize("content", [b"", b"content"])
async def test_text_is_no_destination(storage: Storage, workshop: Workshop, content: bytes) -> None:
    path = workshop.path(b"mine")
    await storage.write_bytes("old", b"old")
    with path.open("a") as file:
        await refused(storage, "download", file, "open it with 'wb'")
        assert not file.closed
    async with aiofiles.open(path, "a") as async_file:
        await refused(storage, "download", async_file, "open it with 'wb'")
    wrapper = io.TextIOWrapper(io.BytesIO())
    await refused(storage, "download", wrapper, "open it with 'wb'")
    assert path.read_bytes() == b"mine"


async def test_a_string_io_is_no_destination(storage: Storage) -> None:
    await refused(storage, "download", io.StringIO(), "str, not bytes")


@pytest.mark.parametrize("given", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes"), b""])
async def test_bytes_are_no_source(storage: Storage, given: Any) -> None:
    await refused(storage, "upload", given, "use write_bytes()")


@pytest.mark.parametrize("given", [b"bytes", bytearray(b"bytes")])
async def test_bytes_are_no_destination(storage: Storage, given: Any) -> None:
    await refused(storage, "download", given, "a file object with write()")


@pytest.mark.parametrize("given", ["my/file", Path("my/file"), Path("my/file").absolute()])
async def test_a_path_is_no_file(storage: Storage, given: Any) -> None:
    await refused(storage, "upload", given, "for a local path use put()")
    await refused(storage, "download", given, "for a local path use get()")


@pytest.mark.parametrize("given", [None, 5, object(), print])
async def test_what_is_nothing_of_the_kind_is_named(storage: Storage, given: Any) -> None:
    kind = type(given).__name__
    await refused(storage, "upload", given, "upload a file object with read(), or an iterable")
    await refused(storage, "upload", given, f"not {kind}")
    await refused(storage, "download", given, "download into a file object with write()")
    await refused(storage, "download", given, f"not {kind}")


@pytest.mark.parametrize("given", [[1, 2], [["nested"]], {1: b"a"}, (b"fine", object())])
async def test_iterables_of_something_else_are_no_source(storage: Storage, given: Any) -> None:
    await refused(storage, "upload", given, "write bytes, not ")
    await refused(storage, "upload", asynchronous(list(given)), "write bytes, not ")


@pytest.mark.parametrize("operation", ["upload", "download"])
async def test_a_forgotten_await_is_named_where_a_storage_opens(
    storage: Storage, operation: str
) -> None:
    async with MemoryStorage() as other:
        await other.write_bytes("k", b"theirs")
        opening = other.open("k") if operation == "upload" else other.open("new", "w")
        await refused(storage, operation, opening, "open() was not awaited")
        file: Any = await opening  # what was refused is still good
        await (file.abort() if operation == "download" else file.close())


@pytest.mark.parametrize("operation", ["upload", "download"])
async def test_a_coroutine_is_told_to_be_awaited_and_python_does_not_complain_twice(
    storage: Storage, operation: str
) -> None:
    async def opened() -> Any:
        return io.BytesIO()

    await refused(storage, operation, opened(), "write `await` before the call")


@pytest.mark.parametrize("operation", ["upload", "download"])
async def test_whatever_can_be_awaited_is_told_to_be_awaited(
    storage: Storage, workshop: Workshop, operation: str
) -> None:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    await refused(storage, operation, future, "await")
    opened = aiofiles.open(workshop.path(b"mine"), "rb+")
    try:
        await refused(storage, operation, opened, "await")
    finally:
        async with opened:  # what was refused is still good
            pass


async def test_chunks_that_were_not_awaited_are_told_to_be(storage: Storage) -> None:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    await refused(storage, "upload", [future], "write `await` before the call that makes it")
