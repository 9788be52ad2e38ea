"""The values that users and drivers exchange."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType, NoneType
from typing import Any, Self, TypedDict

from pendulum import DateTime

from .errors import InvalidArgumentError

__all__ = [
    "ByteRange",
    "Capabilities",
    "FileMode",
    "Folder",
    "Leftover",
    "Link",
    "ListEntry",
    "ShareLinkOperation",
    "Support",
    "WriteKeywords",
    "WriteOptions",
    "as_mode",
    "as_operation",
]


class FileMode(enum.Flag):
    """How a file is opened; the strings of `open` stand beside each.

    `read` is ``"r"``, `write` is ``"w"``, `create` (create only) is ``"x"``, and
    ``read | write`` (in place: must exist, is not truncated) is ``"rw"``.
    """

    read = 1
    write = 2
    create = 4
    update = read | write


_MODES = {
    "r": FileMode.read,
    "w": FileMode.write,
    "x": FileMode.create,
    "rw": FileMode.update,
    "wr": FileMode.update,
}


def as_mode(mode: FileMode | str) -> FileMode:
    """Return the `FileMode` that a mode string or `FileMode` stands for.

    Args:
        mode: ``"r"``, ``"w"``, ``"x"`` (create only) or ``"rw"`` (in place), each with or without
            a ``b``; or a `FileMode`.

    Raises:
        InvalidArgumentError: the mode is none of these.
    """
    if isinstance(mode, FileMode):
        if mode in _MODES.values():
            return mode
    elif isinstance(mode, str) and mode.count("b") <= 1:
        found = _MODES.get(mode.replace("b", ""))
        if found is not None:
            return found
    hint = ""
    if isinstance(mode, str):
        if "t" in mode:
            hint = "; files are binary: encode and decode text yourself"
        elif "a" in mode:
            hint = (
                "; appending is not offered: use 'rw' and seek to the end where the storage has it"
            )
        elif "+" in mode:
            hint = "; read and write in place is 'rw'"
    raise InvalidArgumentError(f"mode must be 'r', 'w', 'x' or 'rw', not {mode!r}{hint}")


@dataclass(frozen=True, slots=True)
class ListEntry:
    """What a storage knows of one object.

    Unpacks as ``name, last_modified, size``.

    Attributes:
        name: the full key, relative to the storage (or the view) that was asked.
        last_modified: when the object was last written, timezone-aware.
        size: in bytes.
        etag: an opaque version: two different contents of a key never share one where the storage
            has versions; None where it has none.
        content_type, content_encoding, cache_control, metadata: as stored; None where not stored
            or, in listings, where the service does not tell.
        addressable: False when the name is a foreign one that this library refuses as a key.
    """

    name: str
    last_modified: DateTime
    size: int
    etag: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    cache_control: str | None = None
    metadata: Mapping[str, str] | None = None
    addressable: bool = True

    def __iter__(self) -> Iterator[object]:
        return iter((self.name, self.last_modified, self.size))

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> object:
        return (self.name, self.last_modified, self.size)[index]


@dataclass(frozen=True, slots=True)
class Folder:
    """A common prefix in a listing of one level.

    Attributes:
        name: relative to the storage, without the ending ``/``.
        addressable: False when the name is a foreign one that this library refuses.
    """

    name: str
    addressable: bool = True


class ShareLinkOperation(enum.Flag):
    """What a link allows; operations are joined by ``|``, or as letters: ``"dur"``."""

    download = 1
    upload = 2
    remove = 4


_WORDS = {
    "download": ShareLinkOperation.download,
    "upload": ShareLinkOperation.upload,
    "remove": ShareLinkOperation.remove,
}
_LETTERS = {word[0]: operation for word, operation in _WORDS.items()}


def as_operation(operation: ShareLinkOperation | str) -> ShareLinkOperation:
    """Return the operations that a word, letters or a `ShareLinkOperation` stand for.

    Args:
        operation: ``"download"``, ``"upload"``, ``"remove"``, or each of the letters ``d``, ``u``
            and ``r`` at most once, as in ``"dur"``.

    Raises:
        InvalidArgumentError: it is none of these.
    """
    if isinstance(operation, ShareLinkOperation):
        if operation:
            return operation
    elif isinstance(operation, str):
        if operation in _WORDS:
            return _WORDS[operation]
        found = ShareLinkOperation(0)
        for letter in operation:
            found ^= _LETTERS.get(letter, found)
        if found and len(operation) == len(found):
            return found
    raise InvalidArgumentError(
        f"{operation!r} is no operation of a link: write 'download', 'upload' or 'remove', or "
        "their first letters together, as in 'dur'"
    )


_SITE = re.compile(r"https?://[^/?#@]*(?=[/?#]|\Z)")


class Link(str):
    """The URL of a link: a `str` that also tells how to use it. Its repr hides the signature.

    Attributes:
        methods: the HTTP methods that it allows.
        headers: what a client must send with an upload.
        expires: when it ends.
        token_id: names it in logs and revocations; empty for the service's own links.
    """

    methods: tuple[str, ...]
    headers: Mapping[str, str]
    expires: DateTime
    token_id: str

    def __new__(
        cls,
        url: str,
        *,
        methods: tuple[str, ...],
        headers: Mapping[str, str],
        expires: DateTime,
        token_id: str = "",
    ) -> Self:
        link = super().__new__(cls, url)
        link.methods = methods
        link.headers = MappingProxyType(dict(headers))
        link.expires = expires
        link.token_id = token_id
        return link

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        told = {
            "methods": self.methods,
            "headers": dict(self.headers),
            "expires": self.expires,
            "token_id": self.token_id,
        }
        return (str(self),), told

    def __getstate__(self) -> None:
        return None  # all of it is in the arguments

    def __repr__(self) -> str:
        site = _SITE.match(self)  # an endpoint may put the token anywhere after it
        return f"<Link {site.group() if site else ''}/... until {self.expires.isoformat()}>"


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A run of bytes: `length` bytes from `offset`."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset just past the last byte."""
        return self.offset + self.length


class WriteKeywords(TypedDict, total=False):
    """The keyword arguments of every writing method; see `WriteOptions`."""

    content_type: str | None
    content_encoding: str | None
    cache_control: str | None
    metadata: Mapping[str, str] | None
    if_absent: bool
    if_match: str | None


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What a write asks for beside the bytes.

    Attributes:
        content_type, cache_control: how the object is served; a storage that cannot keep them
            ignores them (`Capabilities.metadata` tells).
        content_encoding, metadata: part of what is stored; a storage that cannot keep them refuses.
        if_absent: create only: fail when the key exists, with one winner among many.
        if_match: replace only the version with this etag.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    cache_control: str | None = None
    metadata: Mapping[str, str] | None = None
    if_absent: bool = False
    if_match: str | None = None

    def __post_init__(self) -> None:
        if self.if_absent and self.if_match is not None:
            raise InvalidArgumentError("if_absent and if_match exclude each other: give one")
        if not isinstance(self.metadata, (Mapping, NoneType)):
            raise InvalidArgumentError(
                f"metadata maps str to str, and is no {type(self.metadata).__name__}"
            )
        for name, value in (self.metadata or {}).items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise InvalidArgumentError(
                    f"metadata maps str to str, not {name!r} to a {type(value).__name__}"
                )

    def over(self, entry: ListEntry) -> WriteOptions:
        """Return these options with what they leave open taken from `entry`, as a copy does."""
        return replace(
            self,
            **{
                name: getattr(entry, name)
                for name in ("content_type", "content_encoding", "cache_control", "metadata")
                if getattr(self, name) is None
            },
        )


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a writer left behind that was killed: invisible, but using space.

    Attributes:
        key: of what was to become; of a temporary file, its own.
        since: when it was last touched; an upload, when it was begun.
        size: in bytes; None where the service does not tell.
        upload_id: of an unfinished upload; None for a temporary file.
    """

    key: str
    since: DateTime
    size: int | None = None
    upload_id: str | None = None


class Support(enum.Enum):
    """How a storage offers an ability."""

    native = "native"
    emulated = "emulated"
    unsupported = "unsupported"

    def __bool__(self) -> bool:
        return self is not Support.unsupported


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a storage can do and how.

    Attributes:
        create_only: mode ``"x"`` and `if_absent`.
        create_only_limit: the size in bytes up to which; larger ones are refused. None for any.
        if_match: writes conditional on an etag.
        metadata: content headers and user metadata are kept.
        copy: copies without moving the bytes through this process.
        move: renames as one step; emulated is a copy, then a delete.
        update: mode ``"rw"``.
        versions: etags tell any two versions apart; emulated ones only those that were written in
            different seconds.
        links: `link_to`; emulated is by tokens, for an endpoint of yours.
        ordered: listings come in the UTF-8 byte order of full keys.
        nested_keys: ``a`` and ``a/b`` can exist together (False on disks).
    """

    create_only: Support = Support.unsupported
    create_only_limit: int | None = None
    if_match: Support = Support.unsupported
    metadata: Support = Support.unsupported
    copy: Support = Support.native
    move: Support = Support.emulated
    update: Support = Support.unsupported
    versions: Support = Support.native
    links: Support = Support.unsupported
    ordered: bool = True
    nested_keys: bool = True
