"""Syncs between services, as they are used: local to S3, S3 to Azure, SFTP to local."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from aiostow import (
    AzureStorage,
    InvalidArgumentError,
    LocalFSStorage,
    S3Storage,
    SFTPStorage,
    Storage,
)
from aiostow.trees import Action, sync, verify
from tests.trees._trees import read, write
from tests.trees.suite import TreesSuite

Spec = Callable[[], dict[str, Any]]


class TestLocalToS3(TreesSuite):
    rounds = 2

    @pytest.fixture
    async def source(self, tmp_path: Path) -> AsyncIterator[Storage]:
        async with LocalFSStorage(tmp_path / "from", durable=False) as storage:
            yield storage

    @pytest.fixture
    async def destination(self, s3_spec: Spec) -> AsyncIterator[Storage]:
        async with S3Storage(**s3_spec()) as storage:
            yield storage

    async def test_types_follow_from_names(self, source: Storage, destination: Storage) -> None:
        await write(source, {"a.html": b"1", "b.tar.gz": b"2", "c": b"3"})
        await source.write_bytes("big.html", bytes(6 << 20))
        await sync(source, destination)
        kinds = {name: (await destination.stat(name)).content_type for name in await read(source)}
        assert kinds["a.html"] == kinds["big.html"] == "text/html"
        assert "tar" not in (kinds["b.tar.gz"] or "")
        assert kinds["c"] not in ("text/html",)


class TestS3ToAzure(TreesSuite):
    rounds = 2
    resolution = 1.1

    @pytest.fixture
    async def source(self, s3_spec: Spec) -> AsyncIterator[Storage]:
        async with S3Storage(**s3_spec()) as storage:
            yield storage

    @pytest.fixture
    async def destination(self, azure_spec: Spec) -> AsyncIterator[Storage]:
        async with AzureStorage(**azure_spec()) as storage:
            yield storage

    async def test_what_is_kept_with_a_file_goes_with_it(
        self, source: Storage, destination: Storage
    ) -> None:
        await source.write_bytes(
            "a", b"1", content_type="text/x-own", cache_control="no-store", metadata={"k": "v"}
        )
        await sync(source, destination)
        entry = await destination.stat("a")
        assert (entry.content_type, entry.cache_control) == ("text/x-own", "no-store")
        assert entry.metadata == {"k": "v"}


class TestSFTPToLocal(TreesSuite):
    rounds = 2
    resolution = 1.1

    @pytest.fixture
    async def source(self, sftp_spec: Spec) -> AsyncIterator[Storage]:
        async with SFTPStorage(**sftp_spec()) as storage:
            yield storage

    @pytest.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[Storage]:
        async with LocalFSStorage(tmp_path / "to", durable=False) as storage:
            yield storage


@pytest.mark.anyio
class TestPlacesOfOneServer:
    """What a server calls by several names is one place, and is refused."""

    async def test_directories(self, sftp_spec: Spec, sftp_root: Path) -> None:
        spec = sftp_spec()
        name = spec["root"]
        (sftp_root / name / "inner").mkdir(parents=True)
        (sftp_root / f"{name}-link").symlink_to(sftp_root / name)
        (sftp_root / name / "inner" / "a").write_bytes(b"1")
        (sftp_root / name / "old").write_bytes(b"2")

        def at(root: str) -> Storage:
            return SFTPStorage(**{**spec, "root": root})

        inner, whole = f"{name}/inner", str(sftp_root / name)
        for one, other in (
            (at(name), at(".")), (at("."), at(name)), (at(inner), at(whole)), (at(whole), at(name)),
            (at(f"{name}-link"), at(inner)), (at(inner), at(f"{name}-link")),
            (at("."), at(f"{name}/inner/new")),
        ):  # fmt: skip
            async with one, other:
                with pytest.raises(InvalidArgumentError, match=r"within|same place"):
                    await sync(one, other, delete=True)
        async with at(inner) as one, at(f"{name}-apart") as other:
            assert (await sync(one, other, delete=True)).failed == 0
            assert await read(other) == {"a": b"1"}


@pytest.mark.anyio
class TestWithinOneService:
    """Between two places of one service nothing passes through this process."""

    async def _check(
        self, monkeypatch: pytest.MonkeyPatch, source: Storage, destination: Storage
    ) -> None:
        tree = {"a": b"1", "d/b": bytes(70_000), "d/empty": b""}
        await write(source, tree)
        async with source, destination:
            with monkeypatch.context() as patch:
                patch.setattr(type(source.driver), "open_read", None)
                report = await sync(source, destination)
            assert (report[Action.copied], report.failed) == (3, 0)
            assert await read(destination) == tree
            assert (await verify(source, destination)).same

    async def test_two_buckets(self, s3_spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
        await self._check(monkeypatch, S3Storage(**s3_spec()), S3Storage(**s3_spec()))

    async def test_two_containers(self, azure_spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
        await self._check(monkeypatch, AzureStorage(**azure_spec()), AzureStorage(**azure_spec()))

    async def test_two_directories(self, sftp_spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
        await self._check(monkeypatch, SFTPStorage(**sftp_spec()), SFTPStorage(**sftp_spec()))

    async def test_other_credentials_are_another_service(self, s3_spec: Spec) -> None:
        ours, theirs = s3_spec(), s3_spec() | {"aws_secret_access_key": "another"}
        async with S3Storage(**ours) as source, S3Storage(**theirs) as destination:
            assert not source.is_one_service(destination)
            assert source.is_one_service(source.at("view"))
