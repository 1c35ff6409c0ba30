"""How well scores tell same from different."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["answered_at", "area"]


def area(scores: ArrayLike, same: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a pair that asks the same scores above one that does not."""
    scores, same = np.asarray(scores), np.asarray(same) > 0.5
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    positive = int(same.sum())
    return float((ranks[same].sum() - positive * (positive + 1) / 2) / (positive * (len(same) - positive)))


def answered_at(
    scores: NDArray[np.float64], right: NDArray[np.bool_], requests: int, wrong: Sequence[float]
) -> list[float]:
    """Share of all requests answered, best scores first, while at most these shares of all requests are wrong."""
    order = np.argsort(-scores, kind="stable")
    errors = np.cumsum(~right[order]) / requests
    return [float(np.searchsorted(errors, limit, side="right")) / requests for limit in wrong]
