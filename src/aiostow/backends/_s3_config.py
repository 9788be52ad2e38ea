"""What an S3 storage is told, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from ..errors import InvalidArgumentError
from ._checksums import Checksum

MIB = 1 << 20
MIN_PART = 5 * MIB
MAX_PART = 5 << 30
MAX_PARTS = 10_000
MAX_KEY = 1024
"""Bytes of a key."""
DIRECTORY_BUCKET = "--x-s3"
"""Ends the names of directory buckets."""

AddressingStyle: TypeAlias = Literal["auto", "virtual", "path"]
DataPlane: TypeAlias = Literal["auto", "sdk"]


@dataclass(frozen=True, kw_only=True)
class S3Config:
    """The arguments of `S3Storage`, which describes them. The repr holds no secret."""

    bucket: str
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    anonymous: bool = False
    endpoint_url: str | None = None
    addressing_style: AddressingStyle = "auto"
    dualstack: bool = False
    fips: bool = False
    verify: bool | str | None = None
    proxies: Mapping[str, str] | None = field(default=None, repr=False)
    client_config: Any = field(default=None, repr=False)
    session: Any = field(default=None, repr=False)
    data_plane: DataPlane = "auto"
    part_size: int = 8 * MIB
    checksum: Checksum | Literal["auto"] | None = "auto"
    server_side_encryption: str | None = None
    kms_key_id: str | None = None
    customer_key: bytes | None = field(default=None, repr=False)
    storage_class: str | None = None
    acl: str | None = None
    request_payer: bool = False
    conditional_writes: bool | None = None
    conditional_complete: bool | None = None
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    retry_deadline: float = 60.0

    def __post_init__(self) -> None:
        if not isinstance(self.bucket, str) or not self.bucket:
            raise InvalidArgumentError("bucket must be the name of a bucket")
        self._check_credentials()
        self._check_endpoint()
        _check_choice("addressing_style", self.addressing_style, ("auto", "virtual", "path"))
        _check_choice("data_plane", self.data_plane, ("auto", "sdk"))
        _check_choice("checksum", self.checksum, ("auto", "crc32", "crc64nvme", "md5", None))
        if not isinstance(self.part_size, int) or not MIN_PART <= self.part_size <= MAX_PART:
            raise InvalidArgumentError(
                f"part_size must be from {MIN_PART} (5 MiB) to {MAX_PART} (5 GiB) bytes, not "
                f"{self.part_size!r}"
            )
        if self.customer_key is not None and len(self.customer_key) != 32:
            raise InvalidArgumentError("sse_customer_key must have 32 bytes")
        if self.customer_key is not None and self.server_side_encryption is not None:
            raise InvalidArgumentError("give sse_customer_key or server_side_encryption, not both")
        if self.kms_key_id is not None and not self.kms:
            raise InvalidArgumentError("kms_key_id needs server_side_encryption='aws:kms'")
        for name in ("connect_timeout", "read_timeout", "retry_deadline"):
            if not getattr(self, name) > 0:
                raise InvalidArgumentError(f"{name} must be positive: seconds")

    @property
    def kms(self) -> bool:
        """Whether objects are encrypted by KMS, so that their etags are not MD5."""
        return (self.server_side_encryption or "").startswith("aws:kms")

    def reaches(self, other: S3Config) -> bool:
        """Tell whether one service holds both buckets, and the same credentials ask for both."""
        own = ("bucket", "part_size", "checksum", "server_side_encryption", "kms_key_id",
               "storage_class", "acl", "conditional_writes", "conditional_complete", "data_plane",
               "connect_timeout", "read_timeout", "retry_deadline")  # fmt: skip
        return replace(self, **{name: getattr(other, name) for name in own}) == other

    def write_headers(self) -> dict[str, str]:
        """Return the headers by which everything is stored."""
        told = {
            "x-amz-storage-class": self.storage_class,
            "x-amz-server-side-encryption": self.server_side_encryption,
            "x-amz-server-side-encryption-aws-kms-key-id": self.kms_key_id,
            "x-amz-acl": self.acl,
        }
        return {name: value for name, value in told.items() if value is not None}

    def _check_credentials(self) -> None:
        given = [self.access_key_id is not None, self.secret_access_key is not None]
        if any(given) != all(given) or (self.session_token is not None and not all(given)):
            raise InvalidArgumentError(
                "credentials are aws_access_key_id with aws_secret_access_key, and for temporary "
                "ones aws_session_token as well; or none of them, for the usual chain of "
                "environment, profile and instance"
            )
        others = [
            name
            for name, there in (
                ("keys", any(given)),
                ("aws_profile", self.profile is not None),
                ("session", self.session is not None),
            )
            if there
        ]
        if len(others) > 1 or (others and self.anonymous):
            raise InvalidArgumentError(
                "give one of keys, aws_profile, session and anonymous=True, not "
                + " and ".join([*others, *(["anonymous"] if self.anonymous else [])])
            )

    def _check_endpoint(self) -> None:
        if self.endpoint_url is None:
            return
        try:
            parts = urlsplit(self.endpoint_url)
            there = parts.scheme in ("http", "https") and bool(parts.hostname)
            plain = not (parts.query or parts.fragment or parts.username or parts.password)
            _ = parts.port
        except (ValueError, AttributeError, TypeError):
            there = plain = False
        if not there or not plain:
            raise InvalidArgumentError(
                "endpoint_url must be a URL of scheme, host and perhaps port and path, such as "
                "'https://s3.example.org:9000'"
            )


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise InvalidArgumentError(f"{name} must be one of {choices}, not {value!r}")
