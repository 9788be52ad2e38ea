"""Names and parameters as they stand in a URL, and in what is signed of it."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote


def encode_path(key: str) -> str:
    """Return an object's key as it stands in the path of a URL."""
    return quote(key, safe="/-_.~")


def encode_query(parameters: Iterable[tuple[str, str]]) -> str:
    """Return query parameters as they stand in a URL, in the order of their encoded names."""
    return "&".join(
        f"{name}={value}"
        for name, value in sorted(
            (quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in parameters
        )
    )
