"""What an upload may be: its size as counted, and its type."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from aiostow._answers import RefusedError
from aiostow._upload_body import UploadBody
from aiostow.linkstore import LinkState

from ._bench import KEY, NEW, Bench, ask

pytestmark = pytest.mark.anyio


def best_of(times: int, work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some runs: others slow the machine down."""
    costs = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        costs.append(time.perf_counter() - begun)
    return min(costs)


@pytest.mark.parametrize(
    ("limits", "sent", "status"),
    [
        ({"max_size": 4}, 4, 204), ({"max_size": 4}, 5, 413), ({"max_size": 0}, 0, 204),
        ({"max_size": 0}, 1, 413), ({"exact_size": 4}, 4, 204), ({"exact_size": 4}, 3, 400),
        ({"exact_size": 4}, 5, 413), ({"exact_size": 0}, 0, 204),
        ({"exact_size": 4, "max_size": 9}, 5, 413),
    ],
)  # fmt: skip
@pytest.mark.parametrize("told", ["nothing", "the truth", "less"])
async def test_real_bytes_are_counted(
    bench: Bench, limits: dict[str, Any], sent: int, status: int, told: str
) -> None:
    token = bench.token("u", once=True, **limits)
    headers = {
        "nothing": {}, "the truth": {"content-length": str(sent)},
        "less": {"content-length": str(max(sent - 1, 0))},
    }[told]  # fmt: skip
    lies = told == "less" and sent > 0
    chunks = [b"x"] * sent
    reply = await ask(bench.endpoint(), "PUT", token, *chunks, headers=headers)
    assert reply.status == (400 if lies and status == 204 else status)
    assert bench.written() == ({KEY: b"x" * sent} if reply.status == 204 else {})
    free = reply.status != 204
    assert await bench.state(token) is (LinkState.free if free else LinkState.used)


async def test_an_upload_is_stopped_at_the_first_byte_too_many(bench: Bench) -> None:
    came = 0

    async def receive() -> bytes:
        nonlocal came
        came += 1
        return b"x"

    reply = await ask(bench.endpoint(), "PUT", bench.token("u", max_size=10), receive=receive)
    assert (reply.status, came) == (413, 11)
    assert bench.written() == {}


async def test_a_length_that_is_told_too_large_is_refused_before_anything_comes(
    bench: Bench,
) -> None:
    async def receive() -> bytes:
        raise AssertionError("nothing was to be read")

    headers = {"content-length": "11"}
    token = bench.token("u", max_size=10, once=True)
    reply = await ask(bench.endpoint(), "PUT", token, headers=headers, receive=receive)
    assert reply.status == 413
    assert "hold" not in bench.log


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("text/csv", 204), ("TEXT/CSV", 204), (" text/csv ", 204), ("text/plain", 415), ("", 415),
        ("text/csv;a=b", 415),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", [False, True])
async def test_an_upload_has_the_type_that_the_link_says(
    bench: Bench, sent: str, status: int, form: bool
) -> None:
    token = bench.token("u", content_type="text/csv")
    headers = {"content-type": sent}
    body = NEW
    if form:
        headers = {"content-type": "multipart/form-data; boundary=b"}
        body = form_with_type(sent)
    reply = await ask(bench.endpoint(), "POST", token, body, headers=headers)
    assert reply.status == status
    assert bench.written() == ({KEY: NEW} if status == 204 else {})


def form_with_type(kind: str) -> bytes:
    return (
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n'
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + NEW + b"\r\n--b--\r\n"
    )


# "A 1 MB header costs under 5 ms" (faults.md, range abuse). Those of 8 KB tell what is quadratic.
@pytest.mark.parametrize("size", [1000, 8000, 1 << 20])
@pytest.mark.parametrize("unit", [" ", ";", '"', '";', "; ", "=", "x", "\t;", ' "'])
@pytest.mark.parametrize("start", ["text/csv", "multipart/form-data;boundary=b", "text/csv;a"])
async def test_a_long_type_costs_nothing(bench: Bench, start: str, unit: str, size: int) -> None:
    kind = (start + unit * (size // len(unit)))[:size] + "x"
    grant = bench.storage.deserialize_link_token(bench.token("u", content_type="text/csv"))

    def refuse() -> None:
        try:
            UploadBody(grant, {"content-type": kind})
        except RefusedError as exc:
            assert exc.answer.status in (400, 415)

    assert best_of(5, refuse) < 0.005


@pytest.mark.parametrize("unit", [" ", ";", '"', '";', "; ", "=", "\t;", ' "'])
async def test_a_long_type_of_a_forms_file_costs_nothing(bench: Bench, unit: str) -> None:
    kind = ("text/csv" + unit * 4000)[:4000] + "x"  # as long as the header of a part may be
    grant = bench.storage.deserialize_link_token(bench.token("u", content_type="text/csv"))
    sent = form_with_type(kind)

    def refuse() -> None:
        body = UploadBody(grant, {"content-type": "multipart/form-data; boundary=b"})
        with pytest.raises(RefusedError) as caught:
            body.take(sent)
        assert caught.value.answer.status == 415

    assert best_of(5, refuse) < 0.005
