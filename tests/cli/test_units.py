"""Sizes, durations and names, as people write and read them."""

from __future__ import annotations

import pytest

from aiostow.cli._output import shown
from aiostow.cli._units import human_size, parse_seconds, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("10", 10), ("10B", 10), ("1k", 1024), ("1K", 1024), ("1kB", 1024),
     ("1.5M", 3 << 19), ("2GiB", 2 << 30), ("1 T", 1 << 40), ("1P", 1 << 50)],
)  # fmt: skip
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "x", "1X", "1i", "1.M", "1e3", "1KK", "inf"])
def test_other_words_are_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400), ("1w", 604800)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "x", "1y", "h", "1h30m", "nan"])
def test_other_words_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0"), (1023, "1023"), (1024, "1.0K"), (10188, "9.9K"), (10189, "10K"),
     (1023 * 1024, "1023K"), (1024 * 1024 - 1, "1.0M"), (1 << 20, "1.0M"), (5 << 30, "5.0G"),
     (1 << 50, "1.0P"), (1 << 60, "1024P")],
)  # fmt: skip
def test_sizes_are_shown_short(size: int, text: str) -> None:
    assert human_size(size) == text
    assert len(text) <= 5


@pytest.mark.parametrize(
    ("text", "safe"),
    [("plain ümläut 名", "plain ümläut 名"), ("a\nb", "a\\nb"), ("\x1b[2J", "\\x1b[2J"),
     ("\x9b", "\\x9b"), ("a\u202eb", "a\\u202eb"), ("\udcff", "\\udcff"),
     ("a\u2028b", "a\\u2028b")],
)  # fmt: skip
def test_what_could_do_harm_is_shown_as_its_number(text: str, safe: str) -> None:
    assert shown(text) == safe
