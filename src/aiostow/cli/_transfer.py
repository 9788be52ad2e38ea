"""Moving files between storages, local paths and streams: several at once, each whole or not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import (
    ClosedError,
    CredentialsError,
    FileExistsInStorageError,
    HostKeyError,
    InvalidArgumentError,
    NotAFileError,
    StorageError,
    StorageNotFoundError,
    UnreachableError,
)
from ._items import Item, is_same, items
from ._places import LocalPath, Object, Place, Stream
from ._progress import Bar, bar
from ._run import Session
from ._streams import StandardOutput, standard_input

_AHEAD = 10_000  # files
# What would be told of every file, and is therefore told once.
_ALL = (CredentialsError, StorageNotFoundError, UnreachableError, HostKeyError, ClosedError)


@dataclass(frozen=True)
class Transfer:
    """How files are sent.

    Attributes:
        word: what is done, such as ``"put"``.
        recursive: take trees.
        keep: leave alone what is at the destination.
        move: remove each source when it has arrived.
        jobs: how many files at once.
        quiet: show no progress.
        content_type: of what is stored.
    """

    word: str
    recursive: bool = False
    keep: bool = False
    move: bool = False
    jobs: int = 8
    quiet: bool = False
    content_type: str | None = None

    async def run(self, session: Session, sources: list[Place], destination: Place) -> None:
        """Send all; what fails is told by its name, and the rest goes on."""
        _check(sources, destination, self.move)
        found = items(session, sources, destination, recursive=self.recursive)
        alone = len(sources) == 1 and not self.recursive
        with bar(self.word, self.quiet or isinstance(destination, Stream)) as shown:
            # Found ahead of what is sent, so that the bar knows how much there is.
            queue: asyncio.Queue[Item | None] = asyncio.Queue(_AHEAD)
            workers = 1 if alone else self.jobs
            async with asyncio.TaskGroup() as group:
                group.create_task(_find(found, queue, workers, shown))
                for _ in range(workers):
                    group.create_task(self._work(session, queue, shown, alone))

    async def _work(
        self, session: Session, queue: asyncio.Queue[Item | None], shown: Bar, alone: bool
    ) -> None:
        while (item := await queue.get()) is not None:
            try:
                await self._send(item, shown)
            except _ALL:
                raise
            except (StorageError, OSError) as exc:
                if alone or isinstance(item.destination, Stream):
                    raise
                session.failed(exc, getattr(item.source, "shown", ""))
            finally:
                shown.ended()

    async def _send(self, item: Item, shown: Bar) -> None:
        source, destination = item.source, item.destination
        if is_same(source, destination):
            return  # a move would remove what it has just written
        if self.keep and await _is_there(destination):
            return
        within = _within(source, destination)
        before = await _before_move(source, destination) if self.move and not within else None
        progress = shown.begin()
        if isinstance(destination, Object):
            try:
                await self._store(source, destination, progress)
            except FileExistsInStorageError:
                if not self.keep:
                    raise
                return
        elif isinstance(destination, Stream):
            assert isinstance(source, Object)
            await source.storage.download(source.key, StandardOutput(), progress_callback=progress)
        else:
            assert isinstance(source, Object)
            os.makedirs(os.path.dirname(destination.path) or ".", exist_ok=True)
            await source.storage.get(source.key, destination.path, progress_callback=progress)
        if self.move and not within:
            await _remove(source, before)

    async def _store(
        self, source: Place, destination: Object, progress: Callable[[int], None]
    ) -> None:
        storage, key = destination.storage, destination.key
        able = storage.capabilities
        only_new = self.keep and bool(able.create_only) and able.create_only_limit is None
        if isinstance(source, Object):
            same = source.storage is storage
            if same and self.move:
                await storage.move(source.key, key, overwrite=not only_new)
            else:
                await source.storage.copy(
                    source.key, key, to=None if same else storage, overwrite=not only_new,
                    progress_callback=progress,
                )  # fmt: skip
        elif isinstance(source, LocalPath):
            await storage.put(
                source.path, key, progress_callback=progress, if_absent=only_new,
                content_type=self.content_type,
            )  # fmt: skip
        else:
            await storage.upload(
                standard_input(), key, progress_callback=progress, if_absent=only_new,
                content_type=self.content_type,
            )  # fmt: skip


async def _find(
    found: AsyncIterator[Item], queue: asyncio.Queue[Item | None], workers: int, shown: Bar
) -> None:
    async for item in found:
        shown.found(item.size)
        await queue.put(item)
        await asyncio.sleep(0)  # a local folder is read without waiting
    for _ in range(workers):
        await queue.put(None)


def _check(sources: list[Place], destination: Place, move: bool) -> None:
    stored = [isinstance(each, Object) for each in sources]
    if not isinstance(destination, Object) and not all(stored):
        raise InvalidArgumentError(
            "neither side is a storage: write 'profile:key' or a URL for the one that is"
        )
    if move and any(isinstance(each, Stream) for each in (*sources, destination)):
        raise InvalidArgumentError("a stream cannot be moved: copy it")
    if move and any(isinstance(each, Object) and not each.key for each in sources):
        raise InvalidArgumentError("a whole storage is not moved: copy it")


async def _is_there(place: Place) -> bool:
    if isinstance(place, Object):
        return await place.storage.exists(place.key)
    return isinstance(place, LocalPath) and os.path.lexists(place.path)


def _within(source: Place, destination: Place) -> bool:
    """Tell whether a storage moves this by itself."""
    if not isinstance(source, Object) or not isinstance(destination, Object):
        return False
    return source.storage is destination.storage


_Version: TypeAlias = tuple[object, ...] | None


async def _before_move(source: Place, destination: Place) -> _Version:
    """Return the version of what is moved onto something; None where nothing is there.

    A server may show one object by names that do not tell that it is: a folder and its absolute
    path, or two addresses.

    Raises:
        InvalidArgumentError: this seems to be so.
    """
    there = await _version(destination)
    here = None if there is None else await _version(source)
    if there is not None and there == here:
        raise InvalidArgumentError(
            "source and destination are alike: if they are one object, a move would remove it"
        )
    return here


async def _version(place: Place) -> _Version:
    try:
        if isinstance(place, LocalPath):
            facts = os.stat(place.path)
            return facts.st_size, facts.st_mtime_ns, facts.st_ino
        assert isinstance(place, Object)
        entry = await place.storage.stat(place.key)
        return entry.size, entry.last_modified, entry.etag
    except (FileNotFoundError, NotAFileError):
        return None


async def _remove(source: Place, before: _Version) -> None:
    """Remove what has arrived elsewhere, unless that changed it, which then was its own place."""
    if before is not None and await _version(source) != before:
        raise InvalidArgumentError("this changed while it was copied, and is kept")
    if isinstance(source, LocalPath):
        os.unlink(source.path)
    elif isinstance(source, Object):
        await source.storage.delete(source.key)
