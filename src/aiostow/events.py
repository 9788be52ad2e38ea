"""What a storage tells of its operations: the events that `on_event` is called with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from .errors import StorageError

__all__ = [
    "Event",
    "EventHook",
    "OperationFailed",
    "OperationFinished",
    "OperationRetried",
    "OperationStarted",
    "Target",
]


@dataclass(frozen=True, slots=True)
class Target:
    """What a storage points to. It holds no secret.

    Attributes:
        service: the kind, such as ``"s3"``, ``"azure"``, ``"sftp"``, ``"file"`` or ``"memory"``.
        host: of the server; None where there is none, or only the SDK knows it.
        port: of the server, where it is named.
        container: the bucket of S3 or the container of Azure.
    """

    service: str
    host: str | None = None
    port: int | None = None
    container: str | None = None

    @classmethod
    def behind(cls, service: str, url: str | None, container: str) -> Target:
        """Return what a container of a service with this URL is; None where only the SDK knows."""
        parts = urlsplit(url or "")
        return cls(service, parts.hostname, parts.port, container)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base of all events. None holds a URL, a token or a credential.

    Attributes:
        id: ties the events of one operation: no other operation, in any process, has it.
        operation: the public method, such as ``"read_bytes"``.
        storage: the name of the storage.
        target: what the storage points to.
        key: as the caller gave it: of a copy or move the old one, of a listing the prefix; None
            where there is none.
        timestamp: Unix time in nanoseconds. Within an operation it never runs backwards.
    """

    id: str
    operation: str
    storage: str
    target: Target
    key: str | None
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationStarted(Event):
    """An operation begins. Exactly one `OperationFinished` or `OperationFailed` follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRetried(Event):
    """A part of an operation, such as one of its requests, failed and is tried again.

    Attributes:
        attempt: which try of this part failed: 1 for the first.
        pause: before the next try, in seconds.
        error_type: the class of what went wrong.
        reason: what went wrong, in a few words without key or URL.
    """

    attempt: int
    pause: float
    error_type: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFinished(Event):
    """An operation did what it was asked for.

    Attributes:
        duration: since it started, in seconds, whatever was done to the clock meanwhile.
        bytes: of content that it read or wrote through this process; a copy within the service
            moves none.
    """

    duration: float
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFailed(Event):
    """An operation ended without having done what it was asked for.

    Attributes:
        duration: since it started, in seconds, whatever was done to the clock meanwhile.
        bytes: of content that it read or wrote through this process before it failed.
        error: what it raised; None for a cancellation, for what the caller discarded, and for
            errors that are not the storage's own, such as those of the caller's local file.
        error_type: the class of what ended it; ``"discarded"`` for a writer that was aborted, and
            ``"unclosed"`` for a file that nobody closed.
        cancelled: whether it was cancelled. What a write had begun to commit by then may be there.
    """

    duration: float
    bytes: int
    error: StorageError | None
    error_type: str
    cancelled: bool


EventHook: TypeAlias = Callable[[Event], object]
"""Takes each event, in the thread of the operation; see `Storage`."""
