"""What is Flask's own: the ancestor's view with its hooks, the request in hooks, CSRF, URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from flask.views import MethodView
from flask_wtf import CSRFProtect

from aiostow import InternalLinkTokenData, InvalidTypeError, LocalFSStorage
from aiostow.endpoint import EndpointOptions, LinkUse
from aiostow.integrations.flask import LinkViewMixin, link_blueprint, url_for
from aiostow.linkstore import MemoryLinkStore
from aiostow.sync import SyncStorage

SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[SyncStorage]:
    root = tmp_path / "root"
    with SyncStorage(LocalFSStorage(root, url_for("links.serve"), SECRET, durable=False)) as it:
        yield it


def application(*blueprints: flask.Blueprint, protect: bool = False) -> flask.Flask:
    app = flask.Flask(__name__)
    app.config.update(SERVER_NAME="files.example", SECRET_KEY="-")
    if protect:
        CSRFProtect(app)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app


def test_links_lead_to_the_blueprint_within_and_without_a_request(storage: SyncStorage) -> None:
    app = application(link_blueprint(storage, url_prefix="/s"))
    storage.write_bytes("k", b"data")

    @app.get("/make")
    def make() -> str:
        return storage.link_to("k", "d", 600)

    client = app.test_client()
    for link in (client.get("/make").text, _made(app, storage)):
        assert re.fullmatch(r"http://files\.example/s\?token=[\w.-]+", link)
        with client.get(link) as got:
            assert (got.status_code, got.data) == (200, b"data")


def _made(app: flask.Flask, storage: SyncStorage) -> str:
    with app.app_context():
        return storage.link_to("k", "d", 600)


def test_hooks_see_the_request_and_may_use_the_storage(storage: SyncStorage) -> None:
    seen: list[Any] = []

    def on_upload(use: LinkUse) -> None:
        # In the thread of the request: neither flask's proxies nor a blocking call is a problem.
        seen.append((flask.request.headers["X-From"], type(use.request), use.size))
        storage.write_bytes("log", b"uploaded")
        if use.size == 3:
            flask.abort(418)

    app = application(link_blueprint(storage, on_upload=on_upload))
    with app.app_context():
        link = storage.link_to("k", "u", 600)
    client = app.test_client()
    assert client.put(link, data=b"data", headers={"X-From": "me"}).status_code == 204
    assert client.put(link, data=b"abc", headers={"X-From": "me"}).status_code == 418
    assert storage.read_bytes("k") == b"data"
    assert storage.read_bytes("log") == b"uploaded"
    assert seen == [("me", flask.Request, 4), ("me", flask.Request, 3)]


def test_a_link_is_its_own_permission_under_csrf_protection(storage: SyncStorage) -> None:
    app = application(link_blueprint(storage), protect=True)

    @app.post("/other")
    def other() -> str:
        return "done"

    with app.app_context():
        app.add_url_rule("/view", view_func=View.of(storage).as_view("view"))
        link = storage.link_to("k", "dur", 600)
    client = app.test_client()
    assert client.post("/other").status_code == 400
    assert client.post(link, data=b"data").status_code == 204
    assert client.post("/view?" + link.partition("?")[2], data=b"data").status_code == 200
    assert client.delete(link).status_code == 204


def test_a_facade_is_asked_for(storage: SyncStorage) -> None:
    with pytest.raises(InvalidTypeError, match="SyncStorage"):
        link_blueprint(storage.storage)  # type: ignore[arg-type]  # what is refused


class View(LinkViewMixin, MethodView):
    """A view as the ancestor's users write it."""

    storage: SyncStorage

    @classmethod
    def of(cls, storage: SyncStorage) -> type[View]:
        return type(cls.__name__, (cls,), {"storage": storage})

    def get_storage_backend(self) -> SyncStorage:
        return self.storage


def viewed(view: type[View]) -> flask.Flask:
    app = application()
    app.add_url_rule("/links", "links.serve", view_func=view.as_view("links"))
    return app


def test_the_view_of_the_ancestor_does_its_flow(storage: SyncStorage) -> None:
    app = viewed(View.of(storage))
    with app.app_context():
        link = storage.link_to("k", "dur", 600)
    client = app.test_client()
    posted = client.post(link, data=b"data")
    assert (posted.status_code, posted.data) == (200, b"OK")
    with client.get(link) as got:
        assert got.data == b"data"
    assert client.head(link).headers["Content-Length"] == "4"
    assert client.options(link).headers["Allow"] == "GET, HEAD, PUT, POST, DELETE, OPTIONS"
    assert client.put(link, data=b"other").status_code == 200
    removed = client.delete(link)
    assert (removed.status_code, removed.data) == (200, b"OK")
    assert client.get(link).status_code == 404


def test_the_view_answers_bad_requests_as_the_ancestor_did(storage: SyncStorage) -> None:
    app = viewed(View.of(storage))
    with app.app_context():
        download = storage.link_to("k", "d", 600)
    client = app.test_client()
    assert client.get("/links").status_code == 404
    assert client.get("/links?token=bad").status_code == 403
    assert client.post(download, data=b"data").status_code == 403
    assert client.delete(download).status_code == 403
    assert client.get(download).status_code == 404
    assert not storage.exists("k")


def test_the_view_hands_out_its_hooks(storage: SyncStorage) -> None:
    told: list[Any] = []

    class Own(View):
        link_options = EndpointOptions(
            store=MemoryLinkStore(), on_success=lambda use: told.append(use.method)
        )

        def get_request_token(self) -> str | None:
            return flask.request.args.get("t")

        def on_upload_success(self, token_data: InternalLinkTokenData) -> Any:
            return flask.jsonify(stored=token_data.path), 201

        def on_delete_success(self, token_data: InternalLinkTokenData) -> Any:
            return f"removed {token_data.path}"

    client = viewed(Own.of(storage)).test_client()
    token = storage.create_link_token(path="k", operation="dur", expire=600)
    made = client.put(f"/links?t={token}", data=b"data")
    assert (made.status_code, made.json) == (201, {"stored": "k"})
    assert client.delete(f"/links?t={token}").text == "removed k"
    assert told == ["PUT", "DELETE"]
    failed = client.put(f"/links?t={token}", data=b"x", headers={"Content-Range": "bytes 0-0/9"})
    assert failed.status_code == 400


def test_a_view_says_which_storage_it_is_for() -> None:
    app = application()

    class Nothing(LinkViewMixin, MethodView):
        pass

    app.add_url_rule("/n", view_func=Nothing.as_view("n"))
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(NotImplementedError, match="which storage"):
        app.test_client().get("/n?token=x")
