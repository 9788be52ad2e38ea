"""Every operation, async and sync, on whatever storage a subclass gives."""

from __future__ import annotations

import io
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest

from aiostow import (
    FileNotFoundInStorageError,
    InvalidArgumentError,
    InvalidKeyError,
    Link,
    Storage,
    as_operation,
)
from aiostow.operations import StorageOperations, SyncStorageOperations
from aiostow.sync import SyncStorage

from ._twins import Asked, FormFile

MIB = 1 << 20


class OperationsSuite:
    """The operations on a storage; a subclass gives it by its fixture `storage`.

    Links are tokens, unless the subclass overrides `downloaded` and `upload`.
    """

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def storage(self) -> Storage:
        """A new storage that nobody else uses, and that makes links."""
        raise NotImplementedError

    @pytest.fixture(params=["async", "sync"])
    async def look(self, request: pytest.FixtureRequest, storage: Storage) -> AsyncIterator[Asked]:
        """The storage itself, by the same way that the operations go."""
        if request.param == "async":
            yield Asked(storage)
            return
        facade = SyncStorage(storage)
        yield Asked(facade)
        await Asked(facade).close()

    @pytest.fixture
    def uploads(self, look: Asked) -> Asked:
        """Operations in the folder ``uploads`` of the storage."""
        kind: Any = SyncStorageOperations
        if isinstance(look.answers, Storage):
            kind = StorageOperations

        class Uploads(kind):  # type: ignore[misc]  # either
            storage_location = "uploads"

            @classmethod
            def storage_get_profile(cls, storage_profile: str | None = None) -> Any:
                return look.answers

        return Asked(Uploads)

    async def downloaded(self, link: Link, look: Asked) -> bytes:
        """Return what whoever has this link downloads by it."""
        grant = await look.deserialize_link_token(link.partition("token=")[2])
        assert grant.operations == as_operation("download")
        return await look.read_bytes(grant.path)  # type: ignore[no-any-return]  # either kind's

    async def upload(self, link: Link, data: bytes, look: Asked) -> None:
        """Upload by this link as whoever has it does."""
        grant = await look.deserialize_link_token(link.partition("token=")[2])
        assert grant.operations == as_operation("upload")
        await look.write_bytes(grant.path, data)

    @pytest.mark.parametrize("size", [0, 1, 6 * MIB])
    async def test_a_file_goes_in_and_comes_out(
        self, uploads: Asked, look: Asked, size: int
    ) -> None:
        data = bytes(range(256)) * (size // 256) if size > 1 else b"x" * size
        name = await uploads.storage_upload_file(io.BytesIO(data), "report.final.pdf")
        assert is_generated(name, ".pdf")
        assert await look.read_bytes(f"uploads/{name}") == data
        stream = await uploads.storage_download_file(name)
        assert isinstance(stream, io.BytesIO)
        assert stream.tell() == 0
        assert stream.read() == data

    async def test_what_gives_its_bytes_in_pieces_is_stored(self, uploads: Asked) -> None:
        def pieces() -> Iterator[bytes]:
            yield from (b"one", b"", b"two")

        name = await uploads.storage_upload_file(pieces(), "a", size_hint=6)
        assert (await uploads.storage_download_file(name)).read() == b"onetwo"

    async def test_a_name_is_preserved_if_asked(self, uploads: Asked, look: Asked) -> None:
        for name, stored in (("a b.txt", "a b.txt"), ("2026/b", "2026/b"), ("//c.txt", "c.txt")):
            given = io.BytesIO(name.encode())
            assert await uploads.storage_upload_file(given, name, True) == stored
            assert await look.read_bytes(f"uploads/{stored}") == name.encode()
            assert (await uploads.storage_download_file(stored)).read() == name.encode()
        await uploads.storage_upload_file(io.BytesIO(b"new"), "a b.txt", preserve_filename=True)
        assert (await uploads.storage_download_file("a b.txt")).read() == b"new"

    async def test_a_file_of_a_form_is_stored(self, uploads: Asked, look: Asked) -> None:
        name = await uploads.storage_upload_form_file(FormFile(b"data", "C:\\x\\report.csv"))
        assert is_generated(name, ".csv")
        assert await look.read_bytes(f"uploads/{name}") == b"data"
        kept = await uploads.storage_upload_form_file(
            FormFile(b"more", "../../etc/report.csv"), preserve_filename=True
        )
        assert kept == "report.csv"
        assert await look.read_bytes("uploads/report.csv") == b"more"

    async def test_options_reach_the_storage(self, uploads: Asked, look: Asked) -> None:
        if not look.answers.capabilities.metadata:
            pytest.skip("it keeps no types")
        options = {"content_type": "text/x-own"}
        names = [
            await uploads.storage_upload_file(io.BytesIO(b"1"), "a.txt", **options),
            await uploads.storage_upload_form_file(FormFile(b"1", "a.txt"), **options),
        ]
        for name in names:
            assert (await look.stat(f"uploads/{name}")).content_type == "text/x-own"

    async def test_a_file_is_deleted_and_may_be_gone(self, uploads: Asked, look: Asked) -> None:
        name = await uploads.storage_upload_file(io.BytesIO(b"1"), "a")
        assert await look.exists(f"uploads/{name}")
        await uploads.storage_delete_file(name)
        assert not await look.exists(f"uploads/{name}")
        await uploads.storage_delete_file(name)

    async def test_a_duplicate_is_another_file(self, uploads: Asked, look: Asked) -> None:
        name = await uploads.storage_upload_file(io.BytesIO(b"1"), "a.txt", True)
        new = await uploads.storage_duplicate_file(name)
        assert is_generated(new, ".txt")
        assert await look.read_bytes(f"uploads/{name}") == b"1"
        await uploads.storage_delete_file(name)
        assert await look.read_bytes(f"uploads/{new}") == b"1"

    async def test_a_missing_file_is_told(self, uploads: Asked) -> None:
        for ask in (uploads.storage_download_file, uploads.storage_duplicate_file):
            with pytest.raises(FileNotFoundInStorageError) as caught:
                await ask("nothing.txt")
            assert caught.value.key == "uploads/nothing.txt"

    async def test_a_call_names_another_location(self, uploads: Asked, look: Asked) -> None:
        for location, prefix in (("/other//", "other/"), ("", ""), ("a/b", "a/b/")):
            name = await uploads.storage_upload_file(io.BytesIO(b"1"), "k", True, location)
            form = await uploads.storage_upload_form_file(FormFile(b"2", "f"), location)
            assert await look.read_bytes(prefix + name) == b"1"
            assert await look.read_bytes(prefix + form) == b"2"
            assert (await uploads.storage_download_file(name, location)).read() == b"1"
            copy = await uploads.storage_duplicate_file(name, location)
            assert await look.read_bytes(prefix + copy) == b"1"
            await uploads.storage_delete_file(name, location)
            assert not await look.exists(prefix + name)
        assert not await look.exists("uploads/k")

    @pytest.mark.parametrize("name", ["../secret", "a/../../secret", "..", "a\nb", "a//b", "a/"])
    async def test_no_name_leads_elsewhere(self, uploads: Asked, look: Asked, name: str) -> None:
        await look.write_bytes("secret", b"hush")
        for call in (
            uploads.storage_upload_file(io.BytesIO(b"evil"), name, True),
            uploads.storage_download_file(name),
            uploads.storage_delete_file(name),
            uploads.storage_duplicate_file(name),
            uploads.storage_get_download_link(name, 5),
        ):
            with pytest.raises(InvalidKeyError):
                await call
        assert await look.read_bytes("secret") == b"hush"

    async def test_a_link_downloads(self, uploads: Asked, look: Asked) -> None:
        await uploads.storage_upload_file(io.BytesIO(b"data"), "a.txt", True)
        await look.write_bytes("other/a.txt", b"other")
        link = await uploads.storage_get_download_link("/a.txt", 5, output_path="Report.txt")
        assert isinstance(link, Link)
        assert await self.downloaded(link, look) == b"data"
        other = await uploads.storage_get_download_link("a.txt", 0.5, "other")
        assert await self.downloaded(other, look) == b"other"

    async def test_a_link_uploads_under_a_new_name(self, uploads: Asked, look: Asked) -> None:
        link, name = await uploads.storage_get_upload_link("photo.JPG", 5)
        assert isinstance(link, Link)
        assert is_generated(name, ".JPG")
        assert not await look.exists(f"uploads/{name}")
        await self.upload(link, b"data", look)
        assert await look.read_bytes(f"uploads/{name}") == b"data"
        there, name = await uploads.storage_get_upload_link("photo", 5, "other")
        await self.upload(there, b"more", look)
        assert await look.read_bytes(f"other/{name}") == b"more"

    async def test_a_link_ends_after_its_minutes(self, uploads: Asked, look: Asked) -> None:
        now = look.answers.storage if isinstance(look.answers, SyncStorage) else look.answers
        begun = now._shared.clock()
        link = await uploads.storage_get_download_link("a", 90)
        assert abs(link.expires.timestamp() - begun - 5400) < 10
        link, _ = await uploads.storage_get_upload_link("a", 0.5)
        assert abs(link.expires.timestamp() - begun - 30) < 10

    @pytest.mark.parametrize("minutes", [0, -1, float("nan"), True, "5", None])
    async def test_the_minutes_are_a_positive_number(self, uploads: Asked, minutes: Any) -> None:
        for ask in (uploads.storage_get_download_link, uploads.storage_get_upload_link):
            with pytest.raises(InvalidArgumentError, match="expire_minutes must be a positive"):
                await ask("a.txt", minutes)
            with pytest.raises(InvalidArgumentError):
                await ask("a.txt", float("inf"))


def is_generated(name: str, extension: str) -> bool:
    """Tell whether a name is a random UUID with this extension."""
    stem = PurePosixPath(name).stem
    return type(name) is str and name == f"{uuid.UUID(stem, version=4)}{extension}"
