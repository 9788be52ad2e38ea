"""Share files by links that end: drop a file, copy a link.

python examples/share [--storage SETTINGS] [--folder FOLDER] [--host HOST] [--port PORT]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import mimetypes
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

import aiostow
from aiostow import FileNotFoundInStorageError, Storage
from aiostow.integrations.asgi import LinkApp
from aiostow.linkstore import LinkState, SQLiteLinkStore

HERE = Path(__file__).parent
HOURS = (1, 24, 168)
LIMITS = (None, 10 << 20, 100 << 20, 1 << 30)
# In names: what no header holds, and what makes another name of it for the eye.
UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff/\\]")
LARGE = 16 << 20  # bytes, from where a bucket is sent parts
UPLOAD_SECONDS = 12 * 3600.0


class Share:
    """The shares of one storage: a record and a file for each, under the same id.

    The record is there first, and a file without one is removed after a while; so what the page
    does not show does not stay.
    """

    def __init__(self, storage: Storage, store: SQLiteLinkStore) -> None:
        self.storage = storage
        self.files = storage.at("files")
        self.records = storage.at("records")
        self.store = store
        self.kind = type(storage).__name__  # a class itself is there only where its extra is
        self.direct = storage.capabilities.links.name == "native"  # browsers talk to the bucket

    async def begin(self, request: Request) -> Response:
        """Record a share, and say how its file is uploaded."""
        told = await asked(request)
        id = secrets.token_urlsafe(12)
        began = time.time()
        ends = began + told["hours"] * 3600
        once = told["once"] and not self.direct
        name = UNFIT.sub("_", told["name"])
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        link = await self.files.link_to(
            id, "download", datetime.fromtimestamp(ends, UTC), name, kind, once=once
        )
        record = {
            "id": id, "name": name, "type": kind, "size": told["size"], "began": began,
            "expires": ends, "once": once, "link": str(link), "token_id": link.token_id,
        }  # fmt: skip
        await self.records.write_bytes(id, json.dumps(record).encode())
        try:
            return JSONResponse({"id": id, **await self.upload(id, told["size"])}, 201)
        except BaseException as exc:
            await self.records.delete(id)
            if isinstance(exc, aiostow.InvalidArgumentError):
                raise HTTPException(413, "The storage holds no file of this size.") from None
            raise

    async def upload(self, id: str, size: int) -> dict[str, Any]:
        """Return the links by which a browser uploads a file, of exactly this size if it can be."""
        if not self.direct:
            link = await self.files.link_to(
                id, "upload", UPLOAD_SECONDS, exact_size=size, overwrite=False, once=True
            )
            return {"url": link, "headers": dict(link.headers)}
        key = f"files/{id}"
        bucket: Any = self.storage
        if self.kind == "S3Storage" and size > LARGE:
            parts = await bucket.multipart_link_to(key, size, UPLOAD_SECONDS)
            return {
                "part_size": parts.part_size, "parts": list(parts.parts),
                "complete": parts.complete, "abort": parts.abort,
            }  # fmt: skip
        if self.kind == "S3Storage":
            link = await self.storage.link_to(key, "upload", UPLOAD_SECONDS, exact_size=size)
            # The length is signed; a browser sends it by itself, and lets no script do so.
            headers = {k: v for k, v in link.headers.items() if k.lower() != "content-length"}
            return {"url": link, "headers": headers}
        link = await self.storage.link_to(key, "upload", UPLOAD_SECONDS)
        return {"url": link, "headers": dict(link.headers), "blocks": 4 << 20}

    async def list(self, request: Request) -> Response:
        """Return what is shared, newest first, and what can be chosen."""
        there = {entry.name: entry.last_modified async for entry in self.files.list()}
        shares = []
        old = time.time() - UPLOAD_SECONDS
        async for record in self.records.list():
            if there.pop(record.name, None):
                with contextlib.suppress(FileNotFoundInStorageError):  # removed meanwhile
                    shares.append(await self.shown(record.name))
            elif record.last_modified.timestamp() < old:  # its file never came
                await self.records.delete(record.name)
        for id, modified in there.items():
            if modified.timestamp() < old:  # it came after its record was removed
                await self.files.delete(id)
        shares.sort(key=lambda share: -share["began"])
        return JSONResponse(
            {"shares": shares, "hours": HOURS, "limits": LIMITS, "once": not self.direct}
        )

    async def finish(self, request: Request) -> Response:
        """Return a share whose file has come."""
        id = asked_for(request)
        try:
            await self.files.stat(id)
            return JSONResponse(await self.shown(id))
        except FileNotFoundInStorageError:
            raise HTTPException(404, "The file has not come whole.") from None

    async def shown(self, id: str) -> dict[str, Any]:
        """Return a record, and whether its link is still good."""
        record: dict[str, Any] = json.loads(await self.records.read_bytes(id))
        token_id = record.pop("token_id")
        record["state"] = "active"
        if record["expires"] <= time.time():
            record["state"] = "expired"
        elif record["once"] and await self.store.state(token_id) is LinkState.used:
            record["state"] = "used"
        return record

    async def remove(self, request: Request) -> Response:
        """Remove a share, also one whose file never came."""
        id = asked_for(request)
        await self.files.delete(id)
        await self.records.delete(id)
        return Response(status_code=204)


def asked_for(request: Request) -> str:
    """Return the id that a request names."""
    id: str = request.path_params["id"]
    if not re.fullmatch(r"[\w-]{16}", id, re.ASCII):
        raise HTTPException(404, "There is no such share.")
    return id


async def asked(request: Request) -> dict[str, Any]:
    """Return what the page asks for, checked."""
    if request.headers.get("content-type") != "application/json":  # no other site's page sends it
        raise HTTPException(415, "Send JSON.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > 4096:
            raise HTTPException(413, "This is more than a share has to say.")
    try:
        told = json.loads(body)
        name, size, hours, once = (told[key] for key in ("name", "size", "hours", "once"))
        limit = told["limit"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HTTPException(400, "This is no share.") from None
    right = isinstance(name, str) and 0 < len(name) <= 255 and type(size) is int and size >= 0
    if not right or hours not in HOURS or limit not in LIMITS or type(once) is not bool:
        raise HTTPException(400, "This is no share.")
    if limit is not None and size > limit:
        raise HTTPException(413, "The file is larger than the limit.")
    return {"name": name, "size": size, "hours": hours, "once": once}


def application(storage: Storage, store: SQLiteLinkStore) -> Starlette:
    """Return the page, its few calls, and the endpoint that serves the links."""
    share = Share(storage, store)
    headers = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

    def static(name: str) -> Route:
        async def serve(request: Request) -> Response:
            return FileResponse(HERE / name, headers=headers)

        return Route("/" if name == "index.html" else f"/{name}", serve)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Where browsers talk to the bucket, the page may; it talks to nobody else.
        where = urlsplit(await share.files.link_to("probe", "download", 60))
        bucket = f" {where.scheme}://{where.netloc}" if share.direct else ""
        headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            f"connect-src 'self'{bucket}; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        if share.kind == "S3Storage":  # what pages that were closed have left
            with contextlib.suppress(aiostow.StorageError):
                await storage.sweep(timedelta(days=1))
        async with store, storage:
            yield

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": error.detail}, error.status_code)

    routes: list[BaseRoute] = [
        *(static(name) for name in ("index.html", "share.css", "share.js", "icon.svg")),
        Route("/shares", share.list),
        Route("/shares", share.begin, methods=["POST"]),
        Route("/shares/{id}", share.finish, methods=["POST"]),
        Route("/shares/{id}", share.remove, methods=["DELETE"]),
    ]
    if not share.direct:
        routes.append(Mount("/links", LinkApp(storage, store=store)))
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: refused})


def storage_of(settings: str | None, folder: Path) -> Storage:
    """Return the storage of ``--storage``, or a folder of the local disk.

    Args:
        settings: JSON, or the path of a file of it: ``{"class": "S3Storage", "bucket": ...}``, with
            the arguments of that class.
        folder: for what has to be kept.
    """
    told: dict[str, Any] = {"class": "LocalFSStorage", "root": str(folder / "storage")}
    if settings is not None:
        told = json.loads(settings if settings.startswith("{") else Path(settings).read_text())
    name = told.pop("class")
    if name in ("LocalFSStorage", "MemoryStorage", "SFTPStorage"):
        told = {"linked_endpoint": "/links/", "secret_key": kept_secret(folder), **told}
    storage: Storage = getattr(aiostow, name)(**told)
    return storage


def kept_secret(folder: Path) -> str:
    """Return the secret of the links, which outlives a restart."""
    path = folder / "secret"
    if not path.exists():
        path.touch(0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text()


def main() -> None:
    """Serve the page."""
    parser = argparse.ArgumentParser("share", description="Share files by links that end.")
    parser.add_argument("--storage", help="JSON, or a file of it, with class and arguments")
    parser.add_argument("--folder", type=Path, default=Path("share-data"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    storage = storage_of(options.storage, options.folder)
    app = application(storage, SQLiteLinkStore(options.folder / "links.db"))
    # Without the access log, which would hold the links.
    uvicorn.run(app, host=options.host, port=options.port, access_log=False)


if __name__ == "__main__":
    main()
