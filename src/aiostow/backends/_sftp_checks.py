"""What only SFTP has to look at: host keys, and what a server can do beyond the protocol."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

from .._diagnosis import Finding, Step, after
from ..errors import (
    CredentialsError,
    HostKeyError,
    PermissionDeniedError,
    StorageError,
    UnreachableError,
)
from ._disk_space import judge_space
from ._sftp_connect import KNOWN_HOSTS, SFTPConfig
from ._sftp_errors import Refused
from ._sftp_pool import Lease
from ._sftp_session import FSYNC, POSIX_RENAME, STATVFS
from ._sftp_tree import find
from ._sftp_wire import path_bytes


class SFTPChecks:
    """The steps of SFTP.

    Args:
        config: of the storage.
        lease: gives the use of a session.
    """

    def __init__(self, config: SFTPConfig, lease: Callable[[], Awaitable[Lease]]) -> None:
        self._config = config
        self._lease = lease
        self._refused: Refused | None = None

    def steps(self) -> list[Step]:
        """Return them."""
        return [
            Step("reachable", self._reach, ("configuration",), first=True),
            Step("host key", self._host_key, ("reachable",), first=True),
            Step("place", self._place, ("credentials",)),
            Step("free space", self._space, ("place",)),
            Step("atomic replace", self._atomic, ("credentials",)),
            Step("durability", self._durable, ("credentials",)),
        ]

    async def _reach(self) -> Finding:
        where = self._config.where
        try:
            (await self._lease()).release()
        except Refused as exc:
            self._refused = exc
            if exc.cause is UnreachableError:
                return _unreachable(exc, self._config)
            return Finding("ok", "it is not the network that is in the way")
        return Finding("ok", f"{where} answers")

    async def _host_key(self) -> Finding:
        config, refused = self._config, self._refused
        if config.insecure_skip_host_key_check:
            return Finding(
                "warning", "it is not checked: whoever answers gets the password and the files",
                "leave insecure_skip_host_key_check out, and put the key into known_hosts",
            )  # fmt: skip
        if refused is not None and refused.cause is HostKeyError:
            return Finding("failed", refused.message, _trust(config, refused.message))
        return Finding("ok", "known_hosts vouches for it")

    async def _place(self) -> Finding:
        root = self._config.root
        with await self._lease() as session:
            found = await find(session, path_bytes(root))
        if found is None:
            return Finding(
                "warning", f"the directory {root!r} is not there; the first write makes it",
                "correct root, or make it (mkdir -p) to have writes tried out",
            )  # fmt: skip
        if not (found.is_dir or found.is_link):
            return Finding("failed", f"{root!r} is no directory", "move it away, or correct root")
        return Finding("ok", f"the directory {root!r} is there")

    async def _space(self) -> Finding:
        root = path_bytes(self._config.root)
        with await self._lease() as session:
            if await find(session, root) is None:
                return after("place")
            if STATVFS not in session.extensions:
                return Finding("ok", "the server does not tell")
            return judge_space(await session.free_space(root))

    async def _atomic(self) -> Finding:
        with await self._lease() as session:
            if POSIX_RENAME in session.extensions:
                return Finding("ok", "the server replaces a file in one step (posix-rename)")
        what = "the server has no posix-rename, so it cannot replace a file in one step"
        if self._config.allow_non_atomic:
            return Finding(
                "warning", f"{what}: a reader may find none, and a crash may leave none",
                "use a server with posix-rename@openssh.com, such as OpenSSH",
            )  # fmt: skip
        return Finding(
            "failed", f"{what}: writes to existing keys are refused",
            "use a server with posix-rename@openssh.com, such as OpenSSH, or accept a moment "
            "without a file by allow_non_atomic=True",
        )  # fmt: skip

    async def _durable(self) -> Finding:
        with await self._lease() as session:
            if FSYNC in session.extensions:
                return Finding("ok", "the server makes files durable before they are published")
        return Finding(
            "warning", "the server has no fsync: a power cut there may lose acknowledged writes",
            "use a server with fsync@openssh.com, such as OpenSSH",
        )  # fmt: skip


def advise(config: SFTPConfig, check: str, error: StorageError) -> str:
    """Return what to do about the error of a check."""
    if isinstance(error, CredentialsError):
        return (
            "correct username, and key_filename or password; on the server the public key must "
            "stand in the user's ~/.ssh/authorized_keys"
        )
    if isinstance(error, PermissionDeniedError):
        return f"let the user of the login use {config.root!r} on the server (chown, chmod)"
    return "see the message; the server's log (journalctl -u ssh) may tell more"


def _unreachable(refused: Refused, config: SFTPConfig) -> Finding:
    """Tell names, refusals and silence apart."""
    cause = refused.__cause__
    if isinstance(cause, socket.gaierror):
        return Finding(
            "failed", f"the name {config.host!r} is not known here",
            "correct host, or the DNS settings of this machine (getent hosts)",
        )  # fmt: skip
    if isinstance(cause, ConnectionRefusedError):
        return Finding(
            "failed", f"nothing listens at {config.where}: the connection was refused",
            "start the server, or correct host and port",
        )  # fmt: skip
    if isinstance(cause, TimeoutError):
        return Finding(
            "failed", refused.message,
            "look for a firewall in between that drops what it does not like; for a server that "
            "is slow, raise connect_timeout",
        )  # fmt: skip
    return Finding(
        "failed", refused.message,
        "correct host, port and jump_host: it may be no SSH server, or shut this address out",
    )  # fmt: skip


def _trust(config: SFTPConfig, message: str) -> str:
    file = config.known_hosts or KNOWN_HOSTS
    port = config.port or 22
    name = config.host if port == 22 else f"[{config.host}]:{port}"
    if "another one" in message:
        return (
            "ask the server's owner whether the key was changed; only then remove the old one "
            f"(ssh-keygen -R {name!r} -f {file}) and add the new one"
        )
    if "not in known_hosts" in message:
        return (
            "compare the fingerprint with what the server's owner tells, then run: "
            f"ssh-keyscan -p {port} {config.host} >> {file}"
        )
    return (
        "name a file that tells the keys of servers by known_hosts_fpath, such as "
        f"~/.ssh/known_hosts; make one by: ssh-keyscan -p {port} {config.host}"
    )
