"""What only the local disk has to look at."""

from __future__ import annotations

import os
from pathlib import Path

from .._diagnosis import Finding, Step, after
from .._threads import Threads
from ..errors import PermissionDeniedError, StorageError, UnsupportedOperationError
from ._disk_space import judge_space


def local_steps(root: Path, threads: Threads) -> list[Step]:
    """Return the steps of a disk.

    Args:
        root: absolute path of the directory.
        threads: where blocking calls run.
    """

    async def place() -> Finding:
        return await threads.run(_place, root)

    async def space() -> Finding:
        return await threads.run(_space, root)

    return [
        Step("place", place, ("configuration",), first=True),
        Step("free space", space, ("place", "credentials")),
    ]


def advise(root: Path, check: str, error: StorageError) -> str:
    """Return what to do about the error of a check."""
    if isinstance(error, PermissionDeniedError):
        return (
            f"let the user {os.geteuid()} of this process use {str(root)!r} (chown, chmod), or "
            "mount its file system to be written"
        )
    if check == "create-only" and isinstance(error, UnsupportedOperationError):
        return (
            "put the root on a file system with hard links or RENAME_NOREPLACE, such as ext4, xfs "
            "or APFS; or do not use if_absent, mode 'x' or overwrite=False"
        )
    return f"look at the disk that holds {str(root)!r}: df, mount and dmesg tell of it"


def _place(root: Path) -> Finding:
    if root.is_dir():
        return Finding("ok", f"the directory {str(root)!r} is there")
    if os.path.lexists(root):
        return Finding("failed", f"{str(root)!r} is no directory", "move it away, or correct root")
    return Finding(
        "warning", f"the directory {str(root)!r} is not there; the first write makes it",
        "correct root, mount its disk, or make it (mkdir -p) to have writes tried out",
    )  # fmt: skip


def _space(root: Path) -> Finding:
    if not root.is_dir():
        return after("place")
    told = os.statvfs(root)
    return judge_space(told.f_bavail * told.f_frsize)
