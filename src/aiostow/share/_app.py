"""The application: the page's files, its few calls, and the endpoint that serves the links."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from ..integrations.asgi import LinkApp
from ..linkstore import LinkStore
from ..storage import Storage
from ._shares import Shares
from ._uploads import is_direct

_PAGE = Path(__file__).parent / "page"
_FILES = ("index.html", "share.css", "share.js", "icon.svg")


def share_app(storage: Storage, store: LinkStore) -> Starlette:
    """Return an application that serves a page to share files by links that end.

    It has no login: whoever reaches it sees all that is shared. Files go through it, but on S3 and
    Azure without a `linked_endpoint` browsers talk to the bucket itself, whose CORS rules must
    allow the page's origin. A file is shared once it has come whole.

    Args:
        storage: with ``linked_endpoint="/links/"`` and a `secret_key`, or with links of its own. It
            is closed when the application ends; what is shared lies below ``files/`` and
            ``records/``.
        store: remembers which links were used; it is closed, too.
    """
    shares = Shares(storage, store)
    headers = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

    def static(name: str) -> Route:
        async def serve(request: Request) -> Response:
            return FileResponse(_PAGE / name, headers=headers)

        return Route("/" if name == "index.html" else f"/{name}", serve)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            async with storage:
                headers["Content-Security-Policy"] = _policy(await shares.origin())
                await shares.tidy()
                yield
        finally:
            await store.aclose()

    routes: list[BaseRoute] = [
        *map(static, _FILES),
        Route("/shares", shares.list),
        Route("/shares", shares.begin, methods=["POST"]),
        Route("/shares/{id}", shares.finish, methods=["POST"]),
        Route("/shares/{id}", shares.remove, methods=["DELETE"]),
    ]
    if not is_direct(storage):
        routes.append(Mount("/links", LinkApp(storage, store=store)))
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _refused})


def _policy(origin: str | None) -> str:
    # Where browsers talk to the bucket, the page may; it talks to nobody else.
    bucket = "" if origin is None else f" {origin}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self'{bucket}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)
