"""The frequent verbs of S3 by the SDK, for what we do not sign ourselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..driver import Buffer
from ..models import ByteRange, Folder, ListEntry
from ._rest_entry import moment
from ._rest_pages import ListPage, place
from ._rest_source import Got
from ._s3_errors import lost_by_sdk
from ._s3_plane import Answer
from ._s3_sdk import Sdk, translated
from ._s3_xml import Part
from .http import ServiceError, TransportError

_CHUNK = 1 << 20


class SdkPlane:
    """See `Plane`.

    Args:
        sdk: makes the calls.
        bucket: of all of them.
        common: headers of every request that takes them.
        customer_key: encrypts and decrypts the objects on the service.
    """

    def __init__(
        self, sdk: Sdk, bucket: str, common: Mapping[str, str], customer_key: bytes | None
    ) -> None:
        self._sdk = sdk
        self._bucket = bucket
        self._common = common
        self._customer: dict[str, Any] = {}
        if customer_key is not None:
            self._customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": customer_key}

    async def aclose(self) -> None:
        """Do nothing: the connections are the SDK's."""

    async def _call(
        self, operation: str, headers: Mapping[str, str], *, secret: bool = False, **more: Any
    ) -> Any:
        call = getattr(self._sdk.client, _METHODS[operation])
        arguments = self._sdk.arguments(operation, {**self._common, **headers})
        if secret:
            arguments |= self._customer
        with translated():
            return await call(Bucket=self._bucket, **arguments, **more)

    async def get(self, key: str, span: ByteRange | None, headers: Mapping[str, str]) -> Got:
        if span is not None:
            headers = {**headers, "range": f"bytes={span.offset}-{span.end - 1}"}
        answer = await self._call("GetObject", headers, secret=True, Key=key)
        return Got(answer["ResponseMetadata"]["HTTPHeaders"], _Body(answer["Body"]))

    async def head(self, key: str, headers: Mapping[str, str]) -> Answer:
        return _answer(await self._call("HeadObject", headers, secret=True, Key=key))

    async def put(self, key: str, buffers: Sequence[Buffer], headers: Mapping[str, str]) -> Answer:
        body = b"".join(buffers)
        return _answer(await self._call("PutObject", headers, secret=True, Key=key, Body=body))

    async def create(self, key: str, headers: Mapping[str, str]) -> str:
        answer = await self._call("CreateMultipartUpload", headers, secret=True, Key=key)
        return str(answer["UploadId"])

    async def part(
        self, key: str, upload_id: str, number: int, buffers: Sequence[Buffer],
        headers: Mapping[str, str],
    ) -> Answer:  # fmt: skip
        return _answer(
            await self._call(
                "UploadPart", headers, secret=True, Key=key, UploadId=upload_id,
                PartNumber=number, Body=b"".join(buffers),
            )
        )  # fmt: skip

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], headers: Mapping[str, str]
    ) -> Answer:
        answer = await self._call(
            "CompleteMultipartUpload", headers, secret=True, Key=key, UploadId=upload_id,
            MultipartUpload={"Parts": [_part(part) for part in parts]},
        )  # fmt: skip
        told = _answer(answer)
        return Answer({**told.headers, "etag": answer.get("ETag", "")}, told.unsure)

    async def abort(self, key: str, upload_id: str) -> None:
        await self._call("AbortMultipartUpload", {}, Key=key, UploadId=upload_id)

    async def delete(self, key: str) -> None:
        await self._call("DeleteObject", {}, Key=key)

    async def delete_many(self, keys: Sequence[str]) -> dict[str, Exception]:
        objects = [{"Key": key} for key in keys]
        answer = await self._call("DeleteObjects", {}, Delete={"Objects": objects, "Quiet": True})
        return {
            error.get("Key", ""): ServiceError(
                200, error.get("Code", ""), error.get("Message", ""), {}
            )
            for error in answer.get("Errors", ())
        }

    async def list(
        self, prefix: str, delimiter: str, start_after: str | None, token: str | None
    ) -> ListPage:
        more: dict[str, Any] = {"Prefix": prefix}
        if delimiter:
            more["Delimiter"] = delimiter
        if token is not None:
            more["ContinuationToken"] = token
        elif start_after is not None:
            more["StartAfter"] = start_after
        answer = await self._call("ListObjectsV2", {}, **more)
        items: list[ListEntry | Folder] = [
            Folder(each["Prefix"].removesuffix("/")) for each in answer.get("CommonPrefixes", ())
        ]
        items += [_entry(each) for each in answer.get("Contents", ())]
        items.sort(key=place)
        return ListPage(answer.get("NextContinuationToken"), lambda: items)


_METHODS = {
    "GetObject": "get_object",
    "HeadObject": "head_object",
    "PutObject": "put_object",
    "CreateMultipartUpload": "create_multipart_upload",
    "UploadPart": "upload_part",
    "CompleteMultipartUpload": "complete_multipart_upload",
    "AbortMultipartUpload": "abort_multipart_upload",
    "DeleteObject": "delete_object",
    "DeleteObjects": "delete_objects",
    "ListObjectsV2": "list_objects_v2",
}


def _answer(answer: Any) -> Answer:
    meta = answer["ResponseMetadata"]
    return Answer(meta["HTTPHeaders"], bool(meta.get("RetryAttempts")))


def _part(part: Part) -> dict[str, Any]:
    told: dict[str, Any] = {"PartNumber": part.number, "ETag": f'"{part.etag}"'}
    if part.checksum is not None:
        name, value = part.checksum
        told[name] = value
    return told


def _entry(found: Any) -> ListEntry:
    etag = found.get("ETag", "").strip('"') or None
    return ListEntry(found["Key"], moment(found["LastModified"]), found["Size"], etag)


class _Body:
    """A body of the SDK's as it comes."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self._left: int | None = None

    def limit(self, length: int) -> _Body:
        self._left = length
        return self

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> Buffer:
        size = _CHUNK if self._left is None else min(_CHUNK, self._left)
        if self._body is None or size == 0:
            self.close()
            raise StopAsyncIteration
        lost: TransportError | None
        try:
            chunk: bytes = await self._body.read(size)
        except Exception as exc:
            lost = lost_by_sdk(exc)
            if lost is None:
                raise
        else:
            if not chunk:
                self.close()
                raise StopAsyncIteration
            if self._left is not None:
                self._left -= len(chunk)
            return chunk
        self.close()
        raise lost

    def close(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()
