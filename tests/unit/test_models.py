"""Modes, entries, options: the values that users and drivers exchange."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from typing import Any

import pendulum
import pytest

from aiostow import (
    Capabilities,
    FileMode,
    Folder,
    InvalidArgumentError,
    ListEntry,
    Support,
    WriteOptions,
    as_mode,
)
from aiostow.models import ByteRange

# -- modes ----------------------------------------------------------------------------------------

MEANINGS = {
    "r": FileMode.read,
    "w": FileMode.write,
    "x": FileMode.create,
    "rw": FileMode.read | FileMode.write,
    "wr": FileMode.read | FileMode.write,
}
SPELLINGS = {
    spelling: meaning
    for mode, meaning in MEANINGS.items()
    for spelling in (mode, *(f"{mode[:i]}b{mode[i:]}" for i in range(len(mode) + 1)))
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_mode_is_that_mode(spelling: str) -> None:
    assert as_mode(spelling) is SPELLINGS[spelling]


@pytest.mark.parametrize("mode", list(dict.fromkeys(MEANINGS.values())), ids=str)
def test_a_mode_is_itself(mode: FileMode) -> None:
    assert as_mode(mode) is mode


def test_in_place_is_reading_and_writing() -> None:
    assert FileMode.update is FileMode.read | FileMode.write


def test_nothing_else_is_a_mode() -> None:
    tried = 0
    for length in range(5):
        for letters in itertools.product("rwxbat+U ", repeat=length):
            mode = "".join(letters)
            if mode in SPELLINGS:
                continue
            tried += 1
            with pytest.raises(InvalidArgumentError, match="mode must be 'r', 'w', 'x' or 'rw'"):
                as_mode(mode)
    assert tried > 7000


NO_MODES: list[Any] = [
    FileMode(0), FileMode.create | FileMode.read, FileMode.create | FileMode.write,
    FileMode.create | FileMode.update, None, 0, 1, 3, b"r", "R", "W", "wx", "rwx", "rb ", ["r"],
    True, FileMode,
]  # fmt: skip


@pytest.mark.parametrize("mode", NO_MODES, ids=repr)
def test_a_wrong_mode_is_told_with_what_is_right(mode: Any) -> None:
    with pytest.raises(ValueError) as caught:
        as_mode(mode)
    assert isinstance(caught.value, InvalidArgumentError)
    assert str(caught.value) == f"mode must be 'r', 'w', 'x' or 'rw', not {mode!r}"


HINTS = {
    "encode and decode text yourself": ("rt", "wt", "t", "tr", "xt", "at", "rt+", "rbt"),
    "appending is not offered: use 'rw' and seek to the end": ("a", "ab", "ba", "a+", "ab+", "ra"),
    "read and write in place is 'rw'": ("r+", "w+", "x+", "r+b", "rb+", "+", "w+b", "rw+"),
}


@pytest.mark.parametrize(
    ("mode", "hint"), [(mode, hint) for hint, modes in HINTS.items() for mode in modes]
)
def test_modes_of_other_libraries_get_a_hint(mode: str, hint: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        as_mode(mode)
    message = str(caught.value)
    assert message.startswith(f"mode must be 'r', 'w', 'x' or 'rw', not {mode!r}; ")
    assert hint in message
    assert [other for other in HINTS if other in message] == [hint]


# -- entries --------------------------------------------------------------------------------------

MODIFIED = pendulum.datetime(2024, 2, 29, 12, 30, 45, 123456)
ENTRY = ListEntry("a/k", MODIFIED, 5, "1f", "text/plain", "gzip", "no-store", {"owner": "me"})


def test_an_entry_unpacks_as_name_time_and_size() -> None:
    name, last_modified, size = ENTRY
    assert (name, last_modified, size) == ("a/k", MODIFIED, 5)
    assert len(ENTRY) == 3
    assert tuple(ENTRY) == (ENTRY[0], ENTRY[1], ENTRY[2]) == ("a/k", MODIFIED, 5)
    assert (ENTRY[-1], ENTRY[-3]) == (5, "a/k")
    with pytest.raises(IndexError):
        ENTRY[3]
    assert isinstance(ENTRY.last_modified, pendulum.DateTime)


def test_an_entry_tells_nothing_that_nobody_told_it() -> None:
    entry = ListEntry("k", MODIFIED, 0)
    assert entry.addressable
    told = (entry.etag, entry.content_type, entry.content_encoding, entry.cache_control)
    assert told == (None, None, None, None)
    assert entry.metadata is None


VALUES: list[Any] = [
    ENTRY,
    Folder("a"),
    ByteRange(1, 2),
    WriteOptions(if_match="1f", metadata={"owner": "me"}),
    Capabilities(),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_do_not_change(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(value, field.name)
    # With slots, Python 3.11 answers TypeError for a name that is no field.
    with pytest.raises((AttributeError, TypeError)):
        value.something_else = 1


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_equal_their_pickles(value: Any) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        result = pickle.loads(pickle.dumps(value, protocol))
        assert result == value
        assert repr(result) == repr(value)


def test_a_range_ends_past_its_last_byte() -> None:
    assert ByteRange(10, 5).end == 15
    assert ByteRange(10, 0).end == 10


# -- options --------------------------------------------------------------------------------------


def test_create_only_and_replacing_a_version_exclude_each_other() -> None:
    with pytest.raises(InvalidArgumentError, match="if_absent and if_match exclude each other"):
        WriteOptions(if_absent=True, if_match="1f")
    with pytest.raises(InvalidArgumentError, match="exclude"):
        WriteOptions(if_absent=True, if_match="")
    assert WriteOptions(if_absent=True).if_match is None
    assert WriteOptions(if_match="1f").if_absent is False


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"owner": 1}, "not 'owner' to a int"),
        ({"owner": None}, "not 'owner' to a NoneType"),
        ({"owner": b"me"}, "not 'owner' to a bytes"),
        ({1: "me"}, "not 1 to a str"),
        ({b"owner": "me"}, "not b'owner' to a str"),
        ({"fine": "fine", "owner": ["me"]}, "not 'owner' to a list"),
    ],
)
def test_metadata_maps_text_to_text(metadata: Any, told: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        WriteOptions(metadata=metadata)
    assert "metadata maps str to str" in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize("metadata", ["owner=me", ["owner"], [("owner", "me")], 5, {"owner"}])
def test_metadata_is_a_mapping(metadata: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="metadata maps str to str"):
        WriteOptions(metadata=metadata)


@pytest.mark.parametrize("metadata", [None, {}, {"": ""}, {"owner": "me", "b": "ü\n"}])
def test_text_to_text_is_fine(metadata: dict[str, str] | None) -> None:
    assert WriteOptions(metadata=metadata).metadata == metadata


INHERITED = ("content_type", "content_encoding", "cache_control", "metadata")


@pytest.mark.parametrize("given", list(itertools.product([False, True], repeat=4)))
def test_a_copy_takes_from_its_source_what_the_options_leave_open(given: tuple[bool, ...]) -> None:
    mine: dict[str, Any] = {
        "content_type": "mine/type", "content_encoding": "mine", "cache_control": "mine",
        "metadata": {"mine": "1"},
    }  # fmt: skip
    asked = {name: mine[name] for name, ask in zip(INHERITED, given) if ask}
    options = WriteOptions(**asked)
    result = options.over(ENTRY)
    for name in INHERITED:
        assert getattr(result, name) == (asked[name] if name in asked else getattr(ENTRY, name))
    assert options == WriteOptions(**asked)


def test_what_is_asked_of_the_write_itself_is_never_inherited() -> None:
    assert WriteOptions(if_absent=True).over(ENTRY).if_absent is True
    assert WriteOptions(if_match="2").over(ENTRY).if_match == "2"
    plain = WriteOptions().over(ENTRY)
    assert (plain.if_absent, plain.if_match) == (False, None)


@pytest.mark.parametrize(("name", "empty"), [("content_type", ""), ("metadata", {})])
def test_what_is_given_empty_is_given(name: str, empty: Any) -> None:
    assert getattr(WriteOptions(**{name: empty}).over(ENTRY), name) == empty


# -- support --------------------------------------------------------------------------------------


def test_support_is_true_unless_it_is_none() -> None:
    assert {support.name: bool(support) for support in Support} == {
        "native": True,
        "emulated": True,
        "unsupported": False,
    }


def test_capabilities_promise_nothing_by_default() -> None:
    capabilities = Capabilities()
    for name in ("create_only", "if_match", "metadata", "update"):
        assert not getattr(capabilities, name)
