"""Which tokens may be drawn, and how likely each is: top-k, top-p, min-p and temperature in numpy.

llama.cpp's chain of samplers first copies the vocabulary into an array of candidates: 1.8 MB for 151,936 tokens. Here
the logits are read where they lie, and all that follows works on the few that are left.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.inference.generation import GenerationRequest

__all__ = ["candidates", "draw", "largest"]

Floats = NDArray[np.float32]
Tokens = NDArray[np.intp]

_FEW = 256
"""Likeliest tokens that are tried for top-p before more are sorted."""

_BLOCK = 256
"""Weights that are summed together in a long draw."""


def largest(values: Floats, k: int) -> Tokens:
    """Indices of the `k` largest values, the largest first and of equal ones the first; `-inf` never counts.

    The values are dealt into columns. At least k values reach the k-th largest of the columns' maxima, so the k largest
    are among those that do; and these lie in few columns.
    """
    size = values.size
    k = min(k, size)
    if k <= 0:
        return np.empty(0, np.intp)
    rows = next((rows for rows in (64, 8) if size // rows > 2 * k), 1)
    columns = size // rows
    table = values[: rows * columns].reshape(rows, columns)
    tops = table.max(axis=0) if rows > 1 else values
    least = max(np.partition(tops, columns - k)[columns - k], np.finfo(np.float32).min)
    chosen = np.flatnonzero(tops >= least)
    if rows > 1:
        row, column = np.nonzero(table[:, chosen] >= least)
        rest = np.flatnonzero(values[rows * columns :] >= least)
        chosen = np.concatenate((row * columns + chosen[column], rest + rows * columns))
    order = np.argsort(-values[chosen], kind="stable")[:k]
    ids: Tokens = chosen[order]
    return ids


def _nucleus(logits: Floats, top_p: float) -> Tokens:
    """The likeliest tokens of the whole vocabulary whose probabilities first reach `top_p` together."""
    weights = np.exp(logits - logits.max())
    enough = top_p * weights.sum(dtype=np.float64)
    ids = largest(logits, _FEW)
    reached = np.cumsum(weights[ids], dtype=np.float64)
    if reached[-1] >= enough:
        return ids[: int(reached.searchsorted(enough)) + 1]
    # Tokens below this weight do not make up 1 - top_p even together, so that none of them is needed.
    ids = np.flatnonzero(weights >= (1 - top_p) / top_p * enough / logits.size * 0.999)
    values = logits[ids]
    ordered = -np.sort(-values)
    reached = np.cumsum(np.exp(ordered - ordered[0]), dtype=np.float64)
    keep = min(int(reached.searchsorted(enough)) + 1, ordered.size)
    above = ids[values > ordered[keep - 1]]
    return np.concatenate((above, ids[values == ordered[keep - 1]][: keep - above.size]))


def candidates(logits: Floats, request: GenerationRequest) -> tuple[Tokens | None, Floats]:
    """Apply top-k, top-p, min-p and the temperature, in llama.cpp's order.

    Args:
        logits: Of the whole vocabulary; the largest is finite. Left as they are.
        request: Its `temperature` is above 0.

    Returns:
        The tokens that are left, None for the whole vocabulary; and their probabilities, up to a common factor.
    """
    ids: Tokens | None = None
    if 0 < request.top_k < logits.size:
        ids = largest(logits, request.top_k)
        if request.top_p < 1:
            reached = np.cumsum(np.exp(logits[ids] - logits[ids[0]]), dtype=np.float64)
            ids = ids[: int(reached.searchsorted(request.top_p * reached[-1])) + 1]
    elif request.top_p < 1:
        ids = _nucleus(logits, request.top_p)
    values = logits if ids is None else logits[ids]
    top = values.max()
    if request.min_p > 0:
        likely = np.flatnonzero(values >= top + np.float32(math.log(request.min_p)))
        ids = likely if ids is None else ids[likely]
        values = values[likely]
    with np.errstate(over="ignore"):  # next to a temperature of 1e-30, a difference of logits may be infinite
        weights: Floats = np.exp((values - top) / np.float32(max(request.temperature, 1e-30)))
    return ids, weights


def _pick(weights: NDArray[Any], chance: float) -> tuple[int, float]:
    """The place where the running sum passes `chance` of the whole, and how far into that place's weight that is."""
    sums = np.cumsum(weights, dtype=np.float64)
    target = chance * sums[-1]
    # Rounding may lead past the end; the second search finds the last place with a weight.
    place = min(int(sums.searchsorted(target, "right")), int(sums.searchsorted(sums[-1])))
    weight = float(weights[place])
    return place, (target - (sums[place] - weight)) / weight


def draw(weights: Floats, chance: float) -> int:
    """The index that a chance of 0 to 1 falls on, each as likely as its weight; never one of weight 0."""
    if weights.size <= 16 * _BLOCK:
        return _pick(weights, chance)[0]
    blocks = np.add.reduceat(weights, np.arange(0, weights.size, _BLOCK))
    block, rest = _pick(blocks, chance)
    start = block * _BLOCK
    return start + _pick(weights[start : start + _BLOCK], min(max(rest, 0.0), 1.0))[0]
