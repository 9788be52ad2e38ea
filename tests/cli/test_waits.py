"""Whatever a command waits for, an interruption or the end of a reader ends it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from aiostow.cli._application import aiostow

from ._terminal import CommandLine, has_news, read_tree


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_does_not_read_holds_nothing_up(
    cli: CommandLine, store: Path, number: signal.Signals, code: int
) -> None:
    (store / "big").write_bytes(bytes(8 << 20))
    process = cli.start("cat", "big")
    try:
        assert process.stdout is not None
        assert has_news(process.stdout, 60)
        with pytest.raises(subprocess.TimeoutExpired):  # the pipe is full, and it waits
            process.wait(0.5)
        process.send_signal(number)
        assert process.wait(10) == code
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def slow_start(cli: CommandLine, tmp_path: Path) -> CommandLine:
    """The command line where an import waits, which is told."""
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        "class Slow:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == os.environ['SLOW']:\n"
        "            os.write(2, b'importing')\n"
        "            time.sleep(60)\n"
        "sys.meta_path.insert(0, Slow())\n"
    )
    cli.env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), cli.env.get("PYTHONPATH")]))
    return cli


@pytest.mark.parametrize("module", ["click", "aiostow.profiles"])
def test_an_interruption_while_it_starts_is_no_traceback(
    slow_start: CommandLine, store: Path, module: str
) -> None:
    slow_start.env["SLOW"] = module
    with slow_start.in_terminal("ls") as terminal:
        terminal.until(lambda screen: "importing" in screen.text)
        terminal.type(b"\x03")
        text = terminal.wait(130)
    assert "Traceback" not in text
    assert "Aborted" not in text


def test_a_stalled_pipe_in_a_terminal_is_interrupted(
    cli: CommandLine, store: Path, tmp_path: Path
) -> None:
    """Standard input is the terminal, at which nobody types."""
    (store / "a").write_bytes(b"old")
    with cli.in_terminal("put", "-", "disk:a") as terminal:
        terminal.type(b"begun\n")
        terminal.until(lambda screen: "?" in screen.text)
        terminal.type(b"\x03")
        assert terminal.wait(130).endswith("Interrupted.\r\n")
    assert read_tree(store) == {"a": b"old"}


def test_what_is_typed_is_stored(cli: CommandLine, store: Path) -> None:
    with cli.in_terminal("put", "-", "disk:a") as terminal:
        terminal.type(b"line\n\x04")
        terminal.wait(0)
    assert read_tree(store) == {"a": b"line\n"}


def test_a_name_of_two_lines_is_one_on_a_terminal(cli: CommandLine, store: Path) -> None:
    (store / "two\nlines").touch()
    with cli.in_terminal("ls") as terminal:
        assert terminal.wait() == "two\\nlines\r\n"
    assert cli("ls").out == b"two\nlines\n"


def test_errors_are_told_above_a_bar(cli: CommandLine, store: Path, tmp_path: Path) -> None:
    with cli.in_terminal("put", "missing", "gone", "disk:", width=40, cwd=tmp_path) as terminal:
        text = terminal.wait(1)
    assert "Error: missing: No such file or" in text
    assert "Error: gone: No such file or" in text
    assert "Traceback" not in text


def test_a_narrow_terminal_gets_a_percentage(cli: CommandLine, store: Path, work: Path) -> None:
    with open("big", "wb") as file:
        file.truncate(200 << 20)
    with cli.in_terminal("put", "big", "disk:big", width=30) as terminal:
        text = terminal.wait()
    assert re.search(r"put +100% .*MB/s", text)


@pytest.mark.parametrize("term", ["dumb", "", "nothing-known", "xterm-256color"])
def test_any_kind_of_terminal_will_do(cli: CommandLine, store: Path, work: Path, term: str) -> None:
    (work / "a").write_bytes(b"x")
    cli.env["TERM"] = term
    with cli.in_terminal("put", "a", "disk:a") as terminal:
        assert "Error" not in terminal.wait(0)
    assert read_tree(store) == {"a": b"x"}


def test_exit_codes_are_in_the_help(cli: CommandLine) -> None:
    told = cli("--help").out.decode()
    assert "Exit status" in told
    assert all(code in told for code in ("0", "1", "2", "130", "141", "143"))


def test_streams_in_memory_will_do(
    cli: CommandLine, config: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application's tests run its commands so."""
    monkeypatch.setenv("AIOSTOW_CONFIG", str(config))
    assert CliRunner().invoke(aiostow, ["put", "-", "disk:a"], input=b"content").exit_code == 0
    done = CliRunner().invoke(aiostow, ["cat", "disk:a"])
    assert (done.exit_code, done.stdout_bytes) == (0, b"content")
