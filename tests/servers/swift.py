"""OpenStack Swift with its S3 interface, one process a service."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from ._process import Missing, S3Server, free_ports, need, process, wait_for_http

_INSTALL = "pip install swift"
_SECRET = "swift-secret-of-the-tests"
_COMMON = """\
[swift-hash]
swift_hash_path_suffix = tests
swift_hash_path_prefix = tests
[storage-policy:0]
name = Policy-0
default = yes
[swift-constraints]
max_file_size = 5368709122
"""
_SERVICE = """\
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
log_address = /dev/null
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
_FILTERS = (
    "catch_errors", "gatekeeper", "listing_formats", "bulk", "s3api", "tempauth", "copy", "slo",
    "dlo", "versioned_writes", "symlink",
)  # fmt: skip
_OPTIONS = {
    "s3api": "location = us-east-1\ndns_compliant_bucket_names = true\nallow_no_owner = true\n",
    "tempauth": f"user_test_tester = {_SECRET} .admin\n",
    "versioned_writes": "allow_versioned_writes = true\nallow_object_versioning = true\n",
}
_PROXY = """\
[DEFAULT]
swift_dir = {folder}
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
log_address = /dev/null
[pipeline:main]
pipeline = {pipeline} proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
"""


def _write_configuration(folder: Path, ports: dict[str, int]) -> None:
    from swift.common.ring import RingBuilder

    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(_COMMON)
    user = getpass.getuser()
    for name in ("account", "container", "object"):
        here = {"ip": "127.0.0.1", "port": ports[name]}
        builder = RingBuilder(2, 1, 0)
        builder.add_dev(
            {
                "region": 1, "zone": 1, "device": "d1", "weight": 1.0, "meta": "", **here,
                "replication_ip": here["ip"], "replication_port": here["port"],
            }
        )  # fmt: skip
        builder.rebalance()
        builder.get_ring().save(str(folder / f"{name}.ring.gz"))
        text = _SERVICE.format(folder=folder, port=ports[name], user=user, name=name)
        (folder / f"{name}.conf").write_text(text)
    proxy = _PROXY.format(
        folder=folder, port=ports["proxy"], user=user, pipeline=" ".join(_FILTERS)
    )
    for name in _FILTERS:
        proxy += f"[filter:{name}]\nuse = egg:swift#{name}\n{_OPTIONS.get(name, '')}"
    (folder / "proxy.conf").write_text(proxy)


@contextlib.contextmanager
def swift(folder: Path) -> Iterator[S3Server]:
    """Run Swift within the block.

    Args:
        folder: an empty one, for all its files.

    Raises:
        Missing: it is not installed.
    """
    if importlib.util.find_spec("swift") is None:
        raise Missing(f"swift is not installed: {_INSTALL}")
    names = ("account", "container", "object", "proxy")
    ports = dict(zip(names, free_ports(len(names))))
    folder.mkdir(parents=True, exist_ok=True)
    _write_configuration(folder, ports)
    with contextlib.ExitStack() as stack:
        for name in names:
            command = [need(f"swift-{name}-server", _INSTALL), str(folder / f"{name}.conf")]
            last = stack.enter_context(process(command, folder / f"{name}.log"))
        wait_for_http(ports["proxy"], last, folder / "proxy.log")
        lacks = {"if_match", "checksum", "create_only_race"}
        yield S3Server("swift", ports["proxy"], "test:tester", _SECRET, frozenset(lacks))
