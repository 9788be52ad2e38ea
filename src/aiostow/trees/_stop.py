"""What ends a whole run."""

from __future__ import annotations


class Stopped(Exception):  # noqa: N818  # no error: it carries one past those who handle a file's
    """Carries what the caller's own code, or the journal, raised.

    Args:
        error: to be raised at the end of the run.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error
