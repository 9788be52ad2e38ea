"""Showing what is stored: ls, stat and profiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import FileNotFoundInStorageError, InvalidArgumentError, NotAFileError
from ..models import Folder, ListEntry
from ._output import facts, json_line, long_line, name_line, print_lines
from ._places import Object, Place
from ._run import Session

Format = Callable[[ListEntry | Folder], str]


def line_format(long: bool, human: bool, as_json: bool) -> Format:
    """Return what makes a line of what is listed."""
    if as_json:
        return lambda item: json_line(facts(item))
    if long or human:
        return lambda item: long_line(item, human)
    return name_line


async def list_objects(
    session: Session, places: Sequence[Place], line: Format, *, recursive: bool
) -> None:
    """Print what is below each place, page by page as the service tells it."""
    await session.each(places, lambda place: _list(place, line, recursive))


async def _list(place: Object, line: Format, recursive: bool) -> None:
    listing = aiter(place.storage.list(place.key, recursive=recursive))
    found = False
    try:
        while page := await listing.page():
            found = True
            print_lines(map(line, page))
    finally:
        await listing.aclose()
    if not found and place.key:
        try:
            entry = await place.storage.stat(place.key)
        except (FileNotFoundInStorageError, NotAFileError):
            raise FileNotFoundInStorageError(
                "nothing is there", key=place.key, operation="ls", storage=place.storage.name
            ) from None
        print_lines([line(entry)])


async def show_facts(session: Session, places: Sequence[Place], *, as_json: bool) -> None:
    """Print what is known of each object."""
    between: list[str] = []

    async def show(place: Object) -> None:
        nonlocal between
        told = facts(await place.storage.stat(place.key))
        if as_json:
            print_lines([json_line(told)])
            return
        lines = [f"{f'{name}:'.replace('_', ' '):<18}{_plain(told[name])}" for name in told]
        print_lines(between + lines)
        between = [""]

    await session.each(places, show)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={each}" for name, each in value.items())
    return str(value)


async def show_profiles(session: Session, *, as_json: bool, check: bool) -> None:
    """Print the profiles, the default first; none of their settings."""
    profiles = session.profiles
    for number, name in enumerate(profiles):
        if check:
            try:
                profiles.get(name)
            except (InvalidArgumentError, ImportError) as exc:
                session.failed(exc)
                continue
        kind, source = profiles.kind(name), profiles.source(name)
        told = {"name": name, "type": kind, "source": source, "default": number == 0}
        default = "  (default)" if number == 0 else ""
        print_lines([json_line(told) if as_json else f"{name}  {kind}  {source}{default}"])
