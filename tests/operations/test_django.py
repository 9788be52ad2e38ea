"""Django: profiles by settings, for sync and async views, and files of its forms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Django is configured once in a process, so each of these has one of its own.
_PROGRAM = """
import asyncio, io, sys, threading
from pathlib import Path
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
from aiostow import *
from aiostow.integrations.django import *
from aiostow.integrations.django import AsyncStorageOperations, StorageOperations
from aiostow.integrations.django import async_storage_profiles, storage_profiles
from aiostow.profiles import Profiles, SyncProfiles

folder = Path(sys.argv[1])
pairs = [
    (LocalFSStorage, {"root": folder / "data", "name": "disk", "durable": False}),
    (MemoryStorage, {}),
]

class Uploads(StorageOperations):
    storage_location = "uploads"

class AsyncUploads(AsyncStorageOperations):
    storage_location = "uploads"

def view(request):
    return HttpResponse(Uploads.storage_upload_form_file(request.FILES.get("photo")))

async def async_view(request):
    return HttpResponse(await AsyncUploads.storage_upload_form_file(request.FILES["photo"]))

urlpatterns = [path("s/", view), path("a/", async_view)]
settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="-", LOGGING_CONFIG=None,
    AIOSTOW_PROFILES=pairs,
)
import django
django.setup()
from django.core.exceptions import ImproperlyConfigured
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, Client, RequestFactory, override_settings

def refused(call, *words):
    try:
        call()
    except ImproperlyConfigured as exc:
        for word in words:
            assert word in str(exc), exc
    else:
        raise AssertionError("it was taken")
"""

_FORMS = """
def photo(size, name="a b.JPG"):
    return SimpleUploadedFile(name, b"x" * size, "image/jpeg")

for size in (0, 5, 3 << 20):
    stored = Client().post("/s/", {"photo": photo(size)}).text
    assert stored.endswith(".JPG") and len(stored) == 40, stored
    assert (folder / "data/uploads" / stored).read_bytes() == b"x" * size

    async def main():
        stored = (await AsyncClient().post("/a/", {"photo": photo(size)})).text
        assert (await AsyncUploads.storage_download_file(stored)).read() == b"x" * size
        assert (folder / "data/uploads" / stored).read_bytes() == b"x" * size
    asyncio.run(main())

request = RequestFactory().post("/s/", {"photo": photo(5), "text": "photo"})
kept = Uploads.storage_upload_form_file(request.FILES["photo"], "in", "memory", True)
assert kept == "a b.JPG"
assert storage_profiles().get("memory").read_bytes("in/a b.JPG") == b"xxxxx"
for wrong, error, words in (
    (request.FILES.get("nothing"), InvalidArgumentError, "no file was chosen"),
    ("photo", InvalidTypeError, "request.FILES['upload']"),
):
    try:
        Uploads.storage_upload_form_file(wrong)
        raise AssertionError("it was taken")
    except error as exc:
        assert words in str(exc)
storage_profiles().close()
asyncio.run(async_storage_profiles().aclose())
"""

_SETTINGS = """
first, alone = storage_profiles(), async_storage_profiles()
assert isinstance(first, SyncProfiles) and isinstance(alone, Profiles)
assert list(first) == list(alone) == ["disk", "memory"]
found = []
threads = [threading.Thread(target=lambda: found.append(storage_profiles())) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert all(each is first for each in found)
assert async_storage_profiles() is alone
assert Uploads.storage_get_profiles() is first
assert AsyncUploads.storage_get_profiles() is alone
with override_settings(OTHER=1):
    assert storage_profiles() is first

with override_settings(AIOSTOW_PROFILES=[("memory", {"name": "other"})]):
    assert list(storage_profiles()) == list(async_storage_profiles()) == ["other"]
    name = Uploads.storage_upload_file(io.BytesIO(b"1"), "a")
    assert storage_profiles().get().exists("uploads/" + name)
    storage_profiles().close()
again = storage_profiles()
assert again is not first and list(again) == ["disk", "memory"]
assert async_storage_profiles() is not alone

file = folder / "storages.toml"
file.write_text("[profiles.file]\\ntype = 'memory'\\n")
for value in (file, str(file), tuple(pairs), Profiles(pairs)):
    with override_settings(AIOSTOW_PROFILES=value):
        assert list(storage_profiles()) == list(async_storage_profiles())
        assert (async_storage_profiles() is value) == isinstance(value, Profiles)
ready = SyncProfiles(pairs)
with override_settings(AIOSTOW_PROFILES=ready):
    assert storage_profiles() is ready
    refused(async_storage_profiles, "AIOSTOW_PROFILES", "for sync views alone")

class Own(StorageOperations):
    storage_profiles = ready
class AsyncOwn(AsyncStorageOperations):
    storage_profiles = alone
assert Own.storage_get_profile() is ready.get()
assert AsyncOwn.storage_get_profile() is alone.get()

for value, words in (
    (None, "have no AIOSTOW_PROFILES"),
    ([], "holds no profile"),
    ("", "not an empty text"),
    (5, "must be a list of pairs"),
    ([(MemoryStorage, {"nam": "x"})], "'nam'"),
    ([(MemoryStorage, {"name": "x", "secret_key": "short"})], "at least 32 bytes"),
    (folder / "none.toml", "cannot be read"),
):
    with override_settings(AIOSTOW_PROFILES=value):
        for call in (storage_profiles, async_storage_profiles, Uploads.storage_get_profile):
            refused(call, "AIOSTOW_PROFILES", words)
with override_settings():
    del settings.AIOSTOW_PROFILES
    from aiostow.integrations import _django_profiles
    _django_profiles._forget(setting="AIOSTOW_PROFILES")
    refused(storage_profiles, "have no AIOSTOW_PROFILES")
ready.close()
"""


@pytest.mark.parametrize("program", [_FORMS, _SETTINGS], ids=["forms", "settings"])
def test_django(tmp_path: Path, program: str) -> None:
    script = tmp_path / "program.py"
    script.write_text(_PROGRAM + program)
    command = [sys.executable, "-W", "error::ResourceWarning", str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
