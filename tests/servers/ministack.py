"""MiniStack: what the production servers lack, such as If-Match, checksums and CORS."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ._process import S3Server, free_ports, need, process, wait_for_http


@contextlib.contextmanager
def ministack(folder: Path, tls: tuple[Path, Path] | None = None) -> Iterator[S3Server]:
    """Run MiniStack within the block.

    Args:
        folder: an empty one, for all its files.
        tls: certificate and key, for https.

    Raises:
        Missing: it is not installed.
    """
    program = need("ministack", "pip install ministack")
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    env = {
        "AUTH": "true", "SERVICES": "s3,sts", "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1", "TMPDIR": str(folder),
    }  # fmt: skip
    if tls is not None:
        certificate, key = map(str, tls)
        env |= {"USE_SSL": "1", "MINISTACK_SSL_CERT": certificate, "MINISTACK_SSL_KEY": key}
    scheme = "http" if tls is None else "https"
    with process([program], folder / "ministack.log", env) as started:
        wait_for_http(port, started, folder / "ministack.log", scheme)
        yield S3Server("ministack", port, "test", "test", frozenset(), scheme=scheme)
