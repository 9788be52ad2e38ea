"""The operations of applications on Azurite, with the service's own links."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from aiostow import Link, Storage
from tests.operations._twins import Asked
from tests.operations.suite import OperationsSuite
from tests.rest.client import ask

from ._suite import MakeStorage


class TestOperations(OperationsSuite):
    @pytest.fixture
    async def storage(self, make_storage: MakeStorage) -> AsyncIterator[Storage]:
        async with make_storage() as storage:
            yield storage

    async def downloaded(self, link: Link, look: Asked) -> bytes:
        answer = await ask(link)
        assert answer.status == 200
        return answer.body

    async def upload(self, link: Link, data: bytes, look: Asked) -> None:
        assert (await ask(link, "PUT", data, link.headers)).status == 201

    async def test_a_download_has_the_name_that_was_asked_for(
        self, uploads: Asked, look: Asked
    ) -> None:
        await look.write_bytes("uploads/k", b"data")
        answer = await ask(await uploads.storage_get_download_link("k", 5, output_path="R.csv"))
        assert 'filename="R.csv"' in answer.headers["Content-Disposition"]

    async def test_an_upload_by_link_keeps_what_was_asked_of_it(self, uploads: Asked) -> None:
        link, name = await uploads.storage_get_upload_link("k.csv", 5, overwrite=False)
        assert (await ask(link, "PUT", b"first", link.headers)).status == 201
        assert (await ask(link, "PUT", b"second", link.headers)).status == 403
        assert (await uploads.storage_download_file(name)).read() == b"first"
