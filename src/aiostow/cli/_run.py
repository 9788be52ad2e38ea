"""Running a command: its event loop, its end by signals, and its errors as sentences."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from .._portal import new_event_loop
from ..errors import InvalidArgumentError, InvalidTypeError, StorageError
from ..profiles import Profiles
from ._output import say
from ._places import Object, Place, Places

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130
CLOSED_PIPE = 141
TERMINATED = 143


@dataclass
class Session:
    """One run of a command.

    Attributes:
        profiles: the storages; closed at the end.
        places: reads arguments.
        debug: show where an error comes from.
        failures: how many of several things went wrong, each of which was told.
    """

    profiles: Profiles
    places: Places
    debug: bool = False
    failures: int = field(default=0)

    def failed(self, exc: Exception, about: str = "") -> None:
        """Tell of one of several things that went wrong."""
        self.failures += 1
        tell(exc, self.debug, about)

    async def each(
        self, places: Sequence[Place], action: Callable[[Object], Awaitable[None]]
    ) -> None:
        """Do the same with several objects; what fails is told, and the rest goes on."""
        for place in places:
            try:
                await action(self.places.as_object(place))
            except StorageError as exc:
                if len(places) == 1:
                    raise
                self.failed(exc)


def run(
    load: Callable[[], Profiles],
    profile: str | None,
    debug: bool,
    action: Callable[[Session], Awaitable[None]],
) -> int:
    """Run a command to its end, and return its exit status.

    Args:
        load: returns the profiles, which are closed at the end.
        profile: that was chosen.
        debug: show where an error comes from.
        action: the command.
    """
    terminated = False

    async def main() -> int:
        task = asyncio.current_task()
        assert task is not None

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            task.cancel()

        with contextlib.suppress(NotImplementedError):  # on Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        async with load() as profiles:
            session = Session(profiles, Places(profiles, profile), debug)
            try:
                await action(session)
            finally:
                await session.places.aclose()
        return FAILED if session.failures else OK

    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(main())
    except KeyboardInterrupt:
        say("Interrupted.")
        return INTERRUPTED
    except asyncio.CancelledError:
        if not terminated:
            raise
        return TERMINATED
    except Exception as exc:  # noqa: BLE001  # a user is told a sentence, whatever it is
        exc = _alone(exc)
        if isinstance(exc, BrokenPipeError) and not isinstance(exc, StorageError):
            _forget_stdout()
            return CLOSED_PIPE
        tell(exc, debug)
        usage = isinstance(exc, InvalidArgumentError | InvalidTypeError | ImportError)
        return USAGE if usage else FAILED


def tell(exc: Exception, debug: bool, about: str = "") -> None:
    """Tell an error in a sentence."""
    if debug:
        sys.stderr.write("".join(traceback.format_exception(exc)))
    prefix = f"{about}: " if about else ""
    say(f"Error: {prefix}{_sentence(exc)}")


def _sentence(exc: Exception) -> str:
    if isinstance(exc, StorageError | ImportError):
        return str(exc)
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror
    return f"this was not foreseen: {type(exc).__name__}: {exc} (--debug shows where)"


def _alone(exc: Exception) -> Exception:
    """Return the first error of those that came together."""
    while isinstance(exc, ExceptionGroup):
        exc = exc.exceptions[0]
    return exc


def _forget_stdout() -> None:
    """Let the end of the process not try to write what nobody reads."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
