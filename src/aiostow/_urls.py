"""URLs of storages: where, and never by which secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ._settings import suggestion
from .errors import ProfileError

_KINDS = {"az": "azure", "file": "local", "memory": "memory", "s3": "s3", "sftp": "sftp"}
_EXAMPLES = {
    "azure": "az://container/prefix?account=name",
    "local": "file:///folder",
    "memory": "memory://",
    "s3": "s3://bucket/prefix",
    "sftp": "sftp://user@host/folder",
}


@dataclass(frozen=True)
class StorageURL:
    """What a URL says.

    Attributes:
        kind: the type of the storage.
        settings: of the storage, as text.
        path: what follows, without the first ``/``; a prefix, a key, or below a folder.
        root: the folder that `path` is below; None where it is below the storage as such.
        query: the settings that the URL itself gives.
    """

    kind: str
    settings: Mapping[str, str]
    path: str
    root: str | None
    query: Mapping[str, str]

    def profile(self) -> tuple[dict[str, str], str]:
        """Return settings and prefix of a storage that has this path for its beginning."""
        if self.root is None:
            return dict(self.settings), self.path.strip("/")
        path = self.path.strip("/")
        root = self.root.rstrip("/") + "/" + path if path else self.root
        return {**self.settings, "root": root}, ""


def is_url(text: str) -> bool:
    """Tell whether a text is meant as a URL."""
    return re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE) is not None


def parse_url(
    url: str, environ: Mapping[str, str], told: Mapping[str, Any] | None = None
) -> StorageURL:
    """Return what the URL of a storage says; percent-encoded as URLs are.

    Args:
        url: ``s3://bucket/...``, ``az://container/...``, ``sftp://user@host:port/...`` (from where
            a login begins by ``/~/``), ``file:///...`` or ``memory://``. A query gives settings, as
            in ``?aws_region=eu-west-1``.
        environ: says who asks an Azure account, by the variables of its tools, and whether there is
            an SSH agent.
        told: the settings that are given beside the URL. Where they say who asks, the environment
            is not asked.

    Raises:
        ProfileError: it is none, or holds a secret. No message repeats what it holds.
    """
    try:
        parts = urlsplit(url)
        host, port, password = parts.hostname or "", parts.port, parts.password
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        query = dict(pairs)
        path = unquote(parts.path, errors="strict").removeprefix("/")
    except ValueError:  # its message repeats the URL
        raise ProfileError("this URL of a storage cannot be understood") from None
    kind = _KINDS.get(parts.scheme)
    if kind is None:
        raise ProfileError(f"no storage has such a URL; {suggestion(parts.scheme, _KINDS)}")
    if not is_url(url.lstrip()):
        raise ProfileError(f"write a URL of this kind as {_EXAMPLES[kind]!r}")
    if len(query) < len(pairs):
        raise ProfileError("in this URL of a storage a setting is given twice")
    if password is not None:
        raise ProfileError("a URL of a storage holds no password: make it a profile's setting")
    if parts.fragment:
        raise ProfileError("in a URL of a storage, write '%23' for '#'")
    if kind == "sftp":
        settings, root, path = _sftp(parts.username, host, port, path, environ)
        _check_places(query, {"host", "root", *(settings.keys() & {"username", "port"})})
        return StorageURL(kind, settings | query, path, root, query)
    place = parts.netloc
    if kind in ("s3", "azure") and (not place or "@" in place):
        raise ProfileError(f"write a URL of this kind as {_EXAMPLES[kind]!r}")
    _check_places(query, {"root"} if kind == "local" else {"bucket"} if place else set())
    if kind == "s3":
        return StorageURL(kind, {"bucket": place} | query, path, None, query)
    if kind == "azure":
        asks = _azure(environ, query | dict(told or {}))
        return StorageURL(kind, {"bucket": place} | asks | query, path, None, query)
    if place:
        raise ProfileError(f"write a URL of this kind as {_EXAMPLES[kind]!r}")
    return StorageURL(kind, query, path, "/" if kind == "local" else None, query)


def _sftp(
    username: str | None, host: str, port: int | None, path: str, environ: Mapping[str, str]
) -> tuple[dict[str, str], str, str]:
    if not host:
        raise ProfileError(f"write a URL of this kind as {_EXAMPLES['sftp']!r}")
    # A URL can name no key, so that the usual ones are offered, as `sftp` does.
    settings = {"host": host, "look_for_keys": "true"}
    if environ.get("SSH_AUTH_SOCK"):
        settings["allow_agent"] = "true"
    if username is not None:
        settings["username"] = unquote(username)
    if port is not None:
        settings["port"] = str(port)
    if path == "~" or path.startswith("~/"):
        return settings, ".", path[2:]
    return settings, "/", path


def _check_places(query: Mapping[str, str], named: set[str]) -> None:
    for key in sorted(named & query.keys()):
        raise ProfileError(f"a URL says what {key!r} is before its query")


def _azure(environ: Mapping[str, str], told: Mapping[str, Any]) -> dict[str, str]:
    """Return who asks, as Azure's own tools are told, unless that is told already."""
    if told.keys() & {"connection_string", "sas_blob_url", "sas_container_url"}:
        return {}
    text = environ.get("AZURE_STORAGE_CONNECTION_STRING")
    if text and not told.keys() & {"account", "anonymous", "endpoint", "key"}:
        return {"connection_string": text}
    found = {}
    usual = environ.get("AZURE_STORAGE_ACCOUNT")
    if usual and "account" not in told:
        found["account"] = usual
    key = environ.get("AZURE_STORAGE_KEY")
    own = told.get("account", usual) == (usual or told.get("account"))  # the key is of that account
    if key and own and not told.keys() & {"anonymous", "key"}:
        found["key"] = key
    return found
