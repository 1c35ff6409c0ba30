"""What speaks for and against serving the answer to one question for another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

__all__ = ["Choice", "Evidence", "HitStrategy", "Near"]


@dataclass(frozen=True)
class Near:
    """An earlier question of like meaning."""

    key: str
    """Key of its answer."""
    question: str
    similarity: float
    """Cosine similarity to the question that is asked, -1 to 1."""


@dataclass(frozen=True)
class Evidence:
    """What was found out about an earlier question. Plain JSON: a run's state carries it from lookup to storing."""

    entry: str
    """Key of the earlier question's answer."""
    question: str
    """The earlier question."""
    similarity: float
    signals: tuple[float, ...] = ()
    """As the calibration takes them; empty where none was asked."""
    verifier: float | None = None
    """The cross-encoder's probability that both ask the same; None where it was not asked."""
    risk: float | None = None
    """The probability that the answer would be wrong, with a margin for thin evidence."""
    comparisons: int = 0
    """Answers that were compared with this entry's before."""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """The evidence that `asdict` made plain."""
        return cls(**{**plain, "signals": tuple(plain["signals"])})


@dataclass(frozen=True)
class Choice:
    """Which earlier question's answer may serve, if any."""

    allowed: bool
    reason: str
    """One sentence for a person."""
    evidence: Evidence | None = None
    """About the candidate that serves, or about the one that came nearest to it."""
    score: float | None = None
    """What decided: the similarity, or the probability that the answer is right."""
    threshold: float | None = None
    """What the score was held against."""


class HitStrategy(Protocol):
    """Decides which earlier question's answer may serve, and learns from answers that are compared."""

    @property
    def compares(self) -> bool:
        """Whether a new answer is to be compared with the one that could have been served."""
        ...

    async def choose(self, question: str, near: Sequence[Near]) -> Choice:
        """Choose among earlier questions, the nearest first; counts as a request."""
        ...

    async def withdraw(self, evidence: Evidence) -> None:
        """The answer that was allowed is not there any more: nothing is served, and nothing risked."""
        ...

    async def again(self, evidence: Evidence) -> Evidence | None:
        """The evidence as it weighs today, where a question may be served another one's answer once more.

        Counts as a request. Where it may not (None), it is answered anew, and both answers are compared.
        """
        ...

    async def repeated(self) -> None:
        """Count a request that was served its own answer."""
        ...

    async def learn(self, evidence: Evidence, *, correct: bool, served: bool) -> None:
        """Take in that the answer would have been, or was (`served`), right or wrong."""
        ...

    async def compared(self, entry: str) -> tuple[int, int]:
        """How often answers to other questions were compared with the entry's, and how often they were the same."""
        ...

    async def forget(self, *entries: str) -> None:
        """These entries are gone, or hold other answers now."""
        ...

    async def clear(self) -> None:
        """Forget everything that was learned and spent."""
        ...

    async def close(self) -> None:
        """Write what is still in memory; closing twice is closing once."""
        ...
