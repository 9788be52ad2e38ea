"""Azurite: the emulator of Azure Blob, in Node.js, with its objects in memory."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ._process import Missing, free_ports, process, wait_for_http

VERSION = "3.37.0"
_NODE = "node@22"  # what it needs; a package of npm that brings the program
_INSTALL = f"npm install {_NODE} azurite@{VERSION}, or name a folder that has them by AZURITE_HOME"
_INSTALLING = 600.0  # seconds


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


def _home() -> Path:
    """Return the folder of node_modules, installed once by npm if it is not there."""
    told = os.environ.get("AZURITE_HOME")
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    home = Path(told) if told else Path(cache) / "aiostow-tests" / f"azurite-{VERSION}"
    if _program(home).exists() and _node(home).exists():
        return home
    npm = shutil.which("npm")
    if told or npm is None:
        raise Missing(f"azurite is not installed: {_INSTALL}")
    home.mkdir(parents=True, exist_ok=True)
    (home / "package.json").write_text('{"private": true}\n')
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--no-save", _NODE, f"azurite@{VERSION}"],
        cwd=home, capture_output=True, text=True, timeout=_INSTALLING, check=False,
    )  # fmt: skip
    if done.returncode or not _node(home).exists():
        raise Missing(f"azurite could not be installed: {_INSTALL}\n{done.stderr[-1000:]}")
    return home


def _program(home: Path) -> Path:
    return home / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


def _node(home: Path) -> Path:
    return home / "node_modules" / ".bin" / "node"


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
    home = _home()
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    keys = {name: base64.b64encode(os.urandom(64)).decode() for name in accounts}
    command = [
        str(_node(home)), str(_program(home)), "--blobHost", "127.0.0.1", "--blobPort", str(port),
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
