"""The operations of applications on sshd, with links that are tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from aiostow import Storage
from tests.operations._twins import Asked
from tests.operations.suite import OperationsSuite

from ._suite import MakeStorage

URL, SECRET = "https://files.example/share", "0123456789abcdef0123456789abcdef"


class TestOperations(OperationsSuite):
    @pytest.fixture
    async def storage(self, make_storage: MakeStorage) -> AsyncIterator[Storage]:
        async with make_storage(linked_endpoint=URL, secret_key=SECRET) as storage:
            yield storage

    async def test_a_link_says_what_was_asked_of_it(self, uploads: Asked, look: Asked) -> None:
        link = await uploads.storage_get_download_link("k", 5, output_path="R.csv", once=True)
        assert link.startswith(f"{URL}?token=")
        grant = await look.deserialize_link_token(link.partition("token=")[2])
        assert (grant.path, grant.output_path, grant.once) == ("uploads/k", "R.csv", True)
        link, name = await uploads.storage_get_upload_link("k", 5, max_size=10, overwrite=False)
        grant = await look.deserialize_link_token(link.partition("token=")[2])
        assert (grant.path, grant.max_size, grant.overwrite) == (f"uploads/{name}", 10, False)
