"""A bar on a terminal, and silence elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Bar(Protocol):
    """Counts what is under way; a file's callback gets the bytes of it that are done."""

    def found(self, size: int | None) -> None:
        """Count a file that is to be sent."""

    def begin(self) -> Callable[[int], None]:
        """Return the callback of a file that is sent now."""

    def ended(self) -> None:
        """Count a file that is done, or failed."""


class _Silence:
    def found(self, size: int | None) -> None: ...

    def begin(self) -> Callable[[int], None]:
        return lambda done: None

    def ended(self) -> None: ...


def bar(word: str, quiet: bool) -> AbstractContextManager[Bar]:
    """Return a bar if standard error is a terminal, and nobody asked for quiet.

    Args:
        word: what is done, such as ``"put"``.
        quiet: show nothing.
    """
    if quiet or not sys.stderr.isatty():
        return nullcontext(_Silence())
    from ._rich_bar import RichBar  # no pipe waits for its import

    return RichBar(word)
