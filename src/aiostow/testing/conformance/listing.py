"""Listing: full names, in order, only what is there."""

from __future__ import annotations

import asyncio
import random
from typing import ClassVar

import pytest

from ...errors import InvalidKeyError, InvalidTypeError
from ...models import Folder, ListEntry
from ...storage import Storage
from ._base import Suite, pattern, proves

TREE = [
    "a.txt", "a/b", "a/c/d", "a/c/e", "a-b/x", "ab", "b/1", "b/10", "b/2", "z/y/x/w",
    "é/x", "zz", "Z", "𐀀", "￿",
]  # fmt: skip


async def plant(storage: Storage, keys: list[str]) -> None:
    shuffled = keys.copy()
    random.Random(0).shuffle(shuffled)
    for key in shuffled:
        await storage.write_bytes(key, pattern(len(key)))


def names(items: list[ListEntry] | list[ListEntry | Folder]) -> list[str]:
    return [item.name for item in items]


class ListingTests(Suite):
    tree: ClassVar[list[str]] = TREE
    """What is listed. A backend's class replaces names that its service cannot list, in kind."""

    @proves("scan-levels")
    async def test_a_list_is_recursive_with_full_names(self, storage: Storage) -> None:
        await plant(storage, self.tree)
        entries = await storage.list()
        assert sorted(names(entries)) == sorted(self.tree)
        assert all(entry.size == len(entry.name) for entry in entries)
        assert all(entry.addressable for entry in entries)
        assert names(await storage.list("a")) == ["a/b", "a/c/d", "a/c/e"]
        assert names(await storage.list("a/c/")) == ["a/c/d", "a/c/e"]

    @proves("scan-order")
    async def test_entries_come_in_the_byte_order_of_full_keys(self, storage: Storage) -> None:
        await plant(storage, self.tree)
        if storage.capabilities.ordered:
            assert names(await storage.list()) == sorted(self.tree, key=str.encode)
            items = await storage.list(recursive=False)
            places = [i.name + "/" if isinstance(i, Folder) else i.name for i in items]
            assert places == sorted(places, key=str.encode)

    @proves("scan-levels")
    async def test_one_level_folds_what_lies_below(self, storage: Storage) -> None:
        await plant(storage, self.tree)
        items = await storage.list(recursive=False)
        folders = {item.name for item in items if isinstance(item, Folder)}
        files = {item.name for item in items if isinstance(item, ListEntry)}
        assert folders == {"a", "a-b", "b", "z", "é"}
        assert files == {key for key in self.tree if "/" not in key}
        below = await storage.list("a", recursive=False)
        assert sorted(names(below)) == ["a/b", "a/c"]
        assert {item.name: type(item) for item in below} == {"a/b": ListEntry, "a/c": Folder}

    async def test_a_prefix_ends_at_a_segment(self, storage: Storage) -> None:
        await plant(storage, ["l/1", "lx", "lx/2".replace("lx/", "ly/")])
        assert names(await storage.list("l")) == names(await storage.list("l/")) == ["l/1"]

    async def test_starting_is_a_raw_prefix(self, storage: Storage) -> None:
        await plant(storage, self.tree)
        assert sorted(names(await storage.list(starting="a"))) == sorted(
            key for key in self.tree if key.startswith("a")
        )
        assert names(await storage.list("b", starting="1")) == ["b/1", "b/10"]
        assert names(await storage.list("a", starting="c/d")) == ["a/c/d"]
        assert names(await storage.list("a", starting="c", recursive=False)) == ["a/c"]

    @proves("scan-after")
    async def test_start_after_leaves_out_what_came_before(self, storage: Storage) -> None:
        await plant(storage, self.tree)
        for after in [*self.tree, "0", "a/c/dd", "b/0", "zzz"]:
            expected = {key for key in self.tree if key.encode() > after.encode()}
            assert set(names(await storage.list(start_after=after))) == expected
        items = await storage.list(recursive=False, start_after="a/b")
        tops = {key.partition("/")[0] for key in self.tree}
        expected = {top for top in tops if top > "a" and top not in ("a.txt", "a-b")}
        assert set(names(items)) == expected

    @proves("scan-empty")
    async def test_a_prefix_of_nothing_lists_nothing(self, storage: Storage) -> None:
        assert await storage.list() == []
        assert await storage.list(recursive=False) == []
        await plant(storage, ["a/b", "file"])
        assert await storage.list("missing") == []
        assert await storage.list("missing/deeper", recursive=False) == []
        assert await storage.list("file") == []
        assert await storage.list("a/b/c") == []
        assert await storage.list(starting="q") == []

    @proves("scan-clean")
    async def test_uploads_under_way_are_not_listed(self, storage: Storage) -> None:
        async with storage.open("a/k", "w") as file:
            await file.write(pattern(self.large(storage)))
            assert await storage.list() == []
            assert await storage.list("a") == []
            items = await storage.list("a", recursive=False)
            assert items == []

    async def test_deleted_objects_and_their_folders_are_gone(self, storage: Storage) -> None:
        await plant(storage, ["a/b/c", "d"])
        await storage.delete("a/b/c")
        assert names(await storage.list()) == ["d"]

    async def test_more_than_a_page(self, storage: Storage) -> None:
        keys = [f"k{i:05}" for i in range(1205)]
        for begin in range(0, len(keys), 20):
            some = keys[begin : begin + 20]
            await asyncio.gather(*(storage.write_bytes(key, b"") for key in some))
        found = [entry.name async for entry in storage.list()]
        assert sorted(found) == keys
        assert names(await storage.list(start_after="k01200")) == keys[1201:]

    async def test_a_listing_can_be_left_early_and_begun_again(self, storage: Storage) -> None:
        await plant(storage, self.tree)
        listing = storage.list()
        iterator = aiter(listing)
        await anext(iterator)
        await iterator.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)
        assert sorted([entry.name async for entry in listing]) == sorted(self.tree)

    async def test_a_page_whose_wait_was_cancelled_is_not_lost(self, storage: Storage) -> None:
        names = [f"{number:02}" for number in range(5)]
        for name in names:
            await storage.write_bytes(name, b"")
        for steps in range(12):
            items = aiter(storage.list())
            waiting = asyncio.ensure_future(anext(items))
            for _ in range(steps):
                await asyncio.sleep(0)
            waiting.cancel()
            (first,) = await asyncio.gather(waiting, return_exceptions=True)
            found = [first.name] if isinstance(first, ListEntry) else []
            found += [entry.name async for entry in items]
            assert found == names, steps

    async def test_bad_prefixes_are_refused_at_once(self, storage: Storage) -> None:
        for prefix in ("..", "a/../b", "/", "a//", "./a"):
            with pytest.raises(InvalidKeyError):
                storage.list(prefix)
        with pytest.raises(InvalidKeyError):
            storage.list(starting="../x")
        with pytest.raises(InvalidKeyError):
            storage.list(start_after="/x")

    async def test_a_plain_for_says_what_to_write(self, storage: Storage) -> None:
        with pytest.raises(InvalidTypeError, match="async for"):
            for _ in storage.list():
                pass

    async def test_a_view_sees_its_own_keys_only(self, storage: Storage) -> None:
        await plant(storage, ["t/a", "t/b/c", "tx", "u/a"])
        view = storage.at("t")
        assert names(await view.list()) == ["a", "b/c"]
        assert names(await view.list("b")) == ["b/c"]
        assert sorted(names(await view.list(recursive=False))) == ["a", "b"]
        assert names(await view.list(start_after="a")) == ["b/c"]
        await view.write_bytes("d", b"new")
        assert await storage.read_bytes("t/d") == b"new"
        assert (await view.stat("d")).name == "d"
        assert names(await view.at("b").list()) == ["c"]
        with pytest.raises(FileNotFoundError) as caught:
            await view.read_bytes("tx")
        assert "'tx'" in str(caught.value)
        with pytest.raises(InvalidKeyError):
            await view.read_bytes("../tx")
