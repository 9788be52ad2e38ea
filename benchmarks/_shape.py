"""A process of its own that makes a server look like a distant one, with `FaultProxy`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from aiostow.testing import FaultProxy, WireFault

FIRST_BYTE = 0.03  # seconds
RATE = 40 << 20  # bytes a second of one connection


@contextlib.contextmanager
def shaped(port: int) -> Iterator[int]:
    """Return the port of a proxy to `port` that runs within the block."""
    command = [sys.executable, "-m", "benchmarks._shape", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


if __name__ == "__main__":
    with FaultProxy(int(sys.argv[1])) as proxy:
        proxy.add(WireFault(times=None, first_byte=FIRST_BYTE, rate=RATE))
        print(proxy.port, flush=True)
        sys.stdin.read()
