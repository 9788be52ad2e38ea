"""Errors: a tree of causes, each also its builtin, that travels and says what happened."""

from __future__ import annotations

import builtins
import copy
import errno
import inspect
import io
import itertools
import os
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

import aiostow
from aiostow import DeleteManyError, StorageError, StorageIOError, errors
from aiostow.errors import FileNotFoundInStorageError, UnsupportedOperationError

# -- the tree -------------------------------------------------------------------------------------

_LINE = re.compile(
    r"^(?P<rails>(?:│   )*(?:[├└]── )?)(?P<name>[A-Z]\w+)(?: \((?P<builtin>[\w.]+)\))?(?:\s{2,}|$)"
)


def tree() -> dict[str, tuple[str | None, str | None]]:
    """Return parent and builtin of each error, as the module's docstring draws them."""
    drawn: dict[str, tuple[str | None, str | None]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        depth = len(match["rails"]) // 4
        path = [*path[:depth], match["name"]]
        drawn[match["name"]] = (path[-2] if depth else None, match["builtin"])
    return drawn


TREE = tree()
CLASSES: list[type[StorageError]] = [getattr(errors, name) for name in errors.__all__]
SYSTEM_ERRORS = [cls for cls in CLASSES if issubclass(cls, OSError)]


def builtin(name: str) -> type[BaseException]:
    found: type[BaseException]
    found = io.UnsupportedOperation if name.startswith("io.") else getattr(builtins, name)
    return found


def test_the_tree_draws_every_error_and_no_other() -> None:
    defined = {
        name
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, BaseException)
    }
    assert set(TREE) == set(errors.__all__) == defined
    assert set(TREE) <= set(aiostow.__all__)


@pytest.mark.parametrize("name", errors.__all__)
def test_each_error_is_its_parent_and_its_builtin_and_nothing_more(name: str) -> None:
    parent, base = TREE[name]
    expected: list[type[BaseException]] = [getattr(errors, parent) if parent else Exception]
    if base is not None:
        expected.append(builtin(base))
    assert getattr(errors, name).__bases__ == tuple(expected)


@pytest.mark.parametrize("name", [name for name, (_, base) in TREE.items() if base])
def test_who_catches_the_builtin_catches_the_error(name: str) -> None:
    with pytest.raises(builtin(TREE[name][1] or "")) as caught:
        raise getattr(errors, name)("what went wrong")
    assert isinstance(caught.value, StorageError)


@pytest.mark.parametrize("cls", CLASSES)
def test_each_error_says_what_it_means(cls: type[StorageError]) -> None:
    assert cls.__doc__ is not None
    assert cls.__doc__ != cls.__base__.__doc__


# -- errno, filename, strerror --------------------------------------------------------------------


@pytest.mark.parametrize("cls", SYSTEM_ERRORS)
def test_an_os_error_has_what_an_os_error_has(cls: type[StorageError]) -> None:
    error: Any = cls("what went wrong", key="a/k")
    assert error.strerror == "what went wrong"
    assert error.filename == "a/k"
    if issubclass(cls, UnsupportedOperationError):  # as io's own, it has no number
        assert error.errno is None
    else:
        assert error.errno in errno.errorcode


@pytest.mark.parametrize("cls", SYSTEM_ERRORS)
def test_an_errno_that_is_given_is_kept(cls: type[StorageError]) -> None:
    error: Any = cls("what went wrong", errno=errno.EXDEV)
    assert error.errno == errno.EXDEV


@pytest.mark.parametrize(
    "cls",
    [
        cls
        for cls in SYSTEM_ERRORS
        if TREE[cls.__name__][1] not in (None, "OSError", "io.UnsupportedOperation")
    ],
)
def test_the_default_errno_is_the_one_that_makes_the_builtin(cls: type[StorageError]) -> None:
    error: Any = cls("what went wrong")
    made = OSError(error.errno, "what went wrong")
    assert issubclass(type(made), builtin(TREE[cls.__name__][1] or ""))


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls not in SYSTEM_ERRORS])
def test_other_errors_have_no_errno(cls: type[StorageError]) -> None:
    assert not hasattr(cls("what went wrong", errno=errno.EIO), "errno")


# -- context --------------------------------------------------------------------------------------

KEYS = [None, "a/k"]
OPERATIONS = [None, "open"]
STORAGES = [None, "backup"]


@pytest.mark.parametrize("cls", CLASSES)
def test_the_text_names_what_is_known(cls: type[StorageError]) -> None:
    def text(**context: str) -> str:
        return str(cls("what went wrong", **context))  # type: ignore[arg-type]

    assert text() == "what went wrong"
    assert text(operation="open") == "open: what went wrong"
    assert text(key="a/k") == "'a/k': what went wrong"
    assert text(storage="backup") == "in storage 'backup': what went wrong"
    assert text(operation="open", key="a/k") == "open 'a/k': what went wrong"
    assert text(operation="sweep", storage="backup") == "sweep in storage 'backup': what went wrong"
    assert (
        text(operation="open", key="a/k", storage="backup")
        == "open 'a/k' in storage 'backup': what went wrong"
    )


def test_a_key_cannot_forge_lines_of_a_log() -> None:
    error = StorageError("refused", operation="open", key="a\nINFO all is well", storage="b\rc")
    assert str(error).splitlines() == [str(error)]


def test_an_empty_key_is_a_key() -> None:
    assert str(StorageError("refused", operation="open", key="")) == "open '': refused"
    assert StorageError("x", key="").with_context(operation=None, key="k", storage=None).key == ""


@pytest.mark.parametrize("cls", CLASSES)
def test_with_context_fills_only_what_is_missing(cls: type[StorageError]) -> None:
    for operation, key, storage in itertools.product(OPERATIONS, KEYS, STORAGES):
        error = cls("what went wrong", operation=operation, key=key, storage=storage)
        result = error.with_context(operation="copy", key="other", storage="else")
        assert result is error
        assert error.operation == (operation or "copy")
        assert error.key == (key or "other")
        assert error.storage == (storage or "else")
        assert error.message == "what went wrong"


@pytest.mark.parametrize("cls", SYSTEM_ERRORS)
def test_the_filename_follows_the_key(cls: type[StorageError]) -> None:
    late: Any = cls("what went wrong", errno=errno.EBUSY)
    assert getattr(late, "filename", "none at all") is None
    late.with_context(operation="open", key="a/k", storage="s")
    assert (late.filename, late.errno, late.strerror) == ("a/k", errno.EBUSY, "what went wrong")
    early: Any = cls("what went wrong", key="mine")
    early.with_context(operation="open", key="a/k", storage="s")
    assert early.filename == "mine"


def test_context_that_is_not_known_removes_nothing() -> None:
    error = StorageError("x", operation="open", key="k", storage="s")
    error.with_context(operation=None, key=None, storage=None)
    assert (error.operation, error.key, error.storage) == ("open", "k", "s")


# -- trips ----------------------------------------------------------------------------------------


def pickled(protocol: int) -> Callable[[Any], Any]:
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


TRIPS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle{i}": pickled(i) for i in range(pickle.HIGHEST_PROTOCOL + 1)},
}


def seen(error: BaseException) -> dict[str, Any]:
    """Return what a caller can see of an error."""
    names = ("message", "key", "operation", "storage", "errno", "strerror", "args")
    return {
        "type": type(error),
        "str": str(error),
        **{name: getattr(error, name, "none at all") for name in names},
    }


@pytest.mark.parametrize("trip", TRIPS)
def test_errors_travel_with_all_they_know(trip: str) -> None:
    go = TRIPS[trip]
    for cls in CLASSES:
        bare = cls("what went wrong")
        assert seen(go(bare)) == seen(bare)
        full = cls("what went wrong", key="a/k", operation="open", storage="s", errno=errno.EROFS)
        assert seen(go(full)) == seen(full)
        named = cls("what went wrong").with_context(operation="open", key="k", storage="s")
        assert seen(go(named)) == seen(named)


@pytest.mark.parametrize("trip", TRIPS)
def test_the_filename_travels_too(trip: str) -> None:
    for cls in SYSTEM_ERRORS:
        assert TRIPS[trip](cls("what went wrong", key="a/k")).filename == "a/k"
        named = cls("what went wrong").with_context(operation="open", key="k", storage="s")
        assert TRIPS[trip](named).filename == "k"
        assert TRIPS[trip](cls("what went wrong")).filename is None


@pytest.mark.parametrize("trip", TRIPS)
def test_a_travelled_error_takes_on_what_it_still_lacks(trip: str) -> None:
    error = TRIPS[trip](FileNotFoundInStorageError("gone", operation="stat"))
    error.with_context(operation="open", key="k", storage="s")
    assert seen(error) == seen(
        FileNotFoundInStorageError("gone", operation="stat", key="k", storage="s")
    )


@pytest.mark.parametrize("trip", TRIPS)
def test_failures_travel_too(trip: str) -> None:
    inner = {
        "a": StorageIOError("broke", key="a", operation="delete_many", errno=errno.EIO),
        "b": errors.PermissionDeniedError("no", key="b", storage="s"),
    }
    error = DeleteManyError("2 could not be deleted", failures=inner, operation="delete_many")
    result = TRIPS[trip](error)
    assert seen(result) == seen(error)
    assert list(result.failures) == ["a", "b"]
    assert [seen(one) for one in result.failures.values()] == [seen(one) for one in inner.values()]


def test_failures_are_nobody_elses_dict() -> None:
    given = {"a": StorageError("broke")}
    error = DeleteManyError("1 could not be deleted", failures=given)
    given.clear()
    assert list(error.failures) == ["a"]
    assert dict(DeleteManyError("none").failures) == {}


@pytest.mark.parametrize("trip", TRIPS)
def test_what_a_caller_adds_travels_too(trip: str) -> None:
    error: Any = StorageError("what went wrong")
    error.attempts = 3
    assert TRIPS[trip](error).attempts == 3


@pytest.mark.parametrize("trip", TRIPS)
def test_notes_travel_as_those_of_builtins_do(trip: str) -> None:
    oracle = ValueError("what went wrong")
    oracle.add_note("in row 7")
    error = StorageError("what went wrong")
    error.add_note("in row 7")
    assert TRIPS[trip](error).__notes__ == TRIPS[trip](oracle).__notes__


def test_text_and_repr_are_whole_and_can_be_logged() -> None:
    for cls in CLASSES:
        error = cls("what went wrong", key=os.fsdecode(b"a/\xff"))
        assert cls.__name__ in repr(error)
        assert "what went wrong" in repr(error)
        assert str(error).encode()  # a surrogate in a key must not break the log
