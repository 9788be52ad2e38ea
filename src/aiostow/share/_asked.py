"""What requests of the page ask for, checked."""

from __future__ import annotations

import json
import re
from typing import TypedDict

from starlette.exceptions import HTTPException
from starlette.requests import Request

HOURS = (1, 24, 168)
LIMITS = (None, 10 << 20, 100 << 20, 1 << 30)
_LONGEST = 4096  # bytes of a request


class Asked(TypedDict):
    """A share that is asked for: a file's name and size, and how long and how often it is good."""

    name: str
    size: int
    hours: int
    once: bool


def asked_id(request: Request) -> str:
    """Return the id that a request names."""
    id: str = request.path_params["id"]
    if not re.fullmatch(r"[\w-]{16}", id, re.ASCII):
        raise HTTPException(404, "There is no such share.")
    return id


async def asked_share(request: Request) -> Asked:
    """Return the share that a request asks for."""
    if request.headers.get("content-type") != "application/json":  # no other site's page sends it
        raise HTTPException(415, "Send JSON.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST:
            raise HTTPException(413, "This is more than a share has to say.")
    try:
        told = json.loads(body)
        name, size, hours, once = (told[key] for key in ("name", "size", "hours", "once"))
        limit = told["limit"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HTTPException(400, "This is no share.") from None
    right = isinstance(name, str) and 0 < len(name) <= 255 and type(size) is int and size >= 0
    if not right or hours not in HOURS or limit not in LIMITS or type(once) is not bool:
        raise HTTPException(400, "This is no share.")
    if limit is not None and size > limit:
        raise HTTPException(413, "The file is larger than the limit.")
    return {"name": name, "size": size, "hours": hours, "once": once}
