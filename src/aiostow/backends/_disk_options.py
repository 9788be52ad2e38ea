"""What a disk cannot do with a file that is written, wherever the disk is."""

from __future__ import annotations

from ..errors import UnsupportedOperationError
from ..models import WriteOptions


def check_disk_options(options: WriteOptions) -> None:
    """Refuse what would be lost.

    Raises:
        UnsupportedOperationError: it is asked for.
    """
    if options.if_match is not None:
        raise UnsupportedOperationError(
            "a disk has no write that is conditional on an etag: leave out if_match"
        )
    if options.metadata or options.content_encoding:
        lost = "metadata" if options.metadata else "content_encoding"
        raise UnsupportedOperationError(f"a disk cannot keep {lost} beside the file: leave it out")
