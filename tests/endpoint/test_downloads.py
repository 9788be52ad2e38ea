"""Downloads over real servers: bytes, ranges, and conditions, answered exactly."""

from __future__ import annotations

import pytest

from ._answers import MISSING, OTHER_VERSION, UNSATISFIABLE, Version, said, sent, unchanged
from ._bodies import LARGE, SMALL
from ._place import FUTURE, PAST, Place


@pytest.mark.parametrize("body", [b"", b"5 byt", LARGE], ids=["empty", "5 bytes", "3 MiB"])
def test_get_sends_exactly_what_was_stored_and_head_tells_the_same(
    place: Place, body: bytes
) -> None:
    version = place.store(body)
    link = place.link("d")
    assert place.ask("GET", link) == sent(version)
    assert place.ask("HEAD", link) == sent(version).to_head


def test_two_versions_are_never_told_as_the_same_one(place: Place) -> None:
    # By a strong etag, a range of one would be put together with a range of the other, and If-Match
    # would let an upload replace a version that its sender never saw. Over sftp an etag is the
    # second of modification and the size, which these two share: so it is told as a weak one.
    one, other = place.store(b"one"), place.store(b"two")
    assert one.etag != other.etag or not one.strong


def test_a_missing_file_is_404_whatever_else_is_asked(place: Place) -> None:
    link = place.link("d")
    missing = said(404, MISSING)
    assert place.ask("GET", link) == missing
    assert place.ask("HEAD", link) == missing.to_head
    assert place.ask("GET", link, range="bytes=0-0") == missing
    assert place.ask("GET", link, if_none_match="*") == missing
    assert place.ask("GET", link, if_match='"x"') == missing


def test_one_satisfiable_range_is_sent_alone(standing: tuple[Place, Version]) -> None:
    place, version = standing
    link = place.link("d")
    spans = {
        "bytes=0-0": (0, 1),
        "bytes=2-5": (2, 6),
        "bytes=9-9": (9, 10),
        "bytes=-3": (7, 10),
        "bytes=7-": (7, 10),
        "bytes=0-": (0, 10),
        "bytes=8-100": (8, 10),
        "bytes=-100": (0, 10),
        "BYTES=0-3": (0, 4),
    }
    for text, span in spans.items():
        assert place.ask("GET", link, range=text) == sent(version, span), text


def test_a_range_of_a_large_file_has_exactly_its_bytes(place: Place) -> None:
    version = place.store(LARGE)
    link = place.link("d")
    span = ((1 << 20) - 7, (2 << 20) + 9)
    assert place.ask("GET", link, range=f"bytes={span[0]}-{span[1] - 1}") == sent(version, span)
    assert place.ask("GET", link, range="bytes=-5") == sent(version, (len(LARGE) - 5, len(LARGE)))


def test_a_range_of_which_nothing_is_there_is_416_and_tells_the_size(
    standing: tuple[Place, Version],
) -> None:
    place, _ = standing
    link = place.link("d")
    for text in ("bytes=10-", "bytes=10-20", f"bytes={'9' * 30}-", "bytes=-0"):
        nothing = said(416, UNSATISFIABLE, **{"content-range": "bytes */10"})
        assert place.ask("GET", link, range=text) == nothing, text


def test_an_empty_file_has_no_range(place: Place) -> None:
    version = place.store(b"")
    link = place.link("d")
    for text in ("bytes=0-0", "bytes=0-"):
        nothing = said(416, UNSATISFIABLE, **{"content-range": "bytes */0"})
        assert place.ask("GET", link, range=text) == nothing, text
    assert place.ask("GET", link, range="bytes=-1") == sent(version)  # which is all of it


def test_several_ranges_and_what_is_no_range_are_answered_with_the_whole(
    standing: tuple[Place, Version],
) -> None:
    place, version = standing
    link = place.link("d")
    for text in (
        "bytes=0-1,4-5", "bytes=0-0,", "bytes=5-2", "bytes=", "bytes=-", "bytes=a-b", "bytes=1",
        "bytes=--1", "bytes=0x1-2", "chars=0-1", "0-1", "bytes 0-1", f"bytes=0-{'0' * 70}",
    ):  # fmt: skip
        assert place.ask("GET", link, range=text) == sent(version), text
    assert place.ask("HEAD", link, range="bytes=0-1") == sent(version).to_head


def test_a_version_that_the_client_has_is_304(standing: tuple[Place, Version]) -> None:
    place, version = standing
    link = place.link("d")
    bare = version.etag.removeprefix("W/")
    for tags in (bare, f"W/{bare}", f'"other", {version.etag}', f'{version.etag}, W/"x"', "*"):
        assert place.ask("GET", link, if_none_match=tags) == unchanged(version), tags
        assert place.ask("HEAD", link, if_none_match=tags) == unchanged(version), tags
    both = place.ask("GET", link, if_none_match=version.etag, range="bytes=0-1")
    assert both == unchanged(version)
    for tags in ('"other"', 'W/"other"', bare.strip('"'), '""', "garbage"):
        assert place.ask("GET", link, if_none_match=tags) == sent(version), tags


def test_if_modified_since_counts_where_no_etag_is_named(standing: tuple[Place, Version]) -> None:
    place, version = standing
    link = place.link("d")
    for since in (version.modified, FUTURE):
        assert place.ask("GET", link, if_modified_since=since) == unchanged(version)
        assert place.ask("HEAD", link, if_modified_since=since) == unchanged(version)
    for since in (PAST, "garbage", "Thu, 99 Foo 2020 00:00:00 GMT"):
        assert place.ask("GET", link, if_modified_since=since) == sent(version), since
    named = place.ask("GET", link, if_modified_since=FUTURE, if_none_match='"other"')
    assert named == sent(version)


def test_another_version_than_the_one_that_is_meant_is_412(standing: tuple[Place, Version]) -> None:
    place, version = standing
    link = place.link("d")
    other, strong = said(412, OTHER_VERSION), version.etag if version.strong else '"other", *'
    for tags in ('"other"', f"W/{version.etag.removeprefix('W/')}", "garbage"):
        assert place.ask("GET", link, if_match=tags) == other, tags
        assert place.ask("HEAD", link, if_match=tags) == other.to_head, tags
    assert place.ask("GET", link, if_unmodified_since=PAST) == other
    assert place.ask("GET", link, if_match="*", if_unmodified_since=PAST) == sent(version)
    assert place.ask("GET", link, if_match="*") == sent(version)
    assert place.ask("GET", link, if_unmodified_since=version.modified) == sent(version)
    # A weak etag says that two versions may look alike, which is no match here.
    expected = sent(version) if version.strong else other
    assert place.ask("GET", link, if_match=strong) == expected
    assert place.ask("GET", link, if_match=f'"other", {version.etag}') == expected


def test_a_range_of_another_version_is_answered_with_the_whole(place: Place) -> None:
    version = place.store(SMALL)
    link = place.link("d")
    same = place.ask("GET", link, range="bytes=2-5", if_range=version.etag)
    assert same == sent(version, (2, 6) if version.strong else None)
    weak = f"W/{version.etag.removeprefix('W/')}"
    # Within a minute of its modification, a date does not tell versions apart.
    for condition in ('"other"', weak, PAST, FUTURE, version.modified, "garbage"):
        seen = place.ask("GET", link, range="bytes=2-5", if_range=condition)
        assert seen == sent(version), condition
    other = place.ask("GET", link, range="bytes=99-", if_range='"other"')
    assert other == sent(version)
