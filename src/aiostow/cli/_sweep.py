"""Removing what killed writers left behind."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from ..driver import Sweeper
from ..models import Leftover
from ._output import json_line, print_lines, say
from ._places import Object, Place
from ._run import Session
from ._units import human_seconds, human_size


async def sweep(
    session: Session,
    places: Sequence[Place],
    older_than: timedelta,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove what killed writers left in each place, and print how much it was.

    Args:
        session: that the command runs in.
        places: storages, or folders of them.
        older_than: leave alone what was touched within this time.
        dry_run: print what would be removed, and remove nothing.
        as_json: print objects of JSON.
    """

    async def each(place: Object) -> None:
        storage = session.places.as_tree(place)
        if dry_run:
            found = await storage.leftovers(older_than)
            lines = _json_lines(place, found) if as_json else _lines(place, found)
            print_lines(lines)
        else:
            removed = await storage.sweep(older_than)
            told = {"place": place.shown, "removed": removed}
            print_lines([json_line(told) if as_json else f"{removed}  {place.shown}"])
        if not isinstance(storage.driver, Sweeper):
            say(
                f"{place.shown}: nothing is ever left to remove; what an interrupted upload to "
                "Azure has sent, the service drops after a week."
            )

    await session.each(places, each)


def _age(leftover: Leftover) -> float:
    return max(0.0, time.time() - leftover.since.timestamp())


def _kind(leftover: Leftover) -> str:
    return "file" if leftover.upload_id is None else "upload"


def _lines(place: Object, found: Iterable[Leftover]) -> Iterator[str]:
    for each in found:
        size = "-" if each.size is None else human_size(each.size)
        age = human_seconds(_age(each))
        yield f"{_kind(each):<6}  {age:>4}  {size:>5}  {each.key}"


def _json_lines(place: Object, found: Iterable[Leftover]) -> Iterator[str]:
    for each in found:
        told = {
            "place": place.shown, "kind": _kind(each), "key": each.key,
            "since": each.since.isoformat(), "age": round(_age(each)), "size": each.size,
        }  # fmt: skip
        yield json_line({name: value for name, value in told.items() if value is not None})
