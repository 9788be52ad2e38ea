"""Every Python block of the page about SFTP runs as it stands, on a server of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rest.page import blocks, run_block
from tests.servers import SFTPServer

BLOCKS = blocks("sftp.md")


@pytest.mark.parametrize("code", BLOCKS)
def test_a_block_runs(code: str, tmp_path: Path, server: SFTPServer) -> None:
    run_block(
        code,
        tmp_path,
        SFTP_PORT=str(server.port),
        SFTP_USER=server.username,
        SFTP_KEY=str(server.key),
        SFTP_KNOWN_HOSTS=str(server.known_hosts),
    )


def test_there_are_blocks_to_run() -> None:
    assert len(BLOCKS) >= 3
