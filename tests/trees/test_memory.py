"""A hundred thousand names take the memory of some thousand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.rest.memory import linux
from tests.test_docs import ROOT

MIB = 1 << 10  # of KiB, in which the system tells it


def peak(what: str, many: int, journal: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.trees._memory_child", what, str(many), str(journal)],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@linux
@pytest.mark.parametrize("what", ["ordered", "backwards", "delete", "verify", "failures"])
def test_is_bounded(tmp_path: Path, what: str) -> None:
    few, many = (peak(what, count, tmp_path / f"{count}") for count in (3000, 100_000))
    assert many - few < 24 * MIB, (few, many)
