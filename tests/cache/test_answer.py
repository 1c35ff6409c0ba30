"""What is kept under a key: answers, and the names of answers that serve other questions."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.cache import CachedAnswer
from freehold.cache.answer import Alias, decode
from freehold.state import Citation

CITATION: Citation = {
    "number": 1,
    "source": "docs/a.md",
    "passage": "p1",
    "heading": "A > B",
    "page": None,
    "start": 0,
    "end": 4,
    "text": "text",
}
ANSWER = CachedAnswer(
    question="What?",
    answer="That. [1]",
    citations=[CITATION],
    route="documents",
    model="demo",
    sources={"docs/a.md": "5f0c"},
    documents="v7",
    tokens=81,
    seconds=1.25,
    stayed=3600.5,
    quarantined=True,
)
ALIAS = Alias("owner.key", (1.0, -0.5, 2.4), 0.03, 0.98)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e200, max_value=1e200)


def fields(value: CachedAnswer | Alias) -> dict[str, object]:
    """What lies in the store."""
    found: dict[str, object] = json.loads(value.encode())
    return found


def test_an_answer_comes_back_whole() -> None:
    """Protects citations, the digests of sources, what a hit saves and the quarantine through a store."""
    assert CachedAnswer.decode(ANSWER.encode()) == decode(ANSWER.encode()) == ANSWER
    assert ANSWER.created_at.endswith("+00:00")


def test_an_alias_comes_back_whole() -> None:
    """Protects what was known of two questions, which the comparison of their answers teaches."""
    assert Alias.decode(ALIAS.encode()) == decode(ALIAS.encode()) == ALIAS


def test_one_kind_is_not_taken_for_the_other() -> None:
    """Protects who asks for an answer from getting the name of one, and the other way round."""
    assert CachedAnswer.decode(ALIAS.encode()) is None
    assert Alias.decode(ANSWER.encode()) is None


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text()))
def test_any_text_survives(question: str, answer: str, sources: dict[str, str]) -> None:
    """Protects odd text, halves of surrogate pairs too."""
    whole = CachedAnswer(question=question, answer=answer, sources=sources)
    assert CachedAnswer.decode(whole.encode()) == whole


@given(st.text(), st.lists(NUMBERS), NUMBERS, NUMBERS)
def test_any_numbers_survive(entry: str, signals: list[float], risk: float, similarity: float) -> None:
    """Protects the evidence from being rounded on its way through a store."""
    alias = Alias(entry, tuple(signals), risk, similarity)
    assert Alias.decode(alias.encode()) == alias


@given(st.binary())
def test_random_bytes_are_nothing(data: bytes) -> None:
    """Protects lookups from a store that holds something else."""
    assert decode(data) is None
    assert CachedAnswer.decode(data) is None
    assert Alias.decode(data) is None


@given(JSON)
def test_other_json_is_nothing(value: object) -> None:
    """Protects lookups from JSON that somebody else wrote."""
    assert decode(json.dumps(value).encode()) is None


@given(st.sampled_from([ANSWER, ALIAS]), st.data())
def test_a_field_of_another_kind_is_nothing(value: CachedAnswer | Alias, data: st.DataObject) -> None:
    """Protects lookups from damaged entries: what comes back has the right types, or does not come back."""
    before = fields(value)
    name = data.draw(st.sampled_from([*before]))
    after = before | {name: data.draw(JSON)}
    if decode(json.dumps(after).encode()) is not None:
        kinds = [type(before[name])] if type(before[name]) not in (int, float) else [int, float]
        assert type(after[name]) in [*kinds, *[type(None)] * (name == "stayed")]


@pytest.mark.parametrize("value", [ANSWER, ALIAS], ids=["answer", "alias"])
def test_other_versions_and_unknown_fields_are_nothing(value: CachedAnswer | Alias) -> None:
    """Protects an upgrade: entries of another version are misses, not crashes."""
    known = fields(value)
    changes: list[object] = [known | {"version": version} for version in (0, 1, 3, True, 2.0, "2", None)]
    changes += [known | {"kind": kind} for kind in ("", "other", None, ["answer"], "answer" + "s")]
    changes += [{name: known[name] for name in known if name != left_out} for left_out in known]
    for changed in (*changes, known | {"extra": 1}, [known], None, "answer"):
        assert decode(json.dumps(changed).encode()) is None


@pytest.mark.parametrize("damaged", [{"sources": {"a": 1}}, {"citations": ["a"]}, {"quarantined": 1}, {"tokens": True}])
def test_damage_below_the_surface_is_seen(damaged: dict[str, object]) -> None:
    """Protects whoever reads a digest, a citation or a count from one of another type."""
    assert decode(json.dumps(fields(ANSWER) | damaged).encode()) is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 10**400], ids=str)
def test_numbers_that_nothing_can_be_counted_with_are_nothing(number: float) -> None:
    """Protects the counts of what hits saved, and what a calibration learns, from one damaged entry."""
    for name in ("tokens", "seconds", "stayed"):
        assert decode(json.dumps(fields(ANSWER) | {name: number}).encode()) is None
    for changed in ({"risk": number}, {"similarity": number}, {"signals": [1.0, number]}):
        assert decode(json.dumps(fields(ALIAS) | changed).encode()) is None


@pytest.mark.parametrize("name", ["tokens", "seconds"])
def test_an_answer_that_cost_less_than_nothing_is_nothing(name: str) -> None:
    """Protects a lookup from metrics, which raise where something is taken from a counter."""
    assert decode(json.dumps(fields(ANSWER) | {name: -1}).encode()) is None


@pytest.mark.parametrize(
    ("written", "age"),
    [(timedelta(), 0.0), (timedelta(hours=2), 7200.0), (timedelta(days=-3), 0.0)],  # a clock that was set back
)
def test_an_answer_knows_its_age(written: timedelta, age: float) -> None:
    """Protects the time that an answer has left from clocks of other machines and zones."""
    for zone in (UTC, timezone(timedelta(hours=9))):
        at = (datetime.now(UTC) - written).astimezone(zone)
        assert replace(ANSWER, created_at=at.isoformat()).age == pytest.approx(age, abs=100)


@given(st.text() | st.sampled_from(["", "2026-01-01T00:00:00", "yesterday", "0001-01-01T00:00:00+23:59"]))
def test_a_time_that_is_none_is_no_age(created_at: str) -> None:
    """Protects lookups from a time that somebody else wrote."""
    assert CachedAnswer("What?", "That.", created_at=created_at).age >= 0


def test_deep_nesting_is_nothing() -> None:
    """Protects from a value made to exhaust the parser's stack."""
    assert decode(b"[" * 1_000_000) is None
