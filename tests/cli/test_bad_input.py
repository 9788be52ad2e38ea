"""What is wrong is told in one sentence, with the right exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ._terminal import CommandLine

SECRET = "CANARY"


def one_sentence(err: str) -> str:
    """Return the one line that was told, which is no traceback."""
    assert err.count("\n") == 1, err
    assert err.startswith("Error: ")
    return err[7:-1]


def test_an_unknown_profile_is_named_with_what_there_is(cli: CommandLine) -> None:
    assert one_sentence(cli("ls", "dsk:a", code=2).err) == (
        "no profile is named 'dsk'; do you mean 'disk'?; a local file of this name is './dsk:a'"
    )
    assert one_sentence(cli("-p", "zzz", "ls", code=2).err) == (
        "no profile is named 'zzz'; choose from disk, other"
    )


def test_no_profile_at_all_says_where_one_is_written(cli: CommandLine, tmp_path: Path) -> None:
    del cli.env["AIOSTOW_CONFIG"]
    told = one_sentence(cli("ls", code=2).err)
    assert told.startswith("no profile is configured: write one into '")
    assert "aiostow/config.toml'" in told


def test_a_file_of_the_current_directory_is_not_taken(cli: CommandLine, work: Path) -> None:
    del cli.env["AIOSTOW_CONFIG"]
    for name in ("config.toml", "aiostow.toml", ".aiostow.toml"):
        (work / name).write_text('[profiles.planted]\ntype = "memory"\n')
    assert cli("profiles").out == b""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[profiles.a\n", "this is no TOML"),
        ('[profiles.a]\nkind = "local"\n', "a profile has a type or a url"),
        ('[profiles.a]\ntype = "lokal"\n', "do you mean 'local'?"),
        ('[profiles.a]\ntype = "local"\nroute = "x"\n', "do you mean 'root'?"),
        ('[profiles.a]\ntype = "local"\n', "key 'root': LocalFSStorage needs this setting"),
        ('[profiles.a]\ntype = "local"\nroot = 1\n', "key 'root'"),
        (
            '[profiles.a]\ntype = "local"\nroot = "x"\nsecret_key = "${NOT_THERE}"\n',
            "the environment has no variable NOT_THERE",
        ),
    ],
)
def test_a_wrong_configuration_is_told_with_its_file(
    cli: CommandLine, config: Path, text: str, told: str
) -> None:
    config.write_text(text)
    message = one_sentence(cli("ls", code=2).err)
    assert message.startswith(f"{config}")
    assert told in message


def test_a_configuration_that_is_not_there_is_told(cli: CommandLine, tmp_path: Path) -> None:
    told = one_sentence(cli("--config", tmp_path / "none.toml", "ls", code=2).err)
    assert told == f"{tmp_path / 'none.toml'}: this file cannot be read: No such file or directory"


@pytest.mark.parametrize("key", ["a/../b", "a//b", "..", "a\nb"])
def test_names_that_no_storage_may_have_are_refused(
    cli: CommandLine, store: Path, key: str
) -> None:
    one_sentence(cli("cat", f"disk:{key}", code=2).err)


@pytest.mark.parametrize(
    "arguments",
    [
        ["put", "missing.txt", "disk:a"],
        ["get", "disk:missing", "a"],
        ["cat", "missing"],
        ["stat", "missing"],
        ["cp", "disk:missing", "disk:a"],
        ["mv", "disk:missing", "other:a"],
        ["rm", "-y", "missing"],
        ["get", "-r", "disk:missing", "a"],
    ],
)
def test_what_is_missing_is_told_and_nothing_is_made(
    cli: CommandLine, store: Path, work: Path, arguments: list[str]
) -> None:
    told = one_sentence(cli(*arguments, code=1).err)
    assert "missing" in told
    assert os.listdir(work) == []
    assert os.listdir(store) == []


def test_no_permission_is_told(cli: CommandLine, store: Path) -> None:
    (store / "a").write_bytes(b"x")
    told = one_sentence(cli("get", "a", "/sys/kernel/a", code=1).err)  # closed to root, too
    reason = told.rpartition(": ")[2]
    assert reason in ("Permission denied", "Operation not permitted", "Read-only file system")


def test_a_destination_that_cannot_be_is_told(cli: CommandLine, store: Path) -> None:
    (store / "a").write_bytes(b"x")
    told = one_sentence(cli("get", "a", "/proc/nothing/a", code=1).err)
    assert told == "/proc/nothing: No such file or directory"


@pytest.mark.parametrize(
    "arguments",
    [[], ["--nothing"], ["nothing"], ["ls", "--nothing"], ["put"], ["get"], ["put", "a"]],
)
def test_wrong_usage_is_2(cli: CommandLine, arguments: list[str]) -> None:
    assert cli(*arguments, code=2).out in (b"",)


@pytest.mark.parametrize(
    "url", ["s4://bucket/a", "file://host/a", "sftp://me:CANARY@host/a", "s3://", "s3://b?x=1"]
)
def test_urls_that_lead_nowhere_are_refused(cli: CommandLine, url: str) -> None:
    told = one_sentence(cli("ls", url, code=2).err)
    assert SECRET not in told


def test_debug_shows_where(cli: CommandLine, store: Path) -> None:
    done = cli("--debug", "cat", "missing", code=1)
    assert done.err.startswith("Traceback (most recent call last):\n")
    assert done.err.endswith("Error: stat 'missing' in storage 'disk': no such file\n")


def test_no_secret_is_ever_shown(cli: CommandLine, store: Path, work: Path) -> None:
    (store / "a").write_bytes(b"x")
    for arguments in (
        ["profiles"], ["profiles", "--json", "--check"], ["ls", "-l"], ["ls", "--json"],
        ["stat", "a"], ["link", "a"], ["link", "a", "--json"], ["--help"], ["ls", "--help"],
    ):  # fmt: skip
        done = cli("--debug", *arguments)
        assert SECRET not in done.out.decode() + done.err
    for arguments in (
        ["cat", "b"],
        ["get", "b", "c"],
        ["ls", "nothing:"],
        ["link", "a", "-e", "0"],
    ):
        done = cli("--debug", *arguments, code=2 if arguments[0] in ("ls", "link") else 1)
        assert SECRET not in done.out.decode() + done.err


# -- what is not installed ------------------------------------------------------------------------


@pytest.fixture
def without(cli: CommandLine, tmp_path: Path) -> Callable[[str], CommandLine]:
    """Return the command line where a package is not installed."""

    def block(*names: str) -> CommandLine:
        folder = tmp_path / "blocked"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(
            "import sys\n"
            "class Blocked:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            f"        if name.partition('.')[0] in {names!r}:\n"
            "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
            "sys.meta_path.insert(0, Blocked())\n"
        )
        cli.env["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(folder), cli.env.get("PYTHONPATH")])
        )
        return cli

    return block


def test_a_missing_extra_is_named(without: Callable[..., CommandLine], config: Path) -> None:
    config.write_text('[profiles.s]\ntype = "s3"\nbucket = "b"\n')
    told = one_sentence(without("aioboto3", "aiobotocore", "botocore")("ls", code=2).err)
    assert told == "S3Storage needs the extra 's3': pip install 'aiostow[s3]'"


def test_the_command_line_is_an_extra_itself(without: Callable[..., CommandLine]) -> None:
    told = one_sentence(without("click")("ls", code=2).err)
    assert told == "aiostow needs the extra 'cli': pip install 'aiostow[cli]'"


def test_help_imports_no_storage() -> None:
    script = (
        "import sys\n"
        "sys.argv = ['aiostow', '--help']\n"
        "from aiostow.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'asyncio', 'jwt', 'pendulum', 'rich', 'aiostow.storage', 'aiostow.profiles'}\n"
        "print('imported:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[0].startswith("Usage: aiostow ")
    assert done.stdout.splitlines()[-1] == "imported: []"
