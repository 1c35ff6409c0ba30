"""What is known of two questions, as numbers that a calibration weighs."""

from __future__ import annotations

import math
from typing import Protocol

__all__ = ["SIGNALS", "UNVERIFIED", "Compared", "signals"]

UNVERIFIED = ("bias", "similarity", "same_words", "extra", "replaced", "order", "types_differ")
"""The signals where no cross-encoder looks on, in their order."""

_SAME_WORDS = 0.95
"""What the cosine of two questions counts as at least where their words are the same: a slip of the pen takes 0.1."""

SIGNALS = (*UNVERIFIED, "verifier")
"""The signals where one does."""


class Compared(Protocol):
    """What a comparison of two questions by rules tells; `freehold.cache.gate.Comparison` is one."""

    @property
    def same_words(self) -> bool:
        """Whether one is the other word for word, but for slips of the pen."""
        ...

    @property
    def extra(self) -> int:
        """Content words that only one of them has."""
        ...

    @property
    def replaced(self) -> int:
        """How many of those stand in the place of one of the other's."""
        ...

    @property
    def order(self) -> float:
        """Share of the common content words that stand in the same order, 0 to 1."""
        ...

    @property
    def types_differ(self) -> bool:
        """Whether they begin with another interrogative."""
        ...


def signals(similarity: float, compared: Compared, verifier: float | None = None) -> tuple[float, ...]:
    """The signals between two questions, each about between -3 and 3.

    Args:
        similarity: Cosine similarity.
        compared: What the rules found.
        verifier: The cross-encoder's probability that both ask the same, 0 to 1; None where there is none.

    Returns:
        `SIGNALS`, or `UNVERIFIED` without a verifier.
    """
    if compared.same_words:  # then the encoder tells spelling from spelling
        similarity = max(similarity, _SAME_WORDS)
    # Near 1 a hundredth counts for more than further down, as on a logit's scale.
    near = math.log(max(similarity - 0.3, 0.01) / (1.001 - min(similarity, 1.0))) / 3
    known = (
        1.0,
        near,
        float(compared.same_words),
        min(compared.extra, 6) / 3,
        min(compared.replaced, 4) / 2,
        1 - compared.order,
        float(compared.types_differ),
    )
    return known if verifier is None else (*known, _logit(verifier) / 3)


def _logit(probability: float) -> float:
    return math.log(max(probability, 1e-4) / max(1 - probability, 1e-4))
