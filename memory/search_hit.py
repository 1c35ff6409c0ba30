"""What a search found, and how each stage judged it."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.state import Passage

__all__ = ["SearchHit"]


@dataclass(frozen=True)
class SearchHit:
    """A passage with its ranks and scores in the stages of a search; ranks count from 1. Parents change neither."""

    passage: Passage
    """As `search` gives it: its `score` is `dense_score`."""
    dense_score: float
    """Cosine similarity to the query."""
    dense_rank: int | None
    """Place by meaning; None where it is not among the candidates by meaning."""
    bm25_score: float | None
    """By words; None where it is not among the candidates by words."""
    bm25_rank: int | None
    fused_score: float
    """Of both together; for comparing within one search."""
    fused_rank: int
    rerank_score: float | None = None
    """The cross-encoder's, 0 to 1; None where it did not read the passage."""
    rerank_rank: int | None = None
    """Place by `rerank_score`; None as there."""
    diversity_rank: int | None = None
    """Place by maximal marginal relevance; None where no diversity was asked for."""
