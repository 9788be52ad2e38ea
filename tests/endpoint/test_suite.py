"""One suite for each way to serve links over each kind of storage: exact answers to exact requests.

What is stored is looked at by links, as whoever has one does.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from email.utils import formatdate, parsedate_to_datetime
from typing import Any

import httpx
import pytest

from aiostow import InvalidArgumentError, MemoryStorage
from aiostow.links import KeyRing, LinkSigner, audience

from ._app import SECRET
from ._serving import ADAPTERS, SERVERS, Served

KINDS = ("memory", "local", "sftp", "s3")
OTHERS = tuple(name for name in SERVERS if name not in ADAPTERS and not name.endswith("-4"))

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS")
ALLOWED = {"d": ("GET", "HEAD"), "u": ("PUT", "POST"), "r": ("DELETE",)}
GRANTS = tuple("".join(some) for n in (1, 2, 3) for some in itertools.combinations("dur", n))

ALWAYS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}
OF_SERVERS = {"date", "server", "connection", "keep-alive", "transfer-encoding", "via"}

PAST, FUTURE = (formatdate(time.time() + away, usegmt=True) for away in (-1e6, 1e6))

BAD_TOKEN = "This link is not valid, or no longer."
MISSING = "There is no such file."
EXISTS = "There is a file already, and this link does not replace it."
NOT_ALLOWED = "This link does not allow that."
NOT_THAT_WAY = "This link is not used that way."
OTHER_VERSION = "What is there is another version than the one that was meant."
USED = "This link was for one use, and was used."
UNSATISFIABLE = "There is nothing of that range."
NO_FILE = "The form holds no file."
ENCODED = "The body is encoded: send the file as it is."
PART = "A part of a file cannot be uploaded: send all of it."


def too_large(most: int) -> str:
    """What is said of a file of more bytes than a link allows."""
    return f"The file is too large: {most} bytes are allowed; nothing was stored."


def not_exactly(size: int) -> str:
    """What is said of a file of fewer bytes than a link asks for."""
    return f"The file must have exactly {size} bytes; nothing was stored."


SMALL = b"0123456789"
LARGE = bytes(range(256)) * (3 << 12)
"""3 MiB: more than what is sent, stored or listed at once."""

BOUNDARY = "----boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"

# All that a parser could mistake for the boundary, across whatever pieces it is read in.
_ALMOST = b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\r\n-\r\n--\n--" + BOUNDARY.encode() + b"\r\n\r"
LIKE_BOUNDARIES = (_ALMOST * ((3 << 20) // len(_ALMOST) + 1))[: 3 << 20]


def part(headers: str, data: bytes) -> bytes:
    """A part of a form."""
    return f"{headers}\r\n\r\n".encode() + data


def field(name: str, data: bytes = b"a value") -> bytes:
    """A field that is no file."""
    return part(f'Content-Disposition: form-data; name="{name}"', data)


def file(data: bytes, kind: str = "application/whatever", name: str = "../../name.html") -> bytes:
    """A file; the name is nobody's business."""
    disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    return part(f"{disposition}\r\nContent-Type: {kind}", data)


def form(*parts: bytes) -> bytes:
    """A whole form."""
    begin = f"--{BOUNDARY}\r\n".encode()
    return b"".join(begin + each + b"\r\n" for each in parts) + f"--{BOUNDARY}--\r\n".encode()


def chunked(data: bytes, size: int = 70_000) -> Iterator[bytes]:
    """A body whose length nobody is told."""
    return (data[start : start + size] for start in range(0, len(data), size))


@dataclass(frozen=True)
class Seen:
    """An answer, without what is the server's own."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def to_head(self) -> Seen:
        """The same without its bytes."""
        return replace(self, body=b"")

    @property
    def normalised(self) -> Seen:
        """The same without what differs between two equal objects."""
        volatile = {"etag": "an etag", "last-modified": "a date"}
        headers = {name: volatile.get(name, value) for name, value in self.headers.items()}
        return replace(self, headers=headers)


@dataclass(frozen=True)
class Version:
    """What is known of an object that was stored."""

    etag: str
    modified: str
    body: bytes

    @property
    def strong(self) -> bool:
        """Whether the etag is one by which pieces of it may be put together."""
        return not self.etag.startswith("W/")


def said(status: int, text: str, **more: str) -> Seen:
    """The answer that is a sentence."""
    body = f"{text}\n".encode()
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **ALWAYS,
        **more,
    }
    return Seen(status, headers, body)


def done(status: int = 204, **more: str) -> Seen:
    """The answer to what was done."""
    length = {} if status == 204 else {"content-length": "0"}
    return Seen(status, {"cache-control": "no-store", **length, **ALWAYS, **more}, b"")


def sent(
    version: Version,
    span: tuple[int, int] | None = None,
    *,
    kind: str = "application/octet-stream",  # see test_a_file_of_no_known_type...
    disposition: str = 'attachment; filename="file.bin"',
    once: bool = False,
) -> Seen:
    """The answer to a GET; `span` has the first byte and the one after the last."""
    begin, end = (0, len(version.body)) if span is None else span
    headers = {
        "content-type": kind,
        "content-disposition": disposition,
        "content-length": str(end - begin),
        "etag": version.etag,
        "last-modified": version.modified,
        "cache-control": "no-store" if once else "private, no-cache",
        **ALWAYS,
    }
    if not once:
        headers["accept-ranges"] = "bytes"
    if span is not None:
        headers["content-range"] = f"bytes {begin}-{end - 1}/{len(version.body)}"
    return Seen(200 if span is None else 206, headers, version.body[begin:end])


def unchanged(version: Version, *, once: bool = False) -> Seen:
    """The answer where the client has this version."""
    keeping = "no-store" if once else "private, no-cache"
    return Seen(304, {"etag": version.etag, "cache-control": keeping, **ALWAYS}, b"")


@dataclass
class Place:
    """A key of a test's own on an endpoint, a client, and a loop to make links on."""

    http: httpx.Client
    loop: asyncio.Runner
    served: Served
    kind: str
    key: str

    def link(self, operation: str = "dur", *, key: str | None = None, **options: Any) -> str:
        """A link, to this key unless another is given."""
        path = self.key if key is None else key
        return str(self.loop.run(self.served.storage.link_to(path, operation, 600, **options)))

    def beside(self, name: str) -> str:
        """Another key of this test."""
        return f"{self.key.partition('/')[0]}/{name}"

    def ask(
        self,
        method: str,
        link: str,
        content: bytes | Iterable[bytes] | None = None,
        **headers: str,
    ) -> Seen:
        """The answer to a request; ``_`` stands for ``-`` in the names of headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        got = self.http.request(method, link, content=content, headers=named)
        pairs = [(name, value) for name, value in got.headers.multi_items()]
        told = {name: value for name, value in pairs if name not in OF_SERVERS}
        assert len(told) == sum(name not in OF_SERVERS for name, _ in pairs), "a header is doubled"
        self._check_discreet(pairs, got.content)
        return Seen(got.status_code, told, got.content)

    def _check_discreet(self, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        text = repr(headers) + body.decode("latin-1")
        for secret in (self.key.partition("/")[0], "Traceback", SECRET, "/tmp/"):
            assert secret not in text
        # The roots and buckets of all storages here are named so.
        assert re.search("test-[0-9a-f]{16}", text) is None

    def store(self, body: bytes, key: str | None = None) -> Version:
        """Store an object; what is told of it must be well-formed, and everywhere the same."""
        link = self.link(key=key)
        put = self.ask("PUT", link, body)
        assert put.normalised == done(etag="an etag")
        head = self.ask("HEAD", link)
        assert head.headers["etag"] == put.headers["etag"]
        return self.version(head, body)

    def version(self, seen: Seen, body: bytes) -> Version:
        """What an answer tells of an object, which must be well-formed."""
        version = Version(seen.headers["etag"], seen.headers["last-modified"], body)
        assert re.fullmatch('(W/)?"[0-9a-f]{32}"', version.etag)
        modified = parsedate_to_datetime(version.modified)
        assert formatdate(modified.timestamp(), usegmt=True) == version.modified
        assert abs(modified.timestamp() - time.time()) < 300
        return version

    def stored(self, key: str | None = None) -> bytes | None:
        """The bytes of an object, or None."""
        seen = self.ask("GET", self.link("d", key=key))
        if seen.status == 404:
            assert seen == said(404, MISSING)
            return None
        assert seen.status == 200
        return seen.body

    def token(self, *, name: str | None = None, ago: float = 0, lasting: float = 600) -> str:
        """A token to this key with the endpoint's own secret, of another storage or time."""
        storage = self.served.storage
        whose = audience(storage.name if name is None else name, storage.driver.identity)
        signer = LinkSigner(KeyRing(SECRET), whose, lambda: time.time() - ago)
        return signer.sign(signer.grant(self.key, "dur", lasting))

    def notes(self, key: str) -> list[tuple[str, str, int | None]]:
        """What hooks were called for a key: their names, methods and sizes."""
        calls = [json.loads(line)[-4:] for line in self.served.notes.read_text().splitlines()]
        return [(hook, method, size) for hook, method, path, size in calls if path == key]


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """A client that keeps connections, for less long than any of the servers does."""
    limits = httpx.Limits(keepalive_expiry=1)
    with httpx.Client(limits=limits, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """A loop to make links on; one for each would take longer than the links."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(
    scope="module",
    params=[(server, kind) for kind in KINDS for server in ADAPTERS],
    ids=lambda param: "-".join(param),
)
def serving(
    request: pytest.FixtureRequest, endpoint: Callable[[str, str], Served]
) -> tuple[Served, str]:
    """An endpoint, and the kind of its storage."""
    server, kind = request.param
    return endpoint(server, kind), kind


@pytest.fixture
def place(serving: tuple[Served, str], http: httpx.Client, loop: asyncio.Runner, key: str) -> Place:
    """A key of the test's own on each of the endpoints."""
    served, kind = serving
    return Place(http, loop, served, kind, key)


@pytest.fixture(scope="module")
def standing(
    serving: tuple[Served, str], http: httpx.Client, loop: asyncio.Runner
) -> tuple[Place, Version]:
    """An object of ten bytes for all tests that only read."""
    served, kind = serving
    place = Place(http, loop, served, kind, "standing/file.bin")
    return place, place.store(SMALL)


# -- downloads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"5 byt", LARGE], ids=["empty", "5 bytes", "3 MiB"])
def test_get_sends_exactly_what_was_stored_and_head_tells_the_same(
    place: Place, body: bytes
) -> None:
    version = place.store(body)
    link = place.link("d")
    assert place.ask("GET", link) == sent(version)
    assert place.ask("HEAD", link) == sent(version).to_head


def test_two_versions_are_never_told_as_the_same_one(place: Place) -> None:
    # FAILS over sftp, which is a bug of the code: there an etag is the second of modification and
    # the size, which these two share, and it is told as a strong one. By it, a range of one is put
    # together with a range of the other, and If-Match lets an upload replace a version that its
    # sender never saw.
    one, other = place.store(b"one"), place.store(b"two")
    assert one.etag != other.etag or not one.strong


def test_a_missing_file_is_404_whatever_else_is_asked(place: Place) -> None:
    link = place.link("d")
    missing = said(404, MISSING)
    assert place.ask("GET", link) == missing
    assert place.ask("HEAD", link) == missing.to_head
    assert place.ask("GET", link, range="bytes=0-0") == missing
    assert place.ask("GET", link, if_none_match="*") == missing
    assert place.ask("GET", link, if_match='"x"') == missing


def test_one_satisfiable_range_is_sent_alone(standing: tuple[Place, Version]) -> None:
    place, version = standing
    link = place.link("d")
    spans = {
        "bytes=0-0": (0, 1),
        "bytes=2-5": (2, 6),
        "bytes=9-9": (9, 10),
        "bytes=-3": (7, 10),
        "bytes=7-": (7, 10),
        "bytes=0-": (0, 10),
        "bytes=8-100": (8, 10),
        "bytes=-100": (0, 10),
        "BYTES=0-3": (0, 4),
    }
    for text, span in spans.items():
        assert place.ask("GET", link, range=text) == sent(version, span), text


def test_a_range_of_a_large_file_has_exactly_its_bytes(place: Place) -> None:
    version = place.store(LARGE)
    link = place.link("d")
    span = ((1 << 20) - 7, (2 << 20) + 9)
    assert place.ask("GET", link, range=f"bytes={span[0]}-{span[1] - 1}") == sent(version, span)
    assert place.ask("GET", link, range="bytes=-5") == sent(version, (len(LARGE) - 5, len(LARGE)))


def test_a_range_of_which_nothing_is_there_is_416_and_tells_the_size(
    standing: tuple[Place, Version],
) -> None:
    place, _ = standing
    link = place.link("d")
    for text in ("bytes=10-", "bytes=10-20", f"bytes={'9' * 30}-", "bytes=-0"):
        nothing = said(416, UNSATISFIABLE, **{"content-range": "bytes */10"})
        assert place.ask("GET", link, range=text) == nothing, text


def test_an_empty_file_has_no_range(place: Place) -> None:
    place.store(b"")
    link = place.link("d")
    for text in ("bytes=0-0", "bytes=0-", "bytes=-1"):
        nothing = said(416, UNSATISFIABLE, **{"content-range": "bytes */0"})
        assert place.ask("GET", link, range=text) == nothing, text


def test_several_ranges_and_what_is_no_range_are_answered_with_the_whole(
    standing: tuple[Place, Version],
) -> None:
    place, version = standing
    link = place.link("d")
    for text in (
        "bytes=0-1,4-5", "bytes=0-0,", "bytes=5-2", "bytes=", "bytes=-", "bytes=a-b", "bytes=1",
        "bytes=--1", "bytes=0x1-2", "chars=0-1", "0-1", "bytes 0-1", f"bytes=0-{'0' * 70}",
    ):  # fmt: skip
        assert place.ask("GET", link, range=text) == sent(version), text
    assert place.ask("HEAD", link, range="bytes=0-1") == sent(version).to_head


def test_a_version_that_the_client_has_is_304(standing: tuple[Place, Version]) -> None:
    place, version = standing
    link = place.link("d")
    bare = version.etag.removeprefix("W/")
    for tags in (bare, f"W/{bare}", f'"other", {version.etag}', f'{version.etag}, W/"x"', "*"):
        assert place.ask("GET", link, if_none_match=tags) == unchanged(version), tags
        assert place.ask("HEAD", link, if_none_match=tags) == unchanged(version), tags
    both = place.ask("GET", link, if_none_match=version.etag, range="bytes=0-1")
    assert both == unchanged(version)
    for tags in ('"other"', 'W/"other"', bare.strip('"'), '""', "garbage"):
        assert place.ask("GET", link, if_none_match=tags) == sent(version), tags


def test_if_modified_since_counts_where_no_etag_is_named(standing: tuple[Place, Version]) -> None:
    place, version = standing
    link = place.link("d")
    for since in (version.modified, FUTURE):
        assert place.ask("GET", link, if_modified_since=since) == unchanged(version)
        assert place.ask("HEAD", link, if_modified_since=since) == unchanged(version)
    for since in (PAST, "garbage", "Thu, 99 Foo 2020 00:00:00 GMT"):
        assert place.ask("GET", link, if_modified_since=since) == sent(version), since
    named = place.ask("GET", link, if_modified_since=FUTURE, if_none_match='"other"')
    assert named == sent(version)


def test_another_version_than_the_one_that_is_meant_is_412(standing: tuple[Place, Version]) -> None:
    place, version = standing
    link = place.link("d")
    other, strong = said(412, OTHER_VERSION), version.etag if version.strong else '"other", *'
    for tags in ('"other"', f"W/{version.etag.removeprefix('W/')}", "garbage"):
        assert place.ask("GET", link, if_match=tags) == other, tags
        assert place.ask("HEAD", link, if_match=tags) == other.to_head, tags
    assert place.ask("GET", link, if_unmodified_since=PAST) == other
    assert place.ask("GET", link, if_match="*", if_unmodified_since=PAST) == sent(version)
    assert place.ask("GET", link, if_match="*") == sent(version)
    assert place.ask("GET", link, if_unmodified_since=version.modified) == sent(version)
    # A weak etag says that two versions may look alike, which is no match here.
    expected = sent(version) if version.strong else other
    assert place.ask("GET", link, if_match=strong) == expected
    assert place.ask("GET", link, if_match=f'"other", {version.etag}') == expected


def test_a_range_of_another_version_is_answered_with_the_whole(place: Place) -> None:
    version = place.store(SMALL)
    link = place.link("d")
    same = place.ask("GET", link, range="bytes=2-5", if_range=version.etag)
    assert same == sent(version, (2, 6) if version.strong else None)
    weak = f"W/{version.etag.removeprefix('W/')}"
    # Within a minute of its modification, a date does not tell versions apart.
    for condition in ('"other"', weak, PAST, FUTURE, version.modified, "garbage"):
        seen = place.ask("GET", link, range="bytes=2-5", if_range=condition)
        assert seen == sent(version), condition
    other = place.ask("GET", link, range="bytes=99-", if_range='"other"')
    assert other == sent(version)


# -- how a download is shown -----------------------------------------------------------------------

RTL = "photo\u202egpj.exe"
NAMES = {
    'say "hi".bin': "filename=\"say _hi_.bin\"; filename*=UTF-8''say%20%22hi%22.bin",
    'файл "x".html': 'filename="____ _x_.html"; '
    "filename*=UTF-8''%D1%84%D0%B0%D0%B9%D0%BB%20%22x%22.html",
    "a%22b;.svg": "filename=\"a_22b;.svg\"; filename*=UTF-8''a%2522b%3B.svg",
    RTL: "filename=\"photo_gpj.exe\"; filename*=UTF-8''photo%E2%80%AEgpj.exe",
    "..\\..\\x.bin": "filename=\".._.._x.bin\"; filename*=UTF-8''..%5C..%5Cx.bin",
    "../../etc/passwd": 'filename="passwd"',
    "a; filename=b.html": 'filename="a; filename=b.html"',
}
KIND_OF = {"html": "text/html", "svg": "image/svg+xml"}


def test_a_suggested_name_cannot_leave_its_place(standing: tuple[Place, Version]) -> None:
    place, version = standing
    for name, disposition in NAMES.items():
        kind = KIND_OF.get(name.rpartition(".")[2], "application/octet-stream")
        expected = sent(version, disposition=f"attachment; {disposition}", kind=kind)
        seen = place.ask("GET", place.link("d", output_path=name))
        assert seen == expected, name


def test_an_odd_key_is_served_and_its_name_cannot_leave_its_place(place: Place) -> None:
    key = place.beside('файл "x" %22;.bin')
    version = place.store(SMALL, key)
    disposition = (
        'attachment; filename="____ _x_ _22;.bin"; '
        "filename*=UTF-8''%D1%84%D0%B0%D0%B9%D0%BB%20%22x%22%20%2522%3B.bin"
    )
    assert place.ask("GET", place.link("d", key=key)) == sent(version, disposition=disposition)


@pytest.mark.parametrize("option", ["output_path", "content_type"])
@pytest.mark.parametrize("text", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x00b", "a\x85b", "\ud800"])
def test_no_link_is_made_for_what_would_break_a_header(option: str, text: str) -> None:
    async def mint() -> None:
        async with MemoryStorage(linked_endpoint="http://x", secret_key=SECRET) as storage:
            options: dict[str, Any] = {option: text}
            await storage.link_to("key", "d", 600, **options)

    with pytest.raises(InvalidArgumentError, match=option):
        asyncio.run(mint())


def test_what_could_hold_a_script_is_never_shown(place: Place) -> None:
    for suffix, kind in {
        "html": "text/html",
        "htm": "text/html",
        "svg": "image/svg+xml",
        "xhtml": "application/octet-stream",  # which Python's table does not know
        "xml": "text/xml",
        "pdf": "application/pdf",
    }.items():
        key = place.beside(f"page.{suffix}")
        version = place.store(b"<script>alert(1)</script>", key)
        expected = sent(version, kind=kind, disposition=f'attachment; filename="page.{suffix}"')
        assert place.ask("GET", place.link("d", key=key, disposition="inline")) == expected, suffix


def test_what_holds_no_script_is_shown_where_the_link_says_so(place: Place) -> None:
    for suffix, kind in {"png": "image/png", "txt": "text/plain"}.items():
        key = place.beside(f"shown.{suffix}")
        version = place.store(SMALL, key)
        for how in ("inline", "attachment"):
            expected = sent(version, kind=kind, disposition=f'{how}; filename="shown.{suffix}"')
            assert place.ask("GET", place.link("d", key=key, disposition=how)) == expected


def test_a_file_of_no_known_type_is_bytes_and_nothing_else(standing: tuple[Place, Version]) -> None:
    # FAILS over s3, which is a bug of the code: the service says binary/octet-stream of what came
    # without a type, as S3 does, and that is taken for a type that somebody chose. All other
    # tests of downloads over s3 fail with it, since names are not looked at either.
    place, version = standing
    seen = place.ask("HEAD", place.link("d"))
    assert seen == sent(version, kind="application/octet-stream").to_head


def test_a_link_says_type_and_name_of_what_it_downloads(place: Place) -> None:
    key = place.beside("page.html")
    version = place.store(SMALL, key)

    def get(**options: Any) -> Seen:
        return place.ask("GET", place.link("d", key=key, **options))

    # As text, nothing of it is carried out.
    assert get(content_type="text/plain; charset=utf-8", disposition="inline") == sent(
        version, kind="text/plain; charset=utf-8", disposition='inline; filename="page.html"'
    )
    assert get(content_type="text/html", output_path="a.png", disposition="inline") == sent(
        version, kind="text/html", disposition='attachment; filename="a.png"'
    )
    xhtml = "application/xhtml+xml"
    assert get(content_type=xhtml, disposition="inline") == sent(
        version, kind=xhtml, disposition='attachment; filename="page.html"'
    )
    assert get(content_type="TEXT/HTML ; a=b", disposition="inline") == sent(
        version, kind="TEXT/HTML ; a=b", disposition='attachment; filename="page.html"'
    )


def test_the_longest_link_is_served(standing: tuple[Place, Version]) -> None:
    place, version = standing
    name = "n" * 2340
    link = place.link("d", output_path=name)
    assert 3400 < len(link.partition("token=")[2]) <= 3500
    expected = sent(version, disposition=f'attachment; filename="{name}"')
    assert place.ask("GET", link) == expected


# -- uploads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", SMALL, LARGE], ids=["empty", "10 bytes", "3 MiB"])
@pytest.mark.parametrize(
    "how", ["PUT chunked", "POST", "POST form", "PUT form chunked"], ids=str.lower
)
def test_an_upload_is_stored_whole_however_it_comes(place: Place, how: str, body: bytes) -> None:
    link = place.link()
    content, headers = body, {}
    if "form" in how:
        content, headers = form(file(body)), {"content_type": FORM}
    data = chunked(content) if "chunked" in how else content
    seen = place.ask(how.partition(" ")[0], link, data, **headers)
    assert seen.normalised == done(etag="an etag")
    got = place.ask("GET", link)
    assert got == sent(place.version(got, body))
    assert got.headers["etag"] == seen.headers["etag"]


def test_the_file_of_a_form_is_stored_alone(place: Place) -> None:
    link = place.link()
    for content in (
        form(field("before"), field("x", b"\r\n"), file(SMALL), field("after"), field("")),
        form(file(SMALL, kind="multipart/mixed; boundary=----boundary")),
        form(file(SMALL, name="файл")),
        form(file(b"", name=""), file(SMALL)),  # as a browser sends a field without a file
        form(file(SMALL)) + b"an epilogue",
    ):
        place.ask("DELETE", link)
        seen = place.ask("POST", link, content, content_type=FORM)
        assert seen.normalised == done(etag="an etag"), content
        assert place.stored() == SMALL, content


@pytest.mark.parametrize("size", [1, 7777, 1 << 20])
def test_what_looks_like_a_boundary_stays_in_the_file(place: Place, size: int) -> None:
    body = LIKE_BOUNDARIES if size > 1 else LIKE_BOUNDARIES[:300]
    content = form(field("before"), file(body), field("after"))
    seen = place.ask("POST", place.link("u"), chunked(content, size), content_type=FORM)
    assert seen.normalised == done(etag="an etag")
    assert place.stored() == body


WHOLE = form(file(SMALL))
BAD_FORMS: dict[str, tuple[bytes, str, str]] = {
    "no file": (form(field("a"), field("b")), FORM, NO_FILE),
    "no chosen file": (form(file(b"", name="")), FORM, NO_FILE),
    "two files": (
        form(file(SMALL), field("between"), file(b"another")), FORM,
        "The form holds several files, and the link is for one.",
    ),
    "garbage": (b"garbage", FORM, "The body is no well-formed form."),
    "another boundary": (
        WHOLE, "multipart/form-data; boundary=other", "The body is no well-formed form.",
    ),
    "empty": (b"", FORM, "The form ends before its last boundary."),
    "ends in the file": (WHOLE[:-20], FORM, "The form ends before its last boundary."),
    "ends in the headers": (WHOLE[:40], FORM, "The form ends before its last boundary."),
    "ends in the boundary": (WHOLE[:-4], FORM, "The form ends before its last boundary."),
    "no boundary": (WHOLE, "multipart/form-data", "The form names no boundary."),
    "empty boundary": (WHOLE, "Multipart/Form-Data; boundary=", "The form names no boundary."),
    "long boundary": (
        WHOLE, f"multipart/form-data; boundary={'b' * 300}", "The form's boundary is too long.",
    ),
    "large field": (
        form(field("a", bytes(70_000)), file(SMALL)), FORM,
        "The form holds too much beside its file.",
    ),
    "many fields": (
        form(*[field("a", b"")] * 100, file(SMALL)), FORM, "The form has too many fields.",
    ),
    "large header": (
        form(part(f"Content-Disposition: form-data; name={'a' * 300_000}", b"")), FORM,
        "The body is no well-formed form.",
    ),
    "header without a name": (
        form(part(": form-data", SMALL)), FORM, "The body is no well-formed form.",
    ),
}  # fmt: skip


def test_a_form_that_is_not_one_with_one_file_is_400_and_nothing_is_stored(place: Place) -> None:
    link = place.link("u")
    for name, (content, kind, text) in BAD_FORMS.items():
        assert place.ask("POST", link, content, content_type=kind) == said(400, text), name
    assert place.stored() is None
    place.store(b"before")
    for name, (content, kind, text) in BAD_FORMS.items():
        seen = place.ask("PUT", link, chunked(content), content_type=kind)
        assert seen == said(400, text), name
    assert place.stored() == b"before"


def test_a_link_that_does_not_overwrite_stores_once(place: Place) -> None:
    link = place.link("du", overwrite=False, max_size=100)
    first = place.ask("PUT", link, SMALL)
    assert first.normalised == done(201, etag="an etag")
    got = place.ask("GET", link)
    assert got == sent(place.version(got, SMALL))
    assert got.headers["etag"] == first.headers["etag"]
    exists = said(409, EXISTS)
    assert place.ask("PUT", link, b"another") == exists
    assert place.ask("POST", link, b"another") == exists
    assert place.ask("PUT", link, chunked(b"another")) == exists
    assert place.ask("POST", link, form(file(b"another")), content_type=FORM) == exists
    assert place.ask("GET", link) == got


@pytest.mark.parametrize("how", ["chunked", "form", "empty"])
def test_a_link_that_does_not_overwrite_stores_what_comes_without_a_length(
    place: Place, how: str
) -> None:
    link = place.link("du", overwrite=False, max_size=100)
    body = b"" if how == "empty" else SMALL
    headers = {"content_type": FORM} if how == "form" else {}
    content = chunked(form(file(SMALL)) if how == "form" else body, 7)
    seen = place.ask("POST", link, content, **headers)
    assert seen.normalised == done(201, etag="an etag")
    assert place.ask("POST", link, b"another") == said(409, EXISTS)
    assert place.stored() == body


def test_a_file_of_more_than_max_size_is_413_and_nothing_is_stored(place: Place) -> None:
    link = place.link("u", max_size=10)
    large = said(413, too_large(10))
    more = SMALL + b"!"
    assert place.ask("PUT", link, more) == large
    assert place.ask("POST", link, more) == large
    assert place.ask("PUT", link, chunked(more)) == large
    assert place.ask("PUT", link, chunked(more, 1)) == large
    assert place.ask("POST", link, form(field("a"), file(more)), content_type=FORM) == large
    assert place.ask("POST", link, chunked(form(file(more))), content_type=FORM) == large
    # So long, that no form around a file of 10 bytes is.
    assert place.ask("POST", link, form(file(bytes(200_000))), content_type=FORM) == large
    assert place.stored() is None
    for content in (SMALL, chunked(SMALL), chunked(SMALL, 1), b""):
        assert place.ask("PUT", link, content).normalised == done(etag="an etag")
    seen = place.ask("POST", link, form(field("a"), file(SMALL)), content_type=FORM)
    assert seen.normalised == done(etag="an etag")
    assert place.stored() == SMALL
    assert place.ask("PUT", link, chunked(more)) == large
    assert place.stored() == SMALL


def test_a_file_of_another_size_than_the_exact_one_is_not_stored(place: Place) -> None:
    link = place.link("u", exact_size=10)
    large, small = said(413, too_large(10)), said(400, not_exactly(10))
    for data, answer in {SMALL + b"!": large, SMALL[:-1]: small, b"": small}.items():
        assert place.ask("PUT", link, data) == answer
        assert place.ask("PUT", link, chunked(data, 3)) == answer
        assert place.ask("POST", link, form(file(data)), content_type=FORM) == answer
    assert place.stored() is None
    for content, kind in ((SMALL, "text/x"), (chunked(SMALL), "text/x"), (form(file(SMALL)), FORM)):
        seen = place.ask("POST", link, content, content_type=kind)
        assert seen.normalised == done(etag="an etag")
        assert place.stored() == SMALL


def test_a_file_of_another_type_than_the_links_is_415_and_nothing_is_stored(place: Place) -> None:
    link = place.link("du", content_type="image/png")
    wrong = said(415, "The file must be sent as image/png.")
    for kind in ("text/plain", "image/png; a=b", "image/pngx", "image", "image/svg+xml"):
        assert place.ask("PUT", link, SMALL, content_type=kind) == wrong, kind
        seen = place.ask("POST", link, form(field("a"), file(SMALL, kind)), content_type=FORM)
        assert seen == wrong, kind
    assert place.ask("PUT", link, SMALL) == wrong  # without any
    no_type = part('Content-Disposition: form-data; name="f"; filename="x.png"', SMALL)
    assert place.ask("POST", link, form(no_type), content_type=FORM) == wrong
    assert place.stored() is None
    for kind in ("image/png", "IMAGE/PNG"):
        seen = place.ask("PUT", link, SMALL, content_type=kind)
        assert seen.normalised == done(etag="an etag"), kind
        content = form(field("a"), file(b"of a form", kind))
        seen = place.ask("POST", link, content, content_type=FORM)
        assert seen.normalised == done(etag="an etag"), kind
    got = place.ask("GET", link)
    assert got == sent(place.version(got, b"of a form"), kind="image/png")


def test_an_upload_on_the_condition_that_nothing_is_there(place: Place) -> None:
    link = place.link("u")
    first = place.ask("PUT", link, SMALL, if_none_match="*")
    assert first.normalised == done(201, etag="an etag")
    other = said(412, OTHER_VERSION)
    assert place.ask("PUT", link, b"another", if_none_match="*") == other
    assert place.ask("PUT", link, chunked(b"another"), if_none_match="*") == other
    assert place.stored() == SMALL


def test_an_upload_on_the_condition_of_a_version(place: Place) -> None:
    link = place.link("u")
    other = said(412, OTHER_VERSION)
    for tags in ("*", '"other"'):
        assert place.ask("PUT", link, b"another", if_match=tags) == other
    assert place.stored() is None
    version = place.store(SMALL)
    assert place.ask("PUT", link, b"another", if_match='"other"') == other
    assert place.ask("PUT", link, b"another", if_none_match=version.etag) == other
    assert place.ask("PUT", link, b"another", if_unmodified_since=PAST) == other
    assert place.stored() == SMALL
    seen = place.ask("PUT", link, b"newer", if_match=version.etag)
    if not version.strong:  # see Version.strong
        assert seen == other
        assert place.ask("PUT", link, b"newer", if_match="*").normalised == done(etag="an etag")
        assert place.stored() == b"newer"
        return
    assert seen.normalised == done(etag="an etag")
    assert seen.headers["etag"] != version.etag
    assert place.ask("PUT", link, b"another", if_match=version.etag) == other
    assert place.stored() == b"newer"
    assert place.ask("PUT", link, b"last", if_match="*").normalised == done(etag="an etag")
    assert place.stored() == b"last"


def test_an_encoded_body_and_a_part_of_a_file_are_refused(place: Place) -> None:
    link = place.link("u")
    for coding in ("gzip", "br", "gzip, identity", "aws-chunked"):
        seen = place.ask("PUT", link, SMALL, content_encoding=coding)
        assert seen == said(415, ENCODED), coding
        seen = place.ask("POST", link, WHOLE, content_encoding=coding, content_type=FORM)
        assert seen == said(415, ENCODED), coding
    for span in ("bytes 0-9/20", "bytes 0-9/10", "garbage"):
        assert place.ask("PUT", link, SMALL, content_range=span) == said(400, PART), span
    assert place.stored() is None
    seen = place.ask("PUT", link, SMALL, content_encoding="identity")
    assert seen.normalised == done(etag="an etag")
    assert place.stored() == SMALL


# -- removal, and other methods --------------------------------------------------------------------


def test_a_removal_is_done_however_often_it_is_asked_for(place: Place) -> None:
    place.store(SMALL)
    link = place.link("dr")
    assert place.ask("DELETE", link) == done()
    assert place.ask("DELETE", link) == done()
    assert place.ask("GET", link) == said(404, MISSING)
    assert place.ask("HEAD", link) == said(404, MISSING).to_head


def test_a_removal_on_the_condition_of_a_version(place: Place) -> None:
    link = place.link("r")
    other = said(412, OTHER_VERSION)
    assert place.ask("DELETE", link, if_match="*") == other
    version = place.store(SMALL)
    assert place.ask("DELETE", link, if_match='"other"') == other
    assert place.ask("DELETE", link, if_none_match="*") == other
    assert place.ask("DELETE", link, if_unmodified_since=PAST) == other
    assert place.stored() == SMALL
    assert place.ask("DELETE", link, if_match=version.etag if version.strong else "*") == done()
    assert place.stored() is None


@pytest.mark.parametrize("operations", GRANTS)
def test_options_and_other_methods_tell_what_the_link_allows(place: Place, operations: str) -> None:
    allowed = [method for letter in operations for method in ALLOWED[letter]]
    allow = ", ".join([*allowed, "OPTIONS"])
    link = place.link(operations)
    assert place.ask("OPTIONS", link) == done(allow=allow)
    for method in ("PATCH", "TRACE"):
        assert place.ask(method, link) == said(405, NOT_THAT_WAY, allow=allow)
    assert place.ask("PATCH", link, SMALL) == said(405, NOT_THAT_WAY, allow=allow)
    assert place.stored() is None


# -- what a token grants ---------------------------------------------------------------------------


@pytest.mark.parametrize("operations", GRANTS)
def test_a_link_does_what_it_grants_to_its_key_and_nothing_else(
    place: Place, operations: str
) -> None:
    link = place.link(operations)
    allowed = [method for letter in operations for method in ALLOWED[letter]]
    other, look = place.beside("file.bin.other"), place.link("d")
    place.ask("PUT", place.link("u", key=other), b"other")
    forbidden = said(403, NOT_ALLOWED)
    # Whatever else a request says, the token alone says what is meant.
    headers = {"x_http_method_override": "DELETE", "x_original_url": "/share/?token=x"}
    url = link.replace("?", f"?key={other}&operations=7&") + f"&path={other}"
    version: Version | None = place.store(SMALL)
    for method in METHODS:
        data = f"by {method}".encode() if method in ("PUT", "POST") else None
        seen = place.ask(method, url, data, **headers)
        if method == "OPTIONS":
            assert seen == done(allow=", ".join([*allowed, "OPTIONS"]))
        elif method not in allowed:
            assert seen == (forbidden.to_head if method == "HEAD" else forbidden)
        elif method == "DELETE":
            assert seen == done()
            version = None
        elif data is None:
            assert version is not None
            assert seen == (sent(version).to_head if method == "HEAD" else sent(version))
        else:
            assert seen.normalised == done(etag="an etag")
            version = place.version(place.ask("GET", look), data)
    # What was not granted left no trace: the version is the one that was granted last.
    assert place.ask("GET", look) == (said(404, MISSING) if version is None else sent(version))
    assert place.stored(other) == b"other"


def test_without_a_token_there_is_nothing(standing: tuple[Place, Version]) -> None:
    place, version = standing
    url = place.served.url
    nothing = said(404, "Not found.")
    for query in ("", "?token=", "?x=y", "?Token=abc", "?xtoken=abc"):
        for method in (*METHODS, "PATCH"):
            seen = place.ask(method, url + query)
            assert seen == (nothing.to_head if method == "HEAD" else nothing), (method, query)
    assert place.ask("GET", place.link("d")) == sent(version)


def _bad_tokens(place: Place) -> dict[str, str]:
    good = place.token()
    header, claims, signature = good.split(".")
    return {
        "garbage": "garbage",
        "dots": "..",
        "spaces": "%20",
        "no characters of tokens": "%00%ff%22%0d%0a",
        "as bytes": "ÿ",
        "long": good + "a" * (3600 - len(good)),  # more than any token has
        "twice": f"{good}&token={good}",
        "twice, one empty": f"{good}&token=",
        "encoded": good.replace(".", "%2E"),
        "padded": f"{good}=",
        "cut": good[:-1],
        "unsigned": f"{header}.{claims}.",
        "alg none": f"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.",
        "signed for another": f"{header}.{claims}.{place.token(name='x').split('.')[2]}",
        "other claims": f"{header}.{place.token().split('.')[1]}.{signature}",
        "of another storage": place.token(name="another"),
        "expired": place.token(ago=1000),
        "of the future": place.token(ago=-1000),
    }


def test_whatever_is_no_living_token_of_ours_gets_one_answer(
    standing: tuple[Place, Version],
) -> None:
    place, version = standing
    bad = said(403, BAD_TOKEN)
    for name, token in _bad_tokens(place).items():
        url = f"{place.served.url}?token={token}"
        for method in ("GET", "PUT"):
            assert place.ask(method, url, b"" if method == "PUT" else None) == bad, name
    expired = f"{place.served.url}?token={place.token(ago=1000)}"
    for method in (*METHODS, "PATCH"):
        assert place.ask(method, expired) == (bad.to_head if method == "HEAD" else bad), method
    # So that not all are refused: one that is signed in the same way, but now.
    assert place.ask("GET", f"{place.served.url}?token={place.token()}") == sent(version)
    assert place.ask("GET", f"{place.served.url}?token={place.token(ago=590)}") == sent(version)


def test_a_token_with_one_changed_character_gets_the_same_answer(
    standing: tuple[Place, Version],
) -> None:
    place, version = standing
    token = place.token()
    bad = said(403, BAD_TOKEN)
    dots = [index for index, character in enumerate(token) if character == "."]
    ends = {0, len(token) - 1, *dots, *(index - 1 for index in dots), *(i + 1 for i in dots)}
    for index in sorted(ends | set(range(5, len(token), 29))):
        changed = "A" if token[index] != "A" else "B"
        url = f"{place.served.url}?token={token[:index]}{changed}{token[index + 1 :]}"
        assert place.ask("GET", url) == bad, index
    assert place.ask("GET", f"{place.served.url}?token={token}") == sent(version)


# -- hooks -----------------------------------------------------------------------------------------


def refusal(hook: str) -> Seen:
    """The answer that a hook of the application under test gives."""
    return said(451, f"Refused by {hook}.")


def test_a_refusal_of_every_use_ends_it_before_anything_is_done(place: Place) -> None:
    key = place.beside("refuse-authorize.bin")
    link = place.link(key=key)
    asked = ("GET", "HEAD", "PUT", "POST", "DELETE")
    for method in asked:
        seen = place.ask(method, link, SMALL if method in ("PUT", "POST") else None)
        expected = refusal("authorize")
        assert seen == (expected.to_head if method == "HEAD" else expected), method
    # No later hook was called, without which nothing is sent, stored or removed.
    assert place.notes(key) == [("authorize", method, None) for method in asked]


def test_a_refused_download_sends_nothing(place: Place) -> None:
    key = place.beside("refuse-download.bin")
    version = place.store(SMALL, key)
    link = place.link("d", key=key)
    disposition = 'attachment; filename="refuse-download.bin"'
    assert place.ask("GET", link) == refusal("download")
    assert place.ask("GET", link, range="bytes=0-1") == refusal("download")
    assert place.ask("HEAD", link) == sent(version, disposition=disposition).to_head


def test_a_refused_upload_stores_nothing(place: Place) -> None:
    key = place.beside("refuse-upload.bin")
    link = place.link("u", key=key)
    assert place.ask("PUT", link, SMALL) == refusal("upload")
    assert place.ask("PUT", link, chunked(SMALL)) == refusal("upload")
    assert place.ask("POST", link, WHOLE, content_type=FORM) == refusal("upload")
    assert place.ask("PUT", link, LARGE) == refusal("upload")
    assert place.stored(key) is None


def test_a_refused_removal_removes_nothing(place: Place) -> None:
    key = place.beside("refuse-remove.bin")
    place.store(SMALL, key)
    assert place.ask("DELETE", place.link(key=key)) == refusal("remove")
    assert place.stored(key) == SMALL


def test_hooks_are_told_of_each_use_in_order(place: Place) -> None:
    link = place.link()
    place.ask("PUT", link, SMALL)
    etag = place.ask("HEAD", link).headers["etag"]
    place.ask("GET", link)
    place.ask("GET", link, range="bytes=2-3")
    place.ask("GET", link, if_none_match=etag)
    place.ask("GET", link, range="bytes=10-")
    place.ask("OPTIONS", link)
    place.ask("PUT", link, SMALL, content_encoding="gzip")
    place.ask("POST", link, form(field("a")), content_type=FORM)
    place.ask("DELETE", link)
    place.ask("GET", link)
    assert place.notes(place.key) == [
        ("authorize", "PUT", None), ("upload", "PUT", 10), ("success", "PUT", 10),
        ("authorize", "HEAD", None),
        ("authorize", "GET", None), ("download", "GET", 10),
        ("authorize", "GET", None), ("download", "GET", 10),
        ("authorize", "GET", None),
        ("authorize", "GET", None),
        ("authorize", "PUT", None),
        ("authorize", "POST", None),
        ("authorize", "DELETE", None), ("remove", "DELETE", None), ("success", "DELETE", None),
        ("authorize", "GET", None),
    ]  # fmt: skip


# -- links for one use -----------------------------------------------------------------------------


@pytest.mark.parametrize("span", [None, "bytes=2-3", "bytes=99-"])
def test_a_link_for_one_use_downloads_the_whole_file_once(place: Place, span: str | None) -> None:
    link = place.link("d", once=True)
    # What sends nothing of the file uses nothing up.
    assert place.ask("GET", link) == said(404, MISSING)
    version = place.store(SMALL)
    assert place.ask("HEAD", link) == sent(version, once=True).to_head
    assert place.ask("GET", link, if_none_match=version.etag) == unchanged(version, once=True)
    assert place.ask("GET", link, if_match='"other"') == said(412, OTHER_VERSION)
    assert place.ask("OPTIONS", link) == done(allow="GET, HEAD, OPTIONS")
    assert place.ask("PUT", link, b"newer") == said(403, NOT_ALLOWED)
    headers = {} if span is None else {"range": span}
    assert place.ask("GET", link, None, **headers) == sent(version, once=True)
    used = said(410, USED)
    for method in METHODS:
        assert place.ask(method, link) == (used.to_head if method == "HEAD" else used), method
    assert place.ask("GET", link, if_none_match=version.etag) == used
    assert place.stored() == SMALL


def test_a_link_for_one_use_stores_once(place: Place) -> None:
    link = place.link("u", once=True, max_size=10)
    for _ in range(2):
        # What stores nothing uses nothing up.
        assert place.ask("PUT", link, SMALL + b"!") == said(413, too_large(10))
        assert place.ask("PUT", link, chunked(SMALL + b"!")) == said(413, too_large(10))
        assert place.ask("POST", link, WHOLE[:-20], content_type=FORM) == said(
            400, "The form ends before its last boundary."
        )
        assert place.ask("PUT", link, SMALL, content_encoding="gzip") == said(415, ENCODED)
        assert place.ask("PUT", link, SMALL, if_match="*") == said(412, OTHER_VERSION)
        assert place.ask("GET", link) == said(403, NOT_ALLOWED)
        assert place.stored() is None
    assert place.ask("POST", link, WHOLE, content_type=FORM).normalised == done(etag="an etag")
    assert place.ask("PUT", link, b"another") == said(410, USED)
    assert place.ask("PUT", link, chunked(b"another")) == said(410, USED)
    assert place.stored() == SMALL


def test_a_refused_upload_does_not_use_a_link_up(place: Place) -> None:
    key = place.beside("refuse-upload.bin")
    link = place.link("u", key=key, once=True)
    for _ in range(2):
        assert place.ask("PUT", link, SMALL) == refusal("upload")
    assert place.stored(key) is None


def test_a_refused_download_does_not_use_a_link_up(place: Place) -> None:
    key = place.beside("refuse-download.bin")
    place.store(SMALL, key)
    link = place.link("d", key=key, once=True)
    for _ in range(2):
        assert place.ask("GET", link) == refusal("download")


def test_an_upload_that_would_overwrite_does_not_use_a_link_up(place: Place) -> None:
    link = place.link("u", once=True, overwrite=False, max_size=10)
    place.store(b"before")
    for _ in range(2):
        assert place.ask("PUT", link, SMALL) == said(409, EXISTS)
    assert place.stored() == b"before"
    place.ask("DELETE", place.link("r"))
    assert place.ask("PUT", link, SMALL).normalised == done(201, etag="an etag")
    assert place.ask("PUT", link, SMALL) == said(410, USED)
    assert place.stored() == SMALL


def test_a_link_for_one_use_removes_once(place: Place) -> None:
    link = place.link("r", once=True)
    place.store(SMALL)
    assert place.ask("DELETE", link, if_match='"other"') == said(412, OTHER_VERSION)
    assert place.ask("DELETE", link) == done()
    place.store(b"newer")
    assert place.ask("DELETE", link) == said(410, USED)
    assert place.stored() == b"newer"


def test_a_link_for_one_use_is_for_one_use_of_all_that_it_grants(place: Place) -> None:
    link = place.link("dur", once=True)
    assert place.ask("PUT", link, SMALL).normalised == done(etag="an etag")
    assert place.ask("GET", link) == said(410, USED)
    assert place.ask("DELETE", link) == said(410, USED)
    assert place.stored() == SMALL


# -- after all of them -----------------------------------------------------------------------------


def test_the_log_tells_no_token_and_nothing_that_went_wrong(place: Place) -> None:
    # The last test of each endpoint.
    log = place.served.log.read_text(errors="replace")
    for word in ("Traceback", "token=", "eyJ", "ResourceWarning", SECRET):
        assert word not in log, log[-2000:]


# -- the same everywhere ---------------------------------------------------------------------------


def _exchanges(place: Place) -> list[tuple[str, Seen]]:
    """One of each kind, in an order in which each counts."""
    place.ask("DELETE", place.link("r"))
    everything, download = place.link(), place.link("d")
    limited = place.link("u", max_size=10, content_type="text/x", overwrite=False)
    once = place.link("d", once=True)
    html = place.link("d", output_path='файл "x".html', disposition="inline")
    url = place.served.url
    anew = form(field("a"), file(SMALL), field("b"))

    asked: list[tuple[str, str, bytes | Iterable[bytes] | None, dict[str, str]]] = [
        ("GET", url, None, {}),
        ("GET", f"{url}?token=garbage", None, {}),
        ("PATCH", everything, SMALL, {}),
        ("OPTIONS", everything, None, {}),
        ("GET", download, None, {}),
        ("HEAD", download, None, {}),
        ("PUT", download, SMALL, {}),
        ("PUT", limited, SMALL, {"content_type": "text/y"}),
        ("PUT", limited, SMALL + b"!", {"content_type": "text/x"}),
        ("PUT", limited, chunked(SMALL + b"!"), {"content_type": "text/x"}),
        ("PUT", limited, chunked(SMALL), {"content_type": "text/x"}),
        ("PUT", limited, SMALL, {"content_type": "text/x"}),
        ("GET", download, None, {}),
        ("GET", once, None, {"range": "bytes=2-3"}),
        ("GET", once, None, {}),
        ("POST", everything, LARGE, {}),
        ("GET", download, None, {}),
        ("POST", everything, WHOLE[:-20], {"content_type": FORM}),
        ("POST", everything, form(field("a")), {"content_type": FORM}),
        ("POST", everything, anew, {"content_type": FORM}),
        ("PUT", everything, b"x", {"if_none_match": "*"}),
        ("PUT", everything, b"x", {"content_encoding": "gzip"}),
        ("GET", html, None, {}),
        ("HEAD", html, None, {}),
        ("GET", download, None, {"range": "bytes=2-3"}),
        ("GET", download, None, {"range": "bytes=10-"}),
        ("GET", download, None, {"range": "bytes=0-1,3-4"}),
        ("GET", download, None, {"if_none_match": "*"}),
        ("GET", download, None, {"if_match": '"other"'}),
        ("PUT", everything, b"", {}),
        ("GET", download, None, {}),
        ("DELETE", everything, None, {}),
        ("DELETE", everything, None, {}),
        ("GET", download, None, {}),
    ]
    seen = []
    for number, (method, link, content, headers) in enumerate(asked):
        answer = place.ask(method, link, content, **headers).normalised
        seen.append((f"{number} {method} {headers}", answer))
    return seen


EXCHANGED = [
    404, 403, 405, 204, 404, 404, 403, 415, 413, 413, 201, 409, 200, 200, 410, 204, 200, 400, 400,
    204, 412, 415, 200, 200, 206, 416, 200, 304, 412, 204, 200, 204, 204, 404,
]  # fmt: skip
"""The statuses of these."""


Exchanges = Callable[[str, str], list[tuple[str, Seen]]]


@pytest.fixture(scope="module")
def exchanges(
    endpoint: Callable[[str, str], Served], http: httpx.Client, loop: asyncio.Runner
) -> Exchanges:
    """Return what a server over a kind of storage answered; asked once."""

    @functools.cache
    def get(server: str, kind: str) -> list[tuple[str, Seen]]:
        return _exchanges(Place(http, loop, endpoint(server, kind), kind, "exchanges/file.bin"))

    return get


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("server", ADAPTERS)
def test_all_adapters_give_the_same_answers(exchanges: Exchanges, server: str, kind: str) -> None:
    ours, theirs = exchanges(ADAPTERS[0], kind), exchanges(server, kind)
    assert [seen.status for _, seen in theirs] == EXCHANGED
    for one, other in zip(ours, theirs, strict=True):
        assert other == one


@pytest.mark.parametrize("server", OTHERS)
def test_other_servers_give_the_same_answers(exchanges: Exchanges, server: str) -> None:
    ours, theirs = exchanges(ADAPTERS[0], "memory"), exchanges(server, "memory")
    assert [seen.status for _, seen in theirs] == EXCHANGED
    for one, other in zip(ours, theirs, strict=True):
        assert other == one
