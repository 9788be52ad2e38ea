"""Share links of a storage: tokens for an endpoint of the application's."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypedDict, Unpack

from ._core import StorageCore
from ._disposition import is_showable
from ._observed import observed
from .driver import Driver, FilePaths, Presigner
from .errors import (
    InvalidArgumentError,
    InvalidLinkError,
    InvalidTypeError,
    NotSupportedError,
    UnsupportedOperationError,
)
from .events import EventHook
from .links import (
    Disposition,
    Expiry,
    InternalLinkTokenData,
    KeyRing,
    LinkSigner,
    Secrets,
    audience,
    make_grant,
)
from .models import Capabilities, Link, ShareLinkOperation, Support

LinkedEndpoint: TypeAlias = str | Callable[[str, str | None], str | Awaitable[str]]
"""Where links lead: a base URL, to which ``?token=...`` is added, or a function that makes the URL
from the token and the `output_path`; it may be async."""

_BASE_URL = re.compile(r"(?:https?://[^\s/?#]+|/(?!/))[^\s#]*")

_METHODS = {
    ShareLinkOperation.download: ("GET", "HEAD"),
    ShareLinkOperation.upload: ("PUT", "POST"),
    ShareLinkOperation.remove: ("DELETE",),
}


class LinkKeywords(TypedDict, total=False):
    """What a link may say beside key, operations and end; see `Linking.link_to`."""

    output_path: str | None
    content_type: str | None
    overwrite: bool
    max_size: int | None
    exact_size: int | None
    once: bool
    disposition: Disposition


def check_base_url(base_url: str) -> str:
    """Return a base URL without its ending ``/``, or an empty one.

    Raises:
        InvalidArgumentError: it is no URL.
    """
    if base_url and not _BASE_URL.fullmatch(base_url):
        raise InvalidArgumentError(
            f"base_url {base_url!r} is no base URL: write it as in 'https://files.example'"
        )
    return base_url.rstrip("/")


@dataclass(frozen=True)
class LinkConfig:
    """How a storage makes links. It does not travel in pickles, and its repr holds no secret."""

    endpoint: LinkedEndpoint | None
    keys: KeyRing | None = field(repr=False)

    def __post_init__(self) -> None:
        if self.endpoint is None or callable(self.endpoint):
            return
        if not isinstance(self.endpoint, str):
            raise InvalidTypeError(
                "linked_endpoint must be a URL or a function of the token and the output_path, not "
                f"{type(self.endpoint).__name__}"
            )
        if not _BASE_URL.fullmatch(self.endpoint):
            raise InvalidArgumentError(
                f"linked_endpoint {self.endpoint!r} is no base URL: write 'https://host/path', or "
                "'/path' for links within a site"
            )

    def checked_endpoint(self) -> LinkedEndpoint:
        """Return where links lead, which must have been said."""
        if self.endpoint is None:
            raise UnsupportedOperationError(
                "this storage knows no endpoint that serves its links: give it linked_endpoint"
            )
        return self.endpoint

    async def url(self, token: str, output_path: str | None) -> str:
        """Return the URL of a token."""
        endpoint = self.checked_endpoint()
        if isinstance(endpoint, str):
            return f"{endpoint}{'&' if '?' in endpoint else '?'}token={token}"
        url = endpoint(token, output_path)
        url = await url if inspect.isawaitable(url) else url
        if not isinstance(url, str):
            raise InvalidTypeError(
                f"linked_endpoint returned {type(url).__name__}, where it must return the URL"
            )
        return url


def _shown_safely(grant: InternalLinkTokenData) -> InternalLinkTokenData:
    """Return a grant by which a service shows only what an endpoint would show too."""
    if grant.content_type is None:
        raise NotSupportedError(
            "the service would show an object of whatever type: give the content_type that is to "
            "be shown, or configure an endpoint, which looks at each object"
        )
    if is_showable(grant.content_type):
        return grant
    return replace(grant, disposition="attachment")


class Linking(StorageCore):
    """The links of a storage; a part of `Storage`."""

    def __init__(
        self,
        driver: Driver,
        *,
        name: str,
        memory_budget: int,
        any_key: bool,
        linked_endpoint: LinkedEndpoint | None,
        secret_key: Secrets | None,
        on_event: EventHook | None,
    ) -> None:
        super().__init__(
            driver, name=name, memory_budget=memory_budget, any_key=any_key, on_event=on_event
        )
        keys = None if secret_key is None else KeyRing(secret_key)
        self._shared.links = LinkConfig(linked_endpoint, keys)

    @property
    def capabilities(self) -> Capabilities:
        """What this storage can do: native, emulated or unsupported."""
        if self._presigns:
            return replace(super().capabilities, links=Support.native)
        links = self._links
        able = links.keys is not None and links.endpoint is not None
        return replace(
            super().capabilities, links=Support.emulated if able else Support.unsupported
        )

    @property
    def _links(self) -> LinkConfig:
        return self._shared.links or LinkConfig(None, None)

    @property
    def _presigns(self) -> bool:
        """Whether links are the service's own: it has some, and no endpoint was configured."""
        return isinstance(self.driver, Presigner) and self._links.endpoint is None

    @observed()
    async def link_to(
        self,
        path: str,
        operation: ShareLinkOperation | str,
        expire: Expiry,
        output_path: str | None = None,
        content_type: str | None = None,
        *,
        overwrite: bool = True,
        max_size: int | None = None,
        exact_size: int | None = None,
        once: bool = False,
        disposition: Disposition = "attachment",
    ) -> Link:
        """Return a URL by which whoever has it may do what it allows, until it expires.

        Where the service honours links of its own and no endpoint was configured, it is one of
        those; otherwise it leads to the endpoint. Everything it says is signed; nothing of it can
        be changed on the way. Nobody looks whether the object exists.

        Args:
            path: the key.
            operation: ``"download"``, ``"upload"``, ``"remove"``, or letters for several, as in
                ``"du"``.
            expire: when it ends: an aware datetime, or after how long: a timedelta or seconds.
            output_path: the file name that a download suggests.
            content_type: of a download; the one that an upload must have.
            overwrite: False refuses an upload where there is an object.
            max_size: of an upload, in bytes.
            exact_size: of an upload, in bytes.
            once: the link ends with its first use.
            disposition: ``"inline"`` lets a browser show a download that is safe to show.

        Raises:
            InvalidKeyError, InvalidArgumentError, InvalidTypeError: something of it cannot be.
            LinkTooLongError: it would not fit into a URL.
            NotSupportedError: the service's own links cannot enforce what was asked for.
            UnsupportedOperationError: no endpoint or no secret key was configured.
        """
        context, _ = self._checked("link_to", path)
        options = LinkKeywords(
            output_path=output_path, content_type=content_type, overwrite=overwrite,
            max_size=max_size, exact_size=exact_size, once=once, disposition=disposition,
        )  # fmt: skip
        with context:
            if self._presigns:
                return await self._presigned(path, operation, expire, options)
            self._links.checked_endpoint()
            grant = self._grant(path, operation, expire, **options)
            token = self._signer().sign(grant)
        url = await self._links.url(token, output_path)
        headers = {"Content-Type": content_type} if grant.allow_upload and content_type else {}
        methods = tuple(
            method for each in ShareLinkOperation if each in grant.operations
            for method in _METHODS[each]
        )  # fmt: skip
        return Link(
            url, methods=methods, headers=headers, expires=grant.expires, token_id=grant.token_id
        )

    async def _presigned(
        self, path: str, operation: ShareLinkOperation | str, expire: Expiry, options: LinkKeywords
    ) -> Link:
        now = self._shared.clock()
        full = self._prefix.join(path)
        grant = make_grant(full, operation, expire, now, **options)
        if grant.disposition == "inline":
            grant = _shown_safely(grant)
        driver = await self._ready()
        assert isinstance(driver, Presigner)
        signed = await driver.presign(full, grant, now)
        return Link(
            signed.url, methods=signed.methods, headers=signed.headers, expires=grant.expires
        )

    @observed()
    def create_link_token(
        self,
        *,
        path: str,
        operation: ShareLinkOperation | str,
        expire: Expiry,
        **options: Unpack[LinkKeywords],
    ) -> str:
        """Return the token of a link, for an endpoint that you serve in your own way.

        Args and errors are those of `link_to`; no endpoint need be configured.
        """
        context, _ = self._checked("create_link_token", path)
        with context:
            return self._signer().sign(self._grant(path, operation, expire, **options))

    @observed()
    def deserialize_link_token(self, token: str) -> InternalLinkTokenData:
        """Return what a token of this storage grants. It unpacks as ``path, operations``.

        Raises:
            InvalidLinkError: it is not exactly a token of this storage or, on a view, of what lies
                below its prefix.
            ExpiredLinkError: it is one whose time is over.
        """
        context = self._context("deserialize_link_token", None)
        with context:
            self._check_open()
            grant = self._signer().verify(token)
            if not grant.path.startswith(self._prefix.text):
                raise InvalidLinkError("this is no valid link")
            return replace(grant, path=self._prefix.strip(grant.path))

    def _grant(
        self,
        path: str,
        operation: ShareLinkOperation | str,
        expire: Expiry,
        **options: Unpack[LinkKeywords],
    ) -> InternalLinkTokenData:
        full = self._prefix.join(path)
        grant = self._signer().grant(full, operation, expire, **options)
        if not grant.overwrite:
            self._check_create_only(grant)
        return grant

    def _check_create_only(self, grant: InternalLinkTokenData) -> None:
        """Refuse a promise that the storage could not keep when the upload comes."""
        able = self.driver.capabilities
        if not able.create_only:
            raise NotSupportedError("this storage cannot keep an upload from replacing an object")
        limit = able.create_only_limit
        largest = grant.max_size if grant.exact_size is None else grant.exact_size
        if limit is not None and (largest is None or largest > limit):
            raise NotSupportedError(
                "this storage can keep only small uploads from replacing an object: give max_size, "
                f"at most {limit}"
            )

    def _signer(self) -> LinkSigner:
        keys = self._links.keys
        if keys is None:
            raise UnsupportedOperationError(
                "this storage has no secret_key, without which it makes and honours no links: give "
                "it one from your configuration, since it does not travel in pickles"
            )
        return LinkSigner(keys, audience_of(self), self._shared.clock)


def audience_of(storage: Linking) -> str:
    """Return whose tokens a storage honours: those of its name and of what it points to."""
    return audience(storage.name, storage.driver.identity)


def honours_links(storage: Linking) -> bool:
    """Whether a storage has the secret that its tokens are signed with."""
    return storage._links.keys is not None


def lead_links(
    storage: Linking, endpoint: LinkedEndpoint, secret_key: Secrets | None = None
) -> None:
    """Let the links of a storage and of its views lead elsewhere.

    Args:
        storage: that makes them.
        endpoint: where they lead.
        secret_key: that signs them; None for the one that the storage has.
    """
    keys = storage._links.keys if secret_key is None else KeyRing(secret_key)
    storage._shared.links = LinkConfig(endpoint, keys)


def file_of(storage: Linking, path: str) -> tuple[str, str] | None:
    """Return where on this machine an object's file is: its path, and that below the root.

    Whoever opens it so is not confined to the root. None where objects are no files here.
    """
    driver = storage.driver
    if not isinstance(driver, FilePaths):
        return None
    full = storage._prefix.join(path)
    return driver.file_path(full), full
