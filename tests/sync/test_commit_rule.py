"""When a file of the facade keeps what was written: never after a failure, whoever closes it."""

from __future__ import annotations

import contextlib
import csv
import gc
import gzip
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aiostow import ClosedError, FileExistsInStorageError, LocalFSStorage, MemoryStorage
from aiostow.sync import SyncStorage
from aiostow.testing import pattern

OLD = b"old"
LARGE = pattern((9 << 20) + 1)


@pytest.fixture(params=["memory", "local"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SyncStorage]:
    inner = (
        MemoryStorage()
        if request.param == "memory"
        else LocalFSStorage(tmp_path / "root", durable=False)
    )
    with SyncStorage(inner) as storage:
        storage.write_bytes("k", OLD)
        yield storage
    if request.param == "local":
        assert not [path for path in (tmp_path / "root").iterdir() if path.name.startswith(".")]


class Failure(Exception):  # noqa: N818  # a name of its own, not an error of the library
    pass


# -- failures --------------------------------------------------------------------------------------


def under_with(storage: SyncStorage) -> None:
    with storage.open("k", "w") as file:
        file.write(LARGE)
        raise Failure


def under_with_of_text(storage: SyncStorage) -> None:
    with storage.open("k", "w", encoding="utf-8") as file:
        file.write("partial")
        raise Failure


def under_a_text_wrapper(storage: SyncStorage) -> None:
    with io.TextIOWrapper(storage.open("k", "w"), encoding="utf-8") as text:
        text.write("partial")
        raise Failure


def under_a_text_wrapper_within_with(storage: SyncStorage) -> None:
    with storage.open("k", "w") as file, io.TextIOWrapper(file, encoding="utf-8") as text:
        text.write("partial")
        raise Failure


def after_a_text_wrapper_was_closed(storage: SyncStorage) -> None:
    with storage.open("k", "w") as file:
        with io.TextIOWrapper(file, encoding="utf-8") as text:
            text.write("partial")
        raise Failure


def under_closing(storage: SyncStorage) -> None:
    with contextlib.closing(storage.open("k", "w")) as file:
        file.write(b"partial")
        raise Failure


def under_an_exit_stack(storage: SyncStorage) -> None:
    with contextlib.ExitStack() as stack:
        file = storage.open("k", "w")
        stack.callback(file.close)
        file.write(b"partial")
        raise Failure


def with_close_in_finally(storage: SyncStorage) -> None:
    file = storage.open("k", "w")
    try:
        file.write(b"partial")
        raise Failure
    finally:
        file.close()


def with_close_in_except(storage: SyncStorage) -> None:
    file = storage.open("k", "w")
    try:
        file.write(b"partial")
        raise Failure
    except Failure:
        file.close()
        raise


def with_text_closed_in_finally(storage: SyncStorage) -> None:
    file = storage.open("k", "wt")
    try:
        file.write("partial")
        raise Failure
    finally:
        file.close()


def under_a_zip(storage: SyncStorage) -> None:
    with storage.open("k", "w") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", b"partial")
        raise Failure


def under_a_gzip(storage: SyncStorage) -> None:
    with storage.open("k", "w") as file, gzip.GzipFile(fileobj=file, mode="wb") as packed:
        packed.write(b"partial")
        raise Failure


def in_a_generator(storage: SyncStorage) -> None:
    @contextlib.contextmanager
    def opened() -> Iterator[Any]:
        file = storage.open("k", "w")
        try:
            yield file
        finally:
            file.close()

    with opened() as file:
        file.write(b"partial")
        raise Failure


def again_while_it_is_handled(storage: SyncStorage) -> None:
    try:
        raise Failure
    except Failure:
        with storage.open("k", "wt") as file:
            file.write("partial")
            raise


FAILURES: list[Callable[[SyncStorage], None]] = [
    under_with,
    under_with_of_text,
    under_a_text_wrapper,
    under_a_text_wrapper_within_with,
    after_a_text_wrapper_was_closed,
    under_closing,
    under_an_exit_stack,
    with_close_in_finally,
    with_close_in_except,
    with_text_closed_in_finally,
    under_a_zip,
    under_a_gzip,
    in_a_generator,
    again_while_it_is_handled,
]


@pytest.mark.parametrize("fail", FAILURES)
def test_a_failure_publishes_nothing(
    storage: SyncStorage, fail: Callable[[SyncStorage], None]
) -> None:
    with pytest.raises(Failure):
        fail(storage)
    gc.collect()
    assert storage.read_bytes("k") == OLD
    assert [entry.name for entry in storage.list()] == ["k"]


def test_a_write_that_failed_is_not_committed_by_a_later_close(storage: SyncStorage) -> None:
    file = storage.open("k", "x")
    file.write(LARGE)
    with pytest.raises(FileExistsInStorageError):
        file.close()
    file.close()
    assert storage.read_bytes("k") == OLD


# -- successes -------------------------------------------------------------------------------------


def with_it(storage: SyncStorage) -> None:
    with storage.open("k", "w") as file:
        file.write(b"new")


def with_text(storage: SyncStorage) -> None:
    with storage.open("k", "w", encoding="utf-8") as file:
        file.write("new")


def with_a_wrapper(storage: SyncStorage) -> None:
    with io.TextIOWrapper(storage.open("k", "w"), encoding="utf-8") as text:
        text.write("new")


def with_a_wrapper_within_with(storage: SyncStorage) -> None:
    with storage.open("k", "w") as file, io.TextIOWrapper(file, encoding="utf-8") as text:
        text.write("new")


def with_closing(storage: SyncStorage) -> None:
    with contextlib.closing(storage.open("k", "w")) as file:
        file.write(b"new")


def by_close(storage: SyncStorage) -> None:
    file = storage.open("k", "w")
    try:
        file.write(b"new")
    finally:
        file.close()


def by_commit_while_handling(storage: SyncStorage) -> None:
    file = storage.open("k", "w")
    try:
        raise Failure
    except Failure:
        file.write(b"new")
        file.commit()
    file.close()


def by_text_commit(storage: SyncStorage) -> None:
    file = storage.open("k", "w", encoding="utf-8")
    file.write("new")
    entry = file.commit()
    assert entry.size == 3
    assert file.closed
    file.close()


def opened_while_handling(storage: SyncStorage) -> None:
    try:
        raise Failure
    except Failure:
        file = storage.open("k", "w")
        file.write(b"new")
        file.close()


def opened_with_while_handling(storage: SyncStorage) -> None:
    try:
        raise Failure
    except Failure:
        with storage.open("k", "w", encoding="utf-8") as file:
            file.write("new")


def closed_twice_within_with(storage: SyncStorage) -> None:
    with storage.open("k", "w") as file:
        file.write(b"ne")
        file.close()
        file.write(b"w")
        file.close()


SUCCESSES: list[Callable[[SyncStorage], None]] = [
    with_it,
    with_text,
    with_a_wrapper,
    with_a_wrapper_within_with,
    with_closing,
    by_close,
    by_commit_while_handling,
    by_text_commit,
    opened_while_handling,
    opened_with_while_handling,
    closed_twice_within_with,
]


@pytest.mark.parametrize("write", SUCCESSES)
def test_what_is_closed_cleanly_is_published(
    storage: SyncStorage, write: Callable[[SyncStorage], None]
) -> None:
    write(storage)
    assert storage.read_bytes("k") == b"new"


def test_within_with_nothing_is_published_before_its_end(storage: SyncStorage) -> None:
    with storage.open("k", "w") as file:
        text = io.TextIOWrapper(file, encoding="utf-8")
        csv.writer(text).writerow(["new", "row"])
        text.close()
        assert not file.closed
        assert storage.read_bytes("k") == OLD
    assert file.closed
    assert storage.read_bytes("k") == b"new,row\r\n"
    assert file.entry is not None
    assert file.entry.size == 9


def test_abort_discards_and_closes(storage: SyncStorage) -> None:
    with storage.open("k", "w") as file:
        file.write(LARGE)
        file.abort()
        file.abort()
        with pytest.raises(ClosedError):
            file.write(b"more")
    with storage.open("k", "wt") as text:
        text.write("x")
        text.abort()
    assert storage.read_bytes("k") == OLD


# -- forgotten -------------------------------------------------------------------------------------


def plain(storage: SyncStorage) -> None:
    storage.open("k", "w").write(LARGE)


def wrapped_text(storage: SyncStorage) -> None:
    io.TextIOWrapper(storage.open("k", "w"), encoding="utf-8").write("partial")


def wrapped_text_in_a_failure(storage: SyncStorage) -> None:
    def work() -> None:
        text = io.TextIOWrapper(storage.open("k", "w"), encoding="utf-8")
        text.write("partial")
        raise Failure

    with contextlib.suppress(Failure):
        work()


def text(storage: SyncStorage) -> None:
    storage.open("k", "wt").write("partial")


def buffered(storage: SyncStorage) -> None:
    file: Any = storage.open("k", "w")
    io.BufferedWriter(file).write(b"partial")


def in_a_cycle(storage: SyncStorage) -> None:
    cycle: list[Any] = [storage.open("k", "wt")]
    cycle[0].write("partial")
    cycle.append(cycle)


def zipped(storage: SyncStorage) -> None:
    archive = zipfile.ZipFile(storage.open("k", "w"), "w")
    archive.writestr("a", b"partial")


FORGOTTEN = [plain, wrapped_text, wrapped_text_in_a_failure, text, buffered, in_a_cycle, zipped]


@pytest.mark.parametrize("forget", FORGOTTEN)
def test_a_file_that_is_forgotten_discards_and_warns(
    storage: SyncStorage, forget: Callable[[SyncStorage], None]
) -> None:
    with pytest.warns(ResourceWarning, match=r"unclosed Writer 'k' .*test_commit_rule.py:\d+"):
        _forget(forget, storage)
    assert storage.read_bytes("k") == OLD


@pytest.mark.parametrize("mode", ["r", "rt", "rw"])
def test_a_file_for_reading_that_is_forgotten_warns(storage: SyncStorage, mode: str) -> None:
    kind = "UpdateFile" if mode == "rw" else "Reader"
    with pytest.warns(ResourceWarning, match=f"unclosed {kind} 'k' .*or use `with`"):
        _forget(lambda storage: storage.open("k", mode).read(1), storage)


def _forget(forget: Callable[[SyncStorage], Any], storage: SyncStorage) -> None:
    forget(storage)
    gc.collect()
