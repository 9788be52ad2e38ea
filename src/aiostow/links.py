"""Tokens of share links: what a link grants, signed. Pure: no input, output or clock of its own.

A token is a JWT (RFC 7519) with one algorithm, a type of its own and nothing optional about it
(RFC 8725): whatever is not exactly as this module would write it again is refused.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

import jwt
from pendulum import DateTime, from_timestamp

from .errors import (
    ExpiredLinkError,
    InvalidArgumentError,
    InvalidLinkError,
    InvalidTypeError,
    LinkTooLongError,
)
from .keys import check_key
from .models import ShareLinkOperation, as_operation

__all__ = [
    "MAX_TOKEN",
    "Disposition",
    "Expiry",
    "InternalLinkTokenData",
    "KeyRing",
    "LinkSigner",
    "Secrets",
    "as_expiry",
    "make_grant",
]

MAX_TOKEN = 3500
"""Characters of a token: more does not fit into a URL everywhere."""

MIN_SECRET = 32
"""Bytes of a secret, as many as the hash has (RFC 7518, 3.2)."""

_ALGORITHM = "HS256"
_TYPE = "aiostow-link+jwt"
_LABEL = b"aiostow-link-v1"
_SKEW = 30  # seconds that the clocks of two machines may differ
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
CONTENT_TYPE = re.compile(rf'{_NAME}/{_NAME}(?: *; *{_NAME}=(?:{_NAME}|"[ !#-\[\]-~]*"))*')
"""What a content type looks like that may stand in a header."""

Disposition: TypeAlias = Literal["attachment", "inline"]

Secrets: TypeAlias = bytes | str | Sequence[bytes | str] | Mapping[str, bytes | str]
"""One secret, or several of which the first signs and all verify; with their names, or without."""

Expiry: TypeAlias = datetime | timedelta | float
"""When a link ends: an aware datetime (pendulum's too, or an `arrow.Arrow`), or after how long: a
timedelta or seconds."""


@dataclass(frozen=True)
class InternalLinkTokenData:
    """What a link grants. Unpacks as ``path, operations``.

    Attributes:
        path: the key.
        operations: what may be done.
        expires: when the link ends.
        output_path: the file name that a download suggests; None for the key's own.
        content_type: of a download, or the one that an upload must have.
        disposition: whether a browser shows or stores a download.
        overwrite: whether an upload may replace what is there.
        max_size: of an upload, in bytes.
        exact_size: of an upload, in bytes.
        once: whether the link ends with its first use.
        token_id: names the link in logs and revocations.
        issued: when it was made, in seconds since the epoch.

    Raises:
        InvalidArgumentError, InvalidTypeError: a value cannot be; the message says what can.
        InvalidKeyError: `path` is no key.
    """

    path: str
    operations: ShareLinkOperation
    _: KW_ONLY
    expires: DateTime
    output_path: str | None = None
    content_type: str | None = None
    disposition: Disposition = "attachment"
    overwrite: bool = True
    max_size: int | None = None
    exact_size: int | None = None
    once: bool = False
    token_id: str = ""
    issued: int = 0

    def __post_init__(self) -> None:
        check_key(self.path)
        object.__setattr__(self, "operations", as_operation(self.operations))
        _check_text("output_path", self.output_path)
        if self.output_path is not None and self.output_path.endswith("/"):
            raise InvalidArgumentError(
                f"output_path {self.output_path!r} names no file: it ends with '/'"
            )
        _check_text("content_type", self.content_type)
        if self.content_type is not None and not CONTENT_TYPE.fullmatch(self.content_type):
            raise InvalidArgumentError(
                f"{self.content_type!r} is no content type: write one such as 'text/csv'"
            )
        if self.disposition not in ("attachment", "inline"):
            raise InvalidArgumentError(
                f"disposition must be 'attachment' or 'inline', not {self.disposition!r}"
            )
        for name in ("overwrite", "once"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidTypeError(f"{name} must be True or False")
        for name in ("max_size", "exact_size"):
            _check_size(name, getattr(self, name))
        constrained = not self.overwrite or self.max_size is not None or self.exact_size is not None
        if constrained and not self.allow_upload:
            raise InvalidArgumentError(
                "overwrite, max_size and exact_size limit an upload, which this link does not allow"
            )
        if None not in (self.max_size, self.exact_size) and self.exact_size > self.max_size:  # type: ignore[operator]  # neither is None
            raise InvalidArgumentError("exact_size is more than max_size")

    def __iter__(self) -> Iterator[Any]:
        return iter((self.path, self.operations))

    @property
    def allow_download(self) -> bool:
        """Whether the object may be downloaded."""
        return ShareLinkOperation.download in self.operations

    @property
    def allow_upload(self) -> bool:
        """Whether the object may be uploaded."""
        return ShareLinkOperation.upload in self.operations

    @property
    def allow_remove(self) -> bool:
        """Whether the object may be removed."""
        return ShareLinkOperation.remove in self.operations


def _check_text(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise InvalidTypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value:
        raise InvalidArgumentError(f"{name} cannot be empty: leave it out")
    found = _CONTROL.search(value)
    if found is not None:
        raise InvalidArgumentError(f"{name} cannot hold the character {found.group()!r}")


def _check_size(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidTypeError(f"{name} must be an int, in bytes, not {type(value).__name__}")
    if value < 0:
        raise InvalidArgumentError(f"{name} cannot be negative")


def as_expiry(expire: Any, now: float) -> DateTime:
    """Return the moment, in whole seconds and UTC, that an `Expiry` stands for.

    Args:
        expire: see `Expiry`.
        now: in seconds since the epoch.

    Raises:
        InvalidArgumentError: it is naive, past or within this second, or no time at all.
        InvalidTypeError: it is something else.
    """
    try:
        moment = math.floor(_seconds(expire, now))
        expires = from_timestamp(moment)
    except (OverflowError, ValueError, OSError) as exc:
        if isinstance(exc, InvalidArgumentError):
            raise
        raise InvalidArgumentError(f"{expire!r} is no moment that a link could end at") from exc
    if moment <= now:
        raise InvalidArgumentError(
            "the link would end before it begins: expire lies in the past, or in this second"
        )
    return expires


def _seconds(expire: Any, now: float) -> float:
    if isinstance(expire, timedelta):
        return now + expire.total_seconds()
    if isinstance(expire, (int, float)) and not isinstance(expire, bool):
        return now + expire
    moment = getattr(expire, "datetime", expire)  # an arrow.Arrow has one
    if not isinstance(moment, datetime):
        raise InvalidTypeError(
            f"expire must be an aware datetime, a timedelta or seconds, not {type(expire).__name__}"
        )
    if moment.utcoffset() is None:
        raise InvalidArgumentError(
            "expire has no time zone: write datetime.now(UTC) + ..., or a timedelta"
        )
    return moment.astimezone(UTC).timestamp()


def make_grant(
    path: str, operation: ShareLinkOperation | str, expire: Expiry, now: float, **options: Any
) -> InternalLinkTokenData:
    """Return what a new link grants.

    Args:
        path: the key.
        operation: what may be done.
        expire: when the link ends, or after how long.
        now: in seconds since the epoch.
        options: the others of `InternalLinkTokenData`.
    """
    return InternalLinkTokenData(
        path,
        as_operation(operation),
        expires=as_expiry(expire, now),
        token_id=secrets.token_urlsafe(16),
        issued=int(now),
        **options,
    )


class KeyRing:
    """The keys that sign and verify: the first signs, all verify.

    A key is derived from its secret and its name (``kid``), so that a secret that serves other ends
    too never signs the same way. Its repr shows names only.

    Args:
        secret_key: see `Secrets`. Secrets without names are named after a hash of theirs.

    Raises:
        InvalidArgumentError: a secret has less than 32 bytes, or a name is used twice.
        InvalidTypeError: it is none of these.
    """

    def __init__(self, secret_key: Secrets) -> None:
        self._keys: dict[str, bytes] = {}
        for name, secret in _named(secret_key):
            if name in self._keys:
                raise InvalidArgumentError("a secret key is given twice")
            self._keys[name] = hmac.digest(secret, _LABEL + name.encode(), hashlib.sha256)
        if not self._keys:
            raise InvalidArgumentError("secret_key holds no secret: leave it out, or give one")
        self.signs_with: str = next(iter(self._keys))

    def get(self, kid: object) -> bytes | None:
        """Return the key of a name, None for a stranger's."""
        return self._keys.get(kid) if isinstance(kid, str) else None

    def __repr__(self) -> str:
        return f"<KeyRing of {', '.join(map(repr, self._keys))}>"


def _named(secret_key: Secrets) -> Iterator[tuple[str, bytes]]:
    if isinstance(secret_key, Mapping):
        for name, secret in secret_key.items():
            if not isinstance(name, str) or not re.fullmatch(r"[\w.-]{1,64}", name, re.ASCII):
                raise InvalidArgumentError(
                    "the name of a secret key has 1 to 64 letters, digits, '.', '_' or '-'"
                )
            yield name, _secret(secret)
        return
    given = [secret_key] if isinstance(secret_key, (bytes, str)) else secret_key
    if not isinstance(given, Sequence):
        raise InvalidTypeError(
            "secret_key must be bytes or str, several of them, or a dict of them by name, not "
            f"{type(secret_key).__name__}"
        )
    for item in given:
        secret = _secret(item)
        yield hmac.digest(secret, b"aiostow-kid-v1", hashlib.sha256)[:6].hex(), secret


def _secret(value: object) -> bytes:
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    if not isinstance(value, bytes):
        raise InvalidTypeError(f"a secret key must be bytes or str, not {type(value).__name__}")
    if len(value) < MIN_SECRET:
        raise InvalidArgumentError(
            f"a secret key needs at least {MIN_SECRET} bytes: take one from "
            "`python -c 'import secrets; print(secrets.token_hex(32))'`"
        )
    return value


def audience(storage: str, identity: str) -> str:
    """Return who may honour a token: a storage, by its name and what it points to.

    It is a hash, since tokens travel and paths and hosts are nobody's business.
    """
    parts = json.dumps([storage, identity]).encode()
    return hashlib.sha256(_LABEL + parts).hexdigest()[:32]


def claimed_audience(token: str) -> object:
    """Return whose token it claims to be, which nobody has verified; None for what is no token."""
    if len(token) > MAX_TOKEN:
        return None
    try:
        claims: Any = jwt.decode(token, options={"verify_signature": False})
    except Exception:  # noqa: BLE001  # whatever it stumbled over: a stranger's text
        return None
    return claims.get("aud")


class LinkSigner:
    """Makes and verifies the tokens of one storage.

    Args:
        keys: that sign and verify.
        audience: who may honour a token.
        clock: returns the seconds since the epoch.
    """

    def __init__(
        self, keys: KeyRing, audience: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._audience = audience
        self._clock = clock

    def grant(
        self, path: str, operation: ShareLinkOperation | str, expire: Expiry, **options: Any
    ) -> InternalLinkTokenData:
        """Return what a new link grants.

        Args:
            path: the key.
            operation: what may be done.
            expire: when the link ends, or after how long.
            options: the others of `InternalLinkTokenData`.
        """
        return make_grant(path, operation, expire, self._clock(), **options)

    def sign(self, grant: InternalLinkTokenData) -> str:
        """Return the token of a grant.

        Raises:
            LinkTooLongError: it has over `MAX_TOKEN` characters.
        """
        token = self._encode(grant, self._keys.signs_with)
        if len(token) > MAX_TOKEN:
            raise LinkTooLongError(
                f"the token has {len(token)} characters, over the {MAX_TOKEN} that fit into a URL "
                "everywhere: shorten the key, output_path or content_type"
            )
        return token

    def verify(self, token: str) -> InternalLinkTokenData:
        """Return what a token grants.

        Raises:
            InvalidLinkError: it is not exactly a token of this audience.
            ExpiredLinkError: it is one whose time is over.
        """
        try:
            grant = self._decode(token)
        except Exception:  # noqa: BLE001  # whatever it stumbled over: a stranger's text
            grant = None
        if grant is None:
            raise InvalidLinkError("this is no valid link")
        if self._clock() >= grant.expires.int_timestamp:
            raise ExpiredLinkError("the link has expired")
        return grant

    def _decode(self, token: object) -> InternalLinkTokenData | None:
        if not isinstance(token, str) or len(token) > MAX_TOKEN:
            return None
        kid: Any = jwt.get_unverified_header(token).get("kid")
        key = self._keys.get(kid)
        if key is None:
            return None
        claims = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=self._audience,
            options={
                "require": ["aud", "exp", "iat", "jti"],
                "verify_exp": False,  # by our own clock, afterwards
                "verify_iat": False,
            },
        )
        grant = _grant_of(claims)
        # Byte for byte as we write it: no other header, claim, order, spelling or padding.
        if not hmac.compare_digest(self._encode(grant, kid).encode(), token.encode()):
            return None
        return None if grant.issued > self._clock() + _SKEW else grant

    def _encode(self, grant: InternalLinkTokenData, kid: str) -> str:
        key = self._keys.get(kid)
        assert key is not None, "kid is of this ring"
        claims = {"aud": self._audience, **_claims_of(grant)}
        return jwt.encode(claims, key, _ALGORITHM, {"kid": kid, "typ": _TYPE})


# The claims beside the registered ones. What is as by default is left out.
_OPTIONAL = {
    "name": "output_path",
    "type": "content_type",
    "disp": "disposition",
    "over": "overwrite",
    "max": "max_size",
    "exact": "exact_size",
    "once": "once",
}
_DEFAULTS = {
    name: InternalLinkTokenData.__dataclass_fields__[name].default for name in _OPTIONAL.values()
}


def _claims_of(grant: InternalLinkTokenData) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "exp": grant.expires.int_timestamp,
        "iat": grant.issued,
        "jti": grant.token_id,
        "key": grant.path,
        "ops": grant.operations.value,
    }
    for claim, name in _OPTIONAL.items():
        value = getattr(grant, name)
        if value != _DEFAULTS[name]:
            claims[claim] = value
    return claims


def _grant_of(claims: Mapping[str, Any]) -> InternalLinkTokenData:
    for name in ("exp", "iat", "ops"):
        if type(claims[name]) is not int:
            raise InvalidLinkError(f"{name} is no int")
    if not isinstance(claims["jti"], str) or not claims["jti"]:
        raise InvalidLinkError("jti is no str")
    options = {name: claims[claim] for claim, name in _OPTIONAL.items() if claim in claims}
    return InternalLinkTokenData(
        claims["key"],
        ShareLinkOperation(claims["ops"]),
        expires=from_timestamp(claims["exp"]),
        issued=claims["iat"],
        token_id=claims["jti"],
        **options,
    )
