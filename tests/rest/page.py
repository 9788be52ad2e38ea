"""The Python blocks of a page about a service, run as they stand on a server of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.test_docs import BLOCK, ROOT


def blocks(page: str) -> list[str]:
    """Return the blocks of a page in ``docs/``."""
    return [match[2] for match in BLOCK.finditer((ROOT / "docs" / page).read_text())]


def run_block(code: str, folder: Path, **environment: str) -> None:
    """Run a block in a folder, with warnings as errors."""
    script = folder / "block.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
