"""What stays with the SDK: sessions, credentials, the rules of endpoints, and the rare verbs."""

from __future__ import annotations

import functools
import os
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import aiobotocore.session
from aiobotocore.config import AioConfig
from botocore import UNSIGNED as ANONYMOUS
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.httpsession import get_cert_path
from botocore.loaders import create_loader
from botocore.utils import get_environ_proxies

from ..models import ByteRange
from ._s3_config import DIRECTORY_BUCKET, S3Config
from ._s3_errors import lost_by_sdk
from ._s3_sdk_retries import ToldSession, service_error, tell_retries
from ._sigv4 import Credentials
from .http import HttpOptions, tls_context

try:
    import aioboto3
except ModuleNotFoundError:  # the extra for applications whose boto3 is newer than it allows
    aioboto3 = None

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request")
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the SDK would send a request, and how it would sign it.

    Attributes:
        origin: scheme, host and port.
        host: as the ``Host`` header says it.
        base: the path before a key, encoded.
        region: that signatures name.
        service: that signatures name.
        aws: whether it is Amazon's own.
        plain: whether requests are signed by nothing but Signature Version 4, or not at all.
    """

    origin: str
    host: str
    base: str
    region: str
    service: str
    aws: bool
    plain: bool


class _Seen(Exception):  # noqa: N818  # no error: the way out of the SDK with what it would send
    def __init__(self, url: str, authorization: str) -> None:
        super().__init__("seen")
        self.url = url
        self.authorization = authorization


def make_session(config: S3Config) -> Any:
    """Return the SDK's session: the one place that builds it."""
    if config.session is not None:
        return getattr(config.session, "_session", config.session)
    own = {
        "aws_access_key_id": config.access_key_id,
        "aws_secret_access_key": config.secret_access_key,
        "aws_session_token": config.session_token,
    }
    session = aiobotocore.session.AioSession(profile=config.profile)
    session.register_component("data_loader", _loader())
    if aioboto3 is not None:
        return aioboto3.Session(**own, region_name=config.region, botocore_session=session)._session
    if config.region is not None:
        session.set_config_variable("region", config.region)
    if config.access_key_id is not None:
        session.set_credentials(
            config.access_key_id, config.secret_access_key, config.session_token
        )
    return session


@functools.cache
def _loader() -> Any:
    """Return what reads the SDK's descriptions of services: once for all storages, not for each."""
    return create_loader()


class Sdk:
    """The SDK's client of one storage, on one event loop. Make it with `open`.

    Attributes:
        client: the SDK's own.
        endpoint: where requests go.
    """

    client: Any
    endpoint: Endpoint

    def __init__(self, config: S3Config, region: str | None = None) -> None:
        self._config = config
        self._region = region or config.region
        self._stack = AsyncExitStack()
        self._session = make_session(config)
        self._source: Any = None  # of credentials
        self._frozen: Any = None
        self._credentials: Credentials | None = None

    @classmethod
    async def open(cls, config: S3Config, region: str | None = None) -> Sdk:
        """Return a client that is ready, without having asked the service anything.

        Args:
            config: of the storage.
            region: instead of the configured one.
        """
        sdk = cls(config, region)
        try:
            await sdk._open()
        except BaseException:
            await sdk.aclose()
            raise
        return sdk

    async def _open(self) -> None:
        config = self._config
        own = AioConfig(
            signature_version=ANONYMOUS if config.anonymous else None,
            connect_timeout=config.connect_timeout,
            read_timeout=config.read_timeout,
            proxies=dict(config.proxies) if config.proxies is not None else None,
            retries={"mode": "standard", "total_max_attempts": 3},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            use_fips_endpoint=config.fips or None,
            s3={
                "addressing_style": config.addressing_style,
                **({"use_dualstack_endpoint": True} if config.dualstack else {}),
            },
        )
        if config.client_config is not None:
            own = own.merge(config.client_config)
        own.http_session_cls = ToldSession  # after the merge, which would lose it
        self.client = await self._stack.enter_async_context(
            self._session.create_client(
                "s3",
                region_name=self._region,
                endpoint_url=config.endpoint_url,
                verify=config.verify,
                config=own,
            )
        )
        if not config.anonymous:
            self._source = await self._session.get_credentials()
            if self._source is None:
                raise NoCredentialsError
        self.endpoint = await self._see_endpoint()
        tell_retries(self.client)

    async def _see_endpoint(self) -> Endpoint:
        """Let the SDK make a request, and stop it before it is sent: its rules are many."""
        client, bucket = self.client, self._config.bucket
        special = bucket.startswith("arn:") or bucket.endswith(DIRECTORY_BUCKET)
        if special:
            host = urlsplit(client.meta.endpoint_url).netloc
            return Endpoint("", host, "", client.meta.region_name, "s3", True, False)

        def stop(request: Any, **_: Any) -> None:
            authorization = request.headers.get("Authorization", b"")
            if isinstance(authorization, bytes):
                authorization = authorization.decode()
            raise _Seen(request.url, authorization)

        events, name = client.meta.events, "before-send.s3.HeadObject"
        events.register_first(name, stop)
        try:
            await client.head_object(Bucket=bucket, Key="x")
            raise AssertionError("the request was to be stopped")
        except _Seen as seen:
            return self._endpoint_of(seen)
        finally:
            events.unregister(name, stop)

    def _endpoint_of(self, seen: _Seen) -> Endpoint:
        url = urlsplit(seen.url)
        scope = _SCOPE.search(seen.authorization)
        host = url.hostname or ""
        port = {"http": 80, "https": 443}.get(url.scheme)
        return Endpoint(
            origin=f"{url.scheme}://{url.netloc}",
            host=host if url.port in (None, port) else url.netloc,
            base=url.path.removesuffix("x"),
            region=scope[1] if scope else self.client.meta.region_name,
            service=scope[2] if scope else "s3",
            aws=host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws")),
            plain=(scope is not None and seen.authorization.startswith(_ALGORITHM + " "))
            or (self._config.anonymous and not seen.authorization),
        )

    async def credentials(self) -> Credentials | None:
        """Return who signs now, refreshed where they are temporary; None for nobody."""
        if self._source is None:
            return None
        frozen = await self._source.get_frozen_credentials()
        if frozen != self._frozen:
            self._credentials = Credentials(frozen.access_key, frozen.secret_key, frozen.token)
            self._frozen = frozen
        return self._credentials

    def outlives_credentials(self, seconds: float) -> bool:
        """Whether the credentials end within `seconds`, as far as the SDK knows."""
        ends_within = getattr(self._source, "refresh_needed", None)
        return ends_within is not None and bool(ends_within(refresh_in=seconds))

    def http_options(self) -> HttpOptions:
        """Return how the SDK would reach the endpoint: its proxy and certificates."""
        config, origin = self._config, self.endpoint.origin
        proxies = self.client.meta.config.proxies
        if proxies is None:
            proxies = get_environ_proxies(origin)
        return HttpOptions(
            connect_timeout=config.connect_timeout,
            read_timeout=config.read_timeout,
            retry_deadline=config.retry_deadline,
            proxy=proxies.get(urlsplit(origin).scheme),
            tls=self._tls() if origin.startswith("https:") else True,
        )

    def _tls(self) -> ssl.SSLContext:
        verify: Any = self._config.verify
        if verify is None:
            verify = (
                self._session.get_config_variable("ca_bundle")
                or os.environ.get("REQUESTS_CA_BUNDLE")
                or True
            )
        context = tls_context(verify if verify is False else get_cert_path(verify))
        certificate = self.client.meta.config.client_cert
        if certificate is not None:
            pair = (certificate,) if isinstance(certificate, str) else certificate
            context.load_cert_chain(*pair)
        return context

    # -- the rare verbs -------------------------------------------------------------------------

    async def copy_object(
        self, key: str, bucket: str, source: str, etag: str, headers: Mapping[str, str]
    ) -> Any:
        """Copy a version, perhaps of another bucket, in one request and return the answer."""
        with translated():
            return await self.client.copy_object(
                Bucket=self._config.bucket,
                Key=key,
                CopySource={"Bucket": bucket, "Key": source},
                CopySourceIfMatch=f'"{etag}"',
                **self.arguments("CopyObject", headers),
                **self._customer_key(),
            )

    async def copy_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        bucket: str,
        source: str,
        etag: str,
        span: ByteRange,
    ) -> str:
        """Copy a range into a part and return its etag."""
        with translated():
            answer = await self.client.upload_part_copy(
                Bucket=self._config.bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                CopySource={"Bucket": bucket, "Key": source},
                CopySourceIfMatch=f'"{etag}"',
                CopySourceRange=f"bytes={span.offset}-{span.end - 1}",
                **self._customer_key(),
            )
        etag = answer["CopyPartResult"]["ETag"]
        return str(etag).strip('"')

    def _customer_key(self) -> dict[str, Any]:
        key = self._config.customer_key
        if key is None:
            return {}
        return self._own_customer_key() | {
            "CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": key,
        }  # fmt: skip

    def _own_customer_key(self) -> dict[str, Any]:
        key = self._config.customer_key
        return {} if key is None else {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}

    async def parts(self, key: str, upload_id: str) -> list[Mapping[str, Any]]:
        """Return the parts that the service has of an upload."""
        pages = self.client.get_paginator("list_parts").paginate(
            Bucket=self._config.bucket, Key=key, UploadId=upload_id, **self._own_customer_key()
        )
        with translated():
            return [part async for page in pages for part in page.get("Parts", ())]

    async def uploads(self, prefix: str) -> AsyncIterator[tuple[str, str, datetime]]:
        """Yield key, id and beginning of every unfinished upload below a prefix."""
        pages = self.client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._config.bucket, Prefix=prefix
        )
        with translated():
            async for page in pages:
                for upload in page.get("Uploads", ()):
                    yield upload["Key"], upload["UploadId"], upload["Initiated"]

    async def bucket_exists(self) -> bool:
        """Whether the bucket is there, or at least nothing says that it is not."""
        try:
            await self.client.head_bucket(Bucket=self._config.bucket)
        except ClientError as exc:
            return bool(exc.response["ResponseMetadata"]["HTTPStatusCode"] != 404)
        return True

    def arguments(self, operation: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """Return headers of a request as the SDK's arguments of an operation."""
        shape = self.client.meta.service_model.operation_model(operation).input_shape
        arguments: dict[str, Any] = {}
        left = dict(headers)
        for name, member in shape.members.items():
            if member.serialization.get("location") != "header":
                if member.serialization.get("location") == "headers":
                    prefix = member.serialization["name"]
                    own = [header for header in left if header.startswith(prefix)]
                    if own:
                        arguments[name] = {h.removeprefix(prefix): left.pop(h) for h in own}
                continue
            value = left.pop(member.serialization["name"].lower(), None)
            if value is not None:
                arguments[name] = value
        assert not left, f"the SDK does not know {sorted(left)} of {operation}"
        return arguments

    async def aclose(self) -> None:
        """Close the SDK's connections."""
        await self._stack.aclose()


@contextmanager
def translated() -> Iterator[None]:
    """Let the errors of the SDK leave as those of every other request."""
    error: Exception
    try:
        yield
        return
    except ClientError as exc:
        error = service_error(exc.response)
    except Exception as exc:
        lost = lost_by_sdk(exc)
        if lost is None:
            raise
        error = lost
    raise error
