"""How an answer suggests the name of a file, and which types a browser may show."""

from __future__ import annotations

from urllib.parse import quote

SHOWABLE = frozenset(
    {
        "image/avif", "image/bmp", "image/gif", "image/jpeg", "image/png", "image/webp",
        "audio/*", "video/*", "text/plain",
    }
)  # fmt: skip
"""Content types that hold no script, so that a browser may show what a stranger uploaded."""


def content_disposition(kind: str, name: str) -> str:
    """Return the header that suggests a file name (RFC 6266, with RFC 8187 for what is not ASCII).

    Args:
        kind: ``"attachment"`` or ``"inline"``.
        name: of the file; only what follows its last ``/`` is suggested.
    """
    name = name.rpartition("/")[2]
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name)
    value = f'{kind}; filename="{plain}"'
    if plain != name:
        value += f"; filename*=UTF-8''{quote(name, safe='')}"
    return value


def is_showable(content_type: str, types: frozenset[str] = SHOWABLE) -> bool:
    """Tell whether a browser may show a content type.

    Args:
        content_type: of the header, with or without parameters.
        types: those that may be shown; ``audio/*`` stands for all of its kind.
    """
    essence = content_type.partition(";")[0].strip().lower()
    return essence in types or f"{essence.partition('/')[0]}/*" in types
