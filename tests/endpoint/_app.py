"""Applications that serve links, as servers load them; what they serve stands in the environment.

``AIOSTOW_TEST`` is JSON: ``storages`` with the arguments of `storage_of`, and ``options``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from aiostow import LocalFSStorage, MemoryStorage, S3Storage, SFTPStorage, Storage
from aiostow.endpoint import EndpointOptions, LinkRefusedError, LinkUse
from aiostow.linkstore import LinkStore, MemoryLinkStore, SQLiteLinkStore
from aiostow.sync import SyncStorage

SECRET = "an endpoint's secret of more than 32 bytes"
PATH = "/share"

_HOOKS = ("authorize", "on_download", "on_upload", "on_remove", "on_success")

_CLASSES: dict[str, Callable[..., Storage]] = {
    "memory": MemoryStorage, "local": LocalFSStorage, "s3": S3Storage, "sftp": SFTPStorage,
}  # fmt: skip


def storage_of(kind: str, linked_endpoint: str, **arguments: Any) -> Storage:
    """Return a storage whose links lead to an endpoint; the tests make them with one, too."""
    storage = _CLASSES[kind](linked_endpoint=linked_endpoint, secret_key=SECRET, **arguments)
    if isinstance(storage, MemoryStorage):
        storage.driver.identity = "memory:test"  # type: ignore[misc]  # one for both processes
    return storage


def options_of(store: str | None = None, **options: Any) -> EndpointOptions:
    """Return the options of an endpoint: its hooks refuse keys that name them."""

    def refuses(name: str) -> Callable[[LinkUse], None]:
        def hook(use: LinkUse) -> None:
            note(use, name)
            if f"refuse-{name}" in use.grant.path:
                raise LinkRefusedError(f"Refused by {name}.", status=451)

        return hook

    stores: dict[str | None, Callable[[], LinkStore | None]] = {
        None: lambda: None, "memory": MemoryLinkStore,
    }  # fmt: skip
    made = stores.get(store, lambda: SQLiteLinkStore(str(store)))()
    hooks = {name: refuses(name.removeprefix("on_")) for name in _HOOKS}
    return cast("EndpointOptions", {"store": made, **hooks, **options})


def note(use: LinkUse, hook: str) -> None:
    """Write down that a hook was called, for the test to read."""
    notes = os.environ.get("AIOSTOW_TEST_NOTES")
    if notes is not None:
        with Path(notes).open("a") as file:
            size = use.entry.size if use.size is None and use.entry is not None else use.size
            file.write(json.dumps([os.getpid(), hook, use.method, use.grant.path, size]) + "\n")


def _configured() -> tuple[list[Storage], EndpointOptions]:
    configuration = json.loads(os.environ["AIOSTOW_TEST"])
    storages = [storage_of(**arguments) for arguments in configuration["storages"]]
    return storages, options_of(**configuration.get("options", {}))


def bare_app() -> Any:
    """The ASGI application without a framework."""
    from aiostow.integrations.asgi import LinkApp

    storages, options = _configured()
    return LinkApp(storages, **options)


def starlette_app() -> Any:
    """Starlette."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount(PATH, bare_app())])


def fastapi_app() -> Any:
    """FastAPI."""
    from fastapi import FastAPI

    app = FastAPI()
    app.mount(PATH, bare_app())
    return app


def litestar_app() -> Any:
    """Litestar."""
    from litestar import Litestar, asgi

    return Litestar(route_handlers=[asgi(PATH, is_mount=True, copy_scope=True)(bare_app())])


def flask_app() -> Any:
    """Flask with the blueprint."""
    import flask

    from aiostow.integrations.flask import link_blueprint

    storages, options = _configured()
    app = flask.Flask(__name__)
    facades = [SyncStorage(storage) for storage in storages]
    app.register_blueprint(link_blueprint(facades, url_prefix=PATH, **options))
    return app


def _configure_django(view: Any) -> None:
    import django
    from django.conf import settings
    from django.urls import path

    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="-", LOGGING_CONFIG=None,
        MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    )  # fmt: skip
    globals()["urlpatterns"] = [path(f"{PATH[1:]}/", view, name="links")]
    django.setup()


def django_wsgi_app() -> Any:
    """Django under WSGI, with the view that waits."""
    from django.core.wsgi import get_wsgi_application

    from aiostow.integrations.django import link_view

    storages, options = _configured()
    _configure_django(link_view([SyncStorage(storage) for storage in storages], **options))
    return get_wsgi_application()


def django_asgi_app() -> Any:
    """Django under ASGI, with the async view."""
    from django.core.asgi import get_asgi_application

    from aiostow.integrations.django import async_link_view

    storages, options = _configured()
    _configure_django(async_link_view(storages, **options))
    return get_asgi_application()
