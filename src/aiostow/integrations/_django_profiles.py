"""Profiles of a Django project, by its settings, and operations on them."""

from __future__ import annotations

import threading
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .. import operations
from ..errors import ProfileError
from ..profiles import Profiles, SyncProfiles
from ._profile_forms import read_profiles, read_sync_profiles

SETTING = "AIOSTOW_PROFILES"


class _Made:
    """What was made of the settings in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sync: SyncProfiles | None = None
        self.alone: Profiles | None = None


_made = _Made()


def storage_profiles() -> SyncProfiles:
    """Return the profiles of the setting ``AIOSTOW_PROFILES``, the same ones in the whole process.

    It is a list of pairs as `SyncProfiles` takes them, or ready profiles, or the path of a TOML
    file. Tests that override it get new ones.

    Raises:
        ImproperlyConfigured: it is missing, or what it holds is wrong.
    """
    with _made.lock:
        if _made.sync is None:
            value = _setting()
            try:
                _made.sync = read_sync_profiles(SETTING, value)
            except ProfileError as exc:
                raise ImproperlyConfigured(exc.message) from exc
        return _made.sync


def async_storage_profiles() -> Profiles:
    """Return the profiles of the setting for async views; see `storage_profiles`.

    Their storages are others than those of `storage_profiles`.

    Raises:
        ImproperlyConfigured: it is missing, or what it holds is wrong.
    """
    with _made.lock:
        if _made.alone is None:
            value = _setting()
            if isinstance(value, SyncProfiles):
                raise ImproperlyConfigured(
                    f"{SETTING}: SyncProfiles are for sync views alone: set it to the list of pairs"
                )
            try:
                _made.alone = read_profiles(SETTING, value)
            except ProfileError as exc:
                raise ImproperlyConfigured(exc.message) from exc
        return _made.alone


def _setting() -> Any:
    value = getattr(settings, SETTING, None)
    if value is None:
        raise ImproperlyConfigured(
            f"the settings have no {SETTING}: set it to a list of pairs such as (LocalFSStorage, "
            "{'root': 'data', 'name': 'disk'}), or the path of a TOML file"
        )
    return value


def _forget(*, setting: str, **_: object) -> None:
    if setting == SETTING:
        # Not closed: ready profiles are the project's own, and another thread may be using these.
        with _made.lock:
            _made.sync = _made.alone = None


setting_changed.connect(_forget, dispatch_uid="aiostow")


class StorageOperations(operations.SyncStorageOperations):
    """Operations on the profiles of the settings, for sync views, models and commands."""

    @classmethod
    def storage_get_profiles(cls) -> SyncProfiles:
        """Return the class's own profiles, or else those of the settings."""
        return storage_profiles() if cls.storage_profiles is None else cls.storage_profiles


class AsyncStorageOperations(operations.StorageOperations):
    """Operations on the profiles of the settings, for async views."""

    @classmethod
    def storage_get_profiles(cls) -> Profiles:
        """Return the class's own profiles, or else those of the settings."""
        return async_storage_profiles() if cls.storage_profiles is None else cls.storage_profiles
