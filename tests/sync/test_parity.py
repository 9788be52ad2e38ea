"""The facade offers what the async side offers, with the same arguments."""

from __future__ import annotations

import asyncio
import inspect
import typing
from typing import Any

import pytest

from aiostow import (
    BlockingCallError,
    FileNotFoundInStorageError,
    MemoryStorage,
    Reader,
    Storage,
    UpdateFile,
    Writer,
)
from aiostow.sync import SyncReader, SyncStorage, SyncUpdateFile, SyncWriter

RENAMED = {"aclose": "close"}
TEXT = {"encoding", "errors", "newline"}  # what the facade's `open` takes beside
WITHOUT = {"driver"}  # reached through `storage`


def public(cls: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in inspect.getmembers(cls)
        if not name.startswith("_") and (callable(value) or isinstance(value, property))
    }


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    return [
        (p.name, p.kind, p.default)
        for p in inspect.signature(function).parameters.values()
        if p.name not in TEXT
    ]


@pytest.mark.parametrize("name", sorted(public(Storage)))
def test_a_method_of_the_storage_takes_the_same_arguments(name: str) -> None:
    if name in WITHOUT:
        assert not hasattr(SyncStorage, name)
        return
    ours = inspect.getattr_static(SyncStorage, RENAMED.get(name, name))
    theirs = inspect.getattr_static(Storage, name)
    assert isinstance(ours, property) == isinstance(theirs, property)
    if isinstance(ours, property):
        return
    assert not inspect.iscoroutinefunction(ours)
    assert parameters(ours) == parameters(theirs)
    assert inspect.getdoc(ours)


@pytest.mark.parametrize("name", sorted(public(Storage)))
def test_a_method_of_the_storage_returns_the_same(name: str) -> None:
    theirs = inspect.getattr_static(Storage, name)
    if not inspect.iscoroutinefunction(theirs):
        return
    ours = inspect.getattr_static(SyncStorage, RENAMED.get(name, name))
    assert typing.get_type_hints(ours).get("return") == typing.get_type_hints(theirs)["return"]


def test_the_facade_has_no_method_that_the_storage_lacks() -> None:
    extra = set(public(SyncStorage)) - {RENAMED.get(name, name) for name in public(Storage)}
    # A name is an attribute there, and what only one backend has is run.
    assert extra == {"storage", "name", "run"}


def test_what_only_one_backend_has_is_run_on_the_facade_s_loop() -> None:
    with SyncStorage(MemoryStorage()) as storage:
        storage.write_bytes("k", b"data")
        assert storage.run(storage.storage.read_bytes("k")) == b"data"
        with pytest.raises(FileNotFoundInStorageError) as caught:
            storage.run(storage.storage.read_bytes("missing"))
        assert caught.value.operation == "read_bytes"

        async def within() -> None:
            storage.run(storage.storage.read_bytes("k"))

        with pytest.raises(BlockingCallError):
            asyncio.run(within())


# What io names otherwise, or offers by itself.
FILES = [(Reader, SyncReader), (Writer, SyncWriter), (UpdateFile, SyncUpdateFile)]
INTERNAL = {"abandon"}


@pytest.mark.parametrize(("theirs", "ours"), FILES)
def test_a_file_has_the_same_methods(theirs: type, ours: type) -> None:
    assert set(public(theirs)) - set(public(ours)) <= INTERNAL
    for name, method in public(theirs).items():
        if name in INTERNAL or isinstance(method, property) or name not in ours.__dict__:
            continue
        assert [p[0] for p in parameters(getattr(ours, name))] == [p[0] for p in parameters(method)]
