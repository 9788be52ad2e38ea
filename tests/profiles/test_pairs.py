"""Profiles in code: which there are, when they are made, and that all of them are closed."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aiostow import (
    ClosedError,
    InvalidKeyError,
    InvalidTypeError,
    LocalFSStorage,
    MemoryStorage,
    ProfileError,
    Profiles,
    Storage,
    StorageError,
    UnknownProfileError,
)
from aiostow.profiles import ProfilePair, SyncProfiles
from aiostow.sync import SyncStorage

pytestmark = pytest.mark.anyio


class Counted(MemoryStorage):
    """A storage that counts how many were made and closed, and may fail to close."""

    made: ClassVar[list[str]] = []
    closed_: ClassVar[list[str]] = []
    failing: ClassVar[set[str]] = set()

    def __init__(self, *, name: str = "counted", size: int = 0) -> None:
        super().__init__(name=name)
        if size < 0:
            raise ValueError("size cannot be negative")
        self.made.append(name)

    async def aclose(self) -> None:
        first = not self.closed
        await super().aclose()
        if self.name not in self.failing:
            await asyncio.sleep(0.01)  # one that fails is not waited for by chance
        if first:
            self.closed_.append(self.name)
        if first and self.name in self.failing:
            raise OSError(f"{self.name} does not close")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counted, "made", [])
    monkeypatch.setattr(Counted, "closed_", [])
    monkeypatch.setattr(Counted, "failing", set())


def counted(*names: str) -> list[ProfilePair]:
    return [(Counted, {"name": name}) for name in names]


def failure(make: Callable[[], object], error: type[StorageError] = ProfileError) -> str:
    with pytest.raises(error) as caught:
        make()
    return str(caught.value)


# -- which there are ------------------------------------------------------------------------------


async def test_pairs_of_classes_and_arguments_are_profiles(tmp_path: Path) -> None:
    pairs: list[ProfilePair] = [
        (LocalFSStorage, {"root": tmp_path / "data", "name": "disk"}),
        (MemoryStorage, {"name": "quick"}),
    ]
    async with Profiles(pairs) as profiles:
        await profiles["disk"].write_bytes("a", b"data")
        assert (tmp_path / "data" / "a").read_bytes() == b"data"
        assert isinstance(profiles["quick"], MemoryStorage)
        assert [profiles[name].name for name in profiles] == ["disk", "quick"]


async def test_the_first_is_the_default_and_the_order_is_kept() -> None:
    async with Profiles(counted("z", "a", "m")) as profiles:
        assert list(profiles) == ["z", "a", "m"]
        assert len(profiles) == 3
        assert profiles.get() is profiles.get(None) is profiles["z"]
        assert "a" in profiles
        assert "b" not in profiles
        assert None not in profiles


async def test_a_type_may_be_named_as_in_a_file(tmp_path: Path) -> None:
    pairs: list[ProfilePair] = [
        ("local", {"root": tmp_path, "name": "a"}),
        ("LocalFSStorage", {"root": tmp_path, "name": "b"}),
        (LocalFSStorage, {"root": tmp_path, "name": "c"}),
        (Counted, {"name": "d"}),
    ]
    profiles = Profiles(pairs)
    assert [profiles.kind(name) for name in profiles] == ["local", "local", "local", "Counted"]
    assert {profiles.source(name) for name in profiles} == {""}


async def test_a_pair_without_a_name_is_named_by_its_class(tmp_path: Path) -> None:
    profiles = Profiles([(LocalFSStorage, {"root": tmp_path / "data"}), (MemoryStorage, {})])
    assert list(profiles) == ["fs-data", "memory"]
    assert profiles["memory"].name == "memory"


def test_what_the_caller_changes_later_changes_nothing() -> None:
    settings = {"name": "a"}
    profiles = Profiles([(Counted, settings)])
    settings["name"] = "b"
    assert profiles["a"].name == "a"


def test_the_repr_tells_names_and_types_only() -> None:
    profiles = Profiles([*counted("a"), (MemoryStorage, {"name": "b", "secret_key": "x" * 40})])
    assert repr(profiles) == "<Profiles: <profile 'a': Counted>, <profile 'b': memory>>"
    assert repr(SyncProfiles(profiles)) == f"<Sync{repr(profiles)[1:]}"
    assert Counted.made == []


# -- made when used -------------------------------------------------------------------------------


async def test_a_storage_is_made_when_first_asked_for_and_once() -> None:
    async with Profiles(counted("a", "b")) as profiles:
        assert Counted.made == []
        first = profiles["b"]
        assert Counted.made == ["b"]
        assert profiles["b"] is first
        assert profiles.get("b") is first
        assert Counted.made == ["b"]
    assert Counted.closed_ == ["b"]


async def test_a_check_makes_all_and_connects_to_nobody() -> None:
    async with Profiles(counted("a", "b")) as profiles:
        a = profiles["a"]
        profiles.check()
        assert Counted.made == ["a", "b"]
        assert profiles["a"] is a


async def test_a_check_tells_what_is_wrong_with_any() -> None:
    profiles = Profiles([*counted("a"), (Counted, {"name": "b", "size": -1})])
    assert failure(profiles.check) == "profile 'b': size cannot be negative"


# -- closed together ------------------------------------------------------------------------------


async def test_all_are_closed_together() -> None:
    async with Profiles(counted("a", "b", "c")) as profiles:
        used = [profiles["c"], profiles["a"]]
        assert not any(storage.closed for storage in used)
    assert all(storage.closed for storage in used)
    assert sorted(Counted.closed_) == ["a", "c"]


async def test_all_are_closed_also_where_one_cannot_be() -> None:
    Counted.failing |= {"b"}
    profiles = Profiles(counted("a", "b", "c"))
    profiles.check()
    with pytest.raises(OSError, match="b does not close"):
        await profiles.aclose()
    assert sorted(Counted.closed_) == ["a", "b", "c"]
    await profiles.aclose()
    assert len(Counted.closed_) == 3


async def test_closed_profiles_make_no_storage() -> None:
    profiles = Profiles(counted("a", "b"))
    storage = profiles["a"]
    await profiles.aclose()
    await profiles.aclose()
    assert Counted.closed_ == ["a"]
    for ask in (lambda: profiles["a"], lambda: profiles.get(), lambda: profiles.at_url("file:///")):
        assert failure(ask, ClosedError) == "these profiles are closed"
    with pytest.raises(ClosedError):
        await storage.write_bytes("k", b"")
    assert Counted.made == ["a"]


async def test_leaving_by_an_error_closes_too() -> None:
    with pytest.raises(RuntimeError):
        async with Profiles(counted("a")) as profiles:
            profiles.check()
            raise RuntimeError
    assert Counted.closed_ == ["a"]


# -- what is wrong --------------------------------------------------------------------------------


def test_an_unknown_name_is_told_with_the_one_that_is_meant() -> None:
    profiles = Profiles(counted("uploads", "archive"))
    error = UnknownProfileError
    assert failure(lambda: profiles["upload"], error) == (
        "no profile is named 'upload'; do you mean 'uploads'?"
    )
    assert failure(lambda: profiles.kind("xyz"), error) == (
        "no profile is named 'xyz'; choose from archive, uploads"
    )
    assert failure(lambda: profiles.source(""), error).startswith("no profile is named ''; ")
    with pytest.raises(LookupError):
        profiles.get("x")


def test_where_there_is_none_there_is_no_default() -> None:
    profiles = Profiles()
    assert failure(profiles.get, UnknownProfileError) == "no profile is configured"
    assert failure(lambda: profiles["a"], UnknownProfileError) == (
        "no profile is named 'a'; there is none"
    )
    assert list(profiles) == []
    assert repr(profiles) == "<Profiles: >"


def test_two_of_one_name_are_refused() -> None:
    assert failure(lambda: Profiles(counted("a", "a"))) == (
        "profile 'a': there is another profile of this name"
    )
    assert failure(lambda: Profiles([(MemoryStorage, {}), *counted("memory")])) == (
        "profile 'memory': there is another profile of this name"
    )


def test_wrong_settings_are_told_at_once() -> None:
    def told(cls: type[Storage] | str, **settings: Any) -> str:
        return failure(lambda: Profiles([(cls, settings)]))

    assert told(LocalFSStorage, name="a", rot="CANARY") == (
        "profile 'a', key 'rot': LocalFSStorage has no such setting; do you mean 'root'?"
    )
    assert told(LocalFSStorage, name="a") == (
        "profile 'a', key 'root': LocalFSStorage needs this setting"
    )
    assert told(LocalFSStorage) == "key 'root': LocalFSStorage needs this setting"
    assert told(Counted, name="a", zzzz=1) == (
        "profile 'a', key 'zzzz': Counted has no such setting; choose from size"
    )
    for path in ("aiostow:MemoryStorage", "aiostow.backends.memory:MemoryStorage", "os", ""):
        assert told(path, name="a").startswith("profile 'a', key 'type': there is no such type; ")
    assert told("locl", name="a") == (
        "profile 'a', key 'type': there is no such type; do you mean 'local'?"
    )
    assert Counted.made == []


@pytest.mark.parametrize("pair", [None, 5, (), (MemoryStorage,), (MemoryStorage, 5), ("ab",)])
def test_what_is_no_pair_is_refused(pair: Any) -> None:
    assert failure(lambda: Profiles([pair]), InvalidTypeError) == (
        "a profile is a pair, as in (LocalFSStorage, {'root': 'data', 'name': 'disk'})"
    )


@pytest.mark.parametrize(
    ("given", "kind"), [(dict, "type"), (MemoryStorage(), "MemoryStorage"), (5, "int")]
)
def test_what_is_no_class_of_storages_is_refused(given: Any, kind: str) -> None:
    assert failure(lambda: Profiles([(given, {"name": "a"})]), InvalidTypeError) == (
        f"a profile names a class of storages such as LocalFSStorage, not {kind}"
    )


async def test_what_a_class_refuses_is_told_with_its_profile_and_can_be_tried_again() -> None:
    profiles = Profiles([(Counted, {"name": "a", "size": -1}), (MemoryStorage, {"name": "b"})])
    for _ in range(2):
        assert failure(profiles.get) == "profile 'a': size cannot be negative"
    assert isinstance(profiles["b"], MemoryStorage)
    await profiles.aclose()
    assert Counted.closed_ == []


# -- for synchronous programs ---------------------------------------------------------------------


def test_a_synchronous_program_has_facades(tmp_path: Path) -> None:
    with SyncProfiles([*counted("a", "b"), ("local", {"root": tmp_path, "name": "c"})]) as profiles:
        assert list(profiles) == ["a", "b", "c"]
        assert len(profiles) == 3
        assert "b" in profiles
        assert profiles.kind("c") == "local"
        assert Counted.made == []
        assert isinstance(profiles.get(), SyncStorage)
        assert profiles.get() is profiles["a"]
        profiles["a"].write_bytes("k", b"data")
        assert profiles["a"].read_bytes("k") == b"data"
        assert Counted.made == ["a"]
        profiles.check()
        assert Counted.made == ["a", "b"]
        with pytest.raises(UnknownProfileError, match="choose from a, b, c"):
            profiles["d"]
    assert sorted(Counted.closed_) == ["a", "b"]
    profiles.close()
    assert len(Counted.closed_) == 2
    assert failure(profiles.get, ClosedError) == "these profiles are closed"


def test_facades_are_closed_also_where_one_cannot_be() -> None:
    Counted.failing |= {"b"}
    profiles = SyncProfiles(Profiles(counted("a", "b", "c")))
    profiles.check()
    with pytest.raises(OSError, match="b does not close"):
        profiles.close()
    assert sorted(Counted.closed_) == ["a", "b", "c"]
    profiles.close()


def test_threads_get_the_same_facade() -> None:
    threads = 16
    barrier = threading.Barrier(threads)
    with SyncProfiles(counted("a")) as profiles, ThreadPoolExecutor(threads) as pool:

        def ask(number: int) -> SyncStorage:
            barrier.wait()
            storage = profiles["a"]
            storage.write_bytes(f"{number}", b"data")
            return storage

        assert len({id(storage) for storage in pool.map(ask, range(threads))}) == 1
        assert len(list(profiles["a"].list())) == threads
        assert Counted.made == ["a"]
    assert Counted.closed_ == ["a"]


def test_a_facade_below_a_prefix_reaches_no_other_keys(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[profiles.a]\ntype = 'local'\nroot = 'data'\nprefix = 'inner'\n")
    with SyncProfiles(Profiles.from_file(config)) as profiles:
        profiles["a"].write_bytes("k", b"data")
        assert (tmp_path / "data/inner/k").exists()
        assert profiles["a"] is profiles["a"]
        with pytest.raises(InvalidKeyError):
            profiles["a"].read_bytes("../k")


# -- what is imported -----------------------------------------------------------------------------


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_and_making_profiles_loads_no_sdk() -> None:
    loaded = run(
        "import os, sys\n"
        "from aiostow.profiles import Profiles\n"
        "environ = {'AIOSTOW_PROFILE_A': 's3://bucket', 'AIOSTOW_PROFILE_B': 'sftp://host/',\n"
        "           'AIOSTOW_PROFILE_C': 'az://container', 'AIOSTOW_PROFILE_D': 'memory'}\n"
        "assert len(Profiles.from_environment(environ)) == 4\n"
        "heavy = 'aioboto3 aiobotocore botocore aiohttp azure asyncssh pytest anyio starlette'\n"
        "backends = [each for each in sys.modules if each.startswith('aiostow.backends.')]\n"
        "print(*sorted({*sys.modules} & {*heavy.split()}), *backends)\n"
    )
    assert loaded == "\n"


@pytest.mark.parametrize(
    ("extra", "package", "profile"),
    [
        ("s3", "aiobotocore", "s3://bucket"),
        ("azure", "azure", "az://container?account=name"),
        ("sftp", "asyncssh", "sftp://host/"),
    ],
)
def test_a_missing_extra_is_told_when_a_storage_is_made(
    extra: str, package: str, profile: str
) -> None:
    printed = run(
        "import sys\n"
        f"sys.modules[{package!r}] = None  # as if it were not installed\n"
        "from aiostow.profiles import Profiles\n"
        f"profiles = Profiles.from_environment({{'AIOSTOW_PROFILE_A': {profile!r}}})\n"
        "for make in (profiles.get, profiles.check):\n"
        "    try:\n"
        "        make()\n"
        "    except ImportError as exc:\n"
        "        print(exc)\n"
    )
    lines = printed.splitlines()
    assert len(lines) == 2
    needs = re.escape(f"needs the extra '{extra}': pip install 'aiostow[{extra}]'")
    for line in lines:
        assert re.search(needs + "$", line)
