"""What web applications do with files: upload, download, duplicate, delete and link, by name."""

from __future__ import annotations

import enum
import io
import posixpath
import re
import uuid
from contextvars import ContextVar
from typing import Any, ClassVar, Unpack

from ._linking import LinkKeywords
from .errors import InvalidArgumentError, InvalidTypeError, ProfileError
from .models import Link, WriteKeywords
from .profiles import Profiles, SyncProfiles
from .storage import Storage
from .sync import SyncStorage

__all__ = ["StorageOperations", "SyncStorageOperations", "current_profiles"]

current_profiles: ContextVar[Profiles] = ContextVar("aiostow.current_profiles")
"""The profiles of the request that is served; an ASGI middleware of ours sets it."""

_EXTENSION = re.compile(r"\.[A-Za-z0-9_-]{1,32}")


class _Names:
    """What both classes have in common: names, and where they lie."""

    storage_location: ClassVar[enum.Enum | str | None] = None
    """The folder of all files of this class, where a call names no other."""

    storage_profile: ClassVar[str | None] = None
    """The profile of this class, where a call names no other; None for the first."""

    @staticmethod
    def storage_generate_filename(filename: str) -> str:
        """Return a name that nobody has yet: a random UUID and the extension of `filename`.

        The extension is what follows the last dot, unless only dots stand before that. It is left
        out if it has other characters than ASCII letters, digits, ``_`` and ``-``, or over 32.

        Raises:
            InvalidTypeError: `filename` is no str.
        """
        _check_name(filename)
        # Names come from the machines of others, so this machine's rules for paths are not asked.
        extension = posixpath.splitext(filename)[1]
        return f"{uuid.uuid4()}{extension if _EXTENSION.fullmatch(extension) else ''}"

    @staticmethod
    def storage_prefix_path(location: enum.Enum | str | None, filename: str) -> str:
        """Return the key of a file: its location and its name, joined by one ``/``.

        Args:
            location: a folder, or an Enum member whose value is one; None or empty for none.
                Slashes around it do not count.
            filename: may lie deeper, as in ``"2026/a.txt"``; its leading slashes do not count.

        Raises:
            InvalidTypeError: `location` is no folder, or `filename` no str.
            InvalidArgumentError: `filename` is empty.
        """
        name = _relative(filename)
        folder = location.value if isinstance(location, enum.Enum) else location
        if folder is None and not isinstance(location, enum.Enum):
            return name
        if not isinstance(folder, str):
            raise InvalidTypeError(
                "storage_location must be a str, or an Enum member whose value is one, not "
                f"{location!r}"
            )
        folder = folder.strip("/")
        return f"{folder}/{name}" if folder else name

    @classmethod
    def _storage_key(cls, filename: str, location: enum.Enum | str | None) -> str:
        if location is None:
            location = cls.storage_location
        return cls.storage_prefix_path(location, filename)

    @classmethod
    def _storage_stored_name(cls, filename: str, preserve_filename: bool) -> str:
        if preserve_filename:
            return _relative(filename)
        return cls.storage_generate_filename(filename)

    @classmethod
    def _storage_profile_name(cls, storage_profile: str | None) -> str | None:
        return cls.storage_profile if storage_profile is None else storage_profile


class StorageOperations(_Names):
    """Operations on the files of an application; use a subclass of it, or mix it into a model.

    Names of files are relative to a location, a folder of a storage. In every method
    `storage_location` and `storage_profile` say which, or else the class attributes of the same
    name do; an empty location is the storage itself.
    """

    storage_profiles: ClassVar[Profiles | None] = None
    """The profiles that this class uses; None for those of `storage_get_profiles`."""

    @classmethod
    def storage_get_profiles(cls) -> Profiles:
        """Return where profiles are looked up; override it to find them in your own way.

        They are the class's own, or else those of the request that is served.

        Raises:
            ProfileError: there are none; the message says how to bind some.
        """
        profiles = cls.storage_profiles
        if profiles is None:
            profiles = current_profiles.get(None)
        if profiles is None:
            raise ProfileError(
                f"{cls.__name__} has no profiles: set its storage_profiles, or serve the "
                "application through StorageMiddleware of aiostow.integrations.starlette"
            )
        return profiles

    @classmethod
    def storage_get_profile(cls, storage_profile: str | None = None) -> Storage:
        """Return the storage of a profile; it is not connected by this.

        Args:
            storage_profile: its name; by default the class's, or else the first.

        Raises:
            UnknownProfileError: no profile has this name; the message says which there are.
            ProfileError: there are no profiles, or its settings are wrong.
        """
        profiles = cls.storage_get_profiles()
        if not isinstance(profiles, Profiles):
            raise _not_of_this_kind(cls, "Profiles", profiles, "SyncStorageOperations")
        return profiles.get(cls._storage_profile_name(storage_profile))

    @classmethod
    async def storage_upload_file(
        cls,
        file_object: Any,
        filename: str,
        preserve_filename: bool = False,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
        *,
        size_hint: int | None = None,
        **options: Unpack[WriteKeywords],
    ) -> str:
        """Store a file and return the name that it has now, without its location.

        Args:
            file_object: whatever `Storage.upload` takes; read from where it stands, never closed.
            filename: of whom the new name has its extension.
            preserve_filename: store it as `filename`, and replace the file that has this name.
            storage_location: see the class.
            storage_profile: see the class.
            size_hint: the size in bytes, if you know it and `file_object` cannot tell.
            options: those of `WriteOptions`.

        Raises:
            InvalidKeyError: no file can have this name.
            StorageError: it cannot be stored; what was there is as it was.
        """
        storage = cls.storage_get_profile(storage_profile)
        name = cls._storage_stored_name(filename, preserve_filename)
        key = cls._storage_key(name, storage_location)
        await storage.upload(file_object, key, size_hint=size_hint, **options)
        return name

    @classmethod
    async def storage_upload_form_file(
        cls,
        form_field: Any,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
        preserve_filename: bool = False,
        **options: Unpack[WriteKeywords],
    ) -> str:
        """Store a file that came with a form and return the name that it has now.

        Of the name that the client gave only what follows the last slash or backslash is used, and
        its content type is not: whoever sends a file could choose them to harm those who see it.

        Args:
            form_field: the file: an ``UploadFile`` of Starlette or Litestar, a ``FileStorage`` of
                Werkzeug, an ``UploadedFile`` of Django.
            storage_location: see the class.
            storage_profile: see the class.
            preserve_filename: store it under the client's name.
            options: those of `WriteOptions`.

        Raises:
            InvalidArgumentError: no file was chosen in the form.
            InvalidTypeError: it is no file, but the name of a field.
            StorageError: see `storage_upload_file`.
        """
        name, size = _chosen(form_field)
        return await cls.storage_upload_file(
            form_field, name, preserve_filename, storage_location, storage_profile,
            size_hint=size, **options,
        )  # fmt: skip

    @classmethod
    async def storage_download_file(
        cls,
        filename: str,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
    ) -> io.BytesIO:
        """Return the content of a file, to be read from its beginning. It is held in memory.

        Raises:
            FileNotFoundInStorageError: there is no such file.
        """
        storage = cls.storage_get_profile(storage_profile)
        key = cls._storage_key(filename, storage_location)
        return io.BytesIO(await storage.read_bytes(key))

    @classmethod
    async def storage_delete_file(
        cls,
        filename: str,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
    ) -> None:
        """Delete a file; one that is not there is fine."""
        storage = cls.storage_get_profile(storage_profile)
        await storage.delete(cls._storage_key(filename, storage_location))

    @classmethod
    async def storage_duplicate_file(
        cls,
        filename: str,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
    ) -> str:
        """Copy a file beside itself under a generated name, and return that name.

        Raises:
            FileNotFoundInStorageError: there is no such file.
        """
        storage = cls.storage_get_profile(storage_profile)
        name = cls.storage_generate_filename(filename)
        key, new_key = (cls._storage_key(each, storage_location) for each in (filename, name))
        await storage.copy(key, new_key)
        return name

    @classmethod
    async def storage_get_download_link(
        cls,
        filename: str,
        expire_minutes: float,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
        **kwargs: Unpack[LinkKeywords],
    ) -> Link:
        """Return a link that downloads a file; nobody looks whether it exists.

        Args:
            filename: of the file.
            expire_minutes: after how many minutes the link ends.
            storage_location: see the class.
            storage_profile: see the class.
            kwargs: what else `Storage.link_to` takes, such as `output_path`.

        Raises:
            InvalidArgumentError: `expire_minutes` is no positive number, or see `Storage.link_to`.
            UnsupportedOperationError: the storage has no links, or was told of no endpoint.
        """
        storage = cls.storage_get_profile(storage_profile)
        key = cls._storage_key(filename, storage_location)
        return await storage.link_to(key, "download", _seconds(expire_minutes), **kwargs)

    @classmethod
    async def storage_get_upload_link(
        cls,
        filename: str,
        expire_minutes: float,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
        **kwargs: Unpack[LinkKeywords],
    ) -> tuple[Link, str]:
        """Return a link that uploads a file under a generated name, and that name.

        Args:
            filename: of whom the new name has its extension.
            expire_minutes: after how many minutes the link ends.
            storage_location: see the class.
            storage_profile: see the class.
            kwargs: what else `Storage.link_to` takes, such as `max_size`.

        Raises:
            InvalidArgumentError: `expire_minutes` is no positive number, or see `Storage.link_to`.
            UnsupportedOperationError: the storage has no links, or was told of no endpoint.
        """
        storage = cls.storage_get_profile(storage_profile)
        name = cls.storage_generate_filename(filename)
        key = cls._storage_key(name, storage_location)
        return await storage.link_to(key, "upload", _seconds(expire_minutes), **kwargs), name


class SyncStorageOperations(_Names):
    """`StorageOperations` for synchronous programs: its methods are plain functions."""

    storage_profiles: ClassVar[SyncProfiles | None] = None
    """The profiles that this class uses; None for those of `storage_get_profiles`."""

    @classmethod
    def storage_get_profiles(cls) -> SyncProfiles:
        """Return where profiles are looked up; override it to find them in your own way.

        Raises:
            ProfileError: there are none; the message says how to bind some.
        """
        if cls.storage_profiles is None:
            raise ProfileError(
                f"{cls.__name__} has no profiles: set its storage_profiles, or use the "
                "StorageOperations of aiostow.integrations.flask or .django"
            )
        return cls.storage_profiles

    @classmethod
    def storage_get_profile(cls, storage_profile: str | None = None) -> SyncStorage:
        """Return the storage of a profile; see `StorageOperations.storage_get_profile`."""
        profiles = cls.storage_get_profiles()
        if not isinstance(profiles, SyncProfiles):
            raise _not_of_this_kind(cls, "SyncProfiles", profiles, "StorageOperations")
        return profiles.get(cls._storage_profile_name(storage_profile))

    @classmethod
    def storage_upload_file(
        cls,
        file_object: Any,
        filename: str,
        preserve_filename: bool = False,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
        *,
        size_hint: int | None = None,
        **options: Unpack[WriteKeywords],
    ) -> str:
        """Store a file and return its name; see `StorageOperations.storage_upload_file`."""
        storage = cls.storage_get_profile(storage_profile)
        name = cls._storage_stored_name(filename, preserve_filename)
        key = cls._storage_key(name, storage_location)
        storage.upload(file_object, key, size_hint=size_hint, **options)
        return name

    @classmethod
    def storage_upload_form_file(
        cls,
        form_field: Any,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
        preserve_filename: bool = False,
        **options: Unpack[WriteKeywords],
    ) -> str:
        """Store a file of a form; see `StorageOperations.storage_upload_form_file`."""
        name, size = _chosen(form_field)
        return cls.storage_upload_file(
            form_field, name, preserve_filename, storage_location, storage_profile,
            size_hint=size, **options,
        )  # fmt: skip

    @classmethod
    def storage_download_file(
        cls,
        filename: str,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
    ) -> io.BytesIO:
        """Return the content of a file; see `StorageOperations.storage_download_file`."""
        storage = cls.storage_get_profile(storage_profile)
        return io.BytesIO(storage.read_bytes(cls._storage_key(filename, storage_location)))

    @classmethod
    def storage_delete_file(
        cls,
        filename: str,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
    ) -> None:
        """Delete a file; one that is not there is fine."""
        storage = cls.storage_get_profile(storage_profile)
        storage.delete(cls._storage_key(filename, storage_location))

    @classmethod
    def storage_duplicate_file(
        cls,
        filename: str,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
    ) -> str:
        """Copy a file to a generated name; see `StorageOperations.storage_duplicate_file`."""
        storage = cls.storage_get_profile(storage_profile)
        name = cls.storage_generate_filename(filename)
        key, new_key = (cls._storage_key(each, storage_location) for each in (filename, name))
        storage.copy(key, new_key)
        return name

    @classmethod
    def storage_get_download_link(
        cls,
        filename: str,
        expire_minutes: float,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
        **kwargs: Unpack[LinkKeywords],
    ) -> Link:
        """Return a link that downloads; see `StorageOperations.storage_get_download_link`."""
        storage = cls.storage_get_profile(storage_profile)
        key = cls._storage_key(filename, storage_location)
        return storage.link_to(key, "download", _seconds(expire_minutes), **kwargs)

    @classmethod
    def storage_get_upload_link(
        cls,
        filename: str,
        expire_minutes: float,
        storage_location: enum.Enum | str | None = None,
        storage_profile: str | None = None,
        **kwargs: Unpack[LinkKeywords],
    ) -> tuple[Link, str]:
        """Return a link that uploads, and the name; see `StorageOperations`."""
        storage = cls.storage_get_profile(storage_profile)
        name = cls.storage_generate_filename(filename)
        key = cls._storage_key(name, storage_location)
        return storage.link_to(key, "upload", _seconds(expire_minutes), **kwargs), name


def _check_name(filename: Any) -> None:
    if not isinstance(filename, str):
        raise InvalidTypeError(f"a filename is a str, not {type(filename).__name__}")


def _relative(filename: Any) -> str:
    """Return a name without leading slashes, so that what is returned is what a key ends with."""
    _check_name(filename)
    name: str = filename.lstrip("/")
    if not name:
        raise InvalidArgumentError("a filename cannot be empty")
    return name


def _chosen(form_field: Any) -> tuple[str, int | None]:
    """Return the name and, where it is told, the size in bytes of a file that came with a form."""
    if isinstance(form_field, str) and form_field:
        raise InvalidTypeError(
            "this takes the file itself, as in (await request.form())['upload'] or "
            "request.FILES['upload']; names of fields are for the StorageOperations of "
            "aiostow.integrations.flask, which knows the request"
        )
    # A field that was left empty may come as text, or not at all.
    if form_field not in (None, "") and not callable(getattr(form_field, "read", None)):
        raise InvalidTypeError(
            f"this takes one file of a form, which has read(), not {type(form_field).__name__}"
        )
    # Werkzeug's files have a `name`, too: that of the field.
    named = "filename" if hasattr(form_field, "filename") else "name"
    name = getattr(form_field, named, None)
    if not name or not isinstance(name, str):
        raise InvalidArgumentError("no file was chosen in this field of the form")
    size = getattr(form_field, "size", None)
    return re.split(r"[/\\]", name)[-1], size if isinstance(size, int) else None


def _seconds(expire_minutes: Any) -> float:
    is_number = isinstance(expire_minutes, (int, float)) and not isinstance(expire_minutes, bool)
    if not is_number or not expire_minutes > 0:
        raise InvalidArgumentError(
            f"expire_minutes must be a positive number, not {expire_minutes!r}"
        )
    return expire_minutes * 60  # type: ignore[no-any-return]  # a number's


def _not_of_this_kind(cls: type, wanted: str, given: object, other: str) -> InvalidTypeError:
    return InvalidTypeError(
        f"{cls.__name__} takes {wanted}, not {type(given).__name__}, for which there is {other}"
    )
