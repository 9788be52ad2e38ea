"""Memory: the reference driver, for tests and short-lived data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import pendulum

from .._linking import LinkedEndpoint
from ..driver import Buffer, Limits
from ..errors import (
    FileExistsInStorageError,
    FileNotFoundInStorageError,
    ObjectChangedError,
    StorageError,
    WriteConflictError,
)
from ..events import EventHook
from ..links import Secrets
from ..models import Capabilities, Folder, ListEntry, Support, WriteOptions
from ..storage import DEFAULT_MEMORY_BUDGET, InternalLinksStorageBackend

__all__ = ["MemoryDriver", "MemoryStorage"]

_PAGE = 1000
_BLOCK = 4 << 20
_LIMITS = Limits(preferred=_BLOCK)
_CAPABILITIES = Capabilities(
    create_only=Support.native,
    if_match=Support.native,
    metadata=Support.native,
)


@dataclass(slots=True)
class _Object:
    """An immutable version of an object."""

    data: bytes
    entry: ListEntry


class _Chunks:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> Buffer:
        data, self._data = self._data, b""
        if not data:
            raise StopAsyncIteration
        return data

    def close(self) -> None:
        self._data = b""


class _Source:
    first_size = _BLOCK
    read_size = _BLOCK
    read_depth = 1
    adaptive = False

    def __init__(self, found: _Object) -> None:
        self._data = found.data
        self.entry = found.entry

    async def stream(self, offset: int, length: int) -> _Chunks:
        return _Chunks(self._data[offset : offset + length])

    def close(self) -> None:
        self._data = b""


@dataclass(slots=True)
class _Upload:
    driver: MemoryDriver
    key: str
    options: WriteOptions
    limits: Limits = _LIMITS
    pieces: dict[int, bytes] = field(default_factory=dict)

    async def stage(self, index: int, offset: int, buffers: Sequence[Buffer]) -> None:
        self.pieces[index] = b"".join(buffers)

    async def commit(self) -> ListEntry:
        return self.driver.put(
            self.key, b"".join(self.pieces[index] for index in sorted(self.pieces)), self.options
        )

    async def abort(self) -> None:
        self.pieces.clear()


class _Pages:
    def __init__(self, items: list[ListEntry | Folder]) -> None:
        self._items = items
        self._next = 0

    async def next_page(self) -> list[ListEntry | Folder] | None:
        page = self._items[self._next : self._next + _PAGE]
        self._next += _PAGE
        return page or None

    async def aclose(self) -> None:
        self._items = []


class _RandomAccess:
    """Changes in place: each becomes visible at once, as a new version."""

    def __init__(self, driver: MemoryDriver, key: str) -> None:
        self._driver = driver
        self._key = key
        driver.find(key)

    @property
    def _data(self) -> bytes:
        return self._driver.find(self._key).data

    async def size(self) -> int:
        return len(self._data)

    async def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    async def write_at(self, offset: int, data: Buffer) -> None:
        old = self._data
        gap = bytes(max(offset - len(old), 0))
        new = b"".join((old[:offset], gap, data, old[offset + len(data) :]))
        self._driver.change(self._key, new)

    async def truncate(self, size: int) -> None:
        self._driver.change(self._key, self._data[:size].ljust(size, b"\0"))

    async def flush(self) -> None:
        return None

    async def aclose(self) -> None:
        return None


class MemoryDriver:
    """The driver of `MemoryStorage`: a dict of immutable versions."""

    capabilities = _CAPABILITIES
    write_limits = _LIMITS

    def __init__(self) -> None:
        self._objects: dict[str, _Object] = {}
        self._version = 0
        self._run = uuid4().hex[:12]  # versions are not those of another process, or of one before
        self.identity: str = f"memory:{uuid4()}"

    def __reduce__(self) -> Any:
        return MemoryDriver, ()

    async def connect(self) -> None:
        return None

    async def aclose(self) -> None:
        return None

    def find(self, key: str) -> _Object:
        """Return the current version of an object."""
        try:
            return self._objects[key]
        except KeyError:
            raise FileNotFoundInStorageError("no such object") from None

    def put(self, key: str, data: bytes, options: WriteOptions) -> ListEntry:
        """Make `data` the object, as `options` ask."""
        existing = self._objects.get(key)
        if options.if_absent and existing is not None:
            raise FileExistsInStorageError("the key exists, and the write was create-only")
        if options.if_match is not None and (
            existing is None or existing.entry.etag != options.if_match
        ):
            raise WriteConflictError(f"the object is not the version {options.if_match!r}")
        entry = ListEntry(
            name=key,
            last_modified=pendulum.now("UTC"),
            size=len(data),
            etag=self._next_etag(),
            content_type=options.content_type,
            content_encoding=options.content_encoding,
            cache_control=options.cache_control,
            metadata=None if options.metadata is None else dict(options.metadata),
        )
        self._objects[key] = _Object(data, entry)
        return entry

    def change(self, key: str, data: bytes) -> None:
        """Replace the bytes of an object and keep the rest."""
        entry = replace(
            self.find(key).entry,
            size=len(data),
            last_modified=pendulum.now("UTC"),
            etag=self._next_etag(),
        )
        self._objects[key] = _Object(data, entry)

    def _next_etag(self) -> str:
        self._version += 1
        return f"{self._run}-{self._version:x}"

    async def stat(self, key: str) -> ListEntry:
        return self.find(key).entry

    def scan(self, prefix: str, *, recursive: bool, start_after: str | None) -> _Pages:
        after = None if start_after is None else start_after.encode()
        items: dict[bytes, ListEntry | Folder] = {}
        for key, found in self._objects.items():
            if not key.startswith(prefix):
                continue
            cut = -1 if recursive else key.find("/", len(prefix))
            place = (key if cut < 0 else key[: cut + 1]).encode()
            if after is None or place > after:
                items[place] = found.entry if cut < 0 else Folder(key[:cut])
        return _Pages([items[place] for place in sorted(items)])

    async def open_read(self, key: str, *, if_match: str | None) -> _Source:
        found = self.find(key)
        if if_match is not None and found.entry.etag != if_match:
            raise ObjectChangedError(f"the object's etag is {found.entry.etag!r}, not {if_match!r}")
        return _Source(found)

    async def write(self, key: str, buffers: Sequence[Buffer], options: WriteOptions) -> ListEntry:
        data = buffers[0] if len(buffers) == 1 else b"".join(buffers)
        return self.put(key, bytes(data), options)

    async def begin(self, key: str, options: WriteOptions, *, size_hint: int | None) -> _Upload:
        return _Upload(self, key, options)

    async def delete(self, keys: Sequence[str]) -> Mapping[str, BaseException]:
        for key in keys:
            self._objects.pop(key, None)
        return {}

    async def copy(self, src: str, dst: str, options: WriteOptions) -> ListEntry:
        found = self.find(src)
        return self.put(dst, found.data, options.over(found.entry))

    async def move(self, src: str, dst: str, options: WriteOptions) -> None:
        found = self.find(src)
        self.put(dst, found.data, options.over(found.entry))
        del self._objects[src]

    async def open_update(self, key: str) -> _RandomAccess:
        return _RandomAccess(self, key)

    def map_error(self, exc: BaseException) -> StorageError | None:
        return None


class MemoryStorage(InternalLinksStorageBackend):
    """Objects in the memory of this process.

    Pickles as its configuration: an unpickled one begins empty.

    Args:
        name: for messages and profiles.
        memory_budget: for the buffers of all transfers together, in bytes; the objects themselves
            do not count.
        linked_endpoint: where share links lead; see `Storage`.
        secret_key: signs share links; see `Storage`.
        on_event: told of every operation; see `Storage`.
    """

    def __init__(
        self,
        *,
        name: str = "memory",
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        linked_endpoint: LinkedEndpoint | None = None,
        secret_key: Secrets | None = None,
        on_event: EventHook | None = None,
    ) -> None:
        super().__init__(
            MemoryDriver(),
            name=name,
            memory_budget=memory_budget,
            linked_endpoint=linked_endpoint,
            secret_key=secret_key,
            on_event=on_event,
        )
