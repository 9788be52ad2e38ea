"""Django: profiles, operations, and views of share links, each of which is its own permission."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Self, Unpack

from .._extras import missing_extra

try:
    from django.core.exceptions import ImproperlyConfigured
    from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
    from django.urls import reverse
    from django.views.decorators.csrf import csrf_exempt
except ModuleNotFoundError as _exc:
    raise missing_extra("aiostow.integrations.django", "django", _exc) from _exc

from .._linking import check_base_url
from ..endpoint import Answer, Download, EndpointOptions, LinkEndpoint, LinkRequest, token_in
from ..storage import Storage
from ..sync import SyncStorage
from ._django_profiles import (
    AsyncStorageOperations,
    StorageOperations,
    async_storage_profiles,
    storage_profiles,
)
from ._steps import Body, ClientGoneError, SyncEndpoint, carry_out

__all__ = [
    "AsyncStorageOperations",
    "StorageOperations",
    "async_link_view",
    "async_storage_profiles",
    "link_view",
    "storage_profiles",
    "url_for",
]


def link_view(
    storages: SyncStorage | Iterable[SyncStorage], **options: Unpack[EndpointOptions]
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Return a view that serves share links, for Django under WSGI.

    Args:
        storages: facades of the storages whose links are served; they stay open.
        options: see `LinkEndpoint`. Hooks run in the thread of the request.
    """
    endpoint = SyncEndpoint(storages, **options)

    @csrf_exempt
    def serve(request: HttpRequest) -> HttpResponseBase:
        asked = _request(request)
        return _response(*endpoint.answer(asked, Body(_reading(request), asked.headers)))

    return serve


def async_link_view(
    storages: Storage | Iterable[Storage], **options: Unpack[EndpointOptions]
) -> Callable[[HttpRequest], Coroutine[Any, Any, HttpResponseBase]]:
    """Return an async view that serves share links, for Django under ASGI.

    Django keeps the body of a request in a temporary file before any view sees it; where uploads
    are large, let `LinkApp` take their path ahead of Django instead.

    Args:
        storages: whose links are served; they stay open.
        options: see `LinkEndpoint`. Hooks that are no coroutine functions must not block.
    """
    endpoint = LinkEndpoint(storages, **options)

    @csrf_exempt
    async def serve(request: HttpRequest) -> HttpResponseBase:
        if not hasattr(request, "scope"):
            raise ImproperlyConfigured(
                "async_link_view is for Django under ASGI: under WSGI, where each request has an "
                "event loop of its own, use link_view(SyncStorage(...))"
            )
        asked = _request(request)
        body = Body(_reading(request), asked.headers)

        async def receive() -> bytes:
            return body.receive()  # all of it is here already

        try:
            answer = await carry_out(endpoint.serve(asked), receive)
        except ClientGoneError as exc:
            answer = exc.answer
        download = answer.download
        return _response(answer, None if download is None else _Chunks(download))

    return serve


def url_for(
    viewname: str, *, base_url: str = "", **kwargs: Any
) -> Callable[[str, str | None], str]:
    """Return a `linked_endpoint` that leads to a view.

    Args:
        viewname: as for `django.urls.reverse`.
        base_url: scheme and host, as in ``https://files.example``; without one, links lead within
            the site that shows them.
        kwargs: of the URL pattern.

    Raises:
        InvalidArgumentError: `base_url` is no URL.
    """
    site = check_base_url(base_url)

    def url(token: str, output_path: str | None) -> str:
        return f"{site}{reverse(viewname, kwargs=kwargs)}?token={token}"

    return url


def _request(request: HttpRequest) -> LinkRequest:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return LinkRequest(
        request.method or "", token_in(request.META.get("QUERY_STRING", "")), headers, request
    )


def _reading(request: HttpRequest) -> Callable[[int], bytes]:
    meta = request.META
    if meta.get("wsgi.input_terminated") and not meta.get("CONTENT_LENGTH"):
        # Django takes a body without a length for none; the server knows where it ends.
        return meta["wsgi.input"].read  # type: ignore[no-any-return]  # as WSGI says
    return request.read


def _response(answer: Answer, body: Any) -> HttpResponseBase:
    headers = dict(answer.headers)
    response: HttpResponseBase
    if body is None:
        response = HttpResponse(answer.body, status=answer.status, headers=headers)
    else:
        response = StreamingHttpResponse(body, status=answer.status, headers=headers)
    if "Content-Type" not in headers:
        del response["Content-Type"]  # Django has added one
    return response


class _Chunks:
    """The bytes of an answer, as Django iterates them and, from another thread, closes them."""

    def __init__(self, download: Download) -> None:
        self._download = download
        self._loop = asyncio.get_running_loop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data = await self._download.read()
        if not data:
            raise StopAsyncIteration
        return data

    def close(self) -> None:
        """Give back what is held; idempotent."""
        asyncio.run_coroutine_threadsafe(self._download.aclose(), self._loop)
