"""What remembers links: of many at once one takes a link, and what was taken stays so."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import pickle
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aiostow import InvalidArgumentError, MemoryStorage, linkstore
from aiostow.endpoint import LinkEndpoint, LinkRequest
from aiostow.integrations._steps import carry_out
from aiostow.linkstore import LinkState, LinkStore, MemoryLinkStore, SQLiteLinkStore

pytestmark = pytest.mark.anyio

FREE, HELD, USED, REVOKED = LinkState
NOW = 1_700_000_000.0
END = NOW + 3600
DAY = 86400.0


class Clock:
    """A time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[LinkStore]:
    made: LinkStore
    made = MemoryLinkStore(clock) if request.param == "memory" else sqlite(tmp_path, clock)
    yield made
    await made.aclose()


def sqlite(folder: Path, clock: Callable[[], float]) -> SQLiteLinkStore:
    return SQLiteLinkStore(folder / "links.db", clock)


async def hold(store: LinkStore, id: str, holder: str, until: float = NOW + 100) -> bool:
    return await store.take(id, holder, until=until, expires=END)


async def use(store: LinkStore, id: str, holder: str) -> bool:
    return await store.take(id, holder, until=math.inf, expires=END)


def remembered(store: LinkStore) -> set[str]:
    """Which links it knows of, seen past its methods."""
    if isinstance(store, MemoryLinkStore):
        return set(store._taken)
    assert isinstance(store, SQLiteLinkStore)
    db = sqlite3.connect(store._path)
    try:
        return {id for (id,) in db.execute("SELECT token_id FROM links")}
    finally:
        db.close()


# -- both stores ----------------------------------------------------------------------------------


async def test_a_link_that_nobody_took_is_free_and_asking_takes_nothing(store: LinkStore) -> None:
    assert await store.state("a") is FREE
    assert remembered(store) == set()
    assert await use(store, "a", "me")


async def test_a_link_that_is_held_is_held_against_others_only(store: LinkStore) -> None:
    assert await hold(store, "a", "me")
    assert await store.state("a") is HELD
    assert not await hold(store, "a", "you")
    assert not await use(store, "a", "you")
    assert await store.state("a") is HELD
    assert await hold(store, "a", "me")
    assert await use(store, "a", "me")
    assert await store.state("a") is USED


async def test_links_have_nothing_to_do_with_each_other(store: LinkStore) -> None:
    assert await use(store, "a", "me")
    assert await store.state("A") is FREE
    assert await store.state("") is FREE
    assert await use(store, "A", "you")
    await store.release("A", "you")
    await store.revoke("b", expires=END)
    assert [await store.state(id) for id in ("a", "A", "b", "c")] == [USED, FREE, REVOKED, FREE]


@pytest.mark.parametrize("id", ["' OR 1=1 --", "ü💥", "%", "_", "\x00", "x" * 10_000, "NULL"])
async def test_a_name_is_only_a_name(store: LinkStore, id: str) -> None:
    assert await use(store, id, id)
    assert await store.state(id) is USED
    assert await store.state("a") is FREE
    await store.release(id, "' OR 1=1 --x")
    assert await store.state(id) is USED
    await store.release(id, id)
    assert await store.state(id) is FREE


async def test_a_hold_lapses_at_its_end(store: LinkStore, clock: Clock) -> None:
    assert await hold(store, "a", "me", NOW + 100)
    clock.now = NOW + 99.9
    assert await store.state("a") is HELD
    assert not await use(store, "a", "you")
    clock.now = NOW + 100
    assert await store.state("a") is FREE
    assert await hold(store, "a", "you", NOW + 200)
    assert not await hold(store, "a", "me", NOW + 300)
    assert not await use(store, "a", "me")
    await store.release("a", "me")
    assert await store.state("a") is HELD


async def test_a_lapsed_hold_may_be_taken_up_again(store: LinkStore, clock: Clock) -> None:
    assert await hold(store, "a", "me", NOW + 100)
    clock.now = NOW + 101
    assert await hold(store, "a", "me", NOW + 200)
    assert not await hold(store, "a", "you")
    assert await use(store, "a", "me")


async def test_a_hold_is_prolonged_by_who_holds(store: LinkStore, clock: Clock) -> None:
    for step in range(10):
        clock.now = NOW + step * 60
        assert await hold(store, "a", "me", clock.now + 100)
        assert not await hold(store, "a", "you", clock.now + 100)
    clock.now += 99
    assert await store.state("a") is HELD


async def test_what_is_used_stays_used(store: LinkStore, clock: Clock) -> None:
    assert await use(store, "a", "me")
    clock.now = END - 1
    assert await store.state("a") is USED
    assert not await use(store, "a", "you")
    assert not await hold(store, "a", "you", math.inf)
    await store.release("a", "you")
    assert await store.state("a") is USED


@pytest.mark.parametrize("until", [NOW + 100, math.inf])
async def test_who_took_a_link_gives_it_back(store: LinkStore, until: float) -> None:
    assert await hold(store, "a", "me", until)
    await store.release("a", "you")  # a stranger gives nothing back
    assert await store.state("a") is (USED if until == math.inf else HELD)
    assert not await hold(store, "a", "you")
    await store.release("a", "me")
    assert await store.state("a") is FREE
    await store.release("a", "me")
    await store.release("never", "me")
    assert await hold(store, "a", "you")
    assert not await hold(store, "a", "me")


@pytest.mark.parametrize("before", ["free", "held", "used", "revoked"])
async def test_what_is_revoked_stays_revoked(store: LinkStore, clock: Clock, before: str) -> None:
    if before in ("held", "used"):
        assert await hold(store, "a", "me", math.inf if before == "used" else NOW + 100)
    if before == "revoked":
        await store.revoke("a", expires=END)
    await store.revoke("a", expires=END)
    for moment in (NOW, NOW + 200, END - 1):
        clock.now = moment
        assert await store.state("a") is REVOKED
        assert not await hold(store, "a", "me", moment + 100)
        assert not await use(store, "a", "you")
        for holder in ("me", "you", "", "None", "NULL"):
            await store.release("a", holder)
    assert await store.state("a") is REVOKED


async def test_what_has_ended_is_forgotten_a_day_later(store: LinkStore, clock: Clock) -> None:
    assert await use(store, "used", "me")
    assert await hold(store, "held", "me")
    await store.revoke("revoked", expires=END)
    await store.take("later", "me", until=math.inf, expires=END + 2 * DAY)
    clock.now = END + DAY - 1  # clocks differ, and are set
    assert await use(store, "b", "me")
    assert {"used", "held", "revoked", "later"} <= remembered(store)
    assert await store.state("used") is USED
    clock.now = END + DAY + 120
    assert await use(store, "c", "me")
    assert remembered(store) == {"later", "c"}
    assert await store.state("later") is USED


async def test_revoking_alone_forgets_what_has_ended_too(store: LinkStore, clock: Clock) -> None:
    for day in range(30):
        clock.now = NOW + day * DAY
        await store.revoke(f"{day}", expires=clock.now + 60)
    assert len(remembered(store)) <= 3


async def test_a_revocation_is_remembered_as_long_as_the_link_could_be_used(
    store: LinkStore, clock: Clock
) -> None:
    assert await store.take("a", "me", until=NOW + 1, expires=END + 30 * DAY)
    await store.revoke("a", expires=NOW)  # by who knows no better
    clock.now = NOW + 20 * DAY
    await store.revoke("b", expires=END)
    assert await store.state("a") is REVOKED


async def test_of_many_at_once_one_takes_a_link(store: LinkStore) -> None:
    for id in map(str, range(20)):
        taken = await asyncio.gather(*(use(store, id, f"h{number}") for number in range(50)))
        assert sum(taken) == 1
        assert await store.state(id) is USED


async def test_a_taking_that_is_cancelled_is_done_or_not(store: LinkStore) -> None:
    for number in range(20):
        task = asyncio.create_task(use(store, f"{number}", "me"))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        state = await store.state(f"{number}")
        assert state in (FREE, USED)
        assert await use(store, f"{number}", "you") == (state is FREE)


async def test_event_loops_of_several_threads_share_a_store(store: LinkStore) -> None:
    barrier = threading.Barrier(4)

    def thread(number: int) -> list[str]:
        async def race() -> list[str]:
            won = []
            for id in map(str, range(100)):
                if await use(store, id, f"thread {number}"):
                    won.append(id)
                assert await store.state(id) is USED
            return won

        barrier.wait()
        return asyncio.run(race())

    with ThreadPoolExecutor(4) as pool:
        loop = asyncio.get_running_loop()
        won = await asyncio.gather(*(loop.run_in_executor(pool, thread, n) for n in range(4)))
    assert Counter(id for each in won for id in each) == Counter(map(str, range(100)))


async def test_closing_is_idempotent_and_the_store_can_be_used_again(store: LinkStore) -> None:
    await store.aclose()
    assert await use(store, "a", "me")
    await store.aclose()
    await store.aclose()
    assert await store.state("a") is USED
    assert not await use(store, "a", "you")


def test_a_store_outlives_its_event_loops(tmp_path: Path) -> None:
    for store in (MemoryLinkStore(), SQLiteLinkStore(tmp_path / "links")):
        assert asyncio.run(use(store, "a", "me"))
        assert asyncio.run(store.state("a")) is USED
        assert not asyncio.run(use(store, "a", "you"))
        asyncio.run(store.aclose())


async def test_only_names_of_links_are_remembered(store: LinkStore, clock: Clock) -> None:
    async def receive() -> bytes:
        return b""

    storage = MemoryStorage(secret_key="0123456789abcdef0123456789abcdef")
    storage._shared.clock = clock
    token = storage.create_link_token(path="the/key", operation="u", expire=60, once=True)
    grant = storage.deserialize_link_token(token)
    endpoint = LinkEndpoint(storage, store=store, clock=clock)
    answer = await carry_out(endpoint.serve(LinkRequest("PUT", token, {})), receive)
    assert answer.status == 204
    assert remembered(store) == {grant.token_id}
    kept = repr(getattr(store, "_taken", "")).encode()
    if isinstance(store, SQLiteLinkStore):
        await store.aclose()
        kept += b"".join(path.read_bytes() for path in Path(store._path).parent.iterdir())
    assert grant.token_id.encode() in kept
    for secret in (token, *token.split("."), "the/key"):
        assert secret.encode() not in kept
    await storage.aclose()


# -- the file -------------------------------------------------------------------------------------


async def test_what_was_taken_is_so_for_every_store_on_the_file(
    tmp_path: Path, clock: Clock
) -> None:
    one, other = sqlite(tmp_path, clock), sqlite(tmp_path, clock)
    assert await hold(one, "a", "me")
    assert await other.state("a") is HELD
    assert not await hold(other, "a", "you")
    await one.release("a", "me")
    assert await use(other, "a", "you")
    assert await one.state("a") is USED
    await other.revoke("b", expires=END)
    assert await one.state("b") is REVOKED
    for id in map(str, range(20)):
        taken = await asyncio.gather(
            *(use((one, other)[number % 2], id, f"h{number}") for number in range(20))
        )
        assert sum(taken) == 1
    await one.aclose()
    assert await other.state("0") is USED
    await other.aclose()


async def test_what_was_taken_outlives_the_store(tmp_path: Path, clock: Clock) -> None:
    store = sqlite(tmp_path, clock)
    assert await use(store, "used", "me")
    assert await hold(store, "held", "me")
    await store.revoke("revoked", expires=END)
    await store.aclose()
    again = sqlite(tmp_path, clock)
    assert [await again.state(id) for id in ("used", "held", "revoked")] == [USED, HELD, REVOKED]
    await again.release("held", "me")
    assert await again.state("held") is FREE
    await again.aclose()


def _race(path: str, number: int, won: multiprocessing.SimpleQueue[list[str]]) -> None:
    async def race() -> list[str]:
        store = SQLiteLinkStore(path)
        taken = [id for id in map(str, range(100)) if await use(store, id, f"process {number}")]
        await store.aclose()
        return taken

    won.put(asyncio.run(race()))


def test_of_many_processes_one_takes_a_link(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    won: multiprocessing.SimpleQueue[list[str]] = context.SimpleQueue()
    path = str(tmp_path / "links.db")
    racers = [
        context.Process(target=_race, args=(path, number, won), daemon=True) for number in range(3)
    ]
    for racer in racers:
        racer.start()
    taken = [won.get() for _ in racers]
    for racer in racers:
        racer.join(30)
        assert racer.exitcode == 0
    assert Counter(id for each in taken for id in each) == Counter(map(str, range(100)))


def run_script(text: str, *args: str) -> str:
    """Run a program and return what it printed; a hang or a warning fails it."""
    done = subprocess.run(
        [sys.executable, "-W", "default::ResourceWarning", "-c", textwrap.dedent(text), *args],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_store_goes_on_after_a_fork_in_parent_and_child(tmp_path: Path) -> None:
    script = """
        import asyncio, math, os, sys, time
        from aiostow.linkstore import LinkState, SQLiteLinkStore

        end = time.time() + 60
        store = SQLiteLinkStore(sys.argv[1])

        def take(id, holder):
            return asyncio.run(store.take(id, holder, until=math.inf, expires=end))

        def state(id):
            return asyncio.run(store.state(id)).value

        assert take("before", "parent")
        pid = os.fork()
        if not pid:
            inherited = store._connection
            assert state("before") == "used"
            assert store._connection is not inherited  # which SQLite forbids to use here
            assert not take("before", "child")
            assert take("child", "child")
            asyncio.run(store.aclose())
            assert take("again", "child")
            asyncio.run(store.aclose())
            sys.exit()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert [state(id) for id in ("before", "child", "again")] == ["used"] * 3
        assert take("parent", "parent")
        pid = os.fork()
        if not pid:
            asyncio.run(store.aclose())  # one that was never used here
            assert store._connection is None
            sys.exit()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert state("parent") == "used"
        asyncio.run(store.aclose())
        print("done")
    """
    assert run_script(script, str(tmp_path / "links")) == "done\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_forks_in_the_middle_of_everything_let_no_link_be_taken_twice(tmp_path: Path) -> None:
    script = """
        import asyncio, math, os, sys, threading, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        from aiostow.linkstore import SQLiteLinkStore

        path, LINKS = sys.argv[1], 150
        end = time.time() + 60
        store = SQLiteLinkStore(path)

        async def race(name):
            won = []
            for id in map(str, range(LINKS)):
                if await store.take(id, name, until=math.inf, expires=end):
                    won.append(id)
            with open(f"{path}.{name}", "w") as file:
                file.write("\\n".join(won))

        parent = threading.Thread(target=lambda: asyncio.run(race("parent")))
        parent.start()
        children = []
        for number in range(4):
            time.sleep(0.02)
            pid = os.fork()
            if not pid:
                asyncio.run(race(f"child{number}"))
                asyncio.run(store.aclose())
                os._exit(0)
            children.append(pid)
        for pid in children:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        parent.join()
        asyncio.run(store.aclose())
        print("done")
    """
    assert run_script(script, str(tmp_path / "links")) == "done\n"
    won = Counter(id for path in tmp_path.glob("links.*") for id in path.read_text().split() if id)
    assert won == Counter(map(str, range(150)))


async def test_a_store_travels_as_its_path(tmp_path: Path) -> None:
    store = SQLiteLinkStore(tmp_path / "links")
    far = 4_000_000_000.0
    assert await store.take("a", "me", until=math.inf, expires=far)
    same = pickle.loads(pickle.dumps(store))
    assert await same.state("a") is USED
    await same.aclose()
    await store.aclose()


# -- files that cannot be used --------------------------------------------------------------------


@pytest.mark.parametrize("path", ["missing/links.db", "file/links.db"])
def test_a_path_without_a_folder_is_refused_at_once(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgumentError, match="folder"):
        SQLiteLinkStore(tmp_path / path)


@pytest.mark.parametrize("kind", ["folder", "text", "another database", "dangling"])
async def test_a_file_that_cannot_be_used_raises_and_frees_nothing(
    tmp_path: Path, clock: Clock, kind: str
) -> None:
    path = tmp_path / "links.db"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("this is no database, but a text\n" * 100)
    elif kind == "dangling":
        path.symlink_to(tmp_path / "missing" / "links.db")
    else:
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE links (something TEXT)")
        db.commit()
        db.close()
    before = path.read_bytes() if kind in ("text", "another database") else b""
    store = sqlite(tmp_path, clock)
    for _ in range(2):
        with pytest.raises(sqlite3.Error):
            await store.state("a")
        with pytest.raises(sqlite3.Error):
            await use(store, "a", "me")
        with pytest.raises(sqlite3.Error):
            await store.release("a", "me")
        with pytest.raises(sqlite3.Error):
            await store.revoke("a", expires=END)
    await store.aclose()
    if before:
        assert path.read_bytes() == before


async def test_a_file_that_another_keeps_locked_raises_and_then_serves_again(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linkstore, "_BUSY", 0.05)
    store = sqlite(tmp_path, clock)
    assert await use(store, "a", "me")
    other = sqlite3.connect(tmp_path / "links.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await use(store, "b", "me")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await store.state("a")
    other.execute("ROLLBACK")
    other.close()
    assert await store.state("a") is USED
    assert await use(store, "b", "me")
    await store.aclose()


async def test_a_store_that_is_locked_for_long_does_not_hold_up_the_event_loop(
    tmp_path: Path, clock: Clock
) -> None:
    store = sqlite(tmp_path, clock)
    assert await use(store, "a", "me")
    other = sqlite3.connect(tmp_path / "links.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    task = asyncio.create_task(use(store, "b", "me"))
    turns = 0
    for _ in range(20):
        await asyncio.sleep(0.005)
        turns += 1
    assert not task.done()
    other.execute("ROLLBACK")
    other.close()
    assert await task
    assert turns == 20
    await store.aclose()


async def test_a_relative_path_is_that_of_when_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = SQLiteLinkStore("links.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert await store.take("a", "me", until=math.inf, expires=4e9)
    assert (tmp_path / "links.db").exists()
    assert os.listdir(tmp_path / "elsewhere") == []
    await store.aclose()
