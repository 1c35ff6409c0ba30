"""The pairs of each training step: labelled and made ones, most of what the model knows already left out."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np

from .cross_encoder import CrossEncoder
from .examples import Examples
from .pairs import Pair

__all__ = ["batches"]

_POOL = 4000
"""Labelled pairs that are mixed, judged and sorted by length together."""
_KNOWN, _KEPT = 0.02, 0.3
"""A pair is known where the model errs by less than this, and kept all the same with this chance."""


def batches(
    model: CrossEncoder, pairs: Sequence[Pair], examples: Examples | None, size: int, seed: int
) -> Iterator[list[Pair]]:
    """Batches without end: of like length, in random order, each pair told from a random side.

    Reading a pair costs a third of learning from it, and after the first epoch more than half of them teach nothing.

    Args:
        model: Says which pairs are known, as it learns.
        pairs: The labelled pairs; each comes once before any comes again.
        examples: Makes the others; without it there are none.
        size: Pairs in a batch.
        seed: Of the chance.
    """
    rng = random.Random(seed)
    waiting: list[Pair] = []
    while True:
        if len(waiting) < _POOL:
            waiting += rng.sample(list(pairs), len(pairs))
        taken, waiting = waiting[:_POOL], waiting[_POOL:]
        pool = examples.mixed(taken, rng) if examples else taken
        pool = [pair if rng.random() < 0.5 else pair.swapped() for pair in pool]
        guesses = 1 / (1 + np.exp(-model.score(pool)))
        errors = np.abs(guesses - [pair.same for pair in pool])
        pool = [pair for pair, error in zip(pool, errors, strict=True) if error > _KNOWN or rng.random() < _KEPT]
        rng.shuffle(pool)
        order = np.argsort(model.lengths(pool), kind="stable").tolist()
        near = [[pool[place] for place in order[start : start + size]] for start in range(0, len(order), size)]
        rng.shuffle(near)
        yield from near
