"""What the tests of Azure share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from aiostow import AzureStorage
from aiostow.testing import Conformance
from aiostow.testing.conformance.listing import TREE

ACCOUNT = "one"
"""One of the accounts of the server."""

MakeStorage = Callable[..., AzureStorage]
Prepare = Callable[..., Any]


class AzureSuite(Conformance):
    """The conformance suite on Azure, which takes some keys for others."""

    # Azurite fails to list what no XML may hold; the service encodes it (see the unit tests).
    tree: ClassVar[list[str]] = [key.replace("\uffff", "\uff5e") for key in TREE]
    refused_keys = frozenset({"a\\b.txt", "a..b/...c/d.."})
