"""How soon the command line answers, beside the import of the library that reads its options."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from ._measure import Case, Target, about, chosen, measure

ROUNDS = 21


async def main() -> None:
    """Measure and print every case."""
    print(f"cli: {about('aiostow', 'click')}")
    case = Case(
        "a start of the interpreter, and --help",
        1,
        "starts",
        {
            "aiostow --help": program("-m", "aiostow", "--help"),
            "import click": program("-c", "import click"),
        },
        (Target("import click", 0.34),),
        ROUNDS,
    )
    for each in chosen([case]):
        await measure(each)


def program(*arguments: str) -> Callable[[], Awaitable[object]]:
    """Return a run of a fresh interpreter."""

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 0

    return run
