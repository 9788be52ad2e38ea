"""Which names of a tree are meant: patterns to include and to exclude. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable

from ..errors import InvalidArgumentError, InvalidTypeError

_CLASS = re.compile(r"\[!?\]?[^\]]*\]")


def chosen(include: Iterable[str], exclude: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a name is meant.

    Args:
        include: patterns, one of which a name must match if there are any.
        exclude: patterns, none of which a name may match.

    Raises:
        InvalidArgumentError: a pattern is empty, or has a class that does not end.
    """
    taken, left = _any(include), _any(exclude)
    return lambda name: (taken is None or bool(taken(name))) and not (left and left(name))


def _any(patterns: Iterable[str]) -> Callable[[str], object] | None:
    if isinstance(patterns, str):
        raise InvalidArgumentError(f"give a list of patterns: [{patterns!r}]")
    expressions = [expression(pattern) for pattern in patterns]
    return re.compile("|".join(expressions)).fullmatch if expressions else None


def expression(pattern: str) -> str:
    """Return the regular expression of a pattern, for whole names.

    ``*`` and ``?`` match within a segment, ``[a-z]`` and ``[!a-z]`` one character, ``**`` any
    number of segments. A pattern without ``/`` matches a segment at any depth, and all below it;
    one with ``/`` begins at the top. A final ``/`` means what is below only.
    """
    if not isinstance(pattern, str):
        raise InvalidTypeError(f"a pattern is text, not {pattern!r}")
    body = pattern.strip("/")
    if not body or {".", ".."} & set(body.split("/")):
        raise InvalidArgumentError(f"{pattern!r} is no pattern: nothing has such a name")
    anywhere = "" if "/" in pattern.rstrip("/") else "(?:.*/)?"
    below = "/.*" if pattern.endswith("/") else "(?:/.*)?"
    segments = body.split("/")
    parts: list[str] = []
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        if segment == "**":
            parts.append(".*" if last else "(?:.*/)?")
        else:
            parts.append(_segment(segment, pattern) + ("" if last else "/"))
    return f"(?s:{anywhere}{''.join(parts)}{below})"


def _segment(segment: str, pattern: str) -> str:
    """Return the expression of one segment; what one ``*`` has taken, no other tries again."""
    runs = [""]  # what stands between stars
    place = 0
    while place < len(segment):
        letter = segment[place]
        place += 1
        if letter == "*":
            if runs[-1] or len(runs) == 1:
                runs.append("")
        elif letter == "?":
            runs[-1] += "[^/]"
        elif letter == "[":
            found = _CLASS.match(segment, place - 1)
            if found is None:
                raise InvalidArgumentError(f"'[' does not end in the pattern {pattern!r}")
            # The standard library knows what a class means, in an expression of its own.
            runs[-1] += "(?!/)" + fnmatch.translate(found[0])[len("(?s:") : -len(r")\Z")]
            place = found.end()
        else:
            runs[-1] += re.escape(letter)
    first, *others = runs
    if not others:
        return first
    *middle, last = others
    return first + "".join(f"(?>[^/]*?{run})" for run in middle) + f"[^/]*{last}"
