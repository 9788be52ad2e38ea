"""What the topics share."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from ...driver import Chunks, Source
from ...storage import Storage

TestT = TypeVar("TestT", bound=Callable[..., Any])


def proves(*obligations: str) -> Callable[[TestT], TestT]:
    """Name the obligations of `aiostow.driver` whose breaking this test would show."""

    def mark(test: TestT) -> TestT:
        test.__proves__ = obligations  # type: ignore[attr-defined]  # read by the suite's own test
        return test

    return mark


def pattern(size: int, seed: int = 0) -> bytes:
    """Return bytes in which no piece looks like another, so that misplaced ones show.

    Args:
        size: in bytes.
        seed: different seeds give different bytes.
    """
    first, count = seed * 1_000_003, min(size, 65536) // 8
    block = struct.pack(f">{count}Q", *range(first, first + count))
    turns = range(-(-size // (8 + len(block))))
    return b"".join([turn.to_bytes(8, "little") + block for turn in turns])[:size]


async def gather(chunks: Chunks) -> bytes:
    """Return all bytes of a range."""
    try:
        return b"".join([bytes(chunk) async for chunk in chunks])
    finally:
        chunks.close()


async def content(source: Source) -> bytes:
    """Return all bytes of a source, and close it."""
    try:
        return await gather(await source.stream(0, source.entry.size))
    finally:
        source.close()


def creates_only(storage: Storage, size: int) -> bool:
    """Whether a storage says that it has create-only writes of a size in bytes."""
    limit = storage.capabilities.create_only_limit
    return bool(storage.capabilities.create_only) and (limit is None or size <= limit)


class Suite:
    """The base of the topics: where the storage comes from."""

    pytestmark: pytest.MarkDecorator = pytest.mark.anyio

    refused_keys: frozenset[str] = frozenset()
    """Keys of `ODD_KEYS` that the service would take for others, so that the driver refuses them.
    """

    @pytest.fixture
    def storage(self) -> Any:
        """Yield an empty storage; a backend's class overrides this."""
        raise NotImplementedError("override the fixture `storage`")

    async def leftovers(self, storage: Storage) -> list[str]:
        """Return what is stored but invisible: temporary files, unfinished uploads.

        A backend's class overrides this where the service can tell.
        """
        return []

    def large(self, storage: Storage) -> int:
        """Return a size in bytes that takes several pieces."""
        return 2 * storage.driver.write_limits.preferred + 12345
