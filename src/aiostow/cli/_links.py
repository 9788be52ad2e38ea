"""Making share links."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InvalidArgumentError
from ..models import ShareLinkOperation
from ._output import json_line, print_lines, say
from ._places import Object, Place
from ._run import Session


@dataclass(frozen=True)
class LinkRequest:
    """What a link is to allow, as it was asked for; see `Storage.link_to`."""

    seconds: float
    operation: ShareLinkOperation
    output_path: str | None
    content_type: str | None
    overwrite: bool
    max_size: int | None
    exact_size: int | None
    once: bool
    inline: bool


async def show_link(session: Session, place: Place, asked: LinkRequest, *, as_json: bool) -> None:
    """Print a link, and what must be sent with it where that is anything."""
    if not isinstance(place, Object):
        raise InvalidArgumentError("a link leads to an object of a storage: write 'profile:key'")
    link = await place.storage.link_to(
        place.key, asked.operation, asked.seconds, asked.output_path, asked.content_type,
        overwrite=asked.overwrite, max_size=asked.max_size, exact_size=asked.exact_size,
        once=asked.once, disposition="inline" if asked.inline else "attachment",
    )  # fmt: skip
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
