"""The conformance suite through the sync facade: what it adds must take nothing away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiostow import LocalFSStorage, MemoryStorage, Storage
from aiostow.backends.local import LocalDriver
from aiostow.keys import TEMP_PREFIX
from aiostow.testing import Conformance

from ._through_facade import ThroughFacade


class FacadeSuite(Conformance):
    # A thread cannot be cancelled; what interrupts one is tested with the facade itself.
    test_a_cancelled_read_can_be_repeated = None  # type: ignore[assignment]
    test_a_page_whose_wait_was_cancelled_is_not_lost = None  # type: ignore[assignment]  # as above


class TestMemoryThroughFacade(FacadeSuite):
    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with ThroughFacade(MemoryStorage()) as storage:
            yield storage


class TestLocalThroughFacade(FacadeSuite):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        async with ThroughFacade(LocalFSStorage(tmp_path / "root", durable=False)) as storage:
            yield storage

    async def leftovers(self, storage: Storage) -> list[str]:
        assert isinstance(storage.driver, LocalDriver)
        return [path.name for path in storage.driver.root.rglob(f"{TEMP_PREFIX}*")]
