"""Requests and tokens as nobody should send them, to each adapter, without a network."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aiostow import MemoryStorage
from aiostow._conditions import Validators
from aiostow.backends.memory import MemoryDriver
from aiostow.linkstore import MemoryLinkStore
from aiostow.models import WriteOptions
from aiostow.sync import SyncStorage

from . import _app
from ._answers import SECURITY

SECRET = _app.SECRET
BATCH = 20
"""Requests of one example, one after the other."""
REQUESTS, MANY = 10_000, 100_000

CANARY = "canary-7f3a"
"""In every key, and never in an answer."""
CONTENT = b"0123456789"
BYSTANDERS = {f"{CANARY}/other": b"other", f"{CANARY}/there/x": b"x", "there": b"y"}

# -- what is sent ---------------------------------------------------------------------------------

GRANTS: dict[str, dict[str, Any]] = {
    "all": {"operation": "dur"},
    "download": {"operation": "d"},
    "upload": {"operation": "u"},
    "remove": {"operation": "r"},
    "once": {"operation": "dur", "once": True},
    "once-upload": {"operation": "u", "once": True},
    "at most 4": {"operation": "u", "max_size": 4},
    "exactly 3": {"operation": "ud", "exact_size": 3},
    "typed": {"operation": "ud", "content_type": "text/csv"},
    "create": {"operation": "u", "overwrite": False},
    "inline": {"operation": "d", "disposition": "inline", "content_type": "image/png"},
    "named": {"operation": "d", "output_path": 'a/ü"\\;\u200b💥.html'},
}


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _reheaded(token: str, **changes: Any) -> str:
    header, claims, signature = token.split(".")
    values = json.loads(_decoded(header)) | changes
    return ".".join([_b64(json.dumps(values).encode()), claims, signature])


def _reclaimed(token: str, **changes: Any) -> str:
    header, claims, signature = token.split(".")
    values = json.loads(_decoded(claims)) | changes
    return ".".join([header, _b64(json.dumps(values, separators=(",", ":")).encode()), signature])


def _segments(token: str, order: tuple[int, int, int]) -> str:
    parts = token.split(".")
    return ".".join(parts[index] for index in order)


Mutation = Callable[[str, int, str], str]

MUTATIONS: dict[str, Mutation] = {
    "none": lambda token, at, char: token,
    "flip": lambda token, at, char: token[: at % len(token)] + char + token[at % len(token) + 1 :],
    "truncate": lambda token, at, char: token[: at % len(token)],
    "insert": lambda token, at, char: token[: at % len(token)] + char + token[at % len(token) :],
    "swap": lambda token, at, char: _segments(token, ((1, 0, 2), (2, 1, 0), (0, 2, 1))[at % 3]),
    "unsigned": lambda token, at, char: _reheaded(token, alg="none").rpartition(".")[0] + ".",
    "alg": lambda token, at, char: _reheaded(token, alg=("none", "HS512", "RS256", 1)[at % 4]),
    "kid": lambda token, at, char: _reheaded(token, kid=("other", "", None, "../x", 1)[at % 5]),
    "crit": lambda token, at, char: _reheaded(token, crit=["x"]),
    "reheaded": lambda token, at, char: _reheaded(token),  # spaces after the separators
    "key": lambda token, at, char: _reclaimed(token, key=("there", "../x", CANARY)[at % 3]),
    "ops": lambda token, at, char: _reclaimed(token, ops=7),
    "later": lambda token, at, char: _reclaimed(token, exp=2**33),
    "padded": lambda token, at, char: token + "=" * (at % 3 + 1),
    "cased": lambda token, at, char: token.swapcase(),
    "doubled": lambda token, at, char: token + token,
    "escaped": lambda token, at, char: token.replace(".", "%2E"),
    "random": lambda token, at, char: char * (at % 5000 + 1),
}


@dataclass(frozen=True, repr=False)
class Sent:
    """One request before its token is made."""

    method: str
    grant: str
    mutation: str
    at: int
    char: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    length: str
    cuts: tuple[int, ...]
    lost: bool
    there: bool

    def __repr__(self) -> str:
        return f"Sent({', '.join(f'{name}={_shown(v)}' for name, v in vars(self).items())})"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"({''.join(f'{_shown(each)}, ' for each in value)})"
    if isinstance(value, str) and len(value) > 50 and len(set(value)) == 1:
        return f"{value[0]!r} * {len(value)}"
    return repr(value)


LONG = ["\t", " ", '"', '"' * 999, "," * 9999, "a" * 99_999, "9" * 9999, "; " * 4000]

_ETAGS = ['"x"', 'W/"x"', "*", "ETAG", "W/ETAG", '"', 'ETAG, "y"', '"a, ETAG', "é", ",,,"]
_DATES = [
    "DATE", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "yesterday", "0",
    "Sun Nov  6 08:49:37 1994", "Sunday, 06-Nov-94 08:49:37 GMT", "Thu, 99 Jan 1970 00:00:00 GMT",
    "Mon, 01 Jan 99999 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 +9999",
]  # fmt: skip
_RANGES = [
    "bytes=0-3", "bytes=-3", "bytes=4-", "bytes=0-0,2-3", "bytes=9-1", "bytes=99-", "bytes=-0",
    "bytes=-", "bytes=", "bytes", "BYTES=0-1", "lines=0-1", "bytes=0-" + "9" * 5000, "bytes=٣-٤",
    "bytes=1-2-3", "bytes= 0 - 1", "bytes=0x1-2", "bytes=--1",
]  # fmt: skip
_TYPES = [
    "text/csv", "text/plain", "multipart/form-data; boundary=b", "multipart/form-data",
    'multipart/form-data; boundary="b"', "multipart/form-data; boundary=" + "b" * 300,
    "multipart/form-data; boundary=é", "Multipart/Form-Data;BOUNDARY=b", "multipart/mixed",
    "application/x-www-form-urlencoded", 'text/csv; a="', "multipart/form-data; boundary*=b",
]  # fmt: skip

_VALUES: dict[str, list[str]] = {
    "range": _RANGES, "if-range": _ETAGS + _DATES, "if-match": _ETAGS, "if-none-match": _ETAGS,
    "if-modified-since": _DATES, "if-unmodified-since": _DATES, "content-type": _TYPES,
    "content-encoding": ["identity", "gzip", " Identity ", "gzip, identity"],
    "content-range": ["bytes 0-1/2", "x"], "expect": ["100-continue"],
    "transfer-encoding": ["chunked", "identity"], "cookie": ["sessionid=x", "a=b; a=c", '="'],
    "x-http-method-override": ["DELETE", "PUT"],
    "authorization": ["Bearer x"], "origin": ["https://evil.example"], "te": ["trailers"],
    "x-forwarded-for": ["1.1.1.1"], "accept-encoding": ["gzip"], "x-sendfile": ["/etc/passwd"],
}  # fmt: skip


_TELLING = ["range", "if-none-match", "if-match", "if-modified-since", "content-type"]


def _form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end


_FILE = b'Content-Disposition: form-data; name="f"; filename="f.csv"\r\n'
_FIELD = b'Content-Disposition: form-data; name="a"\r\n\r\nvalue'
FORMS = [
    _form(_FILE + b"Content-Type: text/csv\r\n\r\nabc"), _form(_FILE + b"\r\nabc"),
    _form(_FIELD, _FILE + b"\r\nab\r\n--b-", _FIELD), _form(_FILE + b"\r\na", _FILE + b"\r\nb"),
    _form(_FIELD), _form(), _form(_FILE + b"\r\nabc", end=b""), _form(_FILE + b"abc"),
    _form(_FILE + b"X: " + b"y" * 5000 + b"\r\n\r\nabc"), _form(*[_FIELD] * 101),
    _form(b"\r\nno header"), b"preamble\r\n" + _form(_FILE + b"\r\nabc") + b"epilogue",
    _form(b"Content-Disposition: form-data; filename*=UTF-8''x\r\n\r\nabc"),
    _form(b'Content-Disposition: form-data; filename="\xff\\"; ;=;"\r\n\r\nabc'),
]  # fmt: skip

METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"]
ODD = ["PATCH", "TRACE", "get", "Put", "BREW", "CONNECT", "PROPFIND", "x-y", "DELETE2", "!"]


QUERIES = [
    "a=b&token={T}&c", "&&token={T}&", "token={T}&token={T}", "", "{T}", "token=", "token",
    "TOKEN={T}",
    "token=&token={T}", "token={T}&Token=x", "x=\xe9&token={T}", "%", "token={T};", "token%3DT",
    "?token={T}", "token={T}#", "next=token={T}", "path=../x&token={T}",
]  # fmt: skip
LENGTHS = [*[""] * 9, "0", "1", "9999", "9" * 18, "9" * 40, "-1", "x", "\u0663"]


class Dice(Random):
    """Makes up requests; independent ones, where Hypothesis would vary a few of them."""

    def mostly(self, usual: list[str], odd: list[str]) -> str:
        return self.choice(usual if self.random() < 0.75 else odd)

    def some_bytes(self, most: int) -> bytes:
        return self.randbytes(self.randint(0, most))

    def text(self) -> str:
        if not self.randrange(4):
            return self.choice(LONG)
        # CR, LF and NUL are kept away by every server.
        data = self.some_bytes(12).translate(None, b"\r\n\0")
        return data.decode("latin-1")

    def header(self) -> tuple[str, str]:
        name = self.mostly(_TELLING, sorted(_VALUES))
        return name, self.choice(_VALUES[name]) if self.randrange(5) else self.text()

    def body(self) -> bytes:
        if self.randrange(2):
            return self.some_bytes(12)
        form = self.choice(FORMS)
        if self.randrange(2):
            return form
        at = self.randrange(len(form))
        return form[:at] + self.some_bytes(2) + form[at + self.randrange(4) :]

    def request(self) -> Sent:
        return Sent(
            method=self.mostly(METHODS, ODD),
            grant=self.choice(sorted(GRANTS)),
            mutation=self.mostly(["none"], sorted(MUTATIONS)),
            at=self.randrange(1 << 16),
            char=self.choice([*"aAzZ09-_.=%+/ &\xe9\x80\xff"]),
            query=self.mostly(["token={T}"], QUERIES),
            headers=tuple(self.header() for _ in range(self.randrange(4))),
            body=self.body(),
            length=self.mostly(["true"], LENGTHS),
            cuts=tuple(self.randrange(200) for _ in range(self.randrange(4))),
            lost=not self.randrange(16),
            there=bool(self.randrange(3)),
        )


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Wire:
    """A request as the adapter gets it."""

    method: str
    query: str
    headers: list[tuple[str, str]]
    chunks: list[bytes]
    lost: bool


# -- the adapters ---------------------------------------------------------------------------------


class Adapter(Protocol):
    """Something that answers requests in this process."""

    driver: MemoryDriver
    folds: bool  # the framework writes methods in capitals
    methods: frozenset[str] | None  # those that the framework lets through at all
    queries: str  # the encoding of those that it lets through

    def token(self, **options: Any) -> str: ...

    def ask(self, wires: list[Wire]) -> Iterator[Got | None]: ...

    def open_files(self) -> int: ...


class _OverMemory:
    folds = False
    methods: frozenset[str] | None = None
    queries = "latin-1"

    def __init__(self) -> None:
        self.storage = MemoryStorage(secret_key=SECRET)
        assert isinstance(self.storage.driver, MemoryDriver)
        self.driver = self.storage.driver
        self.store = MemoryLinkStore()

    def token(self, **options: Any) -> str:
        return self.storage.create_link_token(expire=3600, **options)

    def open_files(self) -> int:
        return sum(not file.closed for file in self.storage._shared.files)


class AsgiAdapter(_OverMemory):
    """An ASGI application, called as servers call it."""

    path = "/share/"

    def __init__(self, app: Callable[[_OverMemory], Any]) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.app = app(self)

    def ask(self, wires: list[Wire]) -> Iterator[Got | None]:
        for wire in wires:
            yield self.loop.run_until_complete(self._ask(wire))

    async def _ask(self, wire: Wire) -> Got | None:
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": chunk, "more_body": True} for chunk in wire.chunks
        ]
        last = {"type": "http.disconnect"} if wire.lost else {"type": "http.request"}
        messages.append(last)
        sent: list[Any] = []
        coming = iter(messages)

        async def receive() -> Any:
            for message in coming:
                return message
            return await asyncio.get_running_loop().create_future()  # the client waits

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
            "method": wire.method, "path": self.path, "raw_path": self.path.encode(),
            "root_path": "", "query_string": wire.query.encode("latin-1"),
            "headers": [(n.encode(), value.encode("latin-1")) for n, value in wire.headers],
            "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        await self.app(scope, receive, send)
        await asyncio.sleep(0)
        if not sent:
            return None
        start, *rest = sent
        assert start["type"] == "http.response.start"
        headers = tuple(
            (name.decode(), value.decode("latin-1")) for name, value in start["headers"]
        )
        assert not rest[-1].get("more_body", False)
        return Got(start["status"], headers, b"".join(message.get("body", b"") for message in rest))

    def close(self) -> None:
        # What Django closes from other threads comes to its end first.
        self.loop.run_until_complete(asyncio.sleep(0.1))
        self.loop.run_until_complete(self.storage.aclose())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


class WsgiAdapter(_OverMemory):
    """A WSGI application, called as servers call it."""

    path = "/share"
    folds = True

    def __init__(self, app: Callable[[WsgiAdapter], Any]) -> None:
        super().__init__()
        self.facade = SyncStorage(self.storage)
        self.app = app(self)

    def ask(self, wires: list[Wire]) -> Iterator[Got | None]:
        for wire in wires:
            yield self._ask(wire)

    def _ask(self, wire: Wire) -> Got:
        body = b"".join(wire.chunks)
        errors = io.StringIO()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": wire.method, "SCRIPT_NAME": "", "PATH_INFO": self.path,
            "QUERY_STRING": wire.query, "SERVER_NAME": "localhost", "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body), "wsgi.errors": errors, "wsgi.multithread": True,
            "wsgi.multiprocess": False, "wsgi.run_once": False, "REMOTE_ADDR": "127.0.0.1",
        }  # fmt: skip
        if wire.lost:  # as servers that undo a chunked body say
            environ["wsgi.input_terminated"] = True
        for name, value in wire.headers:
            key = name.upper().replace("-", "_")
            if name not in ("content-type", "content-length"):
                key = f"HTTP_{key}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        started: list[Any] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            assert exc_info is None
            started[:] = [int(status.split(" ")[0]), tuple(headers)]

        result = self.app(environ, start_response)
        try:
            got = b"".join(result)
        finally:
            if hasattr(result, "close"):
                result.close()
        assert errors.getvalue() == ""
        return Got(started[0], started[1], got)

    def close(self) -> None:
        self.facade.close()


def _bare(adapter: _OverMemory) -> Any:
    from aiostow.integrations.asgi import LinkApp

    return LinkApp(adapter.storage, store=adapter.store)


def _flask(adapter: WsgiAdapter) -> Any:
    import flask

    from aiostow.integrations.flask import METHODS, link_blueprint

    adapter.methods = frozenset(METHODS)
    app = flask.Flask(__name__)
    blueprint = link_blueprint(adapter.facade, url_prefix="/share", store=adapter.store)
    app.register_blueprint(blueprint)
    return app


def _django_route(view: Any, route: str) -> None:
    """Let a path of the one configuration that a process can have lead to a view."""
    import django.urls
    from django.conf import settings as django_settings

    if not django_settings.configured:
        _app._configure_django(view)
    patterns = _app.__dict__.setdefault("urlpatterns", [])
    patterns.insert(0, django.urls.path(route.removeprefix("/"), view))
    django.urls.clear_url_caches()


def _django(adapter: WsgiAdapter) -> Any:
    from django.core.handlers.wsgi import WSGIHandler

    from aiostow.integrations.django import link_view

    adapter.path = "/fuzz-sync/"
    _django_route(link_view(adapter.facade, store=adapter.store), adapter.path)
    return WSGIHandler()


def _async_django(adapter: _OverMemory) -> Any:
    from django.core.exceptions import RequestAborted
    from django.core.handlers.asgi import ASGIHandler

    from aiostow.integrations.django import async_link_view

    assert isinstance(adapter, AsgiAdapter)
    adapter.path, adapter.folds, adapter.queries = "/fuzz-async/", True, "ascii"
    view = async_link_view(adapter.storage, store=adapter.store)
    _django_route(view, adapter.path)
    handler = ASGIHandler()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        # As the handler does, but for middleware and signals, which take threads and most time.
        try:
            body = await handler.read_body(receive)
        except RequestAborted:
            return
        request, refusal = handler.create_request(scope, body)
        response = refusal if request is None else await view(request)
        assert response is not None
        await handler.send_response(response, send)
        body.close()

    return app


MAKERS: dict[str, Callable[[], AsgiAdapter | WsgiAdapter]] = {
    "asgi": lambda: AsgiAdapter(_bare),
    "flask": lambda: WsgiAdapter(_flask),
    "django": lambda: WsgiAdapter(_django),
    "async django": lambda: AsgiAdapter(_async_django),
}


@pytest.fixture(params=sorted(MAKERS))
def adapter(request: pytest.FixtureRequest) -> Iterator[Adapter]:
    before = {name: logging.getLogger(name).level for name in ("django", "aiostow")}
    for name in before:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    made = MAKERS[request.param]()
    yield made
    made.close()
    assert made.open_files() == 0
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


# -- the properties -------------------------------------------------------------------------------


def _chunks(sent: Sent) -> list[bytes]:
    cuts = sorted({min(cut, len(sent.body)) for cut in sent.cuts} | {0, len(sent.body)})
    return [sent.body[begin:end] for begin, end in itertools.pairwise(cuts)]


class Round:
    """Sends requests to one adapter, and looks at what came of them."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.count = 0
        self.statuses: set[int] = set()
        bad = [Wire(method, "token=x", [], [], False) for method in ("GET", "HEAD")]
        self.bad, self.bad_head = adapter.ask(bad)
        assert self.bad is not None
        assert self.bad.status == 403

    def send(self, sent: Sent) -> None:
        adapter, driver = self.adapter, self.adapter.driver
        key = f"{CANARY}/there/{sent.grant}"
        driver._objects.clear()
        for name, data in {**BYSTANDERS, **({key: CONTENT} if sent.there else {})}.items():
            driver.put(name, data, WriteOptions())
        good = adapter.token(path=key, **GRANTS[sent.grant])
        token = MUTATIONS[sent.mutation](good, sent.at, sent.char)
        query = sent.query.replace("{T}", token)
        given = [part[6:] for part in query.split("&") if part.startswith("token=")]
        kind = "none" if given in ([], [""]) else "good" if given == [good] else "bad"
        if len(query) > 8 << 10:  # is not read
            kind = "bad"
        before = dict(driver._objects)
        wire = Wire(sent.method, query, self._headers(sent, key), _chunks(sent), sent.lost)
        (got,) = adapter.ask([wire])
        self.count += 1
        after = dict(driver._objects)
        self._check_storage(sent, kind, key, before, after)
        if got is None:
            assert sent.lost, "only who went away is not answered"
            return
        self.statuses.add(got.status)
        try:
            query.encode(adapter.queries)
        except UnicodeEncodeError:
            assert got.status == 400  # by the framework, in its own words
            return
        self._check_answer(sent, kind, got)

    def _headers(self, sent: Sent, key: str) -> list[tuple[str, str]]:
        found = self.adapter.driver._objects.get(key)
        etag, date = '"none"', "Thu, 01 Jan 1970 00:00:00 GMT"
        if found is not None:
            (_, etag), (_, date) = Validators.of(found.entry).headers
        headers = [
            (name, value.replace("ETAG", etag).replace("DATE", date))
            for name, value in sent.headers
        ]
        length = str(len(sent.body)) if sent.length == "true" else sent.length
        if length:
            headers.append(("content-length", length))
        return [
            # Python's own str of a header is of latin-1.
            (name, value.encode("utf-8").decode("latin-1") if max(value, default="") > "\xff"
             else value)
            for name, value in headers
        ]  # fmt: skip

    def _check_storage(
        self, sent: Sent, kind: str, key: str, before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        changed = {
            name for name in before.keys() | after.keys() if before.get(name) is not after.get(name)
        }
        assert changed <= {key}, "another object was changed"
        if not changed:
            return
        assert kind == "good", "a bad token changed something"
        grant = GRANTS[sent.grant]
        method = sent.method.upper() if self.adapter.folds else sent.method
        if key not in after:
            assert method == "DELETE"
            assert "r" in grant["operation"]
            return
        assert method in ("PUT", "POST")
        assert "u" in grant["operation"]
        data = after[key].data
        assert data in sent.body
        assert len(data) <= grant.get("max_size", len(data))
        assert len(data) == grant.get("exact_size", len(data))
        assert grant.get("overwrite", True) or key not in before
        assert after[key].entry.content_type == grant.get("content_type")

    def _check_answer(self, sent: Sent, kind: str, got: Got) -> None:
        method = sent.method.upper() if self.adapter.folds else sent.method
        assert got.status < 500
        whole = got.body + repr(got.headers).encode()
        assert CANARY.encode() not in whole
        assert b"Traceback" not in whole
        if self.adapter.methods is not None and method not in self.adapter.methods:
            assert got.status == 405  # by the framework, in its own words
            return
        headers = {name.lower(): value for name, value in got.headers}
        assert len(headers) == len(got.headers), "a header is told twice"
        assert SECURITY.items() <= headers.items()
        assert headers["cache-control"] in ("no-store", "private, no-cache")
        assert "access-control-allow-origin" not in headers
        assert ("content-type" in headers) == (got.status not in (201, 204, 304))
        if method == "HEAD":
            assert got.body == b""
        elif got.status not in (204, 304):
            assert headers["content-length"] == str(len(got.body))
        if kind == "none":
            assert got.status == 404
        elif kind == "bad":
            assert got == (self.bad_head if method == "HEAD" else self.bad)


def test_no_request_breaks_out_of_its_token(adapter: Adapter, long: bool) -> None:
    wanted = MANY if long else REQUESTS
    round = Round(adapter)

    failed: list[BaseException] = []

    @settings(
        max_examples=wanted // BATCH, deadline=None, database=None, derandomize=not long,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )  # fmt: skip
    @given(st.integers(0, 1 << 64))
    def requests_are_answered(seed: int) -> None:
        dice = Dice(seed)
        for sent in () if failed else [dice.request() for _ in range(BATCH)]:
            try:
                round.send(sent)
            except Exception as exc:  # each request stands alone: the one that failed says it all
                exc.add_note(f"request {round.count}: {sent}")
                failed.append(exc)
                return

    requests_are_answered()
    if failed:
        raise failed[0]
    assert round.count >= wanted
    # What is sent reaches every corner.
    assert round.statuses >= {
        200, 204, 206, 304, 400, 403, 404, 405, 412, 413, 415, 416,
    }, round.statuses  # fmt: skip
