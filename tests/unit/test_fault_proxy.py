"""The proxy: each fault does to a plain client what it says, and no more."""

from __future__ import annotations

import http.client
import http.server
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from aiostow.testing import FaultProxy, WireFault, pattern

BODY = pattern(300_000)
PATIENCE = 20


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: list[str]

    def do_GET(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._serve()

    def _serve(self) -> None:
        self.served.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "always the same"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served() -> list[str]:
    return []


@pytest.fixture
def proxy(served: list[str]) -> Iterator[FaultProxy]:
    handler = type("Bound", (Handler,), {"served": served})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # broken on purpose
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with FaultProxy(server.server_port) as proxy:
                yield proxy
        finally:
            server.shutdown()
            thread.join()


class Client:
    def __init__(self, proxy: FaultProxy, timeout: float = PATIENCE) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)

    def __call__(self, path: str = "/", method: str = "GET", body: bytes | None = None) -> bytes:
        self.connection.request(method, path, body)
        response = self.connection.getresponse()
        assert response.status == 200
        return response.read()


@pytest.fixture
def get(proxy: FaultProxy) -> Iterator[Client]:
    client = Client(proxy)
    yield client
    client.connection.close()


def test_without_faults_all_passes(proxy: FaultProxy, get: Client, served: list[str]) -> None:
    for number in range(5):
        assert get(f"/{number}") == BODY
    assert get("/put", "PUT", BODY) == BODY
    assert len(served) == 6
    assert proxy.connections == 1
    assert proxy.armed == []


def test_a_reset_comes_after_so_many_bytes(proxy: FaultProxy) -> None:
    fault = WireFault(reset_at=100_000)
    proxy.add(fault)
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        got = 0
        with pytest.raises(ConnectionResetError):
            while part := plain.recv(65536):
                got += len(part)
            pytest.fail(f"the end came in order after {got}")
    assert got == 100_000
    assert proxy.armed == [fault]
    client = Client(proxy)
    assert client() == BODY  # once only
    client.connection.close()


def test_a_cut_ends_in_order_after_so_many_bytes(proxy: FaultProxy) -> None:
    proxy.add(WireFault(cut_at=100_000))
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        got = 0
        while part := plain.recv(65536):
            got += len(part)
    assert got == 100_000


@pytest.mark.parametrize("at", [0, 70_000, 250_000])
def test_a_bit_is_flipped(proxy: FaultProxy, at: int) -> None:
    proxy.add(WireFault(flip_at=at))
    found = []
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            parts = []
            while part := plain.recv(65536):
                parts.append(part)
        found.append(b"".join(parts))
    spoilt, sound = found
    assert len(spoilt) == len(sound)
    assert [i for i, (a, b) in enumerate(zip(spoilt, sound, strict=True)) if a != b] == [at]


def test_latency_first_byte_and_rate_take_their_time(proxy: FaultProxy, get: Client) -> None:
    for fault, least in (
        (WireFault(latency=0.1), 0.2),
        (WireFault(first_byte=0.3), 0.3),
        (WireFault(rate=1_000_000), 0.25),
    ):
        proxy.add(fault)
        begin = time.monotonic()
        assert get() == BODY
        assert time.monotonic() - begin >= least
    begin = time.monotonic()
    assert get() == BODY
    assert time.monotonic() - begin < 0.2


def test_a_black_hole_answers_nothing(proxy: FaultProxy, served: list[str]) -> None:
    proxy.add(WireFault(black_hole=True))
    client = Client(proxy, timeout=0.3)
    with pytest.raises(TimeoutError):
        client()
    client.connection.close()
    assert served == []


def test_it_is_unavailable_so_many_times(proxy: FaultProxy, served: list[str]) -> None:
    proxy.add(WireFault(unavailable=7, times=3))
    for _ in range(3):
        client = Client(proxy)
        client.connection.request("PUT", "/", BODY)
        response = client.connection.getresponse()
        assert (response.status, response.headers["Retry-After"]) == (503, "7")
        client.connection.close()
    assert served == []
    client = Client(proxy)
    assert client() == BODY
    client.connection.close()


def test_a_dropped_reply_is_of_a_request_that_was_served(
    proxy: FaultProxy, served: list[str]
) -> None:
    proxy.add(WireFault(match=b"PUT /b", drop_reply=True))
    client = Client(proxy)
    assert client("/a", "PUT", b"x") == BODY
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        client("/b", "PUT", b"x")
    client.connection.close()
    assert served == ["/a", "/b"]


def test_a_fault_waits_for_its_request(proxy: FaultProxy, get: Client) -> None:
    fault = WireFault(match=b"GET /bad", flip_at=1000)
    proxy.add(fault)
    assert get("/good") == BODY
    assert proxy.armed == []
    assert get("/bad") != BODY
    assert proxy.armed == [fault]
    assert get("/bad") == BODY


def test_the_first_that_matches_is_armed_and_clear_forgets_them(
    proxy: FaultProxy, get: Client
) -> None:
    first, second = WireFault(times=2, latency=0.001), WireFault(times=None, latency=0.002)
    proxy.add(first, second)
    for _ in range(4):
        assert get() == BODY
    assert proxy.armed == [first, first, second, second]
    proxy.clear()
    assert get() == BODY
    assert proxy.armed == []


def test_a_server_that_is_not_there_is_a_connection_that_is_lost() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with FaultProxy(unused.getsockname()[1]) as proxy:
            client = Client(proxy)
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                client()
            client.connection.close()


def test_only_servers_of_this_machine_are_served() -> None:
    for host in ("192.0.2.1", "8.8.8.8", "::"):
        with pytest.raises(ValueError, match="on this machine"):
            FaultProxy(80, host)


def test_its_end_ends_what_is_under_way(proxy: FaultProxy, served: list[str]) -> None:
    with FaultProxy(proxy._target[1]) as other:
        other.add(WireFault(rate=1000, times=None))
        client = Client(other)
        client.connection.request("GET", "/")
        response = client.connection.getresponse()
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        response.read()
    client.connection.close()
