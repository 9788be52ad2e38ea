"""One key on an endpoint: links to it, requests by them, and what is stored there."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from typing import Any

import httpx

from aiostow.links import KeyRing, LinkSigner, audience

from ._answers import MISSING, Seen, Version, done, said
from ._app import SECRET
from ._serving import Served

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS")
PAST, FUTURE = (formatdate(time.time() + away, usegmt=True) for away in (-1e6, 1e6))

_OF_SERVERS = {"date", "server", "connection", "keep-alive", "transfer-encoding", "via"}


@dataclass
class Place:
    """A key of a test's own on an endpoint, a client, and a loop to make links on."""

    http: httpx.Client
    loop: asyncio.Runner
    served: Served
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
        told = {name: value for name, value in pairs if name not in _OF_SERVERS}
        assert len(told) == sum(name not in _OF_SERVERS for name, _ in pairs), "a header is doubled"
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
