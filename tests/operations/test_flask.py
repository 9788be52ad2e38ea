"""Flask: profiles by configuration, and operations on the current application and request."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import flask
import pytest
import werkzeug.datastructures
import werkzeug.test

from aiostow import InvalidArgumentError, LocalFSStorage, MemoryStorage, ProfileError
from aiostow.integrations.flask import FlaskStorage, StorageOperations
from aiostow.profiles import Profiles, SyncProfiles

from .suite import is_generated

SETTINGS = ["AIOSTOW_PROFILES", "KEG_STORAGE_PROFILES"]
MEMORY: Any = [(MemoryStorage, {"name": "memory"})]


class Uploads(StorageOperations):
    storage_location = "uploads"


def application(value: Any = MEMORY, setting: str = "AIOSTOW_PROFILES") -> flask.Flask:
    app = flask.Flask(__name__)
    app.config[setting] = value
    FlaskStorage(app)
    return app


# -- configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    "make",
    [
        lambda: MEMORY,
        lambda: tuple(MEMORY),
        lambda: [("memory", {"name": "memory"})],
        lambda: Profiles(MEMORY),
        lambda: SyncProfiles(MEMORY),
    ],
    ids=["pairs", "a tuple of them", "by type", "Profiles", "SyncProfiles"],
)
def test_a_configuration_may_hold_profiles_in_each_form(setting: str, make: Any) -> None:
    value = make()
    app = application(value, setting)
    profiles = app.extensions["aiostow"]
    assert isinstance(profiles, SyncProfiles)
    assert (profiles is value) == isinstance(value, SyncProfiles)
    assert list(profiles) == ["memory"]
    with app.app_context():
        name = Uploads.storage_upload_file(io.BytesIO(b"data"), "a.txt")
        assert profiles.get().read_bytes(f"uploads/{name}") == b"data"
    profiles.close()


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_configuration_may_name_a_file_below_the_applications_root(
    kind: Any, absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app").mkdir()
    file = tmp_path / "app" / "storages.toml"
    file.write_text('[profiles.disk]\ntype = "local"\nroot = "data"\n')
    monkeypatch.chdir(tmp_path)
    app = flask.Flask(__name__, root_path=str(tmp_path / "app"))
    app.config["AIOSTOW_PROFILES"] = kind(file if absolute else file.name)
    FlaskStorage(app)
    with app.app_context():
        storage = StorageOperations.storage_get_profile().storage
    assert isinstance(storage, LocalFSStorage)
    assert Path(storage.root) == tmp_path / "app" / "data"


def test_ours_wins_over_the_ancestors() -> None:
    app = flask.Flask(__name__)
    app.config["KEG_STORAGE_PROFILES"] = [(MemoryStorage, {"name": "old"})]
    app.config["AIOSTOW_PROFILES"] = MEMORY
    FlaskStorage().init_app(app)
    assert list(app.extensions["aiostow"]) == ["memory"]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "holds no profile"),
        (SyncProfiles([]), "holds no profile"),
        ("", "not an empty text"),
        (5, "must be a list of pairs"),
        ({"memory": {}}, "must be a list of pairs"),
        (MEMORY[0], "a profile is a pair"),
        ([MemoryStorage], "a profile is a pair"),
        ([(flask.Flask, {})], "names a class of storages"),
        ([("memry", {})], "do you mean 'memory'?"),
        ([(MemoryStorage, {"nam": "x"})], "'nam'"),
        ([(LocalFSStorage, {"name": "x"})], "root"),
        ([(MemoryStorage, {"secret_key": "short", "name": "x"})], "at least 32 bytes"),
        (MEMORY * 2, "another profile of this name"),
        ("nothing.toml", "nothing.toml: this file cannot be read"),
    ],
)
def test_a_wrong_configuration_is_told_at_once(setting: str, value: Any, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        application(value, setting)
    assert str(caught.value).startswith(f"{setting}: ")
    assert message in str(caught.value)


def test_a_missing_configuration_is_told_at_once() -> None:
    app = flask.Flask(__name__)
    with pytest.raises(ProfileError, match="configuration has no AIOSTOW_PROFILES"):
        FlaskStorage(app)
    assert "aiostow" not in app.extensions


def test_several_applications_have_their_own() -> None:
    extension = FlaskStorage()
    apps = [flask.Flask(name) for name in "ab"]
    for app in apps:
        app.config["AIOSTOW_PROFILES"] = [(MemoryStorage, {"name": app.name})]
        extension.init_app(app)
    with apps[0].app_context():
        assert StorageOperations.storage_get_profile().name == "a"
        with apps[1].app_context():
            assert StorageOperations.storage_get_profile().name == "b"
        assert StorageOperations.storage_get_profile().name == "a"


def test_without_an_application_or_its_profiles_it_says_so() -> None:
    with pytest.raises(ProfileError, match="app_context"):
        Uploads.storage_get_profile()
    with flask.Flask("bare").app_context():
        with pytest.raises(ProfileError, match=r"'bare' has no profiles: call FlaskStorage"):
            Uploads.storage_get_profile()


def test_a_class_may_have_its_own() -> None:
    class Own(StorageOperations):
        storage_profiles = SyncProfiles([(MemoryStorage, {"name": "own"})])

    assert Own.storage_get_profile().name == "own"
    with application().app_context():
        assert Own.storage_get_profile().name == "own"


# -- forms ----------------------------------------------------------------------------------------


@pytest.fixture
def app() -> Any:
    app = application()

    @app.post("/<way>")
    def upload(way: str) -> Any:
        field = "photo" if way == "name" else flask.request.files["photo"]
        try:
            name = Uploads.storage_upload_form_file(
                field, storage_location="photos", preserve_filename=way == "preserve"
            )
        except InvalidArgumentError as exc:
            return exc.message, 400
        return name

    yield app
    app.extensions["aiostow"].close()


def sent(data: bytes, filename: str) -> dict[str, Any]:
    """Return a request with a file; encoded here, for Flask's client would leave a file open."""
    file = werkzeug.datastructures.FileStorage(io.BytesIO(data), filename)
    boundary, body = werkzeug.test.encode_multipart({"photo": file})
    return {"data": body, "content_type": f"multipart/form-data; boundary={boundary}"}


@pytest.mark.parametrize("size", [0, 5, 3 << 20], ids=["empty", "in memory", "on disk"])
@pytest.mark.parametrize("way", ["name", "file", "preserve"])
def test_a_file_of_the_current_request(app: flask.Flask, way: str, size: int) -> None:
    answer = app.test_client().post(f"/{way}", **sent(b"\1" * size, "a b.JPG"))
    assert answer.status_code == 200
    assert answer.text == "a b.JPG" if way == "preserve" else is_generated(answer.text, ".JPG")
    stored = app.extensions["aiostow"].get().read_bytes(f"photos/{answer.text}")
    assert stored == b"\1" * size


@pytest.mark.parametrize(
    "options",
    [
        {"data": {"other": "1"}},
        {"data": {"photo": "not a file"}},
        {"data": b"data", "content_type": "application/octet-stream"},
        sent(b"", ""),
    ],
)
def test_a_field_without_a_file_is_named(app: flask.Flask, options: dict[str, Any]) -> None:
    answer = app.test_client().post("/name", **options)
    assert answer.status_code == 400
    assert answer.text.startswith("no file was chosen in the field 'photo'")


def test_a_file_needs_no_request() -> None:
    with application().app_context():
        file = werkzeug.datastructures.FileStorage(io.BytesIO(b"data"), "a.txt")
        name = Uploads.storage_upload_form_file(file, content_type="text/plain")
        storage = Uploads.storage_get_profile()
        assert storage.stat(f"uploads/{name}").content_type == "text/plain"
        storage.close()
