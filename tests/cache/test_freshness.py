"""How long answers live, and when what they rely on has changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.cache import Freshness
from freehold.errors import SettingsError

DAY = 86_400.0
USES = st.integers(min_value=0, max_value=10**9)
SECONDS = st.floats(min_value=0, max_value=1e9)
STAYED = st.none() | SECONDS
FRESHNESS = st.builds(Freshness, st.floats(1e-3, 1e9), st.floats(1, 100))


class Documents:
    """Documents by name, with what they hold now."""

    def __init__(self, **digests: str) -> None:
        self.digests = digests

    def version(self) -> str:
        return str(sorted(self.digests.items()))

    def digest(self, source: str) -> str | None:
        return self.digests.get(source)


@pytest.mark.parametrize(
    ("uses", "stayed", "days"),
    [
        (0, None, 7),
        (1, None, 14),
        (3, None, 21),
        (7, None, 28),
        (10**6, None, 28),  # four times is the most
        (0, 3 * DAY, 3),
        (7, 3 * DAY, 3),  # use does not help against a document that changes
        (0, 90 * DAY, 7),  # nor does one that hardly ever does make an answer live longer
        (7, 90 * DAY, 28),
        (0, 1.0, 60 / DAY),
        (0, 0.0, 60 / DAY),
        (0, -5.0, 60 / DAY),  # a clock that was set back
    ],
)
def test_the_time_to_live(uses: int, stayed: float | None, days: float) -> None:
    """Protects the rule by examples: use lengthens a life, documents that change shorten it."""
    assert Freshness().ttl(uses, stayed) == pytest.approx(days * DAY)
    assert Freshness().left(0.0, uses, stayed) == pytest.approx(days * DAY)


@pytest.mark.parametrize(
    ("age", "uses", "stayed", "superseded", "days"),
    [
        (2, 0, None, False, 5),
        (9, 0, None, False, 0),
        (9, 1, None, False, 5),
        (2, 1, 3 * DAY, False, 1),  # it does not begin anew with each use
        (2, 0, None, True, 1),  # a week becomes a day where documents came since
        (6.5, 0, None, True, 0.5),
        (2, 7, None, True, 1),
        (2.5, 7, 3 * DAY, True, 0.5),
    ],
)
def test_what_is_left(age: float, uses: int, stayed: float | None, superseded: bool, days: float) -> None:
    """Protects the rule by examples: an answer ages, and documents that came since may hold a better one."""
    left = Freshness().left(age * DAY, uses, stayed, superseded=superseded)
    assert left == pytest.approx(days * DAY)


@given(FRESHNESS, SECONDS, USES, USES, STAYED)
def test_more_use_never_shortens_a_life(
    freshness: Freshness, age: float, uses: int, more: int, stayed: float | None
) -> None:
    """Protects answers that are asked for often."""
    assert 0 < freshness.ttl(uses, stayed) <= freshness.ttl(uses + more, stayed)
    for superseded in (False, True):
        shorter = freshness.left(age, uses, stayed, superseded=superseded)
        assert 0 <= shorter <= freshness.left(age, uses + more, stayed, superseded=superseded)


@given(FRESHNESS, SECONDS, USES, SECONDS, SECONDS)
def test_a_document_that_stayed_longer_never_shortens_a_life(
    freshness: Freshness, age: float, uses: int, stayed: float, longer: float
) -> None:
    """Protects answers from quiet documents."""
    assert freshness.ttl(uses, stayed) <= freshness.ttl(uses, stayed + longer) <= freshness.ttl(uses)
    assert freshness.left(age, uses, stayed) <= freshness.left(age, uses, stayed + longer)


@given(FRESHNESS, SECONDS, SECONDS, USES, STAYED)
def test_an_answer_only_ages(freshness: Freshness, age: float, older: float, uses: int, stayed: float | None) -> None:
    """Protects from an answer that grows younger, or outlives a better one in a document that came since."""
    left = freshness.left(age, uses, stayed)
    assert freshness.left(age + older, uses, stayed) <= left
    assert freshness.left(age, uses, stayed, superseded=True) <= left


@given(FRESHNESS, SECONDS, USES, STAYED)
def test_a_life_is_bounded(freshness: Freshness, age: float, uses: int, stayed: float | None) -> None:
    """Protects from an answer that lives for ever because it is popular."""
    most = freshness.ttl_seconds * freshness.longest
    assert age + freshness.left(age, uses, stayed) <= max(age, most) * (1 + 1e-9)


@pytest.mark.parametrize(("known", "problem"), [
    ({"ttl_seconds": 0}, "ttl_seconds=0"),
    ({"ttl_seconds": -1}, "ttl_seconds=-1"),
    ({"ttl_seconds": float("nan")}, "ttl_seconds=nan"),
    ({"longest": 0.5}, "longest=0.5"),
    ({"longest": float("nan")}, "longest=nan"),
    ({"shortest_seconds": 0}, "shortest_seconds=0"),
    ({"shortest_seconds": float("nan")}, "shortest_seconds=nan"),
])  # fmt: skip
def test_times_that_cannot_be_are_refused(known: dict[str, float], problem: str) -> None:
    """Protects from a cache that keeps nothing, or something for ever, because of a setting."""
    with pytest.raises(SettingsError, match=problem):
        Freshness(**known)


def test_a_document_that_changed_is_named() -> None:
    """Protects from an answer to what a document said before, and from one whose document is gone."""
    now = Documents(a="1", b="2")
    assert Freshness.changed({}, now) is None
    assert Freshness.changed({"a": "1", "b": "2"}, now) is None
    assert Freshness.changed({"a": "1", "b": "other"}, now) == "b"
    assert Freshness.changed({"gone": "1", "a": "1"}, now) == "gone"
    assert Freshness.changed({"a": "", "b": "2"}, now) == "a"  # it was not known when the answer was written


def test_a_source_that_nobody_watches_is_no_change() -> None:
    """Protects answers of a retriever of one's own: what the documents never held has not changed since."""
    assert Freshness.changed({"https://example.org/": ""}, Documents(a="1")) is None


@given(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123")),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123")),
)
def test_an_answer_is_fresh_where_all_it_cites_is_as_it_was(then: dict[str, str], now: dict[str, str]) -> None:
    """Protects both ways: no stale answer is served, and none dies for a document that it does not cite."""
    changed = Freshness.changed(then, Documents(**now))
    assert (changed is None) == all(now.get(source) == digest for source, digest in then.items())
    assert changed is None or now.get(changed) != then[changed]
