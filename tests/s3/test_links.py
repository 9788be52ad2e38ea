"""Links that S3 honours: what they allow, and nothing else."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from aiostow import (
    InvalidArgumentError,
    InvalidKeyError,
    Link,
    NotSupportedError,
    S3Storage,
    Support,
)
from aiostow.backends._s3_xml import Part, complete_body
from tests.rest.client import ask
from tests.servers import S3Server

from ._suite import MakeStorage

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)
MIB = 1 << 20


@pytest.fixture
async def storage(make_storage: MakeStorage) -> Any:
    async with make_storage() as storage:
        yield storage


async def test_a_download_gives_the_bytes_under_the_name_that_was_chosen(
    storage: S3Storage,
) -> None:
    await storage.write_bytes("a/b c+d%.txt", b"content", content_type="text/x-own")
    link = await storage.link_to("a/b c+d%.txt", "download", HOUR, "Übersicht; 1.txt", "text/csv")
    assert isinstance(link, Link)
    assert link.methods == ("GET",)
    answer = await ask(link)
    assert (answer.status, answer.body) == (200, b"content")
    assert answer.headers["Content-Type"] == "text/csv"
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename=\"_bersicht; 1.txt\"; filename*=UTF-8''%C3%9Cbersicht%3B%201.txt"
    )


async def test_an_upload_stores_what_was_signed(storage: S3Storage) -> None:
    link = await storage.link_to("new", "upload", HOUR, content_type="text/csv")
    assert link.methods == ("PUT",)
    assert dict(link.headers) == {"Content-Type": "text/csv"}
    assert (await ask(link, "PUT", b"a,b", link.headers)).status == 200
    assert await storage.read_bytes("new") == b"a,b"
    assert (await storage.stat("new")).content_type == "text/csv"
    wrong = await ask(link, "PUT", b"<script>", {"Content-Type": "text/html"})
    assert wrong.status == 403
    assert await storage.read_bytes("new") == b"a,b"


async def test_an_upload_without_a_type_is_octets(storage: S3Storage) -> None:
    link = await storage.link_to("new", "upload", HOUR)
    assert dict(link.headers) == {"Content-Type": "application/octet-stream"}
    assert (await ask(link, "PUT", b"1", link.headers)).status == 200


async def test_a_removal_removes(storage: S3Storage) -> None:
    await storage.write_bytes("k", b"1")
    link = await storage.link_to("k", "remove", HOUR)
    assert link.methods == ("DELETE",)
    assert (await ask(link, "DELETE")).status == 204
    assert not await storage.exists("k")


async def test_a_link_is_for_its_operation_and_key_only(
    storage: S3Storage, server: S3Server
) -> None:
    await storage.write_bytes("k", b"mine")
    await storage.write_bytes("other", b"secret")
    links = {op: await storage.link_to("k", op, HOUR) for op in ("download", "upload", "remove")}
    for operation, link in links.items():
        for method in {"GET", "PUT", "DELETE"} - set(link.methods):
            body = b"evil" if method == "PUT" else None
            answer = await ask(link, method, body, links["upload"].headers)
            assert answer.status == 403, (operation, method)
        for changed in (
            link.replace("/k?", "/other?"),
            link.replace("Expires=3", "Expires=4"),
            link[:-1] + ("0" if link[-1] != "0" else "1"),
        ):
            assert changed != link
            body = b"evil" if "PUT" in link.methods else None
            answer = await ask(changed, link.methods[0], body, link.headers)
            assert answer.status in (400, 403), (operation, changed)
    assert await storage.read_bytes("k") == b"mine"
    assert await storage.read_bytes("other") == b"secret"


async def test_an_expired_link_is_refused(storage: S3Storage) -> None:
    await storage.write_bytes("k", b"1")
    link = await storage.link_to("k", "download", timedelta(seconds=2))
    assert (await ask(link)).status == 200
    await asyncio.sleep(max(link.expires.timestamp() - time.time(), 0) + 1.2)
    assert (await ask(link)).status == 403


async def test_an_exact_size_is_enforced(storage: S3Storage, server: S3Server) -> None:
    link = await storage.link_to("k", "upload", HOUR, exact_size=5)
    assert link.headers["Content-Length"] == "5"
    refused = await ask(link, "PUT", b"123456", {"Content-Type": "application/octet-stream"})
    assert refused.status == 403
    assert not await storage.exists("k")
    headers = {name: value for name, value in link.headers.items() if name != "Content-Length"}
    assert (await ask(link, "PUT", b"12345", headers)).status == 200


async def test_no_overwrite_is_enforced(storage: S3Storage) -> None:
    link = await storage.link_to("k", "upload", HOUR, overwrite=False)
    assert link.headers["If-None-Match"] == "*"
    without = {"Content-Type": "application/octet-stream"}
    assert (await ask(link, "PUT", b"sneaky", without)).status == 403
    assert (await ask(link, "PUT", b"first", link.headers)).status == 200
    assert (await ask(link, "PUT", b"second", link.headers)).status == 412
    assert await storage.read_bytes("k") == b"first"


async def test_a_large_upload_by_parts_from_outside(storage: S3Storage) -> None:
    data = bytes(range(256)) * (11 * MIB // 256)
    link = await storage.multipart_link_to("big", len(data), HOUR, "video/mp4")
    assert [part.methods for part in link.parts] == [("PUT",)] * 3
    parts = []
    for number, part in enumerate(link.parts):
        body = data[number * link.part_size : (number + 1) * link.part_size]
        assert part.headers["Content-Length"] == str(len(body))
        answer = await ask(part, "PUT", body)
        assert answer.status == 200
        parts.append(Part(number + 1, answer.headers["ETag"].strip('"'), None))
    assert not await storage.exists("big")
    done = await ask(link.complete, "POST", complete_body(parts), link.complete.headers)
    assert done.status == 200
    assert b"<Error>" not in done.body
    assert await storage.read_bytes("big") == data
    assert (await storage.stat("big")).content_type == "video/mp4"


async def test_a_large_upload_from_outside_can_be_aborted_or_swept(storage: S3Storage) -> None:
    first = await storage.multipart_link_to("big", 6 * MIB, HOUR)
    assert (await ask(first.abort, "DELETE")).status == 204
    await storage.multipart_link_to("big", 6 * MIB, HOUR)
    await asyncio.sleep(1.1)  # Swift rounds the beginning up
    assert await storage.sweep_uploads(timedelta(0)) == 1
    assert await storage.sweep_uploads(timedelta(0)) == 0


async def test_links_of_a_view_lead_below_its_prefix(storage: S3Storage) -> None:
    await storage.write_bytes("view/k", b"below")
    assert (await ask(await storage.at("view").link_to("k", "download", HOUR))).body == b"below"


async def test_what_s3_cannot_enforce_is_refused(make_storage: MakeStorage) -> None:
    async with make_storage(conditional_complete=False) as storage:
        for options in ({"once": True}, {"max_size": 10}):
            with pytest.raises(NotSupportedError, match=next(iter(options))):
                await storage.link_to("k", "upload", HOUR, **options)
        for several in ("du", "dur", "ur"):
            with pytest.raises(NotSupportedError, match="one operation"):
                await storage.link_to("k", several, HOUR)
        with pytest.raises(NotSupportedError, match="conditional_complete"):
            await storage.multipart_link_to("k", MIB, HOUR, overwrite=False)
        assert storage.capabilities.links is Support.native


async def test_limits_are_checked_by_us(storage: S3Storage) -> None:
    week = timedelta(days=7)
    await storage.link_to("k", "download", week)
    for expire in (week + timedelta(seconds=2), 0, -5, timedelta(seconds=-1)):
        with pytest.raises(InvalidArgumentError):
            await storage.link_to("k", "download", expire)
    for key in ("a/../secret", "/k", "a//b", "k\n"):
        with pytest.raises(InvalidKeyError):
            await storage.link_to(key, "download", HOUR)
    for size in (0, -1):
        with pytest.raises(InvalidArgumentError):
            await storage.multipart_link_to("k", size, HOUR)
    with pytest.raises(InvalidArgumentError, match="parts"):
        await storage.multipart_link_to("k", 60_000 * MIB, HOUR, part_size=5 * MIB)
    assert await storage.sweep_uploads(timedelta(0)) == 0


async def test_an_endpoint_of_ours_takes_over_where_one_was_configured(
    make_storage: MakeStorage,
) -> None:
    endpoint = {"linked_endpoint": "https://files.example/x", "secret_key": "s" * 32}
    async with make_storage(**endpoint) as storage:
        link = await storage.link_to("k", "dur", HOUR, max_size=5)
        assert link.startswith("https://files.example/x?token=")
        grant = storage.deserialize_link_token(link.partition("token=")[2])
        assert grant.max_size == 5
