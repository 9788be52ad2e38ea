"""For the tests of backends, also those of third parties; needs the extra ``testing``.

A backend proves that it keeps the contract by one class in its tests::

    import pytest
    from aiostow.testing import Conformance

    class TestMyStorage(Conformance):
        @pytest.fixture
        async def storage(self):
            async with MyStorage(...) as storage:   # empty at the beginning of every test
                yield storage
"""

from __future__ import annotations

from .conformance import Conformance
from .conformance._base import pattern, proves

__all__ = ["Conformance", "pattern", "proves"]
