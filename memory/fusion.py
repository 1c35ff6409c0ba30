"""Fusing two rankings of passages, by meaning and by words, into one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, TypeVar

__all__ = ["FUSIONS", "Fusion", "convex_combination", "reciprocal_rank_fusion"]

T = TypeVar("T", bound=Hashable)
Ranking = Sequence[tuple[T, float]]
"""Items with their scores, best first."""

Fusion = Literal["convex", "rrf"]
"""`convex` is `convex_combination`, `rrf` is `reciprocal_rank_fusion`."""


def convex_combination(
    dense: Ranking[T], words: Ranking[T], depth: int | None = None, *, weight: float = 0.8
) -> dict[T, float]:
    """`weight * meaning + (1 - weight) * words` by item, each part 0 to 1.

    A part is the score between the least that there can be (a cosine of -1, a BM25 score of 0) and the best in its
    ranking. Scores keep what ranks lose: how far the first is ahead, and that even the first may have little to say. An
    item that one ranking lacks counts there as the ranking's last, which it cannot surpass; one that shares no word
    with the query counts as 0.

    Args:
        dense: Cosine similarities.
        words: BM25 scores.
        depth: Items that each ranking holds at most; a ranking of fewer holds all that there are.
        weight: Of the meaning, 0 to 1.

    Source: Bruch, Gai and Ingber, "An analysis of fusion functions for hybrid retrieval", ACM TOIS 42, 2023: TM2C2 with
    the weight of 0.8 that serves all of their collections.

    Example:
        >>> fused = convex_combination([("a", 0.6), ("b", 0.5)], [("b", 12.0)])
        >>> max(fused, key=fused.get)
        'b'
    """
    parts = _parts(dense, -1.0), _parts(words, 0.0)
    missing = [
        found[ranking[-1][0]] if depth and len(ranking) >= depth else 0.0
        for found, ranking in zip(parts, (dense, words), strict=True)
    ]
    return {
        item: weight * parts[0].get(item, missing[0]) + (1 - weight) * parts[1].get(item, missing[1])
        for item in {**parts[0], **parts[1]}
    }


def _parts(ranking: Ranking[T], least: float) -> dict[T, float]:
    """The scores between the least that there can be and the best."""
    span = ranking[0][1] - least if ranking else 0.0
    return {item: (score - least) / span if span > 0 else 0.0 for item, score in ranking}


def reciprocal_rank_fusion(
    dense: Ranking[T],
    words: Ranking[T],
    depth: int | None = None,  # noqa: ARG001 - every fusion is called alike
    *,
    k: float = 60.0,
) -> dict[T, float]:
    """The sum of `1 / (k + rank)` over the rankings in which an item stands, by item; the scores play no part.

    Args:
        dense: By meaning.
        words: By words.
        depth: Plays no part.
        k: How little the first ranks stand out.

    Source: Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
    methods", SIGIR 2009.

    Example:
        >>> fused = reciprocal_rank_fusion([("a", 0.6), ("b", 0.2)], [("b", 12.0), ("c", 9.0)])
        >>> max(fused, key=fused.get)
        'b'
    """
    fused: dict[T, float] = {}
    for ranking in (dense, words):
        for rank, (item, _) in enumerate(ranking, 1):
            fused[item] = fused.get(item, 0.0) + 1 / (k + rank)
    return fused


FUSIONS: Mapping[Fusion, Callable[[Ranking[Any], Ranking[Any], int | None], dict[Any, float]]] = {
    "convex": convex_combination,
    "rrf": reciprocal_rank_fusion,
}
