"""What a link endpoint is given, checked when it is made rather than when a request comes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TypedDict

from ._link_steps import Hook
from ._linking import honours_links
from .errors import InvalidArgumentError, InvalidTypeError
from .linkstore import LinkStore
from .storage import Storage


class EndpointOptions(TypedDict, total=False):
    """What a `LinkEndpoint` is given beside its storages."""

    authorize: Hook | None
    on_download: Hook | None
    on_upload: Hook | None
    on_remove: Hook | None
    on_success: Hook | None
    store: LinkStore | None
    inline_types: Iterable[str]
    trusted_tree: bool
    accel_redirect: str | None
    x_sendfile: bool
    clock: Callable[[], float]


def check_hooks(**hooks: Hook | None) -> None:
    """Refuse what cannot be called with a `LinkUse`."""
    for name, hook in hooks.items():
        if hook is None:
            continue
        if not callable(hook):
            raise InvalidTypeError(f"{name} must be a function, not {type(hook).__name__}")
        try:
            inspect.signature(hook).bind(None)
        except TypeError:
            raise InvalidTypeError(f"{name} must take one argument, the LinkUse") from None
        except ValueError:  # a builtin that does not tell
            continue


def check_store(store: LinkStore | None) -> None:
    """Refuse what is no store."""
    if store is not None and (isinstance(store, type) or not hasattr(store, "take")):
        raise InvalidTypeError(
            f"store must be a LinkStore such as SQLiteLinkStore('links.db'), not {_named(store)}"
        )


def check_handing_over(trusted_tree: bool, accel_redirect: str | None, x_sendfile: bool) -> None:
    """Refuse paths for a server that were not allowed, or that it would not understand."""
    if (accel_redirect is not None or x_sendfile) and not trusted_tree:
        raise InvalidArgumentError(
            "accel_redirect and x_sendfile hand paths to the server, which opens them outside "
            "of the confinement to the root: say trusted_tree=True if that is safe"
        )
    if accel_redirect is not None and (x_sendfile or not accel_redirect.startswith("/")):
        raise InvalidArgumentError(
            "accel_redirect is an internal location of nginx, such as '/protected/', and "
            "excludes x_sendfile, which is for other servers"
        )


def checked_types(types: Iterable[str]) -> frozenset[str]:
    """Return content types in lower case."""
    if isinstance(types, str):
        raise InvalidTypeError("inline_types are several: write {'application/pdf', ...}")
    return frozenset(each.lower() for each in types)


def checked_storages(storages: Storage | Iterable[Storage]) -> tuple[Storage, ...]:
    """Return the storages, which must all honour links."""
    given: tuple[object, ...] = (storages,)
    if isinstance(storages, Iterable) and not isinstance(storages, (str, type)):
        given = tuple(storages)
    checked = []
    for storage in given:
        if not isinstance(storage, Storage):
            raise InvalidTypeError(
                "this endpoint awaits storages such as LocalFSStorage(...), and takes no "
                f"{_named(storage)}"
            )
        if not honours_links(storage):
            raise InvalidArgumentError(
                f"storage {storage.name!r} has no secret_key, without which it honours no links"
            )
        checked.append(storage)
    if not checked:
        raise InvalidArgumentError("an endpoint serves at least one storage")
    return tuple(checked)


def _named(given: object) -> str:
    return given.__name__ if isinstance(given, type) else type(given).__name__
