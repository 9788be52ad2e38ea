"""Running the command line: in pipes, and in a terminal of a given width."""

from __future__ import annotations

import fcntl
import os
import re
import selectors
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

COMMAND = (sys.executable, "-m", "aiostow")
PATIENCE = 60.0
_SEQUENCE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def has_news(file: Any, seconds: float) -> bool:
    """Tell whether `file` can be read within `seconds`, whatever the number of its descriptor."""
    with selectors.DefaultSelector() as selector:
        selector.register(file, selectors.EVENT_READ)
        return bool(selector.select(seconds))


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of its output."""
        return self.out.decode().splitlines()


class CommandLine:
    """The installed command, in an environment of its own.

    Args:
        config: the file of its profiles.
        home: a folder that has nothing of the user's.
        more: of the environment.
    """

    def __init__(self, config: Path, home: Path, more: Mapping[str, str] | None = None) -> None:
        kept = (
            "PATH",
            "PYTHONPATH",
            "LANG",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "COVERAGE_FILE",
        )
        self.env = {name: os.environ[name] for name in kept if name in os.environ}
        self.env |= {
            "AIOSTOW_CONFIG": str(config), "HOME": str(home), "XDG_CONFIG_HOME": str(home),
            "TERM": "xterm", "PYTHONWARNINGS": "error", **(more or {}),
        }  # fmt: skip

    def start(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        """Start the command with pipes."""
        told = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)], env=self.env, **{**told, **options}
        )

    def __call__(
        self, *arguments: str | Path, code: int = 0, stdin: bytes = b"", **options: Any
    ) -> Done:
        """Run the command with pipes; it must end with `code`."""
        process = self.start(*arguments, **options)
        try:
            out, err = process.communicate(stdin, timeout=PATIENCE)
        finally:
            process.kill()
        done = Done(process.returncode, out, err.decode())
        assert done.code == code, done
        return done

    def in_terminal(self, *arguments: str | Path, width: int = 80, **options: Any) -> Terminal:
        """Start the command in a terminal."""
        return Terminal([*COMMAND, *map(str, arguments)], self.env, width, **options)


class Terminal:
    """A process whose standard streams are a terminal, of which it is the foreground."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], width: int, cwd: Path | None = None
    ) -> None:
        self._screen, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        # A shell between would be asked for a new session; this is the one thing that it does.
        leader = (
            "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", leader, *command], env=dict(env), cwd=cwd,
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.shown = b""

    @property
    def text(self) -> str:
        """What was shown so far, without what moves the cursor or colours."""
        return _SEQUENCE.sub(b"", self.shown).decode(errors="replace")

    def until(self, seen: Callable[[Terminal], object]) -> None:
        """Read until `seen` is true of this terminal."""
        end = time.monotonic() + PATIENCE
        while not seen(self):
            assert time.monotonic() < end, self.text
            assert self._read(), self.text

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._screen, keys)

    def wait(self, code: int = 0) -> str:
        """Read to the end, which must be `code`, and return what was shown."""
        end = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < end, self.text
        assert self.process.wait(PATIENCE) == code, self.text
        return self.text

    def _read(self) -> bool:
        if not has_news(self._screen, 1):
            return True
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # nobody has the other side open any more
            return False
        self.shown += data
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._screen)


def write_tree(folder: Path, files: int, size: int = 1000) -> dict[str, bytes]:
    """Make a tree of small files and return what they hold, by their names in it."""
    made = {}
    for number in range(files):
        name = f"folder {number % 7}/f{number}.bin"
        made[name] = os.urandom((number * 7919) % (2 * size))
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made[name])
    return made


def read_tree(folder: Path) -> dict[str, bytes]:
    """Return what the files of a tree hold, by their names in it, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
