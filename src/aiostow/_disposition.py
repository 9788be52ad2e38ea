"""The header by which an answer suggests the name of a file."""

from __future__ import annotations

from urllib.parse import quote


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
