"""Both kinds of operations and of storages, asked as if all were async."""

from __future__ import annotations

import asyncio
import inspect
import io
from typing import Any


class Asked:
    """Asks what is async on this event loop, and what is not in a thread."""

    def __init__(self, answers: Any) -> None:
        self.answers = answers

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.answers, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            if inspect.iscoroutinefunction(method):
                return await method(*args, **kwargs)
            return await asyncio.to_thread(method, *args, **kwargs)

        return call


class FormFile(io.BytesIO):
    """A file as forms bring it, with the name that its client gave."""

    def __init__(self, data: bytes, filename: str | None) -> None:
        super().__init__(data)
        self.filename = filename
