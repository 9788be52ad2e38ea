"""What an examination of a REST service looks at, whichever it is."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from .._diagnosis import Canary, Finding, Step
from ..errors import CredentialsError, UnsupportedOperationError
from ..models import Link
from .http import HttpOptions

_WARN = 60  # seconds that a clock may be off
_REFUSED = 15 * 60  # seconds from which services refuse signatures
_ALL = 1 << 20  # bytes of an answer that are read
_NO_LINKS = (UnsupportedOperationError, CredentialsError)  # as where nobody asks by name


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer of HTTP, and when it came by our clock."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: float


async def ask(
    method: str, url: str, options: HttpOptions, headers: Mapping[str, str] | None = None
) -> Answered:
    """Make one request as it stands, as a stranger would who was given its URL.

    Raises:
        aiohttp.ClientError, OSError, TimeoutError: no answer came.
    """
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=options.connect_timeout, sock_read=options.read_timeout
    )
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=options.tls),
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        async with session.request(
            method, URL(url, encoded=True), headers=headers, allow_redirects=False,
            proxy=options.proxy,
        ) as answer:  # fmt: skip
            body = await answer.content.read(_ALL)
            return Answered(answer.status, answer.headers, body, time.time())


class RestChecks:
    """The steps that need no more than HTTP.

    Args:
        origin: scheme, host and port of the service.
        options: how it is reached.
        canary: what may be written.
        policy: how browsers are allowed in, in the service's terms.
        etag_needed: whether a browser's upload in parts must see etags.
    """

    def __init__(
        self, origin: str, options: HttpOptions, canary: Canary, policy: str, etag_needed: bool
    ) -> None:
        self._origin = origin
        self._options = options
        self._canary = canary
        self._policy = policy
        self._etag_needed = etag_needed
        self._answer: Answered | None = None

    def steps(self) -> list[Step]:
        """Return them."""
        steps = [
            Step("reachable", self._reach, ("configuration",), first=True),
            Step("clock", self._clock, ("reachable",), first=True),
        ]
        if self._canary.link is not None:
            steps += [
                Step("links", self._links, ("write", "read"), writes=True),
                Step("cors", self._cors, ("place",)),
            ]
        return steps

    async def _reach(self) -> Finding:
        host = urlsplit(self._origin).netloc
        try:
            # Unsigned, and for nothing that is there: a refusal is as good as any answer.
            name = self._canary.key.rpartition("/")[2]
            self._answer = await ask("GET", f"{self._origin}/{name}", self._options)
        except (aiohttp.ClientError, OSError) as exc:
            return unreachable(exc, host)
        return Finding("ok", f"{self._origin} answers")

    async def _clock(self) -> Finding:
        assert self._answer is not None, "it comes after what asked"
        try:
            told = parsedate_to_datetime(self._answer.headers["date"]).timestamp()
        except (KeyError, ValueError):
            return Finding("ok", "the service does not tell the time")
        # It tells whole seconds, those that had passed.
        off = self._answer.at - told
        off = off - 1 if off > 1 else min(off, 0)
        found = f"it is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the service's"
        advice = "set the clock of this machine, by NTP (timedatectl set-ntp true)"
        if abs(off) > _REFUSED:
            return Finding("failed", f"{found}, so signatures are refused", advice)
        if abs(off) > _WARN:
            return Finding("warning", found, advice)
        return Finding("ok", f"it agrees with the service's, within {abs(off) + 1:.0f} s")

    async def _links(self) -> Finding:
        try:
            link = await self._make("download")
        except _NO_LINKS as exc:
            return Finding("skipped", exc.message)
        try:
            answer = await ask("GET", link, self._options)
        except (aiohttp.ClientError, OSError) as exc:
            return unreachable(exc, urlsplit(link).netloc)
        if answer.status != 200:
            return Finding(
                "failed", f"a link to download was answered with status {answer.status}",
                "let whoever signs read what is linked: a link allows no more than its maker",
            )  # fmt: skip
        if answer.body != self._canary.data:
            return Finding("failed", "a link brought other bytes", "look for a proxy in between")
        return Finding("ok", "a link of the service's own downloads what was written")

    async def _make(self, operation: str) -> Link:
        assert self._canary.link is not None, "else there are no such steps"
        return await self._canary.link(operation)

    async def _cors(self) -> Finding:
        canary = self._canary
        try:
            link = await self._make("upload")
        except _NO_LINKS as exc:
            return Finding("skipped", exc.message)
        asked = {
            "origin": canary.origin,
            "access-control-request-method": "PUT",
            "access-control-request-headers": ",".join(sorted(map(str.lower, link.headers))),
        }
        try:
            answer = await ask("OPTIONS", link, self._options, asked)
            allowed = _allows(answer, canary.origin)
            seen = answer.headers.get("access-control-expose-headers", "")
            if allowed and not _names(seen) & {"etag", "*"}:
                # Some tell it with the answer itself only.
                got = await ask("GET", await self._make("download"), self._options,
                                {"origin": canary.origin})  # fmt: skip
                seen = got.headers.get("access-control-expose-headers", "")
        except (aiohttp.ClientError, OSError) as exc:
            return unreachable(exc, urlsplit(link).netloc)
        if not allowed:
            headers = ", ".join(sorted(link.headers)) or "none"
            return Finding(
                "failed" if canary.origin_named else "warning",
                f"a browser at {canary.origin} may not upload by a link: there is no rule for it "
                f"(the preflight was answered with status {answer.status})",
                f"if browsers upload, {self._policy}: origin {canary.origin}, method PUT, headers "
                f"{headers}, exposed header ETag",
            )
        if _names(seen) & {"etag", "*"}:
            return Finding("ok", f"a browser at {canary.origin} may upload, and see the ETag")
        return Finding(
            "warning" if self._etag_needed else "ok",
            f"a browser at {canary.origin} may upload, but does not see the ETag",
            f"for uploads in parts, {self._policy}: exposed header ETag"
            if self._etag_needed else "",
        )  # fmt: skip


def _names(text: str) -> set[str]:
    return {name.strip().lower() for name in text.split(",")} - {""}


def _allows(answer: Answered, origin: str) -> bool:
    told = answer.headers
    methods = _names(told.get("access-control-allow-methods", ""))
    return (
        answer.status < 300
        and told.get("access-control-allow-origin") in (origin, "*")
        and bool(methods & {"put", "*"})
    )


def unreachable(exc: BaseException, host: str) -> Finding:
    """Tell names, refusals, certificates and silence apart; the finding holds no URL."""
    cause = getattr(exc, "os_error", None) or exc
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return Finding(
            "failed", f"the name of {host} is not known here",
            "correct the endpoint's host name, or the DNS settings of this machine (getent hosts)",
        )  # fmt: skip
    if isinstance(exc, aiohttp.ClientConnectorSSLError):
        return Finding(
            "failed", f"{host} does not speak TLS, or none that is safe",
            "correct the endpoint's scheme or port, or let the service speak TLS 1.2 or later",
        )  # fmt: skip
    if isinstance(exc, aiohttp.ClientSSLError):
        return Finding(
            "failed", f"the certificate of {host} is not trusted",
            "name the CA bundle that signed it with verify='/path/to/ca.pem', and ask for the "
            "host by the name in its certificate",
        )  # fmt: skip
    if isinstance(exc, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return Finding(
            "failed", "the proxy does not lead there",
            "correct proxies, or HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment",
        )  # fmt: skip
    if isinstance(exc, asyncio.TimeoutError):
        connecting = isinstance(exc, aiohttp.ConnectionTimeoutError)
        what = "no connection was made" if connecting else "no answer came"
        return Finding(
            "failed", f"{what} from {host} in time",
            "look for a firewall in between that drops what it does not like; for a service that "
            "is slow, raise connect_timeout and read_timeout",
        )  # fmt: skip
    if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
        return Finding(
            "failed", f"nothing listens at {host}: the connection was refused",
            "start the service, or correct host and port of the endpoint",
        )  # fmt: skip
    said = (cause.strerror if isinstance(cause, OSError) else None) or type(cause).__name__
    return Finding(
        "failed", f"{host} could not be talked to: {said}",
        "correct scheme, host and port of the endpoint, and look for a proxy or firewall in "
        "between",
    )  # fmt: skip
