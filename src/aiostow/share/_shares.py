"""The shares of a storage: what the page asks to begin, list, finish and remove."""

from __future__ import annotations

import contextlib
import json
import mimetypes
import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..errors import FileNotFoundInStorageError, InvalidArgumentError, StorageError
from ..linkstore import LinkState, LinkStore
from ..storage import Storage
from ._asked import HOURS, LIMITS, asked_id, asked_share
from ._uploads import UPLOAD_SECONDS, is_direct, upload_links

# In names: what no header holds, and what makes another name of it for the eye.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff/\\]")


class Shares:
    """The shares of one storage: a record and a file for each, under the same id.

    The record is there first, and a file without one is removed after a while; so what the page
    does not show does not stay.

    Args:
        storage: that holds them.
        store: remembers which links were used.
    """

    def __init__(self, storage: Storage, store: LinkStore) -> None:
        self._files = storage.at("files")
        self._records = storage.at("records")
        self._store = store
        self._direct = is_direct(storage)

    async def origin(self) -> str | None:
        """Return scheme and host of the service, where browsers talk to it themselves."""
        if not self._direct:
            return None
        where = urlsplit(await self._files.link_to("probe", "download", 60))
        return f"{where.scheme}://{where.netloc}"

    async def tidy(self) -> None:
        """Remove what pages that were closed have left in a bucket."""
        if self._direct:
            with contextlib.suppress(StorageError):
                await self._files.sweep(timedelta(days=1))

    async def begin(self, request: Request) -> Response:
        """Record a share, and say how its file is uploaded."""
        told = await asked_share(request)
        id = secrets.token_urlsafe(12)
        began = time.time()
        ends = began + told["hours"] * 3600
        once = told["once"] and not self._direct
        name = _UNFIT.sub("_", told["name"])
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        link = await self._files.link_to(
            id, "download", datetime.fromtimestamp(ends, UTC), name, kind, once=once
        )
        record = {
            "id": id, "name": name, "type": kind, "size": told["size"], "began": began,
            "expires": ends, "once": once, "link": str(link), "token_id": link.token_id,
        }  # fmt: skip
        await self._records.write_bytes(id, json.dumps(record).encode())
        try:
            links = await upload_links(self._files, id, told["size"])
        except BaseException as exc:
            await self._records.delete(id)
            if isinstance(exc, InvalidArgumentError):
                raise HTTPException(413, "The storage holds no file of this size.") from None
            raise
        return JSONResponse({"id": id, **links}, 201)

    async def list(self, request: Request) -> Response:
        """Return what is shared, newest first, and what can be chosen."""
        there = {entry.name: entry.last_modified async for entry in self._files.list()}
        shares = []
        old = time.time() - UPLOAD_SECONDS
        async for record in self._records.list():
            if there.pop(record.name, None):
                with contextlib.suppress(FileNotFoundInStorageError):  # removed meanwhile
                    shares.append(await self._shown(record.name))
            elif record.last_modified.timestamp() < old:  # its file never came
                await self._records.delete(record.name)
        for id, modified in there.items():
            if modified.timestamp() < old:  # it came after its record was removed
                await self._files.delete(id)
        shares.sort(key=lambda share: -share["began"])
        return JSONResponse(
            {"shares": shares, "hours": HOURS, "limits": LIMITS, "once": not self._direct}
        )

    async def finish(self, request: Request) -> Response:
        """Return a share whose file has come."""
        id = asked_id(request)
        try:
            await self._files.stat(id)
            return JSONResponse(await self._shown(id))
        except FileNotFoundInStorageError:
            raise HTTPException(404, "The file has not come whole.") from None

    async def remove(self, request: Request) -> Response:
        """Remove a share, also one whose file never came."""
        id = asked_id(request)
        await self._files.delete(id)
        await self._records.delete(id)
        return Response(status_code=204)

    async def _shown(self, id: str) -> dict[str, Any]:
        """Return a record, and whether its link is still good."""
        record: dict[str, Any] = json.loads(await self._records.read_bytes(id))
        token_id = record.pop("token_id")
        record["state"] = "active"
        if record["expires"] <= time.time():
            record["state"] = "expired"
        elif record["once"] and await self._store.state(token_id) is LinkState.used:
            record["state"] = "used"
        return record
