"""Real servers that the tests and benchmarks start, each in a folder and on ports of its own."""

from __future__ import annotations

from ._process import Missing, S3Server
from .ceph import ceph
from .ministack import ministack
from .swift import swift

__all__ = ["S3_SERVERS", "Missing", "S3Server", "ceph", "ministack", "swift"]

S3_SERVERS = {"ceph": ceph, "swift": swift, "ministack": ministack}
