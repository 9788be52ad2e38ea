"""How a browser uploads a file: to this server, or straight to the bucket."""

from __future__ import annotations

import time
from typing import Any

from ..models import Support
from ..storage import Storage

UPLOAD_SECONDS = 12 * 3600.0
_LARGE = 16 << 20  # bytes, from where a bucket is sent parts
_BLOCK = 4 << 20  # bytes, of what Azure is sent


def is_direct(storage: Storage) -> bool:
    """Tell whether browsers talk to the service itself, by links of its own."""
    return storage.capabilities.links is Support.native


async def upload_links(storage: Storage, key: str, size: int) -> dict[str, Any]:
    """Return the links by which a browser uploads a file, of exactly this size if it can be.

    Args:
        storage: that takes it; connected.
        key: of the file.
        size: in bytes.

    Raises:
        InvalidArgumentError: the storage holds no file of this size.
    """
    if not is_direct(storage):
        link = await storage.link_to(
            key, "upload", UPLOAD_SECONDS, exact_size=size, once=True,
            overwrite=not _creates_only(storage, size),
        )  # fmt: skip
        return {"url": link, "headers": dict(link.headers)}
    # The class itself is there only where its extra is.
    if type(storage.driver).__name__ != "S3Driver":
        link = await storage.link_to(key, "upload", UPLOAD_SECONDS)
        return {"url": link, "headers": dict(link.headers), "blocks": _BLOCK}
    if size > _LARGE:
        return await _parts(storage, key, size)
    link = await storage.link_to(key, "upload", UPLOAD_SECONDS, exact_size=size)
    # The length is signed; a browser sends it by itself, and lets no script do so.
    headers = {k: v for k, v in link.headers.items() if k.lower() != "content-length"}
    return {"url": link, "headers": headers}


def _creates_only(storage: Storage, size: int) -> bool:
    """Tell whether an upload can be kept from replacing anything; no other has its random key."""
    limit = storage.capabilities.create_only_limit
    return bool(storage.capabilities.create_only) and (limit is None or size <= limit)


async def _parts(storage: Storage, key: str, size: int) -> dict[str, Any]:
    from ..backends._s3_multipart_link import multipart_link

    driver: Any = storage.driver
    parts = await multipart_link(
        driver, storage._prefix.join(key), size, UPLOAD_SECONDS, None,
        now=time.time(), part_size=None, overwrite=True,
    )  # fmt: skip
    return {
        "part_size": parts.part_size, "parts": list(parts.parts),
        "complete": parts.complete, "abort": parts.abort,
    }  # fmt: skip
