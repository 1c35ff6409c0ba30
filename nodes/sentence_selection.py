"""Which sentences to keep of several passages, where only so many tokens fit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from freehold.nodes.sentences import Span
from freehold.nodes.words import stems

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ELISION", "Sentence", "compose", "cut", "relevance", "select", "similarity"]

ELISION = " … "
"""Stands where something between two kept sentences was left out."""

_WORDS = 0.5
"""Weight of words against meaning. Of 39 questions about Freehold's own pages, four passages of 1,600 characters each,
the sentence with the answer was kept for 37 at a tenth of the tokens, for 39 at a fifth and at a third; by meaning
alone for 29, 36 and 39; by cutting the passages off where the budget ends for 14, 15 and 19."""
_REPEATED = 2
"""A sentence loses the share of its worth that is its likeness to a kept one to this power: one that says the same as
another is worth nothing, one about the same thing most of it."""


@dataclass(frozen=True)
class Sentence:
    """A sentence and its place."""

    text: str
    passage: int
    """Which passage it is of."""
    index: int
    """Its place among the passage's sentences."""
    tokens: int


def relevance(
    question: str, sentences: Sequence[Sentence], cosine: NDArray[np.float32] | None, language: str = "english"
) -> NDArray[np.float64]:
    """How much each sentence bears on the question, 0 to 1: half by meaning, half by words; by words alone without.

    The share of the question's words that a sentence has; a word counts more where fewer sentences have it, with the
    inverse document frequency of BM25 (Robertson and Zaragoza 2009).

    Args:
        question: In the user's words.
        sentences: Of all passages.
        cosine: Similarity of each sentence to the question.
        language: Of stop words and word endings.
    """
    asked = stems(question, language)
    found = [asked & stems(sentence.text, language) for sentence in sentences]
    having = Counter(stem for words in found for stem in words)
    rare = {stem: math.log(1 + (len(found) - having[stem] + 0.5) / (having[stem] + 0.5)) for stem in asked}
    whole = sum(rare.values()) or 1.0
    words = np.array([sum(rare[stem] for stem in shared) / whole for shared in found])
    return words if cosine is None else _WORDS * words + (1 - _WORDS) * np.clip(cosine, 0, 1)


def similarity(
    texts: Sequence[str], vectors: NDArray[np.float32] | None, language: str = "english"
) -> Callable[[int], NDArray[np.float64]]:
    """How much every sentence repeats the one at an index: their cosine, or the words they share where there is none.

    Args:
        texts: Of the sentences.
        vectors: Of the question, then of the sentences.
        language: Of stop words and word endings.
    """
    if vectors is not None:
        rows = vectors[1:].astype(np.float64)
        return lambda index: np.clip(rows @ rows[index], 0, 1)
    words = [stems(text, language) for text in texts]
    return lambda index: np.array([len(own & words[index]) / max(1, len(own | words[index])) for own in words])


def select(
    sentences: Sequence[Sentence],
    scores: NDArray[np.float64],
    similar: Callable[[int], NDArray[np.float64]],
    budget: int,
    mark: int,
) -> list[int]:
    """The sentences to keep, the most valuable first: relevant, and unlike those that are kept already.

    Marginal relevance (Carbonell and Goldstein, SIGIR 1998), taken greedily while the budget lasts; a sentence that
    does not fit is passed over for the next one that does.

    Args:
        sentences: Of all passages.
        scores: Relevance of each.
        similar: Gives the similarity of every sentence to the one at an index, 0 to 1.
        budget: Tokens.
        mark: Tokens of an elision, which each kept sentence may cost.
    """
    kept: list[int] = []
    repeated = np.zeros(len(sentences))
    open_ = np.ones(len(sentences), dtype=bool)
    left = budget
    while open_.any():
        worth = np.where(open_, scores * (1 - repeated**_REPEATED), -1)
        best = int(np.argmax(worth))
        if kept and worth[best] <= 0 < scores.max():  # the rest does not speak of it, or says it again
            break
        open_[best] = False
        cost = sentences[best].tokens + (mark if kept else 0)
        if cost <= left:
            left -= cost
            kept.append(best)
            repeated = np.maximum(repeated, similar(best))
    return kept


def compose(text: str, spans: Sequence[Span], kept: Sequence[int]) -> str:
    """The kept sentences of a passage, in its order; neighbours as they stand in it, others behind an elision."""
    parts: list[str] = []
    for place, index in enumerate(kept):
        start, end = spans[index]
        if place and kept[place - 1] == index - 1:
            parts.append(text[spans[index - 1][1] : end])
        else:
            parts += [ELISION] * bool(parts)
            parts.append(text[start:end])
    return "".join(parts)


def cut(sentence: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning of a sentence that fits: whole words, where not one fits its first characters.

    Args:
        sentence: One that is too long.
        fits: Whether a text is short enough.
    """
    words = [index for index in range(1, len(sentence)) if sentence[index].isspace()]
    for ends in (words, range(1, len(sentence))):
        low, high = 0, len(ends)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if fits(sentence[: ends[middle - 1]]) else (low, middle - 1)
        if low:
            return sentence[: ends[low - 1]].rstrip()
    return sentence[:1]
