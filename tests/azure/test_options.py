"""What AzureStorage is told, and what comes of it on the service: as the SDK sees it."""

from __future__ import annotations

import asyncio
import io
import pickle
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest

from aiostow import (
    AzureStorage,
    FileMode,
    InvalidArgumentError,
    ListEntry,
    Storage,
    Support,
    UnsupportedOperationError,
    WriteConflictError,
)
from aiostow.backends._azure_config import find_place
from aiostow.sync import SyncStorage
from aiostow.testing import FaultProxy, FaultyDriver, WireFault
from aiostow.testing.conformance._base import pattern
from tests.rest.loops import check_loops_and_forks
from tests.servers import AzuriteServer
from tests.servers.front import front

from ._suite import ACCOUNT, MakeStorage, Prepare

pytestmark = pytest.mark.anyio
MIB = 1 << 20
KEY = "a2V5" * 8
COMMIT = b"comp=blocklist"


class TestWaysToAsk:
    @pytest.mark.parametrize("way", ["key", "string", "string with a SAS", "container URL"])
    async def test_reach_the_same_blobs(
        self, server: AzuriteServer, container: Any, make_storage: MakeStorage, way: str
    ) -> None:
        name, key, endpoint = (
            container.container_name,
            server.accounts[ACCOUNT],
            server.endpoint(ACCOUNT),
        )
        async with make_storage() as owner:
            await owner.write_bytes("k", b"data")
            url = await owner.create_container_url(timedelta(hours=1))
            identity = owner.driver.identity
        sas = url.partition("?")[2]
        storage = {
            "key": lambda: AzureStorage(ACCOUNT, key, name, endpoint=endpoint + "/"),
            "string": lambda: AzureStorage(
                bucket=name,
                connection_string=(
                    f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};"
                    f"BlobEndpoint={endpoint};"
                ),
            ),
            "string with a SAS": lambda: AzureStorage(
                bucket=name,
                connection_string=f"BlobEndpoint={endpoint};SharedAccessSignature={sas}",
            ),
            "container URL": lambda: AzureStorage(sas_container_url=str(url)),
        }[way]()
        async with storage:
            assert await storage.read_bytes("k") == b"data"
            assert storage.driver.identity == identity
            assert storage.name == "azure"

    def test_the_first_complete_way_counts(self) -> None:
        url = "https://acc.blob.core.windows.net/other?sp=r&sig=x"
        place = find_place("acc", KEY, "cont", url, url, None, None, None, False)
        assert (place.container, place.key, place.sas) == ("cont", KEY, None)
        place = find_place("acc", None, "cont", url, None, None, None, None, False)
        assert (place.container, place.key, place.sas) == ("other", None, "sp=r&sig=x")

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (
                {"account": "acc", "key": KEY, "bucket": "cont"},
                ("https://acc.blob.core.windows.net", "cont", None, "acc"),
            ),
            (
                {"account": "acc", "credential": object(), "bucket": "cont"},
                ("https://acc.blob.core.windows.net", "cont", None, "acc"),
            ),
            (
                {"endpoint": "https://acc.privatelink.example", "credential": 1, "bucket": "cont"},
                ("https://acc.privatelink.example", "cont", None, "acc"),
            ),
            (
                {"connection_string": "UseDevelopmentStorage=true", "bucket": "cont"},
                ("http://127.0.0.1:10000/devstoreaccount1", "cont", None, "devstoreaccount1"),
            ),
            (
                {
                    "connection_string": (
                        f"AccountName=acc;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn"
                    ),
                    "bucket": "cont",
                },
                ("https://acc.blob.core.chinacloudapi.cn", "cont", None, "acc"),
            ),
            (
                {"sas_container_url": "https://acc.blob.core.windows.net/cont/?sig=x"},
                ("https://acc.blob.core.windows.net", "cont", None, "acc"),
            ),
            (
                {"sas_blob_url": "https://acc.blob.core.windows.net/cont/a/b%20%2B.txt?sig=x"},
                ("https://acc.blob.core.windows.net", "cont", "a/b +.txt", "acc"),
            ),
            (
                {"sas_blob_url": "https://files.example.org/cont/a/b?sig=x"},
                ("https://files.example.org", "cont", "a/b", "files"),
            ),
            (
                {"sas_blob_url": "http://localhost:10000/acc/cont/b?sig=x"},
                ("http://localhost:10000/acc", "cont", "b", "acc"),
            ),
            (
                {"sas_blob_url": "http://[::1]:10000/acc/cont/b?sig=x"},
                ("http://[::1]:10000/acc", "cont", "b", "acc"),
            ),
            (
                {"account": "acc", "anonymous": True, "bucket": "$web"},
                ("https://acc.blob.core.windows.net", "$web", None, "acc"),
            ),
        ],
    )
    def test_places(self, arguments: dict[str, Any], expected: tuple[Any, ...]) -> None:
        place = AzureStorage(**arguments).driver.config.place
        assert (place.endpoint, place.container, place.blob, place.account) == expected

    async def test_a_storage_pickles_as_its_configuration(self, make_storage: MakeStorage) -> None:
        async with make_storage(chunk_size=MIB, access_tier="Cool") as storage:
            await storage.write_bytes("k", b"data")
            async with pickle.loads(pickle.dumps(storage)) as clone:
                assert await clone.read_bytes("k") == b"data"
                assert clone.driver.config == storage.driver.config
                assert clone.capabilities == storage.capabilities


class TestWhatIsStored:
    async def test_headers_and_metadata_are_as_the_sdk_sees_them(
        self, make_storage: MakeStorage, container: Any
    ) -> None:
        told: dict[str, Any] = {
            "content_type": "text/csv", "content_encoding": "gzip", "cache_control": "max-age=5",
            "metadata": {"a_b": "1", "ab": "2 x", "a1": "=", "_": "4", "Upper": "5"},
        }  # fmt: skip
        async with make_storage() as storage:
            for key, size in (("small", 10), ("large", 11 * MIB), ("empty", 0)):
                entry = await storage.write_bytes(key, pattern(size), **told)
                seen = container.get_blob_client(key).get_blob_properties()
                settings = seen.content_settings
                assert seen.size == size
                assert seen.blob_type == "BlockBlob"
                assert settings.content_type == "text/csv"
                assert settings.content_encoding == "gzip"
                assert settings.cache_control == "max-age=5"
                assert {n.lower(): v for n, v in seen.metadata.items()} == {
                    "a_b": "1", "ab": "2 x", "a1": "=", "_": "4", "upper": "5",
                }  # fmt: skip
                assert seen.etag.strip('"') == entry.etag
                assert seen.last_modified == entry.last_modified
                assert entry.metadata == (await storage.stat(key)).metadata
                found = await storage.stat(key)
                assert found.metadata == {
                    "a_b": "1", "ab": "2 x", "a1": "=", "_": "4", "upper": "5",
                }  # fmt: skip
                assert (found.etag, found.size) == (entry.etag, size)
                assert await storage.read_bytes(key) == pattern(size)  # not decompressed
            listed = {each.name: each for each in await storage.list()}
            assert listed["large"].content_type == "text/csv"
            assert listed["large"].content_encoding == "gzip"
            assert listed["large"].etag == (await storage.stat("large")).etag

    @pytest.mark.parametrize(
        "options",
        [
            {"metadata": {"name": "ü"}},
            {"metadata": {"na-me": "x"}},
            {"metadata": {"A": "1", "a": "2"}},
            {"metadata": {"1": "x"}},
            {"metadata": {"na me\r\n": "x"}},
            {"metadata": {"name": " padded "}},
            {"content_type": "text/plain\r\nx-ms-access-tier: Hot"},
            {"cache_control": "ü"},
        ],
    )
    async def test_what_azure_cannot_keep_is_refused(
        self, make_storage: MakeStorage, options: dict[str, Any]
    ) -> None:
        async with make_storage() as storage:
            for size in (1, 6 * MIB):
                with pytest.raises(InvalidArgumentError, match=r"ASCII|twice"):
                    await storage.write_bytes("k", bytes(size), **options)
            assert await storage.list() == []

    async def test_tiers(self, make_storage: MakeStorage, container: Any) -> None:
        def tier(key: str) -> str:
            return str(container.get_blob_client(key).get_blob_properties().blob_tier)

        async with make_storage(access_tier="Cool") as storage:
            await storage.write_bytes("small", b"1")
            await storage.write_bytes("large", bytes(6 * MIB))
            await storage.copy("small", "copy")
            assert [tier(key) for key in ("small", "large", "copy")] == ["Cool"] * 3
            await storage.set_access_tier("small", "Hot")
            assert tier("small") == "Hot"
            await storage.set_access_tier("small", "Archive")
            with pytest.raises(UnsupportedOperationError, match="archive"):
                await storage.read_bytes("small")
            await storage.set_access_tier("small", "Hot", rehydrate_priority="High")

    async def test_chunk_size_is_that_of_blocks(
        self, make_storage: MakeStorage, container: Any
    ) -> None:
        async with make_storage(chunk_size=MIB) as storage:
            await storage.write_bytes("k", pattern(3 * MIB + 1))
            await storage.write_bytes("one", pattern(MIB))

        def sizes(key: str) -> list[int]:
            blocks = container.get_blob_client(key).get_block_list("committed")[0]
            return [block.size for block in blocks]

        assert sizes("k") == [MIB, MIB, MIB, 1]
        assert sizes("one") == []

    async def test_sums_go_with_the_bytes_where_nothing_else_protects_them(
        self, server: AzuriteServer, make_storage: MakeStorage
    ) -> None:
        heads: list[bytes] = []

        def look(head: bytes) -> bytes:
            heads.append(head)
            return head

        async with front(server.port, look) as port:
            url = f"http://127.0.0.1:{port}/{ACCOUNT}"
            for checksum, sizes, sent in (
                ("auto", (64 << 10, 6 * MIB - 100), True),
                ("auto", (0, 10, (64 << 10) - 1), False),
                ("md5", (0, 10, 6 * MIB), True),
                (None, (0, 10, 6 * MIB), False),
            ):
                async with make_storage(endpoint=url, checksum=checksum) as storage:
                    for size in sizes:
                        heads.clear()
                        await storage.write_bytes("k", pattern(size))
                        assert await storage.read_bytes("k") == pattern(size)
                        puts = [h for h in heads if h.startswith(b"PUT") and COMMIT not in h]
                        assert puts
                        assert all((b"content-md5" in head) is sent for head in puts)

    def test_sums_are_left_out_over_https_unless_asked_for(self) -> None:
        told: dict[str, Any] = {"account": "acc", "key": KEY, "bucket": "cont"}
        assert AzureStorage(**told).driver.config.checked_from is None
        assert AzureStorage(**told, checksum="md5").driver.config.checked_from == 0


class TestConditions:
    @pytest.mark.parametrize("size", [10, 6 * MIB])
    async def test_if_match(self, make_storage: MakeStorage, size: int) -> None:
        async with make_storage() as storage:
            assert storage.capabilities.if_match is Support.native
            with pytest.raises(WriteConflictError):
                await storage.write_bytes("k", pattern(size), if_match="0x1")
            assert not await storage.exists("k")
            first = await storage.write_bytes("k", b"first")
            second = await storage.write_bytes("k", pattern(size, 2), if_match=first.etag)
            with pytest.raises(WriteConflictError, match="not the version"):
                await storage.write_bytes("k", pattern(size, 3), if_match=first.etag)
            assert await storage.read_bytes("k", if_match=second.etag) == pattern(size, 2)


class TestListing:
    async def test_any_key_addresses_what_azure_allows(
        self, make_storage: MakeStorage, container: Any
    ) -> None:
        names = ["a//b", "a/", ".hidden", "a/..b/c", "dir/.x", "x\ty"]
        for name in names:
            container.get_blob_client(name).upload_blob(name.encode())
        async with make_storage() as strict, make_storage(any_key=True) as storage:
            listed = {entry.name: entry.addressable for entry in await strict.list()}
            assert sorted(listed) == sorted(names)
            assert [name for name, known in listed.items() if not known] == sorted(
                ["a//b", "a/", "x\ty"]
            )
            for name in names:
                assert await storage.read_bytes(name) == name.encode()
                await storage.write_bytes(name, b"new")
                assert await storage.read_bytes(name) == b"new"
            await storage.delete_many(names)
            assert await storage.list() == []

    async def test_many_at_once_and_snapshots(
        self, make_storage: MakeStorage, container: Any
    ) -> None:
        async with make_storage() as storage:
            keys = [f"d/{i:04}" for i in range(700)]
            for begin in range(0, len(keys), 50):
                some = keys[begin : begin + 50]
                await asyncio.gather(*(storage.write_bytes(key, b"") for key in some))
            container.get_blob_client("d/0003").create_snapshot()
            assert [entry.name for entry in await storage.list()] == keys
            await storage.delete_many(["missing", *keys, 'it\'s "odd" %#?.txt'])
            assert await storage.list() == []
            await storage.write_bytes("k", b"")
            container.get_blob_client("k").create_snapshot()
            await storage.delete("k")
            assert await storage.list() == []

    async def test_uncommitted_blobs_are_not_there(
        self, make_storage: MakeStorage, container: Any
    ) -> None:
        container.get_blob_client("k").stage_block("id", b"data")
        async with make_storage() as storage:
            assert await storage.list() == []
            assert not await storage.exists("k")
            await storage.delete("k")
            await storage.write_bytes("k", b"1", if_absent=True)


class TestTheAncestor:
    """The rows of the documented ancestor, awaited and through the facade."""

    async def test_list_open_get_put_upload_download_copy_delete(
        self, make_storage: MakeStorage, tmp_path: Path
    ) -> None:
        (tmp_path / "in").write_bytes(b"content")
        seen: list[int] = []
        async with make_storage() as storage:
            await storage.put(tmp_path / "in", "a/put.txt")
            await storage.get("a/put.txt", tmp_path / "out")
            assert (tmp_path / "out").read_bytes() == b"content"
            await storage.upload(io.BytesIO(b"x" * 100), "a/up.txt", progress_callback=seen.append)
            sink = io.BytesIO()
            await storage.download("a/up.txt", sink, progress_callback=seen.append)
            assert sink.getvalue() == b"x" * 100
            assert seen[-1] == 100
            await storage.copy("a/up.txt", "b.txt")
            name, modified, size = (await storage.list("a"))[0]
            assert (name, size) == ("a/put.txt", 7)
            assert modified.tzinfo is not None  # type: ignore[attr-defined]
            async with storage.open("a/put.txt", FileMode.read) as file:
                assert await file.read(3) == b"con"
            for mode in ("rw", FileMode.read | FileMode.write):
                with pytest.raises(UnsupportedOperationError):
                    await storage.open("a/put.txt", mode)
            await storage.delete("a/put.txt")
            await storage.delete("a/put.txt")
            assert [entry.name for entry in await storage.list()] == ["a/up.txt", "b.txt"]

    async def test_the_same_through_the_facade(self, make_storage: MakeStorage) -> None:
        def work() -> list[ListEntry]:
            with SyncStorage(make_storage()) as storage:
                with storage.open("big", "w") as file:
                    for i in range(12):
                        file.write(pattern(MIB, i))
                with storage.open("big") as reader:
                    assert reader.read() == b"".join(pattern(MIB, i) for i in range(12))
                with pytest.raises(ZeroDivisionError):
                    with storage.open("big", "w") as file:
                        file.write(bytes(12 * MIB))
                        raise ZeroDivisionError
                storage.write_bytes("empty", b"")
                return list(storage.list())

        names = {entry.name: entry.size for entry in await asyncio.to_thread(work)}
        assert names == {"big": 12 * MIB, "empty": 0}


class TestTheWire:
    async def test_small_objects_cost_one_request_each_way(
        self, server: AzuriteServer, make_storage: MakeStorage
    ) -> None:
        seen: list[bytes] = []

        def look(head: bytes) -> bytes:
            seen.append(head)
            return head

        async with front(server.port, look) as port:
            async with make_storage(endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}") as storage:
                await storage.write_bytes("k", b"data")
                assert await storage.read_bytes("k") == b"data"
        assert [head.partition(b" ")[0] for head in seen] == [b"PUT", b"GET"]
        for head in seen:
            assert b"authorization: SharedKey " in head
            assert b"sig=" not in head  # a SAS is used where the user gave one, and only there
            assert b"accept-encoding: identity" in head

    async def test_a_block_list_goes_with_its_sum_and_names_uncommitted_blocks_only(
        self, server: AzuriteServer, make_storage: MakeStorage, proxy: FaultProxy
    ) -> None:
        seen: list[bytes] = []

        def look(head: bytes) -> bytes:
            seen.append(head)
            return head

        proxy.add(WireFault(b"<Latest>"), WireFault(b"<Committed>"), WireFault(b"<Uncommitted>"))
        async with front(proxy.port, look) as port:
            async with make_storage(endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}") as storage:
                await storage.write_bytes("k", bytes(6 * MIB))
        assert [fault.match for fault in proxy.armed] == [b"<Uncommitted>"]
        commits = [head for head in seen if b"comp=blocklist" in head]
        assert len(commits) == 1
        assert b"content-md5: " in commits[0]

    async def test_a_proxy_is_used(self, server: AzuriteServer, make_storage: MakeStorage) -> None:
        seen: list[bytes] = []

        def look(head: bytes) -> bytes:
            seen.append(head.partition(b"\r\n")[0])
            return head

        async with front(server.port, look) as port:
            proxies = {"http": f"http://127.0.0.1:{port}"}
            async with make_storage(proxies=proxies) as storage:
                for size in (0, 10, 6 * MIB):
                    await storage.write_bytes("k", bytes(size))
                    assert await storage.read_bytes("k") == bytes(size)
        assert len(seen) == 8
        assert all(b" http://127.0.0.1:" in line for line in seen)

    async def test_the_proxy_of_the_environment_is_used_and_passed_by(
        self, server: AzuriteServer, make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        async with make_storage(connect_timeout=0.3) as storage:
            with pytest.raises(ConnectionError):
                await storage.read_bytes("k")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with make_storage() as storage:
            assert not await storage.exists("k")

    async def test_certificates_are_checked(
        self, secure_server: AzuriteServer, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def make(**own: Any) -> AzureStorage:
            return AzureStorage(
                ACCOUNT, secure_server.accounts[ACCOUNT], prepared.container_name,
                endpoint=secure_server.endpoint(ACCOUNT), **own,
            )  # fmt: skip

        prepared = prepare(secure_server)
        async with make() as storage:
            with pytest.raises(ConnectionError, match="certificate"):
                await storage.read_bytes("k")
        for own in ({"verify": str(secure_server.certificate)}, {"verify": False}):
            async with make(**own) as storage:
                await storage.write_bytes("k", b"data")
                assert await storage.read_bytes("k") == b"data"
                await storage.set_access_tier("k", "Cool")
        monkeypatch.setenv("SSL_CERT_FILE", str(secure_server.certificate))  # the system's
        async with make(verify=certifi.where()) as storage:  # trusted beside it
            assert await storage.read_bytes("k") == b"data"
            await storage.set_access_tier("k", "Hot")
        monkeypatch.delenv("SSL_CERT_FILE")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(secure_server.certificate))
        async with make() as storage:
            assert await storage.read_bytes("k") == b"data"
            await storage.set_access_tier("k", "Hot")


async def test_the_driver_that_fails_on_purpose_stands_over_azure_too(
    make_storage: MakeStorage,
) -> None:
    async with make_storage() as storage:
        async with Storage(FaultyDriver(storage.driver), name="faulty") as over:
            await over.write_bytes("k", b"data")
            assert "sig=" in await over.link_to("k", "download", 60)


def test_loops_that_ended_and_forks_get_connections_of_their_own(
    server: AzuriteServer, container: Any
) -> None:
    check_loops_and_forks(
        f"AzureStorage({ACCOUNT!r}, {server.accounts[ACCOUNT]!r}, {container.container_name!r}, "
        f"endpoint={server.endpoint(ACCOUNT)!r})"
    )


def test_a_missing_extra_says_which() -> None:
    code = (
        "import sys; sys.modules['azure'] = None\n"
        "import aiostow\n"
        "try: aiostow.AzureStorage\n"
        "except ImportError as exc: print(exc)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "aiostow[azure]" in out.stdout, out.stderr


async def test_the_client_of_the_sdk_is_reachable(make_storage: MakeStorage) -> None:
    async with make_storage() as storage:
        await storage.write_bytes("k", b"data")
        found = await storage.driver.client.get_blob_client("k").get_blob_properties()
        assert found.size == 4
