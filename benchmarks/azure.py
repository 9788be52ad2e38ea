"""Azure Blob on Azurite: beside obstore, the SDK and adlfs."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import adlfs
import obstore
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob.aio import ContainerClient
from obstore.store import AzureStore
from tests.servers import AzuriteServer, azurite

from aiostow import AzureStorage

from ._measure import Case, Target, about, chosen, drain, measure, together
from ._shape import FIRST_BYTE, RATE, shaped

MIB = 1 << 20
LARGE = 128
SMALL = 1024
CALLS = 1500
FLIGHT = 16
LISTED = 20_000
ACCOUNT = "one"
CONTAINER = "bench"


class Peers:
    """Clients of every contender on one endpoint."""

    def __init__(self, server: AzuriteServer, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        self.key = server.accounts[ACCOUNT]

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[Peers]:
        async with AsyncExitStack() as stack:
            self.ours = await stack.enter_async_context(
                AzureStorage(ACCOUNT, self.key, CONTAINER, endpoint=self.endpoint)
            )
            self.obstore = AzureStore(
                CONTAINER, account_name=ACCOUNT, account_key=self.key, endpoint=self.endpoint,
                client_options={"allow_http": True},
            )  # fmt: skip
            self.sdk: Any = await stack.enter_async_context(
                ContainerClient(
                    self.endpoint, CONTAINER, credential=AzureNamedKeyCredential(ACCOUNT, self.key)
                )
            )
            self.adlfs = adlfs.AzureBlobFileSystem(
                connection_string=(
                    f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={self.key};"
                    f"BlobEndpoint={self.endpoint};"
                ),
                asynchronous=True, use_listings_cache=False, skip_instance_cache=True,
            )  # fmt: skip
            yield self
            await self.adlfs.service_client.close()


async def main() -> None:
    """Measure and print every case."""
    print("azure, Azurite in memory on the same machine:", about(
        "aiostow", "obstore", "azure-storage-blob", "aiohttp", "adlfs",
    ))  # fmt: skip
    # Azurite keeps what was overwritten for minutes: each topic has one of its own.
    for cases in (reading, small, writing, writing_by_mib, listing):
        async with on_azurite() as server, Peers(server, server.port).entered() as near:
            await measure_all(near, cases)
    for cases in (shaped_reading, shaped_writing):
        async with on_azurite() as server:
            with shaped(server.port) as port:
                async with Peers(server, port).entered() as far:
                    await measure_all(far, cases)


@asynccontextmanager
async def on_azurite() -> AsyncIterator[AzuriteServer]:
    """Run Azurite with a container within the block."""
    with tempfile.TemporaryDirectory() as folder, azurite(Path(folder) / "azurite") as server:
        async with Peers(server, server.port).entered() as peers:
            await peers.sdk.create_container()
        yield server


async def measure_all(peers: Peers, cases: Callable[[Peers], Awaitable[list[Case]]]) -> None:
    """Measure the cases of one topic, as far as they were asked for."""
    for case in chosen(await cases(peers)):
        await measure(case)


def streams(peers: Peers) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return how each streams the large blob."""

    async def ours() -> None:
        async with peers.ours.open("large") as file:
            await drain(file, LARGE * MIB)

    async def by_obstore() -> None:
        chunks = (await obstore.get_async(peers.obstore, "large")).stream(4 * MIB)
        await drain(chunks, LARGE * MIB)

    async def by_sdk() -> None:
        await drain((await peers.sdk.download_blob("large")).chunks(), LARGE * MIB)

    async def by_adlfs() -> None:
        assert len(await peers.adlfs._cat_file(f"{CONTAINER}/large")) == LARGE * MIB

    return {"aiostow": ours, "obstore": by_obstore, "SDK": by_sdk, "adlfs": by_adlfs}


async def reading(peers: Peers) -> list[Case]:
    """Streams from near."""
    await peers.ours.write_bytes("large", os.urandom(MIB) * LARGE)

    async def by_curl() -> None:
        url = await peers.ours.link_to("large", "download", 3600)
        process = await asyncio.create_subprocess_exec(
            "curl", "-s", "-o", "/dev/null", str(url), stdout=subprocess.DEVNULL
        )
        assert await process.wait() == 0

    runs = {**streams(peers), "curl": by_curl}
    return [Case(f"stream GET {LARGE} MiB", LARGE, "MiB", runs, (Target("obstore", 1.0),), 9)]


def uploads(peers: Peers, data: bytes) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return how each writes a large blob of bytes."""
    return {
        "aiostow": lambda: peers.ours.write_bytes("put/ours", data),
        "obstore": lambda: obstore.put_async(peers.obstore, "put/obstore", data),
        "SDK": lambda: peers.sdk.upload_blob("put/sdk", data, overwrite=True, max_concurrency=8),
        "adlfs": lambda: peers.adlfs._pipe_file(f"{CONTAINER}/put/adlfs", data, overwrite=True),
    }


async def writing(peers: Peers) -> list[Case]:
    """Large blobs from near."""
    runs = uploads(peers, os.urandom(MIB) * LARGE)
    return [Case(f"PUT {LARGE} MiB of bytes", LARGE, "MiB", runs, (Target("obstore", 1.0),), 9)]


async def writing_by_mib(peers: Peers) -> list[Case]:
    """Large blobs from near, as they come."""
    block = os.urandom(MIB)

    async def ours_by_mib() -> None:
        async with peers.ours.open("put/ours", "w") as file:
            for _ in range(LARGE):
                await file.write(block)

    async def obstore_by_mib() -> None:
        async with obstore.open_writer_async(peers.obstore, "put/obstore") as file:
            for _ in range(LARGE):
                await file.write(block)

    runs: dict[str, Callable[[], Awaitable[object]]]
    runs = {"aiostow": ours_by_mib, "obstore": obstore_by_mib}
    return [Case(f"PUT {LARGE} MiB by 1 MiB", LARGE, "MiB", runs, (Target("obstore", 1.0),), 9)]


async def small(peers: Peers) -> list[Case]:
    """Small blobs from near."""
    await peers.ours.write_bytes("small", os.urandom(SMALL))
    data = os.urandom(SMALL)

    async def obstore_get(_: int) -> None:
        await (await obstore.get_async(peers.obstore, "small")).bytes_async()

    async def sdk_get(_: int) -> None:
        await (await peers.sdk.download_blob("small")).readall()

    gets: dict[str, Callable[[int], Awaitable[object]]] = {
        "aiostow": lambda _: peers.ours.read_bytes("small"),
        "obstore": obstore_get,
        "SDK": sdk_get,
        "adlfs": lambda _: peers.adlfs._cat_file(f"{CONTAINER}/small"),
    }
    puts: dict[str, Callable[[int], Awaitable[object]]] = {
        "aiostow": lambda number: peers.ours.write_bytes(f"p/{number}", data),
        "obstore": lambda number: obstore.put_async(peers.obstore, f"p/{number}", data),
        "SDK": lambda number: peers.sdk.upload_blob(f"p/{number}", data, overwrite=True),
        "adlfs": lambda n: peers.adlfs._pipe_file(f"{CONTAINER}/p/{n}", data, overwrite=True),
    }
    return [
        Case(
            f"1 KiB {verb}, {FLIGHT} in flight", CALLS, "op",
            {n: functools.partial(together, c, CALLS, FLIGHT) for n, c in calls.items()},
            (Target("obstore", 1.0), Target("SDK", 3.0)),
        )
        for verb, calls in (("GET", gets), ("PUT", puts))
    ]  # fmt: skip


async def listing(peers: Peers) -> list[Case]:
    """A long listing from near."""
    await together(lambda n: peers.ours.write_bytes(f"list/{n:06}", b""), LISTED, FLIGHT)

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

    async def by_sdk() -> None:
        count = 0
        async for _ in peers.sdk.list_blobs(name_starts_with="list/"):
            count += 1
        assert count == LISTED

    runs: dict[str, Callable[[], Awaitable[object]]]
    runs = {"aiostow": ours, "obstore": by_obstore, "SDK": by_sdk}
    return [Case(f"list {LISTED:,} keys", LISTED, "key", runs, (), 3)]


FAR = f"shaped, {FIRST_BYTE * 1000:.0f} ms and {RATE // MIB} MiB/s a connection:"
_FAR_PEERS = ("aiostow", "obstore", "SDK")


async def shaped_reading(peers: Peers) -> list[Case]:
    """Streams from far."""
    await peers.ours.write_bytes("large", os.urandom(MIB) * LARGE)
    all_runs = streams(peers)
    runs = {name: all_runs[name] for name in _FAR_PEERS}
    title = f"{FAR} stream GET {LARGE} MiB"
    return [Case(title, LARGE, "MiB", runs, (Target("obstore", 1.0),), 3)]


async def shaped_writing(peers: Peers) -> list[Case]:
    """Large blobs from far."""
    all_runs = uploads(peers, os.urandom(MIB) * LARGE)
    runs = {name: all_runs[name] for name in _FAR_PEERS}
    title = f"{FAR} PUT {LARGE} MiB of bytes"
    return [Case(title, LARGE, "MiB", runs, (Target("obstore", 1.0),), 3)]
