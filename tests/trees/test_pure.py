"""The parts of a sync that decide, without any storage."""

from __future__ import annotations

import fnmatch
import random
import re
import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pendulum import UTC, DateTime

from aiostow import ListEntry
from aiostow.trees._compare import Verdict, by_entries, by_time, version
from aiostow.trees._patterns import chosen, expression
from aiostow.trees._spool import Spool, place
from aiostow.trees._width import Width

NOW = DateTime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=UTC)
MD5 = "0123456789abcdef0123456789abcdef"


def entry(
    seconds: float = 0, size: int = 3, etag: str | None = None, *, whole: bool = False
) -> ListEntry:
    when = NOW + timedelta(seconds=seconds)
    return ListEntry("k", when.replace(microsecond=0) if whole else when, size, etag)


class TestTimes:
    @pytest.mark.parametrize(
        ("source", "destination", "verdict"),
        [
            (entry(0), entry(5), Verdict.same),
            (entry(5), entry(0), Verdict.different),
            (entry(0), entry(0), Verdict.unsure),
            (entry(0), entry(0.005), Verdict.unsure),  # disks tell the last tick
            (entry(0.005), entry(0), Verdict.unsure),
            (entry(0), entry(0.02), Verdict.same),
            (entry(0), entry(0, whole=True), Verdict.unsure),  # written at 12:00:00 or later
            (entry(-0.7), entry(0, whole=True), Verdict.same),
            (entry(1), entry(0, whole=True), Verdict.different),
            (entry(0, whole=True), entry(0), Verdict.unsure),
            (entry(0, whole=True), entry(1, whole=True), Verdict.same),
            (entry(0, whole=True), entry(0, whole=True), Verdict.unsure),
            (entry(2, whole=True), entry(0, whole=True), Verdict.different),
        ],
    )
    def test_have_an_order_only_if_they_tell_one(
        self, source: ListEntry, destination: ListEntry, verdict: Verdict
    ) -> None:
        assert by_time(source, destination) is verdict

    @given(st.floats(0, 3), st.floats(0, 3), st.booleans(), st.booleans())
    def test_a_change_after_the_copy_is_never_the_same(
        self, copied: float, later: float, ours_whole: bool, theirs_whole: bool
    ) -> None:
        changed = entry(copied + later, whole=ours_whole)
        assert by_time(changed, entry(copied, whole=theirs_whole)) is not Verdict.same

    @given(st.floats(0, 3), st.floats(0, 3), st.booleans(), st.booleans())
    def test_a_copy_after_the_change_is_never_different(
        self, changed: float, later: float, ours_whole: bool, theirs_whole: bool
    ) -> None:
        copy = entry(changed + later, whole=theirs_whole)
        assert by_time(entry(changed, whole=ours_whole), copy) is not Verdict.different


class TestEntries:
    def test_sizes_come_first(self) -> None:
        for compare in ("mtime", "etag", "checksum"):
            ours, theirs = entry(0, 3, MD5), entry(5, 4, MD5)
            assert by_entries(ours, theirs, compare) is Verdict.different
            ours, theirs = entry(9, 0, "a"), entry(0, 0, "b")
            assert by_entries(ours, theirs, compare) is Verdict.same

    def test_a_sum_of_the_content_settles_it(self) -> None:
        assert by_entries(entry(9, 3, MD5), entry(0, 3, MD5), "mtime") is Verdict.same
        assert by_entries(entry(9, 3, MD5), entry(0, 3, MD5), "etag") is Verdict.same
        assert by_entries(entry(0, 3, MD5), entry(9, 3, MD5[::-1]), "etag") is Verdict.different
        assert by_entries(entry(0, 3, MD5), entry(9, 3, MD5[::-1]), "mtime") is Verdict.same

    def test_equal_etags_that_are_no_sums_say_nothing(self) -> None:
        assert by_entries(entry(9, 3, "1"), entry(0, 3, "1"), "mtime") is Verdict.different
        assert by_entries(entry(0, 3, "1"), entry(9, 3, "1"), "etag") is Verdict.different

    def test_contents_are_read_if_asked(self) -> None:
        assert by_entries(entry(0), entry(9), "checksum") is Verdict.unsure

    def test_versions_tell_size_and_etag_or_time(self) -> None:
        told = {version(entry(0, 3, "a")), version(entry(0, 3)), version(entry(1, 3))}
        assert len(told) == 3
        assert all(text.startswith("3 ") for text in told)


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "yes", "no"),
        [
            ("*.log", ["a.log", "d/e/a.log", "a.log/b"], ["a.logs", "log"]),
            ("d", ["d", "d/x", "a/d", "a/d/x/y"], ["da", "ad/x"]),
            ("d/", ["d/x", "a/d/x"], ["d", "a/d"]),
            ("/d", ["d", "d/x"], ["a/d"]),
            ("a/*.txt", ["a/b.txt"], ["a/b/c.txt", "x/a/b.txt"]),
            ("a/**", ["a/b", "a/b/c"], ["a", "b/a/c"]),
            ("**/b", ["b", "a/b", "a/c/b", "a/b/d"], ["ab"]),
            ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "x/a/b"]),
            ("file?", ["file1", "d/fileX"], ["file", "file12", "file/"]),
            ("[a-c]x", ["ax", "cx"], ["dx", "x"]),
            ("[!a]x", ["bx"], ["ax", "/x"]),
            ("a[]]b", ["a]b"], ["ab"]),
            ("a.b", ["a.b"], ["aXb"]),
            ("x\ny", ["x\ny"], ["x"]),
        ],
    )
    def test_match_names(self, pattern: str, yes: list[str], no: list[str]) -> None:
        meant = chosen([pattern], [])
        assert [name for name in yes if not meant(name)] == []
        assert [name for name in no if meant(name)] == []

    def test_many_stars_take_no_time(self) -> None:
        begin = time.process_time()
        assert not chosen(["*a" * 20 + "*b"], [])("a" * 500)
        assert chosen(["*a" * 20 + "*b"], [])("a" * 500 + "b")
        assert time.process_time() - begin < 5  # it was longer than anybody waits

    def test_what_is_excluded_is_not_included(self) -> None:
        meant = chosen(["*.txt"], ["secret*"])
        assert meant("a/b.txt")
        assert not meant("a/secret.txt")
        assert not meant("b.log")
        assert chosen([], [])("anything")

    @given(st.text("ab*?[]!-.^", min_size=1, max_size=8), st.text("ab-.!^", min_size=1, max_size=5))
    def test_one_segment_is_as_in_a_shell(self, pattern: str, name: str) -> None:
        try:
            told = re.fullmatch(expression(pattern), name) is not None
        except ValueError:
            return
        assert told == fnmatch.fnmatchcase(name, pattern)


class TestWidth:
    def test_grows_while_it_brings_something_and_no_further(self) -> None:
        width, now = Width(64), 0.0
        seen = set()
        for _ in range(20_000):
            now += 1 / (100 * min(width.now, 24))  # more than 24 bring nothing
            width.done(4096, now)
            seen.add(width.now)
        assert max(seen) >= 24
        assert 16 <= width.now <= 32

    def test_stays_small_where_one_is_enough(self) -> None:
        width, now = Width(64), 0.0
        counts = []
        for _ in range(20_000):
            now += 1 / 100
            width.done(4096, now)
            counts.append(width.now)
        assert sorted(counts)[len(counts) // 2] <= 8

    def test_shrinks_when_the_service_asks_for_less(self) -> None:
        width = Width(64)
        before = width.now
        width.overloaded()
        assert width.now < before
        for _ in range(10):
            width.overloaded()
        assert width.now == 1

    @pytest.mark.parametrize("most", [1, 3, 8, 64, 100])
    def test_is_never_more_than_what_was_asked(self, most: int) -> None:
        width, dice, now = Width(most), random.Random(1), 0.0
        for _ in range(5000):
            now += dice.random() / 50
            width.done(dice.randrange(10**6), now)
            assert 1 <= width.now <= most


def test_a_spool_gives_entries_back_in_order() -> None:
    names = ["b", "a/b", "a", "a.b", "ä", "\udcff", "\uffff", "\U00010000", "a-b"]
    entries = [
        ListEntry(
            name,
            NOW + timedelta(seconds=number),
            number,
            f"e{number}",
            addressable=bool(number % 2),
        )
        for number, name in enumerate(names)
    ]
    spool = Spool()
    try:
        spool.add(entries[:4])
        spool.add(entries[4:])
        assert list(spool) == sorted(entries, key=place)
    finally:
        spool.close()
