"""S3 on a real Ceph gateway, near and as a distant cloud: beside obstore and the SDK's family."""

from __future__ import annotations

import asyncio
import functools
import io
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aioboto3
import boto3
import obstore
import s3fs
from botocore.config import Config
from obstore.store import S3Store
from tests.servers import S3Server, ceph
from tests.servers.ceph import collect_garbage

from aiostow import S3Storage

from ._measure import Case, Target, about, chosen, drain, measure, together
from ._shape import FIRST_BYTE, RATE, shaped

MIB = 1 << 20
LARGE = 256
SMALL = 1024
CALLS = 1500
FLIGHT = 16
LISTED = 50_000
BUCKET = "bench-bucket"


class Peers:
    """Clients of every contender on one endpoint."""

    def __init__(self, server: S3Server, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.server = server
        self.keys: dict[str, Any] = {
            "aws_access_key_id": server.access_key,
            "aws_secret_access_key": server.secret_key,
        }
        self.config = Config(
            max_pool_connections=64,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[Peers]:
        async with AsyncExitStack() as stack:
            self.ours = await stack.enter_async_context(
                S3Storage(BUCKET, "us-east-1", endpoint_url=self.url, **self.keys)
            )
            self.obstore = S3Store(
                BUCKET,
                endpoint=self.url,
                region="us-east-1",
                access_key_id=self.server.access_key,
                secret_access_key=self.server.secret_key,
                virtual_hosted_style_request=False,
                client_options={"allow_http": True},
            )
            session = aioboto3.Session(**self.keys, region_name="us-east-1")
            self.aioboto3 = await stack.enter_async_context(
                session.client("s3", endpoint_url=self.url, config=self.config)
            )
            self.boto3 = boto3.client(
                "s3", endpoint_url=self.url, region_name="us-east-1", config=self.config,
                **self.keys,
            )  # fmt: skip
            self.s3fs = s3fs.S3FileSystem(
                key=self.server.access_key, secret=self.server.secret_key, endpoint_url=self.url,
                asynchronous=True, use_listings_cache=False,
                config_kwargs={
                    "max_pool_connections": 64,
                    "request_checksum_calculation": "when_required",
                    "response_checksum_validation": "when_required",
                },
            )  # fmt: skip
            s3fs_session = await self.s3fs.set_session()
            yield self
            await s3fs_session.close()


async def main() -> None:
    """Measure and print every case."""
    with tempfile.TemporaryDirectory() as folder:
        with ceph(Path(folder) / "ceph") as server:
            print("s3, Ceph RADOS Gateway in memory on the same machine:", about(
                "aiostow", "obstore", "aioboto3", "aiobotocore", "aiohttp", "s3fs", "boto3",
            ))  # fmt: skip
            boto3.client(
                "s3", endpoint_url=server.endpoint_url, region_name="us-east-1",
                aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key,
            ).create_bucket(Bucket=BUCKET)  # fmt: skip
            async with Peers(server, server.port).entered() as near:
                await near.ours.write_bytes("large", os.urandom(MIB) * LARGE)
                await near.ours.write_bytes("small", os.urandom(SMALL))
                cases = [*reading(near), *writing(near, Path(folder) / "ceph"), *small(near)]
                for case in chosen(cases):
                    await measure(case)
                for case in chosen([listing(near)]):
                    await plant(near.ours)
                    await measure(case)
            with shaped(server.port) as port:
                print(
                    f"\nShaped: {FIRST_BYTE * 1000:.0f} ms to the first byte, "
                    f"{RATE // MIB} MiB/s a connection"
                )
                async with Peers(server, port).entered() as far:
                    cases = shaped_cases(far, Path(folder) / "ceph")
                    for case in chosen(cases):
                        await measure(case)


def streams(peers: Peers) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return how each streams the large object."""

    async def ours() -> None:
        async with peers.ours.open("large") as file:
            await drain(file, LARGE * MIB)

    async def by_obstore() -> None:
        await drain((await obstore.get_async(peers.obstore, "large")).stream(4 * MIB), LARGE * MIB)

    async def by_aioboto3() -> None:
        answer = await peers.aioboto3.get_object(Bucket=BUCKET, Key="large")
        total = 0
        while chunk := await answer["Body"].read(MIB):
            total += len(chunk)
        assert total == LARGE * MIB

    async def by_s3fs() -> None:
        file = await peers.s3fs.open_async(f"{BUCKET}/large", "rb")
        total = 0
        while chunk := await file.read(MIB):
            total += len(chunk)
        assert total == LARGE * MIB

    async def by_boto3() -> None:
        def work() -> None:
            body = peers.boto3.get_object(Bucket=BUCKET, Key="large")["Body"]
            assert sum(len(chunk) for chunk in body.iter_chunks(MIB)) == LARGE * MIB

        await asyncio.to_thread(work)

    return {
        "aiostow": ours, "obstore": by_obstore, "aioboto3": by_aioboto3, "s3fs": by_s3fs,
        "boto3": by_boto3,
    }  # fmt: skip


def reading(peers: Peers) -> list[Case]:
    """Streams from near."""

    async def by_curl() -> None:
        url = await peers.ours.link_to("large", "download", 3600)
        process = await asyncio.create_subprocess_exec(
            "curl", "-s", "-o", "/dev/null", str(url), stdout=subprocess.DEVNULL
        )
        assert await process.wait() == 0

    runs = {**streams(peers), "curl": by_curl}
    targets = (Target("obstore", 1.0), Target("curl", 0.9))
    return [Case(f"stream GET {LARGE} MiB", LARGE, "MiB", runs, targets, rounds=9)]


def uploads(peers: Peers, data: bytes) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return how each writes a large object of bytes."""

    async def by_aioboto3() -> None:
        await peers.aioboto3.upload_fileobj(io.BytesIO(data), BUCKET, "put")

    async def by_boto3() -> None:
        await asyncio.to_thread(peers.boto3.upload_fileobj, io.BytesIO(data), BUCKET, "put")

    return {
        "aiostow": lambda: peers.ours.write_bytes("put", data),
        "obstore": lambda: obstore.put_async(peers.obstore, "put", data),
        "aioboto3": by_aioboto3,
        "s3fs": lambda: peers.s3fs._pipe_file(f"{BUCKET}/put", data),
        "boto3": by_boto3,
    }


def writing(peers: Peers, folder: Path) -> list[Case]:
    """Large objects from near."""
    data = os.urandom(MIB) * LARGE
    block = data[:MIB]

    async def ours_by_mib() -> None:
        async with peers.ours.open("put", "w") as file:
            for _ in range(LARGE):
                await file.write(block)

    async def obstore_by_mib() -> None:
        async with obstore.open_writer_async(peers.obstore, "put") as file:
            for _ in range(LARGE):
                await file.write(block)

    def between() -> None:
        peers.boto3.delete_object(Bucket=BUCKET, Key="put")
        collect_garbage(folder)

    return [
        Case(
            f"PUT {LARGE} MiB of bytes", LARGE, "MiB", uploads(peers, data),
            (Target("obstore", 1.05),), 9, between,
        ),
        Case(
            f"PUT {LARGE} MiB by 1 MiB", LARGE, "MiB",
            {"aiostow": ours_by_mib, "obstore": obstore_by_mib}, (Target("obstore", 0.95),), 9,
            between,
        ),
    ]  # fmt: skip


def small(peers: Peers) -> list[Case]:
    """Small objects from near."""
    data = os.urandom(SMALL)

    async def obstore_get(_: int) -> None:
        await (await obstore.get_async(peers.obstore, "small")).bytes_async()

    async def aioboto3_get(_: int) -> None:
        answer = await peers.aioboto3.get_object(Bucket=BUCKET, Key="small")
        await answer["Body"].read()

    async def aioboto3_put(number: int) -> None:
        await peers.aioboto3.put_object(Bucket=BUCKET, Key=f"p/{number}", Body=data)

    gets: dict[str, Callable[[int], Awaitable[object]]] = {
        "aiostow": lambda _: peers.ours.read_bytes("small"),
        "obstore": obstore_get,
        "aioboto3": aioboto3_get,
        "s3fs": lambda _: peers.s3fs._cat_file(f"{BUCKET}/small"),
    }
    puts: dict[str, Callable[[int], Awaitable[object]]] = {
        "aiostow": lambda number: peers.ours.write_bytes(f"p/{number}", data),
        "obstore": lambda number: obstore.put_async(peers.obstore, f"p/{number}", data),
        "aioboto3": aioboto3_put,
        "s3fs": lambda number: peers.s3fs._pipe_file(f"{BUCKET}/p/{number}", data),
    }
    return [
        Case(
            f"1 KiB {verb}, {FLIGHT} in flight", CALLS, "op",
            {n: functools.partial(together, c, CALLS, FLIGHT) for n, c in calls.items()},
            (Target("obstore", ratio), Target("aioboto3", 4.0), Target("s3fs", 4.0)),
        )
        for verb, calls, ratio in (("GET", gets, 3.0), ("PUT", puts, 0.95))
    ]  # fmt: skip


async def plant(storage: S3Storage) -> None:
    """Write many small objects."""
    await together(lambda n: storage.write_bytes(f"list/{n:06}", b""), LISTED, 64)


def listing(peers: Peers) -> Case:
    """A long listing from near."""

    async def ours() -> None:
        count = 0
        async for _ in peers.ours.list("list"):
            count += 1
        assert count == LISTED

    async def by_obstore() -> None:
        count = 0
        async for page in obstore.list(peers.obstore, "list"):
            count += len(page)
        assert count == LISTED

    async def by_aioboto3() -> None:
        pages = peers.aioboto3.get_paginator("list_objects_v2")
        count = 0
        async for page in pages.paginate(Bucket=BUCKET, Prefix="list/"):
            count += len(page["Contents"])
        assert count == LISTED

    async def by_s3fs() -> None:
        assert len(await peers.s3fs._find(f"{BUCKET}/list")) == LISTED

    runs: dict[str, Callable[[], Awaitable[object]]]
    runs = {"aiostow": ours, "obstore": by_obstore, "aioboto3": by_aioboto3, "s3fs": by_s3fs}
    return Case(f"list {LISTED:,} keys", LISTED, "key", runs, (Target("obstore", 1.5),))


def shaped_cases(peers: Peers, folder: Path) -> list[Case]:
    """Large objects from far."""
    data = os.urandom(MIB) * LARGE
    gets, puts = streams(peers), uploads(peers, data)

    def between() -> None:
        collect_garbage(folder)

    return [
        Case(
            f"shaped: stream GET {LARGE} MiB", LARGE, "MiB",
            {name: gets[name] for name in ("aiostow", "obstore")}, (Target("obstore", 4.0),),
        ),
        Case(
            f"shaped: PUT {LARGE} MiB of bytes", LARGE, "MiB",
            {name: puts[name] for name in ("aiostow", "obstore")}, (Target("obstore", 1.0),), 5,
            between,
        ),
    ]  # fmt: skip
