"""Hooks: what they see, refuse and raise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aiostow import InvalidArgumentError, ShareLinkOperation
from aiostow.endpoint import LinkRefusedError, LinkUse
from aiostow.linkstore import LinkState

from ._bench import KEY, NEW, OLD, SECURITY, Bench, ask, open_files

pytestmark = pytest.mark.anyio


class ForeignError(Exception):
    """One that only the application knows."""


STAGES = [
    ("authorize", "GET"), ("authorize", "PUT"), ("authorize", "DELETE"), ("on_download", "GET"),
    ("on_upload", "PUT"), ("on_remove", "DELETE"),
]  # fmt: skip


@pytest.mark.parametrize(("hook", "method"), STAGES)
async def test_a_foreign_exception_of_a_hook_passes_and_everything_is_undone(
    bench: Bench, hook: str, method: str
) -> None:
    await bench.put()
    token = bench.token(once=True)
    endpoint = bench.endpoint(**{hook: bench.hook(hook, ForeignError("of a hook"))})
    with pytest.raises(ForeignError):
        await ask(endpoint, method, token, NEW)
    assert bench.log[-1] in (hook, "release")
    assert await bench.state(token) is LinkState.free
    assert bench.written() == {KEY: OLD}
    assert open_files(bench.storage) == []


@pytest.mark.parametrize("status", [400, 403, 451, 503, 599])
@pytest.mark.parametrize(("hook", "method"), STAGES)
async def test_a_refusal_of_a_hook_is_told_and_consumes_nothing(
    bench: Bench, hook: str, method: str, status: int
) -> None:
    await bench.put()
    token = bench.token(once=True)
    refusal = LinkRefusedError("Not on Sundays.", status=status)
    reply = await ask(bench.endpoint(**{hook: bench.hook(hook, refusal)}), method, token, NEW)
    assert (reply.status, reply.body) == (status, b"Not on Sundays.\n")
    assert SECURITY.items() <= reply.headers.items()
    assert await bench.state(token) is LinkState.free
    assert bench.written() == {KEY: OLD}
    assert open_files(bench.storage) == []


async def test_hooks_may_be_async_and_see_the_use(bench: Bench) -> None:
    seen: list[tuple[Any, ...]] = []

    def noting(name: str) -> Callable[[LinkUse], Awaitable[None]]:
        async def hook(use: LinkUse) -> None:
            await asyncio.sleep(0)
            size = None if use.entry is None else use.entry.size
            seen.append((name, use.method, use.operation, use.request, use.size, size))
            assert use.storage is bench.storage
            assert use.grant.path == KEY

        return hook

    names = ("authorize", "on_download", "on_upload", "on_remove", "on_success")
    endpoint = bench.endpoint(**{name: noting(name) for name in names})
    token = bench.token()
    for method in ("POST", "GET", "DELETE"):
        await ask(endpoint, method, token, NEW, request="the framework's")
    up, down, gone = (
        ShareLinkOperation.upload, ShareLinkOperation.download, ShareLinkOperation.remove,
    )  # fmt: skip
    size = len(NEW)
    assert seen == [
        ("authorize", "POST", up, "the framework's", None, None),
        ("on_upload", "POST", up, "the framework's", size, None),
        ("on_success", "POST", up, "the framework's", size, size),
        ("authorize", "GET", down, "the framework's", None, None),
        ("on_download", "GET", down, "the framework's", None, size),
        ("authorize", "DELETE", gone, "the framework's", None, None),
        ("on_remove", "DELETE", gone, "the framework's", None, None),
        ("on_success", "DELETE", gone, "the framework's", None, None),
    ]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_what_on_success_raises_undoes_nothing(bench: Bench, method: str) -> None:
    await bench.put()
    token = bench.token(once=True)
    endpoint = bench.endpoint(on_success=bench.hook("on_success", ForeignError()))
    with pytest.raises(ForeignError):
        await ask(endpoint, method, token, NEW)
    assert bench.written() == ({KEY: NEW} if method == "PUT" else {})
    assert await bench.state(token) is LinkState.used


@pytest.mark.parametrize("status", [-1, 0, 200, 302, 399, 600, 1000])
def test_a_refusal_has_the_status_of_a_refusal(status: int) -> None:
    with pytest.raises(InvalidArgumentError, match="400 to 599"):
        LinkRefusedError(status=status)


def test_a_refusal_is_403_where_nothing_else_is_said() -> None:
    assert LinkRefusedError().status == 403
    assert LinkRefusedError().message == str(LinkRefusedError())
