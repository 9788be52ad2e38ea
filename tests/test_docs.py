"""Every Python block of the documentation runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVED = {"azure", "s3", "sftp"}  # pages that need a server, and run beside its tests
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md") if p.stem not in SERVED),
]
BLOCK = re.compile(r"^( *)```python\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

BLOCKS = [
    pytest.param(textwrap.dedent(match[2]), id=f"{page}-{number}")
    for page in PAGES
    for number, match in enumerate(BLOCK.finditer((ROOT / page).read_text()), 1)
]


@pytest.mark.parametrize("code", BLOCKS)
def test_a_block_runs(code: str, tmp_path: Path) -> None:
    script = tmp_path / "test_block.py"
    script.write_text(code)
    command = [sys.executable, "-W", "error", str(script)]
    if "pytest" in code:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_blocks_to_run() -> None:
    assert len(BLOCKS) >= 3


def test_the_quickstart_puts_lists_streams_and_compares() -> None:
    example = ROOT / "examples" / "quickstart.py"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example), str(ROOT / "README.md")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    size = (ROOT / "README.md").stat().st_size
    assert f"listed   documents/README.md, {size} bytes" in done.stdout
    assert f"streamed {size} bytes back" in done.stdout
    assert done.stdout.rstrip().endswith("identical")
