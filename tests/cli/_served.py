"""`aiostow serve` as a process, and clients of it that a test can slow down."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ._terminal import PATIENCE, CommandLine, has_news

TOLD = {"name": "a.bin", "hours": 24, "once": False, "limit": None}


class Served:
    """A server that listens.

    Attributes:
        url: that it printed.
        process: the server.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        assert has_news(process.stdout, PATIENCE), "it listens"
        self.url = process.stdout.readline().decode().strip()
        assert self.url.startswith("http://"), self.errors()
        self.host = urlsplit(self.url).netloc

    def errors(self) -> str:
        """Wait for the end, and return what it told of errors."""
        _, told = self.process.communicate(timeout=PATIENCE)
        return told.decode()

    def stop(self, how: signal.Signals = signal.SIGTERM, within: float = PATIENCE) -> str:
        """End it, which must succeed within some seconds, and return what it told of errors."""
        self.process.send_signal(how)
        return self.ended(within)

    def ended(self, within: float = PATIENCE) -> str:
        """Wait for its good end within some seconds, and return what it told of errors."""
        begun = time.monotonic()
        told = self.errors()
        assert time.monotonic() - begun < within
        assert self.process.returncode == 0, told
        return told

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection, not yet made."""
        return http.client.HTTPConnection(self.host, timeout=PATIENCE)

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Send a request, and return status and body of the answer."""
        with contextlib.closing(self.connect()) as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def begin(self, size: int, **more: Any) -> dict[str, Any]:
        """Begin a share as the page does, and return how its file is uploaded."""
        told = json.dumps({**TOLD, "size": size, **more}).encode()
        status, answer = self.ask("POST", "/shares", told, Content_Type="application/json")
        assert status == 201, answer
        begun: dict[str, Any] = json.loads(answer)
        return begun

    def share(self, content: bytes, **more: Any) -> str:
        """Share a file as the page does, and return its link."""
        begun = self.begin(len(content), **more)
        status, answer = self.ask("PUT", begun["url"], content)
        assert status in (201, 204), answer
        status, answer = self.ask("POST", f"/shares/{begun['id']}")
        assert status == 200, answer
        return str(json.loads(answer)["link"])

    def slow_upload(self, path: str, size: int, sent: bytes) -> http.client.HTTPConnection:
        """Begin to upload, and return the connection on which the rest may follow."""
        connection = self.connect()
        connection.putrequest("PUT", path)
        connection.putheader("Content-Length", str(size))
        connection.endheaders()
        connection.send(sent)
        time.sleep(0.3)  # so that it is under way
        return connection

    def refuses_connections(self) -> bool:
        """Tell whether nobody listens any more, or will in a moment."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with contextlib.closing(self.connect()) as connection:
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    return True
            time.sleep(0.05)
        return False


@contextlib.contextmanager
def serving(cli: CommandLine, *arguments: str | Path, **options: Any) -> Iterator[Served]:
    """Run a server on a free port within the block."""
    process = cli.start("serve", *arguments, "--port", "0", **options)
    try:
        yield Served(process)
    finally:
        process.kill()
        process.communicate()
