"""The storages behind the page, as a test sees them: by a storage of its own on the same place."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiostow.sync import SyncStorage

Record = dict[str, Any]


@dataclass
class Stored:
    """What is stored.

    Attributes:
        settings: of the example's ``--storage``.
        storage: on the same place.
        root: of a local disk.
        s3: a client of the SDK's, for a bucket.
    """

    settings: Record
    storage: SyncStorage
    root: Path | None = None
    s3: Any = None

    def files(self) -> dict[str, int]:
        """Return the sizes of files, by id."""
        return {each.name: each.size for each in self.storage.at("files").list()}

    def records(self) -> dict[str, Record]:
        """Return the records, by id."""
        records = self.storage.at("records")
        found: dict[str, Record] = {}
        for each in records.list():
            with contextlib.suppress(FileNotFoundError):  # the page removes some meanwhile
                found[each.name] = json.loads(records.read_bytes(each.name))
        return found

    def named(self, name: str) -> bytes:
        """Return the one file that was shared under a name."""
        there = self.files()
        (id,) = [id for id, each in self.records().items() if each["name"] == name and id in there]
        return self.storage.at("files").read_bytes(id)

    def unseen(self) -> list[str]:
        """Return what is stored but invisible: uploads in parts, temporary files."""
        if self.root is None:
            found = self.s3.list_multipart_uploads(Bucket=self.settings["bucket"])
            return [each["Key"] for each in found.get("Uploads", ())]
        there = {Path(path, name) for path, _, names in os.walk(self.root) for name in names}
        shown = {self.root / each.name for each in self.storage.list()}
        return [str(each) for each in there - shown]

    def halves(self) -> list[str]:
        """Return what is there without its other half: files, records, parts."""
        files, records = self.files(), self.records()
        wrong = [f"{id} is a file alone" for id in files.keys() - records]
        wrong += [f"{id} is a record alone" for id in records.keys() - files]
        for id in files.keys() & records:
            if files[id] != records[id]["size"]:
                wrong.append(f"{id} has {files[id]} bytes of {records[id]['size']}")
        return wrong + [f"{each} is unseen" for each in self.unseen()]

    def is_empty(self) -> bool:
        """Return whether nothing at all is stored."""
        return not (self.files() or self.records() or self.unseen())

    def clear(self) -> None:
        """Remove everything."""
        for folder in ("files", "records"):
            storage = self.storage.at(folder)
            for each in list(storage.list()):
                storage.delete(each.name)

    def plant(self, name: str, content: bytes, *, expires: float, once: bool = False) -> str:
        """Store a share as the example would have, and return its id."""
        id = secrets.token_urlsafe(12)
        now = time.time()
        record = {
            "id": id, "name": name, "type": "text/plain", "size": len(content), "began": now,
            "expires": now + expires, "once": once, "link": "/links/?token=of-a-test",
            "token_id": secrets.token_hex(16),
        }  # fmt: skip
        self.storage.at("records").write_bytes(id, json.dumps(record).encode())
        self.storage.at("files").write_bytes(id, content)
        return id
