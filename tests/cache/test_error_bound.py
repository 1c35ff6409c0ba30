"""The user's bound on wrong answers, kept over all requests together."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.cache.error_bound import ErrorBound
from freehold.errors import SettingsError

RISK = st.floats(min_value=0, max_value=1)
BOUND = st.sampled_from([0.001, 0.01, 0.02, 0.1, 0.5, 0.99])
Draw = Callable[[random.Random], "float | None"]


def asked(bound: ErrorBound, *risks: float | None) -> None:
    """So many requests, each with its best candidate's risk."""
    for risk in risks:
        bound.requested(risk)


# --- what is spent ----------------------------------------------------------------------------------------------------


@given(BOUND, st.floats(0, 3), st.lists(st.tuples(st.none() | RISK, RISK), max_size=200))
@settings(max_examples=60)
def test_nothing_is_spent_that_was_not_earned(
    share: float, grace: float, requests: list[tuple[float | None, float]]
) -> None:
    """Protects the bound: hits risk at most the grace and the bound's share of the requests, whatever comes.

    What is left is told, and is never less than nothing.
    """
    bound, spent = ErrorBound(share, grace=grace), 0.0
    for number, (risk, served) in enumerate(requests, 1):
        bound.requested(risk)
        covered = bound.covers(served)
        before = bound.unspent
        assert bound.spend(served) is covered
        spent += served if covered else 0.0
        assert spent <= grace + share * number + 1e-9
        assert bound.unspent == pytest.approx(before - (served if covered else 0.0))
        assert bound.unspent >= 0
        assert not covered or served <= bound.limit


@given(BOUND, st.lists(RISK, max_size=200))
@settings(max_examples=60)
def test_no_hit_is_served_that_is_probably_wrong(share: float, risks: list[float]) -> None:
    """Protects from a rich cache that serves nonsense because it can afford to."""
    bound = ErrorBound(share, ceiling=0.5)
    asked(bound, *risks)
    assert bound.limit <= 0.5
    assert not bound.spend(0.6)


def test_savings_are_bounded() -> None:
    """Protects from a quiet month that pays for a bad hour: what is unspent is kept for the horizon only."""
    bound = ErrorBound(0.02, horizon=500)
    asked(bound, *[None] * 5000)
    assert bound.unspent == pytest.approx(10.0)


@pytest.mark.parametrize("share", [0.0001, 0.001, 0.02, 0.3])
def test_a_new_cache_risks_no_more_than_it_may_ever(share: float) -> None:
    """Protects a strict bound from the grace, which alone would be more than the bound allows over the horizon."""
    bound = ErrorBound(share, horizon=1000)
    assert 0 < bound.unspent <= max(1.0, share * 1000)
    assert bound.unspent <= share * 1000
    before = bound.unspent
    asked(bound, None)
    assert before < bound.unspent < before + share


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_a_bound_that_bounds_nothing_is_refused(share: float) -> None:
    """Protects from a setting that means something else, such as 2 for two percent."""
    with pytest.raises(SettingsError, match=f"max_error={share}"):
        ErrorBound(share)


# --- the limit --------------------------------------------------------------------------------------------------------


def test_at_first_a_quarter_may_be_risked() -> None:
    """Protects the first requests of every process, when nothing is known of how risks are spread."""
    bound = ErrorBound(0.02)
    asked(bound, *[0.001] * 40)
    assert bound.limit == 0.25
    assert (bound.covers(0.25), bound.covers(0.26)) == (True, False)


def test_the_limit_follows_the_spread_of_risks() -> None:
    """Protects the surest hits from those that would eat their allowance, and follows when risks change.

    Many sure candidates leave room for few others; where all become unsure, only the surest of those are served; where
    candidates become rare, all that are more likely right than wrong.
    """
    rng, bound = random.Random(1), ErrorBound(0.02)

    def limit_behind(*kinds: tuple[float, float] | None) -> float:
        for number in range(1600):
            kind = kinds[number % len(kinds)]
            risk = rng.uniform(*kind) if kind is not None else None
            bound.requested(risk)
            if risk is not None:
                bound.spend(risk)
        return bound.limit

    assert 0.009 < limit_behind((0.0, 0.01), (0.2, 0.5)) < 0.35
    assert 0.05 < limit_behind((0.05, 0.5)) < 0.2
    assert limit_behind(*[None] * 99, (0.2, 0.5)) > 0.4


@given(st.lists(st.none() | st.floats(0, 0.5), min_size=100, max_size=300))
@settings(max_examples=40)
def test_the_limit_would_have_cost_no_more_than_was_there(risks: list[float | None]) -> None:
    """Protects the allowance: the newest requests up to the limit spend what they earned, and some savings."""
    bound = ErrorBound(0.02)
    asked(bound, *risks, *risks[: -len(risks) % 20])
    newest = [*risks, *risks[: -len(risks) % 20]]
    below = sorted(risk for risk in newest if risk is not None and risk < bound.limit)
    assert sum(below) <= 2 * 0.02 * len(newest)


def test_what_is_earned_may_be_spent_where_nothing_spent_it() -> None:
    """Protects hits behind many requests that risked nothing, such as exact repeats, and riskier ones than before."""
    bound = ErrorBound(0.02)
    asked(bound, *[None] * 200)
    assert bound.covers(0.3)
    asked(bound, *[0.001] * 200)
    assert bound.spend(0.002)


def test_savings_raise_the_limit() -> None:
    """Protects hits: an allowance that nobody used for long is used."""
    rng = random.Random(2)
    risks = [rng.uniform(0, 0.3) for _ in range(1500)]
    spent, saved = ErrorBound(0.02), ErrorBound(0.02)
    for risk in risks:
        spent.requested(risk)
        spent.spend(risk)
    asked(saved, *[None] * 5000, *risks)
    assert 0.05 < spent.limit < saved.limit < 0.3


# --- facts ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 0.25), st.booleans()), max_size=20))
def test_a_fact_replaces_a_risk(served: list[tuple[float, bool]]) -> None:
    """Protects the bound from what was known wrong: a right answer cost nothing, a wrong one costs one."""
    bound, expected = ErrorBound(0.02, grace=10.0), 10.0
    for risk, wrong in served:
        before = bound.unspent
        if bound.spend(risk):
            bound.settle(risk, wrong=wrong)
            expected = before - wrong
        assert bound.unspent == pytest.approx(expected)


def test_a_debt_is_paid_before_anything_is_served() -> None:
    """Protects the bound after wrong answers: not even the surest hit is served until they are earned."""
    bound = ErrorBound(0.1)
    assert bound.spend(0.2)
    bound.settle(0.2, wrong=True)
    bound.settle(0.0, wrong=True)
    assert bound.unspent < 0
    assert not bound.spend(0.0)
    asked(bound, *[None] * 30)
    assert bound.unspent > 0
    assert bound.spend(0.0)


# --- a later process --------------------------------------------------------------------------------------------------


@given(BOUND, st.integers(0, 3000), st.floats(0, 1))
def test_a_restart_goes_on_where_it_stopped(share: float, requests: int, part: float) -> None:
    """Protects the bound over restarts: the grace is given once, and what was spent stays spent."""
    lived = ErrorBound(share)
    asked(lived, *[None] * requests)
    risked = part * lived.unspent
    while risked > lived.limit:
        risked /= 2
    assert lived.spend(risked)
    later = ErrorBound(share)
    later.resume(requests, risked, 0.0)
    assert later.unspent == pytest.approx(lived.unspent, abs=1e-6)


def test_a_long_history_is_no_debt() -> None:
    """Protects a cache that ran for a year: what it earned then pays for what it risked then, beyond any horizon."""
    bound = ErrorBound(0.02)
    bound.resume(1_000_000, 15_000, 0.0)
    assert 0 < bound.unspent <= 100
    assert bound.spend(0.2)


def test_what_lapsed_does_not_come_back() -> None:
    """Protects the bound over restarts of a cache that saved more than it may keep."""
    lived = ErrorBound(0.02, horizon=100)
    lapsed = sum(lived.requested() for _ in range(1000))
    assert lapsed > 0
    assert lived.spend(0.2)
    later = ErrorBound(0.02, horizon=100)
    later.resume(1000, 0.2, lapsed)
    assert later.unspent == pytest.approx(lived.unspent)


# --- streams ----------------------------------------------------------------------------------------------------------


def spread(rng: random.Random) -> float | None:
    """Candidates of all risks, as a good calibration finds them."""
    return None if rng.random() < 0.4 else rng.betavariate(0.5, 3)


def mostly_sure(rng: random.Random) -> float | None:
    """Most candidates at a small risk, others at any."""
    return 0.03 if rng.random() < 0.4 else rng.random() if rng.random() < 0.5 else None


def wrong_answers(share: float, draw: Draw, seed: int, requests: int, settled: float) -> float:
    """The share of wrong answers in a stream whose risks are right; some of them are found out."""
    rng, bound, wrong = random.Random(seed), ErrorBound(share, horizon=requests), 0
    for _ in range(requests):
        risk = draw(rng)
        bound.requested(risk)
        if risk is not None and bound.spend(risk):
            failed = rng.random() < risk
            wrong += failed
            if rng.random() < settled:
                bound.settle(risk, wrong=failed)
    return wrong / requests


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
@pytest.mark.parametrize(("draw", "settled"), [(spread, 0.0), (spread, 0.3), (mostly_sure, 0.0)])
def test_the_bound_holds_where_the_risks_are_right(share: float, draw: Draw, settled: float) -> None:
    """Protects what the user was promised: in 95 of 100 streams or more, few enough answers are wrong.

    And it is used: on average at least a third of what may be wrong is risked.
    """
    found = [wrong_answers(share, draw, seed, 1000, settled) for seed in range(100)]
    assert sum(wrong <= share for wrong in found) >= 95
    assert sum(found) / len(found) > share / 3


def test_several_threads_spend_an_allowance_once() -> None:
    """Protects the bound from two hits that are served for one allowance."""
    bound = ErrorBound(0.02, grace=1.0)
    served: list[int] = []

    def work() -> None:
        served.append(sum(bound.spend(1 / 64) for _ in range(100)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(served) == 64
    assert bound.unspent == 0


def test_several_threads_ask_and_settle() -> None:
    """Protects sums over many threads: requests earn, and facts pay back, exactly once each."""
    bound, alone = ErrorBound(0.02), ErrorBound(0.02)

    def work() -> None:
        for _ in range(200):
            bound.requested(0.01)
            if bound.spend(0.01):
                bound.settle(0.01, wrong=False)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked(alone, *[0.01] * 1600)
    assert bound.unspent == pytest.approx(alone.unspent)
