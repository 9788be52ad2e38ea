"""Arithmetic of pieces and ranges, without input or output."""

from __future__ import annotations

from .driver import Limits
from .errors import InvalidArgumentError, MemoryBudgetError

MIB = 1 << 20

# The size of pieces of a stream of unknown length doubles whenever this share of the allowed
# number of pieces is spent, so that small objects keep small pieces and huge ones still fit.
_STEPS = 10


def piece_size(
    limits: Limits, *, index: int, offset: int, size_hint: int | None, budget: int
) -> int:
    """Return the size in bytes of the piece `index`, which begins at `offset`.

    Args:
        limits: of the upload.
        index: of the piece, from 0.
        offset: the bytes in the pieces before.
        size_hint: the size of the whole object, where known.
        budget: the memory budget in bytes.

    Raises:
        MemoryBudgetError: the size is unknown and the piece would be over a quarter of the budget.
        InvalidArgumentError: the object is larger than the service allows.
    """
    share = max(budget // 4, 1)
    size = min(max(min(limits.preferred, share), limits.min_size), limits.max_size)
    if limits.max_count is None:
        return size
    if index >= limits.max_count:
        raise InvalidArgumentError(
            f"the object needs more than the {limits.max_count} pieces that this storage allows; "
            "tell its size when writing (size_hint) so that larger pieces are planned"
        )
    if limits.uniform:
        index, offset = 0, 0  # every piece is planned as the first
    if size_hint is not None and size_hint > offset:
        # More than a quarter of the budget is right here: the caller knows the size, and the object
        # fits no other way. Past a hint that was too small, the growth below takes over.
        needed = -(-(size_hint - offset) // (limits.max_count - index))
        if needed > limits.max_size:
            raise InvalidArgumentError(
                f"an object of {size_hint} bytes is larger than this storage allows"
            )
        return max(size, min(_round_up(needed), limits.max_size))
    grown = min(size << (index * _STEPS // limits.max_count), limits.max_size)
    if grown > size and grown > share:
        raise MemoryBudgetError(
            f"the stream is past {offset} bytes and needs pieces of {grown} bytes, over a quarter "
            f"of the memory budget: raise memory_budget to at least {4 * grown}, or tell the size "
            "when writing (size_hint)"
        )
    return grown


def _round_up(size: int) -> int:
    return -(-size // MIB) * MIB


def next_range(*, previous: int, wanted: int, source_first: int, source_best: int) -> int:
    """Return the length in bytes of the next range of a reader.

    Sequential reading doubles its ranges up to the best size, so that a small read after a seek
    fetches little and a long one soon fetches much.

    Args:
        previous: the length of the range before in this run of sequential reading, 0 at its start.
        wanted: the bytes that the reader asks for now.
        source_first: the length of the cheapest first range.
        source_best: the length that serves sequential reading best.
    """
    if wanted >= source_best or previous >= source_best:
        return source_best
    if previous == 0:
        return max(min(source_first, source_best), wanted)
    return min(source_best, max(previous * 4, wanted))
