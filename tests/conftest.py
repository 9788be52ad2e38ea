"""What all tests share: the event loop, the long forms, and programs that a test may need."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="run the long forms: every case instead of a sample"
    )


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return ("asyncio", {})


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long form of a test was asked for."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="module")
def quick_garbage() -> Iterator[None]:
    """What is there already is no garbage: tests that collect it need not look through it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def need_program() -> Callable[[str], str]:
    """Return the path of a program; without it a test is skipped, but in CI it fails."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is not None:
            return path
        message = f"{name} is not installed: its tests are left out"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)

    return find
