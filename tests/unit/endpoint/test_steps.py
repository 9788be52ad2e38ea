"""What stands between a blocking web server and the endpoint: bodies, and what is left of them."""

from __future__ import annotations

import pytest

from aiostow.integrations._steps import Body, ClientGoneError, Refusal


def body_of(data: bytes, **headers: str) -> tuple[Body, list[int]]:
    """Return a body, and what sizes it was asked for."""
    asked: list[int] = []
    rest = memoryview(data)

    def read(size: int) -> bytes:
        nonlocal rest
        asked.append(size)
        part, rest = bytes(rest[:size]), rest[size:]
        return part

    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Body(read, {"content-length": str(len(data)), **told}), asked


def test_a_server_is_asked_for_little_so_that_a_slow_sender_is_heard_of() -> None:
    # A server waits until it has all that it is asked for; meanwhile no hold is prolonged.
    body, asked = body_of(bytes(200_000))
    while body.receive():
        pass
    assert max(asked) <= 64 << 10


@pytest.mark.parametrize("error", [OSError("reset"), ValueError("a server's own"), EOFError()])
def test_whatever_a_server_raises_is_a_body_that_does_not_come(error: Exception) -> None:
    def read(size: int) -> bytes:
        raise error

    body = Body(read, {"content-length": "9"})
    with pytest.raises(ClientGoneError) as caught:
        body.receive()
    assert caught.value.answer.status == 400
    assert body.receive() == b""  # it is not asked again
    body.drain()


@pytest.mark.parametrize(
    ("size", "headers", "drained"),
    [
        (100_000, {}, True),
        (1 << 20, {}, True),
        ((1 << 20) + 1, {}, False),
        (100_000, {"expect": "100-continue"}, False),
        (100_000, {"content_length": "x"}, False),
    ],
)
def test_a_little_of_a_refused_body_is_read_after_the_answer(
    size: int, headers: dict[str, str], drained: bool
) -> None:
    body, asked = body_of(bytes(size), **headers)
    refusal = Refusal(b"no", body)
    assert (list(refusal), asked) == ([b"no"], [])
    refusal.close()
    assert bool(asked) is drained
    assert (body.receive() == b"") is drained
