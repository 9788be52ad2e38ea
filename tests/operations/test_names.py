"""Names, locations and profiles: what the operations make of them before any storage is asked."""

from __future__ import annotations

import enum
import io
import uuid
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiostow import InvalidArgumentError, InvalidTypeError, MemoryStorage
from aiostow.operations import StorageOperations, SyncStorageOperations
from aiostow.profiles import Profiles, SyncProfiles

pytestmark = pytest.mark.anyio
BOTH = [StorageOperations, SyncStorageOperations]


class Location(enum.Enum):
    invoices = "invoices"
    deep = "/a/b/"
    none = ""


class Text(enum.StrEnum):
    invoices = "in-voices"


class Wrong(enum.Enum):
    number = 5
    nothing = None


# -- generated names ------------------------------------------------------------------------------


@pytest.mark.parametrize("operations", BOTH)
@pytest.mark.parametrize(
    ("filename", "extension"),
    [
        ("foo.txt", ".txt"),
        ("foo.TXT", ".TXT"),
        ("foo.tar.gz", ".gz"),
        ("a/b.c/foo.7z", ".7z"),
        ("foo.a_b-c", ".a_b-c"),
        ("foo." + "x" * 32, "." + "x" * 32),
        ("foo." + "x" * 33, ""),
        ("foo", ""),
        ("", ""),
        ("foo.", ""),
        (".bashrc", ""),
        ("...bashrc", ""),
        ("..a.txt", ".txt"),
        ("a/.hidden", ""),
        ("a.b/foo", ""),
        ("C:\\a.b\\foo", ""),
        ("foo.t xt", ""),
        ("foo.txt\n", ""),
        ("foo.txt ", ""),
        ("foo.t\0t", ""),
        ("foo.täxt", ""),
        ("foo.\u0661", ""),
        ("foo.php%00", ""),
    ],
)
def test_a_generated_name_has_the_extension_if_it_is_a_plain_one(
    operations: Any, filename: str, extension: str
) -> None:
    name = operations.storage_generate_filename(filename)
    assert type(name) is str
    assert name == f"{uuid.UUID(name[:36], version=4)}{extension}"
    assert operations.storage_generate_filename(filename) != name


@given(st.text())
@example("foo")
def test_a_generated_name_is_a_key_that_every_storage_takes(filename: str) -> None:
    name = StorageOperations.storage_generate_filename(filename)
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & set("/\\ %?#&\"'<>")
    assert 36 <= len(name) <= 36 + 33


@pytest.mark.parametrize("filename", [None, b"foo.txt", 5])
def test_a_filename_is_a_str(filename: Any) -> None:
    with pytest.raises(InvalidTypeError, match="a filename is a str"):
        StorageOperations.storage_generate_filename(filename)
    with pytest.raises(InvalidTypeError, match="a filename is a str"):
        StorageOperations.storage_prefix_path("a", filename)


# -- locations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("operations", BOTH)
@pytest.mark.parametrize(
    ("location", "filename", "key"),
    [
        (None, "f", "f"),
        ("", "f", "f"),
        ("/", "f", "f"),
        ("a", "f", "a/f"),
        ("a/", "f", "a/f"),
        ("//a/b//", "//f", "a/b/f"),
        ("a", "b/f", "a/b/f"),
        (None, "/f", "f"),
        ("", "//f", "f"),
        (Location.invoices, "f", "invoices/f"),
        (Location.deep, "/f", "a/b/f"),
        (Location.none, "f", "f"),
        (Text.invoices, "f", "in-voices/f"),
    ],
)
def test_a_location_and_a_name_are_joined_by_one_slash(
    operations: Any, location: Any, filename: str, key: str
) -> None:
    path = operations.storage_prefix_path(location, filename)
    assert type(path) is str
    assert path == key


@pytest.mark.parametrize("location", [5, b"a", Wrong.number, Wrong.nothing, Location])
def test_a_location_is_a_str_or_an_enum_of_them(location: Any) -> None:
    with pytest.raises(InvalidTypeError, match="storage_location must be"):
        StorageOperations.storage_prefix_path(location, "f")


@pytest.mark.parametrize("filename", ["", "/", "//"])
async def test_an_empty_name_is_refused(filename: str) -> None:
    async with Profiles([(MemoryStorage, {})]) as profiles:
        uploads = bound(profiles)
        with pytest.raises(InvalidArgumentError, match="cannot be empty"):
            await uploads.storage_upload_file(io.BytesIO(), filename, True)
        with pytest.raises(InvalidArgumentError, match="cannot be empty"):
            await uploads.storage_download_file(filename)


def bound(profiles: Profiles) -> type[StorageOperations]:
    class Uploads(StorageOperations):
        storage_profiles = profiles

    return Uploads


async def test_the_location_of_a_class_may_be_an_enum_and_a_call_wins() -> None:
    async with Profiles([(MemoryStorage, {})]) as profiles:

        class Invoices(StorageOperations):
            storage_profiles = profiles
            storage_location = Location.invoices

        async def stored(**options: Any) -> None:
            await Invoices.storage_upload_file(io.BytesIO(b"1"), "f", True, **options)

        await stored()
        await stored(storage_location=Text.invoices)
        await stored(storage_location="")
        await stored(storage_location=Location.deep)
        names = [entry.name for entry in await profiles.get().list()]
        assert names == ["a/b/f", "f", "in-voices/f", "invoices/f"]


# -- what may be overridden -----------------------------------------------------------------------


async def test_a_subclass_may_name_and_place_files_in_its_own_way() -> None:
    class Own(StorageOperations):
        storage_profiles = Profiles([(MemoryStorage, {})])

        @staticmethod
        def storage_generate_filename(filename: str) -> str:
            return f"own-{filename}"

        @staticmethod
        def storage_prefix_path(location: Any, filename: str) -> str:
            return f"placed/{filename}"

    name = await Own.storage_upload_file(io.BytesIO(b"1"), "f")
    assert (name, await Own.storage_duplicate_file(name)) == ("own-f", "own-own-f")
    storage = Own.storage_get_profile()
    assert [entry.name for entry in await storage.list()] == ["placed/own-f", "placed/own-own-f"]
    await storage.aclose()


def test_it_can_be_mixed_into_a_model_and_used_from_an_instance() -> None:
    with SyncProfiles([(MemoryStorage, {})]) as profiles:

        class Model:
            def __init__(self, file: str) -> None:
                self.file = file

        class Invoice(SyncStorageOperations, Model):
            storage_profiles = profiles
            storage_location = "invoices"

        invoice = Invoice(Invoice.storage_upload_file(io.BytesIO(b"1"), "f.pdf"))
        assert invoice.storage_download_file(invoice.file).read() == b"1"
        assert profiles.get().exists(f"invoices/{invoice.file}")
