"""Share files by links that end: drop a file, copy a link.

python examples/share [--storage SETTINGS] [--folder FOLDER] [--host HOST] [--port PORT]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import uvicorn

import aiostow
from aiostow import Storage
from aiostow.linkstore import SQLiteLinkStore
from aiostow.share import kept_secret, share_app


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
        # The secret outlives a restart, and so do the links.
        secret = kept_secret(folder / "secret")
        told = {"linked_endpoint": "/links/", "secret_key": secret, **told}
    storage: Storage = getattr(aiostow, name)(**told)
    return storage


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
    app = share_app(storage, SQLiteLinkStore(options.folder / "links.db"))
    # Without the access log, which would hold the links.
    uvicorn.run(app, host=options.host, port=options.port, access_log=False)


if __name__ == "__main__":
    main()
