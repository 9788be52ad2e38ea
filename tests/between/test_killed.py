"""A sync that is killed goes on: whatever was finished is not sent again."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aiostow import LocalFSStorage, S3Storage
from aiostow.testing import FaultProxy, WireFault
from aiostow.trees import Action, sync, verify
from tests.servers import S3Server
from tests.test_docs import ROOT

MIB = 1 << 20
PART = 5 * MIB
Spec = Callable[[], dict[str, Any]]


def start(root: Path, spec: dict[str, Any], journal: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.between._sync_child", str(root), json.dumps(spec),
         str(journal)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def run_until(process: subprocess.Popen[str], dice: random.Random) -> bool:
    """Kill a sync after some names and some moments; return whether it had ended."""
    assert process.stdout is not None
    lines, ended = 0, False
    enough = dice.randint(0, 12)
    for line in process.stdout:
        if line.startswith("ended"):
            ended = True
        if line.startswith("copied"):
            lines += 1
        if lines >= enough:
            time.sleep(dice.random() * 0.03)
            break
    process.kill()
    process.communicate()
    return ended


def objects(client: Any, bucket: str) -> dict[str, tuple[int, object]]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {
        item["Key"]: (item["Size"], item["LastModified"])
        for page in pages
        for item in page.get("Contents", ())
    }


@pytest.fixture
def proxy(s3_server: Callable[[], S3Server]) -> Iterator[FaultProxy]:
    """A slow way to Ceph."""
    with FaultProxy(s3_server().port) as proxy:
        yield proxy


@pytest.mark.anyio
async def test_killed_at_fifty_points(
    s3_spec: Spec, s3_client: Any, tmp_path: Path, long: bool
) -> None:
    dice = random.Random(7)
    spec, root = s3_spec(), tmp_path / "tree"
    kills = 0
    turn = 0
    while kills < (200 if long else 50):
        turn += 1
        journal = tmp_path / f"journal-{turn}"
        for number in range(300):
            path = root / f"d{turn}-{number % 7}" / f"f{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(dice.randbytes(dice.choice((0, 5, 5, 3000))))
        (root / f"large-{turn}").write_bytes(dice.randbytes(12 * MIB))
        done: dict[str, tuple[int, object]] = {}
        ended = False
        while not ended:
            ended = run_until(start(root, spec, journal), dice)
            kills += not ended
            now = objects(s3_client, spec["bucket"])
            for name, seen in done.items():
                assert now[name] == seen, f"{name} was sent again"
            for name, (size, _) in now.items():
                assert size == (root / name).stat().st_size
            done = now
        async with LocalFSStorage(root) as source, S3Storage(**spec) as destination:
            assert (await verify(source, destination)).same
            assert str(await sync(source, destination, journal=journal)).endswith(" unchanged")
    for upload in uploads_of(s3_client, spec["bucket"]):
        # One that was killed before it knew the upload's name leaves it, without a part.
        assert parts_of(s3_client, spec["bucket"], upload) == []


@pytest.mark.anyio
async def test_a_large_file_goes_on_at_its_parts(
    proxy: FaultProxy, s3_spec: Spec, s3_client: Any, tmp_path: Path
) -> None:
    spec, root = s3_spec(), tmp_path / "tree"
    root.mkdir()
    size = 64 * MIB
    (root / "large").write_bytes(random.Random(3).randbytes(size))
    spec["endpoint_url"] = f"http://127.0.0.1:{proxy.port}"
    proxy.add(WireFault(b"partNumber=", times=None, latency=0.03))  # every block of it
    process = start(root, spec, tmp_path / "journal")
    parts = await parts_when(s3_client, spec["bucket"], 4)
    process.kill()
    process.communicate()
    assert parts < size // PART
    proxy.clear()
    proxy.add(WireFault(b"partNumber=", times=None))  # counts
    async with LocalFSStorage(root) as source, S3Storage(**spec) as destination:
        report = await sync(source, destination, journal=tmp_path / "journal")
        assert (report.failed, report[Action.copied]) == (0, 1)
        assert 0 < len(proxy.armed) <= -(-size // PART) - parts
        assert (await verify(source, destination)).same
    assert uploads_of(s3_client, spec["bucket"]) == []


@pytest.mark.anyio
async def test_parts_of_an_older_file_are_of_no_use(
    proxy: FaultProxy, s3_spec: Spec, s3_client: Any, tmp_path: Path
) -> None:
    spec, root = s3_spec(), tmp_path / "tree"
    root.mkdir()
    (root / "large").write_bytes(bytes(64 * MIB))
    spec["endpoint_url"] = f"http://127.0.0.1:{proxy.port}"
    proxy.add(WireFault(b"partNumber=", times=None, latency=0.03))
    process = start(root, spec, tmp_path / "journal")
    await parts_when(s3_client, spec["bucket"], 2)
    process.kill()
    process.communicate()
    proxy.clear()
    new = random.Random(4).randbytes(64 * MIB)
    (root / "large").write_bytes(new)
    async with LocalFSStorage(root) as source, S3Storage(**spec) as destination:
        await sync(source, destination, journal=tmp_path / "journal")
        assert await destination.read_bytes("large") == new
    assert uploads_of(s3_client, spec["bucket"]) == []


def uploads_of(client: Any, bucket: str) -> list[Any]:
    uploads: list[Any] = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return uploads


def parts_of(client: Any, bucket: str, upload: Any) -> list[Any]:
    parts: list[Any] = client.list_parts(
        Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
    ).get("Parts", [])
    return parts


@pytest.mark.anyio
@pytest.mark.parametrize("other", [{"part_size": 8 * MIB}, {"memory_budget": 200 * MIB}])
async def test_parts_of_another_size_are_of_no_use(
    proxy: FaultProxy, s3_spec: Spec, s3_client: Any, tmp_path: Path, other: dict[str, int]
) -> None:
    spec, root = s3_spec(), tmp_path / "tree"
    root.mkdir()
    data = random.Random(5).randbytes(54 * MIB)
    (root / "large").write_bytes(data)
    spec["endpoint_url"] = f"http://127.0.0.1:{proxy.port}"
    spec |= {"part_size": 16 * MIB, "memory_budget": 20 * MIB}  # 5 MiB is what a quarter allows
    proxy.add(WireFault(b"?uploadId=", times=None, unavailable=0))  # the end of an upload
    async with LocalFSStorage(root) as source:
        async with S3Storage(**spec, retry_deadline=0.5) as destination:
            report = await sync(source, destination, journal=tmp_path / "journal")
            assert report.failed == 1
        (upload,) = uploads_of(s3_client, spec["bucket"])
        assert len(parts_of(s3_client, spec["bucket"], upload)) >= 10
        proxy.clear()
        async with S3Storage(**{**spec, **other}) as destination:
            report = await sync(source, destination, journal=tmp_path / "journal")
            assert (report.failed, report[Action.copied]) == (0, 1)
            assert await destination.read_bytes("large") == data
    assert uploads_of(s3_client, spec["bucket"]) == []


async def parts_when(client: Any, bucket: str, enough: int) -> int:
    """Wait until an upload under way has so many parts, and return how many it has."""
    async with asyncio.timeout(60):
        while True:
            for upload in uploads_of(client, bucket):
                parts = len(parts_of(client, bucket, upload))
                if parts >= enough:
                    return parts
            await asyncio.sleep(0.05)
