"""asyncssh's SFTP server, which can be made bad on purpose."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ._process import process, wait_for_ssh
from .sftp_server import SFTPServer, prepare

USERNAME, PASSWORD = "test", "correct horse"


@contextlib.contextmanager
def asyncssh_server(folder: Path, *, bad: Sequence[str] = ()) -> Iterator[SFTPServer]:
    """Run asyncssh's server within the block, with its root as ``/``.

    Any user logs in by key, and `USERNAME` by `PASSWORD`.

    Args:
        folder: an empty one, for all its files.
        bad: in what ways, by name; see `_asyncssh_main.py`.

    Raises:
        Missing: asyncssh is not installed.
    """
    server = prepare("asyncssh", folder, USERNAME)
    command = [
        sys.executable, "-P",  # our files beside the script are no modules of its own
        str(Path(__file__).with_name("_asyncssh_main.py")), str(server.port), str(server.root),
        str(server.host_key), str(server.authorized_keys), USERNAME, PASSWORD, *bad,
    ]  # fmt: skip
    with process(command, server.log) as started:
        wait_for_ssh(server.port, started, server.log)
        yield replace(server, pid=started.pid)
