"""What an Azure storage is told, checked before anything is sent."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import InvalidArgumentError
from ._percent import encode_path

MIB = 1 << 20
MAX_BLOCK = 4000 * MIB
MAX_BLOCKS = 50_000
MAX_KEY = 1024
"""Characters of a key."""

_CHECKED = 64 << 10  # bytes

META = "x-ms-meta-"
"""How the names of metadata begin."""

BlobChecksum: TypeAlias = Literal["md5"]

_CONTAINER = re.compile(r"\$(?:root|web|logs)|(?=.{3,63}\Z)[a-z0-9](?:-?[a-z0-9])+")
_ACCEPTED = """\
give one of these together:
- account, key and bucket
- account, bucket and credential (of azure-identity)
- connection_string and bucket
- sas_container_url
- sas_blob_url
- account, bucket and anonymous=True, for a public container
where endpoint may stand beside account, or for credential and anonymous instead of it"""

# Of the emulator's own account: published, and the same everywhere.
_EMULATOR = {
    "AccountName": "devstoreaccount1",
    "AccountKey": (
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    ),
    "BlobEndpoint": "http://127.0.0.1:10000/devstoreaccount1",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a container or blob is, and who asks. The repr holds no secret.

    Attributes:
        account: its name, which stands in signatures.
        endpoint: URL of the account, without an ending ``/``.
        container: its name.
        blob: the only one that is reached, in the mode of a blob's URL.
        key: of the account.
        sas: a shared access signature that the user gave, as a query.
        credential: of azure-identity.
    """

    account: str
    endpoint: str
    container: str
    blob: str | None = None
    key: str | None = field(default=None, repr=False)
    sas: str | None = field(default=None, repr=False)
    credential: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not _CONTAINER.fullmatch(self.container):
            raise InvalidArgumentError(
                f"bucket {self.container!r} is no name of a container, which is 3 to 63 lower-case "
                "letters, digits and single dashes"
            )
        if self.key is not None:
            try:
                base64.b64decode(self.key, validate=True)
            except (binascii.Error, ValueError):
                raise InvalidArgumentError(
                    "key must be the account's key as Azure shows it, in base64"
                ) from None
        if self.credential is not None and not self.endpoint.startswith("https:"):
            raise InvalidArgumentError("a credential's tokens are sent by https only")

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def base(self) -> str:
        """The path of the container, encoded."""
        return f"{urlsplit(self.endpoint).path}/{self.container}"

    @property
    def signs(self) -> bool:
        """Whether it can sign links of its own; a signature signs no others."""
        return self.key is not None or self.credential is not None

    def path(self, key: str) -> str:
        """Return the path of an object, encoded."""
        return f"{self.base}/{encode_path(key)}"

    def url(self, key: str) -> str:
        """Return the URL of an object, without a signature."""
        return f"{self.origin}{self.path(key)}"


def find_place(
    account: str | None,
    key: str | None,
    bucket: str | None,
    sas_container_url: str | None,
    sas_blob_url: str | None,
    connection_string: str | None,
    endpoint: str | None,
    credential: Any,
    anonymous: bool,
) -> Place:
    """Return what the arguments of `AzureStorage` point to.

    Raises:
        InvalidArgumentError: they are incomplete or contradict each other; lists what is accepted.
    """
    if (credential is not None or anonymous) and (
        key or connection_string or sas_container_url or sas_blob_url
    ):
        raise InvalidArgumentError(f"credential and anonymous stand alone: {_ACCEPTED}")
    if credential is not None and anonymous:
        raise InvalidArgumentError(f"credential and anonymous exclude each other: {_ACCEPTED}")
    if account and key and bucket:
        return Place(account=account, endpoint=_at(account, endpoint), container=bucket, key=key)
    if connection_string and bucket:
        return _of_connection_string(connection_string, bucket)
    if (credential is not None or anonymous) and bucket and (account or endpoint):
        there = _at(account, endpoint)
        return Place(
            account=account or _account_of(there),
            endpoint=there,
            container=bucket,
            credential=credential,
        )
    if sas_container_url:
        return _of_url("sas_container_url", sas_container_url, blob=False)
    if sas_blob_url:
        return _of_url("sas_blob_url", sas_blob_url, blob=True)
    raise InvalidArgumentError(f"the credentials are incomplete: {_ACCEPTED}")


def _at(account: str | None, endpoint: str | None) -> str:
    if endpoint is None:
        return f"https://{account}.blob.core.windows.net"
    parts = _split("endpoint", endpoint)
    if parts.query:
        raise InvalidArgumentError("endpoint holds no query: give a SAS by sas_container_url")
    return endpoint.rstrip("/")


def _split(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        there = parts.scheme in ("http", "https") and bool(parts.hostname)
        plain = not (parts.fragment or parts.username or parts.password)
        _ = parts.port
    except (ValueError, AttributeError, TypeError):
        there = plain = False
    if not there or not plain:
        # The URL itself is not shown: it may hold a signature.
        raise InvalidArgumentError(
            f"{name} must be a URL such as 'https://account.blob.core.windows.net/...'"
        )
    return parts


def _paths_hold_accounts(host: str) -> bool:
    """Whether the account is in the path, as where hosts have no names of their own."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _account_of(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    if _paths_hold_accounts(parts.hostname or ""):
        return parts.path.strip("/").partition("/")[0]
    return (parts.hostname or "").partition(".")[0]


def _of_url(name: str, url: str, *, blob: bool) -> Place:
    """Take a URL apart: endpoint, container, perhaps blob, and the signature."""
    parts = _split(name, url)
    if "sig=" not in parts.query:
        raise InvalidArgumentError(f"{name} must be a URL with a shared access signature")
    rest = parts.path.lstrip("/")
    base = ""
    if _paths_hold_accounts(parts.hostname or ""):
        account, _, rest = rest.partition("/")
        base = f"/{account}"
    container, _, key = rest.partition("/")
    if bool(key.rstrip("/")) != blob or not container:
        what = "container and blob" if blob else "a container and nothing below it"
        raise InvalidArgumentError(f"the path of {name} must name {what}")
    endpoint = f"{parts.scheme}://{parts.netloc}{base}"
    return Place(
        account=_account_of(endpoint),
        endpoint=endpoint,
        container=unquote(container),
        blob=unquote(key) if blob else None,
        sas=parts.query,
    )


def _of_connection_string(text: str, bucket: str) -> Place:
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    told = {name.strip(): value.strip() for name, _, value in pairs}
    if told.get("UseDevelopmentStorage", "").lower() == "true":
        told = _EMULATOR | told
    account, key = told.get("AccountName"), told.get("AccountKey")
    sas = told.get("SharedAccessSignature")
    endpoint = told.get("BlobEndpoint")
    if endpoint is None and account:
        scheme = told.get("DefaultEndpointsProtocol", "https")
        suffix = told.get("EndpointSuffix", "core.windows.net")
        endpoint = f"{scheme}://{account}.blob.{suffix}"
    if endpoint is None or not (sas or (account and key)):
        raise InvalidArgumentError(
            "connection_string must hold AccountName and AccountKey, or BlobEndpoint and "
            "SharedAccessSignature"
        )
    endpoint = _at(account, endpoint)
    return Place(
        account=account or _account_of(endpoint),
        endpoint=endpoint,
        container=bucket,
        key=key if account else None,
        sas=None if account and key else (sas or "").lstrip("?"),
    )


@dataclass(frozen=True, kw_only=True)
class AzureConfig:
    """The arguments of `AzureStorage`, which describes them. The repr holds no secret."""

    place: Place
    chunk_size: int
    access_tier: str | None = None
    checksum: BlobChecksum | Literal["auto"] | None = "auto"
    verify: bool | str | None = None
    proxies: Mapping[str, str] | None = field(default=None, repr=False)
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    retry_deadline: float = 60.0

    def __post_init__(self) -> None:
        if not isinstance(self.chunk_size, int) or not 1 <= self.chunk_size <= MAX_BLOCK:
            raise InvalidArgumentError(
                f"chunk_size must be from 1 to {MAX_BLOCK} (4,000 MiB) bytes, not "
                f"{self.chunk_size!r}"
            )
        if self.checksum not in (None, "auto", "md5"):
            raise InvalidArgumentError(
                f"checksum must be 'auto', 'md5' or None, not {self.checksum!r}"
            )
        for name in ("connect_timeout", "read_timeout", "retry_deadline"):
            if not getattr(self, name) > 0:
                raise InvalidArgumentError(f"{name} must be positive: seconds")

    @property
    def checked_from(self) -> int | None:
        """From how many bytes on a body goes with its sum, and is compared; None for never.

        By default those that count, where TLS does not protect them on their way: of a small one
        the sum would cost a tenth of the request.
        """
        if self.checksum == "auto":
            return _CHECKED if self.place.endpoint.startswith("http:") else None
        return None if self.checksum is None else 0

    def write_headers(self) -> dict[str, str]:
        """Return the headers by which everything is stored."""
        return {} if self.access_tier is None else {"x-ms-access-tier": self.access_tier}
