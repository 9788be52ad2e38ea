"""Paths that are handed over for another to send the file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aiostow import Storage
from aiostow.endpoint import LinkEndpoint, LinkRefusedError, LinkUse
from aiostow.integrations.asgi import LinkApp
from aiostow.linkstore import MemoryLinkStore

from ._bench import NEW, OLD, SECURITY, Bench, ask, open_files, token_of

pytestmark = pytest.mark.anyio

NAME = "a b/ü%.txt"


async def test_a_server_in_front_is_told_the_path(local: Storage, tmp_path: Path) -> None:
    await local.write_bytes(NAME, NEW)
    told: list[int] = []
    root = str(tmp_path / "root")
    for location in ("/private", "/private/"):
        endpoint = LinkEndpoint(
            local, trusted_tree=True, accel_redirect=location,
            on_download=lambda use: told.append(1 if use.entry is None else use.entry.size),
        )  # fmt: skip
        reply = await ask(endpoint, "GET", token_of(local, "d", NAME))
        assert (reply.status, reply.body, reply.path) == (200, b"", None)
        assert reply.headers == {
            "Content-Type": "text/plain",
            "Content-Disposition": (
                "attachment; filename=\"__.txt\"; filename*=UTF-8''%C3%BC%25.txt"
            ),
            "Cache-Control": "private, no-cache",
            **SECURITY,
            "Content-Length": "0",
            "X-Accel-Redirect": "/private/a%20b/%C3%BC%25.txt",
        }
    assert told == [len(NEW)] * 2
    endpoint = LinkEndpoint(local, trusted_tree=True, x_sendfile=True)
    headers = (await ask(endpoint, "GET", token_of(local, "d", NAME))).headers
    assert headers["X-Sendfile"] == f"{root}/a%20b/%C3%BC%25.txt"
    assert "X-Accel-Redirect" not in headers
    assert headers["Content-Length"] == "0"
    assert not {"ETag", "Last-Modified", "Accept-Ranges"} & set(headers)


async def test_a_view_hands_over_the_path_of_its_own_object(local: Storage) -> None:
    await local.write_bytes("p/x", NEW)
    view = local.at("p")
    endpoint = LinkEndpoint(view, trusted_tree=True, accel_redirect="/private")
    headers = (await ask(endpoint, "GET", token_of(view, "d", "x"))).headers
    assert headers["X-Accel-Redirect"] == "/private/p/x"


IN_FRONT: list[dict[str, Any]] = [{"accel_redirect": "/p"}, {"x_sendfile": True}]


@pytest.mark.parametrize("options", IN_FRONT)
async def test_before_a_path_is_handed_over_everything_is_checked(
    local: Storage, options: dict[str, Any]
) -> None:
    token = token_of(local, "d", "k")
    assert (
        await ask(LinkEndpoint(local, trusted_tree=True, **options), "GET", token)
    ).status == 404
    await local.write_bytes("k", NEW)
    for hook in ("authorize", "on_download"):

        def refuse(use: LinkUse) -> None:
            raise LinkRefusedError

        hooks: dict[str, Any] = {hook: refuse}
        endpoint = LinkEndpoint(local, trusted_tree=True, **hooks, **options)
        reply = await ask(endpoint, "GET", token)
        assert reply.status == 403
        assert not {"X-Accel-Redirect", "X-Sendfile"} & set(reply.headers)


@pytest.mark.parametrize("options", [*IN_FRONT, {}])
async def test_the_path_of_a_link_for_one_use_is_handed_to_nobody(
    local: Storage, options: dict[str, Any]
) -> None:
    # A server in front would serve ranges, which are no use by themselves.
    await local.write_bytes("k", NEW)
    endpoint = LinkEndpoint(local, store=MemoryLinkStore(), trusted_tree=True, **options)
    token = token_of(local, "d", "k", once=True)
    reply = await ask(endpoint, "GET", token, sends_paths=True)
    assert (reply.status, reply.body, reply.path) == (200, NEW, None)
    assert not {"X-Accel-Redirect", "X-Sendfile"} & set(reply.headers)
    assert (await ask(endpoint, "GET", token)).status == 410


@pytest.mark.parametrize("options", IN_FRONT)
@pytest.mark.parametrize("name", ["if-none-match", "if-match", "range", "if-modified-since"])
async def test_conditions_are_left_to_who_sends_the_file(
    local: Storage, options: dict[str, Any], name: str
) -> None:
    # It tells versions of its own, so ours are not asked for.
    await local.write_bytes("k", NEW)
    told: list[str] = []
    endpoint = LinkEndpoint(
        local, trusted_tree=True, on_download=lambda use: told.append(use.method), **options
    )
    token = token_of(local, "d", "k")
    values = {"if-none-match": "*", "if-match": '"x"', "range": "bytes=0-1"}
    for method in ("GET", "HEAD"):
        headers = {name: values.get(name, "Fri, 31 Dec 9999 23:59:59 GMT")}
        reply = await ask(endpoint, method, token, headers=headers)
        assert reply.status == 200
        assert {"X-Accel-Redirect", "X-Sendfile"} & set(reply.headers)
        assert not {"ETag", "Last-Modified", "Accept-Ranges"} & set(reply.headers)
    assert told == ["GET"]


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("extension", [False, True])
@pytest.mark.parametrize("ranged", [False, True])
async def test_a_path_is_sent_where_trusted_and_understood_and_wanted_whole(
    local: Storage, tmp_path: Path, trusted: bool, extension: bool, ranged: bool
) -> None:
    await local.write_bytes("k", NEW)
    app = LinkApp(local, trusted_tree=trusted)
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http", "method": "GET",
        "query_string": f"token={token_of(local, 'd', 'k')}".encode(),
        "headers": [(b"range", b"bytes=0-3")] if ranged else [],
        "extensions": {"http.response.pathsend": {}} if extension else {},
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    assert sent[0]["status"] == (206 if ranged else 200)
    if trusted and extension and not ranged:
        path = str(tmp_path / "root" / "k")
        assert sent[1:] == [{"type": "http.response.pathsend", "path": path}]
        assert headers["content-length"] == str(len(NEW))
        assert headers["accept-ranges"] == "bytes"
    else:
        body = NEW[:4] if ranged else NEW
        assert b"".join(message["body"] for message in sent[1:]) == body
        assert {message["type"] for message in sent[1:]} == {"http.response.body"}
        assert headers["content-length"] == str(len(body))
    assert {name.lower(): value for name, value in SECURITY.items()}.items() <= headers.items()
    assert open_files(local) == []


async def test_objects_without_a_path_are_sent_from_here(bench: Bench) -> None:
    await bench.put()
    for options in ({"accel_redirect": "/p"}, {"x_sendfile": True}, {}):
        endpoint = bench.endpoint(trusted_tree=True, **options)
        reply = await ask(endpoint, "GET", bench.token(), sends_paths=True)
        assert (reply.status, reply.body, reply.path) == (200, OLD, None)
