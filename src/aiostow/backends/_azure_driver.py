"""The driver of `AzureStorage`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from .._diagnosis import Canary, Step
from ..driver import Buffer, Driver, Limits, PresignedUrl
from ..errors import (
    InvalidArgumentError,
    InvalidKeyError,
    ObjectChangedError,
    StorageError,
    UnsupportedOperationError,
)
from ..events import Target
from ..links import InternalLinkTokenData
from ..models import ByteRange, Capabilities, ListEntry, Support, WriteOptions
from ._azure_auth import Tokens
from ._azure_batch import BATCH
from ._azure_checks import advise, azure_steps
from ._azure_config import MAX_BLOCK, MAX_BLOCKS, MAX_KEY, META, MIB, AzureConfig
from ._azure_errors import to_storage_error
from ._azure_links import presign_link
from ._azure_rest import AzureRest
from ._azure_sdk import Sdk
from ._azure_source import CopySource, foreign_source
from ._azure_upload import AzureUpload, check_commit, renamed
from ._checksums import Checksums
from ._loops import PerLoop
from ._rest_copy import copy_by_pieces
from ._rest_entry import check_headers, entry_of, option_headers, written
from ._rest_pages import RestPages
from ._rest_source import RestSource
from .http import Reply, ServiceError

T = TypeVar("T")

_MD5 = Checksums.of("md5")
_CONTENT = "x-ms-blob-"
_META_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHER_NAME = re.compile(r"\\|\.(?:/|\Z)")  # what the service may take for another one
_COPY_LIMIT = 256 * MIB  # bytes that one request copies
_COPY_BLOCK = 16 * MIB  # which the service fetches well within read_timeout, several at a time
_DEPTH = 8
_BATCHES_AT_ONCE = 4
_DELETES_AT_ONCE = 16
_TRANSIENT = frozenset({401, 408, 429, 500, 502, 503, 504})


class AzureClient:
    """What a driver has on one event loop.

    Attributes:
        tokens: of a credential.
        sdk: signatures, rare verbs.
        plane: the frequent verbs.
    """

    def __init__(self, config: AzureConfig) -> None:
        credential = config.place.credential
        self.tokens = None if credential is None else Tokens(credential)
        self.sdk = Sdk(config, self.tokens)
        self.plane = AzureRest(
            config.place, self.tokens, self.sdk.http_options(config.place.origin)
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self.plane.aclose()
        await self.sdk.aclose()
        if self.tokens is not None:
            await self.tokens.aclose()


class AzureDriver:
    """One container, or one blob. `client` is the SDK's, for whatever is not offered here."""

    def __init__(self, config: AzureConfig) -> None:
        self.config = config
        self._place = config.place
        self._clients: PerLoop[AzureClient] = PerLoop(self._make_client)
        self._checked_from = config.checked_from
        self._own_headers = config.write_headers()
        check_headers(self._own_headers, META, "Azure")
        self.write_limits: Limits = Limits(
            preferred=config.chunk_size, max_size=MAX_BLOCK, max_count=MAX_BLOCKS, depth=_DEPTH
        )

    def __reduce__(self) -> Any:
        return type(self), (self.config,)

    async def _make_client(self) -> AzureClient:
        return AzureClient(self.config)

    async def connect(self) -> None:
        await self._clients.connect()

    async def aclose(self) -> None:
        await self._clients.aclose()

    @property
    def client(self) -> Any:
        """The SDK's client of the container, once the storage was used on the running loop."""
        return self.sdk.client

    @property
    def sdk(self) -> Sdk:
        """What stays with the SDK, once the storage was used on the running loop."""
        return self._clients.current().sdk

    @property
    def _plane(self) -> AzureRest:
        return self._clients.current().plane

    @property
    def identity(self) -> str:
        place = self._place
        where = f"azure:{place.endpoint}/{place.container}"
        return where if place.blob is None else f"{where}/{place.blob}"

    @property
    def target(self) -> Target:
        return Target.behind("azure", self._place.endpoint, self._place.container)

    @property
    def capabilities(self) -> Capabilities:
        # The service orders names by UTF-16, and with a hierarchical namespace by their segments.
        return Capabilities(
            create_only=Support.native,
            if_match=Support.native,
            metadata=Support.native,
            ordered=False,
        )

    # -- what is there --------------------------------------------------------------------------

    async def stat(self, key: str) -> ListEntry:
        return entry_of(key, (await self._head(key)).headers, META)

    async def _head(self, key: str) -> Reply:
        self._check_key(key)
        return await self._plane.head(key)

    def scan(self, prefix: str, *, recursive: bool, start_after: str | None) -> RestPages:
        if self._place.blob is not None:
            raise UnsupportedOperationError("the URL of a blob gives no listing of its container")
        plane, delimiter = self._plane, "" if recursive else "/"
        return RestPages(lambda token: plane.list(prefix, delimiter, token), start_after)

    async def delete(self, keys: Sequence[str]) -> Mapping[str, BaseException]:
        for key in keys:
            self._check_key(key)
        left = list(dict.fromkeys(keys))
        failures: dict[str, ServiceError] = {}
        if len(left) > 1:
            batches = [left[begin : begin + BATCH] for begin in range(0, len(left), BATCH)]
            failures = await _each(self._plane.delete_batch, batches, _BATCHES_AT_ONCE)
            # What may pass another time is tried again as any single request is.
            left = [key for key, failure in failures.items() if failure.status in _TRANSIENT]
        failures = {key: failure for key, failure in failures.items() if key not in left}
        failures |= await _each(self._delete_one, left, _DELETES_AT_ONCE)
        for failure in failures.values():
            if failure.code.startswith("Container"):  # it is gone, for all keys alike
                raise failure
        return {key: failure for key, failure in failures.items() if failure.status != 404}

    async def _delete_one(self, key: str) -> dict[str, ServiceError]:
        try:
            await self._plane.delete(key)
        except ServiceError as exc:
            return {key: exc}
        return {}

    # -- reading --------------------------------------------------------------------------------

    async def open_read(self, key: str, *, if_match: str | None) -> RestSource:
        self._check_key(key)
        plane = self._plane
        headers = {} if if_match is None else {"if-match": f'"{if_match}"'}
        try:
            got = await plane.get(key, None, headers)
        except ServiceError as exc:
            if exc.status == 412:
                raise ObjectChangedError(f"the object is not the version {if_match!r}") from exc
            raise
        entry = entry_of(key, got.headers, META)
        checksums = self._checksums(entry.size)
        if checksums is None:
            return RestSource(entry, got.body, plane.get)
        return RestSource(entry, checksums.watch(got.body, got.headers, entry.size), plane.get)

    # -- writing --------------------------------------------------------------------------------

    async def write(self, key: str, buffers: Sequence[Buffer], options: WriteOptions) -> ListEntry:
        headers = self._write_headers(key, options)
        size = sum(map(len, buffers))
        if size and (options.if_absent or options.if_match is not None):
            # After a lost answer only the ids of blocks tell whose blob it is.
            upload = AzureUpload(
                self._plane, key, self.write_limits, options, headers, self._checksums
            )
            await upload.stage(0, 0, buffers)
            return await upload.commit()
        checksums = self._checksums(size)
        if checksums is not None:
            headers[checksums.header] = checksums.value(buffers)
        try:
            reply = await self._plane.put(key, buffers, headers)
        except ServiceError as exc:
            check_commit(exc, options)
            raise
        return written(key, size, reply.headers, options)

    async def begin(self, key: str, options: WriteOptions, *, size_hint: int | None) -> AzureUpload:
        headers = self._write_headers(key, options)
        return AzureUpload(self._plane, key, self.write_limits, options, headers, self._checksums)

    async def resume(self, key: str, options: WriteOptions, *, token: str) -> AzureUpload | None:
        try:
            blocks = await self._plane.blocks(key, committed=False)
        except ServiceError as exc:
            if exc.status == 404:
                return None
            raise
        headers, limits = self._write_headers(key, options), self.write_limits
        upload = AzureUpload(self._plane, key, limits, options, headers, self._checksums, token)
        upload.note_listed(blocks)
        return upload if upload.staged else None

    def _checksums(self, size: int) -> Checksums | None:
        """Return how a body of a size in bytes is checked, if it is."""
        least = self._checked_from
        return _MD5 if least is not None and size >= least else None

    def _write_headers(self, key: str, options: WriteOptions) -> dict[str, str]:
        self._check_key(key)
        for name in options.metadata or ():
            if not _META_NAME.fullmatch(name):
                raise InvalidArgumentError(
                    f"Azure cannot keep metadata named {name!r}: names are of ASCII letters, "
                    "digits and '_', and do not begin with a digit"
                )
        headers = option_headers(options, META, _CONTENT)
        check_headers(headers, META, "Azure")
        return headers | self._own_headers | _conditions(options)

    # -- copies ---------------------------------------------------------------------------------

    async def copy(self, src: str, dst: str, options: WriteOptions) -> ListEntry:
        return await self.copy_across(self, src, dst, options)

    def same_service(self, other: Driver) -> bool:
        return isinstance(other, AzureDriver) and self._place.endpoint == other._place.endpoint

    async def copy_across(
        self, other: Driver, src: str, dst: str, options: WriteOptions
    ) -> ListEntry:
        assert isinstance(other, AzureDriver), "of the same service"
        self._check_key(dst)
        head = await other._head(src)
        where = await other._source_headers(src)
        source = CopySource(entry_of(src, head.headers, META), head.headers, where)
        one_step = source.is_blob and source.entry.size <= _COPY_LIMIT
        if not one_step or options != WriteOptions():
            return await self._copy_blocks(source, dst, options)
        try:
            reply = await self._plane.copy(dst, source.headers | self._own_headers)
        except ServiceError as exc:
            source.check(exc)
            check_commit(exc, options)
            raise
        return renamed(source.entry, dst, reply.headers)

    async def find_source(self, url: str, dst: str) -> CopySource:
        """Return what is behind a URL, wherever that is, for `copy_from`."""
        self._check_key(dst)
        return await foreign_source(url, self.sdk.http_options)

    async def copy_from(self, source: CopySource, dst: str, options: WriteOptions) -> ListEntry:
        """Let the service copy what was found behind a URL."""
        if source.entry.etag is None and source.entry.size > _COPY_BLOCK:
            raise UnsupportedOperationError(
                "the source tells no strong etag, so pieces of it could be of several versions: "
                f"without, at most {_COPY_BLOCK} bytes are copied"
            )
        return await self._copy_blocks(source, dst, options)

    async def _copy_blocks(self, source: CopySource, dst: str, options: WriteOptions) -> ListEntry:
        entry = source.entry
        full = options.over(entry)
        headers = self._write_headers(dst, full) | source.kept_headers(options)
        upload = AzureUpload(self._plane, dst, self.write_limits, full, headers, _unchecked)
        block = max(_COPY_BLOCK, -(-entry.size // MAX_BLOCKS))

        async def fetch(index: int, span: ByteRange) -> None:
            told = {"x-ms-source-range": f"bytes={span.offset}-{span.end - 1}"}
            try:
                await upload.fetch(index, span.length, source.headers | told)
            except ServiceError as exc:
                source.check(exc)
                raise

        return await copy_by_pieces(upload, entry.size, block, fetch)

    async def _source_headers(self, key: str) -> dict[str, str]:
        """Return the headers by which the service may read a blob of ours."""
        place, client = self._place, self._clients.current()
        url, sas = place.url(key), place.sas
        if place.signs:
            try:
                sas = await client.sdk.blob_sas(key, "r", datetime.now(UTC) + timedelta(days=1))
            except ServiceError as exc:
                if client.tokens is None or exc.status != 403:
                    raise
                # May read blobs, but not sign for others: the token itself serves for the source.
                bearer = f"Bearer {await client.tokens.bearer()}"
                return {"x-ms-copy-source": url, "x-ms-copy-source-authorization": bearer}
        return {"x-ms-copy-source": url if sas is None else f"{url}?{sas}"}

    # -- what else Azure can --------------------------------------------------------------------

    async def container_url(self, expires: datetime, ip: str | None) -> str:
        """Return the URL of the container with a signature for everything in it."""
        sas = await self.sdk.container_sas("rcwdl", expires, ip)
        return f"{self._place.origin}{self._place.base}?{sas}"

    async def set_tier(self, key: str, tier: str, priority: str | None) -> None:
        """Move a blob to another access tier."""
        self._check_key(key)
        await self.sdk.set_tier(key, tier, priority)

    def steps(self, canary: Canary) -> Sequence[Step]:
        return azure_steps(self._place, self.sdk.http_options(self._place.origin), canary)

    def advise(self, check: str, error: StorageError) -> str:
        return advise(self._place, check, error)

    def map_error(self, exc: BaseException) -> StorageError | None:
        return to_storage_error(exc, self._place)

    def _check_key(self, key: str) -> None:
        if self._place.blob is not None and key != self._place.blob:
            raise InvalidKeyError(f"this storage is the one blob {self._place.blob!r}")
        if len(key) > MAX_KEY:
            raise InvalidKeyError(f"the key is too long for Azure: {MAX_KEY} characters at most")
        if _OTHER_NAME.search(key):
            raise InvalidKeyError(
                "Azure takes a '\\' in a key for '/', and may drop a '.' at the end of a segment, "
                "so it would be another object"
            )


class SigningAzureDriver(AzureDriver):
    """The driver of who can sign links: with the account's key, or for a credential."""

    async def presign(self, key: str, grant: InternalLinkTokenData, now: float) -> PresignedUrl:
        self._check_key(key)
        return await presign_link(self.sdk, self._place, key, grant, now)


def _unchecked(_: int) -> None:
    """Check nothing: what the service fetches itself does not pass through here."""


def _conditions(options: WriteOptions) -> dict[str, str]:
    if options.if_absent:
        return {"if-none-match": "*"}
    return {} if options.if_match is None else {"if-match": f'"{options.if_match}"'}


async def _each(
    call: Callable[[T], Awaitable[dict[str, ServiceError]]], arguments: Sequence[T], most: int
) -> dict[str, ServiceError]:
    """Call with each argument, some at once, and return the failures of all.

    Every call is made; only then is the error raised of the first that raised one.
    """
    turns = asyncio.Semaphore(most)

    async def one(argument: T) -> dict[str, ServiceError]:
        async with turns:
            return await call(argument)

    tasks = [asyncio.ensure_future(one(argument)) for argument in arguments]
    try:
        if tasks:
            await asyncio.wait(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {key: failure for task in tasks for key, failure in task.result().items()}
