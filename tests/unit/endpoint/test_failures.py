"""Storages that fail: each error has its status, and nothing of it is told."""

from __future__ import annotations

from typing import Any

import pytest

import aiostow.errors
from aiostow._answers import answer_to
from aiostow._conditions import Validators
from aiostow.backends.memory import MemoryDriver
from aiostow.linkstore import LinkState
from aiostow.testing.faulty import error, lost_reply

from ._bench import KEY, NEW, OLD, SECURITY, Bench, ask, failure, open_files

pytestmark = pytest.mark.anyio

READING = {
    "FileNotFoundInStorageError": 404, "FileExistsInStorageError": 409, "ObjectChangedError": 412,
    "WriteConflictError": 409, "AmbiguousWriteError": 503, "StorageFullError": 507,
    "MemoryBudgetError": 413, "UnsupportedOperationError": 501, "NotSupportedError": 501,
    "NotAFileError": 404, "IsADirectoryInStorageError": 404, "KeyConflictError": 404,
    "InvalidKeyError": 404,
}  # fmt: skip
WRITING = READING | {
    "NotAFileError": 409, "IsADirectoryInStorageError": 409, "KeyConflictError": 409,
    "InvalidKeyError": 409, "InvalidArgumentError": 413,
}  # fmt: skip
ERRORS = [name for name in aiostow.errors.__all__ if name != "DeleteManyError"]
SECRETS = (b"canary", b"srv", b"the-key", b"bench", b"open", b"Error")


@pytest.mark.parametrize("name", [*ERRORS, "DeleteManyError"])
@pytest.mark.parametrize("reading", [True, False])
def test_each_error_has_its_status_and_tells_nothing(name: str, reading: bool) -> None:
    answer = answer_to(failure(name), reading=reading)
    assert answer.status == (READING if reading else WRITING).get(name, 503)
    assert not any(secret in answer.body for secret in SECRETS)
    assert ("Cache-Control", "no-store") in answer.headers
    assert SECURITY.items() <= dict(answer.headers).items()
    assert dict(answer.headers)["Content-Length"] == str(len(answer.body))


@pytest.mark.parametrize("once", [False, True], ids=["many", "once"])
@pytest.mark.parametrize("call", ["open_read", "stream", "stat", "write", "delete"])
@pytest.mark.parametrize("name", ERRORS)
async def test_a_storage_that_fails_is_answered_without_a_word_of_it(
    bench: Bench, name: str, call: str, once: bool
) -> None:
    await bench.put()
    bench.driver.add(error(call, failure(name), times=100))  # a lost connection is tried again
    token = bench.token(once=once)
    method = {"stat": "HEAD", "write": "PUT", "delete": "DELETE"}.get(call, "GET")
    reply = await ask(bench.endpoint(), method, token, NEW)
    assert reply.status == (READING if method in ("GET", "HEAD") else WRITING).get(name, 503)
    shown = reply.body + repr(reply.headers).encode()
    assert not any(secret in shown for secret in SECRETS[:-2])
    assert bench.written() == {KEY: OLD}
    assert open_files(bench.storage) == []
    # What may have been done is not offered again.
    ambiguous = name in ("AmbiguousWriteError", "ConnectionLostError")
    kept = once and method in ("PUT", "DELETE") and ambiguous
    assert await bench.state(token) is (LinkState.used if kept else LinkState.free)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_exception_of_no_storage_is_answered_with_503(bench: Bench, method: str) -> None:
    await bench.put()
    for call in ("open_read", "write", "delete"):
        bench.driver.add(error(call, ZeroDivisionError("canary")))
    reply = await ask(bench.endpoint(), method, bench.token(), NEW)
    assert reply.status == 503
    assert b"canary" not in reply.body


async def test_an_upload_whose_reply_is_lost_stays_used(bench: Bench) -> None:
    bench.driver.add(lost_reply("write"))
    token = bench.token(once=True)
    assert (await ask(bench.endpoint(), "PUT", token, NEW)).status == 503
    assert bench.written() == {KEY: NEW}
    assert await bench.state(token) is LinkState.used


async def test_an_upload_whose_pieces_fail_stores_nothing_and_frees_its_link(bench: Bench) -> None:
    bench.driver.add(error("stage", aiostow.errors.StorageFullError("canary"), nth=2))
    token = bench.token(once=True)
    chunks = [bytes(1 << 20) for _ in range(20)]
    assert (await ask(bench.endpoint(), "PUT", token, *chunks)).status == 507
    assert bench.written() == {}
    assert bench.driver.count("abort") == 1
    assert await bench.state(token) is LinkState.free


async def test_an_object_replaced_between_the_check_and_the_read_is_not_the_one_meant(
    bench: Bench,
) -> None:
    # If-Match promises that version or 412 (RFC 9110, 13.1.1), as a client that resumes relies on.
    await bench.put()
    etag = Validators.of(await bench.storage.stat(KEY)).etag
    inner = bench.driver.inner
    assert isinstance(inner, MemoryDriver)
    looked_at = inner.stat

    async def stat_then_replaced(key: str) -> Any:
        entry = await looked_at(key)
        inner.put(key, b"a new version", aiostow.models.WriteOptions())
        return entry

    inner.stat = stat_then_replaced  # type: ignore[method-assign]  # another writer
    headers = {"if-match": etag, "range": "bytes=2-"}
    reply = await ask(bench.endpoint(), "GET", bench.token(), headers=headers)
    assert reply.status == 412


async def test_an_upload_whose_last_piece_is_lost_frees_its_link(bench: Bench) -> None:
    # The last piece is sent by commit(), but before anything can become visible: what is lost then
    # is not an answer that may have been "done".
    lost = aiostow.errors.ConnectionLostError("canary")
    bench.driver.add(error("stage", lost, nth=3, times=100))
    token = bench.token(once=True)
    chunks = [bytes(1 << 20) for _ in range(9)]
    assert (await ask(bench.endpoint(), "PUT", token, *chunks)).status == 503
    assert bench.written() == {}
    assert bench.driver.count("commit") == 0
    assert await bench.state(token) is LinkState.free
