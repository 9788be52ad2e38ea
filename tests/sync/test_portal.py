"""The facade's event loop: threads, callbacks, interruptions, forks and the end."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import uvloop

from aiostow import (
    BlockingCallError,
    ClosedError,
    InvalidTypeError,
    LocalFSStorage,
    MemoryStorage,
    ResourceLimitError,
    _portal,
)
from aiostow._portal import Portal
from aiostow.sync import SyncStorage
from aiostow.testing import pattern

LARGE = pattern((9 << 20) + 1)
PATIENCE = 30


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[SyncStorage]:
    with SyncStorage(LocalFSStorage(tmp_path / "root", durable=False)) as storage:
        storage.write_bytes("k", b"data")
        yield storage


def loops() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "aiostow-sync"]


# -- calls ----------------------------------------------------------------------------------------


def test_calls_from_many_threads_are_all_served_and_none_is_mixed_up(storage: SyncStorage) -> None:
    def work(number: int) -> bool:
        key = f"many/{number}"
        data = b"%d" % number
        storage.write_bytes(key, data)
        return storage.read_bytes(key) == data and storage.stat(key).size == len(data)

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(work, range(2000)))
    assert sum(1 for _ in storage.list("many")) == 2000


async def nothing() -> None:
    pass


async def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_all_calls_are_served_by_one_loop_of_uvloop() -> None:
    portal = Portal(nothing)
    loop = portal.run(_loop())
    assert isinstance(loop, uvloop.Loop)
    with ThreadPoolExecutor(4) as pool:
        assert {pool.submit(lambda: portal.run(_loop())).result() for _ in range(8)} == {loop}
    portal.close()


def test_without_uvloop_the_loop_is_asyncios(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    portal = Portal(nothing)
    assert not isinstance(portal.run(_loop()), uvloop.Loop)
    portal.close()


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


def test_callbacks_see_the_context_of_their_caller(storage: SyncStorage) -> None:
    seen: list[str] = []

    def work(value: str) -> None:
        variable.set(value)
        storage.upload(
            iter([b"x"]), f"of-{value}", progress_callback=lambda _: seen.append(variable.get())
        )
        assert variable.get() == value

    for value in ("one", "two"):
        contextvars.copy_context().run(work, value)
    assert seen == ["one", "two"]
    assert variable.get() == "none"


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_what_a_callback_raises_arrives_and_the_loop_goes_on(
    storage: SyncStorage, error: type[BaseException]
) -> None:
    def fail(_: int) -> None:
        raise error

    with pytest.raises(error):
        storage.upload(iter([b"new"]), "k", progress_callback=fail)
    assert storage.read_bytes("k") == b"data"


def test_errors_are_not_kept_by_a_cycle(storage: SyncStorage) -> None:
    gc.collect()
    gc.disable()
    try:
        try:
            storage.stat("missing")
        except FileNotFoundError as exc:
            kept = [exc]
        error = kept.pop()
        error.__traceback__ = None
        assert sys.getrefcount(error) == 2
    finally:
        gc.enable()


# -- a thread that does not start -----------------------------------------------------------------


def within_patience(call: Callable[[], object]) -> None:
    """Make a call that may hang."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it hangs"


def start_first_by(
    monkeypatch: pytest.MonkeyPatch, first: Callable[[Callable[[], None]], None]
) -> None:
    """Have the first thread of a loop started by `first`, which is given what starts it."""
    real = threading.Thread.start
    begun: list[threading.Thread] = []

    def start(self: threading.Thread) -> None:
        if self.name == "aiostow-sync" and not begun:
            begun.append(self)
            first(lambda: real(self))
        else:
            real(self)

    monkeypatch.setattr(threading.Thread, "start", start)


def test_a_thread_that_is_refused_fails_its_call_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(_: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    made: list[asyncio.AbstractEventLoop] = []

    def new_loop() -> asyncio.AbstractEventLoop:
        made.append(uvloop.new_event_loop())
        return made[-1]

    monkeypatch.setattr(_portal, "new_event_loop", new_loop)
    start_first_by(monkeypatch, refuse)
    before = loops()
    storage = SyncStorage(LocalFSStorage(tmp_path))
    with pytest.raises(ResourceLimitError, match=r"write_bytes 'k' .*can't start new thread"):
        storage.write_bytes("k", b"data")
    assert made[0].is_closed()
    within_patience(lambda: storage.write_bytes("k", b"data"))
    within_patience(storage.close)
    assert (tmp_path / "k").read_bytes() == b"data"
    assert loops() == before


def test_a_facade_whose_thread_was_refused_can_be_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(_: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    start_first_by(monkeypatch, refuse)
    storage = SyncStorage(LocalFSStorage(tmp_path))
    with pytest.raises(ResourceLimitError):
        storage.exists("k")
    within_patience(storage.close)
    assert storage.closed


def test_a_start_that_is_interrupted_leaves_no_thread_and_closes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(start: Callable[[], None]) -> None:
        start()
        raise KeyboardInterrupt

    last: list[int] = []

    async def end() -> None:
        last.append(1)

    start_first_by(monkeypatch, interrupt)
    before = loops()
    portal = Portal(end)
    with pytest.raises(KeyboardInterrupt):
        portal.run(nothing())
    deadline = time.monotonic() + PATIENCE
    while loops() != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert loops() == before
    assert last == []
    within_patience(lambda: portal.run(nothing()))
    within_patience(portal.close)
    assert last == [1]


# -- where it must not be called ------------------------------------------------------------------


def test_within_a_running_loop_it_says_what_to_do(storage: SyncStorage) -> None:
    file = storage.open("k")

    async def misuse() -> list[str]:
        said = []
        calls: list[Callable[[], Any]] = [
            lambda: storage.stat("k"),
            lambda: storage.open("k", "w"),
            lambda: list(storage.list()),
            lambda: file.read(),
            storage.close,
        ]
        for call in calls:
            with pytest.raises(BlockingCallError) as caught:
                call()
            said.append(str(caught.value))
        # In a thread it blocks nobody.
        assert await asyncio.to_thread(storage.exists, "k")
        return said

    said = asyncio.run(misuse())
    assert all("await the storage itself" in message for message in said)
    assert said[0].startswith("stat 'k' in storage")
    assert not storage.closed
    file.close()


def test_a_callback_that_calls_back_is_refused_at_once(storage: SyncStorage) -> None:
    with pytest.raises(BlockingCallError, match="called back from the facade's own event loop"):
        storage.upload(iter([b"x"]), "new", progress_callback=lambda _: storage.exists("k"))
    assert not storage.exists("new")


def test_only_a_storage_is_wrapped() -> None:
    for wrong in ("path", None, SyncStorage(MemoryStorage())):
        with pytest.raises(InvalidTypeError, match="takes a storage such as"):
            SyncStorage(wrong)  # type: ignore[arg-type]


def test_async_with_says_what_to_write(storage: SyncStorage) -> None:
    async def misuse() -> None:
        async with storage:
            pass

    with pytest.raises(InvalidTypeError, match="write `with`"):
        asyncio.run(misuse())


# -- the end --------------------------------------------------------------------------------------


def test_closing_ends_the_thread_and_what_runs() -> None:
    before = loops()
    portal = Portal(nothing)
    begun = threading.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.sleep(PATIENCE * 10)

    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(portal.run, hang())
        assert begun.wait(PATIENCE)
        portal.close()
        with pytest.raises(ClosedError, match="closed meanwhile"):
            hanging.result(PATIENCE)
    assert loops() == before
    with pytest.raises(ClosedError):
        portal.run(_loop())
    portal.close()


def test_calls_that_race_with_the_end_are_served_or_refused_but_never_hang() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 1

    for _ in range(60):
        portal = Portal(nothing)
        outcomes: list[int] = []

        def call(portal: Portal = portal, outcomes: list[int] = outcomes) -> None:
            try:
                while True:
                    outcomes.append(portal.run(work()))
            except ClosedError:
                outcomes.append(0)

        threads = [threading.Thread(target=call, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.002)
        portal.close()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert outcomes.count(0) == 4


def test_a_facade_that_is_forgotten_ends_its_thread(tmp_path: Path) -> None:
    before = loops()
    storage = SyncStorage(LocalFSStorage(tmp_path))
    storage.write_bytes("k", b"data")
    assert len(loops()) == len(before) + 1
    del storage
    gc.collect()
    end = time.monotonic() + PATIENCE
    while loops() != before and time.monotonic() < end:
        time.sleep(0.01)
    assert loops() == before


def test_a_facade_that_was_never_used_has_no_thread(tmp_path: Path) -> None:
    before = loops()
    with SyncStorage(LocalFSStorage(tmp_path)):
        assert loops() == before


def test_views_share_the_loop_and_leave_it_open(storage: SyncStorage) -> None:
    count = len(loops())
    with storage.at("below") as view:
        view.write_bytes("x", b"1")
    assert view.closed
    assert len(loops()) == count
    assert storage.read_bytes("below/x") == b"1"
    with pytest.raises(ClosedError):
        view.exists("x")


def test_listings_that_are_abandoned_are_closed(storage: SyncStorage) -> None:
    closed = threading.Event()
    listing = iter(storage.list())
    next(listing)
    aclose = listing._items.aclose

    async def watched() -> None:
        await aclose()
        closed.set()

    listing._items.aclose = watched  # type: ignore[method-assign]
    del listing
    gc.collect()
    assert closed.wait(PATIENCE)


def test_it_pickles_as_its_configuration(storage: SyncStorage) -> None:
    with storage.at("below") as view:
        view.write_bytes("x", b"1")
        clone: SyncStorage = pickle.loads(pickle.dumps(view))
    with clone:
        assert clone.read_bytes("x") == b"1"
    assert clone.closed
    assert storage.read_bytes("below/x") == b"1"


# -- other processes ------------------------------------------------------------------------------


def run_script(script: str, *arguments: str) -> str:
    script = textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


FORK = """
    import os, signal, sys, threading, time
    from aiostow import LocalFSStorage
    from aiostow.sync import SyncStorage

    storage = SyncStorage(LocalFSStorage(sys.argv[1], durable=False))
    data = bytes(range(256)) * 40_000
    storage.write_bytes("k", data)
    reader = storage.open("k")
    reader.read(10)
    busy = len(sys.argv) > 2
    going = True

    def work():
        while going:
            storage.write_bytes("busy", data)
            storage.read_bytes("busy")

    threads = [threading.Thread(target=work) for _ in range(3 * busy)]
    for thread in threads:
        thread.start()
    bad = []
    for number in range(10):
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            signal.alarm(20)       # what hangs is killed
            code = 1
            try:
                assert storage.read_bytes("k") == data
                storage.write_bytes(f"child{number}", data)
                assert storage.exists(f"child{number}")
                try:
                    reader.seek(0)
                    reader.read()
                except ValueError as error:
                    assert "event loop that opened it" in str(error), error
                else:
                    raise AssertionError("the parent's file was read")
                reader.close()
                storage.close()
                code = 0
            except BaseException as error:
                print(repr(error))
            finally:
                sys.stdout.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            bad.append(code)
    going = False
    for thread in threads:
        thread.join()
    assert reader.read() == data[10:]
    reader.close()
    storage.write_bytes("parent", data)
    storage.close()
    print(bad)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("busy", [False, True])
def test_a_forked_child_works_or_is_told_at_once(tmp_path: Path, busy: bool) -> None:
    assert run_script(FORK, str(tmp_path / "root"), *["busy"] * busy) == "[]\n"


INTERRUPTED = """
    import sys, time
    from aiostow import LocalFSStorage
    from aiostow.sync import SyncStorage

    def slow():
        for number in range(1000):
            yield bytes([number % 256]) * 1_000_000
            if number == 10:
                print("under way", flush=True)
            time.sleep(0.01)

    storage = SyncStorage(LocalFSStorage(sys.argv[1]))
    try:
        if sys.argv[2] == "upload":
            storage.upload(slow(), "k")
        elif sys.argv[2] == "with":
            with storage.open("k", "w") as file:
                for block in slow():
                    file.write(block)
        else:
            file = storage.open("k", "w")
            for block in slow():
                file.write(block)
    finally:
        if sys.argv[2] == "with":
            storage.close()
"""


@pytest.mark.parametrize("tmpfile", [True, False], ids=["unnamed", "named"])
@pytest.mark.parametrize("way", ["upload", "with", "neither"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_script_stopped_by_ctrl_c_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, way: str, times: int, tmpfile: bool
) -> None:
    (tmp_path / "k").write_bytes(b"old")
    script = textwrap.dedent(INTERRUPTED)
    if not tmpfile:
        script = "import os; del os.O_TMPFILE\n" + script
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), way],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "under way\n"
        for _ in range(times):
            child.send_signal(signal.SIGINT)
            time.sleep(0.005)
        _, said = child.communicate(timeout=PATIENCE)
    assert child.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in said
    assert (tmp_path / "k").read_bytes() == b"old"
    if times == 1:
        assert os.listdir(tmp_path) == ["k"]


def test_an_interrupted_read_can_be_repeated(storage: SyncStorage) -> None:
    storage.write_bytes("large", LARGE)
    main = threading.get_ident()
    with storage.open("large") as file:
        file.read(100)
        interrupted = 0
        for number in range(40):
            timer = threading.Timer(
                0.0002 * (number % 10), signal.pthread_kill, (main, signal.SIGINT)
            )
            try:
                timer.start()
                file.read(8 << 20)
                file.seek(100)
                timer.join()
            except KeyboardInterrupt:
                interrupted += 1
            finally:
                timer.join()
            file.seek(100) if file.tell() != 100 else None
        assert interrupted
        assert file.read() == LARGE[100:]


def test_a_process_that_forgets_to_close_ends() -> None:
    script = """
        from aiostow import MemoryStorage
        from aiostow.sync import SyncStorage
        storage = SyncStorage(MemoryStorage())
        storage.write_bytes("k", b"data")
        print(storage.read_bytes("k"))
    """
    assert run_script(script) == "b'data'\n"
