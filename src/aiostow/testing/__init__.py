"""For the tests of backends, also those of third parties; needs the extra ``testing``.

A backend proves that it keeps the contract by one class in its tests::

    import pytest
    from aiostow.testing import Conformance

    class TestMyStorage(Conformance):
        @pytest.fixture
        async def storage(self):
            async with MyStorage(...) as storage:   # empty at the beginning of every test
                yield storage

An application shows what it does when the storage fails by `FaultyDriver`, and when the
network fails by `FaultProxy`; both need nothing but the library itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .faulty import CrashedError, DriverCall, Fault, FaultyDriver
from .proxy import FaultProxy, WireFault

if TYPE_CHECKING:
    from .conformance import Conformance
    from .conformance._base import pattern, proves

__all__ = [
    "Conformance",
    "CrashedError",
    "DriverCall",
    "Fault",
    "FaultProxy",
    "FaultyDriver",
    "WireFault",
    "pattern",
    "proves",
]

# They need pytest, which an application's own use of the faults need not have.
_OF_PYTEST = {
    "Conformance": "conformance",
    "pattern": "conformance._base",
    "proves": "conformance._base",
}


def __getattr__(name: str) -> Any:
    module = _OF_PYTEST.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{module}", __name__), name)
