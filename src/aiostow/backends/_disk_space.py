"""What the free space of a disk, near or far, means."""

from __future__ import annotations

from .._diagnosis import Finding

_NONE = 1 << 20  # bytes with which nothing can be done
_LITTLE = 256 << 20
_MIB = 1 << 20
_ADVICE = "remove files, let storage.sweep() remove what killed writers left, or enlarge the disk"


def judge_space(free: int) -> Finding:
    """Return the finding for so many free bytes."""
    found = f"{free // _MIB:,} MiB are free"
    if free < _NONE:
        return Finding("failed", f"the disk is full: {free:,} bytes are free", _ADVICE)
    if free < _LITTLE:
        return Finding("warning", found, _ADVICE)
    return Finding("ok", found)
