"""Which classes a configuration may name: our own, and those that packages register."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import EntryPoint, entry_points

from ._extras import BACKENDS
from ._settings import suggestion
from .errors import ProfileError
from .storage import Storage

GROUP = "aiostow.storages"
"""The entry points by which packages register storages of their own."""

_OURS = {module: name for name, module in BACKENDS.items()}


def kinds() -> list[str]:
    """Return what a configuration may give as the type of a profile."""
    return sorted({*_OURS, *_registered()})


def is_kind(kind: str) -> bool:
    """Tell whether a configuration may name this type, by its short name or that of its class."""
    return kind in _OURS or kind in _OURS.values() or kind in _registered()


def short_name(kind: str) -> str:
    """Return the name of a type under which it is told, also where it was given by its class."""
    return next((short for short, name in _OURS.items() if name == kind), kind)


def find_class(kind: str) -> type[Storage]:
    """Return the class of a type; only now is it imported.

    Raises:
        ProfileError: there is none, or what is registered is no storage.
        ImportError: it needs an extra; the message says which.
    """
    name = _OURS.get(kind, kind)
    if name in _OURS.values():
        found = getattr(importlib.import_module(__package__), name)
    elif kind in (registered := _registered()):
        found = registered[kind].load()
    else:
        raise ProfileError(f"there is no such type; {suggestion(kind, kinds())}")
    if not (inspect.isclass(found) and issubclass(found, Storage)):
        raise ProfileError(f"{kind!r} is registered for what is no class of storages")
    return found


def _registered() -> dict[str, EntryPoint]:
    return {each.name: each for each in entry_points(group=GROUP)}
