"""The conformance suite: what every backend must do, by topic."""

from __future__ import annotations

import pytest

from .copying import CopyingTests
from .deleting import DeletingTests
from .keys import KeyTests
from .life import LifeTests
from .linking import LinkingTests
from .listing import ListingTests
from .reading import ReadingTests
from .staging import StagingTests
from .transfers import TransferTests
from .updating import UpdatingTests
from .writing import WritingTests

__all__ = ["Conformance"]


class Conformance(
    CopyingTests,
    DeletingTests,
    KeyTests,
    LifeTests,
    LinkingTests,
    ListingTests,
    ReadingTests,
    StagingTests,
    TransferTests,
    UpdatingTests,
    WritingTests,
):
    """All topics. Override the fixture `storage`, and `leftovers` where the service can tell."""

    @pytest.fixture
    def anyio_backend(self) -> tuple[str, dict[str, object]]:
        """Return the event loop: asyncio's, also where anyio finds another library installed."""
        return "asyncio", {}
