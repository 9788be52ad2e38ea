"""When a request is tried again, and after how long. Pure: it is told the time and the dice."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

_FIRST = 0.1  # seconds that the first pause is at most
_LONGEST = 10.0  # seconds that a pause is at most, unless the service asks for more
_TRIES = 9
_CONNECTS = 3  # tries to make a connection
_TOKENS = 500.0
_COST = 5.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a try failed.

    Attributes:
        transient: whether another try may succeed.
        connected: whether there was a connection.
        unsure: whether the request may have been carried out all the same.
        retry_after: seconds that the service asks to wait.
        at_once: whether the first further try need not wait.
    """

    transient: bool
    connected: bool
    unsure: bool
    retry_after: float = 0.0
    at_once: bool = False


class RetryBudget:
    """What all requests to one service may spend on further tries.

    It keeps a service that is down from being asked nine times as often: every further try costs
    five tokens of five hundred. A request that succeeds gives back what its last try cost, or one
    token if its first was enough, so that a connection lost now and then costs nothing.
    """

    def __init__(self) -> None:
        self._tokens = _TOKENS

    def take(self) -> bool:
        """Pay for one further try; False when the budget is spent."""
        if self._tokens < _COST:
            return False
        self._tokens -= _COST
        return True

    def succeeded(self, after_retry: bool) -> None:
        """Give back what a success shows was not wasted."""
        self._tokens = min(self._tokens + (_COST if after_retry else 1), _TOKENS)


@dataclass(slots=True)
class Retry:
    """The tries of one request.

    Attributes:
        budget: shared by all requests.
        deadline: in seconds, for all tries and pauses together.
        connect_deadline: in seconds, while no connection could be made.
        tries: that failed so far.
        unsure: whether a failed one may have been carried out.
    """

    budget: RetryBudget
    deadline: float
    connect_deadline: float
    dice: Callable[[], float] = random.random
    tries: int = 0
    unsure: bool = False

    def pause(self, failure: Failure, elapsed: float) -> float | None:
        """Return for how many seconds to wait before the next try; None to give up.

        Args:
            failure: of the last try.
            elapsed: seconds since the first began.
        """
        self.tries += 1
        self.unsure = self.unsure or failure.unsure
        deadline, most = self.deadline, _TRIES
        if not failure.connected:
            deadline, most = min(deadline, self.connect_deadline), _CONNECTS
        if not failure.transient or self.tries >= most:
            return None
        at_once = failure.at_once and self.tries == 1
        longest = 0.0 if at_once else min(_FIRST * 2 ** (self.tries - 1), _LONGEST)
        pause = failure.retry_after + longest * self.dice()
        if elapsed + pause >= deadline or not self.budget.take():
            return None
        return pause
