"""Sizes and durations as people write and read them."""

from __future__ import annotations

import re

_SIZES = "KMGTP"
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_size(text: str) -> int:
    """Return the bytes that ``10``, ``10k``, ``1.5M`` or ``2GiB`` say, in powers of 1,024.

    Raises:
        ValueError: it says none.
    """
    match = re.fullmatch(rf"(\d+(?:\.\d+)?) ?(?:([{_SIZES}])(?:i?B)?|B)?", text, re.IGNORECASE)
    if match is None:
        raise ValueError(f"{text!r} is no size: write bytes, or as in 10M")
    number, unit = match.groups()
    return int(float(number) * 1024 ** (_SIZES.index(unit.upper()) + 1 if unit else 0))


def parse_seconds(text: str) -> float:
    """Return the seconds that ``90``, ``15m``, ``1h``, ``2d`` or ``1w`` say.

    Raises:
        ValueError: it says none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([smhdw]?)", text)
    if match is None:
        raise ValueError(f"{text!r} is no duration: write seconds, or as in 15m, 1h or 2d")
    return float(match.group(1)) * _SECONDS[match.group(2)]


def human_size(size: int) -> str:
    """Return a size in at most five characters, in powers of 1,024."""
    if size < 1024:
        return str(size)
    number = float(size)
    for unit in _SIZES:
        number /= 1024
        if number < 9.95:
            return f"{number:.1f}{unit}"
        if number < 1023.5 or unit == _SIZES[-1]:
            break
    return f"{number:.0f}{unit}"


def human_seconds(seconds: float) -> str:
    """Return a duration as a whole number of its largest unit, days at most."""
    unit = next(each for each in "dhms" if seconds >= _SECONDS[each] or each == "s")
    return f"{int(seconds // _SECONDS[unit])}{unit}"
