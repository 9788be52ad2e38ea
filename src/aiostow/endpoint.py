"""The endpoint that serves share links: what is answered to a request, without a network.

`LinkEndpoint.serve` is a generator: it yields what is to be done next and is sent what came of it.
So the same decisions, in the same order, serve async and sync frameworks; an integration carries
out the steps in its own way, see `integrations/`.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import quote

from ._answers import (
    Answer,
    Download,
    Header,
    RefusedError,
    answer_to,
    bad_token,
    content_headers,
    done,
    length_headers,
    no_token,
    refused,
    unchanged_headers,
    version_headers,
)
from ._claim import Claim
from ._conditions import (
    UnsatisfiableError,
    Validators,
    asks_about_what_is_there,
    failed_condition,
    wanted_range,
)
from ._disposition import SHOWABLE
from ._download_body import PathDownload, open_download
from ._endpoint_options import (
    EndpointOptions,
    check_handing_over,
    check_hooks,
    check_store,
    checked_storages,
    checked_types,
)
from ._link_steps import Await, Hook, LinkRefusedError, LinkUse, Receive, Steps, Tell
from ._linking import audience_of, file_of
from ._upload_body import UploadBody
from .errors import (
    AmbiguousWriteError,
    ConnectionLostError,
    ExpiredLinkError,
    FileExistsInStorageError,
    FileNotFoundInStorageError,
    InvalidLinkError,
    InvalidTypeError,
    StorageError,
    UnreachableError,
    WriteConflictError,
)
from .files import Opening, Writer
from .links import InternalLinkTokenData, claimed_audience
from .linkstore import LinkStore
from .models import ByteRange, ListEntry, ShareLinkOperation, Support
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

_LONGEST_QUERY = 8 << 10

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
    headers: Mapping[str, str] = field(repr=False)
    request: Any = field(default=None, repr=False)
    sends_paths: bool = False


def token_in(query: str) -> str:
    """Return the token of a query string, empty where there is none.

    Tokens need no decoding: what is written otherwise is none of ours.
    """
    if len(query) > _LONGEST_QUERY:
        return "&"  # is no token
    found = [part[6:] for part in query.split("&") if part.startswith("token=")]
    return "&".join(found)  # of several, something that is no token


_RECEIVE = Receive()


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
        self.storages: tuple[Storage, ...] = checked_storages(storages)
        check_hooks(
            authorize=authorize, on_download=on_download, on_upload=on_upload,
            on_remove=on_remove, on_success=on_success,
        )  # fmt: skip
        check_store(store)
        check_handing_over(trusted_tree, accel_redirect, x_sendfile)
        self._authorize = authorize
        self._on_download = on_download
        self._on_upload = on_upload
        self._on_remove = on_remove
        self._on_success = on_success
        self._store = store
        self._inline_types = checked_types(inline_types)
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
        claim = Claim(self._store, storage, grant, self._clock)
        yield from claim.check()
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
            return (yield from self._download(use, claim, request))
        if operation is ShareLinkOperation.upload:
            return (yield from self._upload(use, claim, request.headers))
        return (yield from self._remove(use, claim, request.headers))

    def _judge(self, token: str) -> tuple[Storage, InternalLinkTokenData] | None:
        """Return what a token grants and of which storage, or None for a bad one."""
        candidates = self.storages
        if len(candidates) > 1:
            claimed = claimed_audience(token)
            candidates = tuple(each for each in candidates if audience_of(each) == claimed)
        for storage in candidates:
            try:
                return storage, storage.deserialize_link_token(token)
            except ExpiredLinkError:
                _log.info("a link was refused: it has expired")
                return None
            except InvalidLinkError:
                continue  # perhaps of another view of the same storage
            except StorageError as exc:  # it is closed
                _log.error("a link could not be judged: %s", type(exc).__name__)
                raise RefusedError(answer_to(exc, reading=True)) from exc
        _log.info(
            "a link was refused: it was changed, or made with another secret or for another storage"
        )
        return None

    # -- download ---------------------------------------------------------------------------------

    def _download(self, use: LinkUse, claim: Claim, request: LinkRequest) -> Steps[Answer]:
        storage, grant, headers = use.storage, use.grant, request.headers
        file = self._file_to_send(use, request)
        meant: str | None = None  # the version that was checked, where it was to be that one
        if file is not None and self._in_front:
            use.entry = yield from _await(use, lambda: storage.stat(grant.path))
            if use.method == "GET":
                yield from _tell(self._on_download, use)
            return self._handed_to_front(use, use.entry, *file)
        if use.method == "HEAD" or file is not None or _is_conditional(headers):
            entry = yield from _await(use, lambda: storage.stat(grant.path))
            found = _validators(use.storage, entry)
            failed = failed_condition(headers, found, reading=True)
            if failed == 412:
                raise _other_version()
            if failed == 304:
                return Answer(304, unchanged_headers(grant, found))
            if use.method == "HEAD":
                return self._sent(use, entry, None, None)
            if not headers.keys().isdisjoint(("if-match", "if-unmodified-since")):
                meant = entry.etag
            if file is not None:
                use.entry = entry
                yield from _tell(self._on_download, use)
                return self._sent(use, entry, None, PathDownload(file[0], entry.size))

        def span_of(entry: ListEntry) -> ByteRange | None:
            if grant.once:
                return None
            return wanted_range(headers, _validators(use.storage, entry), entry.size, self._clock())

        try:
            download = yield from _await(
                use,
                lambda: open_download(storage, grant.path, span_of, if_match=meant),
            )
        except UnsatisfiableError as exc:
            told = ("Content-Range", f"bytes */{exc.size}")
            raise refused(416, "There is nothing of that range.", told) from None
        try:
            use.entry = download.entry
            yield from _tell(self._on_download, use)
            yield from claim.use_up()
        except GeneratorExit:
            raise
        except BaseException:
            try:
                yield Await(storage, download.aclose)
            finally:
                yield from claim.give_back()
            raise
        return self._sent(use, download.entry, download.span, download)

    def _sent(
        self,
        use: LinkUse,
        entry: ListEntry,
        span: ByteRange | None,
        download: Download | None,
    ) -> Answer:
        grant = use.grant
        headers: list[Header] = [
            *content_headers(grant, entry, self._inline_types),
            *length_headers(entry.size, span),
            *version_headers(grant, _validators(use.storage, entry)),
        ]
        if not grant.once:
            headers.append(("Accept-Ranges", "bytes"))
        return Answer(200 if span is None else 206, headers, b"", download)

    @property
    def _in_front(self) -> bool:
        """Whether a server in front of the application's sends the files."""
        return self._accel_redirect is not None or self._x_sendfile

    def _file_to_send(self, use: LinkUse, request: LinkRequest) -> tuple[str, str] | None:
        """Return path and key of what the server itself may send, and can.

        Of a link for one use it may not: only here a range is not one of its uses.
        """
        if not self._trusted_tree or use.grant.once:
            return None
        if not self._in_front and (not request.sends_paths or "range" in request.headers):
            return None
        return file_of(use.storage, use.grant.path)

    def _handed_to_front(self, use: LinkUse, entry: ListEntry, path: str, key: str) -> Answer:
        """Name a file to the server in front, which knows ranges, conditions and versions."""
        if self._accel_redirect is not None:
            handed = ("X-Accel-Redirect", f"{self._accel_redirect.rstrip('/')}/{quote(key)}")
        else:
            handed = ("X-Sendfile", quote(path))
        headers = [
            header
            for header in self._sent(use, entry, None, None).headers
            if header[0] not in ("Content-Length", "ETag", "Last-Modified", "Accept-Ranges")
        ]
        return Answer(200, [*headers, ("Content-Length", "0"), handed])

    # -- upload -----------------------------------------------------------------------------------

    def _upload(self, use: LinkUse, claim: Claim, headers: Mapping[str, str]) -> Steps[Answer]:
        grant = use.grant
        body = UploadBody(grant, headers)
        options = yield from self._write_options(use, headers)

        def opening() -> Opening[Writer]:
            return use.storage.open(grant.path, "w", size_hint=body.size_hint, **options)

        writer: Writer | None = None
        committing = False
        try:
            yield from claim.hold()
            writer = yield from _await(use, opening)
            while data := (yield _RECEIVE):
                for piece in body.take(data):
                    yield from _await(use, functools.partial(writer.write, piece))
                yield from claim.hold()
            body.end()
            use.size = body.size
            yield from _tell(self._on_upload, use)
            yield from _await(use, writer._prepare)
            yield from claim.confirm()  # before it becomes visible: of two, one must not
            committing = True
            use.entry = yield from _await(use, writer.commit)
        except GeneratorExit:
            raise
        except BaseException as exc:
            try:
                if writer is not None:
                    yield Await(use.storage, writer.abort)
            finally:
                if not (committing and _may_be_done(exc)):
                    yield from claim.give_back()
            asked = grant.overwrite and not options.keys().isdisjoint(("if_absent", "if_match"))
            if asked and isinstance(exc.__cause__, _CONFLICTS):
                raise _other_version() from exc
            raise
        yield from self._succeeded(use)
        made = 201 if options.get("if_absent") else 204
        return done(made, _validators(use.storage, use.entry).headers[0])

    def _succeeded(self, use: LinkUse) -> Steps[None]:
        if self._on_success is None:
            return
        try:
            yield Tell(use.storage, self._on_success, use)
        except LinkRefusedError:
            _log.error("link %s: on_success refuses what is done already", use.grant.token_id)

    def _write_options(self, use: LinkUse, headers: Mapping[str, str]) -> Steps[dict[str, Any]]:
        """Check what may be written, as far as it shows now, and return options of the write."""
        grant = use.grant
        options: dict[str, Any] = {"content_type": grant.content_type}
        if grant.overwrite and not asks_about_what_is_there(headers):
            return options
        entry = yield from self._checked_entry(use, headers)
        if not grant.overwrite and entry is not None:
            raise RefusedError(answer_to(FileExistsInStorageError(""), reading=False))
        if not grant.overwrite or headers.get("if-none-match", "").strip() == "*":
            options["if_absent"] = True
        elif entry is not None and "if-match" in headers and use.storage.capabilities.if_match:
            options["if_match"] = entry.etag
        return options

    def _checked_entry(self, use: LinkUse, headers: Mapping[str, str]) -> Steps[ListEntry | None]:
        """Return what is there, which must be what the request expects."""
        entry = yield from self._stat(use)
        found = None if entry is None else _validators(use.storage, entry)
        if failed_condition(headers, found, reading=False):
            raise _other_version()
        return entry

    def _stat(self, use: LinkUse) -> Steps[ListEntry | None]:
        async def find() -> ListEntry | None:
            try:
                return await use.storage.stat(use.grant.path)
            except FileNotFoundInStorageError:
                return None

        return (yield from _await(use, find))

    # -- removal ----------------------------------------------------------------------------------

    def _remove(self, use: LinkUse, claim: Claim, headers: Mapping[str, str]) -> Steps[Answer]:
        if asks_about_what_is_there(headers):
            yield from self._checked_entry(use, headers)
        yield from _tell(self._on_remove, use)
        deleting = False
        try:
            yield from claim.use_up()
            deleting = True
            yield from _await(use, lambda: use.storage.delete(use.grant.path))
        except GeneratorExit:
            raise
        except BaseException as exc:
            if not (deleting and _may_be_done(exc)):
                yield from claim.give_back()
            raise
        yield from self._succeeded(use)
        return done(204)


_CONFLICTS = (FileExistsInStorageError, WriteConflictError)


def _validators(storage: Storage, entry: ListEntry) -> Validators:
    exact = storage.driver.capabilities.versions is Support.native
    return Validators.of(entry, exact=exact)


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
        returned = yield Tell(use.storage, hook, use)
    except LinkRefusedError as exc:
        raise refused(exc.status, exc.message) from exc
    if returned is not None:  # was False meant to refuse?
        raise InvalidTypeError(
            f"a hook refuses by raising LinkRefusedError, and returns nothing, not {returned!r}"
        )
