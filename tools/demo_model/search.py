"""BM25 over the chunks, to find the passages that a retriever would give beside the right one."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bm25", "words"]

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_\-]+")


def words(text: str) -> list[str]:
    """Lower-case words without their plural s, so that "caches" meets "cache"."""
    found = [word.lower().strip("-_") for word in _WORD.findall(text)]
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in found]


class Bm25:
    """An inverted index over texts.

    Args:
        texts: What to index; a text's number is its position.
        saturation: BM25's k1.
        length_weight: BM25's b.
        common: Words in a larger share of the texts than this are passed over: they cost time and tell nothing.

    Source: Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009).
    """

    def __init__(
        self, texts: Sequence[str], saturation: float = 1.2, length_weight: float = 0.75, common: float = 0.1
    ) -> None:
        counts = [Counter(words(text)) for text in texts]
        self.size = len(counts)
        self._most = common * self.size
        self.frequency = Counter(word for count in counts for word in count)
        lengths = [sum(count.values()) for count in counts]
        mean = sum(lengths) / max(1, self.size)
        numbers: dict[str, list[int]] = defaultdict(list)
        weights: dict[str, list[float]] = defaultdict(list)
        for number, count in enumerate(counts):
            norm = saturation * (1 - length_weight + length_weight * lengths[number] / mean)
            for word, times in count.items():
                numbers[word].append(number)
                weights[word].append(times * (saturation + 1) / (times + norm))
        self._numbers = {word: np.array(found, dtype=np.int32) for word, found in numbers.items()}
        self._weights = {word: np.array(found, dtype=np.float32) * self.rarity(word) for word, found in weights.items()}

    def rarity(self, word: str) -> float:
        """Inverse document frequency of a word as `words` gives it."""
        found = self.frequency[word]
        return math.log(1 + (self.size - found + 0.5) / (found + 0.5))

    def scores(self, question: str) -> NDArray[np.float64]:
        """Score every text against a question."""
        known = [word for word in set(words(question)) if word in self._numbers and self.frequency[word] < self._most]
        if not known:
            return np.zeros(self.size)
        numbers = np.concatenate([self._numbers[word] for word in known])
        weights = np.concatenate([self._weights[word] for word in known])
        return np.bincount(numbers, weights=weights, minlength=self.size)
