"""How an endpoint is made: of what it is, and of what it is not."""

from __future__ import annotations

from typing import Any

import pytest

from aiostow import InvalidArgumentError, InvalidTypeError, MemoryStorage, Storage
from aiostow.backends.memory import MemoryDriver
from aiostow.endpoint import LinkEndpoint
from aiostow.sync import SyncStorage

from ._bench import SECRET


@pytest.mark.parametrize("storages", [(), [], iter(())])
def test_an_endpoint_serves_at_least_one_storage(storages: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="at least one"):
        LinkEndpoint(storages)


@pytest.mark.parametrize("wrong", [["memory"], [None], [MemoryDriver()], [object()]])
def test_an_endpoint_serves_storages_only(wrong: Any) -> None:
    with pytest.raises(InvalidTypeError, match="storages"):
        LinkEndpoint(wrong)


def test_an_endpoint_serves_no_facade() -> None:
    with SyncStorage(MemoryStorage(secret_key=SECRET)) as facade:
        with pytest.raises(InvalidTypeError, match="SyncStorage"):
            LinkEndpoint([facade])  # type: ignore[list-item]  # on purpose


def test_a_storage_without_a_secret_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="'plain' has no secret_key"):
        LinkEndpoint([MemoryStorage(secret_key=SECRET), MemoryStorage(name="plain")])


@pytest.mark.parametrize("options", [{"accel_redirect": "/p"}, {"x_sendfile": True}])
def test_paths_are_handed_over_in_trusted_trees_only(
    local: Storage, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgumentError, match="trusted_tree"):
        LinkEndpoint(local, **options)
    LinkEndpoint(local, trusted_tree=True, **options)
