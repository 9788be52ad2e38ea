"""What users get wrong, and what they are told: the host and the paths of keys, never a secret."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import hmac
import logging
import os
import pickle
import subprocess
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import asyncssh
import pytest

from aiostow import (
    CredentialsError,
    FileExistsInStorageError,
    HostKeyError,
    IsADirectoryInStorageError,
    KeyConflictError,
    NotAFileError,
    PermissionDeniedError,
    SFTPStorage,
    StorageError,
    StorageFullError,
    UnreachableError,
)
from tests.servers import SFTPServer, sshd
from tests.servers._process import free_ports

from ._suite import MakeStorage, StartServer, served, storage_on, temporary

pytestmark = pytest.mark.anyio
MIB = 1 << 20
PASSWORD, PASSPHRASE = "canary password", "canary passphrase"
Refused: TypeAlias = Callable[..., Awaitable[str]]
Call: TypeAlias = Callable[[SFTPStorage, str], Awaitable[Any]]


def material(path: Path) -> list[str]:
    """Return the lines of a private key's file that nobody may see."""
    if not path.is_file():
        return []
    return [line for line in path.read_text().splitlines() if line[:1] not in ("", "-")]


@pytest.fixture
def refused(caplog: pytest.LogCaptureFixture) -> Refused:
    """Return what is told when a storage cannot connect, once no secret was found in anything."""
    caplog.set_level(logging.DEBUG, "aiostow")

    async def ask(expected: type[StorageError], server: SFTPServer, **own: Any) -> str:
        told: dict[str, Any] = {"password": PASSWORD, "passphrase": PASSPHRASE, **own}
        async with storage_on(server, ".", **told) as storage:
            with pytest.raises(StorageError) as caught:
                await storage.stat("k")
            error = caught.value
            shown = [repr(storage), repr(storage.driver.config), repr(vars(storage.driver))]
        assert type(error) is expected
        assert (error.key, error.operation, error.storage) == ("k", "stat", "sftp")
        shown += ["".join(traceback.format_exception(error)), repr(pickle.dumps(error))]
        shown += [each.getMessage() for each in caplog.records if each.name.startswith("aiostow")]
        secrets = [told["password"], told["passphrase"], *material(server.key)]
        if told.get("key_filename") is not None:
            secrets += material(Path(told["key_filename"]))
        for secret in filter(None, secrets):
            assert not any(secret in text for text in shown)
        return error.message

    return ask


def new_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


def store(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    return path


class TestLogins:
    async def test_a_key_that_is_not_accepted(
        self, server: SFTPServer, refused: Refused, tmp_path: Path
    ) -> None:
        path = store(tmp_path / "other", new_key().export_private_key())
        told = await refused(CredentialsError, server, key_filename=path, password=None)
        assert f"{server.username}@127.0.0.1:{server.port}" in told
        assert repr(str(path)) in told

    async def test_a_user_that_does_not_exist(self, server: SFTPServer, refused: Refused) -> None:
        told = await refused(CredentialsError, server, username="no-such-user")
        assert f"no-such-user@127.0.0.1:{server.port}" in told

    async def test_a_wrong_password(self, start_server: StartServer, refused: Refused) -> None:
        told = await refused(CredentialsError, start_server("asyncssh"), key_filename=None)
        assert "test@127.0.0.1" in told
        assert "the password" in told

    async def test_nothing_to_offer(self, server: SFTPServer, refused: Refused) -> None:
        told = await refused(CredentialsError, server, key_filename=None, password=None)
        assert "without a key or password" in told


class TestKeyFiles:
    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (None, "No such file"),
            ("", "no private key"),
            ("hush, and no key at all\n", "no private key"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nhushhush\n", "no private key"),
        ],
    )
    async def test_no_key(
        self, server: SFTPServer, refused: Refused, tmp_path: Path, content: str | None, why: str
    ) -> None:
        path = tmp_path / "key"  # `refused` looks for its lines in what is told
        if content is not None:
            store(path, content)
        told = await refused(CredentialsError, server, key_filename=path)
        assert repr(str(path)) in told
        assert why in told

    async def test_a_directory_and_a_public_key(
        self, server: SFTPServer, refused: Refused, tmp_path: Path
    ) -> None:
        for path in (tmp_path, store(tmp_path / "key.pub", public(new_key()))):
            told = await refused(CredentialsError, server, key_filename=path)
            assert repr(str(path)) in told

    @pytest.mark.parametrize("given", [None, "canary wrong"])
    @pytest.mark.parametrize("kind", ["PEM", "OpenSSH"])
    async def test_an_encrypted_key(
        self,
        server: SFTPServer,
        refused: Refused,
        need_program: Callable[[str], str],
        tmp_path: Path,
        kind: str,
        given: str | None,
    ) -> None:
        path = tmp_path / "key"
        if kind == "PEM":
            store(path, new_key("ecdsa-sha2-nistp256").export_private_key("pkcs8-pem", "the right"))
        else:
            command = [need_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "the right"]
            await asyncio.to_thread(subprocess.run, [*command, "-f", str(path)], check=True)
        told = await refused(CredentialsError, server, key_filename=path, passphrase=given)
        assert repr(str(path)) in told
        assert "passphrase" in told


class TestUnreachable:
    async def test_a_port_that_nobody_listens_on(
        self, server: SFTPServer, refused: Refused
    ) -> None:
        (port,) = free_ports(1)
        told = await refused(UnreachableError, server, port=port)
        assert f"{server.username}@127.0.0.1:{port}" in told

    async def test_a_name_that_is_none(self, server: SFTPServer, refused: Refused) -> None:
        assert "host.invalid" in await refused(UnreachableError, server, host="host.invalid")

    @pytest.mark.parametrize("line", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
    async def test_another_service(self, server: SFTPServer, refused: Refused, line: bytes) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(line)
            if not line:
                await reader.read()  # says nothing, and stays
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
            port = other.sockets[0].getsockname()[1]
            told = await refused(UnreachableError, server, port=port, connect_timeout=1)
            assert f"127.0.0.1:{port}" in told

    @pytest.mark.parametrize(
        "settings",
        [
            {"MaxSessions": "0"},
            {"Subsystem": "other /bin/false"},
            {"Subsystem": "sftp /bin/false"},
            {"Subsystem": "sftp /bin/echo Welcome to this server"},
        ],
    )
    async def test_a_server_without_sftp(
        self, refused: Refused, tmp_path: Path, settings: dict[str, str]
    ) -> None:
        with sshd(tmp_path, settings=settings) as server:
            assert f"127.0.0.1:{server.port}" in await refused(UnreachableError, server)


class TestHostKeys:
    """Lines of known_hosts, and whether the server is trusted by them."""

    @pytest.mark.parametrize(
        ("lines", "why"),
        [
            ("", "not in known_hosts"),
            ("# {place} {key}", "not in known_hosts"),
            ("[127.0.0.1]:1 {key}", "not in known_hosts"),
            ("[127.0.0.2]:{port} {key}", "not in known_hosts"),
            ("{place} {other}", "changed"),
            ("{place} {kind}", "changed"),
            ("{place} {key}\n@revoked {place} {key}", "revoked"),
            ("@revoked * {key}", "revoked"),
            ("@cert-authority * {key}", ""),  # whose key signs certificates, but is none itself
            ("@wrong {place} {key}", "cannot be understood"),
            ("{place}", "cannot be understood"),
            ("\udcff", "cannot be understood"),
            ("{place} not-a-key AAAA", "not in known_hosts"),
        ],
    )
    async def test_not_trusted(
        self, server: SFTPServer, refused: Refused, tmp_path: Path, lines: str, why: str
    ) -> None:
        text = lines.format(
            place=f"[127.0.0.1]:{server.port}", port=server.port, other=public(new_key()),
            key=server.known_hosts.read_text().split(" ", 1)[1].strip(),
            kind=public(new_key("ecdsa-sha2-nistp256")),
        )  # fmt: skip
        path = store(tmp_path / "hosts", text.encode("utf-8", "surrogateescape"))
        told = await refused(HostKeyError, server, known_hosts_fpath=path)
        assert str(path) in told or f"127.0.0.1:{server.port}" in told
        assert why in told
        if why == "revoked":
            assert "add it" not in told

    @pytest.mark.parametrize("lines", ["{place} {other}\n{place} {key}", "{hashed} {key}"])
    async def test_trusted(self, server: SFTPServer, tmp_path: Path, lines: str) -> None:
        place, salt = f"[127.0.0.1]:{server.port}", os.urandom(20)
        hashed = [salt, hmac.new(salt, place.encode(), hashlib.sha1).digest()]
        text = lines.format(
            place=place, other=public(new_key()),
            key=server.known_hosts.read_text().split(" ", 1)[1].strip(),
            hashed="|1|" + "|".join(base64.b64encode(part).decode() for part in hashed),
        )  # fmt: skip
        path = store(tmp_path / "hosts", text)
        async with storage_on(server, ".", known_hosts_fpath=path) as storage:
            assert not await storage.exists("k")

    async def test_no_file_of_known_hosts(
        self, server: SFTPServer, refused: Refused, tmp_path: Path
    ) -> None:
        for path in (tmp_path / "none", tmp_path):
            told = await refused(HostKeyError, server, known_hosts_fpath=path)
            assert repr(str(path)) in told
        # The default is that of ~, where the tests have none.
        told = await refused(HostKeyError, server, known_hosts_fpath=None)
        assert str(Path("~/.ssh/known_hosts").expanduser()) in told

    async def test_the_check_is_left_out_with_a_warning_alone(self, server: SFTPServer) -> None:
        with pytest.warns(UserWarning, match=r"insecure_skip_host_key_check.*127\.0\.0\.1"):
            storage = storage_on(
                server, ".", known_hosts_fpath=None, insecure_skip_host_key_check=True
            )
        async with storage:
            assert not await storage.exists("k")


class _Logins(asyncssh.SSHServer):
    """Counts who begins to log in, and lets nobody."""

    begun = 0

    def begin_auth(self, username: str) -> bool:
        type(self).begun += 1
        return False


async def test_certificates_of_hosts(server: SFTPServer, refused: Refused, tmp_path: Path) -> None:
    authority, key, hosts = new_key(), new_key(), tmp_path / "hosts"
    for name, line, trusted in (
        ("127.0.0.1", "@cert-authority [127.0.0.1]:{port} {key}", True),
        ("127.0.0.2", "@cert-authority [127.0.0.1]:{port} {key}", False),
        ("127.0.0.1", "@cert-authority [127.0.0.1]:1 {key}", False),
        ("127.0.0.1", "[127.0.0.1]:{port} {key}", False),
        ("127.0.0.1", "@cert-authority * {key}\n@revoked * {key}", False),
    ):
        signed = authority.generate_host_certificate(key, "host", principals=[name])
        async with served(_Logins, (key, signed)) as port:
            store(hosts, line.format(port=port, key=public(authority)))
            place: dict[str, Any] = {"port": port, "known_hosts_fpath": hosts}
            if not trusted:
                assert f"127.0.0.1:{port}" in await refused(HostKeyError, server, **place)
                continue
            async with storage_on(server, str(tmp_path), **place) as storage:
                assert await storage.exists("hosts")


async def test_who_is_not_trusted_is_told_neither_user_nor_password(
    server: SFTPServer, refused: Refused, tmp_path: Path
) -> None:
    before = _Logins.begun
    async with served(_Logins, new_key()) as port:
        hosts = store(tmp_path / "hosts", f"[127.0.0.1]:{port} {public(new_key())}")
        await refused(HostKeyError, server, port=port, known_hosts_fpath=hosts)
    assert _Logins.begun == before


CALLS: dict[str, Call] = {
    "read": lambda s, key: s.read_bytes(key),
    "stat": lambda s, key: s.stat(key),
    "update": lambda s, key: _update(s, key),
    "copy": lambda s, key: s.copy(key, "copy"),
    "move": lambda s, key: s.move(key, "moved"),
    "delete": lambda s, key: s.delete(key),
    "write": lambda s, key: s.write_bytes(key, b"new"),
    "large": lambda s, key: _write(s, key, 3 * MIB),
    "copy to": lambda s, key: s.copy("k", key),
    "move to": lambda s, key: s.move("k", key),
}
LOOKS = ("read", "stat", "update", "copy", "move", "delete")


async def _update(storage: SFTPStorage, key: str) -> None:
    async with storage.open(key, "rw") as file:
        await file.write(b"new")


async def _write(storage: SFTPStorage, key: str, size: int) -> None:
    async with storage.open(key, "w") as file:
        for _ in range(size // MIB):
            await file.write(bytes(MIB))


async def test_a_server_that_allows_no_writes(tmp_path: Path) -> None:
    root = (tmp_path / "root").resolve()
    with sshd(tmp_path, settings={"Subsystem": f"sftp internal-sftp -R -d {root}"}) as server:
        store(root / "k", b"old")
        async with storage_on(server, ".") as storage:
            for name in ("write", "large", "delete", "update", "copy", "move"):
                with pytest.raises(PermissionDeniedError):
                    await CALLS[name](storage, "k")
            with pytest.raises(PermissionDeniedError):
                await storage.write_bytes("deep/er/k", b"new")
            assert await storage.read_bytes("k") == b"old"
            assert [entry.name for entry in await storage.list()] == ["k"]


@pytest.mark.parametrize("name", ["sshd", "asyncssh"])
class TestOtherThanFiles:
    @pytest.fixture
    def place(self, start_server: StartServer, name: str, folder: Path) -> Path:
        """A new directory of the server, with a file in it."""
        place = start_server(name).root / folder.name
        place.mkdir()
        store(place / "k", b"data")
        return place

    @pytest.fixture
    async def storage(
        self, start_server: StartServer, name: str, place: Path
    ) -> AsyncIterator[SFTPStorage]:
        async with storage_on(start_server(name), place.name) as storage:
            yield storage

    async def test_directories(self, storage: SFTPStorage, place: Path) -> None:
        (place / "dir").mkdir()
        store(place / "dir" / "k", b"inner")
        for call in LOOKS:
            with pytest.raises(IsADirectoryInStorageError):
                await CALLS[call](storage, "dir")
        for call in set(CALLS) - set(LOOKS):
            with pytest.raises(KeyConflictError):
                await CALLS[call](storage, "dir")
        with pytest.raises(KeyConflictError):
            await storage.write_bytes("dir/k/below", b"new")
        assert not await storage.exists("dir")
        assert [entry.name for entry in await storage.list()] == ["dir/k", "k"]
        assert (place / "dir" / "k").read_bytes() == b"inner"

    @pytest.mark.parametrize("target", ["file", "directory", "nothing"])
    async def test_symlinks(
        self, storage: SFTPStorage, place: Path, tmp_path: Path, target: str
    ) -> None:
        secret = store(tmp_path / "secret", b"secret")
        path = {"file": secret, "directory": tmp_path, "nothing": tmp_path / "new"}[target]
        (place / "link").symlink_to(path)
        assert [entry.name for entry in await storage.list()] == ["k"]
        assert not await storage.exists("link")
        for call in set(CALLS) - {"delete"}:
            with pytest.raises(NotAFileError):
                await CALLS[call](storage, "link")
        with pytest.raises((NotAFileError, FileExistsInStorageError)):
            await storage.write_bytes("link", b"new", if_absent=True)
        await storage.delete("link")
        assert sorted(each.name for each in place.iterdir()) == ["k"]
        assert secret.read_bytes() == b"secret"
        assert sorted(each.name for each in tmp_path.iterdir()) == ["secret"]


async def test_a_fifo_hangs_nobody(make_storage: MakeStorage, folder: Path) -> None:
    async with make_storage() as storage:
        await storage.write_bytes("k", b"data")
        os.mkfifo(folder / "fifo")
        for call in sorted(set(CALLS) - {"delete"}):
            with pytest.raises(NotAFileError):
                await CALLS[call](storage, "fifo")
            async with asyncio.timeout(3):
                assert await storage.read_bytes("k") == b"data", call


class TestFull:
    @pytest.mark.parametrize(("name", "number"), [("full", errno.ENOSPC), ("quota", errno.EDQUOT)])
    async def test_no_room(self, start_server: StartServer, name: str, number: int) -> None:
        server = start_server(name)
        async with storage_on(server, name) as storage:
            await storage.write_bytes("k", b"old")
            for attempt in (
                lambda: storage.write_bytes("k", bytes(150_000)),
                lambda: _write(storage, "k", 8 * MIB),
                lambda: _write(storage, "new/er", 8 * MIB),
            ):
                with pytest.raises(StorageFullError) as caught:
                    await attempt()
                assert caught.value.errno == number
            assert await storage.read_bytes("k") == b"old"
            assert [entry.name for entry in await storage.list()] == ["k"]
            assert temporary(server.root) == []

    @pytest.fixture
    def disk(self, server: SFTPServer, folder: Path) -> Iterator[Path]:
        """A small disk of sshd's."""
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("a small disk cannot be mounted here")
        yield folder
        subprocess.run(["umount", "-l", str(folder)], check=True)

    async def test_no_room_on_a_disk(self, disk: Path, make_storage: MakeStorage) -> None:
        async with make_storage() as storage:
            await storage.write_bytes("k", b"old")
            await _write(storage, "big", 5 * MIB)
            for attempt in (
                lambda: storage.write_bytes("k", bytes(4 * MIB)),
                lambda: _write(storage, "k", 16 * MIB),
                lambda: storage.copy("big", "k"),
            ):
                with pytest.raises(StorageFullError) as caught:
                    await attempt()
                assert caught.value.errno == errno.ENOSPC
                await storage.exists("nothing")
                assert temporary(disk) == []
            assert await storage.read_bytes("k") == b"old"

    async def test_a_file_that_is_changed_in_place_on_a_full_disk(
        self, disk: Path, make_storage: MakeStorage
    ) -> None:
        async with make_storage() as storage:
            await storage.write_bytes("k", b"old")
            async with storage.open("k", "rw") as file:
                with pytest.raises(StorageFullError):
                    await file.write(bytes(10 * MIB))
