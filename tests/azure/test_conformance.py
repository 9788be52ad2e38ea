"""The conformance suite on Azurite, by each way to ask, and through the facade."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from aiostow import AzureStorage, Storage
from tests.conformance._through_facade import ThroughFacade
from tests.servers import AzuriteServer

from ._credentials import AsyncCredential
from ._suite import AzureSuite, MakeStorage


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


# On a busy machine a connection by TLS is seldom found unclosed when garbage is collected, perhaps
# since the loop of its test ended before the server answered its closing.
@pytest.mark.filterwarnings(
    "ignore:unclosed transport:ResourceWarning", "ignore:unclosed <socket:ResourceWarning"
)
class TestByCredential(AzureSuite):
    """Over https, with bearer tokens, and links that a delegated key signs."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def leave_nothing_to_others(cls) -> Iterator[None]:
        """Collect what is left while it is still known whose it is."""
        yield
        gc.collect()

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
    test_a_page_whose_wait_was_cancelled_is_not_lost: Any = None

    @pytest.fixture
    async def storage(self, make_storage: MakeStorage) -> AsyncIterator[Storage]:
        async with ThroughFacade(make_storage()) as storage:
            yield storage
