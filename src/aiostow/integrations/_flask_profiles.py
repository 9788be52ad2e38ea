"""Profiles of a Flask application: an extension that reads its configuration, and operations."""

from __future__ import annotations

import enum
from typing import Any, Unpack

import flask
from flask.cli import with_appcontext

from ..cli._application import storage_group
from ..errors import InvalidArgumentError, ProfileError
from ..models import WriteKeywords
from ..operations import SyncStorageOperations
from ..profiles import SyncProfiles
from ._profile_forms import read_sync_profiles

EXTENSION = "aiostow"
"""Where an application keeps its profiles: ``app.extensions["aiostow"]``."""

_SETTINGS = ("AIOSTOW_PROFILES", "KEG_STORAGE_PROFILES")


class FlaskStorage:
    """Gives Flask applications the profiles of their configuration, one or several applications.

    The configuration's ``AIOSTOW_PROFILES`` (or ``KEG_STORAGE_PROFILES``) is a list of pairs as
    `SyncProfiles` takes them, or ready profiles, or the path of a TOML file, relative to the
    application's root. They are kept as ``app.extensions["aiostow"]``, and close with the process.

    ``flask storage`` has the commands of `aiostow` over them; a key that names no profile is one of
    ``KEG_STORAGE_DEFAULT_LOCATION``, or of the first.

    Args:
        app: an application to begin with; see `init_app`.
        cli_group_name: of the commands; empty for none.
    """

    def __init__(self, app: flask.Flask | None = None, cli_group_name: str = "storage") -> None:
        self._cli_group_name = cli_group_name
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Make the storages of an application; none is connected by this.

        Raises:
            ProfileError: the configuration has none, or what it has is wrong.
            ImportError: a storage needs an extra; the message says which.
        """
        profiles = self.read_config(app)
        app.extensions[EXTENSION] = profiles
        if self._cli_group_name:
            default = app.config.get("KEG_STORAGE_DEFAULT_LOCATION")
            group = storage_group(profiles.profiles.copy, self._cli_group_name, default)
            # Links are made by `url_for`, also where a group is not called through `flask`.
            if group.callback is not None:
                group.callback = with_appcontext(group.callback)
            app.cli.add_command(group)

    def read_config(self, app: flask.Flask) -> SyncProfiles:
        """Return the profiles that an application's configuration holds."""
        for setting in _SETTINGS:
            value = app.config.get(setting)
            if value is not None:
                return read_sync_profiles(setting, value, app.root_path)
        raise ProfileError(
            "the application's configuration has no AIOSTOW_PROFILES: set it to a list of pairs "
            "such as (LocalFSStorage, {'root': 'data', 'name': 'disk'}), or the path of a TOML file"
        )


class StorageOperations(SyncStorageOperations):
    """Operations on the profiles of the current application, and the files of its request."""

    @classmethod
    def storage_get_profiles(cls) -> SyncProfiles:
        """Return the class's own profiles, or else those of the current application.

        Raises:
            ProfileError: it has none; the message says how it gets some.
        """
        if cls.storage_profiles is not None:
            return cls.storage_profiles
        if not flask.has_app_context():
            raise ProfileError(
                f"{cls.__name__} is used outside of an application, whose profiles it would take: "
                "write `with app.app_context():` around it"
            )
        profiles: SyncProfiles | None = flask.current_app.extensions.get(EXTENSION)
        if profiles is None:
            raise ProfileError(
                f"the application {flask.current_app.name!r} has no profiles: call "
                "FlaskStorage(app), or storage.init_app(app)"
            )
        return profiles

    @classmethod
    def storage_upload_form_file(
        cls,
        form_field: Any,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
        preserve_filename: bool = False,
        **options: Unpack[WriteKeywords],
    ) -> str:
        """Store a file of the current request and return the name that it has now.

        Args:
            form_field: the name of the form's field, or the ``FileStorage`` itself.
            storage_location: see the class.
            storage_profile: see the class.
            preserve_filename: store it under the client's name.
            options: those of `WriteOptions`.

        Raises:
            InvalidArgumentError: the form has no such field, or no file was chosen in it.
            StorageError: see `StorageOperations.storage_upload_file`.
        """
        file = form_field
        if isinstance(form_field, str):
            file = flask.request.files.get(form_field)
            if not file:  # also one without a name
                raise InvalidArgumentError(
                    f"no file was chosen in the field {form_field!r} of the form, which must be "
                    "sent as multipart/form-data"
                )
        return super().storage_upload_form_file(
            file, storage_location, storage_profile, preserve_filename, **options
        )
