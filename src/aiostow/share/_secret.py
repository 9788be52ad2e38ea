"""The secret of the links, kept beside what they lead to."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def kept_secret(path: Path) -> str:
    """Return the secret in a file, which is made with a random one where it is missing.

    Of several processes that begin at once, all return the same; a crash leaves no half of one.

    Args:
        path: of the file, which nobody but its owner may read.

    Raises:
        OSError: it can be neither read nor made.
    """
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    new = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was the first
            os.link(new, path)
    finally:
        new.unlink()
    return path.read_text()
