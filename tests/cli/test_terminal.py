"""What a person at a terminal sees and does, and what a pipe sees of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ._terminal import COMMAND, CommandLine, Terminal, read_tree, write_tree

# -- bars -----------------------------------------------------------------------------------------


def test_a_bar_moves_on_a_terminal(cli: CommandLine, store: Path, work: Path) -> None:
    with open("big", "wb") as file:
        file.truncate(600 << 20)
    with cli.in_terminal("put", "big", "disk:big") as terminal:
        text = terminal.wait()
    done = re.findall(r"([0-9.]+)/629.1 MB", text)
    assert len(set(done)) > 1, text  # it was seen in more than one place
    assert done[-1] == "629.1"
    assert "MB/s" in text
    assert (store / "big").stat().st_size == 600 << 20


def test_a_bar_counts_the_files_of_a_tree(cli: CommandLine, store: Path, work: Path) -> None:
    tree = write_tree(work / "tree", 60)
    with cli.in_terminal("put", "-r", "tree", "disk:t") as terminal:
        assert "put 60/60" in terminal.wait()
    assert read_tree(store / "t") == tree


def test_a_pipe_sees_no_bar_nor_does_who_wants_none(
    cli: CommandLine, store: Path, work: Path
) -> None:
    (work / "a").write_bytes(bytes(100))
    done = cli("put", "a", "disk:a")
    assert (done.out, done.err) == (b"", "")
    with cli.in_terminal("put", "-q", "a", "disk:a") as terminal:
        assert terminal.wait() == ""


@pytest.mark.parametrize("width", [1, 10, 20, 40, 59])
def test_a_narrow_terminal_wraps_no_bar(
    cli: CommandLine, store: Path, work: Path, width: int
) -> None:
    write_tree(work / "tree", 20)
    with cli.in_terminal("put", "-r", "tree", "disk:t", width=width) as terminal:
        text = terminal.wait()
    assert "Error" not in text
    assert max(len(line) for line in text.replace("\r", "\n").split("\n")) <= width


# -- names ----------------------------------------------------------------------------------------


def test_names_do_nothing_to_a_terminal_and_are_themselves_in_a_pipe(
    cli: CommandLine, store: Path
) -> None:
    odd = "red\x1b[31m\u202etxt"
    (store / odd).touch()
    assert cli("ls").out == f"{odd}\n".encode()
    with cli.in_terminal("ls") as terminal:
        assert terminal.wait() == "red\\x1b[31m\\u202etxt\r\n"
        assert b"\x1b[31m" not in terminal.shown


def test_names_that_are_no_text_go_into_a_pipe_as_their_bytes(
    cli: CommandLine, store: Path
) -> None:
    path = os.path.join(os.fsencode(store), b"\xff\xfe")
    with open(path, "wb"):
        pass
    assert cli("ls").out == b"\xff\xfe\n"
    with cli.in_terminal("ls") as terminal:
        assert terminal.wait() == "\\udcff\\udcfe\r\n"
    done = cli("get", "-r", "disk:", "out", code=1)
    assert done.err.startswith("Error: ")


# -- questions ------------------------------------------------------------------------------------


def asked(terminal: Terminal) -> bool:
    return "[y/N]" in terminal.text


@pytest.mark.parametrize(
    ("keys", "code", "gone"),
    [(b"y\r", 0, True), (b"yes\r", 0, True), (b"n\r", 1, False), (b"\r", 1, False),
     (b"\x03", 130, False), (b"\x04", 1, False)],
)  # fmt: skip
def test_rm_asks(cli: CommandLine, store: Path, keys: bytes, code: int, gone: bool) -> None:
    (store / "a").touch()
    with cli.in_terminal("rm", "a") as terminal:
        terminal.until(asked)
        terminal.type(keys)
        text = terminal.wait(code)
    assert text.startswith("Remove 'a'? [y/N]")
    assert (store / "a").exists() is not gone


def test_rm_tells_how_many_before_it_asks(cli: CommandLine, store: Path) -> None:
    write_tree(store / "t", 12)
    with cli.in_terminal("rm", "-r", "disk:t") as terminal:
        terminal.until(asked)
        assert "Remove 12 objects of 'disk:t'?" in terminal.text
        terminal.type(b"y\r")
        terminal.wait()
    assert read_tree(store) == {}


# -- interruptions --------------------------------------------------------------------------------


def test_an_interrupted_tree_is_whole_or_absent_and_can_be_sent_again(
    cli: CommandLine, store: Path, work: Path
) -> None:
    tree = write_tree(work / "tree", 1000, size=20_000)
    (work / "config.toml").write_text('[profiles.d]\ntype = "local"\nroot = "st"\n')
    with cli.in_terminal("--config", "config.toml", "put", "-r", "tree", "d:t") as terminal:
        terminal.until(lambda screen: (work / "st" / "t" / "folder 1").exists())
        terminal.type(b"\x03")
        assert terminal.wait(130).endswith("Interrupted.\r\n")
    sent = read_tree(work / "st")
    assert 0 < len(sent) < 1000
    assert sent.items() <= {f"t/{name}": data for name, data in tree.items()}.items()
    cli("--config", "config.toml", "put", "-r", "tree", "d:t")
    assert read_tree(work / "st" / "t") == tree


def test_an_interrupted_download_leaves_the_old_file(
    cli: CommandLine, store: Path, work: Path
) -> None:
    with open(store / "big", "wb") as file:
        file.truncate(4 << 30)
    (work / "big").write_bytes(b"old")
    with cli.in_terminal("get", "disk:big", "big") as terminal:
        terminal.until(lambda screen: "MB/s" in screen.text)
        terminal.type(b"\x03")
        terminal.wait(130)
    assert read_tree(work) == {"big": b"old"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stalled_stream_is_given_up_at_once(
    cli: CommandLine, store: Path, number: signal.Signals, code: int
) -> None:
    (store / "a").write_bytes(b"old")
    process = cli.start("put", "-", "disk:a")
    try:
        assert process.stdin is not None
        process.stdin.write(bytes(16 << 20))  # more than a pipe holds, so that some was read
        process.stdin.flush()
        process.send_signal(number)
        assert process.wait(10) == code
    finally:
        process.kill()
        process.communicate()
    assert read_tree(store) == {"a": b"old"}


# -- pipes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["ls", "-R"], ["cat", "big"], ["rm", "-r", "--dry-run", ":"]])
def test_a_reader_that_goes_away_ends_it_quietly(
    cli: CommandLine, store: Path, command: list[str]
) -> None:
    write_tree(store / ("long name " * 20), 3000, size=1)
    (store / "big").write_bytes(bytes(10 << 20))
    process = cli.start(*command)
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.stdin is not None
    process.stdin.close()


def test_a_full_disk_is_told(cli: CommandLine, store: Path) -> None:
    (store / "a").write_bytes(bytes(100_000))
    with open("/dev/full", "wb") as full:
        done = cli("cat", "a", code=1, stdout=full)
    assert done.err == "Error: No space left on device\n"


def test_it_runs_under_a_shell_as_the_installed_command(
    cli: CommandLine, store: Path, work: Path
) -> None:
    (store / "a").write_bytes(b"one\ntwo\n")
    script = f"set -o pipefail; {' '.join(COMMAND)} cat a | head -n 1"
    done = subprocess.run(
        ["bash", "-c", script], env=cli.env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\n", "")
    assert Path(sys.executable).with_name("aiostow").exists()
