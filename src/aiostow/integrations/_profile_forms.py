"""The forms in which the settings of a framework may hold profiles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..errors import ProfileError, StorageError
from ..profiles import Profiles, SyncProfiles

AnyProfiles = TypeVar("AnyProfiles", Profiles, SyncProfiles)


def read_profiles(setting: str, value: Any, folder: str | os.PathLike[str] = "") -> Profiles:
    """Return the profiles that a setting holds, all made, so that none fails later.

    Args:
        setting: its name, for messages.
        value: of it: a list of pairs, profiles, or the path of a TOML file.
        folder: what that path is relative to.

    Raises:
        ProfileError: it holds no profiles, or wrong ones; the message says what it may hold.
        ImportError: the class of one needs an extra; the message says which.
    """
    profiles = _read(setting, value, folder)
    return _checked(setting, profiles)


def read_sync_profiles(
    setting: str, value: Any, folder: str | os.PathLike[str] = ""
) -> SyncProfiles:
    """Return the profiles that a setting holds for facades; see `read_profiles`."""
    if isinstance(value, SyncProfiles):
        return _checked(setting, value)
    return _checked(setting, SyncProfiles(_read(setting, value, folder)))


def _read(setting: str, value: Any, folder: str | os.PathLike[str]) -> Profiles:
    with _Named(setting):
        if isinstance(value, Profiles):
            return value
        if isinstance(value, (list, tuple)):
            return Profiles(value)
        if isinstance(value, (str, os.PathLike)) and value:
            return Profiles.from_file(Path(folder, value))
    told = "an empty text" if value == "" else type(value).__name__
    raise ProfileError(
        f"{setting}: this must be a list of pairs such as (LocalFSStorage, {{'root': 'data', "
        f"'name': 'disk'}}), Profiles, or the path of a TOML file, not {told}"
    )


def _checked(setting: str, profiles: AnyProfiles) -> AnyProfiles:
    if not len(profiles):
        raise ProfileError(f"{setting}: this holds no profile")
    with _Named(setting):
        profiles.check()
    return profiles


class _Named:
    """Names the setting in the errors of profiles."""

    def __init__(self, setting: str) -> None:
        self._setting = setting

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, exc: BaseException | None, tb: object) -> Literal[False]:
        if isinstance(exc, StorageError):
            raise ProfileError(f"{self._setting}: {exc.message}") from exc
        return False
