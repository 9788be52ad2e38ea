"""What only S3 has to look at: checksums, and conditions that are not always kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from .._diagnosis import Canary, Finding, Step
from ..driver import Buffer
from ..errors import (
    CredentialsError,
    PermissionDeniedError,
    StorageError,
    StorageNotFoundError,
    UnsupportedOperationError,
)
from ._checksums import Checksum, Checksums
from ._rest_checks import RestChecks
from ._rest_entry import etag_of
from ._s3_config import S3Config
from ._s3_plane import Answer, Plane
from ._s3_sdk import Sdk
from ._s3_xml import Part
from .http import ServiceError

Kept: TypeAlias = Literal["kept", "ignored", "refused"]
"""What became of something that was asked of the service."""

_ACTIONS = {
    "stat": "s3:GetObject and s3:ListBucket",
    "list": "s3:ListBucket on the bucket itself",
    "write": "s3:PutObject",
    "replace": "s3:PutObject",
    "read": "s3:GetObject",
    "range read": "s3:GetObject",
    "delete": "s3:DeleteObject",
    "copy": "s3:GetObject and s3:PutObject",
    "move": "s3:GetObject, s3:PutObject and s3:DeleteObject",
    "write in pieces": "s3:PutObject, without conditions that only small writes meet",
    "abort": "s3:AbortMultipartUpload",
    "leftovers": "s3:ListBucketMultipartUploads on the bucket itself",
}
_SUGGESTED: tuple[Checksum, ...] = ("crc32", "md5")
_BROKEN = 500
_NOT_IMPLEMENTED = 501
_UNMET = (409, 412)


def advise(config: S3Config, check: str, error: StorageError) -> str:
    """Return what to do about the error of a check."""
    if isinstance(error, CredentialsError):
        return (
            "correct aws_access_key_id and aws_secret_access_key, or the profile or environment "
            "that they come from"
        )
    if isinstance(error, PermissionDeniedError):
        action = _ACTIONS.get(check, "s3:PutObject and s3:GetObject")
        left = "; storage.sweep() then removes the upload that is left" if check == "abort" else ""
        return f"allow {action} in a policy of the user or of the bucket {config.bucket!r}{left}"
    if isinstance(error, StorageNotFoundError):
        return f"create the bucket {config.bucket!r}, or correct bucket, aws_region or endpoint_url"
    if isinstance(error, UnsupportedOperationError):
        return "do without it at this service, or use one that has it"
    return "see the message, and check bucket, aws_region, endpoint_url and addressing_style"


class S3Checks:
    """The steps of S3.

    Args:
        config: of the storage.
        sdk: knows the endpoint.
        plane: the frequent verbs.
        checksums: how bytes are checked.
        writes: whether conditions on a write are relied on.
        complete: whether conditions on the end of an upload in parts are.
        canary: what may be written.
    """

    def __init__(
        self,
        config: S3Config,
        sdk: Sdk,
        plane: Plane,
        checksums: Checksums | None,
        writes: bool,
        complete: bool,
        canary: Canary,
    ) -> None:
        self._headers = config.write_headers()
        self._plane = plane
        self._checksums = checksums
        self._writes = writes
        self._complete = complete
        self._key = canary.key
        self._data = canary.data
        origin = sdk.endpoint.origin or f"https://{sdk.endpoint.host}"
        self._rest = RestChecks(
            origin, sdk.http_options(), canary,
            f"add a CORS rule to the bucket {config.bucket!r} (aws s3api put-bucket-cors)",
            etag_needed=True,
        )  # fmt: skip

    def steps(self) -> list[Step]:
        """Return them."""
        free = ("write", "read", "delete")
        return [
            *self._rest.steps(),
            Step("checksum", self._checksum, free, writes=True),
            Step("conditional writes", self._conditional_writes, free, writes=True),
            Step("conditional complete", self._conditional_complete, (*free, "abort"), writes=True),
        ]

    async def _put(self, headers: Mapping[str, str], data: Buffer | None = None) -> Answer:
        body = [self._data if data is None else data]
        return await self._plane.put(self._key, body, {**self._headers, **headers})

    # -- checksums ------------------------------------------------------------------------------

    async def _checksum(self) -> Finding:
        configured = self._checksums
        if configured is None:
            return await self._suggest()
        kind, kept = configured.kind, await self._keeps(configured)
        told = configured.element is not None and kept != "refused"
        told = told and await self._returns(configured)
        if kept == "kept" and (told or configured.element is None):
            return Finding("ok", f"the service checks {kind}, as configured")
        if kept == "kept":
            return Finding(
                "warning", f"the service checks {kind} of what is written, and does not tell it to "
                "who reads", "use https, which protects what is read",
            )  # fmt: skip
        best = await self._best()
        advice = f"pass checksum={best!r}"
        if told:
            return Finding(
                "warning", f"the service keeps {kind} for who reads, and does not check it itself: "
                "what was changed on its way is found late", advice,
            )  # fmt: skip
        what = "takes no notice of" if kept == "ignored" else "refuses"
        return Finding(
            "failed", f"the service {what} {kind} checksums, so bytes that were changed on their "
            "way are not found", advice,
        )  # fmt: skip

    async def _suggest(self) -> Finding:
        best = await self._best()
        if best is None:
            return Finding("ok", "none is configured, and the service checks none")
        return Finding(
            "ok", f"none is configured; the service would check {best}",
            f"pass checksum={best!r} to find bytes that are changed on their way",
        )  # fmt: skip

    async def _best(self) -> Checksum | None:
        for kind in _SUGGESTED:
            if await self._keeps(Checksums.of(kind)) == "kept":
                return kind
        return None

    async def _keeps(self, checksums: Checksums) -> Kept:
        """Tell what a service does with a checksum, by a right one and a wrong one."""
        right = {checksums.header: checksums.value([self._data])}
        wrong = {checksums.header: checksums.value([self._data[::-1]])}
        if not await self._taken(right):
            return "refused"
        return "ignored" if await self._taken(wrong) else "kept"

    async def _taken(self, headers: Mapping[str, str]) -> bool:
        try:
            await self._put(headers)
        except ServiceError as exc:
            _check_broken(exc)
            return False
        return True

    async def _returns(self, checksums: Checksums) -> bool:
        await self._put({checksums.header: checksums.value([self._data])})
        got = await self._plane.get(self._key, None, {"x-amz-checksum-mode": "ENABLED"})
        got.body.close()
        return checksums.header in {name.lower() for name in got.headers}

    # -- conditions -----------------------------------------------------------------------------

    async def _conditional_writes(self) -> Finding:
        old, new = await self._put({}), await self._put({}, self._data[::-1])
        kept = await self._kept_on_put(etag_of(old.headers) or "", etag_of(new.headers) or "")
        return _judge(
            kept, self._writes, "conditional_writes", "if_match on a write",
            "if_match is refused then, instead of ignored",
        )  # fmt: skip

    async def _kept_on_put(self, old: str, new: str) -> Kept:
        try:
            await self._put({"if-match": f'"{old}"'})
        except ServiceError as exc:
            _check_broken(exc)
            if exc.status not in _UNMET:
                return "refused"
        else:
            return "ignored"
        return "kept" if await self._taken({"if-match": f'"{new}"'}) else "refused"

    async def _conditional_complete(self) -> Finding:
        answer = await self._put({})
        conditions = [{"if-none-match": "*"}]
        if self._writes:
            await self._put({}, self._data[::-1])
            conditions.append({"if-match": f'"{etag_of(answer.headers) or ""}"'})
        kept: Kept = "kept"
        for condition in conditions:
            kept = await self._kept_on_complete(condition)
            if kept != "kept":
                break
        return _judge(
            kept, self._complete, "conditional_complete",
            "if_absent and if_match at the end of an upload in parts",
            "both are refused then for objects over part_size, instead of ignored",
        )  # fmt: skip

    async def _kept_on_complete(self, condition: Mapping[str, str]) -> Kept:
        upload_id = await self._plane.create(self._key, self._headers)
        ended = False
        try:
            answer = await self._plane.part(self._key, upload_id, 1, [self._data], {})
            part = Part(1, etag_of(answer.headers) or "", None)
            await self._plane.complete(self._key, upload_id, [part], condition)
            ended = True
        except ServiceError as exc:
            _check_broken(exc)
            return "kept" if exc.status in _UNMET else "refused"
        finally:
            if not ended:
                await self._plane.abort(self._key, upload_id)
        return "ignored"


def _judge(kept: Kept, relied: bool, setting: str, what: str, otherwise: str) -> Finding:
    """Compare what a service does with what the storage was told."""
    does = {
        "kept": f"the service honours {what}",
        "ignored": f"the service ignores {what}, and overwrites",
        "refused": f"the service does not implement {what}",
    }[kept]
    if kept == "kept":
        if relied:
            return Finding("ok", f"{does}, as configured")
        return Finding("ok", f"{does}, which is not made use of", f"pass {setting}=True to use it")
    if relied:
        return Finding(
            "failed", f"{does}, but the storage relies on it", f"pass {setting}=False: {otherwise}"
        )
    return Finding("ok", f"{does}, and the storage does not rely on it")


def _check_broken(exc: ServiceError) -> None:
    """Raise what is no answer to the question."""
    if exc.status >= _BROKEN and exc.status != _NOT_IMPLEMENTED:
        raise exc
