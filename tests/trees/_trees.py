"""Random trees, and looking at what is in a storage."""

from __future__ import annotations

import random
from typing import Any

from aiostow import Storage

_NAMES = ("a", "b", "a.b", "a-b", "a b", "Z", "ä", "\uff5e", "0", "x.log")


def random_name(dice: random.Random) -> str:
    """Return a key of one to three segments, often one that others are near to in order."""
    depth = dice.choice((1, 1, 2, 3))
    return "/".join([*(dice.choice(_NAMES) + "d" for _ in range(depth - 1)), dice.choice(_NAMES)])


def random_tree(dice: random.Random, files: int) -> dict[str, bytes]:
    """Return names and contents; many are of one size."""
    return {random_name(dice): content(dice) for _ in range(files)}


def content(dice: random.Random) -> bytes:
    """Return some bytes; none, or so many that they need several pieces, now and then."""
    return dice.randbytes(dice.choice((0, 5, 5, 5, 700, 70_000)))


async def write(storage: Storage, tree: dict[str, bytes]) -> None:
    """Write a tree into a storage."""
    for name, data in tree.items():
        await storage.write_bytes(name, data)


async def read(storage: Storage) -> dict[str, bytes]:
    """Return all that a storage holds."""
    return {entry.name: await storage.read_bytes(entry.name) for entry in await storage.list()}


async def edit(storage: Storage, dice: random.Random, times: int) -> None:
    """Change, remove and add files; a change often keeps the size."""
    for _ in range(times):
        names = [entry.name for entry in await storage.list()]
        what = dice.random()
        if what < 0.5 and names:
            name = dice.choice(names)
            size = (await storage.stat(name)).size
            await storage.write_bytes(name, dice.randbytes(size or 3))
        elif what < 0.75 and names:
            await storage.delete(dice.choice(names))
        else:
            await storage.write_bytes(random_name(dice), content(dice))


def actions(report: Any) -> dict[str, int]:
    """Return the counts of a report, by their words."""
    told = report.as_dict()
    return {
        name: count for name, count in told.items() if name not in ("bytes", "failures", "dry_run")
    }
