"""The life of a storage: connecting, closing, travelling."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from ...driver import Mover, Updater
from ...errors import ClosedError
from ...storage import Storage
from ._base import Suite, pattern, proves


class LifeTests(Suite):
    @proves("connect-idempotent")
    async def test_connecting_again_changes_nothing(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"data")
        async with storage.open("k") as file:
            for _ in range(3):
                await storage.driver.connect()
            assert await file.read() == b"data"

    @proves("close-idempotent")
    async def test_a_closed_driver_opens_again(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"data")
        await storage.driver.aclose()
        await storage.driver.aclose()
        await storage.driver.connect()
        assert (await storage.driver.stat("k")).size == 4

    async def test_a_closed_storage_says_so(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"data")
        await storage.aclose()
        await storage.aclose()
        assert storage.closed
        with pytest.raises(ClosedError):
            await storage.read_bytes("k")
        with pytest.raises(ClosedError):
            storage.open("k", "w")
        with pytest.raises(ClosedError):
            await storage.list()
        with pytest.raises(ClosedError) as caught:
            await storage.delete("k")
        assert (caught.value.operation, caught.value.key) == ("delete", "k")

    async def test_closing_the_storage_ends_its_files(self, storage: Storage) -> None:
        await storage.write_bytes("k", b"old")
        reader = await storage.open("k")
        writer = await storage.open("k", "w")
        await writer.write(pattern(self.large(storage)))
        await storage.aclose()
        assert reader.closed
        assert writer.closed
        with pytest.raises(ClosedError):
            await writer.write(b"more")
        await storage.driver.connect()
        assert (await storage.driver.stat("k")).size == 3
        await storage.driver.aclose()

    @pytest.mark.parametrize("prefix", ["view", ""])
    async def test_closing_a_view_leaves_the_storage_open(
        self, storage: Storage, prefix: str
    ) -> None:
        async with storage.at(prefix) as view:
            await view.write_bytes("k", b"data")
        assert view.closed
        with pytest.raises(ClosedError):
            await view.read_bytes("k")
        assert await storage.read_bytes(f"{prefix}/k".removeprefix("/")) == b"data"

    @proves("pickle")
    async def test_it_pickles_as_its_configuration(self, storage: Storage) -> None:
        await storage.write_bytes("view/k", b"data")
        clone: Storage = pickle.loads(pickle.dumps(storage.at("view")))
        assert clone.name == storage.name
        assert clone.memory_budget == storage.memory_budget
        await clone.write_bytes("k2", b"2")
        assert await clone.read_bytes("k2") == b"2"
        await pickle.loads(pickle.dumps(storage)).aclose()
        await clone.aclose()

    @proves("identity")
    async def test_its_identity_is_that_of_its_objects(self, storage: Storage) -> None:
        """Links are bound to it: they must hold where the objects are, and nowhere else."""
        await storage.write_bytes("k", b"data")
        identity = storage.driver.identity
        assert identity == storage.driver.identity
        assert identity == storage.at("view").driver.identity
        clone: Storage = pickle.loads(pickle.dumps(storage))
        assert (clone.driver.identity == identity) == await clone.exists("k")
        await clone.aclose()

    async def test_capabilities_tell_what_is_there(self, storage: Storage) -> None:
        capabilities = storage.capabilities
        assert bool(capabilities.update) == isinstance(storage.driver, Updater)
        assert (capabilities.move.value == "native") == isinstance(storage.driver, Mover)

    async def test_nothing_is_left_of_many_operations_at_once(self, storage: Storage) -> None:
        before = asyncio.all_tasks()

        async def work(i: int) -> None:
            await storage.write_bytes(f"k{i}", pattern(10_000, i))
            assert await storage.read_bytes(f"k{i}") == pattern(10_000, i)
            await storage.copy(f"k{i}", f"c{i}")
            await storage.delete_many([f"k{i}", f"c{i}"])

        await asyncio.gather(*(work(i) for i in range(20)))
        assert await storage.list() == []
        assert asyncio.all_tasks() == before
        assert await self.leftovers(storage) == []
