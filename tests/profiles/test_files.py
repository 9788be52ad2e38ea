"""Profiles in a TOML file, and those that a user has configured: what each value becomes."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from aiostow import (
    InvalidKeyError,
    LocalFSStorage,
    MemoryStorage,
    ProfileError,
    Profiles,
    Storage,
)
from aiostow.profiles import SyncProfiles, user_config

pytestmark = pytest.mark.anyio


class Typed(MemoryStorage):
    """A storage with a setting of each kind, as a package might register it."""

    credential_fields = Storage.credential_fields | {"token", "pin", "raw"}

    def __init__(
        self,
        *,
        name: str = "typed",
        text: str | None = None,
        count: int | None = None,
        ratio: float = 1.0,
        flag: bool = False,
        words: Sequence[str] = (),
        pairs: Mapping[str, str] | None = None,
        mode: Literal["slow", "quick"] = "slow",
        either: bool | str | None = None,
        path: str | os.PathLike[str] | None = None,
        paths: Sequence[str | os.PathLike[str]] = (),
        token: str | None = None,
        pin: int | None = None,
        raw: bytes | None = None,
        session: Any = None,
        secret_key: Any = None,
    ) -> None:
        told = dict(locals())
        self.given: dict[str, Any] = {
            key: told[key] for key in told if key not in ("self", "__class__")
        }
        super().__init__(name=name)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine is seen, and the type ``typed`` is registered."""
    for name in list(os.environ):
        if name.startswith(("AIOSTOW_", "AZURE_", "AWS_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    register(tmp_path / "site", {"typed": f"{__name__}:Typed"})
    monkeypatch.syspath_prepend(tmp_path / "site")


def register(site: Path, points: dict[str, str]) -> None:
    """Write the metadata of a package that registers storages."""
    info = site / "stores-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stores\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[aiostow.storages]\n{lines}")


def write(folder: Path, text: str, name: str = "config.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def made(folder: Path, lines: str) -> dict[str, Any]:
    """Return what the storage of one profile was given."""
    config = write(folder, f"[profiles.a]\ntype = 'typed'\n{lines}\n")
    storage = Profiles.from_file(config)["a"]
    assert isinstance(storage, Typed)
    return storage.given


def told(folder: Path, text: str) -> str:
    """Return what is told about a file, without its path."""
    config = write(folder, text)
    with pytest.raises(ProfileError) as caught:
        Profiles.from_file(config).check()
    message = str(caught.value)
    assert message.startswith(str(config))
    return message.removeprefix(str(config)).removeprefix(", ").removeprefix(": ")


def wrong(folder: Path, lines: str, type: str = "typed") -> str:
    message = told(folder, f"[profiles.a]\ntype = '{type}'\n{lines}\n")
    assert message.startswith("profile 'a', ")
    return message.removeprefix("profile 'a', ")


# -- what a file says -----------------------------------------------------------------------------


async def test_tables_are_profiles_in_their_order(tmp_path: Path) -> None:
    config = write(
        tmp_path,
        """
        [profiles.uploads]
        type = "local"
        root = "data"
        durable = false

        [profiles.archive]
        type = "memory"

        [profiles."a-1_b.c"]
        type = "MemoryStorage"
        """,
    )
    async with Profiles.from_file(str(config)) as profiles:
        assert list(profiles) == ["uploads", "archive", "a-1_b.c"]
        assert [profiles.kind(name) for name in profiles] == ["local", "memory", "memory"]
        assert {profiles.source(name) for name in profiles} == {str(config)}
        storage = profiles.get()
        assert storage is profiles["uploads"]
        assert storage.name == "uploads"
        await storage.write_bytes("k", b"data")
    assert (tmp_path / "data" / "k").read_bytes() == b"data"


async def test_every_backend_can_be_told(tmp_path: Path) -> None:
    config = write(
        tmp_path,
        f"""
        [profiles.a]
        type = "s3"
        bucket = "bucket"
        aws_region = "eu-west-1"
        aws_access_key_id = "AKIA0"
        aws_secret_access_key = "secret"
        sse_customer_key = "{"QUJD" * 10}QUI="
        conditional_writes = true
        proxies = {{ https = "http://proxy:3128" }}
        connect_timeout = 5
        verify = false

        [profiles.b]
        type = "azure"
        account = "name"
        key = "QUJD"
        bucket = "container"

        [profiles.c]
        type = "sftp"
        host = "files.example"
        port = 2222
        key_filename = "id_ed25519"
        keepalive_interval = 0
        ssh_config = ["one", "two"]
        root = "inbox"

        [profiles.d]
        url = "s3://bucket/below"
        aws_access_key_id = "AKIA0"
        aws_secret_access_key = "secret"
        """,
    )
    async with Profiles.from_file(config) as profiles:
        profiles.check()
        names = [type(profiles[name]).__name__ for name in profiles]
        assert names == ["S3Storage", "AzureStorage", "SFTPStorage", "Storage"]
        sftp: Any = profiles["c"].driver
        assert sftp.config.key_filename == str(tmp_path / "id_ed25519")
        s3: Any = profiles["a"].driver
        assert s3.config.customer_key == b"ABC" * 10 + b"AB"


def test_an_empty_file_has_no_profiles(tmp_path: Path) -> None:
    assert list(Profiles.from_file(write(tmp_path, "# none yet\n"))) == []
    assert list(Profiles.from_file(write(tmp_path, "[profiles]\n"))) == []


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("text = 'true story'", "true story"), ("text = '5'", "5"), ("count = 5", 5),
        ("ratio = 5", 5), ("ratio = 0.5", 0.5), ("flag = true", True), ("words = []", []),
        ("words = ['a', 'b']", ["a", "b"]), ("pairs = { a = 'b' }", {"a": "b"}),
        ("mode = 'quick'", "quick"), ("either = false", False), ("either = 'path'", "path"),
        ("raw = '/wAB'", b"\xff\x00\x01"), ("token = 'plain'", "plain"),
    ],
)  # fmt: skip
def test_values_become_arguments(line: str, value: object, tmp_path: Path) -> None:
    given = made(tmp_path, line)[line.split(" ")[0]]
    assert given == value
    assert type(given) is type(value)


def test_what_is_not_told_is_left_to_the_class(tmp_path: Path) -> None:
    given = made(tmp_path, "")
    assert given.pop("name") == "a"
    assert (given.pop("ratio"), given.pop("mode")) == (1.0, "slow")
    assert not any(given.values())


def test_relative_paths_begin_at_the_files_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = tmp_path / "conf"
    assert made(folder, "path = 'x/y'")["path"] == f"{folder}/x/y"
    assert made(folder, "path = '/x'")["path"] == "/x"
    assert made(folder, "path = '~/x'")["path"] == f"{tmp_path}/home/x"
    assert made(folder, "text = 'x/y'")["text"] == "x/y"
    paths = made(folder, "paths = ['x', '/y', '~/z']")["paths"]
    assert paths == [f"{folder}/x", "/y", f"{tmp_path}/home/z"]
    monkeypatch.chdir(tmp_path)
    profiles = Profiles.from_file("conf/config.toml")
    monkeypatch.chdir(tmp_path / "elsewhere")
    storage = profiles["a"]
    assert isinstance(storage, Typed)
    assert storage.given["paths"] == paths


async def test_a_prefix_confines_keys(tmp_path: Path) -> None:
    config = write(tmp_path, "[profiles.a]\ntype = 'local'\nroot = 'data'\nprefix = '/in/ner/'\n")
    async with Profiles.from_file(config) as profiles:
        storage = profiles["a"]
        await storage.write_bytes("k", b"data")
        assert (tmp_path / "data/in/ner/k").exists()
        (tmp_path / "data/in/other").write_bytes(b"")
        assert [entry.name for entry in await storage.list()] == ["k"]
        for key in ("../other", "/data/in/other", "..", "k/../../other"):
            with pytest.raises(InvalidKeyError):
                await storage.read_bytes(key)


def test_a_prefixs_storage_is_closed_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    async def close(storage: Typed) -> None:
        closed.append(type(storage))

    monkeypatch.setattr(Typed, "aclose", close)
    config = write(tmp_path, "[profiles.a]\ntype = 'typed'\nprefix = 'x'\n")
    profiles = Profiles.from_file(config)
    profiles.check()
    asyncio.run(profiles.aclose())
    assert closed == [Typed]
    with SyncProfiles(Profiles.from_file(config)) as facades:
        facades.check()
        base, _ = facades._made["a"]
    assert Typed in closed[1:]
    assert base._portal._closed


# -- secrets --------------------------------------------------------------------------------------


def test_variables_are_replaced_in_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONE", "first")
    monkeypatch.setenv("_two2", "$ONE${ONE}")
    assert made(tmp_path, "token = '${ONE}'")["token"] == "first"
    assert made(tmp_path, "token = 'a${ONE}b${_two2}c'")["token"] == "afirstb$ONE${ONE}c"
    assert made(tmp_path, "token = '$${ONE} $ONE ${} ${1} ${a-b} $$'")["token"] == (
        "${ONE} $ONE ${} ${1} ${a-b} $$"
    )
    monkeypatch.setenv("RAW", "/wAB")
    assert made(tmp_path, "raw = '${RAW}'")["raw"] == b"\xff\x00\x01"


async def test_variables_are_replaced_in_each_of_several_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEW", "n" * 40)
    monkeypatch.setenv("OLD", "o" * 40)
    (tmp_path / "old").write_text("o" * 40 + "\n")
    told = "type = 'local'\nroot = 'data'\nlinked_endpoint = 'https://files.example/'"

    async def token(secret: str) -> str:
        config = write(
            tmp_path,
            f"[profiles.a]\n{told}\nsecret_key = {secret}\n",
        )
        async with Profiles.from_file(config) as profiles:
            return (await profiles["a"].link_to("k", "download", 600)).partition("token=")[2]

    async def honours(secret: str, token: str) -> bool:
        config = write(
            tmp_path,
            f"[profiles.a]\n{told}\nsecret_key = {secret}\n",
        )
        async with Profiles.from_file(config) as profiles:
            return profiles["a"].deserialize_link_token(token).path == "k"

    old = await token(f"'{'o' * 40}'")
    assert await honours("['${NEW}', '${OLD}']", old)
    assert await honours("['${NEW}', { file = 'old' }]", old)
    named = await token(f"{{ x = '{'o' * 40}' }}")
    assert await honours("{ y = '${NEW}', x = '${OLD}' }", named)


@pytest.mark.parametrize(
    "line",
    [
        "text = '${HOME}'", "text = 'a${HOME}b'", "text = '$${A}${HOME}'", "words = ['${HOME}']",
        "pairs = { a = '${HOME}' }", "path = '${HOME}/x'", "mode = '${HOME}'",
    ],
)  # fmt: skip
def test_variables_elsewhere_are_refused(line: str, tmp_path: Path) -> None:
    assert wrong(tmp_path, line) == (
        f"key '{line.split(' ')[0]}': variables are replaced in credentials only"
    )


def test_a_url_takes_no_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGION", "CANARY")
    assert told(tmp_path, "[profiles.a]\nurl = 's3://bucket?aws_region=${REGION}'\n") == (
        "profile 'a', key 'aws_region': variables are replaced in credentials only"
    )


def test_a_variable_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert wrong(tmp_path, "token = 'CANARY${NO_SUCH_ONE}'") == (
        "key 'token': the environment has no variable NO_SUCH_ONE"
    )


@pytest.mark.parametrize(
    ("content", "secret"),
    [(b"text", "text"), (b"text\n", "text"), (b"text\r\n", "text"), (b" t\n\n", " t\n"),
     (b"", ""), ("ü${HOME}".encode(), "ü${HOME}")],
)  # fmt: skip
def test_a_file_holds_a_secret(content: bytes, secret: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(content)
    assert made(tmp_path, "token = { file = 'secret' }")["token"] == secret
    assert made(tmp_path, f"token = {{ file = '{tmp_path}/secret' }}")["token"] == secret


def test_secret_files_begin_at_the_files_folder_or_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "home", "at home", "secret")
    write(tmp_path / "conf", "beside", "secret")
    write(tmp_path, "in the current directory", "secret")
    monkeypatch.chdir(tmp_path)
    assert made(tmp_path / "conf", "token = { file = '~/secret' }")["token"] == "at home"
    assert made(tmp_path / "conf", "token = { file = 'secret' }")["token"] == "beside"


def test_secret_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"CANARY\xff")
    for line, message in {
        "{ file = 'none' }": "the secret file 'none' cannot be read: No such file or directory",
        "{ file = '.' }": "the secret file '.' cannot be read: Is a directory",
        '{ file = "\\u0000" }': r"the secret file '\x00' cannot be read: this is no path",
        "{ file = 'binary' }": "the secret file 'binary' is no text in UTF-8",
        "{ file = 5 }": "a secret file is named by text, as in { file = 'path' }",
        "{ file = 'binary', x = 'CANARY' }": "this must be text",
        "{ path = 'CANARY' }": "this must be text",
    }.items():
        assert wrong(tmp_path, f"token = {line}") == f"key 'token': {message}"


def test_what_an_unreadable_secret_holds_goes_nowhere(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"CANARY\xff")
    config = write(tmp_path, "[profiles.a]\ntype='typed'\ntoken = { file = 'binary' }\n")
    with pytest.raises(ProfileError) as caught:
        Profiles.from_file(config).check()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_secret_files_are_for_credentials_only(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("CANARY")
    assert wrong(tmp_path, "text = { file = 'secret' }") == "key 'text': this must be text"
    assert made(tmp_path, "pairs = { file = 'secret' }")["pairs"] == {"file": "secret"}


# -- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("text = 987", "this must be text"),
        ("count = '987'", "this must be a whole number"),
        ("count = 98.7", "this must be a whole number"),
        ("count = true", "this must be a whole number"),
        ("pin = '987'", "this must be a whole number"),
        ("ratio = '987'", "this must be a number"),
        ("ratio = true", "this must be a number"),
        ("flag = 987", "this must be true or false"),
        ("flag = 'true'", "this must be true or false"),
        ("words = '987'", "this must be a list"),
        ("words = [987]", "this must be a list"),
        ("pairs = ['987']", "this must be a table"),
        ("pairs = { a = 987 }", "this must be a table"),
        ("mode = '987'", "this must be 'slow' or 'quick'"),
        ("either = 987", "this must be true or false or text"),
        ("either = 'true'", "this must be true or false or text"),
        ("path = 987", "this must be text"),
        ("raw = '987'", "this must be bytes in base64"),
        ("raw = 'ü987'", "this must be bytes in base64"),
        ("raw = 987", "this must be bytes in base64"),
        ("token = 987", "this must be text"),
        ("token = 1987-09-08", "this must be text"),
        ("session = '987'", "this can be given in code only"),
        ("name = '987'", "a profile has the name of its table"),
        ("prefix = 987", "this must be text"),
        ("url = 987", "this must be text"),
        ("tokn = '987'", "Typed has no such setting; do you mean 'token'?"),
        ("Token = '987'", "Typed has no such setting; do you mean 'token'?"),
    ],
)
def test_wrong_settings_are_named_without_their_values(
    line: str, message: str, tmp_path: Path
) -> None:
    found = wrong(tmp_path, line)
    assert found == f"key '{line.split(' ')[0]}': {message}"
    assert "987" not in found


def test_secrets_of_a_wrong_kind_are_told_what_they_may_be(tmp_path: Path) -> None:
    assert wrong(tmp_path, "secret_key = 5", "memory") == (
        "key 'secret_key': this must be text or a list or a table"
    )


def test_what_a_setting_may_be_is_listed_where_nothing_is_near(tmp_path: Path) -> None:
    assert wrong(tmp_path, "zzzz = 5", "memory") == (
        "key 'zzzz': MemoryStorage has no such setting; "
        "choose from linked_endpoint, memory_budget, on_event, secret_key"
    )
    assert wrong(tmp_path, "", "local") == "key 'root': LocalFSStorage needs this setting"


def test_what_a_class_refuses_is_told_with_its_profile(tmp_path: Path) -> None:
    message = told(tmp_path, "[profiles.a]\ntype = 'memory'\nsecret_key = 'CANARY'\n")
    assert message.startswith("profile 'a': a secret key needs at least 32 bytes: ")
    message = told(tmp_path, "[profiles.a]\ntype = 'memory'\nmemory_budget = -5\n")
    assert message.startswith("profile 'a': memory_budget ")


TYPES = "azure, local, memory, s3, sftp, typed"
NO_PASSWORD = "a URL of a storage holds no password: make it a profile's setting"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[profiles.a]\n", "profile 'a': a profile has a type or a url, and not both"),
        (
            "[profiles.a]\ntype = 'memory'\nurl = 'memory://'\n",
            "profile 'a': a profile has a type or a url, and not both",
        ),
        (
            "[profiles.a]\ntype = 'memry'\n",
            "profile 'a', key 'type': there is no such type; do you mean 'memory'?",
        ),
        (
            "[profiles.a]\ntype = 'os.path'\n",
            "profile 'a', key 'type': there is no such type; choose from " + TYPES,
        ),
        ("[profiles.a]\ntype = ['memory']\n", "profile 'a', key 'type': this must be text"),
        (
            "[profiles.a]\ntype = 'memory'\nprefix = '../x'\n",
            "profile 'a', key 'prefix': a key cannot hold the segment '..'",
        ),
        (
            "[profiles.'a b']\ntype = 'memory'\n",
            "profile 'a b': a profile's name is made of letters, digits, '.', '_' and '-'",
        ),
        (
            "[profiles.-a]\ntype = 'memory'\n",
            "profile '-a': a profile's name is made of letters, digits, '.', '_' and '-'",
        ),
        ("[profiles]\na = 'CANARY'\n", "profile 'a': write a table [profiles.a]"),
        ("profiles = 'CANARY'\n", "write a table [profiles.<name>] for each profile"),
        ("[[profiles]]\n", "write a table [profiles.<name>] for each profile"),
        ("[profile.a]\ntype = 'memory'\n", "key 'profile': do you mean 'profiles'?"),
        ("[zzzz]\n", "key 'zzzz': choose from profiles"),
        (
            "[profiles.a]\nurl = 's3://bucket/x'\nprefix = 'y'\n",
            "profile 'a', key 'prefix': the URL has a prefix already",
        ),
        (
            "[profiles.a]\nurl = 'sftp://me:CANARY@host/'\n",
            "profile 'a', key 'url': " + NO_PASSWORD,
        ),
        (
            "[profiles.a]\nurl = 'sftp://host/?password=CANARY'\n",
            "profile 'a', key 'password': a URL holds no secret: make it a setting of the profile",
        ),
    ],
)
def test_what_is_wrong_is_told_with_file_profile_and_key(
    text: str, message: str, tmp_path: Path
) -> None:
    assert told(tmp_path, text) == message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[profiles.a]\ntoken = CANARY\n", 2), ("[profiles.a]\ntoken = 'x'CANARY", 2),
        ("[profiles.a]\nCANARY = 1\nCANARY = 2\n", 3), ("[CANARY]\n[CANARY]\n", 2),
        ("a = { CANARY = 1, CANARY = 2 }", 1), ("a = 'x' CANARY", 1),
    ],
)  # fmt: skip
def test_broken_toml_is_told_by_its_place_only(text: str, line: int, tmp_path: Path) -> None:
    pattern = rf"this is no TOML \(at line {line}, column \d+\)"
    assert re.fullmatch(pattern, told(tmp_path, text))


def test_toml_that_is_broken_at_its_end_or_nowhere_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, "token = 'CANARY") == "this is no TOML (at end of document)"
    assert told(tmp_path, "token = " + "9" * 5000) == "this is no TOML"


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(ProfileError) as caught:
            Profiles.from_file(path)
        return str(caught.value)

    none = tmp_path / "none"
    assert message(none) == f"{none}: this file cannot be read: No such file or directory"
    assert message(tmp_path) == f"{tmp_path}: this file cannot be read: Is a directory"
    none.write_bytes(b"token = 'CANARY\xff'")
    assert message(none) == f"{none}: this is no TOML"


def test_values_are_checked_only_when_a_storage_is_made(tmp_path: Path) -> None:
    """One wrong profile is in nobody's way who uses another."""
    profiles = Profiles.from_file(
        write(tmp_path, "[profiles.a]\ntype='typed'\ncount='x'\n[profiles.b]\ntype='memory'\n")
    )
    assert isinstance(profiles["b"], MemoryStorage)
    for use in (lambda: profiles["a"], profiles.check):
        with pytest.raises(ProfileError, match="key 'count': this must be a whole number"):
            use()


# -- what the user has configured -----------------------------------------------------------------

MEMORY = "[profiles.{}]\ntype = 'memory'\n"


def test_nothing_is_taken_from_the_current_directory_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config.toml", "aiostow.toml", ".aiostow.toml"):
        write(tmp_path / "cwd", MEMORY.format("here"), name)
    for name in ("aiostow", ".config/aiostow", ".aiostow"):
        write(tmp_path / "cwd" / name, MEMORY.format("here"))
    monkeypatch.chdir(tmp_path / "cwd")
    assert list(Profiles.load()) == []
    monkeypatch.setenv("XDG_CONFIG_HOME", ".")  # a relative one does not count
    assert list(Profiles.load()) == []
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("AIOSTOW_CONFIG", "")
    assert list(Profiles.load()) == []
    assert list(Profiles.load("config.toml")) == ["here"]


def test_a_file_that_is_named_counts_before_those_that_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert user_config() == tmp_path / "home/.config/aiostow/config.toml"
    write(tmp_path / "home/.config/aiostow", MEMORY.format("home"))
    assert list(Profiles.load()) == ["home"]
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert user_config() == tmp_path / "xdg/aiostow/config.toml"
    assert list(Profiles.load()) == []
    write(tmp_path / "xdg/aiostow", MEMORY.format("xdg"))
    assert list(Profiles.load()) == ["xdg"]
    monkeypatch.setenv("AIOSTOW_CONFIG", str(write(tmp_path, MEMORY.format("named"))))
    assert list(Profiles.load()) == ["named"]
    assert list(Profiles.load(write(tmp_path, MEMORY.format("told"), "told.toml"))) == ["told"]


def test_a_file_that_is_named_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "home/.config/aiostow", MEMORY.format("home"))
    none = str(tmp_path / "none")
    with pytest.raises(ProfileError, match="this file cannot be read: No such file"):
        Profiles.load(none)
    monkeypatch.setenv("AIOSTOW_CONFIG", none)
    with pytest.raises(ProfileError, match="this file cannot be read: No such file"):
        Profiles.load()


def test_the_environment_adds_profiles_and_replaces_them_in_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path, MEMORY.format("uploads") + MEMORY.format("archive"))
    monkeypatch.setenv("AIOSTOW_PROFILE_UPLOADS", "local")
    monkeypatch.setenv("AIOSTOW_PROFILE_UPLOADS__ROOT", str(tmp_path))
    monkeypatch.setenv("AIOSTOW_PROFILE_ADDED", "memory")
    profiles = Profiles.load(config)
    assert list(profiles) == ["uploads", "archive", "added"]
    assert isinstance(profiles.get(), LocalFSStorage)
    assert [profiles.source(name) for name in profiles] == [
        "the environment", str(config), "the environment",
    ]  # fmt: skip


# -- what packages register -----------------------------------------------------------------------


def test_packages_register_classes(tmp_path: Path) -> None:
    profiles = Profiles([("typed", {"name": "a", "count": 3})])
    assert isinstance(profiles["a"], Typed)
    assert profiles.kind("a") == "typed"


def test_what_is_registered_but_no_storage_is_refused(tmp_path: Path) -> None:
    register(tmp_path / "site", {"path": "pathlib:Path", "join": "os.path:join"})
    for kind in ("path", "join"):
        message = f"key 'type': '{kind}' is registered for what is no class of storages"
        assert wrong(tmp_path, "", kind) == message
        with pytest.raises(ProfileError) as caught:
            Profiles([(kind, {"name": "b"})])
        assert str(caught.value) == f"profile 'b', {message}"


def test_what_is_registered_is_imported_only_when_used(tmp_path: Path) -> None:
    site = tmp_path / "site"
    register(site, {"lazy": "lazy_stores:Lazy", "gone": "no_such_module:Gone"})
    (site / "lazy_stores.py").write_text(
        "from aiostow import MemoryStorage\nclass Lazy(MemoryStorage): pass\n"
    )
    config = write(tmp_path, "[profiles.a]\ntype='lazy'\n[profiles.b]\ntype='gone'\n")
    profiles = Profiles.from_file(config)
    assert "lazy_stores" not in sys.modules
    try:
        assert type(profiles["a"]).__name__ == "Lazy"
    finally:
        sys.modules.pop("lazy_stores", None)
    with pytest.raises(ImportError, match="no_such_module"):
        profiles.get("b")


def test_nobody_registers_another_class_under_our_names(tmp_path: Path) -> None:
    typed = f"{__name__}:Typed"
    register(tmp_path / "site", {"memory": typed, "MemoryStorage": typed})
    for kind in ("memory", "MemoryStorage"):
        storage = Profiles([(kind, {"name": "a"})])["a"]
        assert type(storage) is MemoryStorage


@pytest.mark.parametrize("kind", ["aiostow.backends.memory:MemoryStorage", "Storage", "os", ""])
def test_only_what_is_registered_can_be_named(kind: str, tmp_path: Path) -> None:
    assert wrong(tmp_path, "", kind).startswith("key 'type': there is no such type; choose from ")
    with pytest.raises(ProfileError):
        Profiles.from_file(tmp_path / "config.toml")  # nobody need ask for it
