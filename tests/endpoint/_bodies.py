"""What tests send: bytes of a few sizes, forms, and bodies of no known length."""

from __future__ import annotations

from collections.abc import Iterator

SMALL = b"0123456789"
LARGE = bytes(range(256)) * (3 << 12)
"""3 MiB: more than what is sent, stored or listed at once."""

BOUNDARY = "----boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def part(headers: str, data: bytes) -> bytes:
    """A part of a form."""
    return f"{headers}\r\n\r\n".encode() + data


def field(name: str, data: bytes = b"a value") -> bytes:
    """A field that is no file."""
    return part(f'Content-Disposition: form-data; name="{name}"', data)


def file(data: bytes, kind: str = "application/whatever", name: str = "../../name.html") -> bytes:
    """A file; the name is nobody's business."""
    disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    return part(f"{disposition}\r\nContent-Type: {kind}", data)


def form(*parts: bytes) -> bytes:
    """A whole form."""
    begin = f"--{BOUNDARY}\r\n".encode()
    return b"".join(begin + each + b"\r\n" for each in parts) + f"--{BOUNDARY}--\r\n".encode()


def chunked(data: bytes, size: int = 70_000) -> Iterator[bytes]:
    """A body whose length nobody is told."""
    return (data[start : start + size] for start in range(0, len(data), size))


WHOLE = form(file(SMALL))
