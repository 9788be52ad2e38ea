"""What SFTP servers have in common: a folder to serve, keys, and a port."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from ._process import Missing, free_ports


@dataclass(frozen=True)
class SFTPServer:
    """A running SFTP server on 127.0.0.1.

    Attributes:
        key: the client's private key, without a passphrase.
        known_hosts: the one line that a client needs to know the server.
        host_key: the server's private key.
        root: the directory that a login begins in, for tests to look into.
        authorized_keys: read by the server at each login.
        pid: of the process that listens.
    """

    name: str
    port: int
    username: str
    key: Path
    known_hosts: Path
    host_key: Path
    root: Path
    log: Path
    authorized_keys: Path
    pid: int


def prepare(name: str, folder: Path, username: str) -> SFTPServer:
    """Return a server that is yet to be started, with its files; its pid is 0.

    Raises:
        Missing: asyncssh, which makes the keys, is not installed.
    """
    if importlib.util.find_spec("asyncssh") is None:
        raise Missing("asyncssh is not installed: pip install asyncssh")
    import asyncssh

    folder = folder.resolve()  # as the server tells it
    root = folder / "root"
    root.mkdir(parents=True)
    (port,) = free_ports(1)
    files = {each: folder / each for each in ("key", "host_key", "authorized_keys", "known_hosts")}
    publics = {}
    for each in ("key", "host_key"):
        made = asyncssh.generate_private_key("ssh-ed25519")
        files[each].touch(mode=0o600)  # OpenSSH refuses a key that others may read
        files[each].write_bytes(made.export_private_key())
        publics[each] = made.export_public_key().decode().strip()
    files["authorized_keys"].write_text(f"{publics['key']}\n")
    files["known_hosts"].write_text(f"[127.0.0.1]:{port} {publics['host_key']}\n")
    log = folder / f"{name}.log"
    return SFTPServer(name, port, username, root=root, log=log, pid=0, **files)
