"""Real servers that the tests and benchmarks start, each in a folder and on ports of its own."""

from __future__ import annotations

from ._process import Missing, S3Server
from .asyncssh_server import asyncssh_server
from .azurite import AzuriteServer, azurite
from .ceph import ceph
from .ministack import ministack
from .sftp_server import SFTPServer
from .sshd import sshd
from .swift import swift

__all__ = [
    "S3_SERVERS", "AzuriteServer", "Missing", "S3Server", "SFTPServer", "asyncssh_server",
    "azurite", "ceph", "ministack", "sshd", "swift",
]  # fmt: skip

S3_SERVERS = {"ceph": ceph, "swift": swift, "ministack": ministack}
