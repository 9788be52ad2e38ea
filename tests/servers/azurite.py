"""Azurite: the emulator of Azure Blob, in Node.js, with its objects in memory."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ._npm import node, package
from ._process import free_ports, process, wait_for_http

VERSION = "3.37.0"


@dataclass(frozen=True)
class AzuriteServer:
    """A running Azurite.

    Attributes:
        accounts: names and keys.
        certificate: of https.
    """

    port: int
    scheme: str
    accounts: Mapping[str, str] = field(repr=False)
    certificate: Path | None = None

    def endpoint(self, account: str) -> str:
        """Where an account is."""
        return f"{self.scheme}://127.0.0.1:{self.port}/{account}"


@contextlib.contextmanager
def azurite(
    folder: Path,
    accounts: tuple[str, ...] = ("one", "two"),
    tls: tuple[Path, Path] | None = None,
) -> Iterator[AzuriteServer]:
    """Run Azurite within the block; with TLS it takes bearer tokens.

    Args:
        folder: an empty one, for all its files.
        accounts: their names; keys are made.
        tls: certificate and key, for https.

    Raises:
        Missing: it is not installed and cannot be.
    """
    program = package("azurite", VERSION) / "dist" / "src" / "blob" / "main.js"
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    keys = {name: base64.b64encode(os.urandom(64)).decode() for name in accounts}
    command = [
        str(node()), str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port),
        "--inMemoryPersistence", "--extentMemoryLimit", "8192", "--silent",
        "--skipApiVersionCheck", "--disableTelemetry",
    ]  # fmt: skip
    if tls is not None:
        certificate, key = map(str, tls)
        command += ["--cert", certificate, "--key", key, "--oauth", "basic"]
    scheme = "http" if tls is None else "https"
    env = {"AZURITE_ACCOUNTS": ";".join(f"{name}:{key}" for name, key in keys.items())}
    log = folder / "azurite.log"
    with process(command, log, env) as started:
        wait_for_http(port, started, log, scheme)
        yield AzuriteServer(port, scheme, keys, None if tls is None else tls[0])
