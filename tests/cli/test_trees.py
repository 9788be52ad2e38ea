"""Trees kept in step by the command line, on the disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ._terminal import CommandLine, read_tree, write_tree


@pytest.fixture
def tree(work: Path) -> dict[str, bytes]:
    """What is in the folder ``tree``."""
    return write_tree(work / "tree", 12)


def test_what_is_done_is_a_line_each_and_a_sum(
    cli: CommandLine, store: Path, work: Path, tree: dict[str, bytes]
) -> None:
    size = sum(map(len, tree.values()))
    *lines, end = cli("sync", "./tree", "disk:t").lines
    assert sorted(lines) == sorted(f"copied: {name}" for name in tree)
    assert end == f"12 copied ({size} bytes)"
    assert read_tree(store / "t") == tree
    assert cli("sync", "./tree", "disk:t").lines == ["12 unchanged"]
    (store / "t" / "more").write_bytes(b"1")
    name = next(iter(tree))
    (work / "tree" / name).write_bytes(b"changed")
    for option, told in (("--dry-run", "dry run: "), ("--delete", "")):
        done = cli("sync", "./tree", "disk:t", "--delete", option)
        assert done.lines == [
            f"copied: {name}", "deleted: more",
            f"{told}1 copied, 1 deleted, 11 unchanged (7 bytes)",
        ]  # fmt: skip
    assert read_tree(store / "t") == {**tree, name: b"changed"}


def test_json_is_an_object_a_line(
    cli: CommandLine, store: Path, work: Path, tree: dict[str, bytes]
) -> None:
    (work / "tree" / ("n" * 200)).mkdir()
    *told, end = map(json.loads, cli("sync", "./tree", "disk:t", "--json").lines)
    assert {each["name"]: (each["action"], each["size"]) for each in told} == {
        name: ("copied", len(data)) for name, data in tree.items()
    }
    assert (end["report"]["copied"], end["report"]["failures"]) == (12, [])
    (store / "t" / "more").write_bytes(b"1")
    *told, end = map(json.loads, cli("verify", "./tree", "disk:t", "--json", code=1).lines)
    assert told == [{"name": "more", "action": "extra", "size": 1}]
    assert end["report"]["extra"] == 1


def test_quiet_tells_failures_alone(cli: CommandLine, store: Path, work: Path) -> None:
    (work / "tree").mkdir()
    (work / "tree" / "fine").write_bytes(b"1")
    (work / "tree" / "a\nb").write_bytes(b"2")
    done = cli("sync", "-q", "./tree", "disk:t", code=1)
    assert done.out == b""
    assert done.err == "Error: 'a\\nb': no storage may have this name\n"
    assert read_tree(store / "t") == {"fine": b"1"}


def test_a_comparison_changes_nothing(
    cli: CommandLine, store: Path, work: Path, tree: dict[str, bytes]
) -> None:
    cli("sync", "./tree", "disk:t")
    name = next(iter(tree))
    (store / "t" / name).write_bytes(tree[name][::-1] + b"!")
    done = cli("verify", "./tree", "disk:t", code=1)
    assert done.lines == [f"different: {name}", "11 unchanged, 1 different"]
    assert done.err == ""
    assert (store / "t" / name).read_bytes() == tree[name][::-1] + b"!"


def test_the_journal_is_the_users_own_unless_another_is_named(
    cli: CommandLine, store: Path, work: Path, tree: dict[str, bytes], tmp_path: Path
) -> None:
    cli.env["XDG_STATE_HOME"] = str(tmp_path / "state")
    own = tmp_path / "state" / "aiostow" / "sync"
    cli("sync", "./tree", "disk:a", "--no-journal")
    assert not own.exists()
    cli("sync", "./tree", "disk:b", "--journal", "mine")
    assert (work / "mine").stat().st_mode & 0o777 == 0o600
    assert not own.exists()
    cli("sync", "./tree", "disk:c")
    (journal,) = own.glob("*.sqlite")
    assert own.stat().st_mode & 0o777 == 0o700
    done = cli("sync", "./tree", "disk:other", "--journal", str(journal), code=2)
    assert "is of other trees" in done.err


def test_trees_of_two_storages(cli: CommandLine, store: Path, other: Path) -> None:
    tree = write_tree(store / "t", 5)
    cli("sync", "disk:t", "other:u/v", "--include", "*")
    assert read_tree(other / "u" / "v") == tree
    cli("sync", "disk:", f"file://{other}/w", "--exclude", "t")
    assert not (other / "w").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["./tree", "./tree"], 2, "same place"),
        (["./tree", "./tree/inner"], 2, "within the source"),
        (["./missing", "disk:t"], 2, "'./missing' is no folder"),
        (["./tree/f0", "disk:t"], 2, "is no folder"),
        (["-", "disk:t"], 2, "no tree"),
        (["./tree", "disk:t", "--compare", "size"], 2, "'size' is not one of"),
        (["./tree", "disk:t", "--include", "[a"], 2, "does not end"),
        (["./tree", "nowhere:t"], 2, "no profile is named 'nowhere'"),
        (["disk:none", "./tree", "--delete"], 1, "the source is empty"),
        (["disk:none", "./new"], 1, "no file is below it"),
        (["tree/f0", "disk:t"], 2, "is no folder"),
        (["./tree", "disk:t", "--journal", "/proc/none/j"], 1, "cannot be opened"),
    ],
)
def test_what_is_wrong_is_a_sentence(
    cli: CommandLine, store: Path, work: Path, arguments: list[str], code: int, told: str
) -> None:
    (work / "tree").mkdir()
    (work / "tree" / "f0").write_bytes(b"1")
    done = cli("sync", *arguments, code=code)
    assert told in done.err
    assert "Traceback" not in done.err
    assert (work / "tree" / "f0").read_bytes() == b"1"
    assert os.listdir(store) == []
