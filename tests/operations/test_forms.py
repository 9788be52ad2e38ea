"""Files of forms, as each framework hands them over."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import starlette.datastructures
import werkzeug.datastructures
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from aiostow import InvalidArgumentError, InvalidTypeError, MemoryStorage
from aiostow.operations import StorageOperations, SyncStorageOperations
from aiostow.profiles import Profiles, SyncProfiles

from ._twins import Asked, FormFile
from .suite import is_generated

pytestmark = pytest.mark.anyio
MIB = 1 << 20


@pytest.fixture(params=["async", "sync"])
async def uploads(request: pytest.FixtureRequest) -> AsyncIterator[Asked]:
    kind: Any = StorageOperations if request.param == "async" else SyncStorageOperations
    pairs: Any = [(MemoryStorage, {"name": "one"}), (MemoryStorage, {"name": "two"})]

    class Uploads(kind):  # type: ignore[misc]  # either
        storage_profiles = Profiles(pairs) if request.param == "async" else SyncProfiles(pairs)

    yield Asked(Uploads)
    if request.param == "sync":
        await Asked(Uploads.storage_profiles).close()


# -- what every framework's files have in common --------------------------------------------------


class Named(io.BytesIO):
    """A file with a name, as Django has them."""

    def __init__(self, data: bytes, name: Any) -> None:
        super().__init__(data)
        self.name = name


async def test_its_arguments_do_what_they_say(uploads: Asked) -> None:
    """The ancestor ignored them."""
    name = await uploads.storage_upload_form_file(
        FormFile(b"1", "a.txt"),
        storage_location="folder",
        storage_profile="two",
        preserve_filename=True,
        content_type="text/plain",
    )
    storage = Asked(uploads.answers.storage_get_profile("two"))
    assert name == "a.txt"
    assert (await storage.stat("folder/a.txt")).content_type == "text/plain"
    assert not await Asked(uploads.answers.storage_get_profile("one")).exists("folder/a.txt")


@pytest.mark.parametrize(
    "field",
    [
        None,
        "",
        FormFile(b"", ""),
        FormFile(b"data", None),
        Named(b"data", None),
        Named(b"data", ""),
        Named(b"data", 5),
        io.BytesIO(b"data"),
        starlette.datastructures.UploadFile(io.BytesIO(), filename=""),
        werkzeug.datastructures.FileStorage(io.BytesIO(), filename="", name="field"),
        werkzeug.datastructures.FileStorage(io.BytesIO(b"data"), name="field"),
    ],
    ids=lambda field: type(field).__name__,
)
async def test_a_field_without_a_file_is_told(uploads: Asked, field: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="no file was chosen"):
        await uploads.storage_upload_form_file(field)


async def test_the_name_of_a_field_is_no_file(uploads: Asked) -> None:
    with pytest.raises(InvalidTypeError, match=r"names of fields.*flask"):
        await uploads.storage_upload_form_file("upload")


@pytest.mark.parametrize("field", [b"data", [FormFile(b"1", "a")], 5, {"filename": "a"}])
async def test_what_is_no_file_is_told(uploads: Asked, field: Any) -> None:
    with pytest.raises(InvalidTypeError, match="one file of a form"):
        await uploads.storage_upload_form_file(field)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("a.txt", "a.txt"),
        ("a/b.txt", "b.txt"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\x/y\\z.txt", "z.txt"),
        ("näme 1.txt", "näme 1.txt"),
    ],
)
async def test_a_client_chooses_no_folder(uploads: Asked, sent: str, stored: str) -> None:
    for file in (FormFile(b"1", sent), Named(b"1", sent)):
        assert await uploads.storage_upload_form_file(file, "in", None, True) == stored
    storage = Asked(uploads.answers.storage_get_profile())
    assert await storage.read_bytes(f"in/{stored}") == b"1"


@pytest.mark.parametrize("sent", ["..", "a/..", "a/", "a\\", "a\0b", ".aiostow-tmp-1"])
async def test_a_name_that_cannot_be_is_refused(uploads: Asked, sent: str) -> None:
    with pytest.raises(InvalidArgumentError):
        await uploads.storage_upload_form_file(FormFile(b"1", sent), "in", None, True)


async def test_the_clients_content_type_is_not_taken_over(uploads: Asked) -> None:
    file = FormFile(b"<script>", "a.txt")
    file.content_type = "text/html"  # type: ignore[attr-defined]  # as a form's file has it
    name = await uploads.storage_upload_form_file(file)
    storage = Asked(uploads.answers.storage_get_profile())
    assert (await storage.stat(name)).content_type != "text/html"


@pytest.mark.parametrize(("told", "hint"), [(7, 7), (0, 0), (None, None), ("7", None)])
async def test_the_size_that_a_file_tells_is_a_hint(
    uploads: Asked, monkeypatch: pytest.MonkeyPatch, told: Any, hint: int | None
) -> None:
    seen: list[Any] = []

    def upload(file: Any, *args: Any, size_hint: int | None = None, **options: Any) -> str:
        seen.append(size_hint)
        return "stored"

    async def later(file: Any, *args: Any, **options: Any) -> str:
        return upload(file, *args, **options)

    is_async = issubclass(uploads.answers, StorageOperations)
    # What a subclass makes of uploads is made of those from forms, too.
    monkeypatch.setattr(uploads.answers, "storage_upload_file", later if is_async else upload)
    file = FormFile(b"1", "a")
    file.size = told  # type: ignore[attr-defined]  # as a form's file has it
    assert await uploads.storage_upload_form_file(file) == "stored"
    assert seen == [hint]


# -- Starlette ------------------------------------------------------------------------------------


@pytest.fixture
async def client(uploads: Asked) -> AsyncIterator[httpx.AsyncClient]:
    async def upload(request: Request) -> JSONResponse:
        async with request.form() as form:
            try:
                stored = await uploads.storage_upload_form_file(form.get("upload"), "in")
            except InvalidArgumentError as exc:
                return JSONResponse({"error": exc.message}, 400)
        return JSONResponse({"stored": stored})

    app = Starlette(routes=[Route("/", upload, methods=["POST"])])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize("size", [0, 5, 3 * MIB], ids=["empty", "in memory", "on disk"])
async def test_a_file_that_starlette_received(
    client: httpx.AsyncClient, uploads: Asked, size: int
) -> None:
    data = b"\x01" * size
    answer = await client.post("/", files={"upload": ("photo.jpg", data)})
    assert answer.status_code == 200
    name = answer.json()["stored"]
    assert is_generated(name, ".jpg")
    assert (await uploads.storage_download_file(name, "in")).read() == data


BROWSERS = """--b\r
Content-Disposition: form-data; name="upload"; filename=""\r
Content-Type: application/octet-stream\r
\r
\r
--b--\r
"""


@pytest.mark.parametrize(
    "form",
    [
        {"data": {"other": "1"}},
        {"files": {"upload": ("", b"")}},
        {"content": BROWSERS, "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
    ],
    ids=["none", "as text", "as browsers do"],
)
async def test_a_form_that_starlette_received_without_a_file(
    client: httpx.AsyncClient, form: dict[str, Any]
) -> None:
    answer = await client.post("/", **form)
    assert answer.status_code == 400
    assert "no file was chosen" in answer.json()["error"]


# -- Werkzeug -------------------------------------------------------------------------------------


def parts(data: bytes) -> Iterator[Any]:
    yield werkzeug.datastructures.FileStorage(io.BytesIO(data), "a/photo.jpg", "field")
    yield starlette.datastructures.UploadFile(io.BytesIO(data), filename="a/photo.jpg")


async def test_a_file_is_read_from_where_it_stands_and_stays_open(uploads: Asked) -> None:
    for file in parts(b"header-data"):
        underlying = getattr(file, "file", None) or file.stream
        underlying.seek(7)
        name = await uploads.storage_upload_form_file(file, preserve_filename=True)
        assert name == "photo.jpg"
        assert (await uploads.storage_download_file(name)).read() == b"data"
        assert not underlying.closed
