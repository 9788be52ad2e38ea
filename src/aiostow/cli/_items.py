"""What a transfer consists of: each file with where it goes, found while others are under way."""

from __future__ import annotations

import os
import posixpath
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from ..errors import (
    FileNotFoundInStorageError,
    InvalidArgumentError,
    InvalidKeyError,
    NotAFileError,
    StorageError,
)
from ..models import ListEntry
from ._output import say
from ._places import LocalPath, Object, Place, Stream
from ._run import Session
from ._tree import walk


@dataclass(frozen=True)
class Item:
    """One file and where it goes; `size` in bytes, None for what comes by a stream."""

    source: Place
    destination: Place
    size: int | None


def into_folder(sources: Sequence[Place], destination: Place) -> bool:
    """Tell whether sources keep their names below the destination, rather than taking its own."""
    if isinstance(destination, Stream):
        return False
    return destination.folder or len(sources) > 1


async def items(
    session: Session, sources: Sequence[Place], destination: Place, *, recursive: bool
) -> AsyncIterator[Item]:
    """Return all files that the sources are. What cannot be one is told, and the rest goes on.

    Args:
        session: that the command runs in.
        sources: files, and trees where `recursive`.
        destination: a folder if it was written as one, or of several sources.
        recursive: take trees.
    """
    folder = into_folder(sources, destination)
    if folder:
        _check_names(sources)
    for source in sources:
        try:
            async for item in _items_of(session, source, destination, folder, recursive):
                yield item
        except (InvalidKeyError, FileNotFoundInStorageError, NotAFileError, OSError) as exc:
            if isinstance(exc, StorageError) and len(sources) == 1:
                raise
            session.failed(exc)


async def _items_of(
    session: Session, source: Place, destination: Place, folder: bool, recursive: bool
) -> AsyncIterator[Item]:
    if isinstance(source, Stream):
        if folder:
            raise InvalidArgumentError("what comes from standard input has no name: give it one")
        yield Item(source, destination, None)
    elif isinstance(source, LocalPath):
        async for item in _local(session, source, destination, folder, recursive):
            yield item
    else:
        async for item in _stored(session, source, destination, folder, recursive):
            yield item


async def _local(
    session: Session, source: LocalPath, destination: Place, folder: bool, recursive: bool
) -> AsyncIterator[Item]:
    name = _name(source)
    if not os.path.isdir(source.path):
        target = below(destination, name) if folder else destination
        yield Item(source, _file(target, name), os.stat(source.path).st_size)
        return
    if not recursive:
        raise InvalidArgumentError(f"{source.path!r} is a folder: send all of it with --recursive")
    base = below(destination, name) if folder and name else destination
    own = _way_back(source, base)

    def skipped(path: str, kind: str) -> None:
        say(f"Skipped: {path} is {kind}")

    for file in walk(source.path, skipped, session.failed):
        if own and file.name.startswith(own):
            session.failed(_into_source(), file.path)
        else:
            yield Item(LocalPath(file.path, False), below(base, file.name), file.size)


async def _stored(
    session: Session, source: Object, destination: Place, folder: bool, recursive: bool
) -> AsyncIterator[Item]:
    name = _name(source)
    if not recursive or (source.key and not source.folder):
        entry = await _entry(source, recursive)
        if entry is not None:
            target = below(destination, name) if folder else destination
            yield Item(source, _file(target, name), entry.size)
            return
    base = below(destination, name) if folder and name else destination
    own = _way_back(source, base)
    found = False
    start = len(source.key) + 1 if source.key else 0
    async for listed in source.storage.list(source.key):
        found = True
        inner = listed.name[start:]
        each = replace(source, key=listed.name, folder=False, shown=_shown(source, inner))
        if not listed.addressable:
            session.failed(InvalidKeyError("no storage may have this name", key=listed.name))
        elif own and inner.startswith(own):
            session.failed(_into_source(), each.shown)
        else:
            yield Item(each, below(base, inner), listed.size)
    if not found and source.key:
        raise FileNotFoundInStorageError("nothing is there", key=source.key)


def _name(source: Place) -> str:
    """Return by which name a source goes into a folder; empty for a whole storage."""
    if isinstance(source, LocalPath):
        return os.path.basename(os.path.abspath(source.path))
    return posixpath.basename(source.key) if isinstance(source, Object) else ""


def _check_names(sources: Sequence[Place]) -> None:
    """Refuse sources of one name, of which the folder would have the last, and a move no other."""
    names = [name for source in sources if (name := _name(source))]
    for name in names:
        if names.count(name) > 1:
            raise InvalidArgumentError(f"several sources have the name {name!r}: send each alone")


def _way_back(source: Place, base: Place) -> str:
    """Return where below the destination the source is, with a final ``/``; empty if it is not.

    Raises:
        InvalidArgumentError: the destination is the source, or within it.
    """
    if isinstance(base, Stream):
        return ""
    there, here = f"{_address(base)}/", f"{_address(source)}/"
    if there.startswith(here):
        raise InvalidArgumentError("the destination is within the source, which would not end")
    return here[len(there) :] if here.startswith(there) else ""


def _into_source() -> InvalidArgumentError:
    return InvalidArgumentError("this would go where the source is, and replace what is not sent")


async def _entry(source: Object, recursive: bool) -> ListEntry | None:
    """Return what is known of the object; None where it is a folder that may be one."""
    if not source.key:
        raise InvalidArgumentError("this is a whole storage: take all of it with --recursive")
    try:
        return await source.storage.stat(source.key)
    except (FileNotFoundInStorageError, NotAFileError):
        if recursive:
            return None
        raise


def _shown(source: Object, inner: str) -> str:
    return source.shown + ("" if source.shown.endswith(("/", ":")) else "/") + inner


def _file(destination: Place, name: str) -> Place:
    """Return where one file goes: into a directory that is there, it goes by its name."""
    if isinstance(destination, LocalPath) and os.path.isdir(destination.path):
        return below(destination, name)
    return destination


def below(place: Place, name: str) -> Place:
    """Return what has a name below a place."""
    if isinstance(place, Stream):
        return place
    if isinstance(place, LocalPath):
        return LocalPath(os.path.join(place.path, *name.split("/")), False)
    key = f"{place.key}/{name}" if place.key else name
    return replace(place, key=key, folder=False, shown=_shown(place, name))


def is_same(one: Place, other: Place) -> bool:
    """Tell whether two places are one object, by whatever names."""
    return _address(one) == _address(other) and not isinstance(one, Stream)


def _address(place: Place) -> str:
    if isinstance(place, Stream):
        return ""
    if isinstance(place, LocalPath):  # as the disk's own storage says it
        return f"file:{os.path.realpath(place.path)}".rstrip("/")
    return f"{place.storage.address}{place.key}".rstrip("/")
