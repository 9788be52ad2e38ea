"""The backends, and what is said where an optional dependency of one is not installed."""

from __future__ import annotations

# Those that need an extra are not in the package's `__all__`: a star must not fail without it.
BACKENDS = {
    "AzureStorage": "azure",
    "LocalFSStorage": "local",
    "MemoryStorage": "memory",
    "S3Storage": "s3",
    "SFTPStorage": "sftp",
}
"""The module of each class; also the type by which a configuration names it."""

SDKS = {
    "azure": ("aiohttp", "azure", "yarl"),
    "s3": ("aiobotocore", "aiohttp", "botocore", "yarl"),
    "sftp": ("asyncssh",),
}
"""What each extra brings."""


def missing_extra(what: str, extra: str, exc: ModuleNotFoundError) -> ImportError:
    """Return the error that says which extra to install.

    Args:
        what: needs it.
        extra: of this package.
        exc: that tells what was not found.
    """
    return ImportError(
        f"{what} needs the extra {extra!r}: pip install 'aiostow[{extra}]'", name=exc.name
    )
