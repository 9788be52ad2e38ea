"""Every Python block of the page about Azure runs as it stands, on a server of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rest.page import blocks, run_block
from tests.servers import azurite

BLOCKS = blocks("azure.md")
_PREPARE = """
import os
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import BlobServiceClient
credential = AzureNamedKeyCredential("account", os.environ["AZURE_STORAGE_KEY"])
with BlobServiceClient(os.environ["AZURE_ENDPOINT"], credential=credential) as service:
    service.create_container("my-container").close()
"""


@pytest.mark.parametrize("code", BLOCKS)
def test_a_block_runs(code: str, tmp_path: Path) -> None:
    with azurite(tmp_path / "azurite", ("account",)) as server:
        for text in (_PREPARE, code):
            run_block(
                text,
                tmp_path,
                AZURE_ENDPOINT=server.endpoint("account"),
                AZURE_STORAGE_KEY=server.accounts["account"],
            )


def test_there_are_blocks_to_run() -> None:
    assert len(BLOCKS) >= 4
