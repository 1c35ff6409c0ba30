"""Semantic hits by a fixed similarity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.cache import Evidence, ThresholdHits
from freehold.cache.evidence import HitStrategy, Near
from freehold.cache.gate import refusal
from freehold.errors import SettingsError
from freehold.portal import run_sync

ASKED = "How do I reset my password?"
SAME = "How can I reset my password?"
NOT = "How do I not reset my password?"
QUESTIONS = st.sampled_from([ASKED, SAME, NOT, "How do I reset 2 passwords?", "Which port does the server listen on?"])
NEAR = st.lists(st.builds(Near, st.sampled_from("abcd"), QUESTIONS, st.floats(-1, 1)), max_size=6).map(
    lambda near: sorted(near, key=lambda one: -one.similarity)
)


def near(*candidates: tuple[str, float]) -> list[Near]:
    """Earlier questions with their similarity, under keys that say their place."""
    return [Near(f"key{place}", question, similarity) for place, (question, similarity) in enumerate(candidates)]


@pytest.mark.parametrize("similarity", [0.95, 0.97, 1.0, 1.0000001])
async def test_what_is_near_enough_is_served(similarity: float) -> None:
    """Protects hits at the threshold and above it, with what decided."""
    choice = await ThresholdHits().choose(ASKED, near((SAME, similarity), (SAME, 0.94)))
    assert choice.allowed
    assert choice.evidence == Evidence("key0", SAME, similarity)
    assert (choice.score, choice.threshold) == (similarity, 0.95)


async def test_what_is_too_far_is_not() -> None:
    """Protects from look-alikes, and says what was looked at."""
    choice = await ThresholdHits().choose(ASKED, near((SAME, 0.9499)))
    assert (choice.allowed, choice.score, choice.threshold) == (False, 0.9499, 0.95)
    assert choice.evidence == Evidence("key0", SAME, 0.9499)
    assert choice.reason == "The nearest earlier question is not near enough."


async def test_an_empty_scope_says_so() -> None:
    """Protects the first request, which is compared with nothing."""
    choice = await ThresholdHits().choose(ASKED, [])
    assert (choice.allowed, choice.evidence, choice.score) == (False, None, None)
    assert choice.reason == "No earlier question of this scope is cached."


async def test_a_refused_candidate_makes_room_for_the_next() -> None:
    """Protects hits behind a look-alike: the gate takes the nearest out, and the second may still serve."""
    choice = await ThresholdHits().choose(ASKED, near((NOT, 0.99), (SAME, 0.97)))
    assert choice.allowed
    assert choice.evidence is not None
    assert choice.evidence.entry == "key1"


@pytest.mark.parametrize("others", [[], [(SAME, 0.9)], [("How do I never reset my password?", 0.98)]])
async def test_the_first_refusal_is_told(others: list[tuple[str, float]]) -> None:
    """Protects the explanation: the nearest question that was refused is named, with what the gate objected."""
    choice = await ThresholdHits().choose(ASKED, near((NOT, 0.99), *others))
    assert not choice.allowed
    assert choice.evidence == Evidence("key0", NOT, 0.99)
    assert choice.reason == f"A similar question was refused. {refusal(ASKED, NOT)}"


@given(NEAR, st.floats(-1, 1))
def test_the_choice_is_the_nearest_that_both_let_through(candidates: list[Near], threshold: float) -> None:
    """Protects the rule: allowed is the first candidate at the threshold or above that the gate has nothing against."""
    fitting = [
        one for one in candidates if one.similarity >= threshold and refusal(ASKED, one.question) is None
    ]  # fmt: skip
    choice = run_sync(ThresholdHits(threshold).choose(ASKED, candidates))
    assert choice.allowed == bool(fitting)
    if fitting:
        assert choice.evidence == Evidence(fitting[0].key, fitting[0].question, fitting[0].similarity)
    assert choice.reason.endswith(".")


@pytest.mark.parametrize("threshold", [-1.1, 1.1, 95, float("nan")])
def test_a_threshold_that_is_no_similarity_is_refused(threshold: float) -> None:
    """Protects from a percentage where a cosine is meant."""
    with pytest.raises(SettingsError, match=f"threshold={threshold}"):
        ThresholdHits(threshold)


async def test_nothing_is_learned() -> None:
    """Protects who chose a fixed rule: what was compared, or asked again, never changes a decision."""
    strategy: HitStrategy = ThresholdHits()
    assert strategy.compares is False
    before = await strategy.choose(ASKED, near((SAME, 0.96)))
    assert before.evidence is not None
    for _ in range(30):
        await strategy.learn(before.evidence, correct=False, served=True)
    await strategy.withdraw(before.evidence)
    await strategy.repeated()
    assert await strategy.again(Evidence("key", "What?", 0.95))
    assert not await strategy.again(Evidence("key", "What?", 0.94))
    assert await strategy.choose(ASKED, near((SAME, 0.96))) == before
    await strategy.close()
    await strategy.close()
