"""The contract that a backend fulfils.

A driver sees clean input only: keys are validated, buffers are bytes, options are whole. `Storage`
validates, plans, checks that nothing is closed, wraps errors and reports progress, so a driver
holds nothing but what its service needs.

Sentences with "must" are obligations. Each ends with its name in square brackets, and the
conformance suite (`aiostow.testing`) has at least one test that proves each name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, TypeAlias, runtime_checkable

from ._diagnosis import Canary, Step
from .errors import StorageError
from .links import InternalLinkTokenData
from .models import Capabilities, Folder, Leftover, ListEntry, WriteOptions

__all__ = [
    "Buffer",
    "Chunks",
    "CrossCopier",
    "Driver",
    "FilePaths",
    "Inspector",
    "Limits",
    "Locator",
    "Mover",
    "Pages",
    "PresignedUrl",
    "Presigner",
    "RandomAccess",
    "ResumableUpload",
    "Resumer",
    "Source",
    "Sweeper",
    "Updater",
    "Upload",
]

Buffer: TypeAlias = bytes | memoryview
"""Bytes that do not change while a driver holds them; memoryviews are flat views of bytes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the pieces of one upload may be.

    Attributes:
        preferred: the size in bytes that serves best.
        min_size: the least size in bytes of every piece but the last.
        max_size: the greatest size in bytes of a piece.
        max_count: the greatest number of pieces; None where there is no limit.
        uniform: all pieces but the last have one size.
        depth: how many pieces may usefully be under way at once.
    """

    preferred: int
    min_size: int = 1
    max_size: int = 1 << 40
    max_count: int | None = None
    uniform: bool = False
    depth: int = 4


class Chunks(Protocol):
    """The bytes of one range of an object, in order, as they come.

    Iteration must end after exactly the bytes of the range, cut at the end of the object, or raise.
    [stream-exact]
    """

    def __aiter__(self) -> AsyncIterator[Buffer]: ...

    async def __anext__(self) -> Buffer: ...

    def close(self) -> None:
        """Give back what the range holds, such as its connection; idempotent.

        Nothing is waited for: what needs the service goes on as a task that the driver's own
        `aclose` joins.
        """
        ...


class Source(Protocol):
    """One version of one object, open for reading.

    All ranges must come from the version that was opened, or raise `ObjectChangedError`, whatever
    happens to the key meanwhile. [read-pinned]
    """

    @property
    def entry(self) -> ListEntry:
        """The opened version; a REST driver knows it once the first `stream` has returned."""
        ...

    @property
    def first_size(self) -> int:
        """The length in bytes of a first range that costs least, such as one already at hand."""
        ...

    @property
    def read_size(self) -> int:
        """The length in bytes of a range that serves sequential reading best."""
        ...

    @property
    def read_depth(self) -> int:
        """How many ranges may usefully be under way at once."""
        ...

    @property
    def adaptive(self) -> bool:
        """Whether a single range may be all that is left, as long as it comes fast.

        Then ranges of `read_size` go side by side, up to `read_depth` of them, only while a single
        one leaves the reader waiting.
        """
        ...

    async def stream(self, offset: int, length: int) -> Chunks:
        """Return the bytes of a range, which may reach past the end of the object.

        Ranges must be independent: several may be under way at once, in any order. [read-ranges]
        """
        ...

    def close(self) -> None:
        """Give back what the source holds, as `Chunks.close` does.

        Called when no range is under way any more.
        """
        ...


class Upload(Protocol):
    """One object in the making; nothing of it must be visible before `commit` returns or raises.
    [upload-invisible]
    """

    @property
    def limits(self) -> Limits: ...

    async def stage(self, index: int, offset: int, buffers: Sequence[Buffer]) -> None:
        """Take one piece of the object.

        Pieces must be accepted in any order and concurrently; their indexes are dense, from 0, and
        their offsets follow from the sizes. [upload-any-order] A driver must not keep a reference
        to `buffers` after it returns, unless to bytes. [buffers-released]

        Args:
            index: the number of the piece.
            offset: of its first byte within the object.
            buffers: its bytes, in order.
        """
        ...

    async def commit(self) -> ListEntry:
        """Make the object visible, whole, in one step, and return what is known of it.

        Called once, after every piece is staged, and not cancelled. A commit must replace what the
        key held, or with `if_absent` refuse with `FileExistsInStorageError`, atomically: of
        concurrent commits one wins whole. [commit-atomic] When it raises, the upload must be
        abortable and the key hold what it held, unless the error is `AmbiguousWriteError`.
        [commit-failed]
        """
        ...

    async def abort(self) -> None:
        """Discard the pieces. Idempotent, and not called after a commit that returned.

        Nothing must remain of an aborted upload, visible or not, except where the service itself
        drops it later and the driver's page says so. [abort-clean]
        """
        ...


class ResumableUpload(Upload, Protocol):
    """An upload whose pieces the service keeps when nobody commits or aborts it."""

    @property
    def token(self) -> str:
        """What `Resumer.resume` finds the upload by; no secret."""
        ...

    @property
    def staged(self) -> Mapping[int, int]:
        """The sizes in bytes of the pieces that the service has, by their indexes."""
        ...

    def leave(self) -> None:
        """End the use of the upload; its pieces stay, for a `resume` or a sweep."""
        ...


class Pages(Protocol):
    """A listing in pages. It holds no connection for longer than a page takes."""

    async def next_page(self) -> Sequence[ListEntry | Folder] | None:
        """Return the next entries, possibly none yet, or None at the end."""
        ...

    async def aclose(self) -> None:
        """Give back what the listing holds; idempotent."""
        ...


class Driver(Protocol):
    """One service, disk or memory, seen through clean keys.

    A driver must pickle as its configuration, without its connections. [pickle]
    Every failure of the service must be an error that `map_error` knows, or a `StorageError`.
    [errors-mapped] A driver raises the SDK's own errors and never wraps them.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What the driver can do; `move` and `update` follow from `Mover` and `Updater`."""
        ...

    @property
    def identity(self) -> str:
        """What the driver points to, such as host and root, or endpoint and bucket.

        Two drivers must have one identity if and only if they reach the same objects; it holds no
        secret. [identity] Share links are bound to it.
        """
        ...

    @property
    def write_limits(self) -> Limits:
        """What the pieces of an upload may be; an object within `preferred` goes by `write`."""
        ...

    async def connect(self) -> None:
        """Make ready for use on the running event loop and in this process.

        Called before every operation, so it must be idempotent and, once connected, cheap.
        [connect-idempotent]
        """
        ...

    async def aclose(self) -> None:
        """Give everything back.

        It must be idempotent, and `connect` must open again. [close-idempotent]
        """
        ...

    async def stat(self, key: str) -> ListEntry:
        """Return what is known of an object.

        A missing key must be `FileNotFoundInStorageError` or an error mapped to it; so for every
        method that reads. [not-found]
        """
        ...

    def scan(self, prefix: str, *, recursive: bool, start_after: str | None) -> Pages:
        """List the keys that begin with `prefix`, which may end within a segment.

        Recursive listings must hold files only, by their full keys; those of one level fold what
        lies below the next ``/`` into one `Folder`. [scan-levels] Where `capabilities.ordered`,
        entries must come in the UTF-8 byte order of full keys, a folder as its name with ``/``.
        [scan-order] Only entries after `start_after` in that order must be listed. [scan-after]
        Uploads in the making and temporary names must never be listed. [scan-clean] A prefix that
        nothing begins with must be an empty listing. [scan-empty] Names that are no keys are listed
        with ``addressable=False``. Memory follows the largest directory or page, not the tree.
        """
        ...

    async def open_read(self, key: str, *, if_match: str | None) -> Source:
        """Open one version of an object.

        With `if_match`, another version must be `ObjectChangedError`. [read-if-match]
        """
        ...

    async def write(self, key: str, buffers: Sequence[Buffer], options: WriteOptions) -> ListEntry:
        """Write a whole small object in one step, with the promises of `Upload.commit`.

        An object of no bytes must be written like any other. [write-empty] What `options` ask must
        be kept as `capabilities` say, or refused with `UnsupportedOperationError`. [write-options]
        When it raises or is cancelled, the key must hold the old or the new object whole, and
        nothing must be left behind. [write-atomic]
        """
        ...

    async def begin(self, key: str, options: WriteOptions, *, size_hint: int | None) -> Upload:
        """Begin an upload in pieces.

        Args:
            key: the key to write on commit.
            options: as for `write`.
            size_hint: the size in bytes, where it is known.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> Mapping[str, BaseException]:
        """Delete objects and return the error of each that is still there.

        Missing keys must be no error, and every key must be tried. [delete-many]
        """
        ...

    async def copy(self, src: str, dst: str, options: WriteOptions) -> ListEntry:
        """Copy an object within the service, with the promises of `Upload.commit`.

        Source and destination differ. Content headers and metadata are the source's unless
        `options` give them. The copy must be independent: later changes in place of one must not
        show in the other. [copy-independent]
        """
        ...

    def map_error(self, exc: BaseException) -> StorageError | None:
        """Return the error by cause for one of the service's own, or None for a stranger.

        No secret, signed URL or token may stand in its message.
        """
        ...


@dataclass(frozen=True, slots=True)
class PresignedUrl:
    """A URL that the service itself honours.

    Attributes:
        url: with its signature; the repr does not show it.
        methods: of HTTP, that it allows.
        headers: that a request needs, as they are.
    """

    url: str = field(repr=False)
    methods: tuple[str, ...]
    headers: Mapping[str, str]


@runtime_checkable
class Presigner(Protocol):
    """A driver whose service honours links of its own."""

    async def presign(self, key: str, grant: InternalLinkTokenData, now: float) -> PresignedUrl:
        """Return a URL for what a grant allows, and no more.

        Every constraint of the grant must be enforced by the service, or be refused with
        `NotSupportedError`. [presign-exact] The URL must not outlive the grant, nor what signs it.
        [presign-expiry]

        Args:
            key: the driver's; the one in `grant` is the caller's.
            grant: what the link allows.
            now: in seconds since the epoch.
        """
        ...


@runtime_checkable
class Mover(Protocol):
    """A driver that renames."""

    async def move(self, src: str, dst: str, options: WriteOptions) -> None:
        """Rename an object in one step; source and destination differ.

        The object must be found whole under one of the two keys at every moment. [move-atomic]
        """
        ...


@runtime_checkable
class CrossCopier(Protocol):
    """A driver whose service copies between places of its own, such as two buckets."""

    def same_service(self, other: Driver) -> bool:
        """Tell whether the service can copy from the place of another driver.

        Must be said only where whoever asks here may be expected to read there.
        """
        ...

    async def copy_across(
        self, other: Driver, src: str, dst: str, options: WriteOptions
    ) -> ListEntry:
        """Copy an object of another driver within the service, with all promises of `Driver.copy`.

        The bytes must not pass through this process, unless the service has no other way to a
        condition that `options` ask for. [copy-across]

        Args:
            other: connected, and of the same service.
            src: a key of `other`.
            dst: a key of this driver; the two are different objects.
            options: as for `copy`.
        """
        ...


@runtime_checkable
class Locator(Protocol):
    """A driver whose service tells where it really is, whatever it is called."""

    async def locate(self) -> str:
        """Return `Driver.identity` with links and relative paths resolved by the service."""
        ...


@runtime_checkable
class Resumer(Protocol):
    """A driver whose uploads outlive their process."""

    async def begin(
        self, key: str, options: WriteOptions, *, size_hint: int | None
    ) -> ResumableUpload:
        """Begin an upload in pieces, as `Driver.begin`."""
        ...

    async def resume(
        self, key: str, options: WriteOptions, *, token: str
    ) -> ResumableUpload | None:
        """Return an upload that was left, with the pieces that the service has of it.

        None must be returned for one that was committed, or of which the service knows nothing.
        [resume-gone] The pieces must be those that were staged whole, and a commit must make the
        object of them and of those staged since. [resume-pieces]

        Args:
            key: the key that it was begun with.
            options: those that it was begun with.
            token: of the upload.
        """
        ...


@runtime_checkable
class FilePaths(Protocol):
    """A driver whose objects are files of this machine."""

    def file_path(self, key: str) -> str:
        """Return the absolute path of an object's file, whether or not it exists."""
        ...


class RandomAccess(Protocol):
    """An existing object, open for changes in place."""

    async def size(self) -> int:
        """Return the current size in bytes."""
        ...

    async def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes; fewer only at the end of the file."""
        ...

    async def write_at(self, offset: int, data: Buffer) -> None:
        """Write all of `data`; a gap past the end must read as zeros. [update-gap]"""
        ...

    async def truncate(self, size: int) -> None:
        """Cut or, with zeros, extend the file to `size` bytes."""
        ...

    async def flush(self) -> None:
        """Make what was written durable, as far as the storage promises durability."""
        ...

    async def aclose(self) -> None:
        """Flush and give back what the file holds."""
        ...


@runtime_checkable
class Updater(Protocol):
    """A driver that changes objects in place."""

    async def open_update(self, key: str) -> RandomAccess:
        """Open an existing object for changes in place.

        The object must exist and must not be truncated. [update-existing]
        """
        ...


@runtime_checkable
class Sweeper(Protocol):
    """A driver that can find what killed writers left behind."""

    async def leftovers(self, prefix: str, older_than: timedelta) -> Sequence[Leftover]:
        """Return what was left below `prefix` and last touched longer ago than `older_than`.

        What a living writer still uses must not be among it, as far as the service can tell, and
        nothing must be changed. [sweep-living]
        """
        ...

    async def discard(self, leftover: Leftover) -> bool:
        """Remove one of `leftovers`, unless it is gone or in use by now.

        Returns:
            whether this call removed it.
        """
        ...


@runtime_checkable
class Inspector(Protocol):
    """A driver that knows what to look at besides, for `aiostow.doctor`."""

    def steps(self, canary: Canary) -> Sequence[Step]:
        """Return the checks that only this service needs; the driver is connected.

        One of the name of a shared check takes its place.
        """
        ...

    def advise(self, check: str, error: StorageError) -> str:
        """Return what to do about the error of a check: the setting or permission to change."""
        ...
