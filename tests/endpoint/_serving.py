"""Web servers under the applications of `_app`, and the storages behind them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiostow import Storage
from tests.servers._process import free_ports, need, process, wait_for_http

from ._app import PATH, SECRET, storage_of

_MODULE = "tests.endpoint._app"

_HERE = Path(__file__).parents[2]


def _uvicorn(app: str, *more: str) -> Callable[[int], list[str]]:
    return lambda port: [
        need("uvicorn", "pip install uvicorn"), "--factory", f"{_MODULE}:{app}",
        "--port", str(port), "--log-level", "warning", "--no-access-log", *more,
    ]  # fmt: skip


def _gunicorn(app: str, *more: str) -> Callable[[int], list[str]]:
    return lambda port: [
        need("gunicorn", "pip install gunicorn"), f"{_MODULE}:{app}()",
        "--bind", f"127.0.0.1:{port}", "--log-level", "warning", "--no-control-socket", *more,
    ]  # fmt: skip


def _waitress(app: str) -> Callable[[int], list[str]]:
    return lambda port: [
        need("waitress-serve", "pip install waitress"), "--listen", f"127.0.0.1:{port}",
        "--call", f"{_MODULE}:{app}",
    ]  # fmt: skip


def _granian(app: str) -> Callable[[int], list[str]]:
    return lambda port: [
        need("granian", "pip install granian"), "--interface", "asgi", "--factory",
        "--port", str(port), "--log-level", "warning", f"{_MODULE}:{app}",
    ]  # fmt: skip


_THREADS = ("--worker-class", "gthread", "--threads", "8")

SERVERS: dict[str, Callable[[int], list[str]]] = {
    "uvicorn-starlette": _uvicorn("starlette_app", "--http", "h11"),
    "uvicorn-starlette-httptools": _uvicorn("starlette_app", "--http", "httptools"),
    "uvicorn-fastapi": _uvicorn("fastapi_app"),
    "uvicorn-litestar": _uvicorn("litestar_app"),
    "uvicorn-bare": _uvicorn("bare_app"),
    "uvicorn-4": _uvicorn("starlette_app", "--workers", "4"),
    "granian-starlette": _granian("starlette_app"),
    "gunicorn-flask": _gunicorn("flask_app", *_THREADS),
    "gunicorn-flask-sync": _gunicorn("flask_app"),
    "gunicorn-flask-4": _gunicorn("flask_app", *_THREADS, "--workers", "4"),
    "waitress-flask": _waitress("flask_app"),
    "gunicorn-django": _gunicorn("django_wsgi_app", *_THREADS),
    "uvicorn-django": _uvicorn("django_asgi_app"),
}
"""How each is started: web server and framework."""

ADAPTERS = ("uvicorn-starlette", "gunicorn-flask", "gunicorn-django", "uvicorn-django")
"""One of each adapter."""

KINDS = ("memory", "local", "sftp", "s3")

# Three frameworks suffice over S3, where each test takes longest.
ENDPOINTS = tuple(
    (server, kind)
    for kind in KINDS
    for server in ADAPTERS
    if (server, kind) != ("uvicorn-django", "s3")
)
"""Each adapter over each kind of storage."""


@dataclass
class Served:
    """An endpoint that runs.

    Attributes:
        url: of the endpoint.
        port: where it listens.
        pid: of the server's first process.
        storage: as the one behind the endpoint, to make links and to look; the memory storage's is
            empty, since that is in the other process.
        log: what the server printed.
        notes: what hooks were called, as JSON lines.
    """

    url: str
    port: int
    pid: int
    storage: Storage
    log: Path
    notes: Path


@contextlib.contextmanager
def serving(server: str, folder: Path, *specs: dict[str, Any], **options: Any) -> Iterator[Served]:
    """Run an endpoint within the block.

    Args:
        server: one of `SERVERS`.
        folder: for logs and notes; it exists.
        specs: arguments of `storage_of` without the endpoint; links are made for the first.
        options: of `_app.options_of`.
    """
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}{PATH}/"
    log, notes = folder / f"{server}-{uuid4().hex[:8]}.log", folder / f"notes-{uuid4().hex[:8]}"
    notes.touch()
    arguments = [{"linked_endpoint": url, **spec} for spec in specs]
    env = {
        "AIOSTOW_TEST": json.dumps({"storages": arguments, "options": options}),
        "AIOSTOW_TEST_NOTES": str(notes),
        "PYTHONPATH": os.pathsep.join([str(_HERE), os.environ.get("PYTHONPATH", "")]),
        "PYTHONWARNINGS": "default",
    }
    with process(SERVERS[server](port), log, env) as started:
        wait_for_http(port, started, log)
        yield Served(url, port, started.pid, storage_of(**arguments[0]), log, notes)


@contextlib.contextmanager
def discreet(it: Served) -> Iterator[None]:
    """Within the block the server prints no token, and nothing that went wrong."""
    before = it.log.stat().st_size
    yield
    printed = it.log.read_bytes()[before:].decode(errors="replace")
    for word in ("Traceback", "token=", "eyJ", "ResourceWarning", SECRET):
        assert word not in printed, printed[-2000:]
