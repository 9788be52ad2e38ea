"""Files of an SFTP server."""

from __future__ import annotations

import math
import os
import posixpath
import warnings
from collections.abc import Sequence
from typing import ClassVar

from .._linking import LinkedEndpoint
from ..errors import InvalidArgumentError
from ..events import EventHook
from ..links import Secrets
from ..storage import DEFAULT_MEMORY_BUDGET, InternalLinksStorageBackend, Storage
from ._sftp_connect import KNOWN_HOSTS, SFTPConfig, check_jump_host
from ._sftp_driver import SFTPDriver

__all__ = ["SFTPDriver", "SFTPStorage"]


class SFTPStorage(InternalLinksStorageBackend):
    """Files below a directory of an SFTP server.

    The server's key is checked always, and nothing is offered to it but what is named here. A write
    becomes visible whole or not at all: it goes to a temporary name beside the file, which a rename
    then replaces. Directories are made as needed. Symlinks are neither listed nor opened; whether
    one on the way to a file may lead elsewhere is the server's to say.

    Args:
        host: name or address; with `ssh_config` also one of its aliases.
        username: to log in as; by default that of the SSH configuration or of this process.
        key_filename: path of a private key; a certificate beside it (``-cert.pub``) goes with it.
        known_hosts_fpath: path of the file that says which keys servers have; by default
            ``~/.ssh/known_hosts``, or what the SSH configuration says.
        port: of the server; by default 22, or what the SSH configuration says.
        allow_agent: also offer the keys of the SSH agent at ``$SSH_AUTH_SOCK``.
        look_for_keys: also offer ``id_ed25519``, ``id_ecdsa`` and ``id_rsa`` of ``~/.ssh``.
        linked_endpoint: where share links lead; see `Storage`.
        secret_key: signs share links; see `Storage`.
        name: for messages and profiles.
        password: also offer this one, likewise when it is asked for interactively.
        passphrase: of private keys.
        root: the directory that keys are relative to, from where a login begins if it is no
            absolute path; made by the first write if it does not exist.
        ssh_config: True for ``~/.ssh/config``, or paths of configuration files; by default none is
            read.
        jump_host: ``user@host:port`` of a host to go through, or several joined by commas; asked
            in the same way, and checked by the same file.
        insecure_skip_host_key_check: talk to whoever answers. It warns, for it gives passwords and
            files to anybody in between.
        allow_non_atomic: replace files also on servers without ``posix-rename``, by removing the
            old one first; then a reader may find none, and a crash may leave none. If the server
            then refuses the name to a new file, that is left under its temporary name.
        max_connections: how many there may be at once.
        keepalive_interval: in seconds of silence, after which the server is asked whether it is
            there; 0 for never. It has three tries.
        idle_timeout: in seconds, after which sessions and connections that nobody uses are closed.
        connect_timeout: in seconds, to connect and log in.
        timeout: in seconds without a byte of an answer; ten times as long where the server's disk
            is waited for.
        memory_budget: for the buffers of all transfers together, in bytes.
        on_event: told of every operation; see `Storage`.

    Raises:
        InvalidArgumentError: an argument cannot be; the message says what can.
    """

    credential_fields: ClassVar[frozenset[str]] = Storage.credential_fields | {
        "password",
        "passphrase",
    }
    driver: SFTPDriver

    def __init__(
        self,
        host: str,
        username: str | None = None,
        key_filename: str | os.PathLike[str] | None = None,
        known_hosts_fpath: str | os.PathLike[str] | None = None,
        port: int | None = None,
        allow_agent: bool = False,
        look_for_keys: bool = False,
        linked_endpoint: LinkedEndpoint | None = None,
        secret_key: Secrets | None = None,
        name: str = "sftp",
        *,
        password: str | None = None,
        passphrase: str | None = None,
        root: str = ".",
        ssh_config: bool | str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = False,
        jump_host: str | None = None,
        insecure_skip_host_key_check: bool = False,
        allow_non_atomic: bool = False,
        max_connections: int = 4,
        keepalive_interval: float = 15.0,
        idle_timeout: float = 60.0,
        connect_timeout: float = 15.0,
        timeout: float = 60.0,
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        on_event: EventHook | None = None,
    ) -> None:
        if not isinstance(host, str) or not host or host.startswith("-"):
            raise InvalidArgumentError(f"host={host!r} is no host: write its name or address")
        if port is not None and (type(port) is not int or not 0 < port < 65536):
            raise InvalidArgumentError(f"port={port!r} is no port: write a number up to 65535")
        if jump_host is not None:
            check_jump_host(jump_host)
        if type(max_connections) is not int or max_connections < 1:
            raise InvalidArgumentError(
                f"max_connections={max_connections!r} must be a whole number"
            )
        _check_seconds(
            idle_timeout=idle_timeout, connect_timeout=connect_timeout, timeout=timeout,
            keepalive_interval=keepalive_interval or 1,
        )  # fmt: skip
        configs = _config_files(ssh_config)
        if insecure_skip_host_key_check:
            warnings.warn(
                f"insecure_skip_host_key_check=True: whoever answers for {host!r} gets the "
                "password and the files",
                stacklevel=2,
            )
        known_hosts = None if known_hosts_fpath is None else os.fspath(known_hosts_fpath)
        if known_hosts is None and configs is None:
            known_hosts = KNOWN_HOSTS
        config = SFTPConfig(
            host=host,
            username=username,
            key_filename=None if key_filename is None else os.fspath(key_filename),
            known_hosts=known_hosts,
            port=port,
            allow_agent=allow_agent,
            look_for_keys=look_for_keys,
            password=password,
            passphrase=passphrase,
            ssh_config=configs,
            jump_host=jump_host,
            insecure_skip_host_key_check=insecure_skip_host_key_check,
            root=_normal_root(root),
            allow_non_atomic=allow_non_atomic,
            max_connections=max_connections,
            keepalive_interval=keepalive_interval,
            idle_timeout=idle_timeout,
            connect_timeout=connect_timeout,
            timeout=timeout,
        )
        super().__init__(
            SFTPDriver(config),
            name=name,
            memory_budget=memory_budget,
            linked_endpoint=linked_endpoint,
            secret_key=secret_key,
            on_event=on_event,
        )


def _normal_root(root: str) -> str:
    if not isinstance(root, str) or not root or "\0" in root:
        raise InvalidArgumentError(f"root={root!r} is no directory: write '.' for that of a login")
    normal = posixpath.normpath(root)
    if normal == ".." or normal.startswith("../"):
        raise InvalidArgumentError(f"root={root!r} lies above where a login begins: write its path")
    return "/" + normal.lstrip("/") if normal.startswith("/") else normal


def _config_files(
    ssh_config: bool | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> tuple[str, ...] | None:
    if ssh_config is False:
        return None
    if ssh_config is True:
        return (os.path.expanduser("~/.ssh/config"),)
    paths = [ssh_config] if isinstance(ssh_config, str | os.PathLike) else ssh_config
    return tuple(os.path.expanduser(os.fspath(path)) for path in paths) or None


def _check_seconds(**numbers: float) -> None:
    for name, value in numbers.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise InvalidArgumentError(f"{name}={value!r} must be a positive number of seconds")
