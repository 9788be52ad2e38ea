"""Keys: one oracle says what is a key, and every check agrees with it."""

from __future__ import annotations

import contextlib
import itertools
import re
import sys
import unicodedata
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from aiostow import InvalidKeyError
from aiostow.keys import (
    TEMP_PREFIX,
    Prefix,
    check_key,
    check_name_start,
    check_prefix,
    is_key,
)


def legal(name: str) -> bool:
    """Say what a key is in other words than the library: segment by segment, letter by letter."""
    for segment in name.split("/"):
        if segment in {"", ".", ".."} or segment[: len(".aiostow-tmp-")] == ".aiostow-tmp-":
            return False
        for letter in segment:
            if unicodedata.category(letter) in {"Cc", "Cs"}:  # controls, surrogates
                return False
    return True


LETTERS = st.characters(exclude_categories=())  # surrogates too
GOOD = [
    "...", " ", "a", "b.c", "~", "\\", "..a", "a..", ".a",
    "\u2028", "\u00a0", "文", "é", "e\u0301", TEMP_PREFIX[:-1], "x" + TEMP_PREFIX,
    TEMP_PREFIX.upper(), ".aiostow", ".aiostow-tmp_x",
]  # fmt: skip
BAD = [
    "", ".", "..", TEMP_PREFIX, TEMP_PREFIX + "x", "\x00", "a\n", "\x7f", "\x80", "\x9f", "\ud800",
    "\udfff", "\udcae",
]  # fmt: skip
SEGMENTS = st.one_of(
    st.sampled_from(GOOD), st.sampled_from(GOOD), st.sampled_from(BAD), st.text(LETTERS, max_size=4)
)
NAMES = st.one_of(st.lists(SEGMENTS, max_size=5).map("/".join), st.text(LETTERS, max_size=8))
KEYS = st.lists(
    st.one_of(st.sampled_from(GOOD), st.text(min_size=1, max_size=4).filter(legal)),
    min_size=1,
    max_size=5,
).map("/".join)
PREFIXES = st.one_of(st.just(""), KEYS, KEYS.map(lambda key: key + "/"))


def refusal(check: Any, name: Any) -> InvalidKeyError:
    with pytest.raises(InvalidKeyError) as caught:
        check(name)
    return caught.value


def agrees(name: str) -> None:
    expected = legal(name)
    assert is_key(name) is expected
    if expected:
        assert check_key(name) is name
    else:
        assert refusal(check_key, name).key == name


def test_the_temporary_names_are_what_they_were() -> None:
    """Files with the old name would lie on disks for ever, and the oracle below spells it out."""
    assert TEMP_PREFIX == ".aiostow-tmp-"


@settings(deadline=None)
@given(NAMES)
@example("a/b")
@example("")
def test_a_key_is_what_the_oracle_says(name: str) -> None:
    agrees(name)


def test_every_short_name_is_judged_rightly() -> None:
    for length in range(9):
        for letters in itertools.product("a./", repeat=length):
            agrees("".join(letters))


def test_every_letter_is_judged_rightly(long: bool) -> None:
    most = (range(0x3000), range(0xD7F0, 0xE010), range(0xFE00, 0x10100), range(0x10FFF0, 0x110000))
    codes = range(sys.maxunicode + 1) if long else itertools.chain(*most)
    for code in codes:
        letter = chr(code)
        wrong = unicodedata.category(letter) in {"Cc", "Cs"} or letter == "/"
        assert is_key(f"a/{letter}/b") is not (wrong or letter == "."), ascii(letter)
        assert is_key(f"a{letter}") is not wrong, ascii(letter)


@pytest.mark.parametrize("depth", range(4))
@pytest.mark.parametrize("rest", ["", "x", "0123456789abcdef", "/b"])
def test_temporary_names_are_no_segments(depth: int, rest: str) -> None:
    name = "a/" * depth + TEMP_PREFIX + rest
    assert "temporary" in refusal(check_key, name).message
    assert is_key("a/" * depth + "x" + TEMP_PREFIX + rest)


def test_what_is_wrong_is_found_at_the_end_of_something_long() -> None:
    for tail in ("/..", "/", "//x", "\x00", "/" + TEMP_PREFIX + "x", "\udc80"):
        assert not is_key("k" * 100_000 + tail)
    assert is_key("k" * 100_000)
    assert is_key("/".join(["k"] * 50_000))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "cannot be empty"),
        ("a\nb", "cannot hold the character '\\n'"),
        ("a\x00", "cannot hold the character '\\x00'"),
        ("a\x85", "cannot hold the character '\\x85'"),
        ("\udc80", "cannot hold the character '\\udc80'"),
        ("/a", "does not begin with '/': write 'a'"),
        ("a/", "does not end with '/'"),
        ("a//b", "an empty segment ('//')"),
        ("a/../b", "the segment '..'"),
        ("./b", "the segment '.'"),
        ("a/.aiostow-tmp-x", "'.aiostow-tmp-' are kept for temporary files"),
    ],
)
def test_a_refusal_tells_the_reason(name: str, told: str) -> None:
    assert told in refusal(check_key, name).message


@settings(deadline=None)
@given(NAMES)
def test_a_refusal_is_a_line_that_can_be_logged(name: str) -> None:
    assume(not legal(name))
    text = str(refusal(check_key, name))
    assert text.isprintable()
    assert text.encode()


@settings(deadline=None)
@given(KEYS, st.integers(1, 3))
def test_a_leading_slash_is_told_with_the_key_that_is_meant(key: str, slashes: int) -> None:
    assert f": write {key!r}" in refusal(check_key, "/" * slashes + key).message


@settings(deadline=None)
@given(NAMES)
@example("")
@example("/")
@example("../x")
@example("a/")
def test_no_key_is_offered_that_would_be_refused_too(name: str) -> None:
    assume(not legal(name.lstrip("/")))
    assert "write" not in refusal(check_key, "/" + name).message


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (b"a/k", "not bytes: decode it, for example b'a/k'.decode()"),
        (bytearray(b"a"), "not bytearray"),
        (PurePosixPath("a/k"), "not PurePosixPath: for a path use path.as_posix()"),
        (Path("a/k"), "for a path use path.as_posix()"),
        (None, "not NoneType"),
        (5, "not int"),
        (["a"], "not list"),
    ],
)
@pytest.mark.parametrize("check", [check_key, check_prefix, check_name_start])
def test_what_is_no_text_is_refused_with_what_to_write(key: Any, told: str, check: Any) -> None:
    error = refusal(check, key)
    assert told in error.message
    assert error.key is None


# -- prefixes -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(NAMES)
@example("")
@example("/")
@example("a//")
@example("a/")
def test_a_prefix_is_empty_or_a_key_with_or_without_its_slash(name: str) -> None:
    if name == "":
        assert check_prefix(name) == ""
    elif legal(name):
        assert check_prefix(name) == name + "/"
    elif name[-1] == "/" and legal(name[:-1]):
        assert check_prefix(name) == name
    else:
        refusal(check_prefix, name)


@pytest.mark.parametrize("name", ["/", "//", "a//", "/a", "/a/", "..", "../", "a/../", "a\n/"])
@pytest.mark.parametrize("check", [check_key, check_prefix, check_name_start])
def test_a_refusal_names_what_the_caller_gave(check: Any, name: str) -> None:
    if check is check_name_start and name == "..":
        assert check(name) == name  # a key may be "..a"
    else:
        assert refusal(check, name).key == name


# What may follow a beginning: if any key at all begins so, then one of these does.
TAILS = ("", "x", "/x", ".", "0", "x/y")


@settings(deadline=None)
@given(NAMES)
@example("a/.")
@example("a/..")
@example(".aiostow-tmp")
@example(".aiostow-tmp-")
@example("a/")
def test_a_beginning_is_what_keys_begin_with(name: str) -> None:
    if name == "" or any(legal(name + tail) for tail in TAILS):
        assert check_name_start(name) == name
    else:
        assert refusal(check_name_start, name).key == name


@settings(deadline=None)
@given(KEYS, st.data())
def test_every_beginning_of_a_key_is_a_beginning(key: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(key)))
    assert check_name_start(key[:cut]) == key[:cut]


@pytest.mark.parametrize("check", [check_key, check_prefix, check_name_start])
@settings(deadline=None)
@given(key=KEYS)
def test_what_is_offered_is_what_was_given_without_the_slash(check: Any, key: str) -> None:
    message = refusal(check, "/" + key).message
    offered = re.search(r": write (.+)\Z", message)
    assert offered is not None
    assert offered[1] == repr(key)


# -- views ----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(PREFIXES, max_size=3), KEYS)
def test_joining_and_stripping_are_inverse(prefixes: list[str], key: str) -> None:
    view = Prefix()
    for prefix in prefixes:
        view = view.at(prefix)
    full = view.join(key)
    assert view.strip(full) == key
    assert view.join(view.strip(full)) == full


@settings(deadline=None)
@given(st.lists(PREFIXES, max_size=3), KEYS)
def test_what_a_view_reaches_is_a_key_below_it(prefixes: list[str], key: str) -> None:
    view = Prefix()
    for prefix in prefixes:
        view = view.at(prefix)
    full = view.join(key)
    assert legal(full)
    assert full.split("/") == [
        *(part for prefix in prefixes for part in prefix.split("/") if part),
        *key.split("/"),
    ]


@settings(deadline=None)
@given(KEYS, KEYS, st.sampled_from(["", "/"]), st.sampled_from(["", "/"]))
def test_views_nest(outer: str, inner: str, slash: str, other: str) -> None:
    nested = Prefix().at(outer + slash).at(inner + other)
    assert nested == Prefix().at(f"{outer}/{inner}")
    assert nested.text == f"{outer}/{inner}/"
    assert Prefix().at("") == Prefix()
    assert nested.at("") == nested


@settings(deadline=None)
@given(NAMES, NAMES)
def test_no_view_leads_out_of_another(outer: str, inner: str) -> None:
    with contextlib.suppress(InvalidKeyError):
        view = Prefix().at(outer)
        assert view.at(inner).text.startswith(view.text)
        assert legal(view.at(inner).text + "x")
