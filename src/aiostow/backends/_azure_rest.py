"""The frequent verbs of Azure Blob, authorized by ourselves, over one pool of connections."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import formatdate
from typing import TypeVar
from uuid import uuid4

from ..driver import Buffer
from ..models import ByteRange
from ._azure_auth import VERSION, SharedKey, Tokens
from ._azure_batch import batch_body, batch_failures
from ._azure_config import Place
from ._azure_xml import as_error, block_list, list_page, parse_blocks
from ._checksums import md5_text
from ._percent import encode_query
from ._rest_pages import ListPage
from ._rest_source import Got
from .http import Http, HttpOptions, Reply, Request, ServiceError, TransportError

T = TypeVar("T")

_PAGE = "5000"


class AzureRest:
    """The frequent verbs. All raise `ServiceError` and `TransportError`.

    Headers are those that a verb takes beside its own, with names in lower case.

    Args:
        place: where, and who asks.
        tokens: of a credential.
        options: how the service is reached.
    """

    def __init__(self, place: Place, tokens: Tokens | None, options: HttpOptions) -> None:
        self._place = place
        self._tokens = tokens
        self._shared_key = None if place.key is None else SharedKey(place.account, place.key)
        self._second = -1
        self._date = ""
        self._http = Http(place.origin, options, self._authorize, _failure)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _authorize(self, request: Request) -> Mapping[str, str]:
        length = sum(map(len, request.body))
        return await self._authorized({"x-ms-version": VERSION}, request, length)

    async def _authorized(
        self, common: Mapping[str, str], request: Request, length: int
    ) -> dict[str, str]:
        second = int(time.time())
        if second != self._second:
            self._date, self._second = formatdate(second, usegmt=True), second
        headers = {**common, "x-ms-date": self._date, **request.headers}
        if self._shared_key is not None:
            headers["authorization"] = self._shared_key.sign(request, headers, length)
        elif self._tokens is not None:
            headers["authorization"] = f"Bearer {await self._tokens.bearer()}"
        return headers

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Sequence[tuple[str, str]] = (),
        body: Sequence[Buffer] = (),
    ) -> Request:
        text = encode_query(query) if query else ""
        if self._place.sas is not None:
            text = f"{text}&{self._place.sas}" if text else self._place.sas
        return Request(method, path, text, headers, body)

    async def _call(
        self,
        method: str,
        key: str,
        headers: Mapping[str, str],
        query: Sequence[tuple[str, str]] = (),
        body: Sequence[Buffer] = (),
    ) -> Reply:
        request = self._request(method, self._place.path(key), headers, query, body)
        return await self._sent(lambda: self._http.call(request))

    async def _sent(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send a request, and once more if its token was refused and there is another."""
        tokens = self._tokens
        if tokens is None:
            return await send()
        token = await tokens.bearer()
        try:
            return await send()
        except ServiceError as exc:
            refusal = exc
            refused = exc.status == 401 or exc.code == "AuthenticationFailed"
            of_source = exc.code == "CannotVerifyCopySource"
            if not refused or of_source or not await tokens.renew(token, exc.headers):
                raise
        try:
            return await send()
        except (ServiceError, TransportError) as exc:
            exc.unsure = exc.unsure or refusal.unsure
            raise

    # -- the verbs ------------------------------------------------------------------------------

    async def get(self, key: str, span: ByteRange | None, headers: Mapping[str, str]) -> Got:
        """Ask for a blob or a range of it."""
        if span is not None:
            headers = {**headers, "range": f"bytes={span.offset}-{span.end - 1}"}
        request = self._request("GET", self._place.path(key), headers)
        body = await self._sent(lambda: self._http.open(request))
        return Got(body.headers, body)

    async def head(self, key: str) -> Reply:
        """Ask what is known of a blob."""
        return await self._call("HEAD", key, {})

    async def put(self, key: str, buffers: Sequence[Buffer], headers: Mapping[str, str]) -> Reply:
        """Write a whole blob."""
        return await self._call("PUT", key, {"x-ms-blob-type": "BlockBlob", **headers}, (), buffers)

    async def block(
        self, key: str, block_id: str, buffers: Sequence[Buffer], headers: Mapping[str, str]
    ) -> None:
        """Upload a block, or with the headers of a copy let the service fetch it."""
        query = [("blockid", block_id), ("comp", "block")]
        await self._call("PUT", key, headers, query, buffers)

    async def commit(self, key: str, ids: Sequence[str], headers: Mapping[str, str]) -> Reply:
        """Make blocks the blob."""
        body = [block_list(ids)]
        headers = {**headers, "content-md5": md5_text(body)}
        return await self._call("PUT", key, headers, [("comp", "blocklist")], body)

    async def blocks(self, key: str, *, committed: bool) -> dict[str, int]:
        """Return ids and sizes of a blob's blocks, or of those that wait for a commit."""
        kind = "committed" if committed else "uncommitted"
        query = [("blocklisttype", kind), ("comp", "blocklist")]
        return parse_blocks((await self._call("GET", key, {}, query)).body)

    async def copy(self, key: str, headers: Mapping[str, str]) -> Reply:
        """Copy a blob from a URL in one step, which ends before the answer comes."""
        return await self._call("PUT", key, {"x-ms-requires-sync": "true", **headers})

    async def delete(self, key: str) -> None:
        """Delete a blob and its snapshots."""
        await self._call("DELETE", key, {"x-ms-delete-snapshots": "include"})

    async def delete_batch(self, keys: Sequence[str]) -> dict[str, ServiceError]:
        """Delete up to 256 blobs and return the error of each that failed."""
        requests = [
            self._request("DELETE", self._place.path(key), {"x-ms-delete-snapshots": "include"})
            for key in keys
        ]
        boundary = f"batch_{uuid4()}"
        headers = {"content-type": f"multipart/mixed; boundary={boundary}"}
        query = [("comp", "batch"), ("restype", "container")]

        async def send() -> Reply:
            parts = [(request, await self._authorized({}, request, 0)) for request in requests]
            body = [batch_body(parts, boundary)]
            batch = self._request("POST", self._place.base, headers, query, body)
            return await self._http.call(batch)

        reply = await self._sent(send)
        failed = batch_failures(reply.headers.get("content-type", ""), reply.body, len(keys))
        return {keys[number]: error for number, error in failed.items()}

    async def list(self, prefix: str, delimiter: str, marker: str | None) -> ListPage:
        """Return a page of a listing."""
        query = [("comp", "list"), ("maxresults", _PAGE), ("restype", "container")]
        told = (("delimiter", delimiter), ("marker", marker), ("prefix", prefix))
        query += [(name, value) for name, value in told if value]
        request = self._request("GET", self._place.base, {}, query)
        return list_page((await self._sent(lambda: self._http.call(request))).body)


def _failure(reply: Reply) -> ServiceError:
    code, message = as_error(reply.body)
    code = reply.headers.get("x-ms-error-code", code)
    return ServiceError(reply.status, code, message, reply.headers)
