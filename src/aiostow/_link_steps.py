"""What the link endpoint asks of whoever carries it out: steps, and what hooks are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from .errors import InvalidArgumentError
from .links import InternalLinkTokenData
from .models import ListEntry, ShareLinkOperation
from .storage import Storage

T = TypeVar("T")


@dataclass(slots=True)
class LinkUse:
    """One use of a link, as hooks see it.

    Attributes:
        storage: that the link is of.
        grant: what it grants.
        operation: the one that is asked for.
        method: of HTTP.
        request: the framework's own object; not in the repr, since it holds the token.
        entry: the object, once it is known: of downloads, and of uploads when they are done.
        size: of an upload in bytes, once all of it came.
    """

    storage: Storage
    grant: InternalLinkTokenData
    operation: ShareLinkOperation
    method: str
    request: Any = field(repr=False)
    entry: ListEntry | None = None
    size: int | None = None


class LinkRefusedError(Exception):
    """Raised by a hook to refuse the use of a link.

    Args:
        message: is told to whoever uses the link.
        status: of HTTP, 400 to 599.
    """

    def __init__(self, message: str = "This use is refused.", status: int = 403) -> None:
        super().__init__(message)
        if not 400 <= status <= 599:
            raise InvalidArgumentError(f"a refusal has a status of 400 to 599, not {status}")
        self.message = message
        self.status = status


Hook: TypeAlias = Callable[[LinkUse], Awaitable[None] | None]
"""Is told of a use; may be async. It refuses by raising `LinkRefusedError`, and returns nothing."""


@dataclass(frozen=True, slots=True)
class Await:
    """A step: await what `call` returns, where the storage is used."""

    storage: Storage
    call: Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Tell:
    """A step: call a hook, where the framework runs its own code."""

    storage: Storage
    hook: Hook
    use: LinkUse


class Receive:
    """A step: send back the next bytes of the request's body, none at its end."""


Step: TypeAlias = Await | Tell | Receive
Steps: TypeAlias = Generator[Step, Any, T]
"""Steps to be carried out. What one returns is sent back, what it raises is thrown in."""
