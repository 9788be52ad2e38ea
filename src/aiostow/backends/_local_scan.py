"""Listing a disk in the byte order of full keys, in the memory of its largest directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from pendulum import from_timestamp

from ..keys import TEMP_PREFIX
from ..models import Folder, Leftover, ListEntry
from ._beneath import Root
from ._tree_order import PAGE, Listed, order


@dataclass(slots=True)
class _Directory:
    """A directory under way: what is left of its names, in reverse order."""

    path: str  # "" or ending with "/"
    names: list[tuple[bytes, str, bool]]


class Scan:
    """A listing of one prefix. Between pages it holds names, but no descriptor.

    Args:
        root: where keys are relative to.
        make_entry: turns a full key and its state into an entry.
        prefix: what keys begin with; may end within a segment.
        recursive: files of all levels, or one level with folders.
        start_after: list only what comes after this key.
    """

    def __init__(
        self,
        root: Root,
        make_entry: Callable[[str, os.stat_result], ListEntry],
        prefix: str,
        *,
        recursive: bool,
        start_after: str | None,
    ) -> None:
        self._root = root
        self._make_entry = make_entry
        self._listed = Listed(prefix, recursive=recursive, start_after=start_after)
        self._pending: list[str] = [self._listed.top]  # directories to go into next
        self._stack: list[_Directory] = []
        self._found: list[ListEntry | Folder] = []

    def page(self) -> list[ListEntry | Folder] | None:
        """Return some hundred entries, or None at the end; one that fails can be tried again."""
        found = self._found
        while len(found) < PAGE:
            if self._pending:
                self._enter(self._pending.pop())
            elif not self._stack:
                break
            elif not self._stack[-1].names:
                self._stack.pop()
            else:
                self._advance(self._stack[-1], found)
        self._found = []
        return found or None

    def put_back(self, page: list[ListEntry | Folder] | None) -> None:
        """Take back a page that reached nobody: the next one begins with it."""
        self._found = (page or []) + self._found

    def _enter(self, path: str) -> None:
        start = self._listed.start if not self._stack else ""
        names: list[tuple[bytes, str, bool]] = []
        try:
            fd = self._root.open_directory(path.removesuffix("/"))
        except (FileNotFoundError, NotADirectoryError):
            return  # never there, or gone since its parent was listed
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    name = entry.name
                    if not name.startswith(start) or name.startswith(TEMP_PREFIX):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        names.append((order(path + name + "/"), name, True))
                    elif entry.is_file(follow_symlinks=False):
                        names.append((order(path + name), name, False))
        finally:
            os.close(fd)
        names.sort(reverse=True)
        self._stack.append(_Directory(path, names))

    def _advance(self, directory: _Directory, found: list[ListEntry | Folder]) -> None:
        try:
            fd = self._root.open_directory(directory.path.removesuffix("/"))
        except (FileNotFoundError, NotADirectoryError):
            directory.names.clear()
            return
        try:
            while directory.names and len(found) < PAGE:
                place, name, is_dir = directory.names.pop()
                if self._listed.passed(place, is_dir):
                    continue
                full = directory.path + name
                if is_dir and self._listed.recursive:
                    self._pending.append(full + "/")
                    return
                if is_dir:
                    found.append(Folder(full))
                    continue
                try:
                    info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(info.st_mode):
                    found.append(self._make_entry(full, info))
        finally:
            os.close(fd)


def temporary_files(
    root: Root, path: str, look: Callable[[int, str], os.stat_result | None]
) -> list[Leftover]:
    """Return the temporary files below `path` of which `look` tells a state.

    Args:
        root: where keys are relative to.
        path: of a directory: empty, or ending with ``/``.
        look: is given the directory and the name of each.
    """
    found: list[Leftover] = []
    pending = [path]
    while pending:
        path = pending.pop()
        try:
            fd = root.open_directory(path.removesuffix("/"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    name = entry.name
                    if not name.startswith(TEMP_PREFIX):
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(f"{path}{name}/")
                    elif info := look(fd, name):
                        since = from_timestamp(info.st_mtime)
                        found.append(Leftover(path + name, since, info.st_size))
        finally:
            os.close(fd)
    return found
