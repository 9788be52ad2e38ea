"""Carries out the steps of the link endpoint: on an event loop, or in a thread over the facade."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Self, TypeVar, Unpack

from .._answers import sentence
from .._link_steps import Await, Receive, Steps
from ..endpoint import Answer, Download, EndpointOptions, LinkEndpoint, LinkRequest
from ..errors import InvalidTypeError
from ..storage import Storage
from ..sync import SyncStorage

T = TypeVar("T")

_PIECE = 64 << 10  # bytes of a body that are waited for: whoever sends slowly is heard of
_DRAINED = 1 << 20  # bytes of a refused body that are read, so that its sender reads the answer


class ClientGoneError(Exception):
    """The body of a request did not come as it should, and nobody may be left to be answered.

    Args:
        answer: for whoever is left.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def cut_off(error: Exception) -> ClientGoneError:
    """Return the end of a body of which a server or framework says that it is no good."""
    if getattr(error, "code", None) == 413:  # werkzeug's, by a limit of the application's
        return ClientGoneError(sentence(413, "The file is too large to be sent here."))
    return ClientGoneError(sentence(400, "The body ended too early, or is broken."))


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
        headers: of the request, by lower-case names.
    """

    def __init__(self, read: Callable[[int], bytes], headers: Mapping[str, str]) -> None:
        self._read = read
        self._headers = headers
        self._ended = False

    def receive(self) -> bytes:
        """Return the next bytes, none at the end.

        Raises:
            ClientGoneError: the connection was lost, or what came is no body.
        """
        if self._ended:
            return b""
        try:
            data = self._read(_PIECE)
        except Exception as exc:
            # Servers have errors of their own for bodies that break the rules of HTTP.
            self._ended = True
            raise cut_off(exc) from exc
        self._ended = not data
        return data

    def drain(self) -> None:
        """Read what is left of a small refused body: servers reset connections that have more."""
        length = self._headers.get("content-length", "0")
        if "expect" in self._headers or not length.isdecimal() or int(length[:9]) > _DRAINED:
            return
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

    def answer(self, request: LinkRequest, body: Body) -> tuple[Answer, SyncBody | Refusal | None]:
        """Return the answer to a request, and its bytes unless they are all at hand."""
        try:
            answer, facade = self._carry_out(request, body)
        except ClientGoneError as exc:
            answer, facade = exc.answer, None
        if answer.download is not None:
            assert facade is not None, "it was opened by a step"
            return answer, SyncBody(answer.download, facade)
        if answer.status >= 400 and request.method in ("PUT", "POST"):
            return answer, Refusal(answer.body, body)
        return answer, None

    def _carry_out(self, request: LinkRequest, body: Body) -> tuple[Answer, SyncStorage | None]:
        steps = self._endpoint.serve(request)
        facade: SyncStorage | None = None
        result: Any = None
        error: BaseException | None = None
        while True:
            try:
                step = steps.send(result) if error is None else steps.throw(error)
            except StopIteration as stop:
                return stop.value, facade
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


class Refusal:
    """The bytes of a refusal. When they are sent, a little of the refused body is still read."""

    def __init__(self, text: bytes, body: Body) -> None:
        self._parts = iter([text] if text else [])
        self._body = body

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """Read on."""
        self._body.drain()
