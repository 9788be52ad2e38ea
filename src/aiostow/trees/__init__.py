"""Trees kept in step: what one storage holds, copied to another, or compared with it."""

from __future__ import annotations

from ._compare import Compare
from ._journal import Journal
from ._report import Action, Outcome, Report
from ._sync import sync
from ._verify import verify

__all__ = ["Action", "Compare", "Journal", "Outcome", "Report", "sync", "verify"]
