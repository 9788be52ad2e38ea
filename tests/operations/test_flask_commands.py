"""`flask storage`: the command line over an application's profiles."""

from __future__ import annotations

from pathlib import Path

import flask
import pytest
from flask.testing import FlaskCliRunner

from aiostow import LocalFSStorage
from aiostow.integrations.flask import FlaskStorage, url_for

SECRET = "CANARY-of-thirty-two-characters-or-more"


def application(folder: Path, **config: object) -> flask.Flask:
    app = flask.Flask("commands")
    app.config["SERVER_NAME"] = "files.example"
    app.config["KEG_STORAGE_PROFILES"] = [
        (LocalFSStorage, {
            "root": folder / "first", "name": "first",
            "linked_endpoint": url_for("link"), "secret_key": SECRET,
        }),
        (LocalFSStorage, {"root": folder / "second", "name": "second"}),
    ]  # fmt: skip
    app.config.update(config)
    app.add_url_rule("/link", "link", lambda: "")
    return app


@pytest.fixture
def runner(tmp_path: Path) -> FlaskCliRunner:
    for name in ("first", "second"):
        (tmp_path / name / "folder").mkdir(parents=True)
        (tmp_path / name / "folder" / "file.txt").write_bytes(name.encode())
    app = application(tmp_path)
    FlaskStorage(app)
    return app.test_cli_runner()


def call(runner: FlaskCliRunner, *arguments: str, code: int = 0) -> str:
    result = runner.invoke(args=["storage", *arguments])
    assert result.exit_code == code, result.output
    assert SECRET not in result.output
    return result.output


def test_keys_are_those_of_the_first_profile(runner: FlaskCliRunner) -> None:
    assert call(runner, "list", "--simple", "/") == "folder/file.txt\n"
    assert call(runner, "get", "folder/file.txt", "-") == "first"


@pytest.mark.parametrize("option", ["-p", "--profile", "--location"])
def test_an_option_chooses_another_profile(runner: FlaskCliRunner, option: str) -> None:
    assert call(runner, option, "second", "get", "folder/file.txt", "-") == "second"


def test_an_object_can_name_its_profile(runner: FlaskCliRunner) -> None:
    assert call(runner, "cat", "second:folder/file.txt") == "second"


def test_the_configuration_may_name_the_default(tmp_path: Path) -> None:
    app = application(tmp_path, KEG_STORAGE_DEFAULT_LOCATION="second")
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "a").write_bytes(b"second")
    FlaskStorage(app)
    assert call(app.test_cli_runner(), "get", "a", "-") == "second"


def test_the_ancestors_commands_do_what_they_did(runner: FlaskCliRunner, tmp_path: Path) -> None:
    (tmp_path / "local.txt").write_bytes(b"local")
    call(runner, "put", str(tmp_path / "local.txt"), "put.txt")
    call(runner, "copy", "put.txt", "copied.txt")
    call(runner, "get", "copied.txt", str(tmp_path / "got.txt"))
    assert (tmp_path / "got.txt").read_bytes() == b"local"
    call(runner, "delete", "--yes", "put.txt")
    assert call(runner, "list", "--simple").split() == ["copied.txt", "folder/file.txt"]


def test_links_lead_into_the_application(runner: FlaskCliRunner) -> None:
    link = call(runner, "link", "folder/file.txt", "-e", "60", "--download", "--delete").strip()
    assert link.startswith("http://files.example/link?token=")
    app = runner.app
    token = link.partition("token=")[2]
    grant = app.extensions["aiostow"].get("first").deserialize_link_token(token)
    assert (grant.path, grant.allow_download, grant.allow_upload, grant.allow_remove) == (
        "folder/file.txt", True, False, True,
    )  # fmt: skip


def test_what_is_not_there_is_a_sentence(runner: FlaskCliRunner) -> None:
    told = call(runner, "get", "nothing", "-", code=1)
    assert told == "Error: stat 'nothing' in storage 'first': no such file\n"
    told = call(runner, "--location", "third", "ls", code=2)
    assert told == "Error: no profile is named 'third'; choose from first, second\n"


def test_the_applications_own_storages_stay_open(runner: FlaskCliRunner) -> None:
    storage = runner.app.extensions["aiostow"].get("first")
    call(runner, "ls")
    call(runner, "ls")
    assert storage.read_bytes("folder/file.txt") == b"first"


def test_the_group_can_have_another_name_or_none(tmp_path: Path) -> None:
    app = application(tmp_path)
    FlaskStorage(app, cli_group_name="files")
    assert app.test_cli_runner().invoke(args=["files", "ls"]).exit_code == 0
    assert "storage" not in app.cli.commands
    app = application(tmp_path)
    FlaskStorage(app, cli_group_name="")
    assert "storage" not in app.cli.commands
