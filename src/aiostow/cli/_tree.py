"""The files of a local folder, in the memory of its largest directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class LocalFile:
    """A file below a folder.

    Attributes:
        path: of this machine.
        name: below the folder, with ``/``.
        size: in bytes.
    """

    path: str
    name: str
    size: int


def walk(folder: str, skipped: Callable[[str, str], None]) -> Iterator[LocalFile]:
    """Return all regular files below a folder, each directory's in the order of their names.

    Args:
        folder: whose files.
        skipped: told the path of what is left out, and what that is.

    Raises:
        OSError: a directory cannot be read.
    """
    pending = [""]
    while pending:
        below = pending.pop()
        folders = []
        with os.scandir(os.path.join(folder, below)) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(name)
            elif entry.is_file(follow_symlinks=False):
                yield LocalFile(entry.path, name, entry.stat(follow_symlinks=False).st_size)
            else:
                skipped(entry.path, _kind(entry.stat(follow_symlinks=False).st_mode))
        pending += reversed(folders)


def _kind(mode: int) -> str:
    return "a symlink" if stat.S_ISLNK(mode) else "no regular file"
