"""What is said where an optional dependency is not installed."""

from __future__ import annotations


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
