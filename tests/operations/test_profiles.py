"""Which storage an operation asks: the call's, the class's, the first; and where profiles are."""

from __future__ import annotations

import contextvars
import io
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aiostow import InvalidTypeError, MemoryStorage, ProfileError, UnknownProfileError
from aiostow.operations import StorageOperations, SyncStorageOperations, current_profiles
from aiostow.profiles import Profiles, SyncProfiles

from ._twins import Asked, FormFile

pytestmark = pytest.mark.anyio
NAMES = ("first", "second", "third")
LINKS = {"linked_endpoint": "/share", "secret_key": "0123456789abcdef0123456789abcdef"}
PAIRS: list[Any] = [(MemoryStorage, {"name": name, **LINKS}) for name in NAMES]


@pytest.fixture(params=["async", "sync"])
def profiles(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "async":
        yield Profiles(PAIRS)  # memories alone: there is nothing to close
        return
    with SyncProfiles(PAIRS) as profiles:
        yield profiles


@pytest.fixture
def make(profiles: Any) -> Callable[..., Asked]:
    """Return operations on the profiles, with class attributes of the test's own."""

    def make(**attributes: Any) -> Asked:
        base = StorageOperations if isinstance(profiles, Profiles) else SyncStorageOperations
        return Asked(type("Uploads", (base,), {"storage_profiles": profiles, **attributes}))

    return make


@pytest.mark.parametrize(
    ("of_class", "of_call"),
    [*itertools.product((None, "second"), (None, "first", "third"))],
)
async def test_a_call_wins_over_the_class_and_that_over_the_first(
    make: Callable[..., Asked], profiles: Any, of_class: str | None, of_call: str | None
) -> None:
    uploads = make(storage_profile=of_class)
    right = of_call or of_class or "first"
    told: dict[str, Any] = {} if of_call is None else {"storage_profile": of_call}
    assert uploads.answers.storage_get_profile(of_call) is profiles.get(right)
    name = await uploads.storage_upload_file(io.BytesIO(b"data"), "f", True, **told)
    new = [await uploads.storage_duplicate_file("f", **told)]
    new.append(await uploads.storage_upload_form_file(FormFile(b"data", "g"), **told))
    assert (await uploads.storage_download_file("f", **told)).read() == b"data"
    look = Asked(profiles.get(right))
    for link in (
        await uploads.storage_get_download_link("f", 5, **told),
        (await uploads.storage_get_upload_link("f", 5, **told))[0],
    ):
        await look.deserialize_link_token(link.partition("token=")[2])  # of no other name
    for each in NAMES:
        for stored in (name, *new):
            assert await Asked(profiles.get(each)).exists(stored) == (each == right)
    await uploads.storage_delete_file("f", **told)
    assert not await look.exists("f")


async def test_an_unknown_profile_is_told(make: Callable[..., Asked]) -> None:
    for call in (
        make().storage_download_file("f", storage_profile="secnd"),
        make(storage_profile="secnd").storage_delete_file("f"),
    ):
        with pytest.raises(UnknownProfileError, match="'second'"):
            await call


def test_nothing_is_opened_by_looking_a_storage_up(make: Callable[..., Asked]) -> None:
    # No loop runs here, so what opened anything would fail.
    storage = make().answers.storage_get_profile()
    assert storage.name == "first"
    assert make().answers.storage_get_profile() is storage


@pytest.mark.parametrize("operations", [StorageOperations, SyncStorageOperations])
def test_without_profiles_it_says_how_to_bind_them(operations: Any) -> None:
    class Unbound(operations):  # type: ignore[misc]  # either
        pass

    for ask in (Unbound.storage_get_profiles, Unbound.storage_get_profile):
        with pytest.raises(ProfileError, match="Unbound has no profiles: set its storage_profiles"):
            ask()


def test_the_profiles_of_the_other_kind_are_refused() -> None:
    class Alone(StorageOperations):
        storage_profiles = SyncProfiles(PAIRS)  # type: ignore[assignment]  # what is refused

    class Sync(SyncStorageOperations):
        storage_profiles = Profiles(PAIRS)  # type: ignore[assignment]  # what is refused

    with pytest.raises(InvalidTypeError, match="takes Profiles, not SyncProfiles"):
        Alone.storage_get_profile()
    with pytest.raises(InvalidTypeError, match="takes SyncProfiles, not Profiles"):
        Sync.storage_get_profile()


def test_the_class_wins_over_the_request() -> None:
    one, other = Profiles(PAIRS), Profiles(PAIRS)

    class Bound(StorageOperations):
        storage_profiles = one

    class Unbound(StorageOperations):
        pass

    def look() -> None:
        current_profiles.set(other)
        assert Bound.storage_get_profiles() is one
        assert Unbound.storage_get_profiles() is other
        assert Unbound.storage_get_profile("second") is other.get("second")

    contextvars.copy_context().run(look)
    with pytest.raises(ProfileError, match="StorageMiddleware"):
        Unbound.storage_get_profiles()


async def test_links_say_what_was_asked_of_them(make: Callable[..., Asked]) -> None:
    uploads = make(storage_location="in")
    look = Asked(uploads.answers.storage_get_profile())
    link = await uploads.storage_get_download_link("f", 5, output_path="R.csv", once=True)
    grant = await look.deserialize_link_token(link.partition("token=")[2])
    assert (grant.path, grant.output_path, grant.once) == ("in/f", "R.csv", True)
    link, name = await uploads.storage_get_upload_link("f", 5, max_size=10, overwrite=False)
    grant = await look.deserialize_link_token(link.partition("token=")[2])
    assert (grant.path, grant.max_size, grant.overwrite) == (f"in/{name}", 10, False)
