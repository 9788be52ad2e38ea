"""Flask, over the sync facade: profiles, operations, and share links by blueprint or view."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar, Unpack

from .._extras import missing_extra

try:
    import flask
    from werkzeug.datastructures import Headers
except ModuleNotFoundError as _exc:
    raise missing_extra("aiostow.integrations.flask", "flask", _exc) from _exc

from .._answers import answer_to, bad_token, no_token
from .._linking import check_base_url
from ..endpoint import Answer, EndpointOptions, LinkRequest, LinkUse, token_in
from ..errors import InvalidLinkError, StorageError
from ..links import InternalLinkTokenData
from ..models import ShareLinkOperation
from ..sync import SyncStorage
from ._flask_profiles import FlaskStorage, StorageOperations
from ._steps import Body, Refusal, SyncBody, SyncEndpoint

__all__ = ["FlaskStorage", "LinkViewMixin", "StorageOperations", "link_blueprint", "url_for"]

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]


def link_blueprint(
    storages: SyncStorage | Iterable[SyncStorage],
    *,
    name: str = "links",
    url_prefix: str = "/links",
    **options: Unpack[EndpointOptions],
) -> flask.Blueprint:
    """Return a blueprint that serves share links; its endpoint is ``<name>.serve``.

    It is exempt from Flask-WTF's CSRF protection, if that was set up before it is registered.

    Args:
        storages: facades of the storages whose links are served; they stay open.
        name: of the blueprint.
        url_prefix: where it serves.
        options: see `LinkEndpoint`. Hooks run in the request, whose `flask.request` they see too.
    """
    endpoint = SyncEndpoint(storages, **options)
    blueprint = flask.Blueprint(name, __name__, url_prefix=url_prefix)

    def serve() -> flask.Response:
        return _serve(endpoint, token_in(flask.request.query_string.decode("latin-1")))

    blueprint.add_url_rule(
        "", "serve", serve, methods=METHODS, provide_automatic_options=False, strict_slashes=False
    )

    def exempt(state: Any) -> None:
        protection = state.app.extensions.get("csrf")
        if protection is not None:
            protection.exempt(blueprint)

    blueprint.record(exempt)
    return blueprint


def url_for(
    endpoint: str = "links.serve", *, base_url: str = "", **values: Any
) -> Callable[[str, str | None], str]:
    """Return a `linked_endpoint` that leads to a Flask endpoint.

    Links are made within a request or an application context. Without `base_url` they lead to
    the host that the request names, which whoever sends it may choose, or to ``SERVER_NAME``.

    Args:
        endpoint: of the blueprint or of a view with `LinkViewMixin`.
        base_url: scheme and host, as in ``https://files.example``.
        values: of the URL rule, as for `flask.url_for`.

    Raises:
        InvalidArgumentError: `base_url` is no URL.
    """
    site = check_base_url(base_url)

    def url(token: str, output_path: str | None) -> str:
        told = {"token": token, **values}
        if not site:
            return flask.url_for(endpoint, _external=True, **told)
        if flask.has_request_context():
            return site + flask.url_for(endpoint, **told)
        app = flask.current_app
        urls = app.url_map.bind("localhost", app.config["APPLICATION_ROOT"])
        return site + urls.build(endpoint, told)

    return url


def _exempt_from_csrf(view: Any) -> Any:
    try:
        protection = flask.current_app.extensions.get("csrf")
    except RuntimeError:  # made outside of an application
        return view
    return view if protection is None else protection.exempt(view)


class LinkViewMixin:
    """A view that serves the links of one storage, to be mixed with `flask.views.MethodView`.

    A subclass says which storage by `get_storage_backend`, and may answer in its own way by
    `on_upload_success` and `on_delete_success`. Flask-WTF's CSRF protection leaves the view alone
    if `as_view` is called within the application's context; elsewhere, `csrf.exempt` what it
    returns.
    """

    decorators: ClassVar[list[Callable[..., Any]]] = [_exempt_from_csrf]
    link_options: ClassVar[EndpointOptions] = EndpointOptions()
    """What is given to `LinkEndpoint`, beside the storage."""

    def get_storage_backend(self) -> SyncStorage:
        """Return the facade of the storage whose links are served."""
        raise NotImplementedError("a view of links says which storage it is for")

    def get_request_token(self) -> str | None:
        """Return the token of the request."""
        return token_in(flask.request.query_string.decode("latin-1"))

    def get_token_data(self, storage: SyncStorage) -> InternalLinkTokenData:
        """Return what the token of the request grants, or end the request with 404 or 403."""
        token = self.get_request_token()
        if not token:
            flask.abort(_response(no_token()))
        try:
            return storage.deserialize_link_token(token)
        except InvalidLinkError:
            flask.abort(_response(bad_token()))
        except StorageError as exc:  # it is closed
            flask.abort(_response(answer_to(exc, reading=True)))

    def on_upload_success(self, token_data: InternalLinkTokenData) -> Any:
        """Return the response to an upload that was stored."""
        return flask.Response("OK", status=200)

    def on_delete_success(self, token_data: InternalLinkTokenData) -> Any:
        """Return the response to a removal that was done."""
        return flask.Response("OK", status=200)

    def _serve(self) -> Any:
        storage = self.get_storage_backend()
        token_data = self.get_token_data(storage)
        succeeded: list[LinkUse] = []
        options = EndpointOptions(**self.link_options)
        told = options.get("on_success")

        def on_success(use: LinkUse) -> Awaitable[None] | None:
            succeeded.append(use)
            return None if told is None else told(use)

        options["on_success"] = on_success
        response = _serve(SyncEndpoint(storage, **options), self.get_request_token() or "")
        for use in succeeded:
            if use.operation is ShareLinkOperation.upload:
                return self.on_upload_success(token_data)
            return self.on_delete_success(token_data)
        return response

    def get(self) -> Any:
        """Serve a download."""
        return self._serve()

    def head(self) -> Any:
        """Tell of a download."""
        return self._serve()

    def put(self) -> Any:
        """Take an upload."""
        return self._serve()

    def post(self) -> Any:
        """Take an upload."""
        return self._serve()

    def delete(self) -> Any:
        """Remove the object."""
        return self._serve()

    def options(self) -> Any:
        """Tell what the link allows."""
        return self._serve()


def _serve(endpoint: SyncEndpoint, token: str) -> flask.Response:
    request: flask.Request = flask.request._get_current_object()  # type: ignore[attr-defined]  # a proxy's
    headers = {name.lower(): value for name, value in request.headers.items()}
    asked = LinkRequest(request.method, token, headers, request)
    incoming = Body(lambda size: request.stream.read(size), headers)
    return _response(*endpoint.answer(asked, incoming))


def _response(answer: Answer, body: SyncBody | Refusal | None = None) -> flask.Response:
    response = flask.Response(
        [answer.body] if body is None else body,
        answer.status,
        Headers(list(answer.headers)),
        direct_passthrough=isinstance(body, SyncBody),
    )
    if all(name != "Content-Type" for name, _ in answer.headers):
        del response.headers["Content-Type"]  # Flask has added one
    return response
