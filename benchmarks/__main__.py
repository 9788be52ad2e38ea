"""Run the benchmarks: ``python -m benchmarks [topic ...]``."""

from __future__ import annotations

import asyncio
import importlib
import sys

TOPICS = ["local", "facade", "s3", "azure", "sftp", "links", "cli", "sync"]

for topic in sys.argv[1:] or TOPICS:
    if topic not in TOPICS:
        sys.exit(f"unknown topic {topic!r}: choose from {', '.join(TOPICS)}")
    asyncio.run(importlib.import_module(f"benchmarks.{topic}").main())
