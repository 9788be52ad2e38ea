"""Ceph with its RADOS Gateway: one monitor, one store in memory, one gateway."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from ._process import Missing, S3Server, free_ports, need, process, wait_for_http

_INSTALL = "apt-get install --no-install-recommends radosgw ceph-mon ceph-osd"
_ACCESS, _SECRET = "AKIAIOSFODNN7EXAMPLE", "ceph-secret-of-the-tests"
_CONFIG = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{monitor}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms tcp nodelay = true
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/keyring
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
pid file =
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
paxos propose interval = 0.02
paxos min wait = 0.02
[mon.a]
mon data = {folder}/mon
[osd]
osd data = {folder}/osd
osd objectstore = memstore
keyring = {folder}/osd/keyring
memstore device bytes = {store}
[client]
rgw dns name = localhost
rgw enable usage log = false
rgw enable ops log = false
rgw gc obj min wait = 5
rgw gc processor period = 10
rgw gc processor max time = 10
rgw thread pool size = 64
rgw crypt require ssl = false
"""


class _Ceph:
    def __init__(self, folder: Path, store: int) -> None:
        self.folder = folder
        self.config = folder / "ceph.conf"
        self.monitor, self.port = free_ports(2)
        self.fsid = str(uuid.uuid4())
        for name in ("mon", "osd"):
            (folder / name).mkdir(parents=True)
        self.config.write_text(
            _CONFIG.format(fsid=self.fsid, monitor=self.monitor, folder=folder, store=store)
        )

    def run(self, *command: str, input: str | None = None) -> str:
        done = subprocess.run(
            command, input=input, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
        return done.stdout

    def daemon(self, *command: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        log = self.folder / f"{command[0]}.out"
        return process([*command, "-c", str(self.config), "-f"], log)

    def prepare_monitor(self) -> None:
        keyring = str(self.folder / "keyring")
        allow = ["--cap", "mon", "allow *"]
        self.run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", *allow)
        self.run(
            "ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *allow,
            "--cap", "osd", "allow *", "--cap", "mgr", "allow *",
        )  # fmt: skip
        address = f"[v2:127.0.0.1:{self.monitor}]"
        monmap = str(self.folder / "monmap")
        self.run("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", address, monmap)
        self.run(
            "ceph-mon", "-c", str(self.config), "-i", "a", "--mkfs",
            "--monmap", monmap, "--keyring", keyring,
        )  # fmt: skip

    def prepare_store(self) -> None:
        secret = self.run("ceph-authtool", "--gen-print-key").strip()
        name = str(uuid.uuid4())
        keyring = str(self.folder / "osd" / "keyring")
        self.run("ceph-authtool", "--create-keyring", keyring, "-n", "osd.0", "-a", secret)
        ask = ("ceph", "-c", str(self.config), "--connect-timeout", "60")
        self.run(*ask, "osd", "new", name, "-i", "-", input=json.dumps({"cephx_secret": secret}))
        self.run(*ask, "osd", "crush", "add", "osd.0", "1.0", "host=here", "root=default")
        self.run("ceph-osd", "-c", str(self.config), "-i", "0", "--mkfs", "--osd-uuid", name)

    def wait_for_store(self) -> None:
        end = time.monotonic() + 60
        while "1 up" not in self.run("ceph", "-c", str(self.config), "osd", "stat"):
            if time.monotonic() > end:
                raise RuntimeError("the store of Ceph did not come up")
            time.sleep(0.1)

    def create_user(self) -> None:
        self.run(
            "radosgw-admin", "-c", str(self.config), "user", "create", "--uid=test",
            "--display-name=test", f"--access-key={_ACCESS}", f"--secret-key={_SECRET}",
            "--max-buckets=0",
        )  # fmt: skip


@contextlib.contextmanager
def ceph(folder: Path, *, store: int = 6 << 30) -> Iterator[S3Server]:
    """Run Ceph within the block.

    Args:
        folder: an empty one, for all its files.
        store: bytes of memory that objects may take.

    Raises:
        Missing: it is not installed.
    """
    for program in ("ceph", "ceph-mon", "ceph-osd", "radosgw"):
        need(program, _INSTALL)
    if os.geteuid() != 0:
        raise Missing("Ceph needs root to be started by the tests")
    cluster = _Ceph(folder, store)
    cluster.prepare_monitor()
    with cluster.daemon("ceph-mon", "-i", "a"):
        cluster.prepare_store()
        with cluster.daemon("ceph-osd", "-i", "0"):
            cluster.wait_for_store()
            cluster.create_user()
            front = f"beast endpoint=127.0.0.1:{cluster.port}"
            with cluster.daemon("radosgw", "-n", "client.admin", "--rgw-frontends", front) as rgw:
                wait_for_http(cluster.port, rgw, folder / "radosgw.out")
                lacks = {"if_match", "conditional_complete", "checksum", "copy_source_if_match"}
                yield S3Server("ceph", cluster.port, _ACCESS, _SECRET, frozenset(lacks))


def collect_garbage(folder: Path) -> None:
    """Let Ceph give back the space of deleted objects now, not later."""
    subprocess.run(
        ["radosgw-admin", "-c", str(folder / "ceph.conf"), "gc", "process", "--include-all"],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
