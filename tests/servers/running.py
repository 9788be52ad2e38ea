"""Servers that all tests of a run share, each started when it is first asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from ._process import Missing

ServerT = TypeVar("ServerT")
Start = Callable[[Path], AbstractContextManager[ServerT]]


@contextmanager
def running(
    starts: Mapping[str, Start[ServerT]], folder: Path
) -> Iterator[Callable[[str], ServerT]]:
    """Return what gives a server by name; where one is missing, it skips, or in CI fails.

    Args:
        starts: runs each, in a folder of its own.
        folder: for their files.
    """
    found: dict[str, ServerT | Exception] = {}
    with ExitStack() as stack:

        def server(name: str) -> ServerT:
            if name not in found:
                try:
                    found[name] = stack.enter_context(starts[name](folder / name))
                except Exception as exc:  # once, not for every test
                    found[name] = exc
            it = found[name]
            if not isinstance(it, Exception):
                return it
            if not isinstance(it, Missing):
                raise it
            message = f"the tests on {name} are left out: {it}"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)

        yield server
