"""Links by which somebody else, such as a browser, uploads a large object in parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._plan import MIB
from ..errors import InvalidArgumentError, InvalidTypeError, NotSupportedError
from ..links import Expiry, make_grant
from ..models import Link, WriteOptions
from ._s3_config import MAX_PART, MAX_PARTS, MIN_PART
from ._s3_links import seconds_left, sign_url

if TYPE_CHECKING:
    from ._s3_driver import S3Driver


@dataclass(frozen=True, slots=True)
class MultipartLink:
    """How to upload one object in parts, until `complete.expires`.

    PUT the bytes from ``n * part_size`` on to ``parts[n]`` and keep the ``ETag`` of each answer;
    then POST to `complete` the document of `CompleteMultipartUpload` that names them. An answer of
    200 may still hold an error in its body.

    Attributes:
        upload_id: of S3; `complete` and `abort` hold it already.
        part_size: in bytes, of every part but the last.
        parts: a link for each.
        complete: makes the object visible.
        abort: discards the parts.
    """

    upload_id: str
    part_size: int
    parts: tuple[Link, ...] = field(repr=False)
    complete: Link
    abort: Link


async def multipart_link(
    driver: S3Driver,
    key: str,
    size: int,
    expire: Expiry,
    content_type: str | None,
    *,
    now: float,
    part_size: int | None,
    overwrite: bool,
) -> MultipartLink:
    """See `S3Storage.multipart_link_to`; `key` is the driver's."""
    if isinstance(size, bool) or not isinstance(size, int):
        raise InvalidTypeError("size must be an int, in bytes")
    if size < 1:
        raise InvalidArgumentError("size must be at least 1 byte: an empty object has no parts")
    step = _step(size, part_size, driver.config.part_size)
    grant = make_grant(
        key, "upload", expire, now, content_type=content_type, exact_size=size, overwrite=overwrite
    )
    sdk, config = driver.sdk, driver.config
    seconds = seconds_left(sdk, grant, now)
    conditions = {} if overwrite else {"if-none-match": "*"}
    if conditions and not driver.conditional_complete:
        raise NotSupportedError(
            "this service is not known to honour overwrite=False for objects in parts: say that "
            "it does with conditional_complete=True"
        )
    options = WriteOptions(content_type=content_type or "application/octet-stream")
    upload_id = await driver.create_upload(key, options)

    async def link(method: str, query: list[tuple[str, str]], headers: dict[str, str]) -> Link:
        signed = await sign_url(sdk, config, method, key, query, headers, now, seconds)
        return Link(signed.url, methods=(method,), headers=signed.headers, expires=grant.expires)

    own = [("uploadId", upload_id)]
    lengths = [min(step, size - begin) for begin in range(0, size, step)]
    parts = [
        await link("PUT", [("partNumber", str(number)), *own], {"content-length": str(length)})
        for number, length in enumerate(lengths, 1)
    ]
    complete = await link("POST", own, conditions)
    return MultipartLink(upload_id, step, tuple(parts), complete, await link("DELETE", own, {}))


def _step(size: int, wanted: int | None, usual: int) -> int:
    needed = -(-size // MAX_PARTS)
    if wanted is None:
        wanted = max(usual, -(-needed // MIB) * MIB)
    if not MIN_PART <= wanted <= MAX_PART:
        raise InvalidArgumentError(
            f"part_size must be from {MIN_PART} to {MAX_PART} bytes, not {wanted!r}"
        )
    if wanted < needed:
        raise InvalidArgumentError(
            f"{size} bytes in parts of {wanted} are more than {MAX_PARTS} parts"
        )
    return wanted
