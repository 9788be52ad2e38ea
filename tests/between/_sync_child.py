"""A sync in a process of its own, which can be killed: tells each name when it is done."""

from __future__ import annotations

import asyncio
import json
import sys

from aiostow import LocalFSStorage, S3Storage
from aiostow.trees import Outcome, sync


def tell(outcome: Outcome) -> None:
    print(outcome.action.value, outcome.name, flush=True)


async def main(root: str, spec: str, journal: str) -> None:
    async with LocalFSStorage(root) as source, S3Storage(**json.loads(spec)) as destination:
        print("began", flush=True)
        await sync(source, destination, journal=journal, on_outcome=tell)
        print("ended", flush=True)


asyncio.run(main(*sys.argv[1:]))
