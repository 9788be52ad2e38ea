"""What the service is to copy: a version behind a URL, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from ..errors import (
    ConnectionLostError,
    FileNotFoundInStorageError,
    InvalidArgumentError,
    ObjectChangedError,
    PermissionDeniedError,
    StorageError,
    StorageIOError,
    UnreachableError,
)
from ..models import ListEntry, WriteOptions
from ._azure_config import META
from ._rest_entry import entry_of
from .http import Http, HttpOptions, Reply, Request, ServiceError, TransportError

_KEPT = ("content-language", "content-disposition", "content-md5")


@dataclass(frozen=True)
class CopySource:
    """A version of an object, for the service to read.

    Attributes:
        entry: what is known of it.
        told: the headers that told it.
        where: headers by which the service may read it; they may hold a signature.
    """

    entry: ListEntry
    told: Mapping[str, str]
    where: Mapping[str, str] = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What a request tells of the source: where, and which version."""
        headers = dict(self.where)
        if self.entry.etag is not None:
            headers["x-ms-source-if-match"] = f'"{self.entry.etag}"'
        return headers

    @property
    def is_blob(self) -> bool:
        """Whether it is a block blob, which alone can be copied in one step."""
        return self.told.get("x-ms-blob-type") == "BlockBlob"

    def kept_headers(self, options: WriteOptions) -> dict[str, str]:
        """Return the headers that store what options do not know of."""
        if options.content_type is not None or options.content_encoding is not None:
            return {}
        return {f"x-ms-blob-{name}": self.told[name] for name in _KEPT if name in self.told}

    def check(self, exc: ServiceError) -> None:
        """Raise what the refusal of a request without conditions of its own says about the source.

        Azurite does not tell by its code whose condition was not met.
        """
        if exc.status == 412 and exc.code in ("SourceConditionNotMet", "ConditionNotMet"):
            raise ObjectChangedError("the source was replaced while it was copied") from exc
        if exc.code == "OutOfRangeInput":
            raise InvalidArgumentError(
                "the URL of the source is longer than Azure takes: 2 KiB with its signature"
            ) from exc


async def foreign_source(url: str, options: Callable[[str], HttpOptions]) -> CopySource:
    """Return what is behind a URL, which is asked for and left after the headers of its answer.

    Args:
        url: which may hold a signature, for GET.
        options: tells how an origin is reached.

    Raises:
        InvalidArgumentError: it is no URL.
        FileNotFoundInStorageError: there is nothing behind it.
        PermissionDeniedError: it was refused.
        StorageIOError, ConnectionLostError: it could not be asked.
    """
    try:
        parts = urlsplit(url)
        there = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
        _ = parts.port
    except (ValueError, TypeError, AttributeError):
        there = False
    if not there:
        raise InvalidArgumentError("the source of a copy is a URL such as 'https://host/path'")
    origin = f"{parts.scheme}://{parts.netloc}"
    http = Http(origin, options(origin), _as_it_is, _refusal)
    try:
        body = await http.open(Request("GET", parts.path or "/", parts.query))
        body.close()
    except ServiceError as exc:
        raise _refused(exc) from exc
    except TransportError as exc:
        kind = ConnectionLostError if exc.connected else UnreachableError
        raise kind(f"the source of the copy: {exc}") from exc
    finally:
        await http.aclose()
    told = body.headers
    if "content-length" not in told or "last-modified" not in told:
        raise StorageIOError("the source of the copy does not tell its size and time")
    entry = entry_of("", told, META)
    if (entry.etag or "").startswith("W/"):  # which no condition can name
        entry = replace(entry, etag=None)
    return CopySource(entry, told, {"x-ms-copy-source": url})


async def _as_it_is(request: Request) -> Mapping[str, str]:
    return request.headers


def _refusal(reply: Reply) -> ServiceError:
    return ServiceError(reply.status, "", "the source of the copy refused", reply.headers)


def _refused(exc: ServiceError) -> StorageError:
    if exc.status == 404:
        return FileNotFoundInStorageError("there is nothing behind the URL")
    if exc.status in (401, 403):
        return PermissionDeniedError(
            f"the source of the copy refused, with status {exc.status}: its URL may have ended, or "
            "not allow a GET"
        )
    return StorageIOError(f"the source of the copy answered with status {exc.status}")
