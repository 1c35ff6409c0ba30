"""Drafts are as long as they pay, on machines where rows are dear and where they are free."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.inference.draft_length import DraftLength, StepCost

DEAR = {1: 7.6, 2: 12.6, 3: 17.5, 4: 19.6, 5: 24.9, 6: 30.4, 7: 35.3, 8: 33.9, 12: 48, 16: 47.8, 17: 53.6, 32: 92}
"""Milliseconds by rows: Qwen2-0.5B's shape, Q4_0, two threads."""


def true_cost(rows: int, table: dict[int, float]) -> float:
    """The table's cost, straight lines between."""
    if rows in table:
        return table[rows]
    low, high = max(r for r in table if r < rows), min(r for r in table if r > rows)
    return table[low] + (table[high] - table[low]) * (rows - low) / (high - low)


def play(steps: int, chance: float, table: dict[int, float], seed: int = 0, noise: float = 0.0) -> tuple[float, float]:
    """Run a request whose drafted tokens are right by chance; return its tokens per second and drafts per step."""
    cost, length, chooser = StepCost(), DraftLength(), random.Random(seed)
    tokens, spent, drafts = 0, 0.0, 0
    for step in range(steps):
        drafted = length.choose(16, 1, cost)
        accepted = next((at for at in range(drafted) if chooser.random() >= chance), drafted)
        took = true_cost(1 + drafted, table) / 1000 * (1 + noise * chooser.random())
        cost.observe(1 + drafted, took)
        if drafted:
            length.learn(drafted, accepted)
        if step >= steps // 2:
            tokens, spent, drafts = tokens + 1 + accepted, spent + took, drafts + (drafted > 0)
    return tokens / spent, drafts / (steps - steps // 2)


def best_rate(chance: float, table: dict[int, float]) -> float:
    """Tokens per second of the best draft length, were everything known."""
    return max(
        1000 * sum(chance**at for at in range(drafted + 1)) / true_cost(1 + drafted, table) for drafted in range(17)
    )


@given(
    seen=st.lists(st.tuples(st.integers(-2, 600), st.floats(-1, 10)), max_size=40),
    outcomes=st.lists(st.tuples(st.integers(0, 16), st.integers(0, 16)), max_size=40),
    available=st.integers(-2, 40),
    rows=st.integers(0, 300),
)
def test_never_more_than_there_is(
    seen: list[tuple[int, float]], outcomes: list[tuple[int, int]], available: int, rows: int
) -> None:
    """Whatever was seen before, a draft is between nothing and all that is available, and costs are above 0."""
    cost, length = StepCost(), DraftLength()
    for count, seconds in seen:
        cost.observe(count, seconds)
    for drafted, accepted in outcomes:
        length.choose(drafted, rows, cost)
        length.learn(drafted, min(drafted, accepted))
    assert all(cost.predict(count) > 0 for count in range(1, 600, 7))
    assert 0 <= length.choose(available, rows, cost) <= max(available, 0)


@pytest.mark.parametrize("table", [DEAR, {1: 0.30, 32: 0.62}])
def test_useless_drafts_stop(table: dict[int, float]) -> None:
    """Where no drafted token is ever right, drafting all but ends, and costs next to nothing."""
    rate, drafts = play(2000, 0.0, table)
    assert drafts < 0.02
    assert rate > 0.98 * best_rate(0.0, table)


@pytest.mark.parametrize("chance", [1.0, 0.9, 0.75])
@pytest.mark.parametrize("table", [DEAR, {1: 0.30, 32: 0.62}, {1: 5.0, 32: 5.0}])
def test_near_the_best_length(chance: float, table: dict[int, float]) -> None:
    """Where drafts are mostly right, the length comes near the best there is, though each step's time is noisy."""
    rate, _ = play(600, chance, table, noise=0.1)
    assert rate > 0.85 * best_rate(chance, table)


@pytest.mark.parametrize("chance", [0.2, 0.4, 0.5])
def test_never_much_worse_than_none(chance: float) -> None:
    """Where drafts do not pay, trying them costs a few per cent at most."""
    rates = [play(2000, chance, DEAR, seed)[0] for seed in range(3)]
    assert min(rates) > 0.95 * 1000 / DEAR[1]


def test_all_is_drafted_where_rows_are_free() -> None:
    """With every draft right and a step that always takes the same, all that makes whole tiles is drafted."""
    cost, length = StepCost(), DraftLength()
    for rows in range(1, 20):
        cost.observe(rows, 0.01)
    for _ in range(5):
        assert length.choose(16, 1, cost) == 15
        length.learn(16, 16)


def test_a_quotation_is_noticed() -> None:
    """After a long time of useless drafts, right ones are noticed within the longest pause and then used in full."""
    cost, length = StepCost(), DraftLength()
    for rows, milliseconds in DEAR.items():
        cost.observe(rows, milliseconds / 1000)
    for _ in range(3000):
        length.learn(length.choose(8, 1, cost), 0)
    found = 0
    for _ in range(300):
        drafted = length.choose(16, 1, cost)
        length.learn(drafted, drafted)
        found = max(found, drafted)
    assert found >= 15


def test_a_full_batch_drafts_less() -> None:
    """With eight requests in the step, a draft that pays for one alone is not worth its rows."""
    cost = StepCost()
    for rows, milliseconds in DEAR.items():
        cost.observe(rows, milliseconds / 1000)
    assert DraftLength().choose(3, 1, cost) > 0
    assert DraftLength().choose(3, 8, cost) == 0


def test_tiles_are_learned() -> None:
    """A row count that is cheaper than its smaller neighbours is known as such."""
    cost = StepCost()
    for rows, milliseconds in DEAR.items():
        for _ in range(5):
            cost.observe(rows, milliseconds / 1000)
    assert cost.predict(8) < cost.predict(7)
    assert cost.predict(16) == pytest.approx(0.0478)
    assert 0.0339 < cost.predict(10) < 0.048


def test_one_slow_step_is_forgotten() -> None:
    """A step that another process held up does not stand for its row count for ever."""
    cost = StepCost()
    cost.observe(1, 0.01)
    cost.observe(5, 3.0)
    for _ in range(2100):
        cost.observe(1, 0.01)
    assert cost.predict(5) < 0.1
    cost.observe(1, 3.0)
    assert cost.predict(1) < 0.02
