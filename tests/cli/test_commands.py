"""Each command, on the disk, in pipes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aiostow import (
    Capabilities,
    ListEntry,
    LocalFSStorage,
    MemoryStorage,
    Profiles,
    Support,
    UnsupportedOperationError,
    WriteOptions,
)
from aiostow.cli._places import Object, Places
from aiostow.cli._run import Session
from aiostow.cli._transfer import Transfer

from ._terminal import CommandLine, read_tree, write_tree

# -- ls, list, stat, profiles ---------------------------------------------------------------------


@pytest.fixture
def filled(store: Path) -> Path:
    (store / "a").mkdir()
    (store / "a" / "one.txt").write_bytes(b"1")
    (store / "a" / "deep").mkdir()
    (store / "a" / "deep" / "two.txt").write_bytes(bytes(1536))
    (store / "top.txt").write_bytes(b"top")
    return store


def test_ls_shows_one_level_of_the_default_profile(cli: CommandLine, filled: Path) -> None:
    done = cli("ls")
    assert done.lines == ["a/", "top.txt"]
    assert done.err == ""


@pytest.mark.parametrize("place", ["a", "a/", "/a", "disk:a", ":a", "disk:/a/"])
def test_ls_shows_what_is_below_a_place(cli: CommandLine, filled: Path, place: str) -> None:
    assert cli("ls", place).lines == ["a/deep/", "a/one.txt"]


def test_ls_shows_several_places_and_all_levels(cli: CommandLine, filled: Path) -> None:
    assert cli("ls", "-R", "a", "top.txt").lines == ["a/deep/two.txt", "a/one.txt", "top.txt"]


def test_ls_of_an_object_shows_it(cli: CommandLine, filled: Path) -> None:
    assert cli("ls", "a/one.txt").lines == ["a/one.txt"]


def test_ls_shows_sizes_and_times(cli: CommandLine, filled: Path) -> None:
    line = cli("ls", "-l", "a/deep").lines[0].split()
    assert (line[0], line[-1]) == ("1536", "a/deep/two.txt")
    assert cli("ls", "-h", "a/deep").lines[0].split()[0] == "1.5K"


def test_ls_gives_json_by_the_line(cli: CommandLine, filled: Path) -> None:
    folder, top = map(json.loads, cli("ls", "--json").lines)
    assert folder == {"name": "a/", "folder": True}
    assert (top["name"], top["size"]) == ("top.txt", 3)
    assert top["last_modified"].endswith("+00:00")


def test_ls_of_local_folders_needs_no_profile(cli: CommandLine, work: Path) -> None:
    (work / "here.txt").touch()
    assert cli("ls", "./").lines == ["here.txt"]
    assert cli("ls", f"file://{work}").lines == ["here.txt"]


def test_an_empty_storage_is_no_error_and_a_missing_prefix_is(
    cli: CommandLine, store: Path
) -> None:
    assert cli("ls").out == b""
    done = cli("ls", "missing", code=1)
    assert done.err == "Error: ls 'missing' in storage 'disk': nothing is there\n"


@pytest.mark.parametrize("place", [[], ["/"], ["a"]])
def test_the_ancestors_list_goes_through_all_levels(
    cli: CommandLine, filled: Path, place: list[str]
) -> None:
    simple = cli("list", "--simple", *place).lines
    assert simple[:2] == ["a/deep/two.txt", "a/one.txt"]
    assert [line.split()[-1] for line in cli("list", *place).lines] == simple


def test_stat_tells_what_is_known(cli: CommandLine, filled: Path) -> None:
    lines = cli("stat", "top.txt").lines
    assert lines[:2] == ["name:             top.txt", "size:             3"]
    told = json.loads(cli("stat", "--json", "disk:top.txt").out)
    assert (told["name"], told["size"]) == ("top.txt", 3)
    assert cli("stat", "nothing", code=1).err == (
        "Error: stat 'nothing' in storage 'disk': no such file\n"
    )


@pytest.mark.parametrize("command", ["ls", "stat"])
def test_what_is_missing_among_others_is_told_and_the_rest_shown(
    cli: CommandLine, filled: Path, command: str
) -> None:
    done = cli(command, "top.txt", "missing", "disk:a/one.txt", code=1)
    assert done.err.count("\n") == 1
    assert "'missing'" in done.err
    told = [line.removeprefix("name:").strip() for line in done.lines]
    assert [line for line in told if ".txt" in line] == ["top.txt", "a/one.txt"]


def test_profiles_are_listed_without_their_settings(cli: CommandLine, config: Path) -> None:
    assert cli("profiles").lines == [
        f"disk  local  {config}  (default)", f"other  local  {config}",
    ]  # fmt: skip
    first = json.loads(cli("profiles", "--json").lines[0])
    assert first == {"name": "disk", "type": "local", "source": str(config), "default": True}


def test_profiles_can_be_checked(cli: CommandLine, config: Path) -> None:
    assert len(cli("profiles", "--check").lines) == 2
    with config.open("a") as file:
        file.write('[profiles.bad]\ntype = "local"\nroute = "x"\n')
    done = cli("profiles", "--check", code=1)
    assert len(done.lines) == 2
    assert "profile 'bad', key 'route': LocalFSStorage has no such setting" in done.err


# -- get, put, cat --------------------------------------------------------------------------------


def test_a_file_goes_there_and_comes_back(cli: CommandLine, store: Path, work: Path) -> None:
    (work / "a b.txt").write_bytes(b"content")
    done = cli("put", "a b.txt", "deep/key.txt")
    assert (done.out, done.err) == (b"", "")
    assert read_tree(store) == {"deep/key.txt": b"content"}
    cli("get", "deep/key.txt", "copy.txt")
    cli("get", "deep/key.txt")
    cli("get", "deep/key.txt", "new/folder/copy.txt")
    assert read_tree(work) == dict.fromkeys(
        ["a b.txt", "copy.txt", "key.txt", "new/folder/copy.txt"], b"content"
    )


def test_streams_are_read_and_written(cli: CommandLine, store: Path) -> None:
    content = bytes(range(256)) * 5000
    cli("put", "-", "disk:stream", stdin=content)
    assert (store / "stream").read_bytes() == content
    assert cli("get", "stream", "-").out == content
    assert cli("cat", "stream", "disk:stream").out == content * 2
    cli("put", "-", "empty", stdin=b"")
    assert (store / "empty").read_bytes() == b""


def test_standard_input_may_be_a_file_or_nothing(cli: CommandLine, store: Path, work: Path) -> None:
    (work / "a").write_bytes(b"a file")
    with open("a", "rb") as file:
        process = cli.start("put", "-", "x", stdin=file)
        assert process.communicate() == (b"", b"")
    with open("/dev/null", "rb") as null:
        process = cli.start("put", "-", "y", stdin=null)
        assert process.communicate() == (b"", b"")
    assert read_tree(store) == {"x": b"a file", "y": b""}


def test_trees_go_exactly_where_it_is_written(cli: CommandLine, store: Path, work: Path) -> None:
    tree = write_tree(work / "tree", 25)
    cli("put", "-r", "tree", "disk:there")
    assert read_tree(store / "there") == tree
    cli("put", "-r", "tree", "disk:into/")
    assert read_tree(store / "into" / "tree") == tree
    cli("get", "-r", "disk:there", "back")
    cli("get", "-r", "disk:there", "back")  # the second time, the folder is there
    assert read_tree(work / "back") == tree
    cli("get", "-r", "disk:there", "below/")
    assert read_tree(work / "below" / "there") == tree


def test_a_whole_storage_is_a_tree(cli: CommandLine, store: Path, work: Path) -> None:
    tree = write_tree(store, 9)
    cli("get", "-r", "disk:", "all")
    assert read_tree(work / "all") == tree
    cli("cp", "-r", "disk:", "other:backup")
    assert read_tree(store.parent / "other" / "backup") == tree


def test_several_sources_keep_their_names(cli: CommandLine, store: Path, work: Path) -> None:
    (work / "one").write_bytes(b"1")
    (work / "two").write_bytes(b"2")
    cli("put", "one", "two", "disk:folder")
    assert read_tree(store) == {"folder/one": b"1", "folder/two": b"2"}
    (work / "back").mkdir()
    cli("get", "disk:folder/one", "disk:folder/two", "back")
    assert read_tree(work / "back") == {"one": b"1", "two": b"2"}


def test_a_single_file_goes_into_a_directory_that_is_there(
    cli: CommandLine, store: Path, work: Path
) -> None:
    (store / "key").write_bytes(b"x")
    (work / "folder").mkdir()
    cli("get", "key", "folder")
    assert read_tree(work / "folder") == {"key": b"x"}


def test_symlinks_are_left_out_and_told(cli: CommandLine, store: Path, work: Path) -> None:
    (work / "tree").mkdir()
    (work / "tree" / "file").write_bytes(b"x")
    (work / "tree" / "link").symlink_to("file")
    done = cli("put", "-r", "tree", "disk:t")
    assert done.err == "Skipped: tree/link is a symlink\n"
    assert read_tree(store) == {"t/file": b"x"}


def test_a_named_symlink_is_followed(cli: CommandLine, store: Path, work: Path) -> None:
    (work / "file").write_bytes(b"x")
    (work / "link").symlink_to("file")
    cli("put", "link", "key")
    assert read_tree(store) == {"key": b"x"}


@pytest.mark.parametrize("command", ["put", "cp"])
def test_a_folder_goes_only_with_recursive(
    cli: CommandLine, store: Path, work: Path, command: str
) -> None:
    (work / "tree").mkdir()
    done = cli(command, "tree", "disk:t", code=2)
    assert done.err == "Error: 'tree' is a folder: send all of it with --recursive\n"


def test_no_clobber_leaves_what_is_there(cli: CommandLine, store: Path, work: Path) -> None:
    (store / "a").write_bytes(b"old")
    (work / "a").write_bytes(b"new")
    (work / "b").write_bytes(b"new")
    cli("put", "-n", "a", "b", "disk:")
    assert read_tree(store) == {"a": b"old", "b": b"new"}
    cli("get", "-n", "disk:a", "a")
    assert (work / "a").read_bytes() == b"new"
    cli("cp", "-n", "disk:b", "disk:a")
    assert (store / "a").read_bytes() == b"old"


def test_what_fails_is_told_by_name_and_the_rest_goes_on(
    cli: CommandLine, store: Path, work: Path
) -> None:
    (work / "good").write_bytes(b"x")
    done = cli("put", "missing", "good", "disk:t", code=1)
    assert done.err == "Error: missing: No such file or directory\n"
    assert read_tree(store) == {"t/good": b"x"}
    (work / "tree").mkdir()
    (work / "tree" / "bad\nname").touch()
    (work / "tree" / "fine").touch()
    done = cli("put", "-r", "tree", "disk:u", code=1)
    assert done.err.count("\n") == 1
    assert "tree/bad\\nname" in done.err
    assert sorted(read_tree(store / "u")) == ["fine"]


def test_what_is_in_the_way_is_told_and_stays(cli: CommandLine, store: Path, work: Path) -> None:
    (store / "t").mkdir()
    (store / "t" / "a").write_bytes(b"1")
    (work / "out").write_bytes(b"a file")
    done = cli("get", "-r", "disk:t", "out", code=1)
    assert "out" in done.err
    assert (work / "out").read_bytes() == b"a file"


# -- cp, mv ---------------------------------------------------------------------------------------


def test_plain_names_are_keys_where_no_storage_is_named(cli: CommandLine, store: Path) -> None:
    (store / "a").write_bytes(b"x")
    cli("copy", "a", "b")
    cli("cp", "b", "folder/")
    cli("mv", "a", "c")
    assert read_tree(store) == {"b": b"x", "c": b"x", "folder/b": b"x"}


def test_plain_names_are_local_where_a_storage_is_named(
    cli: CommandLine, store: Path, work: Path
) -> None:
    (work / "a").write_bytes(b"local")
    cli("cp", "a", "disk:b")
    cli("cp", "disk:b", "c")
    assert read_tree(store) == {"b": b"local"}
    assert read_tree(work) == {"a": b"local", "c": b"local"}


def test_plain_names_are_keys_of_a_profile_that_was_chosen(
    cli: CommandLine, store: Path, other: Path
) -> None:
    (store / "a").write_bytes(b"x")
    cli("-p", "other", "cp", "disk:a", "b")
    assert read_tree(other) == {"b": b"x"}


def test_moves_remove_the_source(cli: CommandLine, store: Path, other: Path, work: Path) -> None:
    tree = write_tree(store / "t", 12)
    cli("mv", "-r", "disk:t", "disk:u")
    assert read_tree(store) == {f"u/{name}": data for name, data in tree.items()}
    cli("mv", "-r", "disk:u", "other:v")
    assert (read_tree(store), read_tree(other / "v")) == ({}, tree)
    cli("mv", "-r", "other:v", "local")
    assert (read_tree(other), read_tree(work / "local")) == ({}, tree)
    cli("mv", "-r", "local", "disk:w")
    assert (read_tree(work), read_tree(store / "w")) == ({}, tree)


def test_nothing_is_lost_by_a_move_onto_itself(
    cli: CommandLine, config: Path, store: Path, work: Path
) -> None:
    """One file may have many names: by profile, root, URL and path."""
    with config.open("a") as file:
        file.write(f'[profiles.again]\ntype = "local"\nroot = "{store}"\n')
        file.write('[profiles.all]\ntype = "local"\nroot = "/"\n')
        file.write('[profiles.inner]\ntype = "local"\nroot = "store"\nprefix = "deep"\n')
    (store / "deep").mkdir()
    (store / "deep" / "key").write_bytes(b"x")
    names = [
        "disk:deep/key", "again:deep/key", f"all:{str(store)[1:]}/deep/key", "inner:key",
        f"file://{store}/deep/key", "../store/deep/key",
    ]  # fmt: skip
    for one in names:
        for two in names:
            if ":" in one[:6] or ":" in two[:6]:
                cli("mv", one, two, code=2 if {one[:2], two[:2]} <= {"fi", ".."} else 0)
                assert read_tree(store) == {"deep/key": b"x"}, (one, two)


def test_a_tree_is_not_copied_into_itself(cli: CommandLine, store: Path) -> None:
    tree = write_tree(store / "t", 3)
    for command in ("cp", "mv"):
        done = cli(command, "-r", "disk:t", "disk:t/inner", code=2)
        assert done.err == ("Error: the destination is within the source, which would not end\n")
    assert read_tree(store / "t") == tree
    cli("cp", "-r", "disk:t", "disk:t2")  # which only begins so


def test_two_local_paths_are_for_other_tools(cli: CommandLine, work: Path) -> None:
    (work / "a").touch()
    done = cli("cp", "./a", "./b", code=2)
    assert "neither side is a storage" in done.err


# -- rm, link -------------------------------------------------------------------------------------


def test_rm_removes_what_it_is_told_to(cli: CommandLine, store: Path) -> None:
    write_tree(store / "t", 9)
    (store / "a").touch()
    (store / "b").touch()
    cli("rm", "--yes", "a")
    cli("delete", "-y", "b")
    cli("rm", "-r", "--yes", "disk:t")
    assert read_tree(store) == {}


def test_rm_looks_only_with_dry_run(cli: CommandLine, store: Path) -> None:
    tree = write_tree(store / "t", 9)
    done = cli("rm", "-r", "--dry-run", "disk:t")
    assert sorted(done.lines) == sorted(f"t/{name}" for name in tree)
    assert read_tree(store / "t") == tree


def test_rm_asks_and_removes_nothing_where_nobody_can_answer(cli: CommandLine, store: Path) -> None:
    (store / "a").touch()
    done = cli("rm", "a", code=2, stdin=b"y\n")
    assert done.err == "Error: nobody can be asked here: say --yes, or --dry-run to look\n"
    assert (store / "a").exists()


def test_rm_of_what_is_not_there_is_told(cli: CommandLine, store: Path) -> None:
    (store / "a").touch()
    assert "'missing'" in cli("rm", "-y", "missing", code=1).err
    assert "'missing'" in cli("rm", "-y", "missing", "a", code=1).err
    assert not (store / "a").exists()
    cli("rm", "-y", "disk:", code=2)


async def granted(store: Path, link: str) -> tuple[bool, bool, bool, int | None]:
    storage = LocalFSStorage(
        store, name="disk", secret_key="CANARY-of-thirty-two-characters-or-more"
    )
    async with storage:
        grant = storage.deserialize_link_token(link.strip().partition("token=")[2])
        assert grant.path == "key"
        return grant.allow_download, grant.allow_upload, grant.allow_remove, grant.max_size


@pytest.mark.anyio
async def test_links_grant_what_was_asked(cli: CommandLine, store: Path) -> None:
    link = cli("link", "key").out.decode()
    assert link.startswith("https://files.example/links?token=")
    assert await granted(store, link) == (True, False, False, None)
    link = cli("link", "disk:key", "-e", "60", "--upload", "--max-size", "1.5k").out.decode()
    assert await granted(store, link) == (False, True, False, 1536)
    link = cli("link", "key", "--download", "--upload", "--delete", "-e", "2d").out.decode()
    assert await granted(store, link) == (True, True, True, None)


def test_links_tell_how_they_are_used(cli: CommandLine, store: Path) -> None:
    told = json.loads(cli("link", "key", "--upload", "--json").out)
    assert told["methods"] == ["PUT", "POST"]
    assert told["expires"].endswith("+00:00")


@pytest.mark.parametrize(
    "wrong",
    [["-e", "soon"], ["-e", "0"], ["--max-size", "much", "--upload"], ["--max-size", "1"]],
)
def test_links_that_cannot_be_are_refused(cli: CommandLine, store: Path, wrong: list[str]) -> None:
    done = cli("link", "key", *wrong, code=2)
    assert done.out == b""
    assert done.err.splitlines()[-1].startswith("Error: ")


@pytest.mark.anyio
async def test_no_clobber_needs_nothing_that_a_storage_may_lack() -> None:
    class Plain(MemoryStorage):
        @property
        def capabilities(self) -> Capabilities:
            return replace(super().capabilities, create_only=Support.unsupported)

    async with MemoryStorage() as source, Plain() as storage, Profiles() as profiles:
        for key in ("old", "new"):
            await source.write_bytes(key, b"source")
        await storage.write_bytes("old", b"there")
        # What it cannot do is never asked of it.
        storage.driver.write = _refusing_create_only(storage.driver.write)  # type: ignore[method-assign]  # a driver without it
        session = Session(profiles, Places(profiles, None))
        for key in ("old", "new"):
            places = [Object(each, key, False, key) for each in (source, storage)]
            await Transfer("cp", keep=True).run(session, [places[0]], places[1])
        assert await storage.read_bytes("old") == b"there"
        assert await storage.read_bytes("new") == b"source"


def _refusing_create_only(write: Any) -> Any:
    async def refusing(key: str, buffers: Any, options: WriteOptions) -> ListEntry:
        if options.if_absent:
            raise UnsupportedOperationError("this driver has no create-only writes")
        return await write(key, buffers, options)  # type: ignore[no-any-return]  # the driver's

    return refusing
