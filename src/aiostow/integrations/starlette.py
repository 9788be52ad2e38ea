"""Starlette and FastAPI: profiles for every request, and URLs of mounted share links."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from .._linking import check_base_url
from ._asgi_profiles import StorageMiddleware
from .asgi import LinkApp

__all__ = ["LinkApp", "StorageMiddleware", "url_for"]


@runtime_checkable
class _Routes(Protocol):
    def url_path_for(self, name: str, /, *, path: str) -> str: ...


def url_for(
    app: _Routes | Callable[[], _Routes], name: str, *, base_url: str = ""
) -> Callable[[str, str | None], str]:
    """Return a `linked_endpoint` that leads to a mounted `LinkApp`.

    Args:
        app: the application, or a function that returns it. It is asked when a link is made, so
            `LinkApp` may be mounted later.
        name: of the mount, as in ``app.mount("/share", LinkApp(storage), name="links")``.
        base_url: scheme and host, as in ``https://files.example``; without one, links lead within
            the site that shows them.

    Raises:
        InvalidArgumentError: `base_url` is no URL.
    """
    site = check_base_url(base_url)

    def url(token: str, output_path: str | None) -> str:
        # An application can be called too, and is none of these functions.
        routes = app if isinstance(app, _Routes) else app()
        return f"{site}{routes.url_path_for(name, path='/')}?token={token}"

    return url
