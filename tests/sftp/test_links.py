"""Links of SFTPStorage: tokens for an endpoint of ours, and which storage honours which."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aiostow import (
    ExpiredLinkError,
    InternalLinksStorageBackend,
    InvalidLinkError,
    SFTPStorage,
    ShareLinkOperation,
    Support,
    UnsupportedOperationError,
)

from ._suite import MakeStorage

pytestmark = pytest.mark.anyio
SECRET = "0123456789abcdef0123456789abcdef"
URL = "https://files.example/share"
HOUR = timedelta(hours=1)


def make(**own: Any) -> SFTPStorage:
    told: dict[str, Any] = {"host": "one.example", "username": "u", "root": "r"}
    return SFTPStorage(**{**told, "linked_endpoint": URL, "secret_key": SECRET, **own})


def test_a_token_says_what_it_allows() -> None:
    storage = make()
    assert isinstance(storage, InternalLinksStorageBackend)
    for operation, allowed in (
        (ShareLinkOperation.download, (True, False, False)),
        (ShareLinkOperation.upload, (False, True, False)),
        (ShareLinkOperation.remove, (False, False, True)),
        ("dur", (True, True, True)),
    ):
        token = storage.create_link_token(path="a/k", operation=operation, expire=HOUR)
        path, operations = data = storage.deserialize_link_token(token)
        assert path == "a/k"
        assert operations == data.operations
        assert (data.allow_download, data.allow_upload, data.allow_remove) == allowed


async def test_links_lead_to_an_endpoint(make_storage: MakeStorage) -> None:
    def by_function(token: str, name: str | None) -> str:
        return f"https://x.example/{name}#{token}"

    for endpoint, begin in ((URL, f"{URL}?token="), (by_function, "https://x.example/n.csv#")):
        async with make_storage(linked_endpoint=endpoint, secret_key=SECRET) as storage:
            assert storage.capabilities.links is Support.emulated
            await storage.write_bytes("k", b"data")
            link = await storage.link_to("k", "d", HOUR, "n.csv", "text/csv")
            assert link.startswith(begin)
            grant = storage.deserialize_link_token(link.removeprefix(begin))
            assert (grant.path, grant.output_path) == ("k", "n.csv")
            assert await storage.read_bytes(grant.path) == b"data"


@pytest.mark.parametrize(
    "own",
    [
        {"root": "s"},
        {"root": "/r"},
        {"host": "two.example"},
        {"username": "v"},
        {"port": 2022},
        {"name": "other"},
        {"secret_key": "another" * 5},
    ],
    ids=repr,
)
def test_a_token_of_another_storage_is_refused(own: dict[str, Any]) -> None:
    token = make().create_link_token(path="k", operation="d", expire=HOUR)
    with pytest.raises(InvalidLinkError):
        make(**own).deserialize_link_token(token)
    # Who asks, and how, makes no other place of it.
    same = make(host="ONE.example", root="./r/", password="hush", jump_host="jump")
    assert same.deserialize_link_token(token).path == "k"


def test_a_token_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = make()
    token = storage.create_link_token(path="k", operation="d", expire=60)
    end = storage.deserialize_link_token(token).expires.timestamp()
    monkeypatch.setattr(storage._shared, "clock", lambda: end)
    with pytest.raises(ExpiredLinkError):
        storage.deserialize_link_token(token)


async def test_without_a_secret_there_are_none() -> None:
    storage = make(secret_key=None)
    assert storage.capabilities.links is Support.unsupported
    with pytest.raises(UnsupportedOperationError, match="secret_key"):
        storage.create_link_token(path="k", operation="d", expire=HOUR)
    with pytest.raises(UnsupportedOperationError, match="secret_key"):
        await storage.link_to("k", "d", HOUR)
