"""What a sync promises, between any two storages that a subclass gives."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from aiostow import Storage
from aiostow.trees import Outcome, sync, verify

from ._trees import actions, edit, random_tree, read, write


class TreesSuite:
    """Syncs between two storages; a subclass gives them, empty, by its fixtures."""

    pytestmark = pytest.mark.anyio

    rounds = 3
    """How many times the trees are changed."""

    resolution = 0.01
    """Seconds after which times of files differ."""

    @pytest.fixture
    def source(self) -> Storage:
        """A storage to copy from."""
        raise NotImplementedError

    @pytest.fixture
    def destination(self) -> Storage:
        """A storage to copy to."""
        raise NotImplementedError

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("how", ["journal", "checksum", "etag"])
    async def test_a_second_run_does_nothing_and_the_result_is_the_source(
        self, source: Storage, destination: Storage, tmp_path: Path, how: str, seed: int
    ) -> None:
        dice = random.Random(seed)
        # What is newer than a file of its size is taken for its copy, unless a journal knows.
        await write(destination, random_tree(dice, 10))
        if how == "journal":
            await asyncio.sleep(self.resolution)
        await write(source, random_tree(dice, 25))
        journal = None if how == "checksum" else tmp_path / "journal"
        compare = "mtime" if how == "journal" else how

        async def run(**options: bool) -> dict[str, int]:
            return actions(
                await sync(
                    source, destination, delete=True, journal=journal,
                    compare=compare, **options,  # type: ignore[arg-type]  # one of its words
                )
            )  # fmt: skip

        for turn in range(self.rounds):
            expected = await read(source)
            told = await run(dry_run=True)
            assert await run() == told, turn
            assert await read(destination) == expected
            assert await run() == {"unchanged": len(expected)}
            assert (await verify(source, destination)).same
            await edit(source, dice, 6)
            await edit(destination, dice, 4)

    async def test_large_files_go_in_pieces(
        self, source: Storage, destination: Storage, tmp_path: Path
    ) -> None:
        data = random.Random(1).randbytes(2 * destination.driver.write_limits.preferred + 777)
        await source.write_bytes("d/large", data)
        told: list[Outcome] = []
        report = await sync(
            source, destination, journal=tmp_path / "journal", on_outcome=told.append
        )
        assert (actions(report), report.bytes) == ({"copied": 1}, len(data))
        assert [str(outcome) for outcome in told] == ["copied: d/large"]
        assert await destination.read_bytes("d/large") == data
        assert (await verify(source, destination)).same
        await destination.write_bytes("d/large", data[:-1] + b"!")
        assert actions(await verify(source, destination)) == {"different": 1}

    async def test_what_differs_is_told(self, source: Storage, destination: Storage) -> None:
        await write(source, {"same": b"1", "ours": b"2", "changed": b"3", "longer": b"4"})
        await write(destination, {"same": b"1", "theirs": b"2", "changed": b"!", "longer": b"44"})
        told: dict[str, str] = {}
        report = await verify(
            source, destination,
            on_outcome=lambda outcome: told.update({outcome.name: outcome.action.value}),
        )  # fmt: skip
        assert told == {
            "same": "unchanged", "ours": "missing", "theirs": "extra", "changed": "different",
            "longer": "different",
        }  # fmt: skip
        assert not report.same
        assert report.failed == 0
        assert await read(source) == {"same": b"1", "ours": b"2", "changed": b"3", "longer": b"4"}

    async def test_views_are_parts_of_trees(self, source: Storage, destination: Storage) -> None:
        await write(source, {"in/a": b"1", "in/b/c": b"2", "out": b"3"})
        await sync(source.at("in"), destination.at("there"))
        assert await read(destination) == {"there/a": b"1", "there/b/c": b"2"}
