"""OpenSSH's server, with the SFTP server that is built into it."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ._process import need, process, wait_for_ssh
from .sftp_server import SFTPServer, prepare

_INSTALL = "apt-get install openssh-server"
_SETTINGS = {
    "ListenAddress": "127.0.0.1",
    "PidFile": "none",
    "StrictModes": "no",  # the folders of tests may be anybody's to write
    "UsePAM": "no",
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
    "PermitRootLogin": "prohibit-password",
    "MaxStartups": "200:30:400",
    "UseDNS": "no",
    "LogLevel": "VERBOSE",
}
# OpenSSH from 9.8 shuts out an address that fails to log in, and here all have one address.
_LENIENT = ["-o", "PerSourcePenalties=no"]


@contextlib.contextmanager
def sshd(
    folder: Path, *, settings: Mapping[str, str] = {}, open_files: int | None = None
) -> Iterator[SFTPServer]:
    """Run OpenSSH's server within the block; who runs the tests logs in, by key.

    Args:
        folder: an empty one, for all its files.
        settings: lines of its configuration, by OpenSSH's spelling, in place of ours.
        open_files: how many each of its processes may have open.

    Raises:
        Missing: it is not installed.
    """
    program = need("sshd", _INSTALL)
    server = prepare("sshd", folder, pwd.getpwuid(os.geteuid()).pw_name)
    lines = {
        "Port": str(server.port),
        "HostKey": str(server.host_key),
        "AuthorizedKeysFile": str(server.authorized_keys),
        "Subsystem": f"sftp internal-sftp -d {server.root}",
        **_SETTINGS,
        **settings,
    }
    config = server.log.with_name("sshd_config")
    config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    if os.geteuid() == 0 and sys.platform == "linux":  # root's needs it, and only a boot makes it
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    command = [program, "-D", "-e", "-f", str(config)]
    if not subprocess.run([program, "-t", "-f", config, *_LENIENT], capture_output=True).returncode:
        command += _LENIENT
    if open_files is not None:
        command = ["/bin/sh", "-c", f'ulimit -n {open_files} && exec "$@"', "sh", *command]
    with process(command, server.log) as started:
        try:
            wait_for_ssh(server.port, started, server.log)
            yield replace(server, pid=started.pid)
        finally:
            # Each connection has processes in a session of their own, which outlive the server.
            for pid in _descendants(started.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    """Return what a process has started, and what that has; only Linux tells."""
    found = [pid]
    for each in found:
        for path in Path(f"/proc/{each}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, path.read_text().split())
    return found[1:]
