"""On Azure the browser talks to the container itself, in blocks where a file is large."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import BlobServiceClient, CorsRule

from aiostow import AzureStorage
from aiostow.sync import SyncStorage
from tests.servers import AzuriteServer, azurite
from tests.servers._process import free_ports
from tests.servers.running import running

from ._page import Page, Site, eventually
from ._stored import Stored
from .conftest import MB


@pytest.mark.parametrize("size", [1 * MB, 11 * MB])
def test_a_container_is_sent_the_file_and_gives_it_back(
    visit: Callable[[Site], Page],
    make_file: Callable[[str, int], Path],
    tmp_path: Path,
    size: int,
) -> None:
    with running({"azurite": azurite}, tmp_path) as started:
        server: AzuriteServer = started("azurite")
        (port,) = free_ports(1)
        place, key = server.endpoint("one"), server.accounts["one"]
        client = BlobServiceClient(
            place, credential=AzureNamedKeyCredential("one", key), api_version="2025-01-05"
        )
        rule = CorsRule(
            [f"http://127.0.0.1:{port}"], ["GET", "PUT", "DELETE"], allowed_headers=["*"]
        )
        client.set_service_properties(cors=[rule])
        client.create_container("shared")
        client.close()
        settings: dict[str, Any] = {
            "account": "one",
            "key": key,
            "bucket": "shared",
            "endpoint": place,
        }
        with SyncStorage(AzureStorage(**settings)) as storage:
            stored = Stored({"class": "AzureStorage", **settings}, storage)
            site = Site(tmp_path / "site", port, stored)
            site.start()
            try:
                page = visit(site)
                file = make_file("film.bin", size)
                page.choose(file)
                eventually(lambda: page.share(file.name, "active"), "it is shared")
                page.press("shares", file.name, "copy")
                content, headers = site.get(eventually(page.clipboard, "the link is copied"))
                assert hashlib.sha256(content).digest() == (
                    hashlib.sha256(file.read_bytes()).digest()
                )
                assert headers.get_filename() == file.name
            finally:
                site.end()
