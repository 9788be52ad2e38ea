"""The conformance suite on sshd and on asyncssh's server, good and bad, and through the facade."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from aiostow import Storage
from tests.conformance._through_facade import ThroughFacade

from ._suite import MakeStorage, SFTPSuite


class _Direct(SFTPSuite):
    @pytest.fixture
    async def storage(self, make: MakeStorage) -> AsyncIterator[Storage]:
        async with make() as storage:
            yield storage


class _Facade(SFTPSuite):
    # A thread cannot be cancelled; what interrupts one is tested with the facade itself.
    test_a_cancelled_read_can_be_repeated: Any = None
    test_a_page_whose_wait_was_cancelled_is_not_lost: Any = None

    @pytest.fixture
    async def storage(self, make: MakeStorage) -> AsyncIterator[Storage]:
        async with ThroughFacade(make()) as storage:
            yield storage


class TestSshd(_Direct):
    pass


class TestSshdThroughFacade(_Facade):
    pass


class TestAsyncssh(_Direct):
    server_name = "asyncssh"


class TestAsyncsshThroughFacade(_Facade):
    server_name = "asyncssh"


class TestBare(_Direct):
    """A server without extensions but posix-rename."""

    server_name = "bare"
