"""An endpoint without a network, where everything that happens is noted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import aiostow.errors
from aiostow import Storage, StorageError
from aiostow.backends.memory import MemoryDriver
from aiostow.endpoint import Answer, LinkEndpoint, LinkRequest, LinkUse
from aiostow.integrations._steps import carry_out
from aiostow.linkstore import LinkState, MemoryLinkStore
from aiostow.testing import Fault, FaultyDriver, pattern

SECRET = "0123456789abcdef0123456789abcdef"
KEY = "dir/the-key.txt"
OLD, NEW = b"what is there", b"what is sent"
LARGE = pattern(9 << 20, 5)  # several pieces of a memory or a disk

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class Clock:
    """A time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class NotedStore:
    """A store that notes what it is asked, and fails where a test says so."""

    def __init__(self, log: list[str], clock: Callable[[], float] = time.time) -> None:
        self.inner = MemoryLinkStore(clock)
        self.log = log
        self.failing: set[str] = set()

    def _note(self, name: str, method: str | None = None) -> None:
        self.log.append(name)
        if (method or name) in self.failing:
            raise OSError("the store's own secret message")

    async def state(self, token_id: str) -> LinkState:
        self._note("state")
        return await self.inner.state(token_id)

    async def take(self, token_id: str, holder: str, *, until: float, expires: float) -> bool:
        self._note("use up" if until == float("inf") else "hold")
        return await self.inner.take(token_id, holder, until=until, expires=expires)

    async def release(self, token_id: str, holder: str) -> None:
        self._note("release")
        await self.inner.release(token_id, holder)

    async def revoke(self, token_id: str, *, expires: float) -> None:
        self._note("revoke")
        await self.inner.revoke(token_id, expires=expires)

    async def aclose(self) -> None:
        await self.inner.aclose()


class NotedDriver(FaultyDriver):
    """A driver that notes its calls among those of hooks and store."""

    def __init__(self, log: list[str], *faults: Fault) -> None:
        super().__init__(MemoryDriver(), *faults)
        self.log = log

    def due(self, name: str, key: str | None, *detail: Any) -> Fault | None:
        if name != "connect":
            self.log.append(name)
        return super().due(name, key, *detail)


@dataclass
class Reply:
    """An answer whose bytes were read."""

    status: int
    headers: dict[str, str]
    body: bytes
    path: str | None = None


@dataclass
class Bench:
    """An endpoint over a memory, where everything that happens is noted."""

    faults: tuple[Fault, ...] = ()
    clock: Clock = field(default_factory=Clock)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.driver = NotedDriver(self.log, *self.faults)
        self.storage = Storage(self.driver, name="bench", secret_key=SECRET)
        self.store = NotedStore(self.log, self.clock)

    def hook(self, name: str, raises: BaseException | None = None) -> Callable[[LinkUse], None]:
        def called(use: LinkUse) -> None:
            self.log.append(name)
            if raises is not None:
                raise raises

        return called

    def endpoint(self, **options: Any) -> LinkEndpoint:
        names = ("authorize", "on_download", "on_upload", "on_remove", "on_success")
        hooks = {name: self.hook(name) for name in names}
        return LinkEndpoint(
            self.storage, **{"store": self.store, "clock": self.clock, **hooks, **options}
        )

    def token(self, operation: str = "dur", path: str = KEY, **options: Any) -> str:
        return token_of(self.storage, operation, path, **options)

    async def state(self, token: str) -> LinkState:
        return await self.store.inner.state(self.storage.deserialize_link_token(token).token_id)

    def written(self) -> dict[str, bytes]:
        """What is there, seen past everything."""
        inner = self.driver.inner
        assert isinstance(inner, MemoryDriver)
        return {key: found.data for key, found in inner._objects.items()}

    async def put(self, data: bytes = OLD, path: str = KEY) -> None:
        await self.storage.write_bytes(path, data)
        self.log.clear()


def token_of(storage: Storage, operation: str, path: str = KEY, **options: Any) -> str:
    return storage.create_link_token(
        path=path, operation=operation, expire=options.pop("expire", 86400.0), **options
    )


def receiving(chunks: Iterable[bytes]) -> Callable[[], Awaitable[bytes]]:
    """Return what gives some bytes after the other, each after a turn of the event loop."""
    left = iter(chunks)

    async def receive() -> bytes:
        await asyncio.sleep(0)
        return next(left, b"")

    return receive


async def begin(
    endpoint: LinkEndpoint,
    method: str,
    token: str,
    *chunks: bytes,
    headers: dict[str, str] | None = None,
    receive: Callable[[], Awaitable[bytes]] | None = None,
    **options: Any,
) -> Answer:
    request = LinkRequest(method, token, headers or {}, **options)
    return await carry_out(endpoint.serve(request), receive or receiving(chunks))


async def ask(
    endpoint: LinkEndpoint, method: str, token: str, *chunks: bytes, **more: Any
) -> Reply:
    answer = await begin(endpoint, method, token, *chunks, **more)
    body, path = answer.body, None
    if (download := answer.download) is not None:
        path = download.path
        while path is None and (data := await download.read()):
            body += data
        await download.aclose()
    headers = dict(answer.headers)
    assert len(headers) == len(answer.headers), "a header is told twice"
    return Reply(answer.status, headers, body, path)


def open_files(storage: Storage) -> list[object]:
    return [file for file in storage._shared.files if not file.closed]


def failure(name: str) -> Exception:
    found: type[StorageError] = getattr(aiostow.errors, name)
    return found("canary /srv/secret", key=KEY, operation="open_read", storage="bench")
