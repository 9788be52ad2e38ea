"""Listing an SFTP server in the byte order of full keys, some directories ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from ..keys import TEMP_PREFIX
from ..models import Folder, ListEntry
from ._sftp_tree import Names
from ._sftp_wire import Attrs
from ._tree_order import PAGE, Listed, order

_DIRECTORIES = 8  # listed ahead at once
_NAMES = 20_000  # listed ahead, beyond which no further directory is

ListDirectory = Callable[[str], Awaitable[Names | None]]


@dataclass(slots=True)
class _Directory:
    """A directory under way: what is left of its names, in reverse order."""

    path: str  # "" or ending with "/"
    names: list[tuple[bytes, str, Attrs]]
    below: list[str]  # those of its directories that are still to be gone into, likewise


class Scan:
    """A listing of one prefix, in pages. Between pages it uses no session.

    Args:
        list_directory: returns what is in one, by its key.
        listed: what the listing is of.
    """

    def __init__(self, list_directory: ListDirectory, listed: Listed) -> None:
        self._list = list_directory
        self._listed = listed
        self._stack: list[_Directory] = []
        self._pending: str | None = listed.top  # the directory to go into next
        self._ahead: dict[str, asyncio.Task[Names | None]] = {}
        self._found: list[ListEntry | Folder] = []

    async def next_page(self) -> list[ListEntry | Folder] | None:
        """Return some hundred entries, or None at the end."""
        found = self._found  # kept when a page fails, so that the next try goes on from there
        try:
            while len(found) < PAGE:
                if self._pending is not None:
                    await self._enter(self._pending)
                elif not self._stack:
                    break
                elif not self._stack[-1].names:
                    self._stack.pop()
                else:
                    self._advance(self._stack[-1], found)
        except BaseException:
            self._drop()
            raise
        self._found = []
        return found or None

    async def aclose(self) -> None:
        """Stop what is listed ahead."""
        self._drop()
        self._stack.clear()
        self._pending = None

    def _drop(self) -> None:
        while self._ahead:
            self._ahead.popitem()[1].cancel()

    async def _enter(self, path: str) -> None:
        task = self._ahead.pop(path, None)
        listed = await (self._list(path) if task is None else task)
        self._pending = None
        if listed is None:
            return  # never there, or gone since its parent was listed
        start = self._listed.start if not self._stack else ""
        names = [
            (order(f"{path}{name}/" if attrs.is_dir else path + name), name, attrs)
            for name, attrs in listed
            if name.startswith(start) and _is_shown(name) and (attrs.is_dir or attrs.is_file)
        ]
        names.sort(reverse=True, key=lambda each: each[0])
        below = [
            f"{path}{name}/"
            for place, name, attrs in names
            if attrs.is_dir and not self._listed.passed(place, True)
        ]
        self._stack.append(_Directory(path, names, below))
        self._look_ahead()

    def _advance(self, directory: _Directory, found: list[ListEntry | Folder]) -> None:
        place, name, attrs = directory.names.pop()
        if self._listed.passed(place, attrs.is_dir):
            return
        full = directory.path + name
        if not attrs.is_dir:
            found.append(attrs.entry(full))
        elif self._listed.recursive:
            self._pending = directory.below.pop()
        else:
            found.append(Folder(full))

    def _look_ahead(self) -> None:
        """Begin to list the directories that come next."""
        if not self._listed.recursive:
            return
        held = sum(_held(task) for task in self._ahead.values())
        for path in self._coming():
            if len(self._ahead) >= _DIRECTORIES or held > _NAMES:
                return
            if path not in self._ahead:
                task = asyncio.get_running_loop().create_task(_run(self._list(path)))
                task.add_done_callback(_seen)
                self._ahead[path] = task

    def _coming(self) -> list[str]:
        found: list[str] = []
        for directory in reversed(self._stack):
            found += directory.below[: -_DIRECTORIES - 1 : -1]
            if len(found) >= _DIRECTORIES:
                break
        return found[:_DIRECTORIES]


async def temporary_files(
    list_directory: ListDirectory, prefix: str
) -> AsyncIterator[tuple[str, str, Attrs]]:
    """Give directory, name and state of every temporary file below a directory."""
    pending = [prefix]
    while pending:
        path = pending.pop()
        for name, attrs in await list_directory(path) or ():
            if name.startswith(TEMP_PREFIX) and attrs.is_file:
                yield path, name, attrs
            elif attrs.is_dir and _is_shown(name):
                pending.append(f"{path}{name}/")


def _is_shown(name: str) -> bool:
    return name != "" and "/" not in name and not name.startswith(TEMP_PREFIX)


async def _run(listing: Awaitable[Names | None]) -> Names | None:
    return await listing


def _held(task: asyncio.Task[Names | None]) -> int:
    if not task.done() or task.cancelled() or task.exception() is not None:
        return 0
    return len(task.result() or ())


def _seen(task: asyncio.Task[Names | None]) -> None:
    if not task.cancelled():
        task.exception()
