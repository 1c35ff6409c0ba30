from __future__ import annotations

from freehold.coordination.breaker import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_failure_keeps_everyone_out_for_the_time() -> None:
    """Protects callers: the time-out of a dead resource is paid once, and the refusal says why."""
    clock = Clock()
    breaker = Breaker(5.0, clock)
    assert breaker.refusal() is None
    breaker.failed("refused")
    clock.now += 4.9
    assert breaker.refusal() == "refused"


def test_one_caller_tries_again_while_the_others_stay_out() -> None:
    """Protects a resource that comes back from everyone at once."""
    clock = Clock()
    breaker = Breaker(5.0, clock)
    breaker.failed("refused")
    clock.now += 5.0
    assert breaker.refusal() is None
    assert breaker.refusal() == "refused"
    breaker.passed()
    assert breaker.refusal() is None
    assert breaker.refusal() is None


def test_a_second_failure_keeps_out_anew() -> None:
    """Protects from a breaker that opens once and never again."""
    clock = Clock()
    breaker = Breaker(5.0, clock)
    breaker.failed("refused")
    clock.now += 5.0
    assert breaker.refusal() is None
    breaker.failed("still refused")
    clock.now += 4.9
    assert breaker.refusal() == "still refused"


def test_a_trial_that_never_reports_does_not_lock_the_resource_out() -> None:
    """Protects from a caller that was cancelled while it tried again."""
    clock = Clock()
    breaker = Breaker(5.0, clock)
    breaker.failed("refused")
    clock.now += 5.0
    assert breaker.refusal() is None
    clock.now += 5.0
    assert breaker.refusal() is None
