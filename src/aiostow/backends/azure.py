"""Azure Blob Storage, and its emulator Azurite."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from .._linking import LinkedEndpoint, LinkKeywords
from .._observed import observed
from ..errors import InvalidArgumentError, UnsupportedOperationError
from ..events import EventHook
from ..links import Expiry, Secrets, as_expiry
from ..models import Link, ListEntry, ShareLinkOperation, WriteOptions
from ..storage import DEFAULT_MEMORY_BUDGET, Storage
from ._azure_config import MIB, AzureConfig, BlobChecksum, find_place
from ._azure_driver import AzureDriver, SigningAzureDriver

__all__ = ["AzureDriver", "AzureStorage"]


class AzureStorage(Storage):
    """The blobs of one container, or a single blob.

    Who asks is told in one of these ways, of which the first that is complete counts: `account`,
    `key` and `bucket`; `connection_string` and `bucket`; `account`, `bucket` and `credential` or
    ``anonymous=True``; `sas_container_url`; `sas_blob_url`. Nothing is asked of the service before
    the first operation.

    Args:
        account: name of the storage account.
        key: of the account, in base64.
        bucket: name of the container.
        sas_container_url: URL of a container with a shared access signature.
        sas_blob_url: URL of a blob with one; its path is then the only key, and nothing is listed.
        chunk_size: in bytes, of the blocks of large blobs; what fits in one goes in one request.
            It grows with the blob, so that 50,000 blocks hold it.
        name: for messages and profiles; links are bound to it.
        connection_string: as Azure shows it; also ``UseDevelopmentStorage=true``.
        endpoint: URL of the account, where it is not ``https://<account>.blob.core.windows.net``;
            that of Azurite ends with the account's name.
        credential: of azure-identity, sync or async; it stays yours to close.
        anonymous: ask without credentials, for public containers.
        access_tier: of everything that is written, such as ``"Cool"``.
        checksum: ``"md5"`` lets the service check the bytes that arrive, and checks those of a
            whole blob that is read in one stream, if the service knows its sum; None checks
            nothing; ``"auto"`` is ``"md5"`` for bodies from 64 KiB on over plain http, where
            nothing else protects them.
        verify: path of a CA bundle to be trusted beside the system's; False checks nothing.
        proxies: URLs of proxies by scheme, instead of those of the environment.
        any_key: address any name that Azure allows, such as ``a//b``; links excepted.
        memory_budget: for the buffers of all transfers together, in bytes.
        connect_timeout: in seconds.
        read_timeout: in seconds without a byte in either direction.
        retry_deadline: in seconds, for all tries of one request.
        linked_endpoint: lets links lead to an endpoint of yours instead of Azure; see `Storage`.
        secret_key: signs such links; see `Storage`.
        on_event: told of every operation; see `Storage`.

    Raises:
        InvalidArgumentError: an argument cannot be, or the credentials are incomplete; the message
            lists what is accepted.
    """

    credential_fields: ClassVar[frozenset[str]] = Storage.credential_fields | {
        "key", "connection_string", "sas_container_url", "sas_blob_url",
    }  # fmt: skip
    driver: AzureDriver

    def __init__(
        self,
        account: str | None = None,
        key: str | None = None,
        bucket: str | None = None,
        sas_container_url: str | None = None,
        sas_blob_url: str | None = None,
        chunk_size: int = 5 * MIB,
        name: str = "azure",
        *,
        connection_string: str | None = None,
        endpoint: str | None = None,
        credential: Any = None,
        anonymous: bool = False,
        access_tier: str | None = None,
        checksum: BlobChecksum | Literal["auto"] | None = "auto",
        verify: bool | str | None = None,
        proxies: Mapping[str, str] | None = None,
        any_key: bool = False,
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        retry_deadline: float = 60.0,
        linked_endpoint: LinkedEndpoint | None = None,
        secret_key: Secrets | None = None,
        on_event: EventHook | None = None,
    ) -> None:
        place = find_place(
            account, key, bucket, sas_container_url, sas_blob_url,
            connection_string, endpoint, credential, anonymous,
        )  # fmt: skip
        config = AzureConfig(
            place=place,
            chunk_size=chunk_size,
            access_tier=access_tier,
            checksum=checksum,
            verify=verify,
            proxies=proxies,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            retry_deadline=retry_deadline,
        )
        super().__init__(
            SigningAzureDriver(config) if place.signs else AzureDriver(config),
            name=name,
            memory_budget=memory_budget,
            linked_endpoint=linked_endpoint,
            secret_key=secret_key,
            on_event=on_event,
            any_key=any_key,
        )

    @observed()
    async def create_upload_url(self, path: str, expire: Expiry) -> Link:
        """Return the URL of a blob with a signature to write it, always Azure's own.

        Args:
            path: the key.
            expire: when it ends: see `link_to`.

        Raises:
            InvalidKeyError, InvalidArgumentError: something of it cannot be.
            UnsupportedOperationError: a signature was given, which signs no others.
        """
        return await self._signed_url("create_upload_url", path, ShareLinkOperation.upload, expire)

    @observed()
    async def create_download_url(self, path: str, expire: Expiry) -> Link:
        """Return the URL of a blob with a signature to read it; see `link_to`, which can do more.

        Args and errors are those of `create_upload_url`.
        """
        return await self._signed_url(
            "create_download_url", path, ShareLinkOperation.download, expire
        )

    async def _signed_url(
        self, operation: str, path: str, grants: ShareLinkOperation, expire: Expiry
    ) -> Link:
        context, _ = self._checked(operation, path)
        with context:
            self._check_signs()
            return await self._presigned(path, grants, expire, LinkKeywords())

    @observed()
    async def create_container_url(self, expire: Expiry, ip: str | None = None) -> Link:
        """Return the URL of the container with a signature to list, read, write and delete.

        It serves as `sas_container_url`.

        Args:
            expire: when it ends: see `link_to`.
            ip: an address, or two joined by ``-``, that requests must come from.

        Raises:
            InvalidArgumentError: something of it cannot be.
            UnsupportedOperationError: a signature was given, which signs no others.
        """
        with self._context("create_container_url", None):
            self._check_signs()
            _check_addresses(ip)
            expires = as_expiry(expire, self._shared.clock())
            await self._ready()
            url = await self.driver.container_url(expires, ip)
        return Link(url, methods=("GET", "HEAD", "PUT", "DELETE"), headers={}, expires=expires)

    def _check_signs(self) -> None:
        if not isinstance(self.driver, SigningAzureDriver):
            raise UnsupportedOperationError(
                "only the account's key or a credential signs URLs: a shared access signature "
                "signs no others"
            )

    @observed()
    async def copy_from_url(self, url: str, path: str, *, overwrite: bool = True) -> ListEntry:
        """Copy what is behind a URL, which the service fetches itself; return what was written.

        The new blob appears whole or not at all, never as a pending copy. The URL is that of a
        blob in any account, with a signature where it is not public, such as ``link_to`` of
        another storage gives; or another that the service can reach.

        Args:
            url: of the source.
            path: the key of the copy.
            overwrite: False refuses where there is a blob.

        Raises:
            FileNotFoundInStorageError: there is nothing behind the URL.
            FileExistsInStorageError: the key exists and `overwrite` is False.
            ObjectChangedError: the source was replaced meanwhile.
            PermissionDeniedError, ConnectionLostError, StorageIOError: the source refused, or could
                not be asked.
            UnsupportedOperationError: it is large and tells no strong etag to pin it by.
        """
        context, full = self._checked("copy_from_url", path)
        with context:
            await self._ready()
            source = await self.driver.find_source(url, full)
        with context.changing():
            return await self.driver.copy_from(source, full, WriteOptions(if_absent=not overwrite))

    @observed()
    async def set_access_tier(
        self, path: str, tier: str, *, rehydrate_priority: str | None = None
    ) -> None:
        """Move a blob to another access tier.

        Args:
            path: the key.
            tier: ``"Hot"``, ``"Cool"``, ``"Cold"`` or ``"Archive"``.
            rehydrate_priority: ``"Standard"`` or ``"High"``, for one that leaves the archive.

        Raises:
            FileNotFoundInStorageError: no object has this key.
        """
        context, full = self._checked("set_access_tier", path)
        with context:
            await self._ready()
            await self.driver.set_tier(full, tier, rehydrate_priority)


def _check_addresses(ip: str | None) -> None:
    try:
        for address in () if ip is None else ip.split("-", 1):
            ipaddress.ip_address(address)
    except (ValueError, AttributeError):
        raise InvalidArgumentError(
            f"ip={ip!r} is no address, nor two of them joined by '-'"
        ) from None
