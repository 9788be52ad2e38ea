"""The driver of `S3Storage`."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from .._diagnosis import Canary, Step
from .._tasks import Cleanups, after
from ..driver import Buffer, Driver, Limits, PresignedUrl
from ..errors import (
    AmbiguousWriteError,
    InvalidKeyError,
    ObjectChangedError,
    StorageError,
    StorageNotFoundError,
    UnsupportedOperationError,
)
from ..events import Target
from ..links import InternalLinkTokenData
from ..models import ByteRange, Capabilities, Leftover, ListEntry, Support, WriteOptions
from ._checksums import Checksums, md5_hex
from ._loops import PerLoop
from ._rest_copy import copy_by_pieces
from ._rest_entry import (
    check_headers,
    entry_of,
    moment,
    option_headers,
    with_options,
    written,
)
from ._rest_pages import RestPages
from ._rest_source import RestSource
from ._s3_checks import S3Checks, advise
from ._s3_config import DIRECTORY_BUCKET, MAX_KEY, MAX_PART, MAX_PARTS, MIN_PART, S3Config
from ._s3_errors import to_storage_error
from ._s3_links import presign_link
from ._s3_plane import Plane
from ._s3_rest import RestPlane
from ._s3_sdk import Sdk
from ._s3_sdk_plane import SdkPlane
from ._s3_upload import Found, S3Upload, check_commit
from .http import ServiceError

_COPY_LIMIT = 5 << 30  # bytes that one CopyObject copies
_COPY_PART = 512 << 20
_DEPTH = 8
_META = "x-amz-meta-"
_MD5 = re.compile("[0-9a-f]{32}(-[0-9]+)?")


class S3Client:
    """What a driver has on one event loop.

    Attributes:
        sdk: sessions, credentials, endpoint, rare verbs.
        plane: the frequent verbs.
    """

    def __init__(self, config: S3Config, sdk: Sdk) -> None:
        self._config = config
        self.sdk = sdk
        self.bucket_seen = False
        self._left: list[Sdk] = []  # of regions where the bucket was not
        common = {"x-amz-request-payer": "requester"} if config.request_payer else {}
        self.plane: Plane
        if config.data_plane == "sdk" or config.customer_key is not None or not sdk.endpoint.plain:
            self.plane = SdkPlane(sdk, config.bucket, common, config.customer_key)
        else:
            self.plane = RestPlane(sdk, common, self._redirect)

    async def _redirect(self, region: str) -> Sdk:
        sdk = await Sdk.open(self._config, region)
        self._left.append(self.sdk)  # others may still wait for answers on it
        self.sdk = sdk
        return sdk

    async def aclose(self) -> None:
        """Close every connection."""
        await self.plane.aclose()
        for sdk in (*self._left, self.sdk):
            await sdk.aclose()


class S3Driver:
    """One bucket. `client` is the SDK's own, for whatever this library does not offer."""

    def __init__(self, config: S3Config) -> None:
        self.config = config
        self._clients: PerLoop[S3Client] = PerLoop(self._make_client)
        self._uploads: set[str] = set()  # ids of those under way here
        self._cleanups = Cleanups()
        self._aws = config.endpoint_url is None  # until the SDK knows better
        self._own_headers = config.write_headers()
        check_headers(self._own_headers, _META, "S3")
        self.write_limits: Limits = Limits(
            preferred=config.part_size,
            min_size=MIN_PART,
            max_size=MAX_PART,
            max_count=MAX_PARTS,
            depth=_DEPTH,
        )

    def __reduce__(self) -> Any:
        return S3Driver, (self.config,)

    async def _make_client(self) -> S3Client:
        sdk = await Sdk.open(self.config)
        self._aws = sdk.endpoint.aws  # a profile may name another endpoint
        return S3Client(self.config, sdk)

    async def connect(self) -> None:
        await self._clients.connect()

    async def aclose(self) -> None:
        await self._cleanups.join()
        await self._clients.aclose()

    @property
    def client(self) -> Any:
        """The SDK's client, once the storage was used on the running event loop."""
        return self.sdk.client

    @property
    def sdk(self) -> Sdk:
        """Sessions, credentials and endpoint, once the storage was used on the running loop."""
        return self._clients.current().sdk

    @property
    def _plane(self) -> Plane:
        return self._clients.current().plane

    @property
    def identity(self) -> str:
        where = self.config.endpoint_url or "aws"
        return f"s3:{where.rstrip('/')}/{self.config.bucket}"

    @property
    def target(self) -> Target:
        return Target.behind("s3", self.config.endpoint_url, self.config.bucket)

    @property
    def capabilities(self) -> Capabilities:
        complete = self.conditional_complete
        return Capabilities(
            create_only=Support.native,
            create_only_limit=None if complete else self.config.part_size,
            if_match=Support.native if self.conditional_writes else Support.unsupported,
            metadata=Support.native,
            links=Support.native,
            ordered=not self.config.bucket.endswith(DIRECTORY_BUCKET),
        )

    @property
    def conditional_writes(self) -> bool:
        """Whether the service honours If-Match on a write."""
        told = self.config.conditional_writes
        return self._aws if told is None else told

    @property
    def conditional_complete(self) -> bool:
        """Whether the service honours conditions on the end of an upload in parts."""
        told = self.config.conditional_complete
        return self._aws if told is None else told

    @property
    def checksums(self) -> Checksums | None:
        """How bytes are checked; by default on AWS, where all of it is known to work."""
        kind = self.config.checksum
        if kind == "auto":
            kind = "crc32" if self._aws else None
        return None if kind is None else Checksums.of(kind)

    # -- what is there --------------------------------------------------------------------------

    async def stat(self, key: str) -> ListEntry:
        _check_length(key)
        return entry_of(key, await self._head(key), _META)

    async def _head(self, key: str) -> Mapping[str, str]:
        client = self._clients.current()
        try:
            answer = await client.plane.head(key, {})
        except ServiceError as exc:
            await self._check_bucket(client, exc)
            raise
        client.bucket_seen = True
        return answer.headers

    @staticmethod
    async def _check_bucket(client: S3Client, exc: ServiceError) -> None:
        """Tell a missing bucket from a missing object, which the answer to HEAD does not."""
        if exc.status != 404 or client.bucket_seen:
            return
        if not await client.sdk.bucket_exists():
            raise StorageNotFoundError(
                "there is no such bucket: create it, or correct its name, the region or the "
                "endpoint"
            ) from exc
        client.bucket_seen = True

    def scan(self, prefix: str, *, recursive: bool, start_after: str | None) -> RestPages:
        plane, delimiter = self._plane, "" if recursive else "/"
        return RestPages(
            lambda token: plane.list(prefix, delimiter, start_after, token), start_after
        )

    async def delete(self, keys: Sequence[str]) -> Mapping[str, BaseException]:
        for key in keys:
            _check_length(key)
        if len(keys) == 1:
            failures: dict[str, Exception] = {}
            try:
                await self._plane.delete(keys[0])
            except ServiceError as exc:
                failures[keys[0]] = exc
        else:
            failures = await self._plane.delete_many(keys)
        return {key: exc for key, exc in failures.items() if not _was_gone(exc)}

    # -- reading --------------------------------------------------------------------------------

    async def open_read(self, key: str, *, if_match: str | None) -> RestSource:
        _check_length(key)
        client, checksums = self._clients.current(), self.checksums
        headers = {} if if_match is None else {"if-match": f'"{if_match}"'}
        if checksums is not None:
            headers["x-amz-checksum-mode"] = "ENABLED"
        try:
            got = await client.plane.get(key, None, headers)
        except ServiceError as exc:
            if exc.status == 412:
                raise ObjectChangedError(f"the object is not the version {if_match!r}") from exc
            raise
        client.bucket_seen = True
        entry = entry_of(key, got.headers, _META)
        body = got.body
        if checksums is not None:
            body = checksums.watch(body, got.headers, entry.size)

        return RestSource(entry, body, client.plane.get)

    # -- writing --------------------------------------------------------------------------------

    async def write(self, key: str, buffers: Sequence[Buffer], options: WriteOptions) -> ListEntry:
        headers = self._write_headers(key, options)
        self._set_conditions(headers, options)
        checksums = self.checksums
        if checksums is not None:
            headers[checksums.header] = checksums.value(buffers)
        size = sum(map(len, buffers))
        try:
            answer = await self._plane.put(key, buffers, headers)
        except ServiceError as exc:
            return await self._after_failed_put(key, buffers, size, options, exc)
        return written(key, size, answer.headers, options)

    def _set_conditions(self, headers: dict[str, str], options: WriteOptions) -> None:
        if options.if_absent:
            headers["if-none-match"] = "*"
        if options.if_match is not None:
            if not self.conditional_writes:
                raise UnsupportedOperationError(
                    "if_match on a write is for services that honour it: say so with "
                    "conditional_writes=True"
                )
            headers["if-match"] = f'"{options.if_match}"'

    async def _after_failed_put(
        self,
        key: str,
        buffers: Sequence[Buffer],
        size: int,
        options: WriteOptions,
        exc: ServiceError,
    ) -> ListEntry:
        """Find out what became of a write that was refused, perhaps by its own earlier try."""
        if exc.status == 412 and exc.unsure:
            found = await self._look(key)
            if found is not None and found.entry.size == size:
                if found.entry.etag == md5_hex(buffers):
                    return found.entry
                if not found.by_md5:
                    raise AmbiguousWriteError(
                        "an earlier try may have written it: its etag does not tell"
                    ) from exc
        check_commit(exc, options)
        raise exc

    async def _look(self, key: str) -> Found | None:
        """Return what a key holds, None for nothing."""
        try:
            headers = await self._head(key)
        except ServiceError as exc:
            if exc.status == 404:
                return None
            raise
        entry, config = entry_of(key, headers, _META), self.config
        plain = headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
        own = (
            config.kms
            or config.customer_key is not None
            or config.bucket.endswith(DIRECTORY_BUCKET)
        )
        return Found(entry, plain and not own and bool(_MD5.fullmatch(entry.etag or "")))

    async def begin(self, key: str, options: WriteOptions, *, size_hint: int | None) -> S3Upload:
        return await self._begin(key, options, self.checksums)

    async def _begin(
        self, key: str, options: WriteOptions, checksums: Checksums | None
    ) -> S3Upload:
        conditions = self._end_conditions(options)
        upload_id = await self.create_upload(key, options, checksums)
        return self._upload(key, options, upload_id, conditions, checksums)

    def _end_conditions(self, options: WriteOptions) -> dict[str, str]:
        conditions: dict[str, str] = {}
        self._set_conditions(conditions, options)
        if conditions and not self.conditional_complete:
            raise UnsupportedOperationError(
                f"an object of over {self.config.part_size} bytes goes up in parts, and this "
                "service is not known to honour if_absent or if_match at their end: raise "
                "part_size, or say that it does with conditional_complete=True"
            )
        return conditions

    def _upload(
        self,
        key: str,
        options: WriteOptions,
        upload_id: str,
        conditions: Mapping[str, str],
        checksums: Checksums | None,
    ) -> S3Upload:
        self._uploads.add(upload_id)
        return S3Upload(
            self._plane, self._uploads, key, upload_id, self.write_limits, options, conditions,
            checksums, self._look,
        )  # fmt: skip

    async def resume(self, key: str, options: WriteOptions, *, token: str) -> S3Upload | None:
        conditions, checksums = self._end_conditions(options), self.checksums
        # Swift goes on telling the parts of one that was completed, and may even remove them.
        if token not in [id async for name, id, _ in self.sdk.uploads(key) if name == key]:
            return None
        parts = await self.sdk.parts(key, token)
        upload = self._upload(key, options, token, conditions, checksums)
        for part in parts:
            upload.note_listed(part)
        return upload

    async def create_upload(
        self, key: str, options: WriteOptions, checksums: Checksums | None = None
    ) -> str:
        """Begin an upload in parts and return its id."""
        headers = self._write_headers(key, options)
        if checksums is not None:
            headers |= checksums.begin
        return await self._plane.create(key, headers)

    def _write_headers(self, key: str, options: WriteOptions) -> dict[str, str]:
        _check_length(key)
        headers = option_headers(options, _META)
        check_headers(headers, _META, "S3")
        return headers | self._own_headers

    async def copy(self, src: str, dst: str, options: WriteOptions) -> ListEntry:
        return await self.copy_across(self, src, dst, options)

    def same_service(self, other: Driver) -> bool:
        return isinstance(other, S3Driver) and self.config.reaches(other.config)

    async def copy_across(
        self, other: Driver, src: str, dst: str, options: WriteOptions
    ) -> ListEntry:
        assert isinstance(other, S3Driver), "of the same service"
        _check_length(dst)
        source = await other.stat(src)
        given, options = options, options.over(source)
        if options.if_absent or options.if_match is not None:
            if source.size <= self.config.part_size:
                return await self._copy_through(other, source, dst, options)
            return await self._copy_parts(other, source, dst, options)
        if source.size > _COPY_LIMIT:
            return await self._copy_parts(other, source, dst, options)
        # What the source has beside what we know of, such as a language, is kept if it can be.
        same = given == WriteOptions()
        headers = self._write_headers(dst, WriteOptions() if same else options)
        headers["x-amz-metadata-directive"] = "COPY" if same else "REPLACE"
        sdk = self.sdk
        try:
            answer = await sdk.copy_object(
                dst, other.config.bucket, src, source.etag or "", headers
            )
        except ServiceError as exc:
            if exc.status == 412:
                raise ObjectChangedError("the source was replaced while it was copied") from exc
            raise
        result = answer["CopyObjectResult"]
        etag = str(result["ETag"]).strip('"')
        if etag != source.etag:
            # Copied anew, or replaced since on a service that knows no condition: see what it is.
            return await self.stat(dst)
        return replace(
            with_options(source, options), name=dst, last_modified=moment(result["LastModified"])
        )

    async def _copy_through(
        self, other: S3Driver, source: ListEntry, dst: str, options: WriteOptions
    ) -> ListEntry:
        """Copy by way of this process: the one way to a condition that every service honours."""
        opened = await other.open_read(source.name, if_match=source.etag)
        try:
            chunks = await opened.stream(0, source.size)
            buffers = [chunk async for chunk in chunks]
        finally:
            opened.close()
        return await self.write(dst, buffers, options)

    async def _copy_parts(
        self,
        other: S3Driver,
        source: ListEntry,
        dst: str,
        options: WriteOptions,
        part: int = _COPY_PART,
    ) -> ListEntry:
        upload = await self._begin_copy(dst, options)
        sdk, bucket, etag = self.sdk, other.config.bucket, source.etag or ""

        async def fetch(index: int, span: ByteRange) -> None:
            copied = await sdk.copy_part(
                dst, upload.token, index + 1, bucket, source.name, etag, span
            )
            upload.note(index, span.length, copied)

        async def check() -> None:
            # Ceph copies a part whatever version the source has by then, so look once more.
            if (await other.stat(source.name)).etag != source.etag:
                raise ObjectChangedError("the source was replaced while it was copied")

        return await copy_by_pieces(upload, source.size, part, fetch, check, self._cleanups)

    async def _begin_copy(self, dst: str, options: WriteOptions) -> S3Upload:
        # Not to be cut by a cancellation, or nobody would know what is to be aborted.
        beginning = self._cleanups.start(self._begin(dst, options, None))

        async def undo() -> None:
            upload = await beginning
            await upload.abort()

        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError as exc:
            with after(exc):
                await self._cleanups.finish(undo())
            raise

    # -- what else S3 can -----------------------------------------------------------------------

    async def leftovers(self, prefix: str, older_than: timedelta) -> list[Leftover]:
        before = time.time() - older_than.total_seconds()
        return [
            Leftover(key, moment(begun), upload_id=upload_id)
            async for key, upload_id, begun in self.sdk.uploads(prefix)
            if upload_id not in self._uploads and begun.timestamp() < before
        ]

    async def discard(self, leftover: Leftover) -> bool:
        assert leftover.upload_id is not None, "it is one of these leftovers"
        try:
            await self._plane.abort(leftover.key, leftover.upload_id)
        except ServiceError as exc:
            if exc.status != 404:
                raise
            return False
        return True

    async def presign(self, key: str, grant: InternalLinkTokenData, now: float) -> PresignedUrl:
        _check_length(key)
        return await presign_link(self.sdk, self.config, key, grant, now)

    def steps(self, canary: Canary) -> Sequence[Step]:
        return S3Checks(
            self.config, self.sdk, self._plane, self.checksums,
            self.conditional_writes, self.conditional_complete, canary,
        ).steps()  # fmt: skip

    def advise(self, check: str, error: StorageError) -> str:
        return advise(self.config, check, error)

    def map_error(self, exc: BaseException) -> StorageError | None:
        return to_storage_error(exc)


def _was_gone(exc: Exception) -> bool:
    """Whether a deletion failed because there was nothing to delete."""
    if not isinstance(exc, ServiceError) or exc.code == "NoSuchBucket":
        return False
    return exc.status == 404 or exc.code == "NoSuchKey"


def _check_length(key: str) -> None:
    if len(key) > MAX_KEY // 4 and len(key.encode()) > MAX_KEY:
        raise InvalidKeyError(f"the key is too long for S3: {MAX_KEY} bytes at most")
