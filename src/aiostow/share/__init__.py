"""A page to share files by links that end, over any storage: a Starlette application."""

from __future__ import annotations

from .._extras import missing_extra

try:
    import starlette as _starlette  # noqa: F401  # so that what is missing is told by its name
except ModuleNotFoundError as _exc:
    raise missing_extra("aiostow.share", "serve", _exc) from _exc

from ._app import share_app
from ._secret import kept_secret

__all__ = ["kept_secret", "share_app"]
