"""The facade's files are files of `io`: the standard library and pandas read and write them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from aiostow import (
    ClosedError,
    InvalidArgumentError,
    InvalidTypeError,
    LocalFSStorage,
    MemoryStorage,
    StorageError,
    UnsupportedOperationError,
)
from aiostow.sync import SyncReader, SyncStorage, SyncTextFile, SyncUpdateFile, SyncWriter
from aiostow.testing import pattern

LARGE = pattern((9 << 20) + 1)
SMALL = LARGE[:1_500_000]


@pytest.fixture(params=["memory", "local"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SyncStorage]:
    inner = (
        MemoryStorage()
        if request.param == "memory"
        else LocalFSStorage(tmp_path / "root", durable=False)
    )
    with SyncStorage(inner) as storage:
        yield storage


def test_files_are_files_of_io(storage: SyncStorage) -> None:
    with storage.open("k", "w") as writer:
        assert isinstance(writer, io.BufferedIOBase)
        assert (writer.readable(), writer.writable(), writer.seekable()) == (False, True, False)
        assert (writer.name, writer.mode, writer.closed) == ("k", "wb", False)
        assert writer.write(b"data") == 4
        assert writer.tell() == 4
    with storage.open("k") as reader:
        assert isinstance(reader, io.BufferedIOBase)
        assert (reader.readable(), reader.writable(), reader.seekable()) == (True, False, True)
        assert (reader.size, reader.entry.name, reader.mode) == (4, "k", "rb")
        assert not reader.isatty()
        for call in (reader.fileno, reader.detach, reader.commit):
            with pytest.raises(UnsupportedOperationError):
                call()
    assert reader.closed
    assert type(writer) is SyncWriter
    assert type(reader) is SyncReader


@pytest.mark.parametrize("mode", ["r", "w", "rw", "rt", "wt"])
def test_a_closed_file_says_so(storage: SyncStorage, mode: str) -> None:
    storage.write_bytes("k", b"data")
    file = storage.open("k", mode)
    file.close()
    file.close()
    nothing: Any = "" if "t" in mode else b""
    calls = (file.read, lambda: file.write(nothing), file.tell, file.__enter__)
    for call in calls:
        with pytest.raises(ValueError, match="closed"):
            call()


def test_errors_name_the_key_and_say_what_to_write(storage: SyncStorage) -> None:
    with storage.open("k", "w") as file:
        with pytest.raises(InvalidTypeError, match=r"encode it first") as caught:
            file.write("text")
        assert (caught.value.key, caught.value.storage) == ("k", storage.name)
        for refused in (file.read, lambda: file.seek(0), file.truncate):
            with pytest.raises(UnsupportedOperationError):
                refused()
    with storage.open("k") as reader:
        with pytest.raises(UnsupportedOperationError, match="open it with 'w'"):
            reader.write(b"")
        for place in ((-1, 0), (0, 3)):
            with pytest.raises(InvalidArgumentError):
                reader.seek(*place)
        with pytest.raises(InvalidArgumentError):
            reader.iter_chunks(0)


# -- text -----------------------------------------------------------------------------------------


def test_text_is_encoded_and_decoded(storage: SyncStorage) -> None:
    with storage.open("t", "w", encoding="utf-16", newline="\r\n") as file:
        assert type(file) is SyncTextFile
        file.write("näme\nvalue\n")
    assert storage.read_bytes("t").decode("utf-16") == "näme\r\nvalue\r\n"
    with storage.open("t", encoding="utf-16") as file:
        assert list(file) == ["näme\n", "value\n"]
        assert file.entry is not None
    with storage.open("t", "wt") as file:
        file.write("ü")
    assert storage.read_bytes("t") == "ü".encode()
    with storage.open("t", "rt", errors="replace", encoding="ascii") as file:
        assert file.read() == "��"
    with storage.open("t", "rwt") as file:
        file.seek(0, 2)
        file.write("!")
    assert storage.read_bytes("t") == "ü!".encode()


def test_text_that_cannot_be_is_told_and_leaves_nothing_open(storage: SyncStorage) -> None:
    storage.write_bytes("k", b"\xff")
    for options in ({"errors": "strict"}, {"newline": ""}, {"mode": "rbt"}):
        with pytest.raises(InvalidArgumentError):
            storage.open("k", **options)
    with pytest.raises(InvalidArgumentError):
        storage.open("k", "rb", encoding="utf-8")
    with pytest.raises(LookupError):
        storage.open("k", encoding="no-such")
    with storage.open("k", encoding="utf-8") as file, pytest.raises(UnicodeDecodeError):
        file.read()
    with pytest.raises(UnicodeEncodeError), storage.open("k", "w", encoding="ascii") as file:
        file.write("ü")
    assert storage.read_bytes("k") == b"\xff"


# -- the standard library -------------------------------------------------------------------------


def test_zip_archives(storage: SyncStorage) -> None:
    with storage.open("z", "w") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr("a", b"first")
        pack.writestr("b/c", LARGE)
    with storage.open("z") as source, zipfile.ZipFile(source) as pack:
        assert pack.namelist() == ["a", "b/c"]
        assert pack.testzip() is None
        assert pack.read("b/c") == LARGE


def test_gzip_and_tar(storage: SyncStorage) -> None:
    with storage.open("g", "w") as file, gzip.open(file, "wt", encoding="utf-8") as packed:
        packed.write("line\n" * 1000)
    with storage.open("g") as source, gzip.open(source, "rt", encoding="utf-8") as packed:
        assert list(packed) == ["line\n"] * 1000
    for mode in ("w|gz", "w"):
        with storage.open("t", "w") as file:
            with tarfile.open(fileobj=file, mode=mode) as archive:
                info = tarfile.TarInfo("member")
                info.size = len(SMALL)
                archive.addfile(info, io.BytesIO(SMALL))
        with storage.open("t") as source, tarfile.open(fileobj=source) as archive:
            member = archive.extractfile("member")
            assert member is not None
            assert member.read() == SMALL


def test_csv_json_and_pickle(storage: SyncStorage) -> None:
    rows = [["name", "value"], ["ä", "1"], ["b,c", "2"]]
    with storage.open("c", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    with storage.open("c", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == rows
    with storage.open("j", "wt") as file:
        json.dump(rows, file)
    with storage.open("j") as binary:
        assert json.load(binary) == rows
    with storage.open("p", "w") as writer:
        pickle.dump(rows, writer)
    with storage.open("p") as binary:
        assert pickle.load(binary) == rows


def test_copies_by_shutil(storage: SyncStorage) -> None:
    with storage.open("k", "w") as file:
        shutil.copyfileobj(io.BytesIO(LARGE), file)
    copy = io.BytesIO()
    with storage.open("k") as source, storage.open("copy", "w") as target:
        shutil.copyfileobj(source, target)
        source.seek(0)
        shutil.copyfileobj(source, copy)
    assert copy.getvalue() == LARGE
    assert storage.read_bytes("copy") == LARGE


def test_wrappers_of_io(storage: SyncStorage) -> None:
    storage.write_bytes("k", b"one\ntwo\n")
    raw: Any = storage.open("k")
    with io.BufferedReader(raw) as buffered:
        assert buffered.peek()[:3] == b"one"
        assert buffered.readlines() == [b"one\n", b"two\n"]
    assert raw.closed
    with io.TextIOWrapper(storage.open("k"), encoding="utf-8") as text:
        assert text.readline() == "one\n"
        place = text.tell()
        assert text.read() == "two\n"
        text.seek(place)
        assert text.read() == "two\n"


def test_pandas(storage: SyncStorage) -> None:
    frame = pd.DataFrame({"name": ["ä", "b"], "value": [1, 2]})
    with storage.open("c", "w") as file:
        frame.to_csv(file, index=False)
    with storage.open("c") as file:
        assert pd.read_csv(file).equals(frame)
    with storage.open("c", encoding="utf-8") as text:
        assert pd.read_csv(text).equals(frame)
    with storage.open("j", "w", encoding="utf-8") as text:
        frame.to_json(text)
    with storage.open("j") as file:
        assert pd.read_json(file).equals(frame)
    with storage.open("p", "w") as file:
        frame.to_pickle(file)
    with storage.open("p") as file:
        assert pd.read_pickle(file).equals(frame)


# -- transfers ------------------------------------------------------------------------------------


def test_its_own_files_are_uploaded_and_downloaded(storage: SyncStorage) -> None:
    storage.write_bytes("k", LARGE)
    with storage.open("k") as source:
        storage.upload(source, "copy")
    assert storage.read_bytes("copy") == LARGE
    with storage.open("again", "w") as target:
        storage.download("k", target)
    assert storage.read_bytes("again") == LARGE


def test_what_is_listed_can_be_deleted(storage: SyncStorage) -> None:
    for number in range(1200):
        storage.write_bytes(f"k/{number}", b"")
    storage.delete_many(entry.name for entry in storage.list("k"))
    assert list(storage.list()) == []


def test_a_source_that_calls_the_facade_is_served(storage: SyncStorage) -> None:
    storage.write_bytes("a", b"first ")
    storage.write_bytes("b", b"second")
    storage.upload((storage.read_bytes(key) for key in ("a", "b")), "both")
    assert storage.read_bytes("both") == b"first second"


def test_copies_go_to_other_facades(storage: SyncStorage) -> None:
    storage.write_bytes("k", LARGE)
    with SyncStorage(MemoryStorage()) as other:
        storage.copy("k", "there", to=other)
        assert other.read_bytes("there") == LARGE
        other.copy("there", "back", to=storage)
    assert storage.read_bytes("back") == LARGE


def test_a_file_is_shared_by_threads(storage: SyncStorage) -> None:
    """As files of `io` are: each call is whole."""
    lines = [b"%06d\n" % number for number in range(20_000)]
    with storage.open("k", "w") as file:
        _in_threads(8, lambda i: [file.write(line) for line in lines[i::8]])
    assert sorted(storage.read_bytes("k").splitlines(keepends=True)) == lines
    found: list[bytes] = []
    with storage.open("k") as reader:
        _in_threads(8, lambda i: found.extend(iter(reader.readline, b"")))
    assert sorted(found) == lines


def _in_threads(count: int, work: Any) -> None:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


# -- io.BytesIO is the oracle ---------------------------------------------------------------------

SIZES = st.one_of(st.none(), st.integers(-1, 40), st.integers(0, 200_000))


class Oracle(RuleBasedStateMachine):
    """Reads and writes in place, compared with those of `io.BytesIO`."""

    @initialize(data=st.binary(max_size=300), large=st.booleans(), write=st.booleans())
    def begin(self, data: bytes, large: bool, write: bool) -> None:
        data = data * 1000 if large else data
        self.storage = SyncStorage(MemoryStorage())
        self.storage.write_bytes("k", data)
        self.write = write
        self.real: SyncReader | SyncUpdateFile = (
            self.storage.open("k", "rw") if write else self.storage.open("k")
        )
        self.oracle = io.BytesIO(data)

    @rule(size=SIZES)
    def read(self, size: int | None) -> None:
        assert self.real.read(size) == self.oracle.read(size)

    @rule(size=SIZES)
    def readline(self, size: int | None) -> None:
        assert self.real.readline(size) == self.oracle.readline(size)

    @rule(size=st.integers(0, 1000))
    def readinto(self, size: int) -> None:
        ours, theirs = bytearray(size), bytearray(size)
        assert self.real.readinto(ours) == self.oracle.readinto(theirs)
        assert ours == theirs

    @rule(hint=st.integers(-1, 50))
    def readlines(self, hint: int) -> None:
        # BytesIO alone stops where the hint is reached, all other files where it is exceeded.
        assert self.real.readlines(hint) == io.IOBase.readlines(self.oracle, hint)

    @rule(offset=st.integers(0, 400_000))
    def seek(self, offset: int) -> None:
        assert self.real.seek(offset) == self.oracle.seek(offset)

    @rule(offset=st.integers(-100, 100), whence=st.sampled_from([1, 2]))
    def seek_from(self, offset: int, whence: int) -> None:
        assert self.real.seek(offset, whence) == self.oracle.seek(offset, whence)

    @rule()
    def tell(self) -> None:
        assert self.real.tell() == self.oracle.tell()

    @rule(data=st.binary(max_size=50))
    def write_some(self, data: bytes) -> None:
        if self.write:
            assert self.real.write(data) == self.oracle.write(data)

    @rule(size=st.one_of(st.none(), st.integers(0, 1000)))
    def truncate(self, size: int | None) -> None:
        if self.write and isinstance(self.real, SyncUpdateFile):
            expected = self.oracle.tell() if size is None else size
            assert self.real.truncate(size) == expected
            grown = max(expected - len(self.oracle.getvalue()), 0)  # BytesIO does not extend
            self.oracle.truncate(expected)
            if grown:
                here = self.oracle.tell()
                self.oracle.seek(0, 2)
                self.oracle.write(bytes(grown))
                self.oracle.seek(here)

    def teardown(self) -> None:
        if not hasattr(self, "storage"):
            return
        self.real.close()
        assert self.storage.read_bytes("k") == self.oracle.getvalue()
        self.storage.close()


Oracle.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestOracle = Oracle.TestCase


def test_a_listing_is_iterated_anew_and_can_be_left(storage: SyncStorage) -> None:
    for number in range(5):
        storage.write_bytes(f"k{number}", b"")
    listing = storage.list()
    for _ in range(2):
        assert [entry.name for entry in listing] == [f"k{number}" for number in range(5)]
    some = iter(listing)
    assert next(some).name == "k0"
    some.close()
    assert list(some) == []
    del some
    with pytest.raises(InvalidTypeError, match="write `for`"):
        aiter(listing)


def test_a_closed_storage_says_so(storage: SyncStorage) -> None:
    storage.write_bytes("k", b"data")
    file = storage.open("k")
    listing = storage.list()
    storage.close()
    storage.close()
    assert storage.closed
    assert file.closed
    calls = (
        lambda: storage.stat("k"),
        lambda: storage.open("k"),
        lambda: list(listing),
        lambda: storage.write_bytes("k", b""),
        lambda: file.read(),
    )
    for call in calls:
        with pytest.raises(ClosedError):
            call()
    with pytest.raises(StorageError) as caught:
        storage.stat("k")
    assert (caught.value.operation, caught.value.key) == ("stat", "k")
    assert caught.value.storage == storage.name
