"""Settings of a configuration, as the arguments of a storage's class: checked, and with secrets."""

from __future__ import annotations

import base64
import contextlib
import difflib
import inspect
import os
import re
import tomllib
import types
import typing
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from .errors import ProfileError
from .storage import Storage

_VARIABLE = re.compile(r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAMES: dict[Any, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text",
    bytes: "bytes in base64", Mapping: "a table", Sequence: "a list",
}  # fmt: skip


@dataclass(frozen=True)
class Where:
    """Where a profile is written; begins the messages about it.

    Attributes:
        source: a file or ``"the environment"``; empty for code.
        profile: its name.
        folder: what relative paths are relative to.
    """

    source: str
    profile: str
    folder: Path | None = None

    def fail(self, message: str, key: str | None = None) -> NoReturn:
        """Raise the error that says what is wrong here. `message` must hold no value."""
        parts = [self.source, f"profile {self.profile!r}" if self.profile else ""]
        parts.append("" if key is None else f"key {key!r}")
        raise ProfileError(f"{', '.join(filter(None, parts))}: {message}")

    def path(self, path: str) -> str:
        """Return a path that the profile gives, relative to where that is written."""
        expanded = os.path.expanduser(path)
        return expanded if self.folder is None else os.path.join(self.folder, expanded)


def suggestion(wrong: str, right: Iterable[str]) -> str:
    """Return the end of a message about a misspelt word."""
    choices = sorted(right)
    close = difflib.get_close_matches(wrong, choices, 1)
    if close:
        return f"do you mean {close[0]!r}?"
    return f"choose from {', '.join(choices)}" if choices else "there is none"


def check_keys(cls: type[Storage], keys: Iterable[str], where: Where) -> None:
    """Refuse settings that the class does not know, and say which are missing."""
    parameters = _parameters(cls)
    given = set(keys)
    for key in sorted(given - set(parameters)):
        where.fail(f"{cls.__name__} has no such setting; {suggestion(key, parameters)}", key)
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in given:
            where.fail(f"{cls.__name__} needs this setting", key)


def arguments(
    cls: type[Storage],
    settings: Mapping[str, Any],
    where: Where,
    environ: Mapping[str, str],
    *,
    texts: Container[str] = (),
) -> dict[str, Any]:
    """Return the arguments that settings stand for.

    Variables and secret files are read in credentials alone: a configuration must not be able to
    send other things of the environment to whatever host it names.

    Args:
        cls: the class.
        settings: as they are written, without `name`.
        where: they are written.
        environ: the environment.
        texts: those whose values are text, whatever the class takes: it is read as that.

    Raises:
        ProfileError: one of them is wrong; the message names it, and no value.
    """
    check_keys(cls, settings, where)
    hints = typing.get_type_hints(cls.__init__)
    found = {}
    for key, value in settings.items():
        hint = hints.get(key, Any)
        if key in texts and not _fits(value, hint):
            value = _from_text(value)
        if key in cls.credential_fields:
            value = _revealed(value, key, where, environ)
        elif _has_variable(value):
            where.fail("variables are replaced in credentials only", key)
        found[key] = _converted(value, hint, key, where)
    return found


def _parameters(cls: type[Storage]) -> dict[str, inspect.Parameter]:
    """Return what can be said of a storage beside its name, which is that of the profile."""
    parameters = dict(inspect.signature(cls).parameters)
    parameters.pop("name", None)
    return {
        key: each
        for key, each in parameters.items()
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }


def _from_text(value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except ValueError:
        return value


def _has_variable(value: Any) -> bool:
    if isinstance(value, str):
        return any(not escaped for escaped, _ in _VARIABLE.findall(value))
    if isinstance(value, list | dict):
        return any(map(_has_variable, value.values() if isinstance(value, dict) else value))
    return False


def _revealed(value: Any, key: str, where: Where, environ: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"file"}:
            return _secret_file(value["file"], key, where)
        return {name: _revealed(each, key, where, environ) for name, each in value.items()}
    if isinstance(value, list):
        return [_revealed(each, key, where, environ) for each in value]
    if not isinstance(value, str):
        return value

    def replaced(match: re.Match[str]) -> str:
        escaped, name = match.groups()
        if escaped:
            return match.group()[1:]
        if name not in environ:
            where.fail(f"the environment has no variable {name}", key)
        return environ[name]

    return _VARIABLE.sub(replaced, value)


def _secret_file(path: Any, key: str, where: Where) -> str:
    if not isinstance(path, str):
        where.fail("a secret file is named by text, as in { file = 'path' }", key)
    try:
        content = Path(where.path(path)).read_bytes()
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "this is no path"
        where.fail(f"the secret file {path!r} cannot be read: {reason}", key)
    text = None
    with contextlib.suppress(UnicodeDecodeError):  # which would carry the content along
        text = content.decode()
    if text is None:
        where.fail(f"the secret file {path!r} is no text in UTF-8", key)
    return text.removesuffix("\n").removesuffix("\r")


def _members(hint: Any) -> tuple[Any, ...]:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return tuple(each for member in typing.get_args(hint) for each in _members(member))
    return (hint,)


def _plain(hint: Any) -> set[Any]:
    return {typing.get_origin(each) or each for each in _members(hint)}


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a value of a configuration is one that an argument may have."""
    for member in _members(hint):
        plain = typing.get_origin(member) or member
        if plain is Literal and value in typing.get_args(member):
            return True
        if plain is bool and isinstance(value, bool):
            return True
        if plain is int and type(value) is int:
            return True
        if plain is float and type(value) in (int, float):
            return True
        if plain in (str, bytes, os.PathLike) and isinstance(value, str):
            return value not in ("true", "false") or bool not in _members(hint)
        if plain is Mapping and isinstance(value, dict):
            return all(isinstance(each, str) for each in value.values())
        if plain is Sequence and isinstance(value, list):
            return all(isinstance(each, str) for each in value)
    return False


def _converted(value: Any, hint: Any, key: str, where: Where) -> Any:
    if not _fits(value, hint):
        where.fail(_wanted(hint), key)
    plain = _plain(hint)
    if os.PathLike in plain and isinstance(value, str):
        return where.path(value)
    if isinstance(value, list) and any(
        os.PathLike in _plain(each) for member in _members(hint) for each in typing.get_args(member)
    ):
        return [where.path(each) for each in value]
    if bytes in plain and str not in plain and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            where.fail(_wanted(bytes), key)
    return value


def _wanted(hint: Any) -> str:
    wanted: list[str] = []
    members = _members(hint)
    for member in members:
        plain = typing.get_origin(member) or member
        if plain is Literal:
            wanted += map(repr, typing.get_args(member))
        elif plain in _NAMES and not (plain is bytes and str in members):
            wanted.append(_NAMES[plain])
    if not wanted:
        return "this can be given in code only"
    return f"this must be {' or '.join(dict.fromkeys(wanted))}"
