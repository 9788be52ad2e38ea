"""The one place that decides which names are keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .errors import InvalidKeyError

__all__ = [
    "ANY_KEY",
    "PORTABLE",
    "TEMP_PREFIX",
    "KeyRules",
    "Prefix",
    "check_key",
    "check_name_start",
    "check_prefix",
    "is_key",
]

TEMP_PREFIX = ".aiostow-tmp-"
"""How the names of our own temporary files begin; no key may have such a segment."""

# One pass in C over the whole key finds nearly every reason to refuse; the sentences come after.
# C0 and C1 control characters, DEL, and surrogates (which no UTF-8 name can hold).
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_BAD_SEGMENT = re.compile(rf"(?:\A|/)(?:\.{{0,2}}(?:/|\Z)|{re.escape(TEMP_PREFIX)})")


def check_key(key: str) -> str:
    """Return `key` if every storage may address it.

    A key is a relative path of non-empty segments separated by ``/``. It is kept as it is: letters
    are not folded and Unicode is not normalised.

    Raises:
        InvalidKeyError: the key is empty or no str; has a ``.``, ``..`` or empty segment, a leading
            or trailing ``/``, a control character or lone surrogate; or names one of our temporary
            files.
    """
    reason = _refusal(key)
    if reason is not None:
        raise InvalidKeyError(reason, key=key if isinstance(key, str) else None)
    return key


def is_key(name: str) -> bool:
    """Tell whether `check_key` would accept `name`."""
    return _refusal(name) is None


def _refusal(key: str) -> str | None:
    if not isinstance(key, str):
        if isinstance(key, bytes):
            return f"a key is a str, not bytes: decode it, for example {key!r}.decode()"
        return f"a key is a str, not {type(key).__name__}: for a path use path.as_posix()"
    if not key:
        return "a key cannot be empty"
    match = _FORBIDDEN.search(key)
    if match is not None:
        return f"a key cannot hold the character {match.group()!r}"
    if _BAD_SEGMENT.search(key) is None:
        return None
    if key.startswith("/"):
        stripped = key.lstrip("/")
        return _absolute(stripped if _refusal(stripped) is None else "")
    if key.endswith("/"):
        return "a key names a file and does not end with '/'"
    for segment in key.split("/"):
        if segment == "":
            return "a key cannot hold an empty segment ('//')"
        if segment in (".", ".."):
            return f"a key cannot hold the segment {segment!r}"
    return f"names beginning with {TEMP_PREFIX!r} are kept for temporary files"


def _absolute(offer: str) -> str:
    write = f": write {offer!r}" if offer else ""
    return f"a key is relative and does not begin with '/'{write}"


def check_prefix(prefix: str) -> str:
    """Return the prefix of a listing, either empty or ending with ``/``.

    A prefix ends at a segment: ``"l"`` and ``"l/"`` are the same and never match ``lx``.

    Raises:
        InvalidKeyError: without its ending ``/`` the prefix is neither empty nor a key.
    """
    if prefix == "":
        return ""
    key = prefix.removesuffix("/") if isinstance(prefix, str) else prefix
    reason = _refusal(key)
    if reason is not None:
        raise InvalidKeyError(reason, key=prefix if isinstance(prefix, str) else None)
    return key + "/"


def check_name_start(start: str) -> str:
    """Return `start` if keys may begin with it: a raw prefix that need not end at a segment.

    Raises:
        InvalidKeyError: no key can begin so.
    """
    if start == "":
        return ""
    # What begins a key becomes a key by appending a letter: "a/" -> "a/x", "a/." -> "a/.x".
    if not isinstance(start, str):
        return check_key(start)
    if start.startswith("/"):
        stripped = start.lstrip("/")
        offer = stripped if _refusal(stripped + "x") is None else ""
        raise InvalidKeyError(_absolute(offer), key=start)
    reason = _refusal(start + "x")
    if reason is not None:
        raise InvalidKeyError(reason, key=start)
    return start


@dataclass(frozen=True, slots=True)
class KeyRules:
    """What a storage takes for a key, the prefix of a listing, and the beginning of a name."""

    key: Callable[[str], str]
    prefix: Callable[[str], str]
    name_start: Callable[[str], str]
    is_key: Callable[[str], bool]


def _any_name(name: str) -> str:
    if not isinstance(name, str):
        return check_key(name)
    if not name:
        raise InvalidKeyError("a key cannot be empty")
    _check_unicode(name)
    return name


def _any_prefix(prefix: str) -> str:
    if not isinstance(prefix, str):
        return check_prefix(prefix)
    _check_unicode(prefix)
    return prefix if not prefix or prefix.endswith("/") else prefix + "/"


def _any_start(start: str) -> str:
    if not isinstance(start, str):
        return check_name_start(start)
    _check_unicode(start)
    return start


def _check_unicode(text: str) -> None:
    if re.search("[\ud800-\udfff]", text):
        raise InvalidKeyError("no service can have a lone surrogate in a name")


PORTABLE = KeyRules(check_key, check_prefix, check_name_start, is_key)
"""Names that every storage may have."""

ANY_KEY = KeyRules(_any_name, _any_prefix, _any_start, lambda name: True)
"""Names that a service has, whoever gave them."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The keys of a view: what it puts before its own keys, and takes off again."""

    text: str = ""

    def at(self, prefix: str, rules: KeyRules = PORTABLE) -> Prefix:
        """Return the prefix of a view within this one."""
        return Prefix(self.text + rules.prefix(prefix))

    def join(self, key: str) -> str:
        """Return the driver's key of the view's `key`."""
        return self.text + key

    def strip(self, full: str) -> str:
        """Return the view's key of the driver's key `full`."""
        return full[len(self.text) :]
