"""Carries out the steps of the link endpoint: on an event loop, or in a thread over the facade."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self, TypeVar, Unpack

from .._download_body import CHUNK
from ..endpoint import (
    Answer,
    Await,
    Download,
    EndpointOptions,
    LinkEndpoint,
    LinkRequest,
    Receive,
    Steps,
)
from ..errors import InvalidTypeError
from ..storage import Storage
from ..sync import SyncStorage

T = TypeVar("T")

_DRAINED = 1 << 20  # bytes of a refused body that are read, so that its sender reads the answer


class ClientGoneError(Exception):
    """The client went away before all of its request came."""


async def carry_out(steps: Steps[T], receive: Callable[[], Awaitable[bytes]]) -> T:
    """Carry out steps on this event loop; a cancellation is a step's failure, and undone."""
    result: Any = None
    error: BaseException | None = None
    while True:
        try:
            step = steps.send(result) if error is None else steps.throw(error)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # what the steps return
        finally:
            result = error = None
        try:
            if isinstance(step, Receive):
                result = await receive()
            elif isinstance(step, Await):
                result = await step.call()
            else:
                result = step.hook(step.use)
                if inspect.isawaitable(result):
                    result = await result
        except BaseException as exc:  # noqa: BLE001  # thrown into the steps
            error = exc


class Body:
    """The body of a request that blocks until its bytes come.

    Args:
        read: returns at most as many bytes as it is told, none at the end.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._ended = False

    def receive(self) -> bytes:
        """Return the next bytes, none at the end.

        Raises:
            ClientGoneError: the connection was lost.
        """
        if self._ended:
            return b""
        try:
            data = self._read(CHUNK)
        except OSError as exc:
            self._ended = True
            raise ClientGoneError from exc
        self._ended = not data
        return data

    def drain(self) -> None:
        """Read a little of what a refused request still sends."""
        left = _DRAINED
        try:
            while left > 0 and (data := self.receive()):
                left -= len(data)
        except ClientGoneError:
            return


class SyncEndpoint:
    """The endpoint for frameworks without an event loop.

    Args:
        storages: facades of the storages whose links are served.
        options: of `LinkEndpoint`. Hooks are called in the thread of the request.
    """

    def __init__(
        self,
        storages: SyncStorage | Iterable[SyncStorage],
        **options: Unpack[EndpointOptions],
    ) -> None:
        given = (storages,) if isinstance(storages, (SyncStorage, Storage)) else tuple(storages)
        for each in given:
            if not isinstance(each, SyncStorage):
                raise InvalidTypeError(
                    "this framework waits in threads: give SyncStorage(storage), not "
                    f"{type(each).__name__}"
                )
        self._facades = {each.storage: each for each in given}
        self._endpoint = LinkEndpoint([each.storage for each in given], **options)

    def answer(self, request: LinkRequest, body: Body) -> tuple[Answer, SyncBody | None]:
        """Return the answer to a request, and its bytes where they come from a storage.

        Raises:
            ClientGoneError: the client went away; nothing was stored.
        """
        steps = self._endpoint.serve(request)
        facade: SyncStorage | None = None
        result: Any = None
        error: BaseException | None = None
        while True:
            try:
                step = steps.send(result) if error is None else steps.throw(error)
            except StopIteration as stop:
                answer: Answer = stop.value
                break
            finally:
                result = error = None
            try:
                if isinstance(step, Receive):
                    result = body.receive()
                    continue
                facade = self._facades[step.storage]
                if isinstance(step, Await):
                    result = facade.run(_awaited(step.call))
                else:
                    result = step.hook(step.use)
                    if inspect.isawaitable(result):
                        result = facade.run(_finished(result))
            except BaseException as exc:  # noqa: BLE001  # thrown into the steps
                error = exc
        if answer.status >= 400:
            body.drain()
        if answer.download is None:
            return answer, None
        assert facade is not None, "it was opened by a step"
        return answer, SyncBody(answer.download, facade)


async def _finished(awaitable: Awaitable[T]) -> T:
    return await awaitable


async def _awaited(call: Callable[[], Awaitable[T]]) -> T:
    return await call()


class SyncBody:
    """The bytes of an answer, as servers iterate and close them."""

    def __init__(self, download: Download, facade: SyncStorage) -> None:
        self._download = download
        self._facade = facade

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        data = self._facade.run(self._download.read())
        if not data:
            raise StopIteration
        return data

    def close(self) -> None:
        """Give back what is held; idempotent."""
        self._facade.run(self._download.aclose())
