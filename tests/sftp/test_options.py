"""What SFTPStorage is told, and what comes of it on real servers."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from aiostow import (
    CredentialsError,
    HostKeyError,
    InvalidArgumentError,
    SFTPStorage,
    StorageError,
    UnreachableError,
    UnsupportedOperationError,
)
from aiostow.testing import FaultProxy, WireFault
from tests.rest.loops import check_loops_and_forks
from tests.servers import SFTPServer, sshd
from tests.servers._process import process
from tests.servers.asyncssh_server import PASSWORD

from ._suite import MakeStorage, StartServer, served, storage_on, until

pytestmark = pytest.mark.anyio
ANCESTORS = [
    "host", "username", "key_filename", "known_hosts_fpath", "port", "allow_agent",
    "look_for_keys", "linked_endpoint", "secret_key", "name",
]  # fmt: skip


async def works(storage: SFTPStorage) -> bool:
    async with storage:
        await storage.write_bytes("k", b"data")
        return await storage.read_bytes("k") == b"data"


async def refusal(storage: SFTPStorage, expected: type[StorageError]) -> str:
    async with storage:
        with pytest.raises(expected) as caught:
            await storage.stat("k")
    return caught.value.message


def all_closed(connections: list[asyncssh.SSHClientConnection]) -> bool:
    return all(each.is_closed() for each in connections)


def connections(storage: SFTPStorage) -> list[asyncssh.SSHClientConnection]:
    return [link.connection for link in storage.driver._pool._links]


class TestArguments:
    def test_those_of_the_ancestor_come_in_its_order(self) -> None:
        parameters = inspect.signature(SFTPStorage).parameters.values()
        kinds = {each.name: each.kind for each in parameters}
        positional = [name for name, kind in kinds.items() if kind.name != "KEYWORD_ONLY"]
        assert positional == ANCESTORS
        assert "password" in kinds

    async def test_they_work_by_position(self, server: SFTPServer) -> None:
        storage = SFTPStorage(
            "127.0.0.1", server.username, str(server.key), str(server.known_hosts), server.port,
            False, False, "https://files.example/x", "s" * 32, "files",
        )  # fmt: skip
        async with storage:
            assert storage.name == "files"
            assert not await storage.exists("no such file")
            assert (await storage.link_to("k", "d", 60)).startswith("https://files.example/x?token")

    @pytest.mark.parametrize(
        "arguments",
        [
            {"host": ""},
            {"host": "-oProxyCommand=x"},
            {"host": None},
            {"port": 0},
            {"port": -1},
            {"port": 65536},
            {"port": "22"},
            {"port": True},
            {"jump_host": ""},
            {"jump_host": "user@"},
            {"jump_host": "host:port"},
            {"jump_host": "host:0"},
            {"jump_host": "host:65536"},
            {"jump_host": "host,,other"},
            {"jump_host": "-oProxyCommand=x"},
            {"connect_timeout": 0},
            {"connect_timeout": float("nan")},
            {"timeout": -1},
            {"timeout": True},
            {"idle_timeout": -0.5},
            {"keepalive_interval": -1},
            {"keepalive_interval": "1"},
            {"max_connections": 0},
            {"max_connections": 1.5},
            {"memory_budget": 0},
            {"root": ""},
            {"root": "a\0b"},
            {"root": ".."},
            {"root": "a/../../b"},
            {"root": None},
            {"secret_key": "short"},
        ],
        ids=repr,
    )
    def test_what_cannot_be_is_refused_at_once(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(InvalidArgumentError, match=next(iter(arguments)).partition("_")[0]):
            SFTPStorage(**{"host": "files.example", **arguments})

    def test_the_identity_tells_places_apart_and_holds_no_secret(self) -> None:
        told: dict[str, Any] = {"host": "a", "username": "u", "port": 2022, "root": "r"}
        others: list[dict[str, Any]] = [
            {}, {"host": "b"}, {"username": "v"}, {"username": None}, {"port": 2023},
            {"root": "/r"}, {"root": "r/s"},
        ]  # fmt: skip
        found = {
            SFTPStorage(**{**told, **own}, password="hush", passphrase="hush").driver.identity
            for own in others
        }
        assert len(found) == len(others)
        assert not any("hush" in identity for identity in found)
        same = SFTPStorage("A", "u", root="./r/x/..")
        assert same.driver.identity == SFTPStorage("a", "u", root="r").driver.identity


class TestLogins:
    async def test_by_password(self, start_server: StartServer) -> None:
        server = start_server("asyncssh")
        assert await works(storage_on(server, "pw", key_filename=None, password=PASSWORD))

    async def test_by_password_where_it_is_asked_for(self, tmp_path: Path) -> None:
        class Logins(asyncssh.SSHServer):
            def kbdint_auth_supported(self) -> bool:
                return True

            def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
                return "", "", "", [("Password:", False)]

            def validate_kbdint_response(self, username: str, responses: Any) -> bool:
                return list(responses) == ["a password"]

        key = asyncssh.generate_private_key("ssh-ed25519")
        async with served(Logins, key) as port:
            hosts = tmp_path / "hosts"
            hosts.write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
            told: dict[str, Any] = {"known_hosts_fpath": hosts, "port": port}
            told |= {"host": "127.0.0.1", "username": "u", "root": str(tmp_path)}
            assert await works(SFTPStorage(**told, password="a password"))
            await refusal(SFTPStorage(**told, password="another"), CredentialsError)

    @pytest.mark.parametrize("kind", ["PEM", "OpenSSH"])
    async def test_by_a_key_with_a_passphrase(
        self,
        server: SFTPServer,
        make_storage: MakeStorage,
        need_program: Callable[[str], str],
        tmp_path: Path,
        kind: str,
    ) -> None:
        path = tmp_path / "key"
        if kind == "PEM":
            key = asyncssh.read_private_key(server.key)
            path.write_bytes(key.export_private_key("pkcs8-pem", "a passphrase"))
        else:
            shutil.copy(server.key, path)  # with its mode
            command = [need_program("ssh-keygen"), "-q", "-p", "-N", "a passphrase"]
            await asyncio.to_thread(subprocess.run, [*command, "-f", str(path)], check=True)
        assert await works(make_storage(key_filename=path, passphrase="a passphrase"))

    @pytest.fixture
    def agent(
        self,
        server: SFTPServer,
        need_program: Callable[[str], str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Iterator[None]:
        """An agent that has the right key."""
        where = tmp_path / "agent"
        monkeypatch.setenv("SSH_AUTH_SOCK", str(where))
        with process([need_program("ssh-agent"), "-D", "-a", str(where)], tmp_path / "log"):
            for _ in range(500):
                if where.exists():
                    break
                time.sleep(0.01)
            subprocess.run([need_program("ssh-add"), "-q", str(server.key)], check=True)
            yield

    async def test_by_an_agent_that_was_asked_for(
        self, agent: None, make_storage: MakeStorage, tmp_path: Path
    ) -> None:
        assert await works(make_storage(key_filename=None, allow_agent=True))
        await refusal(make_storage(key_filename=None), CredentialsError)
        # Nor beside a key that the server does not know.
        stranger = tmp_path / "stranger"
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(stranger)
        await refusal(make_storage(key_filename=stranger), CredentialsError)
        assert await works(make_storage(key_filename=stranger, allow_agent=True))

    async def test_an_agent_that_is_not_there(
        self, make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for where in ("", "/nowhere/agent"):
            monkeypatch.setenv("SSH_AUTH_SOCK", where)
            told = await refusal(make_storage(allow_agent=True), CredentialsError)
            assert "SSH_AUTH_SOCK" in told

    async def test_by_a_key_of_the_home_that_was_asked_for(
        self,
        server: SFTPServer,
        make_storage: MakeStorage,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        home = tmp_path / ".ssh"
        home.mkdir()
        shutil.copy(server.key, home / "id_ed25519")
        (home / "id_rsa").write_text("no key")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert await works(make_storage(key_filename=None, look_for_keys=True))
        await refusal(make_storage(key_filename=None), CredentialsError)


class TestConfigurations:
    @pytest.fixture
    def text(self, server: SFTPServer) -> str:
        """All that a login needs."""
        return (
            f"Host files\n HostName 127.0.0.1\n Port {server.port}\n User {server.username}\n"
            f" IdentityFile {server.key}\n UserKnownHostsFile {server.known_hosts}\n"
        )

    async def test_is_read_where_it_is_named(
        self, text: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / ".ssh" / "config"
        path.parent.mkdir()
        path.write_text(text)
        for named in (path, str(path), [path]):
            assert await works(SFTPStorage("files", ssh_config=named, root=folder.name))
        await refusal(SFTPStorage("other", ssh_config=path, root=folder.name), StorageError)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert await works(SFTPStorage("files", ssh_config=True, root=folder.name))

    async def test_is_not_read_unless_asked(
        self, make_storage: MakeStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / ".ssh" / "config"
        path.parent.mkdir()
        path.write_text("Host *\n HostName nowhere.invalid\n User nobody\n ProxyCommand false\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert await works(make_storage())

    @pytest.mark.parametrize(
        "line",
        [
            "UserKnownHostsFile none",
            "StrictHostKeyChecking no",
            "UserKnownHostsFile /dev/null\n StrictHostKeyChecking accept-new",
            "UserKnownHostsFile none\n GlobalKnownHostsFile none\n StrictHostKeyChecking off",
            "UserKnownHostsFile /nowhere/hosts",
            "UserKnownHostsFile {other}",
        ],
    )
    async def test_does_not_switch_the_check_of_hosts_off(
        self, server: SFTPServer, make_storage: MakeStorage, tmp_path: Path, line: str
    ) -> None:
        key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        other, path = tmp_path / "other", tmp_path / "config"
        other.write_text(f"[127.0.0.1]:{server.port} {key}")
        path.write_text(f"Host *\n {line.format(other=other)}\n")
        told = await refusal(make_storage(ssh_config=path, known_hosts_fpath=None), HostKeyError)
        assert "changed" in told or "{other}" not in line
        await refusal(make_storage(ssh_config=path, known_hosts_fpath=other), HostKeyError)
        assert await works(make_storage(ssh_config=path))  # whose known_hosts are named

    async def test_is_the_only_one_that_is_read(
        self, make_storage: MakeStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, own = tmp_path / ".ssh" / "config", tmp_path / "own"
        path.parent.mkdir()
        path.write_text("Host *\n UserKnownHostsFile none\n")
        own.write_text("Host *\n ConnectTimeout 10\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        for configs in ([own], list[Path]()):
            storage = make_storage(ssh_config=configs, known_hosts_fpath=None)
            await refusal(storage, HostKeyError)

    @pytest.mark.parametrize("content", [None, "no key", "encrypted"])
    async def test_with_a_key_that_cannot_be_used(
        self, server: SFTPServer, make_storage: MakeStorage, tmp_path: Path, content: str | None
    ) -> None:
        path, identity = tmp_path / "config", tmp_path / "identity"
        path.write_text(f"Host *\n IdentityFile {identity}\n")
        if content == "encrypted":
            key = asyncssh.read_private_key(server.key)
            identity.write_bytes(key.export_private_key("pkcs8-pem", "a passphrase"))
        elif content is not None:
            identity.write_text(content)
        await refusal(make_storage(ssh_config=path, key_filename=None), CredentialsError)


class TestJumpHosts:
    @pytest.fixture
    def jump(self, server: SFTPServer, tmp_path: Path) -> Iterator[SFTPServer]:
        """A second sshd, that knows the same key."""
        with sshd(tmp_path / "jump", settings={"AllowTcpForwarding": "yes"}) as jump:
            shutil.copy(server.authorized_keys, jump.authorized_keys)
            yield jump

    @pytest.fixture
    def hosts(self, server: SFTPServer, jump: SFTPServer, tmp_path: Path) -> Path:
        """Both servers' host keys."""
        path = tmp_path / "hosts"
        path.write_text(server.known_hosts.read_text() + jump.known_hosts.read_text())
        return path

    async def test_are_gone_through_and_left_again(
        self, jump: SFTPServer, hosts: Path, make_storage: MakeStorage
    ) -> None:
        way = f"{jump.username}@127.0.0.1:{jump.port}"
        for count in (1, 2):
            storage = make_storage(jump_host=",".join([way] * count), known_hosts_fpath=hosts)
            async with storage:
                await storage.write_bytes("k", b"data")
                assert await storage.read_bytes("k") == b"data"
                ways = connections(storage)
                for connection in ways:
                    hop: Any = connection._tunnel
                    if hop is not None:
                        ways.append(hop)
                assert len(ways) == 1 + count
            await until(functools.partial(all_closed, ways))
        assert jump.log.read_text().count("Accepted publickey") == 3

    async def test_of_a_configuration_are_asked_with_our_keys_and_no_others(
        self, jump: SFTPServer, server: SFTPServer, hosts: Path, tmp_path: Path,
        make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        # A key of the home that the jump host would take, and that nobody named.
        home = tmp_path / "home"
        (home / ".ssh").mkdir(parents=True)
        stranger = asyncssh.generate_private_key("ssh-ed25519")
        stranger.write_private_key(home / ".ssh" / "id_ed25519")
        monkeypatch.setenv("HOME", str(home))
        config = tmp_path / "config"
        config.write_text(
            f"Host behind\n HostName 127.0.0.1\n Port {server.port}\n"
            f" ProxyJump {jump.username}@127.0.0.1:{jump.port}\n"
        )
        way: dict[str, Any] = {"host": "behind", "port": None, "ssh_config": config}
        async with make_storage(known_hosts_fpath=hosts, **way) as storage:
            await storage.write_bytes("k", b"data")
        assert jump.log.read_text().count("Accepted publickey") == 1

        jump.authorized_keys.write_bytes(stranger.export_public_key())
        told = await refusal(make_storage(known_hosts_fpath=hosts, **way), CredentialsError)
        assert f"127.0.0.1:{jump.port}" in told
        nothing = make_storage(known_hosts_fpath=hosts, key_filename=None, **way)
        await refusal(nothing, CredentialsError)
        assert jump.log.read_text().count("Accepted publickey") == 1

    async def test_are_checked_like_the_server_behind(
        self, server: SFTPServer, jump: SFTPServer, make_storage: MakeStorage
    ) -> None:
        way = f"{jump.username}@127.0.0.1:{jump.port}"
        told = await refusal(make_storage(jump_host=way), HostKeyError)
        assert f"127.0.0.1:{jump.port}" in told
        behind = make_storage(jump_host=way, known_hosts_fpath=jump.known_hosts)
        assert f"127.0.0.1:{server.port}" in await refusal(behind, HostKeyError)

    async def test_that_lead_nowhere(
        self, server: SFTPServer, hosts: Path, make_storage: MakeStorage, tmp_path: Path
    ) -> None:
        told: dict[str, Any] = {"known_hosts_fpath": hosts}
        nobody = f"{server.username}@127.0.0.1:1"
        assert "127.0.0.1:1 " in await refusal(
            make_storage(jump_host=nobody, **told), UnreachableError
        )
        with sshd(tmp_path / "closed", settings={"AllowTcpForwarding": "no"}) as closed:
            shutil.copy(server.authorized_keys, closed.authorized_keys)
            hosts.write_text(hosts.read_text() + closed.known_hosts.read_text())
            way = f"{closed.username}@127.0.0.1:{closed.port}"
            await refusal(make_storage(jump_host=way, **told), UnreachableError)


class TestRoots:
    @pytest.mark.parametrize("root", ["{name}", "{name}/a/b", "{path}/c", "./{name}/x/../y/"])
    async def test_lie_where_they_say_and_are_made(
        self, server: SFTPServer, folder: Path, root: str
    ) -> None:
        root = root.format(name=folder.name, path=folder)
        async with storage_on(server, root) as storage:
            assert await storage.list() == []
            assert not await storage.exists("dir/k")
            await storage.delete("dir/k")
            assert not folder.exists()
            await storage.write_bytes("dir/k", b"data")
            assert (server.root / root / "dir" / "k").resolve().read_bytes() == b"data"
            assert [entry.name for entry in await storage.list()] == ["dir/k"]

    async def test_may_be_that_of_a_login_or_of_the_server(
        self, server: SFTPServer, folder: Path
    ) -> None:
        folder.mkdir()
        (folder / "k").write_bytes(b"data")
        for root, key in ((".", f"{folder.name}/k"), ("/", str(folder / "k")[1:])):
            async with storage_on(server, root) as storage:
                assert await storage.read_bytes(key) == b"data"
                found = await storage.list(f"{key.removesuffix('k')}")
                assert [entry.name for entry in found] == [key]


class TestConnections:
    async def test_are_encrypted_by_what_is_fastest(self, make_storage: MakeStorage) -> None:
        async with make_storage() as storage:
            await storage.exists("k")
            (connection,) = connections(storage)
            assert connection.get_extra_info("send_cipher") == "aes128-gcm@openssh.com"
            assert connection.get_extra_info("recv_cipher") == "aes128-gcm@openssh.com"

    async def test_are_closed_when_idle_and_made_anew(self, make_storage: MakeStorage) -> None:
        async with make_storage(idle_timeout=0.2) as storage:
            await storage.write_bytes("k", b"data")
            (first,) = connections(storage)
            await until(lambda: storage.driver._pool.size == (0, 0))
            assert await storage.read_bytes("k") == b"data"
            assert connections(storage) != [first]
            # What somebody uses is not idle.
            async with storage.open("new", "w") as file:
                await asyncio.sleep(0.5)
                await file.write(b"data")
            assert await storage.read_bytes("new") == b"data"

    async def test_that_say_nothing_are_asked_and_given_up(
        self, proxy: FaultProxy, server: SFTPServer, make_storage: MakeStorage, tmp_path: Path
    ) -> None:
        hosts = tmp_path / "hosts"
        hosts.write_text(server.known_hosts.read_text().replace(f":{server.port}", ""))
        hosts.write_text(hosts.read_text().replace("[127.0.0.1]", "127.0.0.1"))  # on any port
        told: dict[str, Any] = {"port": proxy.port, "known_hosts_fpath": hosts}
        async with make_storage(**told, keepalive_interval=0.1) as storage:
            await storage.write_bytes("k", b"data")
            proxy.add(WireFault(black_hole=True))  # the next thing that is asked
            await until(lambda: storage.driver._pool.size == (0, 0))
            assert await storage.read_bytes("k") == b"data"
        async with make_storage(**told, timeout=0.3, keepalive_interval=0) as storage:
            assert await storage.read_bytes("k") == b"data"
            proxy.add(WireFault(black_hole=True))
            assert await storage.read_bytes("k") == b"data"  # of a second connection
            assert len(proxy.armed) == 2

    def test_belong_to_loops_and_processes(self, server: SFTPServer, folder: Path) -> None:
        check_loops_and_forks(
            f"SFTPStorage('127.0.0.1', {server.username!r}, "
            f"{str(server.key)!r}, {str(server.known_hosts)!r}, {server.port}, "
            f"root={folder.name!r})"
        )


async def test_a_storage_pickles_as_its_configuration(start_server: StartServer) -> None:
    server = start_server("asyncssh")
    async with storage_on(server, "pickled", key_filename=None, password=PASSWORD) as storage:
        await storage.write_bytes("k", b"data")
        async with pickle.loads(pickle.dumps(storage)) as clone:
            assert await clone.read_bytes("k") == b"data"
            assert clone.driver.config == storage.driver.config
            assert clone.driver.identity == storage.driver.identity


async def test_files_are_replaced_in_two_steps_only_where_that_is_allowed(
    start_server: StartServer,
) -> None:
    server = start_server("no-posix-rename")
    async with storage_on(server, "steps") as storage:
        await storage.write_bytes("k", b"old")
        with pytest.raises(UnsupportedOperationError, match="allow_non_atomic"):
            await storage.write_bytes("k", b"new")
        assert await storage.read_bytes("k") == b"old"
    async with storage_on(server, "steps", allow_non_atomic=True) as storage:
        await storage.write_bytes("k", b"new")
        assert await storage.read_bytes("k") == b"new"
