"""Making share links."""

from __future__ import annotations

from typing import Unpack

from .._linking import LinkKeywords
from ..errors import InvalidArgumentError
from ..models import ShareLinkOperation
from ._output import json_line, print_lines, say
from ._places import Object, Place
from ._run import Session


async def show_link(
    session: Session,
    place: Place,
    operation: ShareLinkOperation,
    seconds: float,
    *,
    as_json: bool,
    **asked: Unpack[LinkKeywords],
) -> None:
    """Print a link, and what must be sent with it where that is anything.

    Args:
        session: that the command runs in.
        place: what it leads to.
        operation: that it allows.
        seconds: after which it ends.
        as_json: print all that is known of it.
        asked: see `Storage.link_to`.
    """
    if not isinstance(place, Object):
        raise InvalidArgumentError("a link leads to an object of a storage: write 'profile:key'")
    link = await place.storage.link_to(place.key, operation, seconds, **asked)
    if as_json:
        told = {
            "url": str(link), "methods": list(link.methods), "headers": dict(link.headers),
            "expires": link.expires.isoformat(),
        }  # fmt: skip
        print_lines([json_line(told)])
    else:
        print_lines([str(link)])
        for name, value in link.headers.items():
            say(f"Send with it: {name}: {value}")
