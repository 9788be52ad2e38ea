"""Connections: who asks, whom is trusted, and the way there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import asyncssh
from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs

from ..errors import CredentialsError, HostKeyError, InvalidArgumentError, UnreachableError
from ._sftp_errors import Refused, connect_failure
from ._sftp_tcp import DirectWay

# AES-GCM first: the system's library does it in hardware, in one pass with the checksum.
CIPHERS = (
    "aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com",
    "aes128-ctr", "aes192-ctr", "aes256-ctr",
)  # fmt: skip

KNOWN_HOSTS = "~/.ssh/known_hosts"

_DEFAULT_PORT = 22
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")  # of ~/.ssh, those that ssh tries too
_MISSES = 3  # keepalives in a row without an answer, after which the connection is given up


@dataclass(frozen=True)
class SFTPConfig:
    """Where a storage is, who asks, and how long to wait; see `SFTPStorage`."""

    host: str
    username: str | None
    key_filename: str | None
    known_hosts: str | None
    port: int | None
    allow_agent: bool
    look_for_keys: bool
    password: str | None = field(repr=False)
    passphrase: str | None = field(repr=False)
    ssh_config: tuple[str, ...] | None
    jump_host: str | None
    insecure_skip_host_key_check: bool
    root: str
    allow_non_atomic: bool
    max_connections: int
    keepalive_interval: float
    idle_timeout: float
    connect_timeout: float
    timeout: float

    @property
    def where(self) -> str:
        """User, host and port, for messages."""
        return _where(self.username, self.host, self.port)


def _where(username: str | None, host: str, port: int | None) -> str:
    at = f"{username}@{host}" if username else host
    return at if port in (None, _DEFAULT_PORT) else f"{at}:{port}"


class Credentials:
    """What is read from disk once: the keys to offer and the hosts to trust. Reading blocks."""

    def __init__(self, config: SFTPConfig) -> None:
        self._config = config
        self.keys: list[Any] = []
        offered = []
        if config.key_filename is not None:
            self.keys += _read_keys(config.key_filename, config.passphrase)
            offered.append(f"the key {config.key_filename!r}")
        if config.look_for_keys:
            self.keys += _default_keys(config.passphrase)
            offered.append("the keys in ~/.ssh")
        if config.allow_agent:
            offered.append("the keys of the SSH agent")
        if config.password is not None:
            offered.append("the password")
        if config.ssh_config is not None:
            offered.append("the keys of the SSH configuration")
        self.offered: str = " or ".join(offered) or "anybody without a key or password"
        self.known_hosts: asyncssh.SSHKnownHosts | None = None
        if not config.insecure_skip_host_key_check and config.known_hosts is not None:
            self.known_hosts = _read_known_hosts(config.known_hosts)


def _read_keys(path: str, passphrase: str | None) -> Sequence[Any]:
    try:
        keys = asyncssh.load_keypairs([os.path.expanduser(path)], passphrase)
    except OSError as exc:
        raise Refused(
            CredentialsError, f"the private key {path!r} cannot be read: {exc.strerror or exc}"
        ) from None
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as exc:
        raise Refused(CredentialsError, _unusable(path, passphrase, exc)) from None
    if not keys:
        raise Refused(CredentialsError, f"the file {path!r} holds no private key")
    return keys


def _unusable(path: str, passphrase: str | None, exc: Exception) -> str:
    if "bcrypt" in str(exc):
        return f"the private key {path!r} is encrypted in a way that needs the package bcrypt"
    # Wrong passphrases and broken keys are not always told apart.
    encrypted = isinstance(exc, asyncssh.KeyEncryptionError) or "passphrase" in str(exc).lower()
    if encrypted or b"ENCRYPTED" in Path(path).expanduser().read_bytes():
        said = "is wrong" if passphrase else "is needed"
        return f"the private key {path!r} is encrypted: its passphrase {said}"
    return f"the file {path!r} holds no private key that can be used"


def _default_keys(passphrase: str | None) -> Sequence[Any]:
    found: list[Any] = []
    for name in _DEFAULT_KEYS:
        path = Path("~/.ssh", name).expanduser()
        if os.access(path, os.R_OK):
            try:
                found += _read_keys(str(path), passphrase)
            except Refused:
                continue  # those that cannot be used are nobody's fault
    return found


def _read_known_hosts(path: str) -> asyncssh.SSHKnownHosts:
    path = os.path.expanduser(path)
    try:
        return asyncssh.read_known_hosts(path)
    except OSError as exc:
        raise Refused(
            HostKeyError,
            f"the known_hosts file {path!r} cannot be read, and without it no server is trusted: "
            f"{exc.strerror or exc}",
        ) from None
    except ValueError as exc:
        reason = str(exc).partition(":")[0]  # what follows quotes the file
        raise Refused(
            HostKeyError, f"the known_hosts file {path!r} cannot be understood: {reason}"
        ) from None


class _Client(asyncssh.SSHClient):
    """Tells why a host key is not trusted."""

    def __init__(self) -> None:
        self.offered: str | None = None  # the fingerprint of a key that is not trusted

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        self.offered = key.get_fingerprint()
        return False


async def connect(config: SFTPConfig, credentials: Credentials) -> asyncssh.SSHClientConnection:
    """Return a new connection, over the jump hosts if there are any.

    Raises:
        Refused: there is none; its message names the host and the paths of keys.
    """
    hop: asyncssh.SSHClientConnection | None = None
    for place in (config.jump_host or _configured_jump(config)).split(","):
        if place:
            username, host, port = _parse_host(place.strip())
            hop = await _connect(config, credentials, host, port, username, hop)
    return await _connect(config, credentials, config.host, config.port, config.username, hop)


async def _connect(
    config: SFTPConfig,
    credentials: Credentials,
    host: str,
    port: int | None,
    username: str | None,
    hop: asyncssh.SSHClientConnection | None,
) -> asyncssh.SSHClientConnection:
    where = _where(username, host, port)
    client = _Client()
    agent = None
    trusted: Any = None
    try:
        try:
            keys = list(credentials.keys)
            if config.allow_agent:
                agent = await _agent()
                keys += await _agent_keys(agent)
            options, trusted = _options(config, credentials, keys, host, port, username)
            connection, _ = await asyncssh.create_connection(
                lambda: client,
                host,
                () if port is None else port,
                config=None,  # or it would read ~/.ssh/config after all
                options=options,
                # A configuration may know a ProxyCommand, which only asyncssh runs; of a
                # ProxyJump it is told here, for asyncssh would go there with keys of its own.
                tunnel=hop or (DirectWay() if config.ssh_config is None else None),
            )
        finally:
            if agent is not None:
                agent.close()
    except BaseException as exc:
        if hop is not None:
            hop.abort()
        refused = connect_failure(exc, where, credentials.offered)
        if refused is None:
            raise
        if refused.cause is HostKeyError and client.offered is not None:
            keys, _ = _known(trusted, host, port)
            refused = Refused(HostKeyError, _untrusted(where, bool(keys), client.offered))
        raise refused from exc
    if hop is not None:
        connection.set_tunnel(hop)  # which ends with it
    return connection


async def _agent() -> asyncssh.SSHAgentClient:
    try:
        return await asyncssh.connect_agent()
    except (OSError, asyncssh.Error) as exc:
        raise Refused(
            CredentialsError, "allow_agent=True, but no SSH agent answers at $SSH_AUTH_SOCK"
        ) from exc


async def _agent_keys(agent: asyncssh.SSHAgentClient) -> Sequence[Any]:
    try:
        return await agent.get_keys()
    except (OSError, asyncssh.Error, ValueError) as exc:
        raise Refused(CredentialsError, "the SSH agent gives no keys") from exc


def _configured_jump(config: SFTPConfig) -> str:
    """Return the jump hosts that an SSH configuration names for the server."""
    if config.ssh_config is None:
        return ""
    own: dict[str, Any] = {
        "host": config.host,
        "port": () if config.port is None else config.port,
        "config": list(config.ssh_config),
        "client_keys": None,
        "known_hosts": None,
    }
    if config.username is not None:
        own["username"] = config.username
    tunnel = _made(own).tunnel
    return tunnel if isinstance(tunnel, str) else ""


def _options(
    config: SFTPConfig,
    credentials: Credentials,
    keys: list[Any],
    host: str,
    port: int | None,
    username: str | None,
) -> tuple[asyncssh.SSHClientConnectionOptions, asyncssh.SSHKnownHosts | None]:
    """Return the options of a connection, and whom it trusts."""
    own: dict[str, Any] = {
        "host": host,
        "port": () if port is None else port,
        "config": None if config.ssh_config is None else list(config.ssh_config),
        "password": config.password,
        "passphrase": config.passphrase,
        "agent_path": None,  # its keys are among ours when it is asked for
        "gss_host": None,
        "x509_trusted_certs": None,
        "encryption_algs": CIPHERS,
        "compression_algs": None,
        "connect_timeout": config.connect_timeout,
        "login_timeout": config.connect_timeout,
        "keepalive_interval": config.keepalive_interval,
        "keepalive_count_max": _MISSES,
    }
    if username is not None:
        own["username"] = username
    if config.ssh_config is not None:
        named = _made({**own, "client_keys": None, "known_hosts": None}).config.get("IdentityFile")
        keys = [*keys, *cast(list[Any], named or [])]
        own["ignore_encrypted"] = True
    # An empty list of keys would let asyncssh look for some in ~/.ssh; None lets it offer none.
    own["client_keys"] = keys or None
    if config.insecure_skip_host_key_check:
        return _made({**own, "known_hosts": None}), None
    trusted = credentials.known_hosts
    if trusted is None:
        trusted = _configured_hosts(_made(own).known_hosts)
    try:
        kinds = _known_kinds(*_known(trusted, host, port))
    except ValueError:
        place = _where(None, host, port)
        raise Refused(
            HostKeyError, f"known_hosts cannot be understood where it tells of {place}"
        ) from None
    own |= {"known_hosts": trusted, "server_host_key_algs": kinds}
    return _made(own), trusted


def _made(own: dict[str, Any]) -> asyncssh.SSHClientConnectionOptions:
    try:
        return asyncssh.SSHClientConnectionOptions(**own)
    except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as exc:
        if own["config"] is None:
            raise
        file = f" ({exc.filename!r})" if isinstance(exc, OSError) and exc.filename else ""
        said = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise Refused(
            CredentialsError, f"the SSH configuration cannot be used: {said}{file}"
        ) from None


def _configured_hosts(paths: Any) -> asyncssh.SSHKnownHosts:
    """Return whom an SSH configuration trusts; that it is nobody's business, it cannot say."""
    if paths is None:
        raise Refused(
            HostKeyError,
            "the SSH configuration names no known_hosts file: give known_hosts_fpath",
        )
    readable = [
        path for path in paths or [KNOWN_HOSTS] if os.access(Path(path).expanduser(), os.R_OK)
    ]
    if not readable:
        return _read_known_hosts((paths or [KNOWN_HOSTS])[0])  # which tells why it cannot
    found = _read_known_hosts(readable[0])
    for path in readable[1:]:
        found.load(Path(path).expanduser().read_text())
    return found


def _known(trusted: Any, host: str, port: int | None) -> tuple[list[Any], list[Any]]:
    """Return the keys that a server of this name may have, and those that may vouch for it."""
    place = None if port in (None, _DEFAULT_PORT) else port
    keys, authorities, *_ = asyncssh.match_known_hosts(trusted, host, "", place)
    return list(keys), list(authorities)


def _known_kinds(keys: list[Any], authorities: list[Any]) -> Any:
    """Return the kinds of host keys to ask for: those that are known, and then all others.

    Were the others left out, a server that has none of the known ones would just hang up, and
    nobody could tell that its key was changed.
    """
    if not keys and not authorities:
        return ()
    certificates, plain = get_default_certificate_algs(), get_default_public_key_algs()
    known = [kind for key in keys for kind in key.sig_algorithms]
    kinds = [*(certificates if authorities else []), *known, *plain, *certificates]
    return [kind.decode() for kind in dict.fromkeys(kinds)]


def _untrusted(where: str, known: bool, offered: str) -> str:
    if known:
        return (
            f"the host key of {where} is another one than known_hosts says: it was changed, or "
            f"another server answers; what it showed is {offered}"
        )
    return (
        f"the host key of {where} is not in known_hosts: if {offered} is the key that the server's "
        "owner tells you, add it (ssh-keyscan prints the line)"
    )


def _parse_host(place: str) -> tuple[str | None, str, int | None]:
    username, at, rest = place.rpartition("@")
    host, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        host, port = rest, ""
    number = int(port) if port.isdecimal() else 0
    if not host or host.startswith("-") or (colon and port and not 0 < number < 65536):
        raise Refused(UnreachableError, f"the jump host {place!r} is no host")
    return username if at else None, host.strip("[]"), number or None


def check_jump_host(place: str) -> None:
    """Refuse a jump host that cannot be, before anything is connected."""
    try:
        for each in place.split(","):
            _parse_host(each.strip())
    except Refused as exc:
        raise InvalidArgumentError(
            f"{exc.message}: write 'user@host:port', or several joined by commas"
        ) from None
