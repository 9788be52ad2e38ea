"""Every Python block of the page about Azure runs as it stands, on a server of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import azurite
from tests.test_docs import BLOCK, ROOT

BLOCKS = [match[2] for match in BLOCK.finditer((ROOT / "docs" / "azure.md").read_text())]
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
        env = {
            **os.environ,
            "AZURE_ENDPOINT": server.endpoint("account"),
            "AZURE_STORAGE_KEY": server.accounts["account"],
        }
        for text in (_PREPARE, code):
            script = tmp_path / "block.py"
            script.write_text(text)
            done = subprocess.run(
                [sys.executable, "-W", "error", str(script)],
                cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_blocks_to_run() -> None:
    assert len(BLOCKS) >= 4
