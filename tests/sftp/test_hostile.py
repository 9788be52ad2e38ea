"""Servers that forbid, overdo or make up things."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from aiostow import (
    DeleteManyError,
    PermissionDeniedError,
    SFTPStorage,
    StorageIOError,
)
from aiostow.backends import _sftp_wire as wire
from aiostow.backends._sftp_wire import Kind
from aiostow.testing.conformance._base import pattern

from ._suite import served, temporary

pytestmark = pytest.mark.anyio

LARGE = 1_000_000

Serve = Callable[..., contextlib.AbstractAsyncContextManager[SFTPStorage]]


class _AnyPassword(asyncssh.SSHServer):
    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return True


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Return a storage on a server whose methods are the test's own."""

    @contextlib.asynccontextmanager
    async def serving(**methods: Any) -> AsyncIterator[SFTPStorage]:
        own = type("_Own", (asyncssh.SFTPServer,), methods)
        key = asyncssh.generate_private_key("ssh-ed25519")
        async with served(
            _AnyPassword, key, sftp_factory=lambda chan: own(chan, chroot=str(tmp_path))
        ) as port:
            hosts = tmp_path.parent / f"hosts-{port}"
            hosts.write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
            async with SFTPStorage(
                "127.0.0.1", "me", None, hosts, port, password="any", root="/"
            ) as storage:
                yield storage

    return serving


def forbid(method: str, *names: str) -> Any:
    """Return a method that denies permission for files of these names, or for all."""

    def denying(self: Any, path: Any, *arguments: Any) -> Any:
        if not names or os.path.basename(path).decode() in names:
            raise PermissionError(13, os.strerror(13))
        return getattr(asyncssh.SFTPServer, method)(self, path, *arguments)

    return denying


async def test_of_many_deletions_those_that_are_forbidden_fail_alone(
    serve: Serve, tmp_path: Path
) -> None:
    keys = [f"{number}" for number in range(200)]
    for key in keys:
        (tmp_path / key).touch()
    denied = {"remove": forbid("remove", "3", "77"), "lstat": forbid("lstat", "3")}
    async with serve(**denied) as storage:
        with pytest.raises(DeleteManyError) as caught:
            await storage.delete_many(keys)
    assert set(caught.value.failures) == {"3", "77"}
    assert all(isinstance(e, PermissionDeniedError) for e in caught.value.failures.values())
    assert sorted(os.listdir(tmp_path)) == ["3", "77"]


async def test_a_create_only_move_whose_old_name_cannot_be_removed_is_undone(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "old").write_bytes(b"data")
    async with serve(remove=forbid("remove", "old")) as storage:
        with pytest.raises(PermissionDeniedError):
            await storage.move("old", "new", overwrite=False)
    assert os.listdir(tmp_path) == ["old"]


async def test_a_private_file_is_not_replaced_by_a_public_one(serve: Serve, tmp_path: Path) -> None:
    private, public = tmp_path / "private", tmp_path / "public"
    for path, mode in ((private, 0o600), (public, 0o666)):
        path.write_bytes(b"old")
        path.chmod(mode)
    async with serve(fsetstat=forbid("fsetstat")) as storage:
        with pytest.raises(PermissionDeniedError, match="stricter"):
            await storage.write_bytes("private", b"new")
        with pytest.raises(PermissionDeniedError, match="stricter"):
            async with storage.open("private", "w") as file:
                await file.write(pattern(2 * LARGE))
        await storage.write_bytes("public", b"new")
    assert private.read_bytes() == b"old"
    assert public.read_bytes() == b"new"
    assert temporary(tmp_path) == []


async def test_more_bytes_than_were_asked_for_are_no_bytes_of_the_file(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "k").write_bytes(pattern(LARGE))

    def read(self: Any, file: Any, offset: int, size: int) -> Any:
        return asyncssh.SFTPServer.read(self, file, offset, size + 7)

    async with serve(read=read) as storage:
        with pytest.raises(StorageIOError, match="more than was asked"):
            async with storage.open("k") as file:
                await file.read1()
        async with storage.open("k", "rw") as changing:
            with pytest.raises(StorageIOError, match="more than was asked"):
                await changing.read(10)


async def test_copies_through_this_process_give_everything_back(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "k").write_bytes(pattern(LARGE))
    async with serve() as storage:
        await storage.exists("k")
        (member,) = storage.driver._pool._members()
        for extensions in (frozenset[bytes](), member.session.extensions):
            member.session.extensions = extensions
            for number in range(5):
                await storage.copy("k", f"copy-{len(extensions)}-{number}")
        assert (member.users, member.files, member.session.stray) == (0, 0, 0)


async def test_names_that_are_none_are_not_listed(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "k").touch()

    async def scandir(self: Any, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        directory = asyncssh.SFTPAttrs(permissions=0o040755)
        for name in (b"", b".", b"..", b"a/b", b"../k"):
            yield asyncssh.SFTPName(name, "", directory)
        async for each in asyncssh.SFTPServer.scandir(self, path):
            yield each

    async with serve(scandir=scandir) as storage:
        assert [entry.name for entry in await storage.list()] == ["k"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Kind.STATUS, bytes(4)),  # a success without what was asked for
        (Kind.DATA, b"\0\0\0\1x"),
        (Kind.ATTRS, b""),
        (Kind.NAME, b"\0\0\0\1\0\0\0\xff"),
        (Kind.EXTENDED, b""),
    ],
)
def test_an_answer_of_another_kind_is_no_answer(kind: Kind, body: bytes) -> None:
    packet = (5 + len(body)).to_bytes(4, "big") + bytes([kind]) + (7).to_bytes(4, "big") + body
    expected = Kind.HANDLE if kind is not Kind.NAME else Kind.NAME
    with pytest.raises((ValueError, IndexError, struct.error)):
        wire.answer(packet, 0, len(packet), expected)
