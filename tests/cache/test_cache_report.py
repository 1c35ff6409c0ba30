"""What the cache says of itself."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.cache import CacheReport, ResponseCache, Situation
from freehold.cache.report import Share, latency_count
from freehold.coordination import MemoryLedger, MemoryStore

Z = 1.959964
COUNTS = {
    "lookup.hit.memory": 40.0,
    "lookup.hit.exact": 20.0,
    "lookup.hit.semantic": 25.0,
    "lookup.hit.flight": 5.0,
    "lookup.miss": 9.0,
    "lookup.error": 1.0,
    "stored": 8.0,
    "stale": 3.0,
    "reported.wrong": 2.0,
    "saved.tokens": 12_345.0,
    "saved.seconds": 67.25,
    "bound.requests": 100.0,
    "bound.risked": 1.5,
    "checked": 20.0,
    "checked.wrong": 1.0,
    "explored": 10.0,
    "explored.wrong": 7.0,
    latency_count(0.00015): 60.0,
    latency_count(0.004): 30.0,
    latency_count(0.03): 8.0,
    latency_count(7.0): 2.0,
}
REPORT = CacheReport.of(COUNTS)


@st.composite
def shares(draw: st.DrawFn) -> Share:
    """Any share of any number of cases."""
    cases = draw(st.integers(1, 10_000))
    return Share(draw(st.integers(0, cases)), cases)


# --- shares -----------------------------------------------------------------------------------------------------------


def wilson(found: float, cases: float) -> tuple[float, float]:
    """Wilson's interval from its definition: the shares p with |found/cases - p| <= z * sqrt(p (1 - p) / cases).

    By halving: below the share that was found, the farther p is away, the less it is believed; above it the same.
    """

    def believed(p: float) -> bool:
        return abs(found / cases - p) <= Z * math.sqrt(p * (1 - p) / cases)

    limits = []
    for end in (0.0, 1.0):
        outside, inside = end, found / cases
        if believed(outside) or inside == outside:
            limits.append(outside)
            continue
        for _ in range(100):
            middle = (outside + inside) / 2
            outside, inside = (outside, middle) if believed(middle) else (middle, inside)
        limits.append(inside)
    return limits[0], limits[1]


@given(shares())
def test_the_interval_is_wilsons(share: Share) -> None:
    """Protects the confidence that the report states, against the interval's definition."""
    low, high = wilson(share.found, share.of)
    assert share.low == pytest.approx(low, abs=1e-6)
    assert share.high == pytest.approx(high, abs=1e-6)


@pytest.mark.parametrize(
    ("found", "cases", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (1, 10, 0.0179, 0.4042),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_the_interval_is_that_of_the_books(found: int, cases: int, low: float, high: float) -> None:
    """Protects it against figures that others computed (Newcombe 1998, table I, and textbooks)."""
    assert Share(found, cases).low == pytest.approx(low, abs=2e-4)
    assert Share(found, cases).high == pytest.approx(high, abs=2e-4)


@given(shares(), st.floats(0, 1))
def test_a_share_lies_within_its_interval(share: Share, scale: float) -> None:
    """Protects from an estimate outside of its own limits, scaled or not."""
    scaled = replace(share, scale=scale)
    assert 0 <= scaled.low <= scaled.value + 1e-12
    assert scaled.value <= scaled.high + 1e-12
    assert scaled.high <= scale
    assert scaled.value == pytest.approx(share.value * scale)


@given(st.integers(0, 50), st.integers(2, 20))
def test_more_cases_narrow_the_interval(found: int, times: int) -> None:
    """Protects the reader: more comparisons make the estimate surer."""
    few, many = Share(found, 50), Share(found * times, 50 * times)
    assert many.high - many.low < few.high - few.low


def test_of_no_cases_nothing_is_known() -> None:
    """Protects from a new cache that claims to make no mistakes."""
    assert (Share(0, 0).value, Share(0, 0).low, Share(0, 0).high) == (0.0, 0.0, 1.0)


# --- the report -------------------------------------------------------------------------------------------------------


def test_the_report_of_counts() -> None:
    """Protects every figure: each counter lands in its own."""
    assert REPORT.requests == 100
    assert REPORT.hits == {"memory": 40, "exact": 20, "semantic": 25, "flight": 5}
    assert (REPORT.misses, REPORT.errors, REPORT.stored, REPORT.stale) == (9, 1, 8, 3)
    assert (REPORT.reported_wrong, REPORT.tokens_saved, REPORT.seconds_saved) == (2, 12_345, 67.25)
    assert REPORT.risked == 1.5
    assert (REPORT.checked.found, REPORT.checked.of) == (1, 20)
    assert (REPORT.explored.found, REPORT.explored.of) == (7, 10)
    assert REPORT.hit_rate == pytest.approx(0.9)
    assert sum(REPORT.latency.values()) == 100


def test_wrong_answers_are_estimated_over_all_requests() -> None:
    """Protects the figure that the bound is held against: one of twenty checked hits, and a quarter are semantic."""
    assert REPORT.wrong.value == pytest.approx(0.05 * 0.25)
    assert REPORT.wrong.low == pytest.approx(REPORT.checked.low * 0.25)
    assert REPORT.wrong.high == pytest.approx(REPORT.checked.high * 0.25)


def test_the_report_of_nothing() -> None:
    """Protects the first call, before anything was asked."""
    report = CacheReport.of({})
    assert (report.requests, report.hit_rate, report.wrong.value, report.risked) == (0, 0.0, 0.0, 0.0)
    assert report.percentile(0.5) == report.percentile(0.99) == 0.0
    assert (report.wrong.low, report.wrong.high) == (0.0, 0.0)


def test_risks_that_were_settled_are_no_debt() -> None:
    """Protects the reader from less than no wrong answers, which facts about old hits may leave behind a clearing."""
    assert CacheReport.of({"bound.risked": -0.25}).risked == 0.0


@pytest.mark.parametrize(
    ("share", "seconds"),
    [
        (0.0, 0.0002),
        (0.5, 0.0002),
        (0.6, 0.0002),
        (0.61, 0.005),
        (0.9, 0.005),
        (0.95, 0.05),
        (0.99, math.inf),
        (1.0, math.inf),
    ],
)
def test_percentiles(share: float, seconds: float) -> None:
    """Protects the times that are told: within them that share of the lookups ended, and within no smaller bucket."""
    assert REPORT.percentile(share) == seconds


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_percentile_is_not_below_what_happened(seconds: list[float], share: float) -> None:
    """Protects from times that look better than they were: at least that share of the lookups was as fast as told."""
    counts: dict[str, float] = {}
    for one in seconds:
        counts[latency_count(one)] = counts.get(latency_count(one), 0.0) + 1
    report = CacheReport.of(counts)
    told = report.percentile(share)
    assert sum(one <= told for one in seconds) >= share * len(seconds) - 1e-9
    assert sum(report.latency.values()) == len(seconds)


@pytest.mark.parametrize(
    ("seconds", "name"),
    [
        (0.0, "latency.0.0002"),
        (0.0002, "latency.0.0002"),
        (0.00021, "latency.0.0005"),
        (0.5, "latency.0.5"),
        (0.6, "latency.inf"),
        (1e9, "latency.inf"),
    ],
)
def test_a_time_has_one_bucket(seconds: float, name: str) -> None:
    """Protects counters that several versions share: a bucket keeps its name."""
    assert latency_count(seconds) == name


@pytest.mark.parametrize("kept", [False, True])
async def test_a_cleared_cache_begins_anew(kept: bool) -> None:
    """Protects the owner who cleared the cache of a running server: what was counted before is gone from the report."""
    ledger = MemoryLedger() if kept else None
    cache, here = ResponseCache(MemoryStore(), None, ledger=ledger), Situation(model="m")
    for _ in range(3):
        await cache.lookup("What?", here)
    await cache.clear()
    requests = (await cache.summary()).requests
    await cache.aclose()
    assert requests == 0
