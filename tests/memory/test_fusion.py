"""Fusion, diversity and parents: the arithmetic of a search, without a store."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.memory.diversity import diversify
from freehold.memory.fusion import convex_combination, reciprocal_rank_fusion
from freehold.memory.parent_passages import widen
from freehold.state import Passage

RANKING = st.dictionaries(st.integers(0, 20), st.floats(-1, 1), max_size=12).map(
    lambda scores: sorted(scores.items(), key=lambda pair: -pair[1])
)
WORDS = st.dictionaries(st.integers(0, 20), st.floats(0.1, 40), max_size=12).map(
    lambda scores: sorted(scores.items(), key=lambda pair: -pair[1])
)


def best(fused: dict[Any, float]) -> list[Any]:
    """Items, best first."""
    return sorted(fused, key=fused.__getitem__, reverse=True)


def test_scores_count_and_not_only_ranks() -> None:
    """A passage that words find far ahead of all others wins; by ranks alone the one that both find would."""
    dense = [("both", 0.50), ("far", 0.48), ("other", 0.2)]
    words = [("far", 20.0), ("x", 5.0), ("both", 4.9)]
    assert best(convex_combination(dense, words))[0] == "far"
    assert best(reciprocal_rank_fusion([("a", 0.9), ("b", 0.8)], [("b", 3.0), ("c", 2.0)]))[0] == "b"


def test_what_a_full_ranking_lacks_counts_as_its_last() -> None:
    """A passage just behind the last candidate is not punished as if it were the worst of all."""
    dense = [("a", 0.5), ("b", 0.4)]
    words = [("c", 10.0), ("a", 5.0)]
    full = convex_combination(dense, words, 2)
    assert full["c"] == pytest.approx(0.8 * (1.4 / 1.5) + 0.2)
    assert full["b"] == pytest.approx(0.8 * (1.4 / 1.5) + 0.2 * 0.5)
    whole = convex_combination(dense, words, 100)
    assert whole["c"] == pytest.approx(0.2)


@given(dense=RANKING, words=WORDS, depth=st.one_of(st.none(), st.integers(1, 12)))
def test_every_candidate_is_fused_and_better_never_hurts(
    dense: list[tuple[int, float]], words: list[tuple[int, float]], depth: int | None
) -> None:
    """Both fusions score all candidates; the convex one keeps within 0 to 1, and who is ahead in both stays ahead."""
    for fuse in (convex_combination, reciprocal_rank_fusion):
        fused = fuse(dense, words, depth)
        assert set(fused) == {item for item, _ in (*dense, *words)}
        in_both = [item for item, _ in dense if item in dict(words)]
        for first in in_both:
            for second in in_both:
                if dict(dense)[first] > dict(dense)[second] and dict(words)[first] > dict(words)[second]:
                    assert fused[first] >= fused[second]
    assert all(0 <= score <= 1 + 1e-9 for score in convex_combination(dense, words, depth).values())


@given(
    scores=st.lists(st.floats(0, 5, allow_subnormal=False), max_size=10),
    diversity=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 1000),
)
def test_diversity_takes_each_once_and_begins_with_the_best(scores: list[float], diversity: float, seed: int) -> None:
    """MMR gives distinct places, the most relevant first unless relevance counts for nothing, at 0 its very order."""
    vectors = np.random.default_rng(seed).normal(size=(len(scores), 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = diversify(scores, vectors, diversity)
    assert sorted(places) == list(range(len(scores)))
    if places and diversity < 1:
        assert scores[places[0]] == max(scores)
    if not diversity:
        assert [scores[place] for place in places] == sorted(scores, reverse=True)


def test_diversity_passes_over_a_repetition() -> None:
    """The second of two equal passages stands behind a less relevant one that says something else."""
    vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    assert diversify([0.9, 0.89, 0.5], vectors, 0.5) == [0, 2, 1]
    assert diversify([0.9, 0.89, 0.5], vectors, 0.0) == [0, 1, 2]


TEXT = "One is here.\n\nTwo is here.\nThree is here. Four is here."
SPANS = [(0, 12), (14, 26), (27, 41), (42, 55)]


def part(index: int, section: int = 0) -> Passage:
    """A passage of `TEXT`."""
    start, end = SPANS[index]
    found: Passage = {
        "id": str(index),
        "text": TEXT[start:end],
        "source": "a.md",
        "heading": "A",
        "page": None,
        "start": start,
        "end": end,
        "score": 0.5,
        "index": index,
        "section": section,
    }
    return found


def test_a_parent_is_the_section_within_the_room() -> None:
    """All of it where it fits; else what follows before what comes before, without a gap; offsets are the whole's."""
    section = [part(index) for index in range(4)]
    whole = widen([part(2)], section, 1000)[0]
    assert whole is not None
    assert (whole["start"], whole["end"], whole["id"]) == (0, 55, "2")
    assert whole["text"].split() == TEXT.split()
    assert len(whole["text"]) == len(TEXT)
    some = widen([part(1)], section, 30)[0]
    assert some is not None
    assert some["text"] == TEXT[14:41]
    assert widen([part(1)], section, 1)[0] == part(1)


def test_passages_that_meet_become_one() -> None:
    """Two finds of one section are one parent, at the better one's place; no text comes twice."""
    section = [part(index) for index in range(4)]
    first, second = widen([part(2), part(0)], section, 1000)
    assert first is not None
    assert second is None
    near, far = widen([part(3), part(0)], section, 30)
    assert near is not None
    assert far is not None
    assert near["start"] >= far["end"]


def test_other_sections_and_old_passages_are_left_out() -> None:
    """A parent ends with its section, and a passage that was stored without one stays as it was."""
    old = part(1)
    del old["section"]
    neighbours = [part(0, section=0), part(1, section=1), part(2, section=1)]
    assert widen([old], neighbours, 1000) == [old]
    found = widen([part(1, section=1)], neighbours, 1000)[0]
    assert found is not None
    assert (found["start"], found["end"]) == (14, 41)
