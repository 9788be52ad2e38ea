"""Named storages: made when they are used, and closed together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from ._profile_sources import (
    Profile,
    ProfilePair,
    from_environment,
    from_file,
    from_pair,
    refuse_credentials,
)
from ._registry import find_class
from ._settings import Where, arguments, suggestion
from ._urls import parse_url
from .errors import ClosedError, UnknownProfileError
from .events import EventHook
from .storage import Storage
from .sync import SyncStorage

__all__ = ["ProfilePair", "Profiles", "SyncProfiles", "user_config"]

_CONFIG = "AIOSTOW_CONFIG"


class Profiles:
    """Storages by name, of which the first is the default.

    A storage is made when it is first asked for. Use it with ``async with``, or call `aclose` at
    the end, which closes all that were made.

    Args:
        pairs: a class and its arguments for each, as in ``(LocalFSStorage, {"root": "data", "name":
            "disk"})``.
        on_event: told of every operation of all these storages, but those with a hook of their own;
            see `Storage`.

    Raises:
        ProfileError: a class has no such argument or lacks one, or two have one name.
    """

    def __init__(
        self, pairs: Iterable[ProfilePair] = (), *, on_event: EventHook | None = None
    ) -> None:
        self._on_event = on_event
        self._profiles: dict[str, Profile] = {}
        self._made: dict[object, tuple[Storage, Storage]] = {}  # what is closed, and what is used
        self._closed = False
        for pair in pairs:
            self._add(from_pair(pair))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, on_event: EventHook | None = None) -> Self:
        """Return the profiles of a TOML file, a table ``[profiles.<name>]`` for each.

        Each has a `type` (or a `url`), the arguments of its class, and perhaps a `prefix` that its
        keys are below. Credentials may hold ``${VARIABLE}``, or be ``{ file = "path" }``.

        Args:
            path: of the file.
            on_event: see `Profiles`.

        Raises:
            ProfileError: the file cannot be read, is no TOML, or a profile is wrong as far as can
                be told without its class.
        """
        profiles = cls(on_event=on_event)
        for profile in from_file(Path(path), os.environ):
            profiles._add(profile)
        return profiles

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] | None = None, *, on_event: EventHook | None = None
    ) -> Self:
        """Return the profiles of the environment, in the order of their names.

        ``AIOSTOW_PROFILE_<NAME>`` is a type or a URL, and ``AIOSTOW_PROFILE_<NAME>__<SETTING>``
        each setting of it.

        Args:
            environ: by default that of the process.
            on_event: see `Profiles`.
        """
        profiles = cls(on_event=on_event)
        for profile in from_environment(os.environ if environ is None else environ):
            profiles._add(profile)
        return profiles

    @classmethod
    def load(
        cls, path: str | os.PathLike[str] | None = None, *, on_event: EventHook | None = None
    ) -> Self:
        """Return the profiles that the user has configured, and after them the environment's.

        A profile of the environment replaces one of the same name, in its place: what was the
        default stays so.

        Args:
            path: of the file; by default ``$AIOSTOW_CONFIG``, else that of `user_config` if it is
                there. No file is taken from the current directory unasked.
            on_event: see `Profiles`.

        Raises:
            ProfileError: see `from_file`.
        """
        named = path if path is not None else os.environ.get(_CONFIG) or None
        file = user_config() if named is None else Path(named)
        profiles = cls(on_event=on_event)
        if named is not None or file.is_file():
            for profile in from_file(file, os.environ):
                profiles._add(profile)
        for profile in from_environment(os.environ):
            profiles._profiles[profile.name] = profile
        return profiles

    def _add(self, profile: Profile) -> None:
        if profile.name in self._profiles:
            profile.where.fail("there is another profile of this name")
        self._profiles[profile.name] = profile

    def __iter__(self) -> Iterator[str]:
        return iter(self._profiles)

    def __len__(self) -> int:
        return len(self._profiles)

    def __contains__(self, name: object) -> bool:
        return name in self._profiles

    def __getitem__(self, name: str) -> Storage:
        return self.get(name)

    def get(self, name: str | None = None) -> Storage:
        """Return the storage of a profile, the same one each time.

        Args:
            name: of the profile; None for the default.

        Raises:
            UnknownProfileError: there is none.
            ProfileError: its settings are wrong; the message names file, profile and setting.
            ImportError: its class needs an extra; the message says which.
        """
        profile = self._find(name)
        return self._storage(profile.name, profile)

    def at_url(self, url: str) -> tuple[Storage, str]:
        """Return the storage that a URL leads to, and the key or prefix that it names.

        Raises:
            ProfileError: it is no URL of a storage, or holds a secret.
        """
        where = Where("this URL", "")
        parsed = parse_url(url, os.environ)
        settings = dict(parsed.settings)
        if parsed.root is not None:
            settings["root"] = parsed.root
        id = (parsed.kind, *sorted(settings.items()))  # no profile's, and never shown

        def make() -> Storage:
            cls = find_class(parsed.kind)
            refuse_credentials(cls, parsed.query, where)
            return cls(**arguments(cls, settings, where, os.environ, texts=settings))

        return self._storage(id, Profile("", parsed.kind, where, make)), parsed.path

    def kind(self, name: str) -> str:
        """Return the type of a profile, such as ``"s3"``."""
        return self._find(name).kind

    def source(self, name: str) -> str:
        """Return where a profile was written: a file, or ``"the environment"``; empty for code."""
        return self._find(name).where.source

    def copy(self) -> Profiles:
        """Return the same profiles with storages of their own, open also where these are closed."""
        profiles = Profiles(on_event=self._on_event)
        profiles._profiles = dict(self._profiles)
        return profiles

    def check(self) -> None:
        """Make all storages now, so that what is wrong is told at the start; nobody is connected.

        Raises:
            ProfileError, ImportError: see `get`.
        """
        for name in self:
            self.get(name)

    async def aclose(self) -> None:
        """Close all storages that were made, also where closing one of them fails. Idempotent."""
        self._closed = True
        made, self._made = self._made, {}
        results = await asyncio.gather(
            *(base.aclose() for base, _ in made.values()), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(map(repr, self._profiles.values()))}>"

    def _find(self, name: str | None) -> Profile:
        if name is None:
            for profile in self._profiles.values():
                return profile
            raise UnknownProfileError("no profile is configured")
        if name not in self._profiles:
            raise UnknownProfileError(f"no profile is named {name!r}; {suggestion(name, self)}")
        return self._profiles[name]

    def _storage(self, id: object, profile: Profile) -> Storage:
        if self._closed:
            raise ClosedError("these profiles are closed")
        if id not in self._made:
            base = self._new(profile)
            self._made[id] = (base, base.at(profile.prefix) if profile.prefix else base)
        return self._made[id][1]

    def _new(self, profile: Profile) -> Storage:
        storage = profile.made()
        storage._observe(self._on_event)
        return storage


class SyncProfiles:
    """`Profiles` for synchronous programs: its storages are facades, and may be had in any thread.

    Use it with ``with``, or call `close` at the end.

    Args:
        profiles: to be used by this facade alone, or what `Profiles` takes.
    """

    def __init__(self, profiles: Profiles | Iterable[ProfilePair]) -> None:
        self._profiles = profiles if isinstance(profiles, Profiles) else Profiles(profiles)
        self._made: dict[str, tuple[SyncStorage, SyncStorage]] = {}
        self._lock = threading.Lock()
        self._closed = False

    @property
    def profiles(self) -> Profiles:
        """The profiles behind this facade, whose storages are others than its own."""
        return self._profiles

    def __iter__(self) -> Iterator[str]:
        return iter(self._profiles)

    def __len__(self) -> int:
        return len(self._profiles)

    def __contains__(self, name: object) -> bool:
        return name in self._profiles

    def __getitem__(self, name: str) -> SyncStorage:
        return self.get(name)

    def get(self, name: str | None = None) -> SyncStorage:
        """Return the facade of a profile's storage, the same one each time; see `Profiles.get`."""
        with self._lock:
            if self._closed:
                raise ClosedError("these profiles are closed")
            profile = self._profiles._find(name)
            if profile.name not in self._made:
                base = SyncStorage(self._profiles._new(profile))
                used = base.at(profile.prefix) if profile.prefix else base
                self._made[profile.name] = (base, used)
            return self._made[profile.name][1]

    def kind(self, name: str) -> str:
        """Return the type of a profile, such as ``"s3"``."""
        return self._profiles.kind(name)

    def check(self) -> None:
        """Make all storages now; see `Profiles.check`."""
        for name in self:
            self.get(name)

    def close(self) -> None:
        """Close all storages that were made, also where closing one of them fails. Idempotent."""
        with self._lock:
            self._closed = True
            made, self._made = self._made, {}
        with contextlib.ExitStack() as stack:
            for base, _ in made.values():
                stack.callback(base.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Sync{repr(self._profiles).removeprefix('<')}"


def user_config() -> Path:
    """Return the file that holds the user's own profiles: ``~/.config/aiostow/config.toml``.

    ``$XDG_CONFIG_HOME`` stands for ``~/.config``, if it is an absolute path.
    """
    home = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(home) if os.path.isabs(home) else Path("~/.config").expanduser()
    return folder / "aiostow" / "config.toml"
