"""Removing objects, after a question."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..errors import DeleteManyError, InvalidArgumentError, StorageError
from ._output import print_lines, say, shown
from ._places import Object, Place
from ._run import Session
from ._streams import read_line


async def remove(
    session: Session, places: Sequence[Place], *, recursive: bool, yes: bool, dry_run: bool
) -> None:
    """Remove objects, and trees where `recursive`.

    Args:
        session: that the command runs in.
        places: what is removed.
        recursive: also all that is below.
        yes: do not ask.
        dry_run: print what would be removed, and remove nothing.
    """

    async def each(place: Object) -> None:
        try:
            await _remove(session, place, recursive, yes, dry_run)
        except DeleteManyError as exc:
            for key, failure in exc.failures.items():
                session.failed(failure, key)

    await session.each(places, each)


async def _remove(
    session: Session, place: Object, recursive: bool, yes: bool, dry_run: bool
) -> None:
    keys = await _keys(session, place, recursive)
    if dry_run:
        print_lines(keys)
        return
    if not yes:
        what = repr(place.shown) if len(keys) == 1 else f"{len(keys)} objects of {place.shown!r}"
        if not await _confirmed(f"Remove {shown(what)}?"):
            say("Nothing was removed.")
            session.failures += 1
            return
    await place.storage.delete_many(keys)


async def _keys(session: Session, place: Object, recursive: bool) -> list[str]:
    keys = []
    if recursive:
        async for entry in place.storage.list(place.key):
            if entry.addressable:
                keys.append(entry.name)
            else:
                session.failed(InvalidArgumentError("no storage may have this name"), entry.name)
    elif not place.key:
        raise InvalidArgumentError("this is a whole storage: remove all of it with --recursive")
    if place.key and (not keys or not place.folder):
        try:
            keys.append((await place.storage.stat(place.key)).name)
        except StorageError:
            if not keys:
                raise
    return keys


async def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise InvalidArgumentError("nobody can be asked here: say --yes, or --dry-run to look")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return (await read_line()).strip().lower() in ("y", "yes")
