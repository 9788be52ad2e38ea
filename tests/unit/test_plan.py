"""Pieces and ranges: every object fits, and memory is not spent for nothing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from aiostow import InvalidArgumentError, MemoryBudgetError
from aiostow._plan import next_range, piece_size
from aiostow.driver import Limits

KIB, MIB, GIB, TIB = (1 << shift for shift in (10, 20, 30, 40))
LARGEST = 5 * TIB
S3 = Limits(preferred=8 * MIB, min_size=5 * MIB, max_size=5 * GIB, max_count=10_000)
AMPLE = 1 << 60  # a budget that forbids nothing

SIZES = st.one_of(
    st.integers(0, LARGEST),
    # As likely small as large, and close to where pieces begin and end.
    st.builds(
        lambda power, near: min(max((1 << power) + near, 0), LARGEST),
        st.integers(0, 43),
        st.integers(-2, 2),
    ),
    st.builds(
        lambda pieces, near: pieces * 8 * MIB + near, st.integers(0, 10_500), st.integers(0, 1)
    ),
)
BUDGETS = st.one_of(st.integers(1, GIB), st.sampled_from([1, 20 * MIB, 64 * MIB, GIB, AMPLE]))


def pieces(
    limits: Limits, size: int, *, hint: int | None, budget: int = AMPLE
) -> Iterator[tuple[int, int, int]]:
    """Upload an object in thought: yield index, offset and planned size of each piece."""
    index = offset = 0
    while offset < size:
        planned = piece_size(limits, index=index, offset=offset, size_hint=hint, budget=budget)
        yield index, offset, planned
        index += 1
        offset += planned


def fits(limits: Limits, size: int, *, hint: int | None, budget: int = AMPLE) -> list[int]:
    """Return the planned sizes of an upload that must succeed within its limits."""
    planned = [piece for _, _, piece in pieces(limits, size, hint=hint, budget=budget)]
    assert limits.max_count is None or len(planned) <= limits.max_count
    assert all(limits.min_size <= piece <= limits.max_size for piece in planned)
    assert sum(planned) >= size
    assert not planned or sum(planned[:-1]) < size
    return planned


# -- pieces ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(SIZES, BUDGETS)
@example(LARGEST, 64 * MIB)
@example(LARGEST, 1)
def test_every_object_of_known_size_fits_with_any_budget(size: int, budget: int) -> None:
    fits(S3, size, hint=size, budget=budget)


@settings(deadline=None)
@given(
    st.builds(
        Limits,
        preferred=st.integers(1, 100 * MIB),
        min_size=st.integers(1, 5 * MIB),
        max_size=st.integers(64 * MIB, 5 * GIB),
        max_count=st.integers(1, 1000),
        uniform=st.booleans(),
    ),
    st.floats(0, 1),
    BUDGETS,
)
def test_every_object_that_a_service_allows_fits_if_its_size_is_known(
    limits: Limits, share: float, budget: int
) -> None:
    assert limits.max_count is not None
    size = int(limits.max_size * limits.max_count * share)
    planned = fits(limits, size, hint=size, budget=budget)
    if limits.uniform:
        assert len(set(planned)) <= 1


@pytest.mark.parametrize("uniform", [False, True])
def test_the_very_largest_object_fits_and_one_byte_more_does_not(uniform: bool) -> None:
    limits = Limits(
        preferred=4 * MIB, min_size=MIB, max_size=100 * MIB - 1, max_count=50, uniform=uniform
    )
    most = 50 * (100 * MIB - 1)
    assert set(fits(limits, most, hint=most)) == {limits.max_size}
    with pytest.raises(InvalidArgumentError, match=str(most + 1)):
        piece_size(limits, index=0, offset=0, size_hint=most + 1, budget=AMPLE)


@settings(deadline=None)
@given(SIZES)
@example(LARGEST)
def test_every_object_of_unknown_size_fits_if_memory_allows(size: int) -> None:
    planned = fits(S3, size, hint=None)
    assert planned == sorted(planned)


@settings(deadline=None)
@given(SIZES)
def test_small_objects_keep_small_pieces(size: int) -> None:
    assume(size <= 1000 * 8 * MIB)
    assert set(fits(S3, size, hint=None)) <= {8 * MIB}
    assert set(fits(S3, size, hint=size)) <= {8 * MIB}


@settings(deadline=None)
@given(SIZES, BUDGETS)
def test_pieces_of_a_stream_take_a_quarter_of_the_budget_at_most(size: int, budget: int) -> None:
    least = max(budget // 4, S3.min_size)
    try:
        for _, _, piece in pieces(S3, size, hint=None, budget=budget):
            assert piece <= least
    except MemoryBudgetError:
        # Not a moment too early: a stream of the default size of pieces always gets a tenth far.
        assert size > S3.min_size * 1000


def failure(limits: Limits, budget: int) -> tuple[int, MemoryBudgetError]:
    """Return where an endless stream of unknown size fails, and how."""
    offset = 0
    with pytest.raises(MemoryBudgetError) as caught:
        for _, begin, piece in pieces(limits, 1 << 62, hint=None, budget=budget):
            offset = begin + piece
    return offset, caught.value


@settings(deadline=None)
@given(st.one_of(st.integers(1, GIB), st.sampled_from([1, 16 * MIB, 64 * MIB, GIB])))
@example(64 * MIB)
@example(24 * MIB)
def test_a_stream_that_outgrows_the_budget_is_told_what_to_do(budget: int) -> None:
    offset, error = failure(S3, budget)
    assert isinstance(error, MemoryError)
    message = str(error)
    assert f"the stream is past {offset} bytes" in message
    assert "raise memory_budget to at least" in message
    assert "size_hint" in message
    # And what it is told helps: the stream gets further, and with its size told to the end.
    advised = int(message.split("at least ")[1].split(",")[0])
    assert advised > budget
    reached = 0
    for _, begin, piece in pieces(S3, offset + 1, hint=None, budget=advised):
        reached = begin + piece
    assert reached > offset
    fits(S3, offset + 1, hint=offset + 1, budget=budget)


def test_with_the_default_budget_streams_of_20_gib_need_no_hint() -> None:
    fits(S3, 20 * GIB, hint=None, budget=64 * MIB)


def test_a_piece_that_did_not_grow_is_never_refused() -> None:
    """Where the service asks for more than a quarter of the budget, small objects go anyway."""
    limits = Limits(preferred=8 * MIB, min_size=5 * MIB, max_size=5 * GIB, max_count=10_000)
    assert piece_size(limits, index=0, offset=0, size_hint=None, budget=MIB) == 5 * MIB
    assert piece_size(limits, index=999, offset=0, size_hint=None, budget=MIB) == 5 * MIB


@settings(deadline=None)
@given(SIZES, st.floats(0, 1))
def test_a_hint_that_was_too_small_still_uploads_or_says_why(size: int, share: float) -> None:
    hint = int(size * share)
    count = total = 0
    try:
        for _, _, piece in pieces(S3, size, hint=hint):
            assert S3.min_size <= piece <= S3.max_size
            count, total = count + 1, total + piece
    except InvalidArgumentError as error:
        # Only when the hint itself took nearly all of the pieces.
        assert "size_hint" in str(error)
        assert count == S3.max_count
        assert total >= hint > 1000 * 8 * MIB
    else:
        assert total >= size


@settings(deadline=None)
@given(SIZES, SIZES)
def test_a_hint_that_was_too_large_uploads(size: int, more: int) -> None:
    fits(S3, size, hint=min(size + more, LARGEST))


@settings(deadline=None)
@given(SIZES, BUDGETS)
def test_without_a_limit_of_their_number_all_pieces_have_one_size(size: int, budget: int) -> None:
    limits = Limits(preferred=4 * MIB)
    expected = min(4 * MIB, max(budget // 4, 1))
    for hint in (None, size):
        for index in (0, 1, 10**9):
            planned = piece_size(
                limits, index=index, offset=index * expected, size_hint=hint, budget=budget
            )
            assert planned == expected


@settings(deadline=None)
@given(SIZES, BUDGETS, st.booleans())
def test_uniform_pieces_are_of_one_size(size: int, budget: int, known: bool) -> None:
    limits = dataclasses.replace(S3, uniform=True)
    seen: set[int] = set()
    try:
        for _, _, piece in pieces(limits, size, hint=size if known else None, budget=budget):
            seen.add(piece)
    except InvalidArgumentError as error:
        assert not known
        assert "10000 pieces" in str(error)
        assert "size_hint" in str(error)
    assert len(seen) <= 1


def test_one_piece_too_many_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(InvalidArgumentError, match=r"more than the 10000 pieces.*size_hint"):
        piece_size(S3, index=10_000, offset=80 * GIB, size_hint=None, budget=AMPLE)


@settings(deadline=None)
@given(st.integers(1, 100 * MIB), BUDGETS)
def test_a_small_budget_makes_small_pieces(preferred: int, budget: int) -> None:
    limits = Limits(preferred=preferred, min_size=1)
    planned = piece_size(limits, index=0, offset=0, size_hint=None, budget=budget)
    assert 1 <= planned <= max(budget // 4, 1)
    assert planned == min(preferred, max(budget // 4, 1))


# -- ranges ---------------------------------------------------------------------------------------

LENGTHS = st.one_of(st.integers(1, 16 * MIB), st.sampled_from([1, 64 * KIB, 4 * MIB, 4 * MIB - 1]))


@settings(deadline=None)
@given(st.integers(0, 16 * MIB), st.integers(0, 1 << 62), LENGTHS, LENGTHS)
def test_a_range_gives_what_is_wanted_and_never_more_than_serves_best(
    previous: int, wanted: int, first: int, best: int
) -> None:
    length = next_range(previous=previous, wanted=wanted, source_first=first, source_best=best)
    assert min(wanted, best) <= length <= best
    assert length >= 1


@settings(deadline=None)
@given(LENGTHS, LENGTHS, LENGTHS)
def test_a_small_read_after_a_jump_fetches_little(wanted: int, first: int, best: int) -> None:
    length = next_range(previous=0, wanted=wanted, source_first=first, source_best=best)
    assert length == min(max(wanted, first), best)


@settings(deadline=None)
@given(LENGTHS, LENGTHS, st.integers(0, 4 * KIB))
def test_reading_on_soon_fetches_much(first: int, best: int, wanted: int) -> None:
    assume(first <= best)
    lengths = [0]
    while lengths[-1] < best:
        lengths.append(
            next_range(previous=lengths[-1], wanted=wanted, source_first=first, source_best=best)
        )
        assert len(lengths) <= 2 + math.ceil(math.log2(best))
        if len(lengths) > 2:
            assert lengths[-1] >= min(2 * lengths[-2], best)
    assert len(lengths) <= 2 + math.ceil(math.log2(max(best / first, 1)))


@settings(deadline=None)
@given(LENGTHS, LENGTHS, LENGTHS)
def test_once_the_best_length_is_reached_it_stays(wanted: int, first: int, best: int) -> None:
    assert next_range(previous=best, wanted=wanted, source_first=first, source_best=best) == best


@settings(deadline=None)
@given(st.integers(0, 16 * MIB), LENGTHS, LENGTHS)
def test_whoever_wants_much_gets_the_best_at_once(previous: int, first: int, best: int) -> None:
    for wanted in (best, best + 1, 1 << 62):
        assert (
            next_range(previous=previous, wanted=wanted, source_first=first, source_best=best)
            == best
        )
