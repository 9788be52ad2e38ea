"""Where sources and destinations overlap, nothing is lost and nothing goes on for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ._terminal import COMMAND, CommandLine, read_tree

WITHIN = "Error: the destination is within the source, which would not end\n"


def write(folder: Path, **files: str) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.mark.parametrize("command", ["cp", "mv"])
def test_a_tree_that_would_replace_what_is_not_yet_sent_is_told(
    cli: CommandLine, store: Path, command: str
) -> None:
    """One level up, `a/b/b/x` would take the place of `a/b/x`, which is yet to be sent."""
    write(store, a__b__x="outer", a__b__b__x="inner", a__b__y="other")
    done = cli(command, "-r", "disk:a/b", "disk:a", code=1)
    assert done.err.startswith("Error: disk:a/b/b/x: ")
    kept = {"a/x": b"outer", "a/y": b"other", "a/b/b/x": b"inner"}
    if command == "cp":
        kept |= {"a/b/x": b"outer", "a/b/y": b"other"}
    assert read_tree(store) == kept


def test_a_local_tree_does_not_replace_what_is_not_yet_sent(
    cli: CommandLine, store: Path, work: Path
) -> None:
    write(store, a__b__x="outer", a__b__b__x="inner")
    for arguments in (
        ["put", "-r", "../store/a/b", "disk:a"],
        ["get", "-r", "disk:a/b", "../store/a"],
    ):
        done = cli(*arguments, code=1)
        assert done.err.count("\n") == 1
        assert read_tree(store) == {"a/b/x": b"outer", "a/b/b/x": b"inner", "a/x": b"outer"}
        (store / "a" / "x").unlink()


@pytest.mark.parametrize("command", ["cp", "mv", "put"])
def test_sources_of_one_name_are_refused(
    cli: CommandLine, store: Path, work: Path, command: str
) -> None:
    """A folder would have the last of them; after a move, nobody would have the others."""
    write(work, a__x="A", b__x="B", c="C")
    done = cli(command, "a/x", "c", "b/x", "disk:f/", code=2)
    assert done.err == "Error: several sources have the name 'x': send each alone\n"
    assert read_tree(store) == {}
    assert read_tree(work) == {"a/x": b"A", "b/x": b"B", "c": b"C"}


def test_objects_of_one_name_are_refused(cli: CommandLine, store: Path, work: Path) -> None:
    write(store, a__x="A", b__x="B")
    cli("get", "disk:a/x", "disk:b/x", "out/", code=2)
    assert read_tree(work) == {}
    cli("mv", "-r", "disk:a/x", "disk:b/x", "other:", code=2)
    assert read_tree(store) == {"a/x": b"A", "b/x": b"B"}


def test_a_whole_storage_is_not_copied_into_itself(
    cli: CommandLine, config: Path, store: Path
) -> None:
    with config.open("a") as file:
        file.write('[profiles.inner]\ntype = "local"\nroot = "store/deep/inner"\n')
    write(store, x="x")
    for destination in ("disk:sub", "disk:", "inner:", f"file://{store}/sub", "../store/sub"):
        done = cli("cp", "-r", "disk:", destination, code=2, cwd=store)
        assert done.err == WITHIN, destination
    assert read_tree(store) == {"x": b"x"}
    cli("cp", "-r", "disk:", "other:")  # which is beside it


def test_a_tree_is_neither_got_nor_put_into_itself(
    cli: CommandLine, store: Path, work: Path
) -> None:
    write(store, t__x="x")
    (work / "link").symlink_to(store)
    for arguments in (
        ["get", "-r", "disk:t", "link/t/in"],
        ["get", "-r", "disk:t", "../store/t"],
        ["put", "-r", "link/t", "disk:t/in"],
        ["mv", "-r", "link/t", "disk:t/in"],
    ):
        assert cli(*arguments, code=2).err == WITHIN, arguments
    assert read_tree(store) == {"t/x": b"x"}


def test_a_directory_below_the_tree_stays_there_after_a_move(
    cli: CommandLine, store: Path, work: Path
) -> None:
    """A symlink, which is not sent, is not removed either."""
    write(work, t__x="x")
    (work / "t" / "link").symlink_to("x")
    done = cli("mv", "-r", "t", "disk:t")
    assert done.err == "Skipped: t/link is a symlink\n"
    assert os.listdir(work / "t") == ["link"]
    assert read_tree(store) == {"t/x": b"x"}


def test_a_move_that_keeps_what_is_there_keeps_its_source(
    cli: CommandLine, store: Path, other: Path
) -> None:
    write(store, a="old")
    write(other, a="new", b="new")
    cli("mv", "-n", "-r", "other:", "disk:", code=2)  # a whole storage is never moved
    cli("mv", "-n", "other:a", "other:b", "disk:")
    assert read_tree(store) == {"a": b"old", "b": b"new"}
    assert read_tree(other) == {"a": b"new"}


# -- what cannot be read --------------------------------------------------------------------------

# Root loses what lets it read all: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (PR_CAPBSET_DROP).
_AS_ANYBODY = """
import ctypes, os, sys
assert not any(ctypes.CDLL(None).prctl(24, each, 0, 0, 0) for each in (1, 2))
os.execv(sys.argv[1], sys.argv[1:])
"""


def as_anybody(
    cli: CommandLine, folder: Path, *arguments: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command as somebody to whom permissions mean something."""
    command = [*COMMAND, *arguments]
    if os.geteuid() == 0:
        if sys.platform != "linux":
            pytest.skip("root may read everything")
        command = [sys.executable, "-c", _AS_ANYBODY, *command]
    return subprocess.run(command, env=cli.env, cwd=folder, capture_output=True, timeout=60)


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    """A tree of which one directory and one file are nobody's to read, and a storage beside it."""
    folder = tmp_path / "own"
    write(folder, t__a__1="1", t__b__2="2", t__c__3="3", t__c__4="4", store__s="s")
    (folder / "config.toml").write_text('[profiles.d]\ntype = "local"\nroot = "store"\n')
    return folder


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(
    cli: CommandLine, unreadable: Path
) -> None:
    (unreadable / "t" / "b").chmod(0)
    (unreadable / "t" / "c" / "3").chmod(0)
    cli.env["AIOSTOW_CONFIG"] = "config.toml"
    done = as_anybody(cli, unreadable, "put", "-r", "t", "d:t")
    (unreadable / "t" / "b").chmod(0o700)
    assert sorted(done.stderr.decode().splitlines()) == [
        "Error: t/b: Permission denied", "Error: t/c/3: t/c/3: Permission denied",
    ]  # fmt: skip
    assert (done.returncode, done.stdout) == (1, b"")
    assert read_tree(unreadable / "store") == {"s": b"s", "t/a/1": b"1", "t/c/4": b"4"}


def test_no_permission_is_one_sentence(cli: CommandLine, unreadable: Path) -> None:
    cli.env["AIOSTOW_CONFIG"] = "config.toml"
    (unreadable / "t" / "c" / "3").chmod(0)
    (unreadable / "store" / "s").chmod(0)
    for arguments, named in ((["put", "t/c/3", "d:x"], "t/c/3"), (["cat", "s"], "'s'")):
        done = as_anybody(cli, unreadable, *arguments)
        told = done.stderr.decode()
        assert done.returncode == 1, told
        assert (told.count("\n"), told[:7]) == (1, "Error: ")
        assert named in told
    (unreadable / "config.toml").chmod(0)
    done = as_anybody(cli, unreadable, "ls")
    assert done.returncode == 2
    assert done.stderr == b"Error: config.toml: this file cannot be read: Permission denied\n"
