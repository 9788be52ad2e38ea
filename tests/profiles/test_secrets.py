"""Secrets never show: canaries are planted wherever one may be, and where none belongs."""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aiostow import Profiles, Storage
from aiostow._registry import find_class
from aiostow.profiles import ProfilePair, SyncProfiles

pytestmark = pytest.mark.anyio

CANARY = "c4n4ryc4n4ryc4n4ryc4n4ryc4n4ry42"  # 32 bytes, and base64 of 24
IN_URL = f"https://name.blob.core.windows.net/box{{}}?sv=1&sig={CANARY}"

# How each credential is given so that the class takes it: what it needs, and its text.
ACCEPTED: dict[str, dict[str, tuple[dict[str, str], str]]] = {
    "local": {"secret_key": ({"root": "data"}, CANARY)},
    "memory": {"secret_key": ({}, CANARY)},
    "s3": {
        "secret_key": ({"bucket": "b"}, CANARY),
        "aws_access_key_id": ({"bucket": "b", "aws_secret_access_key": "x"}, CANARY),
        "aws_secret_access_key": ({"bucket": "b", "aws_access_key_id": "x"}, CANARY),
        "aws_session_token": (
            {"bucket": "b", "aws_access_key_id": "x", "aws_secret_access_key": "x"},
            CANARY,
        ),
        "sse_customer_key": ({"bucket": "b"}, f"{CANARY}QUJDQUJDQUI="),  # 24 bytes, and 8
    },
    "azure": {
        "secret_key": ({"account": "name", "bucket": "box", "key": "S0VZ"}, CANARY),
        "key": ({"account": "name", "bucket": "box"}, CANARY),
        "connection_string": ({"bucket": "box"}, f"AccountName=name;AccountKey={CANARY}"),
        "sas_container_url": ({}, IN_URL.format("")),
        "sas_blob_url": ({}, IN_URL.format("/blob")),
    },
    "sftp": {
        "secret_key": ({"host": "h"}, CANARY),
        "password": ({"host": "h"}, CANARY),
        "passphrase": ({"host": "h"}, CANARY),
    },
}
FIELDS = [pytest.param(kind, field, id=f"{kind}-{field}")
          for kind, fields in ACCEPTED.items() for field in fields]  # fmt: skip


class Seen:
    """All that anybody may see while profiles are used."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self._texts: list[str] = []
        self.errors = 0

    def show(self, *things: object) -> None:
        for thing in things:
            self._texts += [repr(thing), str(thing), f"{thing}"]
        if isinstance(things[0], BaseException):
            self.errors += 1
            self._texts.append("".join(traceback.format_exception(things[0])))
            self._texts.append(repr(vars(things[0])))

    @contextlib.contextmanager
    def failures(self) -> Iterator[None]:
        """Show what is raised, and go on."""
        try:
            yield
        except Exception as exc:
            self.show(exc)

    def check(self) -> None:
        texts = [*self._texts, self._caplog.text]
        texts += [repr(vars(record)) for record in self._caplog.records]
        shown = "\n".join(texts)
        assert self._texts
        for part in (CANARY, CANARY[:12], CANARY[-12:], CANARY.upper()):
            assert part not in shown


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture) -> Iterator[Seen]:
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = Seen(caplog)
        yield found
        found.show("warnings", *(each.message for each in warned))
    found.check()


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AIOSTOW_", "AZURE_", "AWS_", "SSH_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLANTED", CANARY)


def config(folder: Path, text: str) -> Profiles:
    path = folder / "config.toml"
    path.write_text(text)
    return Profiles.from_file(path)


def table(kind: str, settings: dict[str, str], more: str = "") -> str:
    lines = "".join(f"{key} = '{value}'\n" for key, value in settings.items())
    return f"[profiles.a]\ntype = '{kind}'\n{lines}{more}"


def sources(folder: Path, kind: str, field: str) -> dict[str, Callable[[], Profiles]]:
    """Return all ways to give a credential."""
    needed, text = ACCEPTED[kind][field]
    (folder / "secret").write_text(text + "\n")
    variable = text.replace(CANARY, "${PLANTED}")
    beginning = "AIOSTOW_PROFILE_A"
    environ = {f"{beginning}__{key.upper()}": value for key, value in needed.items()}
    environ |= {beginning: kind, "PLANTED": CANARY}
    value = text.encode()[:32] if field == "sse_customer_key" else text
    pair: ProfilePair = (kind, {**needed, field: value, "name": "a"})
    name = f"{beginning}__{field.upper()}"
    return {
        "pair": lambda: Profiles([pair]),
        "text": lambda: config(folder, table(kind, needed, f"{field} = '{text}'\n")),
        "variable": lambda: config(folder, table(kind, needed, f"{field} = '{variable}'\n")),
        "file": lambda: config(folder, table(kind, needed, f"{field} = {{ file = 'secret' }}\n")),
        "environment": lambda: Profiles.from_environment(environ | {name: text}),
        "both": lambda: Profiles.from_environment(environ | {name: variable}),
    }


@pytest.mark.parametrize("kind", ACCEPTED)
def test_there_is_a_canary_for_every_credential(kind: str) -> None:
    assert ACCEPTED[kind].keys() == find_class(kind).credential_fields


@pytest.mark.parametrize(("kind", "field"), FIELDS)
async def test_a_credential_that_is_taken_never_shows(
    kind: str, field: str, tmp_path: Path, seen: Seen
) -> None:
    for make in sources(tmp_path, kind, field).values():
        profiles = make()
        async with profiles:
            storage = profiles["a"]
            seen.show(profiles, storage, storage.driver, storage.at("x"), SyncProfiles(profiles))
            seen.show(profiles._profiles["a"], profiles._find("a").where, storage.capabilities)
            with seen.failures():
                _ = profiles["b"]
            with seen.failures():
                storage.at("..")
            with seen.failures():
                await storage.link_to("k", "download", -1)
        with seen.failures():
            profiles.get()
        with seen.failures():
            await storage.read_bytes("k")
    assert seen.errors >= 4 * 6


def others(folder: Path, kind: str, field: str) -> Iterator[Callable[[], object]]:
    """Yield all ways in which a credential may be misplaced, of which each is an error."""
    needed, text = ACCEPTED[kind][field]
    unclosed = f"{field} = '{text}"

    def file(more: str) -> Callable[[], object]:
        return lambda: config(folder, table(kind, needed, more)).check()

    def variables(more: dict[str, str]) -> Callable[[], object]:
        environ = {f"AIOSTOW_PROFILE_A__{key.upper()}": value for key, value in needed.items()}
        environ["AIOSTOW_PROFILE_A"] = kind
        return lambda: Profiles.from_environment(environ | more).check()

    def url(text: str) -> Iterator[Callable[[], object]]:
        yield lambda: Profiles().at_url(text)
        yield variables({"AIOSTOW_PROFILE_A": text})
        yield lambda: config(folder, f"[profiles.a]\nurl = '{text}'\n").check()

    for line in (
        f"{field}s = '{text}'", f"{field} = ['{text}', 5]", f"{field} = {{ x = '{text}', y = 5 }}",
        f"{field} = {{ path = '{text}', z = 5 }}", f"{field} = '{text}${{NOT_THERE}}'",
        f"memory_budget = '{text}'", f"name = '{text}'", f"prefix = ['{text}']",
        f"url = '{text}'", f"linked_endpoint = ['{text}']",
        f"{field} = {text}", unclosed, f"{unclosed}\nx = 1", f"{field} = '{text}' '{text}'",
        f"{field} = 1\n{field} = '{text}'", f"x = {{ {CANARY} = 1, {CANARY} = 2 }}",
    ):  # fmt: skip
        yield file(line + "\n")
    (folder / "binary").write_bytes(text.encode() + b"\xff")
    yield file(f"{field} = {{ file = 'binary' }}\n")
    for variable in ("MEMORY_BUDGET", f"{field.upper()}X", "NAME", "URL"):
        yield variables({f"AIOSTOW_PROFILE_A__{variable}": text})
    yield variables({f"AIOSTOW_PROFILE_A_{field.upper()}": text})  # for "__"
    yield variables({"AIOSTOW_PROFILE_A": text})
    yield lambda: Profiles([(kind, {**needed, f"{field}_": text, "name": "a"})])
    yield lambda: Profiles([(kind, {**needed, "secret_key": [text, 5], "name": "a"})]).check()
    for scheme in ("s3", "az", "sftp", "file", "memory", "s4"):
        yield from url(f"{scheme}://me:{CANARY}@host/x")
        yield from url(f"{scheme}://host:{CANARY}/x")
        yield from url(f"{scheme}://host/?{field}={CANARY}")
        yield from url(f"{scheme}://host/x?{CANARY}")
        yield from url(f"{scheme}://host/x#{CANARY}")
    yield from url(f"{CANARY}://host/x")
    yield lambda: Profiles().at_url(f"{CANARY}:host")


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_credential_that_is_misplaced_never_shows(
    kind: str, field: str, tmp_path: Path, seen: Seen
) -> None:
    for number, make in enumerate(others(tmp_path, kind, field), 1):
        with seen.failures():
            make()
        assert seen.errors == number


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_credential_that_is_refused_never_shows(
    kind: str, field: str, tmp_path: Path, seen: Seen
) -> None:
    """What classes themselves say of values that cannot be."""
    needed, _ = ACCEPTED[kind][field]
    for value in (CANARY[:20], f"{CANARY}!", f"https://{CANARY}:x/", f"a={CANARY};", f"ü{CANARY}"):
        for other in ({}, {"memory_budget": -1}):
            with seen.failures():
                Profiles([(kind, {**needed, **other, field: value, "name": "a"})]).check()
        with seen.failures():
            config(tmp_path, table(kind, needed, f"{field} = '{value}'\n")).check()
    assert seen.errors >= 5
    for wrong in ([CANARY, 5], {CANARY: 5}, {"a b": CANARY}):
        given: dict[str, Any] = {**needed, field: wrong, "name": "a"}
        with seen.failures():
            Profiles([(kind, given)]).check()


async def test_what_azures_variables_hold_never_shows(
    monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    for environ in (
        {"AZURE_STORAGE_ACCOUNT": "name", "AZURE_STORAGE_KEY": CANARY},
        {"AZURE_STORAGE_ACCOUNT": "name", "AZURE_STORAGE_KEY": f"{CANARY}!"},
        {"AZURE_STORAGE_CONNECTION_STRING": f"AccountName=name;AccountKey={CANARY}"},
        {"AZURE_STORAGE_CONNECTION_STRING": CANARY},
    ):
        for name in ("ACCOUNT", "KEY", "CONNECTION_STRING"):
            monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        for url in ("az://container/x", "az://container?bucket=b", "az://a", "az://container?x=y"):
            async with Profiles() as profiles:
                with seen.failures():
                    storage: Storage = profiles.at_url(url)[0]
                    seen.show(storage, storage.driver)
                seen.show(profiles)
    assert seen.errors == 4 * 3 + 2


def test_the_seen_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    """These tests would notice."""
    for notice in (
        lambda seen: seen.show(f"<{CANARY}>"),
        lambda seen: seen.show(ValueError(CANARY)),
        lambda seen: logging.getLogger("x").warning("%s", CANARY),
    ):
        caplog.clear()
        seen = Seen(caplog)
        seen.show("nothing")
        seen.check()
        notice(seen)
        with pytest.raises(AssertionError):
            seen.check()
