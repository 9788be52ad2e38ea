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


def walk(
    folder: str, skipped: Callable[[str, str], None], failed: Callable[[OSError], None]
) -> Iterator[LocalFile]:
    """Return all regular files below a folder, each directory's in the order of their names.

    Args:
        folder: whose files.
        skipped: told the path of what is left out, and what that is.
        failed: told why a directory or file below cannot be looked at.
    """
    pending = [""]
    while pending:
        below = pending.pop()
        folders = []
        try:
            with os.scandir(os.path.join(folder, below)) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as exc:
            failed(exc)
            continue
        for entry in found:
            name = f"{below}/{entry.name}" if below else entry.name
            try:
                facts = entry.stat(follow_symlinks=False)
            except OSError as exc:
                failed(exc)
                continue
            if stat.S_ISDIR(facts.st_mode):
                folders.append(name)
            elif stat.S_ISREG(facts.st_mode):
                yield LocalFile(entry.path, name, facts.st_size)
            else:
                skipped(entry.path, _kind(facts.st_mode))
        pending += reversed(folders)


def _kind(mode: int) -> str:
    return "a symlink" if stat.S_ISLNK(mode) else "no regular file"
