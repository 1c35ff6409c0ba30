"""Maximal marginal relevance: passages that answer, and do not say the same thing twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["diversify"]


def diversify(relevance: Sequence[float], vectors: NDArray[np.float32], diversity: float) -> list[int]:
    """The places of candidates in the order in which maximal marginal relevance takes them.

    Each next one is the best of what is left by `(1 - diversity) * relevance - diversity * similarity`, where the
    similarity is the greatest cosine to those taken before. Relevance is counted in parts of the best one first,
    so that scores of any kind meet cosines as equals; at a diversity of 0 the order is that of relevance.

    Args:
        relevance: One score a candidate, 0 or more, in any unit; more is better.
        vectors: One row of length 1 a candidate.
        diversity: 0 to 1.

    Source: Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing
    summaries", SIGIR 1998.

    Example:
        >>> diversify([1.0, 0.9, 0.5], np.eye(3, dtype=np.float32)[[0, 0, 1]], diversity=0.5)
        [0, 2, 1]
    """
    scores = np.array(relevance, dtype=np.float64)
    if not len(scores):
        return []
    scores /= max(float(scores.max()), np.finfo(np.float64).tiny)
    similar = np.zeros_like(scores)  # the first is taken for its relevance alone
    taken: list[int] = []
    left = np.ones(len(scores), dtype=bool)
    while len(taken) < len(scores):
        value = np.where(left, (1 - diversity) * scores - diversity * similar, -np.inf)
        best = int(value.argmax())
        cosines = vectors @ vectors[best]
        similar = np.maximum(similar, cosines) if taken else cosines.astype(np.float64)
        taken.append(best)
        left[best] = False
    return taken
