"""Every Python block of the page about S3 runs as it stands, on a server of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers import S3Server
from tests.test_docs import BLOCK, ROOT

BLOCKS = [match[2] for match in BLOCK.finditer((ROOT / "docs" / "s3.md").read_text())]


@pytest.mark.parametrize("code", BLOCKS)
def test_a_block_runs(
    code: str, tmp_path: Path, start_server: Callable[[str], S3Server], boto: Any
) -> None:
    server = start_server("ceph")
    boto(server).create_bucket(Bucket="my-bucket")
    script = tmp_path / "block.py"
    script.write_text(code)
    env = {
        **os.environ,
        "AWS_ENDPOINT_URL_S3": server.endpoint_url,
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_blocks_to_run() -> None:
    assert len(BLOCKS) >= 3
