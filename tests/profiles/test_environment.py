"""Profiles in the environment: their names, and what text becomes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiostow import InvalidKeyError, LocalFSStorage, MemoryStorage, ProfileError, Profiles

pytestmark = pytest.mark.anyio


def environment(**settings: str) -> Profiles:
    """Return the profiles of these variables, each without its beginning."""
    return Profiles.from_environment({f"AIOSTOW_PROFILE_{k}": v for k, v in settings.items()})


def told(make: Callable[[], Profiles]) -> str:
    with pytest.raises(ProfileError) as caught:
        make().check()
    message = str(caught.value)
    assert message.startswith("the environment")
    return message.removeprefix("the environment, ").removeprefix("the environment: ")


async def test_variables_are_profiles_in_the_order_of_their_names(tmp_path: Path) -> None:
    async with environment(
        UPLOADS="local", UPLOADS__ROOT=str(tmp_path), CACHE="memory", BIG="s3://bucket/x"
    ) as profiles:
        assert list(profiles) == ["big", "cache", "uploads"]
        assert [profiles.kind(name) for name in profiles] == ["s3", "memory", "local"]
        assert {profiles.source(name) for name in profiles} == {"the environment"}
        storage = profiles["uploads"]
        assert isinstance(storage, LocalFSStorage)
        assert storage.root == tmp_path
        assert storage.name == "uploads"


async def test_the_environment_of_the_process_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOSTOW_PROFILE_ONLY_ONE", "memory")
    async with Profiles.from_environment() as profiles:
        assert "only_one" in profiles
        assert isinstance(profiles["only_one"], MemoryStorage)
    assert list(Profiles.from_environment({})) == []


def test_other_variables_are_not_looked_at() -> None:
    environ = {"AIOSTOW_CONFIG": "x", "AIOSTOW_PROFILES": "y", "PROFILE_A": "memory", "a": "b"}
    assert list(Profiles.from_environment(environ)) == []


def test_type_and_url_may_be_settings_too(tmp_path: Path) -> None:
    profiles = environment(A__TYPE="local", A__ROOT="x", B__URL="file:///x", C="file:///x/y")
    assert [profiles.kind(name) for name in profiles] == ["local"] * 3
    roots = [storage.root for storage in map(profiles.get, profiles) if hasattr(storage, "root")]
    assert roots == [Path("x").absolute(), Path("/x"), Path("/x/y")]


def sftp(**settings: str) -> Any:
    driver: Any = environment(A="sftp://host/", **settings)["a"].driver
    return driver.config


def s3(**settings: str) -> Any:
    driver: Any = environment(A="s3", A__BUCKET="bucket", **settings)["a"].driver
    return driver.config


def test_text_becomes_what_the_setting_takes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = sftp(
        A__PORT="2222", A__IDLE_TIMEOUT="0.5", A__TIMEOUT="5", A__LOOK_FOR_KEYS="false",
        A__PASSWORD="123", A__USERNAME="true", A__KEY_FILENAME="~/key", A__SSH_CONFIG="false",
    )  # fmt: skip
    assert (found.port, found.idle_timeout, found.timeout) == (2222, 0.5, 5)
    assert found.look_for_keys is False
    assert (found.password, found.username) == ("123", "true")
    assert found.key_filename == f"{tmp_path}/key"
    assert found.ssh_config is None
    key = bytes(range(32))
    found = s3(
        A__SSE_CUSTOMER_KEY=base64.b64encode(key).decode(), A__VERIFY="false",
        A__PROXIES='{ https = "http://proxy" }', A__CONDITIONAL_WRITES="true",
        A__AWS_REGION="123", A__ADDRESSING_STYLE="path", A__ENDPOINT_URL="http://[::1]:9000",
    )  # fmt: skip
    assert found.customer_key == key
    assert found.verify is False
    assert found.proxies == {"https": "http://proxy"}
    assert found.conditional_writes is True
    assert (found.region, found.addressing_style) == ("123", "path")
    assert s3(A__VERIFY="ca.pem").verify == "ca.pem"


def test_variables_are_replaced_in_credentials() -> None:
    profiles = Profiles.from_environment(
        {
            "AIOSTOW_PROFILE_A": "sftp://host/",
            "AIOSTOW_PROFILE_A__PASSWORD": "${SECRET}$${SECRET}",
            "SECRET": "found",
        }
    )
    driver: Any = profiles["a"].driver
    assert driver.config.password == "found${SECRET}"


async def test_a_prefix_confines_keys(tmp_path: Path) -> None:
    async with environment(A="local", A__ROOT=str(tmp_path), A__PREFIX="in/") as profiles:
        await profiles["a"].write_bytes("k", b"data")
        assert (tmp_path / "in/k").exists()
        with pytest.raises(InvalidKeyError):
            await profiles["a"].read_bytes("../k")


WHICH = "a profile has a type or a url, and not both"
NAMED = "a profile has the name of its table"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"A": "sftpp"},
            "profile 'a', key 'type': there is no such type; do you mean 'sftp'?",
        ),
        ({"A": "memory", "A__URL": "memory://"}, "profile 'a': " + WHICH),
        ({"A__ROOT": "x"}, "profile 'a': " + WHICH),
        (
            {"A": "local", "A__ROTO": "x"},
            "profile 'a', key 'roto': LocalFSStorage has no such setting; do you mean 'root'?",
        ),
        ({"A": "local"}, "profile 'a', key 'root': LocalFSStorage needs this setting"),
        ({"A": "memory", "A__NAME": "b"}, "profile 'a', key 'name': " + NAMED),
        (
            {"A": "local", "A__ROOT": "x", "A__DURABLE": "yes987"},
            "profile 'a', key 'durable': this must be true or false",
        ),
        (
            {"A": "sftp://host/", "A__PORT": "x987"},
            "profile 'a', key 'port': this must be a whole number",
        ),
        (
            {"A": "sftp://host/", "A__PORT": "9" * 5000},
            "profile 'a', key 'port': this must be a whole number",
        ),
        (
            {"A": "sftp://host/", "A__TIMEOUT": ""},
            "profile 'a', key 'timeout': this must be a number",
        ),
        (
            {"A": "sftp://host987/", "A__USERNAME": "${HOME}"},
            "profile 'a', key 'username': variables are replaced in credentials only",
        ),
        (
            {"A": "sftp://host/", "A__PASSWORD": "${NO_SUCH_ONE}"},
            "profile 'a', key 'password': the environment has no variable NO_SUCH_ONE",
        ),
        (
            {"A": "s3", "A__BUCKET": "b", "A__SSE_CUSTOMER_KEY": "987"},
            "profile 'a', key 'sse_customer_key': this must be bytes in base64",
        ),
        (
            {"": "memory"},
            "a profile's name is made of letters, digits, '.', '_' and '-'",
        ),
        (
            {"A": "sfpt://bucket987/"},
            "profile 'a', key 'url': no storage has such a URL; do you mean 'sftp'?",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_profile_and_setting(
    settings: dict[str, str], message: str
) -> None:
    found = told(lambda: environment(**settings))
    assert found == message
    assert "987" not in found


def test_a_secret_under_a_name_with_one_line_too_few_is_not_repeated() -> None:
    """It is taken for the type of another profile."""
    assert told(lambda: environment(A="memory", A_SECRET_KEY="CANARY")) == (
        "profile 'a_secret_key', key 'type': there is no such type; "
        "choose from azure, local, memory, s3, sftp"
    )
    assert "canary" not in told(lambda: environment(A_SECRET_KEY="canary://x")).lower()
