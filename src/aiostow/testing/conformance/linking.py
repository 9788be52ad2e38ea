"""Links of the service's own: they allow what they say, and no more."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

import pytest

from ...driver import Presigner
from ...errors import InvalidArgumentError, NotSupportedError
from ...links import make_grant
from ...models import Link
from ...storage import Storage
from ._base import Suite, proves

HOUR = timedelta(hours=1)
_NOTHING: Mapping[str, str] = MappingProxyType({})


async def use(
    link: Link, method: str, body: bytes | None = None, headers: Mapping[str, str] = _NOTHING
) -> tuple[int, bytes]:
    """Use a link as any HTTP client does, and return status and body."""

    def work() -> tuple[int, bytes]:
        request = urllib.request.Request(str(link), body, dict(headers), method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, b""

    return await asyncio.to_thread(work)


class LinkingTests(Suite):
    @pytest.fixture
    def presigning(self, storage: Storage) -> Storage:
        if not isinstance(storage.driver, Presigner):
            pytest.skip("the service has no links of its own")
        return storage

    @proves("presign-exact")
    async def test_a_link_allows_its_operation_only(self, presigning: Storage) -> None:
        storage = presigning
        await storage.write_bytes("a/k", b"data")
        down = await storage.link_to("a/k", "download", HOUR)
        up = await storage.link_to("a/new", "upload", HOUR)
        gone = await storage.link_to("a/k", "remove", HOUR)
        assert await use(down, "GET") == (200, b"data")
        assert (await use(down, "DELETE"))[0] >= 400
        assert (await use(down, "PUT", b"evil", up.headers))[0] >= 400
        assert (await use(up, "GET"))[0] >= 400
        assert (await use(up, "PUT", b"new", up.headers))[0] in (200, 201)
        assert await storage.read_bytes("a/new") == b"new"
        assert (await use(gone, "GET"))[0] >= 400
        assert await storage.read_bytes("a/k") == b"data"
        assert (await use(gone, "DELETE"))[0] in (200, 202, 204)
        assert not await storage.exists("a/k")

    @proves("presign-exact")
    async def test_a_constraint_is_enforced_or_refused(self, presigning: Storage) -> None:
        storage = presigning
        await storage.write_bytes("k", b"old")
        try:
            link = await storage.link_to("k", "upload", HOUR, overwrite=False)
        except NotSupportedError:
            pass
        else:
            assert (await use(link, "PUT", b"new", link.headers))[0] >= 400
        try:
            link = await storage.link_to("k", "upload", HOUR, exact_size=3)
        except NotSupportedError:
            pass
        else:
            others = {n: v for n, v in link.headers.items() if n.lower() != "content-length"}
            assert (await use(link, "PUT", b"four", others))[0] >= 400
        assert await storage.read_bytes("k") == b"old"

    @proves("presign-expiry")
    async def test_a_link_ends(self, presigning: Storage) -> None:
        storage = presigning
        await storage.write_bytes("k", b"data")
        link = await storage.link_to("k", "download", timedelta(seconds=2))
        assert (await use(link, "GET"))[0] == 200
        await asyncio.sleep(max(link.expires.timestamp() - time.time(), 0) + 1.2)
        assert (await use(link, "GET"))[0] >= 400

    @proves("presign-expiry")
    async def test_nothing_is_signed_for_the_past(self, presigning: Storage) -> None:
        driver = presigning.driver
        assert isinstance(driver, Presigner)
        await driver.connect()
        now = time.time()
        grant = make_grant("k", "download", 60, now - 3600)
        with pytest.raises(InvalidArgumentError):
            await driver.presign("k", grant, now)
