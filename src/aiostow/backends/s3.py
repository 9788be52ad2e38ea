"""Amazon S3 and what speaks its protocol: Ceph, MinIO, R2, Swift, ..."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Literal

from .._linking import LinkedEndpoint
from .._observed import observed
from ..events import EventHook
from ..links import Expiry, Secrets
from ..storage import DEFAULT_MEMORY_BUDGET, Storage
from ._checksums import Checksum
from ._s3_config import AddressingStyle, DataPlane, S3Config
from ._s3_driver import S3Driver
from ._s3_multipart_link import MultipartLink, multipart_link

__all__ = ["MultipartLink", "S3Driver", "S3Storage"]

_MIB = 1 << 20


class S3Storage(Storage):
    """The objects of one bucket.

    Credentials come from the arguments, or else from the SDK's chain (environment, profile,
    container, instance), and are refreshed where they are temporary. Nothing is asked of the
    service before the first operation.

    Args:
        bucket: its name, or the ARN of an access point.
        aws_region: of the bucket; where it is another, requests follow the service's directions.
        aws_access_key_id, aws_secret_access_key, aws_session_token: who asks.
        aws_profile: of the SDK's configuration files.
        name: for messages and profiles; links are bound to it.
        anonymous: ask unsigned, for public buckets.
        session: an `aioboto3.Session` or `aiobotocore.session.AioSession` to take credentials from.
        endpoint_url: of a service that is not AWS; also from ``AWS_ENDPOINT_URL_S3`` and
            ``AWS_ENDPOINT_URL``.
        addressing_style: ``"virtual"`` has the bucket in the host, ``"path"`` in the path;
            ``"auto"`` is the SDK's choice.
        dualstack, fips: take these endpoints of AWS.
        verify: path of the CA bundle that certificates are checked with; False checks nothing.
        proxies: URLs of proxies by scheme, instead of those of the environment.
        client_config: a `botocore.config.Config` for all else, merged over our own.
        data_plane: ``"sdk"`` sends everything through the SDK: slower by several times, and with
            its custom signers. What only the SDK can do takes that way by itself.
        part_size: in bytes, of large objects; what fits in one goes in one request. 5 MiB to 5 GiB;
            it grows with the object, so that 10,000 parts hold it.
        checksum: how the service checks the bytes that arrive: ``"crc32"``, ``"crc64nvme"`` (needs
            awscrt), ``"md5"``, or None; ``"auto"`` is ``"crc32"`` on AWS and none elsewhere. The
            first two are also checked when a whole object is read in one stream.
        server_side_encryption: ``"AES256"``, ``"aws:kms"`` or ``"aws:kms:dsse"``.
        kms_key_id: of the key, for KMS.
        sse_customer_key: 32 bytes that encrypt and decrypt every object.
        storage_class: such as ``"STANDARD_IA"``.
        acl: a canned one, such as ``"public-read"``.
        request_payer: agree to pay for requests to somebody else's bucket.
        conditional_writes: whether the service honours `if_match` on a write; by default AWS does.
        conditional_complete: whether it honours conditions on objects that go up in parts; by
            default AWS does. Without, `if_absent` is for objects within `part_size`.
        any_key: address any name that S3 allows, such as ``a//b`` or ``../c``; links excepted.
        memory_budget: for the buffers of all transfers together, in bytes.
        connect_timeout: in seconds.
        read_timeout: in seconds without a byte in either direction.
        retry_deadline: in seconds, for all tries of one request.
        linked_endpoint: lets links lead to an endpoint of yours instead of S3; see `Storage`.
        secret_key: signs such links; see `Storage`.
        on_event: told of every operation; see `Storage`.

    Raises:
        InvalidArgumentError: an argument cannot be; the message says what can.
    """

    credential_fields: ClassVar[frozenset[str]] = Storage.credential_fields | {
        "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "sse_customer_key",
    }  # fmt: skip
    driver: S3Driver

    def __init__(
        self,
        bucket: str,
        aws_region: str | None = None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_profile: str | None = None,
        name: str = "s3",
        *,
        aws_session_token: str | None = None,
        anonymous: bool = False,
        session: Any = None,
        endpoint_url: str | None = None,
        addressing_style: AddressingStyle = "auto",
        dualstack: bool = False,
        fips: bool = False,
        verify: bool | str | None = None,
        proxies: Mapping[str, str] | None = None,
        client_config: Any = None,
        data_plane: DataPlane = "auto",
        part_size: int = 8 * _MIB,
        checksum: Checksum | Literal["auto"] | None = "auto",
        server_side_encryption: str | None = None,
        kms_key_id: str | None = None,
        sse_customer_key: bytes | None = None,
        storage_class: str | None = None,
        acl: str | None = None,
        request_payer: bool = False,
        conditional_writes: bool | None = None,
        conditional_complete: bool | None = None,
        any_key: bool = False,
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        retry_deadline: float = 60.0,
        linked_endpoint: LinkedEndpoint | None = None,
        secret_key: Secrets | None = None,
        on_event: EventHook | None = None,
    ) -> None:
        config = S3Config(
            bucket=bucket,
            region=aws_region,
            access_key_id=aws_access_key_id,
            secret_access_key=aws_secret_access_key,
            session_token=aws_session_token,
            profile=aws_profile,
            anonymous=anonymous,
            session=session,
            endpoint_url=endpoint_url or _configured_endpoint(),
            addressing_style=addressing_style,
            dualstack=dualstack,
            fips=fips,
            verify=verify,
            proxies=proxies,
            client_config=client_config,
            data_plane=data_plane,
            part_size=part_size,
            checksum=checksum,
            server_side_encryption=server_side_encryption,
            kms_key_id=kms_key_id,
            customer_key=sse_customer_key,
            storage_class=storage_class,
            acl=acl,
            request_payer=request_payer,
            conditional_writes=conditional_writes,
            conditional_complete=conditional_complete,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            retry_deadline=retry_deadline,
        )
        super().__init__(
            S3Driver(config),
            name=name,
            memory_budget=memory_budget,
            linked_endpoint=linked_endpoint,
            secret_key=secret_key,
            on_event=on_event,
            any_key=any_key,
        )

    async def sweep_uploads(self, older_than: timedelta = timedelta(days=1)) -> int:
        """Discard the unfinished uploads that killed writers left, and return how many.

        They are invisible, and paid for. Uploads of this process that are under way stay.

        Args:
            older_than: leave alone what was begun within this time.
        """
        return await self.sweep(older_than)

    @observed()
    async def multipart_link_to(
        self,
        path: str,
        size: int,
        expire: Expiry,
        content_type: str | None = None,
        *,
        part_size: int | None = None,
        overwrite: bool = True,
    ) -> MultipartLink:
        """Begin an upload in parts, and return the links by which a browser can do it.

        Each part is one PUT; the last step is a POST that names the etags. What is never completed
        is invisible; `sweep_uploads` discards it.

        Args:
            path: the key.
            size: of the object, in bytes.
            expire: when the links end: see `link_to`.
            content_type: of the object.
            part_size: in bytes; by default the storage's, or as large as 10,000 parts need.
            overwrite: False refuses where there is an object, if the service honours that.

        Raises:
            InvalidArgumentError: something of it cannot be.
            NotSupportedError: the service is not known to honour ``overwrite=False`` in parts.
        """
        context, full = self._checked("multipart_link_to", path)
        with context:
            await self._ready()
            return await multipart_link(
                self.driver, full, size, expire, content_type,
                now=self._shared.clock(), part_size=part_size, overwrite=overwrite,
            )  # fmt: skip


def _configured_endpoint() -> str | None:
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
