"""What the REST backends share: requests over one pool, signed anew for each try, and retried."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from .._operation import tell_retry
from ..driver import Buffer
from ..errors import ClosedError
from ._lean import LeanClient, LeanResponse, close_session
from ._retry import Failure, Retry, RetryBudget

SLICE = 256 << 10
"""Bytes that are handed to the socket at a time: what it cannot take yet is copied."""

_SMALL = 64 << 10  # bytes of a body that go out in one go
_SMALL_DIGITS = 5  # of the length of a body that may come in one piece with its headers
_ERROR_BODY = 64 << 10  # bytes of an error's body that are read
_STALL = 0.02  # seconds between headers and body that look like a delayed acknowledgement
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_SKIP = frozenset({hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE})
# A busy service has not begun; a broken one may have done it before it broke.
_BUSY = frozenset({408, 429, 503})
_BUSY_CODES = frozenset({"RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"})
_BROKEN = frozenset({500, 502, 504})
_BROKEN_CODES = frozenset({"InternalError"})


class TransportError(Exception):
    """No connection, or a lost one. It holds no URL and no cause: those may hold signatures.

    Attributes:
        connected: whether there was a connection.
        unsure: whether this or an earlier try may have been carried out.
    """

    def __init__(self, message: str, *, connected: bool) -> None:
        super().__init__(message)
        self.connected: bool = connected
        self.unsure: bool = connected

    @property
    def brief(self) -> str:
        """What went wrong, in a few words."""
        return str(self)


class ServiceError(Exception):
    """The service answered that it did not do it.

    Attributes:
        status: of HTTP.
        code: the service's own name for what happened.
        message: the service's own words.
        headers: of the answer, by names in lower case.
        unsure: whether an earlier try may have been carried out.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        self.unsure = False

    @property
    def brief(self) -> str:
        """What went wrong, without the service's own words, which may name anything."""
        return f"{self.status} {self.code}".strip()

    def __reduce__(self) -> Any:
        return ServiceError, (self.status, self.code, self.message, dict(self.headers))


@dataclass(frozen=True, slots=True)
class Request:
    """One request, to be signed for each try. The repr shows nothing that may hold a signature.

    Attributes:
        method: of HTTP.
        path: as it stands in the URL.
        query: as it stands in the URL.
        headers: names in lower case.
        body: buffers in order; they can be sent again.
    """

    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Sequence[Buffer] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with its whole body.

    Attributes:
        unsure: whether an earlier try may have been carried out.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    unsure: bool


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """How a service is reached.

    Attributes:
        connect_timeout: seconds to make a connection.
        read_timeout: seconds without a byte in either direction.
        retry_deadline: seconds for all tries of one request.
        concurrency: requests under way at once; open bodies do not count.
        proxy: URL of a proxy.
        tls: what certificates must look like.
    """

    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    retry_deadline: float = 60.0
    concurrency: int = 128
    proxy: str | None = None
    tls: ssl.SSLContext | bool = True


def tls_context(verify: bool | str) -> ssl.SSLContext:
    """Return what certificates must look like.

    Args:
        verify: path of a CA bundle to be trusted beside the system's; True for the system's alone;
            False checks nothing.
    """
    context = ssl.create_default_context()
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif isinstance(verify, str):
        context.load_verify_locations(cafile=verify)
    return context


class Http:
    """Requests to one origin, over one pool of connections, on one event loop.

    Args:
        origin: scheme, host and port.
        options: how it is reached.
        authorize: returns the headers of a request for the try that begins now.
        failure: makes the error of an answer that is none of success.
    """

    def __init__(
        self,
        origin: str,
        options: HttpOptions,
        authorize: Callable[[Request], Awaitable[Mapping[str, str]]],
        failure: Callable[[Reply], ServiceError],
    ) -> None:
        self._origin = origin
        self._options = options
        self._authorize = authorize
        self._failure = failure
        self._budget = RetryBudget()
        self._closed = False
        self._turns = asyncio.Semaphore(options.concurrency)
        self._stalls = False  # the service holds small bodies back until headers are acknowledged
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=options.connect_timeout, sock_read=options.read_timeout
        )
        self._session = aiohttp.ClientSession(
            # Open bodies hold connections for as long as their readers like, so the pool has no
            # limit of its own: one more reader must never wait for another.
            connector=aiohttp.TCPConnector(limit=0, ssl=options.tls),
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_SKIP,
            read_bufsize=SLICE,
        )
        # aiohttp would send a request once more by itself and tell nobody, but whoever asked for
        # a create-only write must know that an earlier try may have been carried out.
        self._session._retry_connection = False
        self._lean = None
        if options.proxy is None:
            self._lean = LeanClient(self._session, origin, timeout, SLICE)

    async def aclose(self) -> None:
        """Close every connection; what is under way fails, and is not tried again."""
        self._closed = True
        await close_session(self._session)

    async def call(
        self, request: Request, *, parse: Callable[[Reply], None] | None = None
    ) -> Reply:
        """Return the answer with its whole body.

        Args:
            request: to be made.
            parse: raises the `ServiceError` that an answer of success holds, as some do.

        Raises:
            ServiceError, TransportError: of the last try.
            ClosedError: this was closed before.
        """

        async def attempt() -> Reply:
            async with self._turns:
                body = await self._begin(request)
                reply = Reply(body.status, body.headers, await body.all(), False)
            if parse is not None:
                parse(reply)
            return reply

        reply, unsure = await self._tried(attempt)
        return Reply(reply.status, reply.headers, reply.body, unsure) if unsure else reply

    async def open(self, request: Request) -> Body:
        """Return the answer with its body still to come.

        Raises:
            ServiceError, TransportError: of the last try.
            ClosedError: this was closed before.
        """

        async def attempt() -> Body:
            async with self._turns:
                return await self._begin(request)

        body: Body
        body, _ = await self._tried(attempt)
        return body

    async def _tried(self, attempt: Callable[[], Awaitable[Any]]) -> tuple[Any, bool]:
        options = self._options
        retry = Retry(self._budget, options.retry_deadline, options.connect_timeout)
        started = time.monotonic()
        if self._closed:
            raise ClosedError("the storage was closed")
        while True:
            error: TransportError | ServiceError
            try:
                result = await attempt()
            except (TransportError, ServiceError) as exc:
                error = exc
            else:
                self._budget.succeeded(after_retry=retry.tries > 0)
                return result, retry.unsure
            pause = retry.pause(_judge(error), time.monotonic() - started)
            if pause is None or self._closed:
                error.unsure = retry.unsure
                raise error
            tell_retry(retry.tries, pause, error, error.brief)
            await asyncio.sleep(pause)

    async def _begin(self, request: Request) -> Body:
        headers = {**await self._authorize(request), "accept-encoding": "identity"}
        target = f"{request.path}?{request.query}" if request.query else request.path
        size = sum(map(len, request.body))
        if self._lean is not None and size <= _SMALL:
            return await self._answer(
                self._lean.request(request.method, target, headers, request.body)
            )
        payload = _Payload(request.body, self._options.read_timeout) if size else None
        url = URL(self._origin + target, encoded=True)
        sending = self._session.request(
            request.method, url, data=payload, headers=headers, allow_redirects=False,
            proxy=self._options.proxy,
        )  # fmt: skip
        try:
            return await self._answer(sending)
        except BaseException:
            if payload is not None:
                payload.abandon()
            raise

    async def _answer(self, sending: Awaitable[aiohttp.ClientResponse | LeanResponse]) -> Body:
        error: TransportError
        try:
            body = Body(await sending, self)
        except (aiohttp.ClientError, HttpProcessingError, OSError, UnicodeError) as exc:
            error = _lost(exc)
        else:
            if body.status < 300:
                return body
            raise self._failure(await body.error())
        raise error

    def settle(self, response: aiohttp.ClientResponse | LeanResponse) -> bool:
        """Make a service that waits for our acknowledgement of its headers go on at once.

        Some write headers and body in two steps without TCP_NODELAY. The second then waits until
        the first is acknowledged, which this side does 40 ms late.

        Returns:
            whether to look for a stall.
        """
        if _QUICKACK is None or response.content.is_eof():
            return False
        if not self._stalls:
            return True
        connection = response.connection
        transport = None if connection is None else connection.transport
        if transport is not None:
            with contextlib.suppress(OSError):
                transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return False

    def saw_stall(self) -> None:
        """Remember that this service needs quick acknowledgements."""
        self._stalls = True


class Body:
    """The body of an answer as it comes: the `Chunks` of a driver.

    Attributes:
        status: of HTTP.
        headers: of the answer.
    """

    def __init__(self, response: aiohttp.ClientResponse | LeanResponse, http: Http) -> None:
        self._response: aiohttp.ClientResponse | LeanResponse | None = response
        self._http = http
        self._left: int | None = None
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        length = response.headers.get("content-length", "")
        small = len(length) <= _SMALL_DIGITS
        self._since = time.monotonic() if small and http.settle(response) else 0.0

    def limit(self, length: int) -> Body:
        """End after `length` bytes, even if more come."""
        self._left = length
        return self

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> Buffer:
        response = self._response
        if response is None:
            raise StopAsyncIteration
        error: TransportError
        content = response.content
        try:
            chunk, _ = await content.readchunk()
            while not chunk and not content.at_eof():  # the end of a chunk of the encoding
                chunk, _ = await content.readchunk()
        except (aiohttp.ClientError, HttpProcessingError, OSError) as exc:
            error = _lost(exc)
        else:
            if self._since:
                self._note_stall()
            if chunk:
                return chunk if self._left is None else self._cut(chunk)
            self.close()
            raise StopAsyncIteration
        self.close()
        raise error

    def _note_stall(self) -> None:
        waited, self._since = time.monotonic() - self._since, 0.0
        if waited >= _STALL:
            self._http.saw_stall()

    def _cut(self, chunk: bytes) -> bytes:
        assert self._left is not None
        if len(chunk) >= self._left:
            chunk = chunk[: self._left]
            self.close()
        self._left -= len(chunk)
        return chunk

    async def all(self) -> bytes:
        """Return what is left of the body; whoever is cancelled here has closed it."""
        try:
            chunks = [chunk async for chunk in self]
        except BaseException:
            self.close()
            raise
        return bytes(chunks[0]) if len(chunks) == 1 else b"".join(chunks)

    async def error(self) -> Reply:
        """Return the answer of an error, as far as it came."""
        self.limit(_ERROR_BODY)
        body = b""
        with contextlib.suppress(TransportError):
            body = await self.all()
        return Reply(self.status, self.headers, body, False)

    def close(self) -> None:
        """Give the connection back, or close it if some of the body is still to come."""
        response, self._response = self._response, None
        if response is not None:
            response.close()


class _Payload(aiohttp.Payload):
    """The body of one try: buffers that go to the socket as they are, in slices."""

    _autoclose = True

    def __init__(self, buffers: Sequence[Buffer], timeout: float) -> None:
        super().__init__(buffers)
        self._buffers = buffers
        self._timeout = timeout
        self._size: int = sum(map(len, buffers))
        self._transport: asyncio.WriteTransport | None = None  # once a connection was taken

    def abandon(self) -> None:
        """Send no more of it: a connection that is closed would, for as long as the peer likes."""
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._transport.abort()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("the body of a request is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._transport = writer.transport
        writer.send_headers()
        for view in self._slices():
            async with asyncio.timeout(self._timeout):
                await writer.write(view)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        await self.write(writer)

    def _slices(self) -> Iterator[memoryview]:
        for buffer in self._buffers:
            view = memoryview(buffer)
            for begin in range(0, len(view), SLICE):
                yield view[begin : begin + SLICE]


def _lost(exc: Exception) -> TransportError:
    """Return our error for one of the connection, without its URL."""
    if isinstance(exc, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return TransportError(
            "the certificate of the service is not trusted: name the CA bundle that signed it",
            connected=False,
        )
    if isinstance(exc, UnicodeError):
        return TransportError("the name of the host cannot be", connected=False)
    if isinstance(exc, aiohttp.ClientProxyConnectionError):
        return TransportError("the proxy could not be reached", connected=False)
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        return TransportError(f"the proxy refused, with status {exc.status}", connected=False)
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return TransportError("no connection was made within the time for it", connected=False)
    if isinstance(exc, aiohttp.ClientConnectorError):
        what = exc.os_error.strerror or type(exc.os_error).__name__
        return TransportError(
            f"{exc.host}:{exc.port} could not be reached: {what}", connected=False
        )
    if isinstance(exc, TimeoutError):
        return TransportError("the service went silent", connected=True)
    if isinstance(exc, HttpProcessingError | aiohttp.ClientResponseError):
        return TransportError("what came was no answer of HTTP", connected=True)
    return TransportError("the connection was lost", connected=True)


def _judge(error: TransportError | ServiceError) -> Failure:
    if isinstance(error, TransportError):
        # At once after a lost connection: most often it was merely old.
        return Failure(True, error.connected, error.connected, at_once=error.connected)
    busy = error.status in _BUSY or error.code in _BUSY_CODES
    broken = error.status in _BROKEN or error.code in _BROKEN_CODES
    wait = _seconds(error.headers.get("retry-after"))
    return Failure(busy or broken, True, broken and not busy, wait)


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isascii() and text.isdigit() else 0.0
