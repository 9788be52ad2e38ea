"""The endpoint that serves share links: what is answered to a request, without a network.

`LinkEndpoint.serve` is a generator: it yields what is to be done next and is sent what came of it.
So the same decisions, in the same order, serve async and sync frameworks; an integration carries
out the steps in its own way, see `integrations/`.
"""

from __future__ import annotations

import functools
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypedDict, TypeVar
from urllib.parse import quote

from ._answers import (
    Answer,
    Download,
    Header,
    RefusedError,
    answer_to,
    bad_token,
    broken,
    content_headers,
    done,
    length_headers,
    no_token,
    refused,
    unchanged_headers,
    version_headers,
)
from ._conditions import (
    UnsatisfiableError,
    Validators,
    asks_about_what_is_there,
    failed_condition,
    wanted_range,
)
from ._disposition import SHOWABLE
from ._download_body import PathDownload, open_download
from ._linking import audience_of, file_of, honours_links
from ._upload_body import UploadBody
from .errors import (
    AmbiguousWriteError,
    ConnectionLostError,
    FileExistsInStorageError,
    FileNotFoundInStorageError,
    InvalidArgumentError,
    InvalidLinkError,
    InvalidTypeError,
    StorageError,
    UnreachableError,
)
from .files import Opening, Writer
from .links import InternalLinkTokenData, claimed_audience
from .linkstore import LinkState, LinkStore
from .models import ByteRange, ListEntry, ShareLinkOperation
from .storage import Storage

__all__ = [
    "Answer",
    "Download",
    "EndpointOptions",
    "Hook",
    "LinkEndpoint",
    "LinkRefusedError",
    "LinkRequest",
    "LinkUse",
    "token_in",
]

T = TypeVar("T")

_log = logging.getLogger(__name__)

_LEASE = 120.0  # seconds that a link is held for an upload of which nothing comes

_OPERATIONS = {
    "GET": ShareLinkOperation.download,
    "HEAD": ShareLinkOperation.download,
    "PUT": ShareLinkOperation.upload,
    "POST": ShareLinkOperation.upload,
    "DELETE": ShareLinkOperation.remove,
}


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """What the endpoint needs to know of a request.

    Attributes:
        method: of HTTP.
        token: of the link, as it came; empty where there is none.
        headers: by lower-case names.
        request: the framework's own object, for the hooks.
        sends_paths: whether the server sends a file that is named to it.
    """

    method: str
    token: str = field(repr=False)
    headers: Mapping[str, str]
    request: Any = None
    sends_paths: bool = False


def token_in(query: str) -> str:
    """Return the token of a query string, empty where there is none.

    Tokens need no decoding: what is written otherwise is none of ours.
    """
    found = [part[6:] for part in query.split("&") if part.startswith("token=")]
    return "&".join(found)  # of several, something that is no token


@dataclass(slots=True)
class LinkUse:
    """One use of a link, as hooks see it.

    Attributes:
        storage: that the link is of.
        grant: what it grants.
        operation: the one that is asked for.
        method: of HTTP.
        request: the framework's own object.
        entry: the object, once it is known: of downloads, and of uploads when they are done.
        size: of an upload in bytes, once all of it came.
    """

    storage: Storage
    grant: InternalLinkTokenData
    operation: ShareLinkOperation
    method: str
    request: Any
    entry: ListEntry | None = None
    size: int | None = None


class LinkRefusedError(Exception):
    """Raised by a hook to refuse the use of a link.

    Args:
        message: is told to whoever uses the link.
        status: of HTTP, 400 to 599.
    """

    def __init__(self, message: str = "This use is refused.", *, status: int = 403) -> None:
        super().__init__(message)
        if not 400 <= status <= 599:
            raise InvalidArgumentError(f"a refusal has a status of 400 to 599, not {status}")
        self.message = message
        self.status = status


Hook: TypeAlias = Callable[[LinkUse], Awaitable[object] | object]
"""Is told of a use; may be async. It refuses by raising `LinkRefusedError`."""


@dataclass(frozen=True, slots=True)
class Await:
    """A step: await what `call` returns, where the storage is used."""

    storage: Storage
    call: Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Tell:
    """A step: call a hook, where the framework runs its own code."""

    storage: Storage
    hook: Hook
    use: LinkUse


class Receive:
    """A step: send back the next bytes of the request's body, none at its end."""


_RECEIVE = Receive()

Step: TypeAlias = Await | Tell | Receive
Steps: TypeAlias = Generator[Step, Any, T]
"""Steps to be carried out. What one returns is sent back, what it raises is thrown in."""


class EndpointOptions(TypedDict, total=False):
    """What a `LinkEndpoint` is given beside its storages."""

    authorize: Hook | None
    on_download: Hook | None
    on_upload: Hook | None
    on_remove: Hook | None
    on_success: Hook | None
    store: LinkStore | None
    inline_types: Iterable[str]
    trusted_tree: bool
    accel_redirect: str | None
    x_sendfile: bool
    clock: Callable[[], float]


class LinkEndpoint:
    """Decides what becomes of requests with the token of a link.

    Only what the token grants is done, and nothing that the rest of a request says widens it. What
    is uploaded is stored whole or not at all. No answer tells a key, a path or an error's text.

    Args:
        storages: whose links are served: one, or several, each with a `secret_key`.
        authorize: is called first, for every use.
        on_download: is called before the first byte of a GET.
        on_upload: is called when all bytes came, before they become visible.
        on_remove: is called before the object is deleted.
        on_success: is called after an upload or deletion was done; it refuses nothing any more.
        store: remembers links that were used once or revoked. Without one, links for one use are
            answered with 503.
        inline_types: content types that may be shown by a browser, where a link says so.
        trusted_tree: lets the server open files of a local disk by their paths, outside of the
            confinement to the root; for trees in which nobody else can make links.
        accel_redirect: the internal location of nginx that stands for the root of the storage;
            downloads become an ``X-Accel-Redirect`` to it. nginx itself must then add the
            security headers.
        x_sendfile: downloads become an ``X-Sendfile`` with the path of the file.
        clock: returns the seconds since the epoch.

    Raises:
        InvalidArgumentError: there is no storage, one has no `secret_key`, or paths are to be
            handed over without `trusted_tree`.
        InvalidTypeError: it is no storage.
    """

    def __init__(
        self,
        storages: Storage | Iterable[Storage],
        *,
        authorize: Hook | None = None,
        on_download: Hook | None = None,
        on_upload: Hook | None = None,
        on_remove: Hook | None = None,
        on_success: Hook | None = None,
        store: LinkStore | None = None,
        inline_types: Iterable[str] = SHOWABLE,
        trusted_tree: bool = False,
        accel_redirect: str | None = None,
        x_sendfile: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.storages: tuple[Storage, ...] = _checked_storages(storages)
        self._authorize = authorize
        self._on_download = on_download
        self._on_upload = on_upload
        self._on_remove = on_remove
        self._on_success = on_success
        self._store = store
        self._inline_types = frozenset(inline_types)
        if (accel_redirect is not None or x_sendfile) and not trusted_tree:
            raise InvalidArgumentError(
                "accel_redirect and x_sendfile hand paths to the server, which opens them outside "
                "of the confinement to the root: say trusted_tree=True if that is safe"
            )
        self._trusted_tree = trusted_tree
        self._accel_redirect = accel_redirect
        self._x_sendfile = x_sendfile
        self._clock = clock

    def serve(self, request: LinkRequest) -> Steps[Answer]:
        """Return the steps that lead to the answer to a request.

        What a hook raises, other than `LinkRefusedError`, and what ends the receiving of the body
        passes through, after everything that was begun is undone.
        """
        try:
            answer = yield from self._serve(request)
        except RefusedError as exc:
            answer = exc.answer
        return replace(answer, body=b"") if request.method == "HEAD" else answer

    def _serve(self, request: LinkRequest) -> Steps[Answer]:
        if not request.token:
            return no_token()
        found = self._judge(request.token)
        if found is None:
            return bad_token()
        storage, grant = found
        state = yield from self._state(storage, grant)
        if state is LinkState.revoked:
            return bad_token()
        if state is LinkState.used:
            raise _used_up()
        allowed = ", ".join([m for m, op in _OPERATIONS.items() if op in grant.operations])
        allow = ("Allow", f"{allowed}, OPTIONS")
        if request.method == "OPTIONS":
            return done(204, allow)
        operation = _OPERATIONS.get(request.method)
        if operation is None:
            raise refused(405, "This link is not used that way.", allow)
        if operation not in grant.operations:
            raise refused(403, "This link does not allow that.")
        use = LinkUse(storage, grant, operation, request.method, request.request)
        yield from _tell(self._authorize, use)
        if operation is ShareLinkOperation.download:
            return (yield from self._download(use, request))
        if operation is ShareLinkOperation.upload:
            return (yield from self._upload(use, request.headers))
        return (yield from self._remove(use, request.headers))

    def _judge(self, token: str) -> tuple[Storage, InternalLinkTokenData] | None:
        """Return what a token grants and of which storage, or None for a bad one."""
        candidates = self.storages
        if len(candidates) > 1:
            claimed = claimed_audience(token)
            candidates = tuple(each for each in candidates if audience_of(each) == claimed)
        for storage in candidates:
            try:
                return storage, storage.deserialize_link_token(token)
            except InvalidLinkError:
                continue  # perhaps of another view of the same storage
            except StorageError as exc:  # it is closed
                _log.error("a link could not be judged: %s", type(exc).__name__)
                raise RefusedError(answer_to(exc, reading=True)) from exc
        return None

    # -- download ---------------------------------------------------------------------------------

    def _download(self, use: LinkUse, request: LinkRequest) -> Steps[Answer]:
        storage, grant, headers = use.storage, use.grant, request.headers
        file = self._file_to_send(use, request)
        if use.method == "HEAD" or file is not None or _is_conditional(headers):
            entry = yield from _await(use, lambda: storage.stat(grant.path))
            found = Validators.of(entry)
            failed = failed_condition(headers, found, reading=True)
            if failed == 412:
                raise _other_version()
            if failed == 304:
                return Answer(304, unchanged_headers(grant, found))
            if use.method == "HEAD":
                return self._sent(grant, entry, None, None)
            if file is not None:
                use.entry = entry
                yield from _tell(self._on_download, use)
                if grant.once:
                    yield from self._use_up(use)
                return self._handed_over(grant, entry, *file)

        def span_of(entry: ListEntry) -> ByteRange | None:
            if grant.once:
                return None
            return wanted_range(headers, Validators.of(entry), entry.size, self._clock())

        try:
            download = yield from _await(use, lambda: open_download(storage, grant.path, span_of))
        except UnsatisfiableError as exc:
            told = ("Content-Range", f"bytes */{exc.size}")
            raise refused(416, "There is nothing of that range.", told) from None
        try:
            use.entry = download.entry
            yield from _tell(self._on_download, use)
            if grant.once:
                yield from self._use_up(use)
        except GeneratorExit:
            raise
        except BaseException:
            yield Await(storage, download.aclose)
            raise
        return self._sent(grant, download.entry, download.span, download)

    def _sent(
        self,
        grant: InternalLinkTokenData,
        entry: ListEntry,
        span: ByteRange | None,
        download: Download | None,
    ) -> Answer:
        headers: list[Header] = [
            *content_headers(grant, entry, self._inline_types),
            *length_headers(entry.size, span),
            *version_headers(grant, Validators.of(entry)),
        ]
        if not grant.once:
            headers.append(("Accept-Ranges", "bytes"))
        return Answer(200 if span is None else 206, headers, b"", download)

    def _file_to_send(self, use: LinkUse, request: LinkRequest) -> tuple[str, str] | None:
        """Return path and key of what the server itself may send, and can."""
        if not self._trusted_tree:
            return None
        in_front = self._accel_redirect is not None or self._x_sendfile
        if not in_front and (not request.sends_paths or "range" in request.headers):
            return None
        return file_of(use.storage, use.grant.path)

    def _handed_over(
        self, grant: InternalLinkTokenData, entry: ListEntry, path: str, key: str
    ) -> Answer:
        if self._accel_redirect is not None:
            handed = ("X-Accel-Redirect", f"{self._accel_redirect.rstrip('/')}/{quote(key)}")
        elif self._x_sendfile:
            handed = ("X-Sendfile", quote(path))
        else:
            return self._sent(grant, entry, None, PathDownload(path, entry.size))
        # The server in front knows ranges, and tells length and version of what it sends.
        headers = [
            header
            for header in self._sent(grant, entry, None, None).headers
            if header[0] not in ("Content-Length", "ETag", "Last-Modified", "Accept-Ranges")
        ]
        return Answer(200, [*headers, ("Content-Length", "0"), handed])

    # -- upload -----------------------------------------------------------------------------------

    def _upload(self, use: LinkUse, headers: Mapping[str, str]) -> Steps[Answer]:
        grant = use.grant
        body = UploadBody(grant, headers)
        options: dict[str, Any] = {"content_type": grant.content_type}
        options |= yield from self._conditions(use, headers)

        def opening() -> Opening[Writer]:
            return use.storage.open(grant.path, "w", size_hint=body.size_hint, **options)

        holder = secrets.token_hex(8)
        held_until = 0.0
        used_up = False
        writer: Writer | None = None
        try:
            if grant.once:
                held_until = yield from self._hold(use, holder)
            writer = yield from _await(use, opening)
            while data := (yield _RECEIVE):
                for piece in body.take(data):
                    yield from _await(use, functools.partial(writer.write, piece))
                if grant.once and self._clock() > held_until - _LEASE / 2:
                    held_until = yield from self._hold(use, holder)
            body.end()
            use.size = body.size
            yield from _tell(self._on_upload, use)
            if grant.once:  # before it becomes visible: of two, one must not
                yield from self._use_up(use, holder)
                used_up = True
            use.entry = yield from _await(use, writer.commit)
        except GeneratorExit:
            raise
        except BaseException as exc:
            if writer is not None:
                yield Await(use.storage, writer.abort)
            if held_until and not (used_up and _may_be_done(exc)):
                yield from self._give_back(use, holder)
            raise
        yield from self._succeeded(use)
        made = 201 if options.get("if_absent") else 204
        return done(made, Validators.of(use.entry).headers[0])

    def _succeeded(self, use: LinkUse) -> Steps[None]:
        if self._on_success is not None:
            yield Tell(use.storage, self._on_success, use)

    def _conditions(self, use: LinkUse, headers: Mapping[str, str]) -> Steps[dict[str, Any]]:
        """Check what a change asks of the version that is there; return options of the write."""
        grant = use.grant
        if grant.overwrite and not asks_about_what_is_there(headers):
            return {}
        entry = yield from self._stat(use)
        found = None if entry is None else Validators.of(entry)
        if failed_condition(headers, found, reading=False):
            raise _other_version()
        if not grant.overwrite:
            if entry is not None:
                raise RefusedError(answer_to(FileExistsInStorageError(""), reading=False))
            return {"if_absent": True}
        if headers.get("if-none-match", "").strip() == "*":
            return {"if_absent": True}
        if entry is not None and "if-match" in headers and use.storage.capabilities.if_match:
            return {"if_match": entry.etag}
        return {}

    def _stat(self, use: LinkUse) -> Steps[ListEntry | None]:
        async def find() -> ListEntry | None:
            try:
                return await use.storage.stat(use.grant.path)
            except FileNotFoundInStorageError:
                return None

        return (yield from _await(use, find))

    # -- removal ----------------------------------------------------------------------------------

    def _remove(self, use: LinkUse, headers: Mapping[str, str]) -> Steps[Answer]:
        if asks_about_what_is_there(headers):
            yield from self._conditions(use, headers)
        yield from _tell(self._on_remove, use)
        holder = secrets.token_hex(8)
        if use.grant.once:
            yield from self._use_up(use, holder)
        try:
            yield from _await(use, lambda: use.storage.delete(use.grant.path))
        except RefusedError as exc:
            if use.grant.once and not _may_be_done(exc):
                yield from self._give_back(use, holder)
            raise
        yield from self._succeeded(use)
        return done(204)

    # -- links for one use, and revoked ones ------------------------------------------------------

    def _state(self, storage: Storage, grant: InternalLinkTokenData) -> Steps[LinkState]:
        store = self._store
        if store is not None:
            return (yield from self._ask(storage, lambda: store.state(grant.token_id)))
        if grant.once:
            _log.error(
                "a link for one use is not served: give the endpoint a store, which is a "
                "MemoryLinkStore() for one process or a SQLiteLinkStore(path) for several"
            )
            raise RefusedError(broken("Links for one use are not served here."))
        return LinkState.free

    def _ask(self, storage: Storage, call: Callable[[], Awaitable[T]]) -> Steps[T]:
        """Have the store do something; where it fails, nothing is served."""
        try:
            return (yield Await(storage, call))  # type: ignore[no-any-return]  # what the call returns
        except Exception as exc:
            _log.exception("the store of links failed")
            raise RefusedError(broken("Links are not served now; try again later.")) from exc

    def _hold(self, use: LinkUse, holder: str) -> Steps[float]:
        """Keep others from using a link, for a while; return until when."""
        until = self._clock() + _LEASE
        yield from self._take(use, holder, until)
        return until

    def _use_up(self, use: LinkUse, holder: str | None = None) -> Steps[None]:
        yield from self._take(use, holder or secrets.token_hex(8), math.inf)

    def _take(self, use: LinkUse, holder: str, until: float) -> Steps[None]:
        store, grant = self._store, use.grant
        assert store is not None, "without one, no link for one use comes so far"
        expires = grant.expires.timestamp()
        taken = yield from self._ask(
            use.storage,
            lambda: store.take(grant.token_id, holder, until=until, expires=expires),
        )
        if taken:
            return
        state = yield from self._ask(use.storage, lambda: store.state(grant.token_id))
        if state is LinkState.revoked:
            raise RefusedError(bad_token())
        if state is LinkState.used:
            raise _used_up()
        raise refused(409, "This link is being used just now.")

    def _give_back(self, use: LinkUse, holder: str) -> Steps[None]:
        store = self._store
        assert store is not None, "it was taken from one"
        try:
            yield Await(use.storage, lambda: store.release(use.grant.token_id, holder))
        except Exception:  # noqa: BLE001  # a store's: the answer is another failure already
            _log.exception("the store of links failed: link %s stays taken", use.grant.token_id)


def _used_up() -> RefusedError:
    return refused(410, "This link was for one use, and was used.")


def _other_version() -> RefusedError:
    return refused(412, "What is there is another version than the one that was meant.")


def _may_be_done(exc: BaseException) -> bool:
    """Whether what a link was used for may be done, though it failed."""
    if not isinstance(exc, RefusedError):
        return True  # such as a cancellation, which waits for the end of a commit
    cause = exc.__cause__
    if isinstance(cause, StorageError):
        lost = isinstance(cause, ConnectionLostError) and not isinstance(cause, UnreachableError)
        return lost or isinstance(cause, AmbiguousWriteError)
    return cause is not None


def _is_conditional(headers: Mapping[str, str]) -> bool:
    return asks_about_what_is_there(headers) or "if-modified-since" in headers


def _await(use: LinkUse, call: Callable[[], Awaitable[T]]) -> Steps[T]:
    """Have a storage do something; where it fails, the request ends with an answer."""
    try:
        return (yield Await(use.storage, call))  # type: ignore[no-any-return]  # what the call returns
    except UnsatisfiableError:
        raise
    except Exception as exc:
        answer = answer_to(exc, reading=use.operation is ShareLinkOperation.download)
        if answer.status >= 500:  # the rest is the client's
            _log.error("link %s: %s failed", use.grant.token_id, use.method, exc_info=exc)
        raise RefusedError(answer) from exc


def _tell(hook: Hook | None, use: LinkUse) -> Steps[None]:
    if hook is None:
        return
    try:
        yield Tell(use.storage, hook, use)
    except LinkRefusedError as exc:
        raise refused(exc.status, exc.message) from exc


def _checked_storages(storages: Storage | Iterable[Storage]) -> tuple[Storage, ...]:
    given = (storages,) if isinstance(storages, Storage) else tuple(storages)
    for storage in given:
        if not isinstance(storage, Storage):
            raise InvalidTypeError(
                f"an endpoint serves storages such as LocalFSStorage(...), not "
                f"{type(storage).__name__}"
            )
        if not honours_links(storage):
            raise InvalidArgumentError(
                f"storage {storage.name!r} has no secret_key, without which it honours no links"
            )
    if not given:
        raise InvalidArgumentError("an endpoint serves at least one storage")
    return given
