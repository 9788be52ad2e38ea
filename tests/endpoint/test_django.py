"""What is Django's own: URLs, CSRF protection, hooks in the request's thread, async views."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Django is configured once in a process, so each of these has one of its own.
_PROGRAM = """
import asyncio, logging, sys, threading
logging.disable()  # Django tells of each 404
from django.conf import settings
from django.urls import path
from aiostow import LocalFSStorage
from aiostow.integrations.django import async_link_view, link_view, url_for
from aiostow.sync import SyncStorage

seen = []

def hook(use):
    from django.http import HttpRequest
    seen.append((isinstance(use.request, HttpRequest), threading.current_thread().name))


SECRET = "a secret of at least thirty-two bytes"
where = url_for("links", base_url="https://files.example")
facade = SyncStorage(LocalFSStorage(sys.argv[1], where, SECRET, durable=False))
alone = LocalFSStorage(sys.argv[1] + "-async", url_for("later", tenant="t"), SECRET, durable=False)
urlpatterns = [
    path("s/", link_view(facade, on_upload=hook), name="links"),
    path("a/<tenant>/", lambda r, tenant: view(r), name="later"),
    path("b/", async_link_view(alone)),
]
view = async_link_view(alone)
settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="-", DEBUG=True, LOGGING_CONFIG=None,
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
)
import django
django.setup()
from django.test import AsyncClient, Client
"""

_SYNC = """
link = facade.link_to("k", "dur", 600)
assert link.startswith("https://files.example/s/?token="), link
client = Client(enforce_csrf_checks=True)
target = link.removeprefix("https://files.example")
put = client.post(target, b"data", content_type="text/plain")
assert put.status_code == 204, put
assert "Content-Type" not in put.headers
got = client.get(target)
assert b"".join(got.streaming_content) == b"data"
got.close()
assert client.delete(target).status_code == 204
assert seen == [(True, threading.current_thread().name)], seen
missing = client.get(target)
assert missing.status_code == 404 and b"Traceback" not in missing.content
from django.core.exceptions import ImproperlyConfigured
try:
    client.get("/b/?token=x")  # without the event loop that the storage would need
    raise AssertionError("it was served")
except ImproperlyConfigured as exc:
    assert "link_view(SyncStorage" in str(exc)
facade.close()
"""

_ASYNC = """
async def main():
    link = await alone.link_to("k", "dur", 600)
    assert link.startswith("/a/t/?token="), link
    token = "?" + link.partition("?")[2]
    client = AsyncClient(enforce_csrf_checks=True)
    put = await client.post("/b/" + token, b"data" * 1000000, content_type="text/plain")
    assert put.status_code == 204, put
    got = await client.get("/b/" + token)
    assert b"".join([part async for part in got]) == b"data" * 1000000
    got.close()
    # One that is never iterated is closed all the same.
    unread = await client.get("/b/" + token)
    unread.close()
    await asyncio.sleep(0.1)
    assert all(file.closed for file in alone._shared.files)
    assert (await client.delete("/b/" + token)).status_code == 204
    await alone.aclose()
asyncio.run(main())
"""


@pytest.mark.parametrize("program", [_SYNC, _ASYNC], ids=["sync", "async"])
def test_django_serves_links(tmp_path: Path, program: str) -> None:
    script = tmp_path / "program.py"
    script.write_text(_PROGRAM + program)
    command = [sys.executable, "-W", "error::ResourceWarning", str(script), str(tmp_path / "root")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
