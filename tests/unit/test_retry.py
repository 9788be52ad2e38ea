"""When a request is tried again, and after how long."""

from __future__ import annotations

from aiostow.backends._retry import Failure, Retry, RetryBudget

LOST = Failure(transient=True, connected=True, unsure=True, at_once=True)
BUSY = Failure(transient=True, connected=True, unsure=False)
REFUSED = Failure(transient=True, connected=False, unsure=False)
WRONG = Failure(transient=False, connected=True, unsure=False)


def retry(dice: float = 1.0, deadline: float = 1000.0, budget: RetryBudget | None = None) -> Retry:
    return Retry(budget or RetryBudget(), deadline, 10.0, lambda: dice)


def pauses(of: Retry, failure: Failure) -> list[float]:
    found: list[float] = []
    while (pause := of.pause(failure, sum(found))) is not None:
        found.append(pause)
    return found


def test_pauses_double_up_to_a_limit() -> None:
    assert pauses(retry(), BUSY) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0]


def test_pauses_are_jittered_over_their_whole_length() -> None:
    assert pauses(retry(dice=0.0), BUSY) == [0.0] * 8
    assert pauses(retry(dice=0.5), BUSY)[:3] == [0.05, 0.1, 0.2]


def test_a_lost_connection_is_tried_again_at_once() -> None:
    assert pauses(retry(), LOST)[:3] == [0.0, 0.2, 0.4]


def test_what_cannot_become_right_is_not_tried_again() -> None:
    assert pauses(retry(), WRONG) == []


def test_the_deadline_ends_it() -> None:
    assert sum(pauses(retry(deadline=2.0), BUSY)) < 2.0


def test_a_service_that_is_not_there_is_tried_briefly() -> None:
    assert pauses(retry(), REFUSED) == [0.1, 0.2]
    assert retry().pause(REFUSED, 10.0) is None


def test_what_the_service_asks_for_is_waited_at_least() -> None:
    asked = Failure(True, True, False, retry_after=7.0)
    assert retry().pause(asked, 0.0) == 7.1
    assert retry(deadline=5.0).pause(asked, 0.0) is None


def test_the_budget_is_shared_and_refilled_by_success() -> None:
    budget = RetryBudget()
    tries = 0
    while retry(budget=budget).pause(BUSY, 0.0) is not None:
        tries += 1
    assert tries == 100
    for _ in range(5):
        budget.succeeded(after_retry=False)
    assert retry(budget=budget).pause(BUSY, 0.0) is not None
    assert retry(budget=budget).pause(BUSY, 0.0) is None


def test_tries_that_succeed_cost_nothing() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        assert retry(budget=budget).pause(LOST, 0.0) is not None
        budget.succeeded(after_retry=True)


def test_it_remembers_that_an_earlier_try_may_have_been_carried_out() -> None:
    of = retry()
    of.pause(BUSY, 0.0)
    assert not of.unsure
    of.pause(LOST, 0.0)
    of.pause(WRONG, 0.0)
    assert of.unsure
