"""The conformance suite on every S3 server, by both ways to speak to them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from aiostow import Storage
from tests.conformance._through_facade import ThroughFacade

from ._suite import MakeStorage, S3Suite


class Suite(S3Suite):
    @pytest.fixture
    async def storage(self, make_storage: MakeStorage) -> AsyncIterator[Storage]:
        async with make_storage() as storage:
            yield storage


class TestCeph(Suite):
    server_name = "ceph"


class TestSwift(Suite):
    server_name = "swift"


class TestMiniStack(Suite):
    server_name = "ministack"


class TestCephBySdk(S3Suite):
    server_name = "ceph"

    @pytest.fixture
    async def storage(self, make_storage: MakeStorage) -> AsyncIterator[Storage]:
        async with make_storage(data_plane="sdk") as storage:
            yield storage


class FacadeSuite(S3Suite):
    # A thread cannot be cancelled; what interrupts one is tested with the facade itself.
    test_a_cancelled_read_can_be_repeated = None  # type: ignore[assignment]

    @pytest.fixture
    async def storage(self, make_storage: MakeStorage) -> AsyncIterator[Storage]:
        async with ThroughFacade(make_storage()) as storage:
            yield storage


class TestCephThroughFacade(FacadeSuite):
    server_name = "ceph"


class TestSwiftThroughFacade(FacadeSuite):
    server_name = "swift"


class TestMiniStackThroughFacade(FacadeSuite):
    server_name = "ministack"
