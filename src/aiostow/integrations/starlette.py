"""Share links in Starlette and FastAPI: the URL under which an application has mounted them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .asgi import LinkApp

__all__ = ["LinkApp", "url_for"]


class _Routes(Protocol):
    def url_path_for(self, name: str, /, *, path: str) -> str: ...


def url_for(
    app: Callable[[], _Routes], name: str, *, base_url: str = ""
) -> Callable[[str, str | None], str]:
    """Return a `linked_endpoint` that leads to a mounted `LinkApp`.

    Args:
        app: returns the application; it is called when a link is made, so the application may be
            made after the storage: ``url_for(lambda: app, "links")``.
        name: of the mount, as in ``Mount("/share", LinkApp(storage), name="links")``.
        base_url: scheme and host, as in ``https://files.example``; without one, links lead within
            the site that shows them.
    """

    def url(token: str, output_path: str | None) -> str:
        return f"{base_url.rstrip('/')}{app().url_path_for(name, path='/')}?token={token}"

    return url
