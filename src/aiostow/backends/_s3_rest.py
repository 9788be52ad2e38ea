"""The frequent verbs of S3, signed by ourselves, over one pool of connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from ..driver import Buffer
from ..models import ByteRange
from ._checksums import md5_text
from ._percent import encode_path, encode_query
from ._rest_pages import ListPage
from ._rest_source import Got
from ._s3_errors import region_of
from ._s3_plane import Answer
from ._s3_sdk import Endpoint, Sdk
from ._s3_xml import (
    Part,
    as_error,
    complete_body,
    delete_body,
    list_page,
    parse_failures,
)
from ._sigv4 import EMPTY, UNSIGNED, Signer
from ._xml import Document
from .http import Http, Reply, Request, ServiceError, TransportError

T = TypeVar("T")

_UNSAFE_IN_XML = frozenset(map(chr, range(32)))


class RestPlane:
    """See `Plane`.

    Args:
        sdk: knows the endpoint and who signs.
        common: headers of every request.
        redirect: returns the SDK's client of another region.
    """

    def __init__(
        self,
        sdk: Sdk,
        common: Mapping[str, str],
        redirect: Callable[[str], Awaitable[Sdk]],
    ) -> None:
        self._common = dict(common)
        self._redirect = redirect
        self._moving = asyncio.Lock()
        self._left: list[Http] = []  # of regions where the bucket was not
        self._settle(sdk)

    def _settle(self, sdk: Sdk) -> None:
        self._sdk = sdk
        self._endpoint: Endpoint = sdk.endpoint
        self._signer = Signer(sdk.endpoint.host, sdk.endpoint.region, sdk.endpoint.service)
        self._http = Http(sdk.endpoint.origin, sdk.http_options(), self._authorize, _failure)

    async def aclose(self) -> None:
        """Close the connections."""
        for http in (*self._left, self._http):
            await http.aclose()

    async def _authorize(self, request: Request) -> Mapping[str, str]:
        headers = {**self._common, **request.headers}
        credentials = await self._sdk.credentials()
        if credentials is None:
            return headers
        signed = self._signer.headers(
            request.method, request.path, request.query, headers, credentials, time.time(),
            UNSIGNED if request.body else EMPTY,
        )  # fmt: skip
        return headers | signed

    def _request(
        self,
        method: str,
        key: str,
        headers: Mapping[str, str],
        query: Sequence[tuple[str, str]] = (),
        body: Sequence[Buffer] = (),
    ) -> Request:
        path = self._endpoint.base + encode_path(key)
        return Request(method, path, encode_query(query) if query else "", headers, body)

    async def _call(
        self,
        method: str,
        key: str,
        headers: Mapping[str, str],
        query: Sequence[tuple[str, str]] = (),
        body: Sequence[Buffer] = (),
        parse: Callable[[Reply], None] | None = None,
    ) -> Reply:
        return await self._sent(
            lambda http: http.call(self._request(method, key, headers, query, body), parse=parse)
        )

    async def _sent(self, send: Callable[[Http], Awaitable[T]]) -> T:
        """Send a request, and once more to where the bucket is, if the answer tells."""
        http = self._http
        try:
            return await send(http)
        except ServiceError as exc:
            region = region_of(exc)
            if region is None or (region == self._endpoint.region and http is self._http):
                raise
        async with self._moving:
            if http is self._http:
                self._settle(await self._redirect(region))
                self._left.append(http)  # others may still wait for answers on it
        return await send(self._http)

    # -- the verbs ------------------------------------------------------------------------------

    async def get(self, key: str, span: ByteRange | None, headers: Mapping[str, str]) -> Got:
        if span is not None:
            headers = {**headers, "range": f"bytes={span.offset}-{span.end - 1}"}
        body = await self._sent(lambda http: http.open(self._request("GET", key, headers)))
        return Got(body.headers, body)

    async def head(self, key: str, headers: Mapping[str, str]) -> Answer:
        return _answer(await self._call("HEAD", key, headers))

    async def put(self, key: str, buffers: Sequence[Buffer], headers: Mapping[str, str]) -> Answer:
        return _answer(await self._call("PUT", key, headers, body=buffers))

    async def create(self, key: str, headers: Mapping[str, str]) -> str:
        reply = await self._call("POST", key, headers, [("uploads", "")])
        return Document.parse_any(reply.body).fields["UploadId"]

    async def part(
        self, key: str, upload_id: str, number: int, buffers: Sequence[Buffer],
        headers: Mapping[str, str],
    ) -> Answer:  # fmt: skip
        query = [("partNumber", str(number)), ("uploadId", upload_id)]
        return _answer(await self._call("PUT", key, headers, query, buffers))

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], headers: Mapping[str, str]
    ) -> Answer:
        body = [complete_body(parts)]
        # No content type: Swift would take it for the object's.
        reply = await self._call("POST", key, headers, [("uploadId", upload_id)], body, _complain)
        etag = Document.parse_any(reply.body).fields.get("ETag", "")
        return Answer({**reply.headers, "etag": etag}, reply.unsure)

    async def abort(self, key: str, upload_id: str) -> None:
        await self._call("DELETE", key, {}, [("uploadId", upload_id)])

    async def delete(self, key: str) -> None:
        await self._call("DELETE", key, {})

    async def delete_many(self, keys: Sequence[str]) -> dict[str, Exception]:
        failures: dict[str, Exception] = {}
        sayable = [key for key in keys if _UNSAFE_IN_XML.isdisjoint(key)]
        if sayable:
            body = [delete_body(sayable)]
            headers = {"content-md5": md5_text(body), "content-type": "application/xml"}
            reply = await self._call("POST", "", headers, [("delete", "")], body, _complain)
            failures = {
                key: ServiceError(200, code, message, {})
                for key, (code, message) in parse_failures(reply.body).items()
            }
        for key in keys:
            if not _UNSAFE_IN_XML.isdisjoint(key):  # one at a time: XML has no such characters
                try:
                    await self.delete(key)
                except (ServiceError, TransportError) as exc:
                    failures[key] = exc
        return failures

    async def list(
        self, prefix: str, delimiter: str, start_after: str | None, token: str | None
    ) -> ListPage:
        query = [("list-type", "2"), ("encoding-type", "url"), ("prefix", prefix)]
        if delimiter:
            query.append(("delimiter", delimiter))
        if token is not None:
            query.append(("continuation-token", token))
        elif start_after is not None:
            query.append(("start-after", start_after))
        reply = await self._call("GET", "", {}, query)
        return list_page(reply.body)


def _answer(reply: Reply) -> Answer:
    return Answer(reply.headers, reply.unsure)


def _failure(reply: Reply) -> ServiceError:
    code, message, fields = as_error(reply.body)
    headers = reply.headers
    if "Region" in fields and "x-amz-bucket-region" not in headers:
        headers = {**headers, "x-amz-bucket-region": fields["Region"]}
    return ServiceError(reply.status, code, message, headers)


def _complain(reply: Reply) -> None:
    """Raise the error that an answer of success may still hold."""
    code, message, _ = as_error(reply.body)
    if code:
        raise ServiceError(reply.status, code, message, reply.headers)
