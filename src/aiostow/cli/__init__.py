"""The command line: ``aiostow``, and the same commands within an application's own."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run `aiostow` with the arguments of the process."""
    try:
        from ._application import aiostow
    except ModuleNotFoundError as exc:
        if exc.name != "click":
            raise
        print("Error: aiostow needs the extra 'cli': pip install 'aiostow[cli]'", file=sys.stderr)  # noqa: T201  # there is no click to say it
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    aiostow.main(prog_name="aiostow")
