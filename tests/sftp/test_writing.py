"""What a write does on the server, step by step."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiostow import SFTPStorage
from aiostow.backends._sftp_session import Session
from aiostow.testing.conformance._base import pattern

from ._suite import MakeStorage

pytestmark = pytest.mark.anyio

LARGE = 3_000_000
SIZES = pytest.mark.parametrize("size", [0, 1000, LARGE])


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the requests that were made."""
    names: list[str] = []

    def watched(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def ask(session: Session, *arguments: Any) -> Any:
            names.append(name)
            return original(session, *arguments)

        return ask

    for name in ("open", "write", "sync", "close", "replace", "link", "remove", "copy_data"):
        monkeypatch.setattr(Session, name, watched(name, getattr(Session, name)))
    return names


async def write(storage: SFTPStorage, size: int, **options: Any) -> None:
    async with storage.open("k", "x" if options else "w") as file:
        await file.write(pattern(size))


@SIZES
async def test_bytes_are_durable_before_they_have_their_name(
    make_storage: MakeStorage, seen: list[str], size: int
) -> None:
    async with make_storage() as storage:
        await storage.write_bytes("k", b"old")
        seen.clear()
        await write(storage, size)
        assert [name for name in seen if name != "write"] == ["open", "sync", "close", "replace"]
        assert "write" not in seen[seen.index("sync") :]


@SIZES
async def test_create_only_links_the_finished_file(
    make_storage: MakeStorage, seen: list[str], size: int
) -> None:
    async with make_storage() as storage:
        await storage.exists("k")
        await storage.write_bytes("other", b"")
        seen.clear()
        await write(storage, size, if_absent=True)
        steps = ["open", "sync", "close", "link", "remove"]
        assert [name for name in seen if name != "write"] == steps


async def test_a_copy_stays_within_the_server(make_storage: MakeStorage, seen: list[str]) -> None:
    async with make_storage() as storage:
        await write(storage, LARGE)
        seen.clear()
        await storage.copy("k", "c")
        assert "copy_data" in seen
        assert "write" not in seen
        assert await storage.read_bytes("c") == pattern(LARGE)


@SIZES
async def test_an_overwritten_file_keeps_its_permissions(
    make_storage: MakeStorage, folder: Path, size: int
) -> None:
    async with make_storage() as storage:
        await storage.write_bytes("new", b"")
        await storage.write_bytes("k", b"old")
        os.chmod(folder / "k", 0o640)
        await write(storage, size)
        assert stat.S_IMODE((folder / "k").stat().st_mode) == 0o640
        umask = os.umask(0)
        os.umask(umask)
        assert stat.S_IMODE((folder / "new").stat().st_mode) == 0o666 & ~umask
