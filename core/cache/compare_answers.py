"""Whether two answers say the same, as far as can be told without asking anybody."""

from __future__ import annotations

import re
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from freehold.cache.answer import CachedAnswer
from freehold.cache.gate import refusal
from freehold.cache.situation import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["AnswerComparer", "CompareAnswers"]


_MARK = re.compile(r"(?<!\s)\s*\[\d+\]")
"""A citation's number, which says where a passage stood and nothing of what it says."""


class AnswerComparer(Protocol):
    """Anything that can tell whether two answers say the same."""

    async def same(self, question: str, first: CachedAnswer, second: CachedAnswer) -> bool | None:
        """True or False; None where it cannot be told, and then nothing is learned."""
        ...


class _Embedder(Protocol):
    def embed(self, texts: Sequence[str]) -> Coroutine[Any, Any, NDArray[np.float32]]:
        """One row for each text, of length 1."""
        ...


class _AnswerJudge(Protocol):
    async def same_answer(self, question: str, first: str, second: str) -> bool:
        """Whether both texts answer the question alike."""
        ...


@dataclass(frozen=True)
class CompareAnswers:
    """Compare answers by their words, what they cite, and their meaning.

    Answers of the same words, or that cite the same passages on the same route, are the same; answers with other
    numbers or another negation, or of another route, are not. Between that, likeness decides where it is clear, and
    what is not clear teaches nothing, unless a judge is there to ask.

    Args:
        embedder: For likeness; None goes without.
        same_above: Cosine similarity from which two answers count as the same.
        other_below: Cosine similarity below which they do not.
        judge: Asked about what is between; None asks nobody.

    Example:
        >>> from freehold.portal import run_sync
        >>> first, second = CachedAnswer("How high?", "It is 4 m high."), CachedAnswer("How tall?", "It is 5 m high.")
        >>> run_sync(CompareAnswers().same("How tall?", first, second))
        False
    """

    embedder: _Embedder | None = None
    same_above: float = 0.92
    other_below: float = 0.55
    judge: _AnswerJudge | None = None

    async def same(self, question: str, first: CachedAnswer, second: CachedAnswer) -> bool | None:
        """True or False; None where it cannot be told."""
        told, retold = (_MARK.sub("", answer.answer) for answer in (first, second))
        if normalise(told) == normalise(retold):
            return True
        if first.route != second.route or refusal(told, retold) is not None:
            return False
        if (cited := _passages(first)) and cited == _passages(second):
            return True
        if self.embedder is not None:
            vectors = await self.embedder.embed([told, retold])
            likeness = float(vectors[0] @ vectors[1])
            if likeness >= self.same_above or likeness < self.other_below:
                return likeness >= self.same_above
        return await self.judge.same_answer(question, told, retold) if self.judge is not None else None


def _passages(answer: CachedAnswer) -> set[str]:
    return {citation["passage"] for citation in answer.citations}
