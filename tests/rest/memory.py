"""How much a transfer or listing grows a process: measured in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.test_docs import ROOT

MIB = 1 << 20
linux = pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="peaks are measured through Linux's /proc"
)


def growth(what: str, size: int, backend: str, **arguments: Any) -> int:
    """Return the peak over idle, in bytes.

    Args:
        what: ``"write"``, ``"put"`` or ``"upload"`` of a local file, ``"read"``, or ``"list"`` for
            what is below ``tree``.
        size: of the object ``big``, in bytes, or the number of files.
        backend: name of the storage's class.
        arguments: of the storage.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.rest._memory_child", what, str(size), backend,
         json.dumps(arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
