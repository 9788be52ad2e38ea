"""The objects of a storage as such: what is known of them, and how they go."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import replace
from datetime import timedelta

from ._linking import Linking
from ._observed import observed
from .driver import Sweeper
from .errors import (
    DeleteManyError,
    FileNotFoundInStorageError,
    InvalidTypeError,
    NotAFileError,
    PermissionDeniedError,
    StorageError,
)
from .models import Leftover, ListEntry

_DELETE_BATCH = 1000


class Objects(Linking):
    """What is known of a storage's objects, and their deletion; a part of `Storage`."""

    @observed()
    async def stat(self, key: str) -> ListEntry:
        """Return what is known of an object.

        Raises:
            FileNotFoundInStorageError: no object has this key.
        """
        context, full = self._checked("stat", key)
        with context:
            driver = await self._ready()
            return self._own(await driver.stat(full))

    @observed()
    async def exists(self, key: str) -> bool:
        """Return whether an object has this key; a directory of a disk is none."""
        context, full = self._checked("exists", key)
        try:
            with context:
                driver = await self._ready()
                await driver.stat(full)
        except (FileNotFoundInStorageError, NotAFileError):
            return False
        return True

    @observed()
    async def delete(self, key: str, *, missing_ok: bool = True) -> None:
        """Delete an object.

        Args:
            key: of the object.
            missing_ok: False asks for the error when there is none; another process may still
                delete the object between the look and the deletion.

        Raises:
            FileNotFoundInStorageError: with ``missing_ok=False``, no object has this key.
        """
        await self._delete(key, missing_ok)

    async def _delete(self, key: str, missing_ok: bool = True) -> None:
        """Delete an object, as an operation of its own or the end of another."""
        context, full = self._checked("delete", key)
        with context:
            driver = await self._ready()
            if not missing_ok:
                await driver.stat(full)
            failures = await driver.delete([full])
            for exc in failures.values():
                raise exc

    @observed()
    async def delete_many(self, keys: Iterable[str] | AsyncIterable[str]) -> None:
        """Delete many objects, in as few requests as the service allows; missing ones are fine.

        Args:
            keys: of the objects; may be an async iterable.

        Raises:
            InvalidKeyError: one of the keys; those before it may be deleted already.
            DeleteManyError: some could not be deleted; `failures` tells which and why.
        """
        context = self._context("delete_many", None)
        if isinstance(keys, str):
            raise context.name(
                InvalidTypeError("delete_many() takes keys: for a single one use delete()")
            )
        failures: dict[str, StorageError] = {}
        batch: list[str] = []
        async for key in _each(keys):
            with context:
                batch.append(self._prefix.join(self._rules.key(key)))
            if len(batch) == _DELETE_BATCH:
                await self._delete_batch(batch, failures)
                batch = []
        await self._delete_batch(batch, failures)
        if failures:
            first = next(iter(failures.values()))
            raise context.name(
                DeleteManyError(
                    f"{len(failures)} could not be deleted, the first: {first}", failures=failures
                )
            )

    async def _delete_batch(self, batch: list[str], failures: dict[str, StorageError]) -> None:
        context = self._context("delete_many", None)
        with context:
            driver = await self._ready()
            failed = await driver.delete(batch) if batch else {}
        for full, exc in failed.items():
            key = self._prefix.strip(full)
            error = self._context("delete_many", key).wrap(exc)
            if not isinstance(error, StorageError):
                raise error
            failures[key] = error

    @observed()
    async def sweep(self, older_than: timedelta = timedelta(days=1)) -> int:
        """Remove what killed writers left behind, invisible but using space; return how much.

        Args:
            older_than: leave alone what was touched within this time.

        Returns:
            the number of leftovers removed; 0 where a storage never has any.

        Raises:
            PermissionDeniedError: one could not be removed; all that could be are.
        """
        with self._context("sweep", None):
            driver = await self._ready()
            if not isinstance(driver, Sweeper):
                return 0
            found = await driver.leftovers(self._prefix.text, older_than)
        removed = 0
        refused: PermissionDeniedError | None = None
        for each in found:
            try:
                with self._context("sweep", self._prefix.strip(each.key)):
                    removed += await driver.discard(each)
            except PermissionDeniedError as exc:
                refused = refused or exc
        if refused is not None:
            raise refused
        return removed

    @observed()
    async def leftovers(self, older_than: timedelta = timedelta(days=1)) -> builtins.list[Leftover]:
        """Return what `sweep` would remove, and remove nothing.

        Args:
            older_than: leave out what was touched within this time.
        """
        with self._context("leftovers", None):
            driver = await self._ready()
            if not isinstance(driver, Sweeper):
                return []
            found = await driver.leftovers(self._prefix.text, older_than)
        return [replace(each, key=self._prefix.strip(each.key)) for each in found]


async def _each(keys: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[str]:
    if isinstance(keys, AsyncIterable):
        async for key in keys:
            yield key
    else:
        for key in keys:
            yield key
