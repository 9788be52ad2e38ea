"""A sync of many entries that nobody stores; prints the greatest size of the process in KiB."""

from __future__ import annotations

import asyncio
import itertools
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pendulum import UTC, DateTime

from aiostow import Folder, ListEntry, MemoryStorage, Storage
from aiostow.backends.memory import MemoryDriver
from aiostow.models import Capabilities
from aiostow.trees import Action, sync, verify

WHEN = DateTime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)


class Listed:
    def __init__(self, name: str, many: int, backwards: bool) -> None:
        numbers = range(many)
        self._numbers = iter(reversed(numbers) if backwards else numbers)
        self._name = name

    async def next_page(self) -> Sequence[ListEntry | Folder] | None:
        page = [
            ListEntry(f"{self._name}/{number:09}", WHEN, 0, f"{number:032x}")
            for number in itertools.islice(self._numbers, 1000)
        ]
        return page or None

    async def aclose(self) -> None: ...


class Many(MemoryDriver):
    """Lists what it does not hold."""

    def __init__(self, name: str, many: int, *, backwards: bool = False) -> None:
        super().__init__()
        self._listed = name, many, backwards
        self.deleted = 0

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]  # of a class elsewhere
        return replace(MemoryDriver.capabilities, ordered=not self._listed[2])

    def scan(self, prefix: str, *, recursive: bool, start_after: str | None) -> Any:
        return Listed(*self._listed)

    async def delete(self, keys: Sequence[str]) -> Mapping[str, BaseException]:
        self.deleted += len(keys)
        return {}


async def main(what: str, many: int) -> None:
    name = "other" if what == "delete" else "name"
    driver = Many(name, many, backwards=what == "backwards")
    source = Storage(Many("name", many), name="source")
    if what == "delete":
        source = MemoryStorage()
        await source.write_bytes("only", b"1")
    async with source, Storage(driver, name="destination") as destination:
        if what == "failures":
            report = await sync(source, Storage(Many("gone", 0), name="empty"), jobs=4)
            assert (report.failed, len(report.failures)) == (many, min(many, 1000))
        elif what == "verify":
            assert (await verify(source, destination)).same
        else:
            report = await sync(source, destination, delete=True, journal=sys.argv[3])
            expected = {"delete": (0, many)}.get(what, (many, 0))
            assert (report[Action.unchanged], driver.deleted) == expected, report
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
