"""The checks that every storage shares, made on objects that nobody else has."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta

from ._diagnosis import Canary, Finding, Step, after
from .driver import Upload
from .errors import (
    CredentialsError,
    FileExistsInStorageError,
    FileNotFoundInStorageError,
    InvalidKeyError,
    PermissionDeniedError,
    StorageError,
    StorageNotFoundError,
    UnsupportedOperationError,
    WriteConflictError,
)
from .models import Link, Support, WriteOptions
from .storage import Storage

CANARY_PREFIX = "aiostow-doctor-"
"""How the keys of an examination's objects begin."""

_SIZE = 4096  # bytes of a canary
_SPAN = (1000, 500)  # offset and length of a range
_LINK_LIFE = 300  # seconds
_OLD = timedelta(days=1)  # of leftovers that nobody is at work on any more
_LOOK = 10.0  # seconds that leftovers are looked for
_NEW_BYTES = ("the service hands out old versions or other bytes: look for a cache or proxy in "
              "between, and do not trust it with data")  # fmt: skip


class SharedChecks:
    """The steps of every storage, in order, and the objects that they make.

    Args:
        storage: or the view, below which they are made.
        origin: of a browser; None for one of this machine.
    """

    def __init__(self, storage: Storage, origin: str | None) -> None:
        self._storage = storage
        name = CANARY_PREFIX + secrets.token_hex(16)
        self.keys: tuple[str, ...] = (name, f"{name}-2", f"{name}-3")
        """What is to be removed in the end."""
        self._data = secrets.token_bytes(_SIZE)
        self._first: StorageError | None = None  # what came of the first request
        self._written = False
        self._readable = False
        first, second, _ = self.keys
        self.canary = Canary(
            storage._prefix.join(first),
            storage._prefix.join(second),
            self._data,
            origin or "http://localhost",
            origin is not None,
            self._link if storage._presigns else None,
        )

    def steps(self) -> list[Step]:
        """Return them; those of a driver go after those that are `first`."""
        reading, made, free = ("place",), ("write", "read"), ("write", "read", "delete")
        before = ("configuration", "reachable", "clock", "host key", "expiry", "place")
        return [
            Step("configuration", self._configuration, first=True),
            Step("credentials", self._credentials, before),
            Step("place", self._place, ("credentials",)),
            Step("write", self._write_one, ("place", "free space"), writes=True),
            Step("read", self._read, ("write",), writes=True),
            Step("range read", self._range, made, writes=True),
            Step("stat", self._stat, reading),
            Step("list", self._list, reading),
            Step("links", self._links, reading),
            Step("replace", self._replace, (*made, "atomic replace"), writes=True),
            Step("delete", self._delete, ("write",), writes=True),
            Step("create-only", self._create_only, free, writes=True),
            Step("conditional writes", self._conditional, (*free, "replace"), writes=True),
            Step("copy", self._copy, free, writes=True),
            Step("move", self._move, (*free, "copy"), writes=True),
            Step("write in pieces", self._pieces, free, writes=True),
            Step("abort", self._abort, (*free, "write in pieces"), writes=True),
            Step("leftovers", self._leftovers, ("place", "list")),
        ]

    async def remove(self) -> Finding:
        """Remove every object that was made.

        Raises:
            StorageError: one may still be there.
        """
        failed: StorageError | None = None
        for key in self.keys:
            try:
                await self._storage.delete(key)
            except StorageError as exc:
                # Who may not even write may not remove either, and made nothing.
                if failed is None and await self._may_exist(key):
                    failed = exc
        if failed is not None:
            raise failed
        return Finding("ok", "nothing is left")

    async def _may_exist(self, key: str) -> bool:
        try:
            return await self._storage.exists(key)
        except StorageError:
            return True

    # -- getting in -----------------------------------------------------------------------------

    async def _configuration(self) -> Finding:
        await self._storage.driver.connect()
        return Finding("ok", "the settings are whole")

    async def _credentials(self) -> Finding:
        # A GET: unlike HEAD, its refusal says why. And it can bring nothing that is anybody's.
        try:
            with self._storage._context("credentials", None):
                source = await self._storage.driver.open_read(self.canary.key, if_match=None)
        except InvalidKeyError:
            return Finding("skipped", "this is the storage of one object, which is left alone")
        except (FileNotFoundInStorageError, StorageNotFoundError) as exc:
            self._first = exc
        except PermissionDeniedError as exc:
            if isinstance(exc, CredentialsError):
                raise
            self._first = exc
        else:
            source.close()
        return Finding("ok", "they are accepted")

    async def _place(self) -> Finding:
        if isinstance(self._first, PermissionDeniedError):
            return Finding("ok", "the service does not tell these credentials whether it is there")
        if isinstance(self._first, StorageNotFoundError):
            raise self._first
        return Finding("ok", "it is there")

    # -- one object -----------------------------------------------------------------------------

    async def _write_one(self) -> Finding:
        await self._storage.write_bytes(self.keys[0], self._data)
        self._written = True
        return Finding("ok", f"an object of {_SIZE} bytes was written")

    async def _read(self) -> Finding:
        finding = await self._compare(self.keys[0], self._data, "what was written was read back")
        self._readable = True
        return finding

    async def _compare(self, key: str, expected: bytes, found: str) -> Finding:
        if await self._storage.read_bytes(key) != expected:
            return Finding("failed", "other bytes came back than were written", _NEW_BYTES)
        return Finding("ok", found)

    async def _range(self) -> Finding:
        offset, length = _SPAN
        source = await self._storage.driver.open_read(self.canary.key, if_match=None)
        try:
            chunks = await source.stream(offset, length)
            try:
                got = b"".join([bytes(chunk) async for chunk in chunks])
            finally:
                chunks.close()
        finally:
            source.close()
        if got != self._data[offset : offset + length]:
            return Finding("failed", "other bytes came than lie in the range", _NEW_BYTES)
        return Finding("ok", f"{length} bytes at {offset} are those that lie there")

    async def _stat(self) -> Finding:
        if self._written and not self._readable:
            return after("read")
        try:
            entry = await self._storage.stat(self.keys[0])
        except FileNotFoundInStorageError:
            if self._written:
                return Finding("failed", "an object is not seen after it was written", _NEW_BYTES)
            return Finding("ok", "the service answers what is not there")
        if entry.size != _SIZE:
            return Finding("failed", f"it tells {entry.size} bytes of {_SIZE}", _NEW_BYTES)
        return Finding("ok", "it tells the size that was written")

    async def _list(self) -> Finding:
        listing = aiter(self._storage.list(starting=self.keys[0]))
        try:
            names = [entry.name async for entry in listing]
        finally:
            await listing.aclose()
        if self._written and names != [self.keys[0]]:
            return Finding("failed", "an object is not listed after it was written", _NEW_BYTES)
        return Finding("ok", "a listing shows what is there")

    async def _replace(self) -> Finding:
        self._data = secrets.token_bytes(_SIZE)
        await self._storage.write_bytes(self.keys[0], self._data)
        return await self._compare(self.keys[0], self._data, "an object was replaced by another")

    async def _delete(self) -> Finding:
        await self._storage.delete(self.keys[0])
        if await self._storage.exists(self.keys[0]):
            return Finding("failed", "an object is still there after it was deleted", _NEW_BYTES)
        return Finding("ok", "an object was deleted")

    # -- conditions -----------------------------------------------------------------------------

    async def _create_only(self) -> Finding:
        if not self._storage.capabilities.create_only:
            return Finding("skipped", "this storage does not offer it")
        key, data = self.keys[0], self._data
        await self._storage.delete(key)
        await self._storage.write_bytes(key, data, if_absent=True)
        try:
            await self._storage.write_bytes(key, data[::-1], if_absent=True)
        except FileExistsInStorageError:
            return await self._compare(key, data, "an existing object was left alone, as asked")
        return Finding(
            "failed", "the service ignores the condition, and overwrote an existing object",
            "do not rely on if_absent, mode 'x' or overwrite=False here: upgrade the service to "
            "one that honours If-None-Match, or let one writer alone make each key",
        )  # fmt: skip

    async def _conditional(self) -> Finding:
        if not self._storage.capabilities.if_match:
            return Finding("skipped", "this storage does not offer if_match")
        key, data = self.keys[0], self._data
        old = await self._storage.write_bytes(key, data)
        new = await self._storage.write_bytes(key, data[::-1])
        assert old.etag is not None, "what offers if_match has etags"
        try:
            await self._storage.write_bytes(key, data, if_match=old.etag)
        except WriteConflictError:
            await self._storage.write_bytes(key, data, if_match=new.etag)
            return Finding("ok", "only the version that was named was replaced")
        return Finding(
            "failed", "the service ignores if_match, and overwrote another version",
            "do not rely on if_match here",
        )  # fmt: skip

    # -- the rest -------------------------------------------------------------------------------

    async def _copy(self) -> Finding:
        source, target, _ = self.keys
        await self._storage.delete(source)
        await self._storage.write_bytes(source, self._data)
        await self._storage.copy(source, target)
        return await self._compare(target, self._data, "an object was copied")

    async def _move(self) -> Finding:
        _, source, target = self.keys
        await self._storage.move(source, target)
        if await self._storage.exists(source):
            return Finding("failed", "an object is still there after it was moved", _NEW_BYTES)
        return await self._compare(target, self._data, "an object was renamed")

    async def _pieces(self) -> Finding:
        key = self.keys[1]
        upload, data = await self._begin(), self._data
        try:
            await upload.stage(0, 0, [data])
            await upload.commit()
        except BaseException:
            await upload.abort()
            raise
        return await self._compare(key, data, "an object went up in pieces")

    async def _abort(self) -> Finding:
        key = self.keys[1]
        await self._storage.delete(key)
        upload = await self._begin()
        try:
            await upload.stage(0, 0, [self._data])
        finally:
            await upload.abort()
        if await self._storage.exists(key):
            return Finding("failed", "pieces became an object that nobody finished", _NEW_BYTES)
        return Finding("ok", "pieces were discarded, and nothing became visible")

    async def _begin(self) -> Upload:
        driver = self._storage.driver
        return await driver.begin(self.canary.other, WriteOptions(), size_hint=_SIZE)

    async def _link(self, operation: str) -> Link:
        return await self._storage.link_to(self.keys[0], operation, _LINK_LIFE)

    async def _links(self) -> Finding:
        if self._storage.capabilities.links is Support.native:
            await self._link("download")
            return Finding("ok", "links of the service's own can be made")
        if not self._storage._presigns and not self._has_endpoint:
            return Finding(
                "skipped", "this storage makes no links: no linked_endpoint is configured",
                "for share links give it linked_endpoint and secret_key",
            )  # fmt: skip
        try:
            await self._link("download")
        except UnsupportedOperationError as exc:
            return Finding(
                "failed", exc.message, "give it secret_key, of at least 32 bytes, which is the "
                "same in every process that makes or serves links",
            )  # fmt: skip
        return Finding("ok", "links are tokens for your endpoint, which was not asked")

    @property
    def _has_endpoint(self) -> bool:
        return self._storage._links.endpoint is not None

    async def _leftovers(self) -> Finding:
        stale = [
            entry.name
            async for entry in self._storage.list(starting=CANARY_PREFIX)
            if not entry.name.startswith(self.keys[0])
        ]
        if stale:
            return Finding(
                "warning", f"{len(stale)} objects are left of examinations that were killed",
                f"when no other one is under way, remove them: aiostow rm {' '.join(stale[:3])}"
                f"{' ...' if len(stale) > 3 else ''}",
            )  # fmt: skip
        try:
            async with asyncio.timeout(_LOOK):
                left = await self._storage.leftovers(_OLD)
        except TimeoutError:
            return Finding("skipped", f"what there is could not be looked through in {_LOOK:g} s")
        if left:
            return Finding(
                "warning", f"killed writers left {len(left)} unfinished files or uploads",
                "remove them: storage.sweep()",
            )  # fmt: skip
        return Finding("ok", "there are none")


def advice_for(name: str, error: StorageError) -> str:
    """Return what to do about a failed check, where the storage has no better advice."""
    if isinstance(error, PermissionDeniedError):
        return f"let these credentials {name} here, or use others"
    return "see the message; the service's own log may tell more"
