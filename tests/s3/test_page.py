"""Every Python block of the page about S3 runs as it stands, on a server of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.rest.page import blocks, run_block
from tests.servers import S3Server

BLOCKS = blocks("s3.md")


@pytest.mark.parametrize("code", BLOCKS)
def test_a_block_runs(
    code: str, tmp_path: Path, start_server: Callable[[str], S3Server], boto: Any
) -> None:
    server = start_server("ceph")
    boto(server).create_bucket(Bucket="my-bucket")
    run_block(
        code,
        tmp_path,
        AWS_ENDPOINT_URL_S3=server.endpoint_url,
        AWS_ACCESS_KEY_ID=server.access_key,
        AWS_SECRET_ACCESS_KEY=server.secret_key,
        AWS_DEFAULT_REGION="us-east-1",
    )


def test_there_are_blocks_to_run() -> None:
    assert len(BLOCKS) >= 3
