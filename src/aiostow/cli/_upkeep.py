"""The commands that look after storages and trees. What they do is imported when one runs."""

from __future__ import annotations
