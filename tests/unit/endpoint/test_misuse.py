"""What users get wrong with the endpoint is told to them, and fails on the safe side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import flask
import pytest
from starlette.applications import Starlette

from aiostow import InvalidArgumentError, InvalidTypeError, LocalFSStorage, MemoryStorage
from aiostow.endpoint import LinkEndpoint, LinkRefusedError, LinkRequest, LinkUse
from aiostow.integrations import django as django_views
from aiostow.integrations import flask as flask_views
from aiostow.integrations import starlette as starlette_app
from aiostow.integrations._steps import carry_out
from aiostow.integrations.asgi import LinkApp
from aiostow.linkstore import LinkState, MemoryLinkStore, SQLiteLinkStore
from aiostow.sync import SyncStorage

pytestmark = pytest.mark.anyio

SECRET = "a secret of at least thirty-two bytes"


def storage_of(**own: Any) -> MemoryStorage:
    return MemoryStorage(**{"linked_endpoint": "/share/", "secret_key": SECRET, **own})


async def answered(endpoint: LinkEndpoint, method: str, token: str, *body: bytes) -> int:
    chunks = list(body)

    async def receive() -> bytes:
        return chunks.pop(0) if chunks else b""

    answer = await carry_out(endpoint.serve(LinkRequest(method, token, {})), receive)
    return answer.status


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"authorize": True}, "authorize must be a function, not bool"),
        ({"on_upload": lambda: None}, "on_upload must take one argument"),
        ({"on_remove": lambda use, more: None}, "on_remove must take one argument"),
        ({"store": "links.db"}, "store must be a LinkStore .* not str"),
        ({"store": MemoryLinkStore}, "store must be a LinkStore .* not MemoryLinkStore"),
        ({"inline_types": "text/html"}, "inline_types are several"),
    ],
)
async def test_options_of_the_wrong_type_are_told_at_once(
    options: dict[str, Any], message: str
) -> None:
    async with storage_of() as storage:
        with pytest.raises(InvalidTypeError, match=message):
            LinkApp(storage, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accel_redirect": "/protected/"}, "trusted_tree"),
        ({"x_sendfile": True}, "trusted_tree"),
        ({"accel_redirect": "protected", "trusted_tree": True}, "internal location"),
        (
            {"accel_redirect": "/p", "x_sendfile": True, "trusted_tree": True},
            "excludes x_sendfile",
        ),
    ],
)
async def test_handing_over_must_make_sense(options: dict[str, Any], message: str) -> None:
    async with storage_of() as storage:
        with pytest.raises(InvalidArgumentError, match=message):
            LinkApp(storage, **options)


async def test_what_is_no_storage_is_named() -> None:
    async with storage_of() as storage:
        given: list[tuple[Any, str]] = [
            (SyncStorage(storage), "no SyncStorage"),
            (LocalFSStorage, "no LocalFSStorage"),
            ("./data", "no str"),
            ([storage, None], "no NoneType"),
        ]
        for what, message in given:
            with pytest.raises(InvalidTypeError, match=message):
                LinkApp(what)
        with pytest.raises(InvalidTypeError, match="SyncStorage"):
            flask_views.link_blueprint(storage)  # type: ignore[arg-type]  # what is refused
    async with MemoryStorage() as without:
        with pytest.raises(InvalidArgumentError, match="has no secret_key"):
            LinkApp(without)
    with pytest.raises(InvalidArgumentError, match="at least one"):
        LinkApp([])


@pytest.mark.parametrize("returned", [False, True, "no", 403])
@pytest.mark.parametrize("hook", ["authorize", "on_download", "on_upload", "on_remove"])
async def test_a_hook_that_returns_something_refuses_loudly(hook: str, returned: object) -> None:
    methods = {"authorize": "PUT", "on_download": "GET", "on_upload": "PUT", "on_remove": "DELETE"}
    async with storage_of() as storage:
        await storage.write_bytes("k", b"old")
        hooks: dict[str, Any] = {hook: lambda use: returned}
        endpoint = LinkEndpoint(storage, **hooks)
        token = storage.create_link_token(path="k", operation="dur", expire=60)
        with pytest.raises(InvalidTypeError, match="raising LinkRefusedError"):
            await answered(endpoint, methods[hook], token, b"new")
        assert await storage.read_bytes("k") == b"old"


async def test_after_success_nothing_can_be_refused(caplog: pytest.LogCaptureFixture) -> None:
    def on_success(use: LinkUse) -> None:
        raise LinkRefusedError("too late", 402)

    async with storage_of() as storage:
        endpoint = LinkEndpoint(storage, on_success=on_success)
        token = storage.create_link_token(path="k", operation="u", expire=60)
        assert await answered(endpoint, "PUT", token, b"new") == 204
        assert await storage.read_bytes("k") == b"new"
    assert "on_success refuses what is done already" in caplog.text


@pytest.mark.parametrize(
    "revoke",
    [
        lambda link: str(link),
        lambda link: link.partition("token=")[2],
        lambda link: "",
        lambda link: None,
    ],
    ids=["link", "token", "nothing", "none"],
)
async def test_revoking_what_is_no_id_is_an_error(
    revoke: Callable[[Any], Any], tmp_path: Any
) -> None:
    async with storage_of() as storage, SQLiteLinkStore(tmp_path / "links.db") as file:
        link = await storage.link_to("k", "d", timedelta(hours=1))
        for store in (MemoryLinkStore(), file):
            with pytest.raises(InvalidArgumentError, match="id of no token"):
                await store.revoke(revoke(link), expires=link.expires)
            await store.revoke(link.token_id, expires=link.expires)
            assert await store.state(link.token_id) is LinkState.revoked


async def test_why_a_link_was_refused_is_logged_without_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "aiostow.endpoint")
    store = MemoryLinkStore()
    async with storage_of() as storage, storage_of(name="other") as other:
        endpoint = LinkEndpoint(storage, store=store)
        foreign = other.create_link_token(path="k", operation="d", expire=60)
        link = await storage.link_to("k", "d", 60)
        await store.revoke(link.token_id, expires=link.expires)
        ended = storage.create_link_token(path="k", operation="d", expire=1)
        await asyncio.sleep(1.1)
        revoked = link.partition("token=")[2]
        for token in (foreign, revoked, ended):
            assert await answered(endpoint, "GET", token) == 403
            assert token not in caplog.text
            assert token[-40:] not in caplog.text
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert "another secret or for another storage" in said[0]
    assert said[1] == f"link {link.token_id} was refused: it is revoked"
    assert "expired" in said[2]


@pytest.mark.parametrize("base_url", ["files.example", "ftp://files.example", "//files.example"])
@pytest.mark.parametrize(
    "make",
    [
        lambda base_url: starlette_app.url_for(Starlette(), "links", base_url=base_url),
        lambda base_url: flask_views.url_for("links.serve", base_url=base_url),
        lambda base_url: django_views.url_for("links", base_url=base_url),
    ],
    ids=["starlette", "flask", "django"],
)
def test_a_base_url_has_a_scheme(make: Callable[[str], object], base_url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is no base URL"):
        make(base_url)


def test_with_a_base_url_nobody_else_chooses_the_host_of_a_link(tmp_path: Any) -> None:
    where = flask_views.url_for("links.serve", base_url="https://files.example/")
    with SyncStorage(LocalFSStorage(tmp_path / "root", where, SECRET, durable=False)) as storage:
        app = flask.Flask(__name__)
        app.register_blueprint(flask_views.link_blueprint(storage, url_prefix="/s"))
        with app.app_context():
            outside = storage.link_to("k", "d", 60)
        with app.test_request_context("/", headers={"Host": "evil.example"}):
            inside = storage.link_to("k", "d", 60)
        for link in (outside, inside):
            assert link.startswith("https://files.example/s?token=")
