"""Links of storages: what they look like, and which storage honours which."""

from __future__ import annotations

import copy
import itertools
import pickle
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aiostow import (
    ClosedError,
    ExpiredLinkError,
    InternalLinksStorageBackend,
    InternalLinkTokenData,
    InvalidArgumentError,
    InvalidKeyError,
    InvalidLinkError,
    InvalidTypeError,
    Link,
    LinkTooLongError,
    LocalFSStorage,
    MemoryStorage,
    ShareLinkOperation,
    Storage,
    Support,
    UnsupportedOperationError,
    as_operation,
)
from aiostow.sync import SyncStorage

pytestmark = pytest.mark.anyio

SECRET = "0123456789abcdef0123456789abcdef"
URL = "https://files.example/share"
HOUR = timedelta(hours=1)


def make(kind: str, folder: Path, **options: Any) -> Storage:
    options = {"linked_endpoint": URL, "secret_key": SECRET, **options}
    if kind == "memory":
        return MemoryStorage(**options)
    return LocalFSStorage(folder / "root", durable=False, **options)


@pytest.fixture(params=["memory", "local"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return make(request.param, tmp_path)


def token_of(link: str) -> str:
    return link.partition("token=")[2]


# -- what a link is -------------------------------------------------------------------------------


async def test_a_link_is_a_str_that_tells_how_to_use_it(storage: Storage) -> None:
    link = await storage.link_to("a/b.csv", "dur", HOUR, "näme.csv", "text/csv", max_size=10)
    assert isinstance(link, str)
    assert type(link) is Link
    assert link.startswith(f"{URL}?token=ey")
    assert link.methods == ("GET", "HEAD", "PUT", "POST", "DELETE")
    assert link.headers == {"Content-Type": "text/csv"}
    assert abs(link.expires.timestamp() - time.time() - 3600) < 10
    grant = storage.deserialize_link_token(token_of(link))
    assert (grant.path, grant.operations) == ("a/b.csv", as_operation("dur"))
    assert (grant.output_path, grant.content_type, grant.max_size) == ("näme.csv", "text/csv", 10)


@pytest.mark.parametrize(
    ("operation", "methods"),
    [
        ("d", ("GET", "HEAD")),
        ("u", ("PUT", "POST")),
        ("r", ("DELETE",)),
        ("dr", ("GET", "HEAD", "DELETE")),
    ],
)
async def test_the_methods_follow_from_the_operations(
    storage: Storage, operation: str, methods: tuple[str, ...]
) -> None:
    link = await storage.link_to("k", operation, 60, content_type="text/plain")
    assert link.methods == methods
    assert bool(link.headers) == ("u" in operation)


async def test_a_link_shows_its_token_to_nobody_but_whoever_sends_it(storage: Storage) -> None:
    def in_path(token: str, output_path: str | None) -> str:
        return f"https://files.example/{token}/{output_path}"

    other = make("memory", Path(), linked_endpoint=in_path)
    for link in (
        await storage.link_to("k", "d", 60),
        await other.link_to("k", "d", 60, "name"),
        await make("memory", Path(), linked_endpoint="/share").link_to("k", "d", 60),
    ):
        token = max(link.replace("/", "?").replace("=", "?").split("?"), key=len)
        assert len(token) > 100
        for shown in (repr(link), f"{link!r}", repr([link]), repr({"link": link})):
            assert token not in shown
            assert token[:60] not in shown
        assert token in str(link)
        for same in (pickle.loads(pickle.dumps(link)), copy.copy(link), copy.deepcopy(link)):
            assert same == link
            assert (same.methods, same.headers, same.expires) == (
                link.methods,
                link.headers,
                link.expires,
            )


@pytest.mark.parametrize(
    ("endpoint", "start"),
    [
        ("https://x.example", "https://x.example?token="),
        ("https://x.example/a?b=c", "https://x.example/a?b=c&token="),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/?token="),
        ("/share", "/share?token="),
    ],
)
async def test_links_lead_to_a_base_url(endpoint: str, start: str) -> None:
    link = await make("memory", Path(), linked_endpoint=endpoint).link_to("k", "d", 60)
    assert link.startswith(start + "ey")


async def test_links_lead_where_a_function_says() -> None:
    async def later(token: str, output_path: str | None) -> str:
        return f"later:{token}:{output_path}"

    for endpoint in (lambda token, name: f"now:{token}:{name}", later):
        storage = make("memory", Path(), linked_endpoint=endpoint)
        link = await storage.link_to("k", "d", 60, "name.txt")
        assert storage.deserialize_link_token(link.split(":")[1]).path == "k"
        assert link.endswith(":name.txt")
    wrong = make("memory", Path(), linked_endpoint=lambda token, name: None)
    with pytest.raises(InvalidTypeError, match="must return the URL"):
        await wrong.link_to("k", "d", 60)


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "x.example",
        "ftp://x",
        "javascript:alert(1)",
        "//x.example",
        "https://",
        "https://x/#a",
        "https://x/ a",
        "/a\nb",
    ],
)
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is no base URL"):
        make("memory", Path(), linked_endpoint=endpoint)


def test_an_endpoint_of_a_wrong_type_is_refused() -> None:
    with pytest.raises(InvalidTypeError):
        make("memory", Path(), linked_endpoint=5)


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        (("../k", "d", 60), {}, InvalidKeyError),
        (("/k", "d", 60), {}, InvalidKeyError),
        (("a\nb", "d", 60), {}, InvalidKeyError),
        ((b"k", "d", 60), {}, InvalidKeyError),
        (("k", "read", 60), {}, InvalidArgumentError),
        (("k", "", 60), {}, InvalidArgumentError),
        (("k", "dd", 60), {}, InvalidArgumentError),
        (("k", ShareLinkOperation(0), 60), {}, InvalidArgumentError),
        (("k", "d", -1), {}, InvalidArgumentError),
        (("k", "d", datetime(2100, 1, 1)), {}, InvalidArgumentError),
        (("k", "d", datetime(2000, 1, 1, tzinfo=UTC)), {}, InvalidArgumentError),
        (("k", "d", "tomorrow"), {}, InvalidTypeError),
        (("k", "d", 60, "a\r\nb"), {}, InvalidArgumentError),
        (("k", "d", 60, None, "text"), {}, InvalidArgumentError),
        (("k", "d", 60), {"max_size": 5}, InvalidArgumentError),
        (("k", "d", 60, "n" * 4000), {}, LinkTooLongError),
    ],
)
async def test_what_cannot_be_is_refused_with_its_key(
    storage: Storage, arguments: Any, options: Any, expected: type[Exception]
) -> None:
    with pytest.raises(expected) as caught:
        await storage.link_to(*arguments, **options)
    assert type(caught.value) is expected
    assert caught.value.operation == "link_to"  # type: ignore[attr-defined]
    key, operation, expire = arguments[:3]
    more = dict(zip(("output_path", "content_type"), arguments[3:], strict=False))
    with pytest.raises(expected):
        storage.create_link_token(path=key, operation=operation, expire=expire, **more, **options)


@pytest.mark.parametrize("secret", ["short", b"x" * 31])
@pytest.mark.parametrize("kind", ["memory", "local"])
def test_a_short_secret_is_refused_at_once(kind: str, secret: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="at least 32 bytes"):
        make(kind, tmp_path, secret_key=secret)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("kind", ["memory", "local"])
async def test_without_a_secret_or_an_endpoint_it_says_so(kind: str, tmp_path: Path) -> None:
    bare = make(kind, tmp_path, secret_key=None)
    for call in (
        lambda: bare.create_link_token(path="k", operation="d", expire=60),
        lambda: bare.deserialize_link_token("x"),
    ):
        with pytest.raises(UnsupportedOperationError, match="no secret_key"):
            call()
    with pytest.raises(UnsupportedOperationError, match="no secret_key"):
        await bare.link_to("k", "d", 60)
    assert bare.capabilities.links is Support.unsupported
    nowhere = make(kind, tmp_path, linked_endpoint=None)
    with pytest.raises(UnsupportedOperationError, match="linked_endpoint"):
        await nowhere.link_to("k", "d", 60)
    token = nowhere.create_link_token(path="k", operation="d", expire=60)
    assert nowhere.deserialize_link_token(token).path == "k"
    assert make(kind, tmp_path).capabilities.links is Support.emulated


async def test_a_closed_storage_makes_and_honours_none(storage: Storage) -> None:
    link = await storage.link_to("k", "d", 60)
    await storage.aclose()
    with pytest.raises(ClosedError):
        await storage.link_to("k", "d", 60)
    with pytest.raises(ClosedError):
        storage.deserialize_link_token(token_of(link))


# -- who honours what -----------------------------------------------------------------------------

OPERATIONS = ["d", "u", "r", "du", "dr", "ur", "dur"]
PREFIXES = ["", "a", "a/b", "ab", "other"]


def storages(folder: Path) -> dict[str, Storage]:
    """Storages of which no two are the same place under the same name."""
    return {
        "memory": make("memory", folder),
        "memory again": make("memory", folder),
        "local": make("local", folder),
        "local elsewhere": make("local", folder / "elsewhere", name="fs-root"),
        "local by another name": make("local", folder, name="backup"),
        "local with another secret": make("local", folder, secret_key="another" * 5),
    }


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_token_is_honoured_by_its_storage_and_below_its_prefix_alone(
    operation: str, tmp_path: Path
) -> None:
    """The whole matrix: operation x storage that made it x view that made it x view that judges."""
    every = storages(tmp_path)
    honoured = 0
    for (maker, judge), made_at, judged_at in itertools.product(
        itertools.product(every, repeat=2), PREFIXES, PREFIXES
    ):
        view = every[maker].at(made_at)
        token = view.create_link_token(path="b/k", operation=operation, expire=60)
        full = f"{made_at}/b/k".removeprefix("/")
        below = f"{judged_at}/".removeprefix("/")
        try:
            grant = every[judge].at(judged_at).deserialize_link_token(token)
        except InvalidLinkError:
            assert maker != judge or not full.startswith(below)
        else:
            assert maker == judge
            assert full == below + grant.path
            assert grant.operations == as_operation(operation)
            honoured += 1
    assert honoured == 11 * len(every)


async def test_a_view_links_below_its_prefix_only(storage: Storage) -> None:
    view = storage.at("tenant-1")
    link = await view.link_to("k", "d", 60)
    assert view.deserialize_link_token(token_of(link)).path == "k"
    assert storage.deserialize_link_token(token_of(link)).path == "tenant-1/k"
    for key in ("../tenant-2/k", "/tenant-2/k"):
        with pytest.raises(InvalidKeyError):
            await view.link_to(key, "d", 60)


def test_the_same_place_by_another_path_is_the_same_place(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to("root")
    paths = [tmp_path / "root", tmp_path / "link", tmp_path / "x" / ".." / "root"]
    made = [LocalFSStorage(path, URL, SECRET, "disk") for path in paths]
    token = made[0].create_link_token(path="k", operation="d", expire=60)
    assert [storage.deserialize_link_token(token).path for storage in made] == ["k"] * 3


def test_the_ancestors_arguments_come_in_the_ancestors_order(tmp_path: Path) -> None:
    storage = LocalFSStorage(tmp_path, URL, SECRET, "disk")
    assert (storage.name, storage.root) == ("disk", tmp_path)
    assert isinstance(storage, InternalLinksStorageBackend)
    data = storage.deserialize_link_token(
        storage.create_link_token(path="k", operation=ShareLinkOperation.upload, expire=HOUR)
    )
    assert isinstance(data, InternalLinkTokenData)
    assert (data.allow_download, data.allow_upload, data.allow_remove) == (False, True, False)


def test_rotation(tmp_path: Path) -> None:
    old = make("local", tmp_path, secret_key={"2025": SECRET})
    both = make("local", tmp_path, secret_key={"2026": "n" * 32, "2025": SECRET})
    new = make("local", tmp_path, secret_key={"2026": "n" * 32})
    token = old.create_link_token(path="k", operation="d", expire=60)
    assert both.deserialize_link_token(token).path == "k"
    with pytest.raises(InvalidLinkError):
        new.deserialize_link_token(token)
    assert new.deserialize_link_token(both.create_link_token(path="k", operation="d", expire=60))


def test_links_end(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    token = storage.create_link_token(path="k", operation="d", expire=60)
    now = storage._shared.clock()
    end = storage.deserialize_link_token(token).expires.timestamp()
    assert now + 58 < end <= now + 61
    monkeypatch.setattr(storage._shared, "clock", lambda: end - 1)
    assert storage.deserialize_link_token(token).path == "k"
    assert storage.at("").deserialize_link_token(token).path == "k"
    monkeypatch.setattr(storage._shared, "clock", lambda: end)
    with pytest.raises(ExpiredLinkError) as caught:
        storage.deserialize_link_token(token)
    assert caught.value.operation == "deserialize_link_token"
    assert caught.value.storage == storage.name


def test_the_facade_links_alike(tmp_path: Path) -> None:
    with SyncStorage(make("local", tmp_path)) as storage:
        link = storage.link_to("k", "du", HOUR, "name.txt", overwrite=False, exact_size=5)
        grant = storage.deserialize_link_token(token_of(link))
        assert (grant.exact_size, grant.overwrite, grant.output_path) == (5, False, "name.txt")
        token = storage.create_link_token(path="k", operation="d", expire=60)
        assert storage.deserialize_link_token(token).allow_download


# -- secrets --------------------------------------------------------------------------------------


async def test_no_secret_is_shown_or_travels(storage: Storage) -> None:
    view = storage.at("view")
    shown = [repr(storage), repr(view), str(vars(storage)), repr(storage._shared.links)]
    shown += [repr(pickle.dumps(storage)), repr(pickle.dumps(view))]
    link = await storage.link_to("k", "d", 60)
    spoilt = token_of(link)[:-2] + "xx"
    calls: list[Callable[[], Any]] = [
        lambda: storage.deserialize_link_token(spoilt),
        lambda: storage.create_link_token(path="", operation="d", expire=60),
        lambda: storage.create_link_token(path="k" * 4000, operation="d", expire=60),
    ]
    for call in calls:
        try:
            call()
        except Exception as exc:
            shown += ["".join(traceback.format_exception(exc)), repr(pickle.dumps(exc))]
        else:
            pytest.fail("it was to be refused")
    for text in shown:
        assert SECRET not in text
        assert spoilt not in text
        assert token_of(link) not in text
    clone: Storage = pickle.loads(pickle.dumps(storage))
    with pytest.raises(UnsupportedOperationError, match="does not travel in pickles"):
        clone.create_link_token(path="k", operation="d", expire=60)
