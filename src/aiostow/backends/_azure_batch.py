"""Many deletions in one request: a body of requests, and an answer of answers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ._azure_xml import as_error
from .http import Request, ServiceError

BATCH = 256
"""Requests that one batch may hold."""

_NUMBER = re.compile(rb"^content-id: *(\d+)", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(rb"^HTTP/1\.1 (\d{3})", re.MULTILINE)
_CODE = re.compile(rb"^x-ms-error-code: *([A-Za-z0-9]+)", re.IGNORECASE | re.MULTILINE)
_BOUNDARY = re.compile(r'boundary="?([^";,\s]+)', re.IGNORECASE)


def batch_body(requests: Sequence[tuple[Request, Mapping[str, str]]], boundary: str) -> bytes:
    """Return the body that holds requests without bodies.

    Args:
        requests: each with its headers.
        boundary: between them.
    """
    lines: list[str] = []
    for number, (request, headers) in enumerate(requests):
        target = f"{request.path}?{request.query}" if request.query else request.path
        lines += [
            f"--{boundary}", "content-type: application/http",
            "content-transfer-encoding: binary", f"content-id: {number}", "",
            f"{request.method} {target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers.items()), "content-length: 0", "", "",
        ]  # fmt: skip
    return "\r\n".join([*lines, f"--{boundary}--", ""]).encode()


def batch_failures(content_type: str, body: bytes, count: int) -> dict[int, ServiceError]:
    """Return the error of each request of a batch that failed, by its number.

    Args:
        content_type: of the answer; it names the boundary.
        body: of the answer.
        count: of the requests; one that has no answer has failed.
    """
    found = _BOUNDARY.search(content_type)
    parts = body.split(b"--" + found[1].encode()) if found is not None else []
    failures = {
        number: ServiceError(502, "", "the batch has no answer to this request", {})
        for number in range(count)
    }
    for part in parts:
        number, status = _NUMBER.search(part), _STATUS.search(part)
        if status is None:
            continue
        code = _CODE.search(part)
        name, message = as_error(part.rpartition(b"\r\n\r\n")[2].strip())
        if code is not None:
            name = code[1].decode()
        error = ServiceError(int(status[1]), name, message, {})
        if number is None:  # an answer to all of them
            return dict.fromkeys(range(count), error)
        failures.pop(int(number[1]), None)
        if error.status >= 300:
            failures[int(number[1])] = error
    return failures
