"""Downloads that a server sends from the disk by itself, where that was allowed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Missing
from tests.servers.nginx import nginx

from ._client import ask
from ._serving import serving

pytestmark = pytest.mark.anyio

Specs = Callable[[str], dict[str, Any]]

SAFE = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}
NAME = "a folder/100% é #1?.html"


async def test_nginx_sends_what_it_is_handed(specs: Specs, tmp_path: Path) -> None:
    spec = specs("local")
    options = {"trusted_tree": True, "accel_redirect": "/protected/"}
    with serving("uvicorn-starlette", tmp_path, spec, store="memory", **options) as it:
        data = os.urandom(1 << 20)
        await it.storage.write_bytes(NAME, data)
        folder = tmp_path / "nginx"
        folder.mkdir()
        try:
            with nginx(folder, it.port, Path(spec["root"])) as port:
                link = str(await it.storage.link_to(NAME, "d", 600, "päge.html"))
                front = link.replace(f":{it.port}/", f":{port}/")
                got = await ask("GET", front)
                assert (got.status, got.body == data) == (200, True)
                assert {name: got.headers[name] for name in SAFE} == SAFE
                assert got.headers["content-type"] == "text/html"
                assert got.headers["cache-control"] == "private, no-cache"
                suggested = "attachment; filename=\"p_ge.html\"; filename*=UTF-8''p%C3%A4ge.html"
                assert got.headers["content-disposition"] == suggested
                part = await ask("GET", front, "Range: bytes=100-199")
                assert (part.status, part.body) == (206, data[100:200])
                same = await ask("GET", front, f"If-None-Match: {got.headers['etag']}")
                assert same.status == 304
                missing = str(await it.storage.link_to("none", "d", 600))
                there = await ask("GET", missing.replace(f":{it.port}/", f":{port}/"))
                assert there.status == 404
                # Nobody gets there without a link.
                inside = (
                    f"http://127.0.0.1:{port}/protected/a%20folder/100%25%20%C3%A9%20%231%3F.html"
                )
                assert (await ask("GET", inside)).status == 404
        except Missing as exc:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(exc))
        handed = await ask("GET", link)
        assert handed.body == b""
        assert handed.headers["x-accel-redirect"] == (
            "/protected/a%20folder/100%25%20%C3%A9%20%231%3F.html"
        )
        await it.storage.aclose()


async def test_a_server_that_sends_paths_is_handed_them_only_where_allowed(
    specs: Specs, tmp_path: Path
) -> None:
    data = os.urandom(1 << 20)
    for trusted in (True, False):
        spec = specs("local")
        with serving(
            "granian-starlette", tmp_path, spec, store="memory", trusted_tree=trusted
        ) as it:
            path = Path(spec["root"]) / "file.bin"
            await it.storage.write_bytes("file.bin", data)
            link = await it.storage.link_to("file.bin", "d", 600)
            got = await ask("GET", link)
            assert (got.status, got.body == data) == (200, True)
            assert {name: got.headers[name] for name in SAFE} == SAFE
            part = await ask("GET", link, "Range: bytes=100-199")
            assert (part.status, part.body) == (206, data[100:200])
            # What is no file of the storage is not handed over either.
            path.unlink()
            path.symlink_to(tmp_path / "outside")
            (tmp_path / "outside").write_bytes(b"secret")
            assert (await ask("GET", link)).status == 404
            await it.storage.aclose()


async def test_a_front_that_reads_x_sendfile_is_told_the_path(specs: Specs, tmp_path: Path) -> None:
    spec = specs("local")
    options = {"trusted_tree": True, "x_sendfile": True}
    with serving("gunicorn-flask", tmp_path, spec, store="memory", **options) as it:
        await it.storage.write_bytes(NAME, b"data")
        got = await ask("GET", await it.storage.link_to(NAME, "d", 600))
        assert (got.status, got.body) == (200, b"")
        escaped = "a%20folder/100%25%20%C3%A9%20%231%3F.html"
        assert got.headers["x-sendfile"] == f"{spec['root']}/{escaped}"
        assert "etag" not in got.headers
        assert {name: got.headers[name] for name in SAFE} == SAFE
        await it.storage.aclose()
