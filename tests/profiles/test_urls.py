"""URLs of storages: what each says, and that none holds or shows a secret."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from aiostow import (
    InvalidKeyError,
    LocalFSStorage,
    MemoryStorage,
    ProfileError,
    Profiles,
)
from aiostow._urls import is_url, parse_url

pytestmark = pytest.mark.anyio

ACCOUNT = {"AZURE_STORAGE_ACCOUNT": "usual", "AZURE_STORAGE_KEY": "S0VZ"}
STRING = {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=string;AccountKey=S0VZ"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AIOSTOW_", "AZURE_", "AWS_", "SSH_")):
            monkeypatch.delenv(name)


def place(url: str, **environ: str) -> tuple[str, dict[str, str], str | None, str]:
    """Return kind, settings, root and path that a URL says."""
    parsed = parse_url(url, environ)
    return parsed.kind, dict(parsed.settings), parsed.root, parsed.path


def refused(url: str) -> str:
    messages = set()
    for profile in (False, True):
        with pytest.raises(ProfileError) as caught:
            if profile:
                Profiles.from_environment({"AIOSTOW_PROFILE_A__URL": url}).check()
            else:
                Profiles().at_url(url)
        message = str(caught.value)
        for beginning in ("this URL, ", "the environment, profile 'a', ", "key 'url': "):
            message = message.removeprefix(beginning)
        messages.add(message)
    (message,) = messages
    assert "987" not in message
    return message


# -- what they say --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["s3://b", "S3://b", "a+b-c.d1://", "nothing://x", "x://"])
def test_what_has_a_scheme_is_a_url(text: str) -> None:
    assert is_url(text)


@pytest.mark.parametrize("text", ["s3", "s3:b", "s3:/b", "://x", "1s://x", "a b://", "/s3://b", ""])
def test_all_else_is_none(text: str) -> None:
    assert not is_url(text)


@pytest.mark.parametrize(
    ("url", "settings", "path"),
    [
        ("s3://bucket", {"bucket": "bucket"}, ""),
        ("s3://bucket/", {"bucket": "bucket"}, ""),
        ("S3://bucket/a/b", {"bucket": "bucket"}, "a/b"),
        ("s3://Bucket_1/a/", {"bucket": "Bucket_1"}, "a/"),
        ("s3://bucket//a", {"bucket": "bucket"}, "/a"),
        ("s3://bucket/a%20b%2Fc%23%3F%C3%BC", {"bucket": "bucket"}, "a b/c#?ü"),
        ("s3://bucket/a+b", {"bucket": "bucket"}, "a+b"),
        (
            "s3://bucket/a?aws_region=eu-west-1&endpoint_url=http%3A%2F%2Fhost%3A9000",
            {"bucket": "bucket", "aws_region": "eu-west-1", "endpoint_url": "http://host:9000"},
            "a",
        ),
        ("s3://bucket?kms_key_id=", {"bucket": "bucket", "kms_key_id": ""}, ""),
    ],
)
def test_s3(url: str, settings: dict[str, str], path: str) -> None:
    assert place(url) == ("s3", settings, None, path)


@pytest.mark.parametrize(
    ("url", "settings", "root", "path"),
    [
        ("sftp://host", {}, "/", ""),
        ("sftp://host/srv/x", {}, "/", "srv/x"),
        ("sftp://me@host:2222/x", {"username": "me", "port": "2222"}, "/", "x"),
        ("sftp://m%40e@host/a%20b", {"username": "m@e"}, "/", "a b"),
        ("sftp://host/~", {}, ".", ""),
        ("sftp://host/~/", {}, ".", ""),
        ("sftp://host/~/a/b", {}, ".", "a/b"),
        ("sftp://host/%7E/a", {}, ".", "a"),
        ("sftp://host/~other/a", {}, "/", "~other/a"),
        ("sftp://host/x?port=22&timeout=5", {"port": "22", "timeout": "5"}, "/", "x"),
        ("sftp://host/?look_for_keys=false", {"look_for_keys": "false"}, "/", ""),
    ],
)
def test_sftp(url: str, settings: dict[str, str], root: str, path: str) -> None:
    told = {"host": "host", "look_for_keys": "true"} | settings
    assert place(url) == ("sftp", told, root, path)


def test_an_agent_is_asked_where_there_is_one() -> None:
    assert place("sftp://[::1]:22/", SSH_AUTH_SOCK="/agent")[1] == {
        "host": "::1", "port": "22", "look_for_keys": "true", "allow_agent": "true",
    }  # fmt: skip


def test_files_and_memory() -> None:
    assert place("file:///") == ("local", {}, "/", "")
    assert place("file:///srv/a%20b") == ("local", {}, "/", "srv/a b")
    assert place("file:///x?durable=false") == ("local", {"durable": "false"}, "/", "x")
    assert place("memory://") == ("memory", {}, None, "")
    assert place("memory:///a/b") == ("memory", {}, None, "a/b")


USUAL = {"account": "usual", "key": "S0VZ"}
TEXT = {"connection_string": STRING["AZURE_STORAGE_CONNECTION_STRING"]}
BLOB = "https://usual.blob.core.windows.net"


@pytest.mark.parametrize(
    ("environ", "query", "found"),
    [
        ({}, "", {}),
        ({}, "account=name", {}),
        (ACCOUNT, "", USUAL),
        ({"AZURE_STORAGE_ACCOUNT": "usual"}, "", {"account": "usual"}),
        ({"AZURE_STORAGE_KEY": "S0VZ"}, "account=name", {"key": "S0VZ"}),
        ({"AZURE_STORAGE_KEY": ""}, "account=name", {}),
        (STRING, "", TEXT),
        (STRING | ACCOUNT, "", TEXT),
        # Whom the URL names is not replaced, and gets no other's key.
        (STRING, "account=other", {}),
        (ACCOUNT, "account=other", {}),
        (ACCOUNT, "account=usual", {"key": "S0VZ"}),
        (STRING, "anonymous=true&account=other", {}),
        (ACCOUNT, "anonymous=true", {"account": "usual"}),
        (STRING | ACCOUNT, f"endpoint={BLOB}", USUAL),
    ],
)
def test_azure_is_asked_by_whom_the_environment_names(
    environ: dict[str, str], query: str, found: dict[str, str]
) -> None:
    kind, settings, root, path = place(f"az://container/a/b?{query}".rstrip("?"), **environ)
    told = dict(each.split("=") for each in query.split("&")) if query else {}
    assert (kind, root, path) == ("azure", None, "a/b")
    assert settings == {"bucket": "container"} | found | told


def test_a_profile_that_says_who_asks_azure_is_not_overruled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"

    def asked(line: str) -> tuple[str, bool]:
        config.write_text(f"[profiles.a]\nurl = 'az://container'\n{line}\n")
        driver: Any = Profiles.from_file(config)["a"].driver
        return driver.config.place.account, driver.config.place.key is not None

    own = "connection_string = 'AccountName=own;AccountKey=S0VZ'"
    for environ in (ACCOUNT, STRING, ACCOUNT | STRING):
        for name in ACCOUNT | STRING:
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        assert asked(own) == ("own", True)
        assert asked("account = 'own'\nkey = 'S0VZ'") == ("own", True)
        assert asked("account = 'own'\nanonymous = true") == ("own", False)
        assert asked("") == ("string" if environ != ACCOUNT else "usual", True)
    assert asked("key = 'T1dO'") == ("usual", True)


# -- what they lead to ----------------------------------------------------------------------------


async def test_a_url_leads_to_a_storage_and_what_is_below_it(tmp_path: Path) -> None:
    async with Profiles() as profiles:
        storage, key = profiles.at_url(f"file://{tmp_path}/a%20b")
        assert isinstance(storage, LocalFSStorage)
        assert storage.root == Path("/")
        assert key == f"{tmp_path}/a b".lstrip("/")
        await storage.write_bytes(key, b"data")
        assert (tmp_path / "a b").read_bytes() == b"data"
        memory, path = profiles.at_url("memory:///a/")
        assert isinstance(memory, MemoryStorage)
        assert path == "a/"
        assert list(profiles) == []
    assert storage.closed
    assert memory.closed


async def test_urls_of_one_place_share_a_storage() -> None:
    async with Profiles([(MemoryStorage, {"name": "memory:[]"})]) as profiles:
        one, _ = profiles.at_url("memory:///a")
        assert profiles.at_url("memory://")[0] is one
        assert profiles.at_url("memory:///?memory_budget=100000000")[0] is not one
        assert profiles["memory:[]"] is not one
        assert profiles.at_url("s3://one/a")[0] is profiles.at_url("s3://one")[0]
        assert profiles.at_url("s3://one/a")[0] is not profiles.at_url("s3://two/a")[0]


async def test_settings_of_a_query_are_read_as_what_they_are() -> None:
    async with Profiles() as profiles:
        url = "sftp://me@host:2222/?timeout=5&ssh_config=false&allow_non_atomic=true"
        driver: Any = profiles.at_url(url)[0].driver
        config = driver.config
        assert (config.username, config.port, config.timeout) == ("me", 2222, 5)
        assert config.allow_non_atomic is True
        assert config.look_for_keys is True
        assert config.root == "/"


async def test_a_profiles_url_confines_it(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        f"[profiles.disk]\nurl = 'file://{tmp_path}/in/ner/'\n"
        f"[profiles.below]\nurl = 'file://{tmp_path}'\nprefix = 'in'\n"
        "[profiles.bucket]\nurl = 's3://bucket/in/ner/'\n"
        "[profiles.server]\nurl = 'sftp://host/~/in/ner/'\n"
        "[profiles.whole]\nurl = 'memory://'\n"
    )
    async with Profiles.from_file(tmp_path / "config.toml") as profiles:
        disk = profiles["disk"]
        assert isinstance(disk, LocalFSStorage)
        assert disk.root == tmp_path / "in/ner"
        await disk.write_bytes("k", b"data")
        assert await profiles["below"].read_bytes("ner/k") == b"data"
        assert repr(profiles["bucket"]) == "<Storage 'bucket' at 'in/ner/'>"
        server: Any = profiles["server"].driver
        assert server.config.root == "in/ner"
        assert isinstance(profiles["whole"], MemoryStorage)
        for name in ("disk", "below", "bucket"):
            for key in ("../k", "/k", ".."):
                with pytest.raises(InvalidKeyError):
                    await profiles[name].read_bytes(key)


async def test_a_profiles_own_settings_go_before_those_of_its_url(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        "[profiles.a]\nurl = 'sftp://host:22/?timeout=5'\ntimeout = 7\nlook_for_keys = false\n"
    )
    driver: Any = Profiles.from_file(tmp_path / "config.toml")["a"].driver
    assert (driver.config.timeout, driver.config.port) == (7, 22)
    assert driver.config.look_for_keys is False


# -- what is refused ------------------------------------------------------------------------------

NO_PASSWORD = "a URL of a storage holds no password: make it a profile's setting"
NO_SECRET = "a URL holds no secret: make it a setting of the profile"
NONE = "this URL of a storage cannot be understood"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sftp://me:987@host/", NO_PASSWORD),
        ("sftp://me:@host/", NO_PASSWORD),
        ("s3://id:987@bucket/", NO_PASSWORD),
        ("az://name:987@container/", NO_PASSWORD),
        ("memory://me:987@/", NO_PASSWORD),
        ("sftp://host/?password=987", f"key 'password': {NO_SECRET}"),
        ("sftp://host/?p%61ssphrase=987", f"key 'passphrase': {NO_SECRET}"),
        ("memory://?secret_key=987", f"key 'secret_key': {NO_SECRET}"),
        ("s3://b?aws_access_key_id=987", f"key 'aws_access_key_id': {NO_SECRET}"),
        ("s3://b?aws_secret_access_key=987", f"key 'aws_secret_access_key': {NO_SECRET}"),
        ("s3://b?sse_customer_key=987", f"key 'sse_customer_key': {NO_SECRET}"),
        ("az://container?key=987", f"key 'key': {NO_SECRET}"),
        ("az://container?connection_string=987", f"key 'connection_string': {NO_SECRET}"),
        ("az://container?sas_blob_url=987", f"key 'sas_blob_url': {NO_SECRET}"),
        ("s3://bucket/a#987", "in a URL of a storage, write '%23' for '#'"),
        ("memry://987", "no storage has such a URL; do you mean 'memory'?"),
        ("987", "no storage has such a URL; choose from az, file, memory, s3, sftp"),
        ("x987://", "no storage has such a URL; choose from az, file, memory, s3, sftp"),
        ("", "no storage has such a URL; choose from az, file, memory, s3, sftp"),
        ("s3:987", "write a URL of this kind as 's3://bucket/prefix'"),
        ("s3:///987", "write a URL of this kind as 's3://bucket/prefix'"),
        ("s3://987@bucket", "write a URL of this kind as 's3://bucket/prefix'"),
        ("az:///987", "write a URL of this kind as 'az://container/prefix?account=name'"),
        ("sftp:///987", "write a URL of this kind as 'sftp://user@host/folder'"),
        ("sftp:host/987", "write a URL of this kind as 'sftp://user@host/folder'"),
        ("file://987/x", "write a URL of this kind as 'file:///folder'"),
        ("file:987", "write a URL of this kind as 'file:///folder'"),
        ("file:/987", "write a URL of this kind as 'file:///folder'"),
        ("memory://987", "write a URL of this kind as 'memory://'"),
        ("sftp://host:port987/", NONE),
        ("sftp://host:98765/", NONE),
        ("sftp://[987/", NONE),
        ("s3://bucket/%ff987", NONE),
        ("s3://bucket?987", NONE),
        ("s3://bucket?aws_region=987&", NONE),
        ("s3://bucket?aws_region=1&aws_region=987",
         "in this URL of a storage a setting is given twice"),
        ("s3://bucket?bucket=987", "a URL says what 'bucket' is before its query"),
        ("az://container?bucket=987", "a URL says what 'bucket' is before its query"),
        ("file:///?root=987", "a URL says what 'root' is before its query"),
        ("sftp://host?host=987", "a URL says what 'host' is before its query"),
        ("sftp://host?root=987", "a URL says what 'root' is before its query"),
        ("sftp://host:22/?port=987", "a URL says what 'port' is before its query"),
        ("sftp://a@host/?username=987", "a URL says what 'username' is before its query"),
        ("s3://bucket?aws_regio=987",
         "key 'aws_regio': S3Storage has no such setting; do you mean 'aws_region'?"),
        ("s3://bucket?dualstack=987", "key 'dualstack': this must be true or false"),
        ("s3://bucket?session=987", "key 'session': this can be given in code only"),
        ("sftp://host/?key_filename=${HOME}987",
         "key 'key_filename': variables are replaced in credentials only"),
    ],
)  # fmt: skip
def test_a_wrong_url_is_refused_and_not_repeated(url: str, message: str) -> None:
    assert refused(url) == message


def test_the_name_of_a_storage_is_no_setting_of_a_url() -> None:
    with pytest.raises(ProfileError, match="this URL, key 'name': MemoryStorage has no such"):
        Profiles().at_url("memory://?name=x")


def test_a_url_that_no_key_can_begin_with_is_told_as_such() -> None:
    with pytest.raises(ProfileError) as caught:
        Profiles.from_environment({"AIOSTOW_PROFILE_A": "s3://bucket/../987"})
    assert str(caught.value) == (
        "the environment, profile 'a', key 'url': a key cannot hold the segment '..'"
    )


def test_a_prefix_beside_a_url_is_told_by_its_own_key() -> None:
    environ = {"AIOSTOW_PROFILE_A": "s3://bucket", "AIOSTOW_PROFILE_A__PREFIX": "../987"}
    with pytest.raises(ProfileError) as caught:
        Profiles.from_environment(environ)
    assert str(caught.value) == (
        "the environment, profile 'a', key 'prefix': a key cannot hold the segment '..'"
    )


def test_a_url_without_credentials_says_what_azure_needs() -> None:
    with pytest.raises(ProfileError, match=r"^this URL: the credentials are incomplete: "):
        Profiles().at_url("az://container")
