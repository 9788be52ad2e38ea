"""What an argument means: an object of a storage, a local path, or the process's own streams."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from .._profile_sources import PROFILE_NAME
from .._urls import is_url
from ..backends.local import LocalFSStorage
from ..errors import InvalidArgumentError, ProfileError, UnknownProfileError
from ..profiles import Profiles, user_config
from ..storage import Storage


@dataclass(frozen=True)
class Stream:
    """Standard input, or standard output."""

    shown: str = "-"


@dataclass(frozen=True)
class LocalPath:
    """A path of this machine; `folder` tells that it was written as one, with a final ``/``."""

    path: str
    folder: bool

    @property
    def shown(self) -> str:
        """As it is told to the user."""
        return self.path


@dataclass(frozen=True)
class Object:
    """A key of a storage, or the prefix that it is; empty for all of the storage."""

    storage: Storage
    key: str
    folder: bool
    shown: str


Place: TypeAlias = Stream | LocalPath | Object
Plain: TypeAlias = Literal["object", "file"]
"""What an argument is that is neither a URL nor begins with a profile's name."""


class Places:
    """Reads arguments.

    Args:
        profiles: whose names an argument may begin with.
        profile: of the keys that name none; None for the default.
    """

    def __init__(self, profiles: Profiles, profile: str | None) -> None:
        self._profiles = profiles
        self._profile = profile
        self._disks: list[LocalFSStorage] = []

    def read(self, text: str, plain: Plain = "object") -> Place:
        """Return what an argument means.

        Raises:
            ProfileError: it names no profile, or is no URL of a storage.
        """
        if text == "-":
            return Stream()
        if is_url(text):
            return self._url(text)
        if _is_path(text) or (plain == "file" and os.path.isabs(text)):
            return _local(text)
        name, colon, key = text.partition(":")
        if colon and (not name or name in self._profiles):
            return self._object(name or self._profile, key, text)
        if (
            colon
            and PROFILE_NAME.fullmatch(name)
            and not (plain == "file" and os.path.lexists(text))
        ):
            self._unknown(name, text)
        if plain == "file":
            return _local(text)
        return self._object(self._profile, text, text)

    def read_all(self, texts: Iterable[str]) -> list[Place]:
        """Return what the arguments of a copy mean.

        Where one of them is of a storage, the plain ones are local paths; else, or where a profile
        was chosen, all are keys.
        """
        every = list(texts)
        keys = self._profile is not None or all(map(self._is_plain, every))
        return [self.read(text, "object" if keys else "file") for text in every]

    def as_object(self, place: Place) -> Object:
        """Return a place as an object; a local path becomes one of the disk.

        Raises:
            InvalidArgumentError: it is a stream.
        """
        if isinstance(place, Object):
            return place
        if isinstance(place, Stream):
            raise InvalidArgumentError("'-' is standard input or output, and no object")
        path = os.path.realpath(place.path)
        is_folder = os.path.isdir(path)
        folder, name = (path, "") if is_folder else os.path.split(path)
        storage = LocalFSStorage(folder)
        self._disks.append(storage)
        return Object(storage, name, is_folder, place.path)

    def as_tree(self, place: Place) -> Storage:
        """Return a place as a storage of all that is below it; a local path need not be there yet.

        Raises:
            InvalidArgumentError: it is a stream.
        """
        if isinstance(place, Object):
            return place.storage.at(place.key) if place.key else place.storage
        if isinstance(place, Stream):
            raise InvalidArgumentError("'-' is standard input or output, and no tree")
        storage = LocalFSStorage(os.path.realpath(place.path))
        self._disks.append(storage)
        return storage

    async def aclose(self) -> None:
        """Close what local paths have opened; the profiles close all else."""
        for storage in self._disks:
            await storage.aclose()

    def _is_plain(self, text: str) -> bool:
        return text != "-" and not is_url(text) and ":" not in text and not _is_path(text)

    def _url(self, text: str) -> Place:
        if text[:7].lower() == "file://":
            parts = urlsplit(text)
            if parts.netloc or parts.query or parts.fragment:
                raise ProfileError("write the URL of a local path as 'file:///folder/file'")
            return _local(unquote(parts.path))
        storage, key = self._profiles.at_url(text)
        return Object(storage, key.strip("/"), not key or key.endswith("/"), text)

    def _object(self, name: str | None, key: str, text: str) -> Object:
        try:
            storage = self._profiles.get(name)
        except UnknownProfileError as exc:
            if len(self._profiles):
                raise
            raise UnknownProfileError(
                f"{exc.message}: write one into {str(user_config())!r}, or give a URL"
            ) from None
        bare = key.strip("/")
        return Object(storage, bare, not bare or key.endswith("/"), text)

    def _unknown(self, name: str, text: str) -> None:
        try:
            self._profiles.get(name)
        except UnknownProfileError as exc:
            raise UnknownProfileError(
                f"{exc.message}; a local file of this name is {'./' + text!r}"
            ) from None


def _is_path(text: str) -> bool:
    # No key has such a segment.
    return text.startswith(("./", "../", "~/")) or text in (".", "..", "~")


def _local(text: str) -> LocalPath:
    path = os.path.expanduser(text)
    folder = path.endswith("/") or os.path.basename(path) in (".", "..")
    return LocalPath(path.rstrip("/") or "/", folder)
