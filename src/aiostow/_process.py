"""Which process this is: asked at every operation, so the system is asked only after a fork."""

from __future__ import annotations

import os

_pid = os.getpid()


def process_id() -> int:
    """Return the id of this process."""
    return _pid


def _forked() -> None:
    global _pid
    _pid = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
