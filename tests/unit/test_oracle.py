"""io.BytesIO is the oracle of every read method and of files in place."""

from __future__ import annotations

import asyncio
import io
import tempfile
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aiostow import LocalFSStorage, MemoryStorage, Storage
from aiostow._readahead import ReadAhead
from aiostow.testing import pattern

SIZES = st.sampled_from([0, 1, 100, 65_535, 65_536, 65_537, 262_144, 262_145, 700_001])
COUNTS = st.one_of(
    st.none(), st.integers(-2, 300), st.sampled_from([65_536, 100_000, 262_144, 1_000_000])
)
OFFSETS = st.one_of(
    st.integers(-10, 300), st.integers(-700_100, 700_100), st.sampled_from([65_536, 262_144])
)


def content(size: int, lines: bool) -> bytes:
    data = pattern(size)
    return data.replace(b"\x01", b"\n") if lines else data.replace(b"\n", b"")


class ReadingLikeBytesIO(RuleBasedStateMachine):
    """One reader and one BytesIO go through the same calls."""

    mode = "r"
    folder: tempfile.TemporaryDirectory[str]

    def make(self) -> Storage:
        raise NotImplementedError

    @initialize(size=SIZES, lines=st.booleans())
    def open(self, size: int, lines: bool) -> None:
        self.runner = asyncio.Runner()
        self.storage = self.make()
        data = content(size, lines)
        self.run(self.storage.write_bytes("k", data))
        self.oracle = io.BytesIO(data)
        self.file: Any = self.run(_opened(self.storage, self.mode))
        # Small ranges, so that read-ahead, seeks and budget meet in a small file.
        pipeline = getattr(self.file, "_pipeline", None)
        if isinstance(pipeline, ReadAhead) and size > 262_144:
            pipeline._source.read_size = 100_000  # type: ignore[misc]

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @rule(size=COUNTS)
    def read(self, size: int | None) -> None:
        assert self.run(self.file.read(size)) == self.oracle.read(size)

    @rule(size=COUNTS)
    def read1(self, size: int | None) -> None:
        # How much one call gives is not promised; that it gives something, in place, is.
        found = self.run(self.file.read1(size))
        if size is None or size != 0:
            rest = len(self.oracle.getvalue()) - self.oracle.tell()
            assert bool(found) == (rest > 0)
        assert found == self.oracle.read(len(found))

    @rule(size=st.sampled_from([0, 1, 100, 70_000, 1_000_000]))
    def readinto(self, size: int) -> None:
        ours, theirs = bytearray(size), bytearray(size)
        assert self.run(self.file.readinto(ours)) == self.oracle.readinto(theirs)
        assert ours == theirs

    @rule(size=COUNTS)
    def readline(self, size: int | None) -> None:
        assert self.run(self.file.readline(size)) == self.oracle.readline(size)

    @rule(hint=st.one_of(st.none(), st.integers(-1, 5000)))
    def readlines(self, hint: int | None) -> None:
        if hint is None or hint <= 0:
            self.seek_both(-3000, 2)  # not all lines of a large file
        assert self.run(self.file.readlines(hint)) == self.oracle.readlines(hint)

    @rule(offset=OFFSETS, whence=st.sampled_from([0, 1, 2]))
    def seek(self, offset: int, whence: int) -> None:
        if whence == 0 and offset < 0:
            with pytest.raises(ValueError, match="negative"):
                self.run(self.file.seek(offset))
        else:
            self.seek_both(offset, whence)

    def seek_both(self, offset: int, whence: int) -> None:
        assert self.run(self.file.seek(offset, whence)) == self.oracle.seek(offset, whence)

    @rule()
    def next_chunk(self) -> None:
        found = self.run(_next(self.file.__aiter__()))
        assert found == self.oracle.read(len(found))
        assert found or self.oracle.read(1) == b""

    @rule(size=st.sampled_from([1000, 99_999, 262_144]))
    def next_exact_chunk(self, size: int) -> None:
        assert self.run(_next(self.file.iter_chunks(size))) == self.oracle.read(size)

    @rule()
    def next_line(self) -> None:
        assert self.run(_next(self.file.iter_lines())) == self.oracle.readline()

    @invariant()
    def same_position(self) -> None:
        if hasattr(self, "file"):
            assert self.run(self.file.tell()) == self.oracle.tell()

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.file.close())
            assert self.run(self.storage.read_bytes("k")) == self.oracle.getvalue()
            self.run(self.storage.aclose())
            self.runner.close()
        if hasattr(self, "folder"):
            self.folder.cleanup()


class InPlaceLikeBytesIO(ReadingLikeBytesIO):
    """The same, and writing too."""

    mode = "rw"

    @rule(data=st.one_of(st.binary(max_size=50), st.sampled_from([pattern(70_000, 5)])))
    def write(self, data: bytes) -> None:
        assert self.run(self.file.write(data)) == self.oracle.write(data)

    @rule(size=st.one_of(st.none(), st.integers(0, 1000), st.sampled_from([100_000, 800_000])))
    def truncate(self, size: int | None) -> None:
        self.run(self.file.truncate(size))
        # Where BytesIO keeps its size, a file grows: the length that was asked for is the oracle.
        wanted = self.oracle.tell() if size is None else size
        self.oracle.truncate(wanted)
        missing = wanted - len(self.oracle.getvalue())
        if missing > 0:
            here = self.oracle.tell()
            self.oracle.seek(0, 2)
            self.oracle.write(bytes(missing))
            self.oracle.seek(here)

    @rule()
    def flush(self) -> None:
        self.run(self.file.flush())


async def _opened(storage: Storage, mode: str) -> Any:
    return await storage.open("k", mode)


async def _next(iterator: Any) -> bytes:
    return await anext(iterator, b"")


def _memory(_: Any) -> Storage:
    return MemoryStorage()


def _local(machine: Any) -> Storage:
    machine.folder = tempfile.TemporaryDirectory()
    return LocalFSStorage(machine.folder.name, durable=False)


CASES = settings(
    max_examples=60, stateful_step_count=25, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def _case(name: str, base: type[ReadingLikeBytesIO], make: Any) -> Any:
    machine = type(name, (base,), {"make": make})
    case: Any = machine.TestCase  # type: ignore[attr-defined]  # made by the metaclass
    case.settings = CASES
    return case


TestReadingMemory = _case("ReadingMemory", ReadingLikeBytesIO, _memory)
TestReadingLocal = _case("ReadingLocal", ReadingLikeBytesIO, _local)
TestInPlaceMemory = _case("InPlaceMemory", InPlaceLikeBytesIO, _memory)
TestInPlaceLocal = _case("InPlaceLocal", InPlaceLikeBytesIO, _local)
