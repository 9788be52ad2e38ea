"""Where profiles are written, and how each becomes a storage: code, a file, the environment."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from ._registry import find_class, is_kind, kinds, short_name
from ._settings import Where, arguments, check_keys, suggestion
from ._urls import is_url, parse_url
from .errors import InvalidKeyError, InvalidTypeError, ProfileError
from .keys import check_prefix
from .storage import Storage

ProfilePair: TypeAlias = tuple[type[Storage] | str, Mapping[str, Any]]
"""A class of storages, or its type's name, with its arguments; `name` is that of the profile."""

_PROFILE = "AIOSTOW_PROFILE_"
PROFILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Profile:
    """How a storage is made, and the prefix that is seen of it; its repr holds no setting."""

    name: str
    kind: str
    where: Where
    make: Callable[[], Storage]
    prefix: str = ""

    def __repr__(self) -> str:
        return f"<profile {self.name!r}: {self.kind}>"

    def made(self) -> Storage:
        """Make the storage, without the prefix; what is wrong is told with where it is written."""
        try:
            return self.make()
        except ProfileError:
            raise
        except (TypeError, ValueError) as exc:
            self.where.fail(getattr(exc, "message", str(exc)))


def from_pair(pair: ProfilePair) -> Profile:
    """Return the profile of a class and its arguments, which must be such as it has."""
    try:
        given, settings = pair
        settings = dict(settings)
    except (TypeError, ValueError):
        raise InvalidTypeError(
            "a profile is a pair, as in (LocalFSStorage, {'root': 'data', 'name': 'disk'})"
        ) from None
    name = settings.get("name")
    where = Where("", "" if name is None else str(name))
    cls = registered_class(given, where) if isinstance(given, str) else given
    if not (isinstance(cls, type) and issubclass(cls, Storage)):
        raise InvalidTypeError(
            f"a profile names a class of storages such as LocalFSStorage, not {type(cls).__name__}"
        )
    kind = given if isinstance(given, str) else cls.__name__
    check_keys(cls, settings.keys() - {"name"}, where)
    profile = Profile(str(name), short_name(kind), where, lambda: cls(**settings))
    if name is None:
        # The class names it. Nothing is opened by this.
        profile = replace(profile, name=profile.made().name)
    return profile


def from_file(path: Path, environ: Mapping[str, str]) -> Iterator[Profile]:
    """Return the profiles of a TOML file; see `Profiles.from_file`."""
    source = str(path)
    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise ProfileError(f"{source}: this file cannot be read: {exc.strerror}") from None
    except ValueError as exc:
        found = re.search(r"\(at [^()]*\)$", str(exc))  # all else may repeat what is written
        place = f" {found.group()}" if found else ""
        raise ProfileError(f"{source}: this is no TOML{place}") from None
    for key in told:
        if key != "profiles":
            raise ProfileError(f"{source}: key {key!r}: {suggestion(key, ['profiles'])}")
    tables = told.get("profiles", {})
    if not isinstance(tables, dict):
        raise ProfileError(f"{source}: write a table [profiles.<name>] for each profile")
    for name, settings in tables.items():
        where = Where(source, name, path.absolute().parent)
        if not isinstance(settings, dict):
            where.fail(f"write a table [profiles.{name}]")
        yield _configured(name, settings, where, environ, text=False)


def from_environment(environ: Mapping[str, str]) -> list[Profile]:
    """Return the profiles of an environment; see `Profiles.from_environment`."""
    found: dict[str, dict[str, str]] = {}
    for variable, value in environ.items():
        if variable.startswith(_PROFILE):
            name, _, setting = variable.removeprefix(_PROFILE).lower().partition("__")
            key = setting or ("url" if is_url(value) else "type")
            found.setdefault(name, {})[key] = value
    return [
        _configured(name, found[name], Where("the environment", name), environ, text=True)
        for name in sorted(found)
    ]


def _configured(
    name: str, settings: Mapping[str, Any], where: Where, environ: Mapping[str, str], *, text: bool
) -> Profile:
    """Return a profile as it was written; `text` tells that all of its values are text."""
    if not PROFILE_NAME.fullmatch(name):
        where.fail("a profile's name is made of letters, digits, '.', '_' and '-'")
    own = dict(settings)
    kind, url, prefix = (own.pop(key, None) for key in ("type", "url", "prefix"))
    for key, value in (("type", kind), ("url", url), ("prefix", prefix)):
        if value is not None and not isinstance(value, str):
            where.fail("this must be text", key)
    if (kind is None) == (url is None):
        where.fail("a profile has a type or a url, and not both")
    if "name" in own:
        where.fail("a profile has the name of its table", "name")
    told: dict[str, str] = {}
    parsed, below = None, ""
    if url is not None:
        try:
            parsed = parse_url(url, environ, own)
        except ProfileError as exc:
            where.fail(exc.message, "url")
        kind = parsed.kind
        told, below = parsed.profile()
        if below and prefix:
            where.fail("the URL has a prefix already", "prefix")
        prefix = below or prefix
    elif not is_kind(kind):
        where.fail(f"there is no such type; {suggestion(kind, kinds())}", "type")
    try:
        prefix = check_prefix((prefix or "").strip("/"))
    except InvalidKeyError as exc:
        where.fail(exc.message, "url" if below else "prefix")

    def make() -> Storage:
        cls = registered_class(kind, where)
        if parsed is not None:
            refuse_credentials(cls, parsed.query, where)
        overridden = {key: value for key, value in told.items() if key not in own}
        texts = own.keys() | overridden.keys() if text else overridden.keys()
        found = arguments(cls, {**overridden, **own}, where, environ, texts=texts)
        return cls(**found, name=name)

    return Profile(name, short_name(kind), where, make, prefix)


def registered_class(kind: str, where: Where) -> type[Storage]:
    """Return the class of a type; if there is none, say where it is written."""
    try:
        return find_class(kind)
    except ProfileError as exc:
        where.fail(exc.message, "type")


def refuse_credentials(cls: type[Storage], query: Mapping[str, str], where: Where) -> None:
    """Refuse a URL with a credential: URLs are shown, logged and kept in histories."""
    for key in sorted(cls.credential_fields & query.keys()):
        where.fail("a URL holds no secret: make it a setting of the profile", key)
