"""What is alike in the errors of all REST services."""

from __future__ import annotations

from ..errors import (
    AmbiguousWriteError,
    ConnectionLostError,
    ServiceUnavailableError,
    StorageError,
    StorageIOError,
    UnreachableError,
)
from .http import ServiceError, TransportError


def transport_error(exc: TransportError) -> StorageError:
    """Return the error of a connection; only what certainly did nothing is unreachable."""
    lost = exc.connected or exc.unsure
    return (ConnectionLostError if lost else UnreachableError)(str(exc))


def other_error(exc: ServiceError) -> StorageError:
    """Return the error for an answer that no table knows."""
    told = f"{exc.status} {exc.code}: {exc.message}"
    if exc.status >= 500 or exc.status in (408, 429) or exc.code in ("SlowDown", "InternalError"):
        return ServiceUnavailableError(f"the service fails or is overloaded ({told}): try later")
    return StorageIOError(f"the service answered {told}")


def ambiguous(exc: Exception) -> AmbiguousWriteError:
    """Return the error of a write of which an earlier try may have been carried out."""
    error = AmbiguousWriteError(
        "the service did not tell whether it was done: the object is wholly as it was, or wholly "
        "as it was to become"
    )
    error.__cause__ = exc
    return error
