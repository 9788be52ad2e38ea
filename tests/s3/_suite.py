"""What the conformance suite needs to know of S3."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aiostow import S3Storage, Storage
from aiostow.backends.s3 import S3Driver
from aiostow.testing import Conformance
from tests.servers import S3Server


class S3Suite(Conformance):
    """The conformance suite on a server."""

    server_name: str

    @pytest.fixture
    def server(self, start_server: Callable[[str], S3Server]) -> S3Server:
        return start_server(self.server_name)

    @pytest.fixture(autouse=True)
    def _look(self, server: S3Server, boto: Callable[[S3Server], Any]) -> None:
        self._client = boto(server)

    async def leftovers(self, storage: Storage) -> list[str]:
        driver = storage.driver
        assert isinstance(driver, S3Driver)
        bucket = driver.config.bucket
        found = await asyncio.to_thread(self._client.list_multipart_uploads, Bucket=bucket)
        return [upload["Key"] for upload in found.get("Uploads", ())]


MakeStorage = Callable[..., S3Storage]
