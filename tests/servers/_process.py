"""Starting and ending processes, by their ids alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PATIENCE = 60.0  # seconds that a server may take to come up
_ENDING = 10.0  # and to go


class Missing(Exception):  # noqa: N818  # a fact about the machine, not a failure
    """A server is not installed; the message says what to install."""


# Becomes the server, which the system ends when the tests are killed (PR_SET_PDEATHSIG).
_BECOME = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
os.execvp(sys.argv[1], sys.argv[1:])
"""
_MORTAL = [sys.executable, "-c", _BECOME] if sys.platform == "linux" else []


@dataclass(frozen=True)
class S3Server:
    """A running server that speaks S3.

    Attributes:
        lacks: what it does not implement, by name; see `tests/s3/_suite.py`.
    """

    name: str
    port: int
    access_key: str
    secret_key: str = field(repr=False)
    lacks: frozenset[str]
    region: str = "us-east-1"
    scheme: str = "http"

    @property
    def endpoint_url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.port}"


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def need(program: str, install: str) -> str:
    """Return the path of a program, also one beside this Python, or for administrators."""
    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.exists() else shutil.which(program)
    found = found or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{program} is not installed: {install}")
    return found


@contextlib.contextmanager
def process(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server within the block, and end it and what it started with it."""
    with log.open("ab") as out:
        started = subprocess.Popen(
            [*_MORTAL, *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        yield started
    finally:
        # The group is the server's own: it was started in a session of its own.
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(_ENDING)
                break


def wait_for_http(
    port: int, server: subprocess.Popen[bytes], log: Path, scheme: str = "http"
) -> None:
    """Return once a server answers, with whatever status."""
    end = time.monotonic() + _PATIENCE
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    url = f"{scheme}://127.0.0.1:{port}/"
    while True:
        try:
            urllib.request.urlopen(url, timeout=5, context=unchecked).close()
            return
        except urllib.error.HTTPError as exc:
            exc.close()
            return
        except OSError:
            _wait_on(end, server, log)


def wait_for_ssh(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return once a server sends the line that SSH begins with."""
    end = time.monotonic() + _PATIENCE
    while True:
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                with connection.makefile("rb") as lines:
                    if lines.readline(256).startswith(b"SSH-"):
                        return
        _wait_on(end, server, log)


def _wait_on(end: float, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait a little, unless the server has ended or its time is over."""
    if server.poll() is not None or time.monotonic() > end:
        tail = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"the server did not come up: {tail}") from None
    time.sleep(0.05)
