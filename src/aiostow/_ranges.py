"""The bytes of one range, exactly: a connection that breaks is opened again where it broke."""

from __future__ import annotations

import asyncio
import random

from ._context import ErrorContext
from ._operation import tell_retry
from .driver import Buffer, Chunks, Source
from .errors import ConnectionLostError, ShortReadError, StorageError
from .models import ByteRange

TRIES = 5
"""How often in a row a range is opened again without a single byte coming."""

_FIRST_PAUSE = 0.05  # seconds; doubled with each try that gives nothing


class ExactRange:
    """Iterates the bytes of a range; ends after all of them, or raises.

    A body that is cut short, or a connection that is lost, is no end: the rest is asked for again,
    from the same version, until `TRIES` in a row have given nothing.

    Args:
        source: of the bytes.
        span: the range, which lies within the object.
        context: names the errors.
    """

    def __init__(self, source: Source, span: ByteRange, context: ErrorContext) -> None:
        self._source = source
        self._position = span.offset
        self._end = span.end
        self._cut = False  # the end is nearer than what was asked for
        self._context = context
        self._chunks: Chunks | None = None
        self._failures = 0

    def __aiter__(self) -> ExactRange:
        return self

    async def open(self) -> None:
        """Ask for the bytes; a failure comes now rather than with the first of them."""
        while self._chunks is None:
            try:
                with self._context:
                    left = self._end - self._position
                    self._chunks = await self._source.stream(self._position, left)
            except ConnectionLostError as exc:
                await self._pause(exc)

    async def __anext__(self) -> Buffer:
        while True:
            if self._cut and self._position == self._end:
                self.close()
                raise StopAsyncIteration
            await self.open()
            assert self._chunks is not None, "open sets it or raises"
            try:
                with self._context:
                    chunk = await anext(self._chunks, None)
                    if self._cut and chunk is not None:
                        chunk = chunk[: self._end - self._position]
                    self._check(chunk)
            except (ConnectionLostError, ShortReadError) as exc:
                self.close()
                if self._position > self._end:
                    raise
                await self._pause(exc)
                continue
            if chunk is None:
                self.close()
                raise StopAsyncIteration
            self._failures = 0
            return chunk

    def shorten(self, length: int) -> int:
        """End after `length` more bytes, if there are as many, and return where that is."""
        if self._position + length < self._end:
            self._end = self._position + length
            self._cut = True
        return self._end

    def _check(self, chunk: Buffer | None) -> None:
        if chunk is None:
            missing = self._end - self._position
            if missing:
                raise ShortReadError(f"the body ended {missing} bytes before its promised length")
        else:
            self._position += len(chunk)
            if self._position > self._end:
                raise ShortReadError("more bytes came than the range holds")

    async def _pause(self, exc: StorageError) -> None:
        self._failures += 1
        if self._failures > TRIES:
            raise exc
        pause = 0.0
        if self._failures > 1:  # the first time at once: most often the connection was just old
            pause = _FIRST_PAUSE * 2 ** (self._failures - 2) * random.uniform(0.5, 1)
        with self._context:  # a file's operation is under way within its context only
            tell_retry(self._failures, pause, exc, exc.message)
        await asyncio.sleep(pause)

    def close(self) -> None:
        """Give back what the range holds; idempotent."""
        chunks, self._chunks = self._chunks, None
        if chunks is not None:
            chunks.close()
