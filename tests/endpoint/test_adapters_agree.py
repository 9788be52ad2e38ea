"""One exchange of each kind, to which all adapters and servers give the same answers."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable

import httpx
import pytest

from ._answers import Seen
from ._bodies import FORM, LARGE, SMALL, WHOLE, chunked, field, file, form
from ._place import Place
from ._serving import ADAPTERS, ENDPOINTS, SERVERS, Served

OTHERS = tuple(name for name in SERVERS if name not in ADAPTERS and not name.endswith("-4"))


def _exchanges(place: Place) -> list[tuple[str, Seen]]:
    """One of each kind, in an order in which each counts."""
    place.ask("DELETE", place.link("r"))
    everything, download = place.link(), place.link("d")
    limited = place.link("u", max_size=10, content_type="text/x", overwrite=False)
    once = place.link("d", once=True)
    html = place.link("d", output_path='файл "x".html', disposition="inline")
    url = place.served.url
    anew = form(field("a"), file(SMALL), field("b"))

    asked: list[tuple[str, str, bytes | Iterable[bytes] | None, dict[str, str]]] = [
        ("GET", url, None, {}),
        ("GET", f"{url}?token=garbage", None, {}),
        ("PATCH", everything, SMALL, {}),
        ("OPTIONS", everything, None, {}),
        ("GET", download, None, {}),
        ("HEAD", download, None, {}),
        ("PUT", download, SMALL, {}),
        ("PUT", limited, SMALL, {"content_type": "text/y"}),
        ("PUT", limited, SMALL + b"!", {"content_type": "text/x"}),
        ("PUT", limited, chunked(SMALL + b"!"), {"content_type": "text/x"}),
        ("PUT", limited, chunked(SMALL), {"content_type": "text/x"}),
        ("PUT", limited, SMALL, {"content_type": "text/x"}),
        ("GET", download, None, {}),
        ("GET", once, None, {"range": "bytes=2-3"}),
        ("GET", once, None, {}),
        ("POST", everything, LARGE, {}),
        ("GET", download, None, {}),
        ("POST", everything, WHOLE[:-20], {"content_type": FORM}),
        ("POST", everything, form(field("a")), {"content_type": FORM}),
        ("POST", everything, anew, {"content_type": FORM}),
        ("PUT", everything, b"x", {"if_none_match": "*"}),
        ("PUT", everything, b"x", {"content_encoding": "gzip"}),
        ("GET", html, None, {}),
        ("HEAD", html, None, {}),
        ("GET", download, None, {"range": "bytes=2-3"}),
        ("GET", download, None, {"range": "bytes=10-"}),
        ("GET", download, None, {"range": "bytes=0-1,3-4"}),
        ("GET", download, None, {"if_none_match": "*"}),
        ("GET", download, None, {"if_match": '"other"'}),
        ("PUT", everything, b"", {}),
        ("GET", download, None, {}),
        ("DELETE", everything, None, {}),
        ("DELETE", everything, None, {}),
        ("GET", download, None, {}),
    ]
    seen = []
    for number, (method, link, content, headers) in enumerate(asked):
        answer = place.ask(method, link, content, **headers).normalised
        seen.append((f"{number} {method} {headers}", answer))
    return seen


EXCHANGED = [
    404, 403, 405, 204, 404, 404, 403, 415, 413, 413, 201, 409, 200, 200, 410, 204, 200, 400, 400,
    204, 412, 415, 200, 200, 206, 416, 200, 304, 412, 204, 200, 204, 204, 404,
]  # fmt: skip
"""The statuses of these."""
Exchanges = Callable[[str, str], list[tuple[str, Seen]]]


@pytest.fixture(scope="module")
def exchanges(
    endpoint: Callable[[str, str], Served], http: httpx.Client, loop: asyncio.Runner
) -> Exchanges:
    """Return what a server over a kind of storage answered; asked once."""

    @functools.cache
    def get(server: str, kind: str) -> list[tuple[str, Seen]]:
        return _exchanges(Place(http, loop, endpoint(server, kind), "exchanges/file.bin"))

    return get


@pytest.mark.parametrize(("server", "kind"), ENDPOINTS)
def test_all_adapters_give_the_same_answers(exchanges: Exchanges, server: str, kind: str) -> None:
    ours, theirs = exchanges(ADAPTERS[0], kind), exchanges(server, kind)
    assert [seen.status for _, seen in theirs] == EXCHANGED
    for one, other in zip(ours, theirs, strict=True):
        assert other == one


@pytest.mark.parametrize("server", OTHERS)
def test_other_servers_give_the_same_answers(exchanges: Exchanges, server: str) -> None:
    ours, theirs = exchanges(ADAPTERS[0], "memory"), exchanges(server, "memory")
    assert [seen.status for _, seen in theirs] == EXCHANGED
    for one, other in zip(ours, theirs, strict=True):
        assert other == one
