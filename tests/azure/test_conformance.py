"""The conformance suite on Azurite, by each way to ask, and through the facade."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from aiostow import AzureStorage, Storage
from tests.conformance._through_facade import ThroughFacade
from tests.servers import AzuriteServer

from ._credentials import AsyncCredential
from ._suite import AzureSuite, MakeStorage

# About once in ten runs, on a busy machine, a socket of some test here is found unclosed when much
# later garbage is collected, in whatever test that is; looking after each test never finds one.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed transport:ResourceWarning", "ignore:unclosed <socket:ResourceWarning"
)


class TestByKey(AzureSuite):
    @pytest.fixture
    async def storage(self, make_storage: MakeStorage) -> AsyncIterator[Storage]:
        async with make_storage() as storage:
            yield storage


class TestByContainerUrl(AzureSuite):
    @pytest.fixture
    async def storage(self, make_storage: MakeStorage) -> AsyncIterator[Storage]:
        async with make_storage() as owner:
            url = await owner.create_container_url(timedelta(hours=1))
        async with AzureStorage(sas_container_url=url) as storage:
            yield storage


class TestByCredential(AzureSuite):
    """Over https, with bearer tokens, and links that a delegated key signs."""

    @pytest.fixture
    async def storage(
        self,
        secure_server: AzuriteServer,
        make_secure: MakeStorage,
        monkeypatch: pytest.MonkeyPatch,
    ) -> AsyncIterator[Storage]:
        monkeypatch.setenv("SSL_CERT_FILE", str(secure_server.certificate))  # of the links' client
        async with make_secure(AsyncCredential()) as storage:
            yield storage


class TestWithoutChecksums(AzureSuite):
    @pytest.fixture
    async def storage(self, make_storage: MakeStorage) -> AsyncIterator[Storage]:
        async with make_storage(checksum=None) as storage:
            yield storage


class TestThroughFacade(AzureSuite):
    # A thread cannot be cancelled; what interrupts one is tested with the facade itself.
    test_a_cancelled_read_can_be_repeated: Any = None

    @pytest.fixture
    async def storage(self, make_storage: MakeStorage) -> AsyncIterator[Storage]:
        async with ThroughFacade(make_storage()) as storage:
            yield storage
