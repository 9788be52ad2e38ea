"""Profiles of ASGI applications: who sees them, and when they are closed."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.from_thread
import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from aiostow import InvalidTypeError, MemoryStorage, ProfileError
from aiostow.integrations.starlette import StorageMiddleware
from aiostow.operations import StorageOperations, current_profiles
from aiostow.profiles import Profiles, SyncProfiles

pytestmark = pytest.mark.anyio


class Uploads(StorageOperations):
    storage_location = "uploads"


async def put(name: str) -> None:
    await Uploads.storage_upload_file(io.BytesIO(b"data"), name, True)


async def plain(request: Request) -> Response:
    assert request.state.storage_profiles is Uploads.storage_get_profiles()
    await put("plain")
    return PlainTextResponse(Uploads.storage_get_profile().name)


def threaded(request: Request) -> Response:
    assert request.state.storage_profiles is Uploads.storage_get_profiles()
    anyio.from_thread.run(put, "threaded")
    return PlainTextResponse(Uploads.storage_get_profile().name)


async def background(request: Request) -> Response:
    return PlainTextResponse("later", background=BackgroundTask(put, "background"))


async def tasked(request: Request) -> Response:
    await asyncio.create_task(put("tasked"))
    return PlainTextResponse("done")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    assert websocket.state.storage_profiles is Uploads.storage_get_profiles()
    await put("socket")
    await websocket.close()


ROUTES = [
    Route("/plain", plain),
    Route("/threaded", threaded),
    Route("/background", background),
    Route("/tasked", tasked),
    WebSocketRoute("/socket", socket),
]


def memory(name: str = "memory") -> Profiles:
    return Profiles([(MemoryStorage, {"name": name})])


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def through(request: Request, call_next: Any) -> Any:
    return await call_next(request)


@pytest.mark.parametrize("path", ["plain", "threaded", "background", "tasked"])
@pytest.mark.parametrize("others", [[], [Middleware(BaseHTTPMiddleware, dispatch=through)]])
async def test_whatever_a_request_calls_sees_the_profiles(
    path: str, others: list[Middleware]
) -> None:
    profiles = memory()
    own = Middleware(StorageMiddleware, profiles=profiles)
    for middleware in ([own, *others], [*others, own]):
        async with client_of(Starlette(routes=ROUTES, middleware=middleware)) as client:
            assert (await client.get(f"/{path}")).status_code == 200
        assert await profiles.get().read_bytes(f"uploads/{path}") == b"data"
        await profiles.get().delete(f"uploads/{path}")


async def test_a_websocket_sees_them() -> None:
    profiles = memory()
    app = Starlette(routes=ROUTES, middleware=[Middleware(StorageMiddleware, profiles=profiles)])
    sent: list[str] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "websocket", "path": "/socket", "headers": [], "query_string": b""}
    await app(scope, receive, send)
    assert sent == ["websocket.accept", "websocket.close"]
    assert await profiles.get().read_bytes("uploads/socket") == b"data"


async def test_applications_do_not_see_each_others() -> None:
    apps = [StorageMiddleware(Starlette(routes=ROUTES), memory(name)) for name in "abc"]
    clients = [client_of(app) for app in apps]
    for _ in range(3):
        answers = await asyncio.gather(*(client.get("/plain") for client in clients))
        assert [answer.text for answer in answers] == ["a", "b", "c"]
    for client in clients:
        await client.aclose()
    with pytest.raises(ProfileError):
        Uploads.storage_get_profiles()


async def test_an_application_within_another_has_its_own() -> None:
    inner = StorageMiddleware(Starlette(routes=ROUTES), memory("inner"))
    async with client_of(StorageMiddleware(inner, memory("outer"))) as client:
        assert (await client.get("/plain")).text == "inner"


async def test_after_a_request_they_are_seen_no_more() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        assert current_profiles.get() is profiles
        raise RuntimeError("of the application")

    profiles = memory()
    with pytest.raises(RuntimeError, match="of the application"):
        await StorageMiddleware(fails, profiles)({"type": "http"}, nothing, nothing)
    assert current_profiles.get(None) is None


async def nothing(*_: Any) -> Any: ...


async def test_they_are_closed_when_the_application_has_shut_down() -> None:
    profiles = memory()
    storage = profiles.get()
    told: list[bool] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        await put("startup")
        yield
        told.append(storage.closed)
        assert (await Uploads.storage_download_file("startup")).read() == b"data"

    own = Middleware(StorageMiddleware, profiles=profiles)
    said = await live(Starlette(lifespan=lifespan, middleware=[own]), "startup", "shutdown")
    assert [each["type"] for each in said] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert told == [False]
    assert storage.closed


async def live(app: Any, *events: str) -> list[Any]:
    """Lead an application through its life, and return what it said."""
    left, said = [{"type": f"lifespan.{event}"} for event in events], []

    async def receive() -> Any:
        return left.pop(0)

    async def send(message: Any) -> None:
        said.append(message)

    await app({"type": "lifespan"}, receive, send)
    return said


async def test_closing_comes_before_the_server_is_told_and_a_failure_with_it() -> None:
    class Failing(Profiles):
        async def aclose(self) -> None:
            raise OSError("disk on fire")

    said = await live(StorageMiddleware(Starlette(), Failing()), "startup", "shutdown")
    assert said == [
        {"type": "lifespan.startup.complete"},
        {"type": "lifespan.shutdown.failed", "message": "closing the storages: disk on fire"},
    ]
    profiles = memory()
    storage = profiles.get()
    closed: list[bool] = []

    async def send(message: Any) -> None:
        closed.append(storage.closed)

    async def receive() -> Any:
        return {"type": "lifespan.shutdown" if closed else "lifespan.startup"}

    await StorageMiddleware(Starlette(), profiles)({"type": "lifespan"}, receive, send)
    assert closed == [False, True]


@pytest.mark.parametrize("at", ["startup", "shutdown"])
async def test_an_application_that_fails_at_its_beginning_or_end_leaves_nothing_open(
    at: str,
) -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        if at == "startup":
            raise RuntimeError(at)
        yield
        raise RuntimeError(at)

    profiles = memory()
    storage = profiles.get()
    with pytest.raises(RuntimeError, match=at):
        await live(StorageMiddleware(Starlette(lifespan=lifespan), profiles), "startup", "shutdown")
    assert storage.closed


async def test_an_application_that_says_nothing_at_its_end_leaves_nothing_open() -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()

    profiles = memory()
    storage = profiles.get()
    await live(StorageMiddleware(silent, profiles), "startup", "shutdown")
    assert storage.closed


async def test_an_application_that_knows_no_lifespan_is_served() -> None:
    async def simple(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await PlainTextResponse(Uploads.storage_get_profile().name)(scope, receive, send)

    app = StorageMiddleware(simple, memory())
    with pytest.raises(NotImplementedError):
        await live(app, "startup")
    async with client_of(app) as client:
        assert (await client.get("/")).text == "memory"


@pytest.mark.parametrize("wrong", [SyncProfiles([]), [], None])
def test_profiles_are_asked_for(wrong: Any) -> None:
    with pytest.raises(InvalidTypeError, match="StorageMiddleware takes Profiles"):
        StorageMiddleware(Starlette(), profiles=wrong)


async def test_fastapi_and_litestar_see_them() -> None:
    fastapi, litestar = pytest.importorskip("fastapi"), pytest.importorskip("litestar")
    in_fastapi = fastapi.FastAPI()

    def look() -> str:
        return f'"{Uploads.storage_get_profile().name}"'

    in_fastapi.add_api_route("/", look, response_class=PlainTextResponse)
    in_fastapi.add_middleware(StorageMiddleware, profiles=memory("fast"))
    handler = litestar.get("/", sync_to_thread=True)(look)
    in_litestar = StorageMiddleware(litestar.Litestar([handler]), memory("lite"))
    for app, name in ((in_fastapi, "fast"), (in_litestar, "lite")):
        async with client_of(app) as client:
            assert (await client.get("/")).text == f'"{name}"'
