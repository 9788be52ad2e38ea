"""The frequent verbs of S3, which go by one of two ways: signed by ourselves, or by the SDK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..driver import Buffer
from ..models import ByteRange
from ._rest_pages import ListPage
from ._rest_source import Got
from ._s3_xml import Part


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer tells beside its body.

    Attributes:
        headers: names in lower case, or looked up so.
        unsure: whether an earlier try may have been carried out.
    """

    headers: Mapping[str, str]
    unsure: bool = False


class Plane(Protocol):
    """The frequent verbs. All raise `ServiceError` and `TransportError`.

    Headers are those that the verb takes beside its own, with names in lower case.
    """

    async def get(self, key: str, span: ByteRange | None, headers: Mapping[str, str]) -> Got:
        """Ask for an object or a range of it."""
        ...

    async def head(self, key: str, headers: Mapping[str, str]) -> Answer:
        """Ask what is known of an object."""
        ...

    async def put(self, key: str, buffers: Sequence[Buffer], headers: Mapping[str, str]) -> Answer:
        """Write a whole object."""
        ...

    async def create(self, key: str, headers: Mapping[str, str]) -> str:
        """Begin an upload in parts and return its id."""
        ...

    async def part(
        self, key: str, upload_id: str, number: int, buffers: Sequence[Buffer],
        headers: Mapping[str, str],
    ) -> Answer:  # fmt: skip
        """Upload a part."""
        ...

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], headers: Mapping[str, str]
    ) -> Answer:
        """Make the parts an object; its etag stands in the answer's headers, if it was told."""
        ...

    async def abort(self, key: str, upload_id: str) -> None:
        """Discard an upload and its parts."""
        ...

    async def delete(self, key: str) -> None:
        """Delete an object."""
        ...

    async def delete_many(self, keys: Sequence[str]) -> dict[str, Exception]:
        """Delete up to 1,000 objects and return the errors of those that were not."""
        ...

    async def list(
        self, prefix: str, delimiter: str, start_after: str | None, token: str | None
    ) -> ListPage:
        """Return a page of a listing."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
