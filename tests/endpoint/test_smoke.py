from __future__ import annotations
from collections.abc import Callable
import httpx, pytest
from ._serving import SERVERS, Served
pytestmark = pytest.mark.anyio

@pytest.mark.parametrize("kind", ["memory","local","sftp","s3"])
@pytest.mark.parametrize("server", SERVERS)
async def test_smoke(endpoint: Callable[[str,str],Served], server: str, kind: str, key: str) -> None:
    if kind != "memory" and server not in ("uvicorn-starlette","gunicorn-flask","gunicorn-django","uvicorn-django"): pytest.skip()
    if server.endswith("-4"): pytest.skip()
    it = endpoint(server, kind)
    link = str(await it.storage.link_to(key, "dur", 600))
    with httpx.Client() as c:
        r = c.put(link, content=b"hello"*1000); assert r.status_code == 204, r.text
        r = c.get(link); assert r.content == b"hello"*1000
        def chunks():
            for _ in range(30): yield b"x"*100000
        r = c.put(link, content=chunks()); assert r.status_code == 204, r.text
        r = c.get(link); assert len(r.content) == 3000000, (r.status_code, len(r.content))
        r = c.delete(link); assert r.status_code == 204
        r = c.get(link); assert r.status_code == 404
    await it.storage.aclose()
