"""The words of a text that carry its meaning: without stop words, with their endings taken off."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qdrant_edge import Bm25

__all__ = ["content_words", "coverage", "stems", "well_formed"]

_WORD = re.compile(r"\w+(?:[.'\u2019_-]\w+)*")
_SURROGATE = re.compile("[\ud800-\udfff]")


@lru_cache(maxsize=8)
def _analyzer(language: str) -> Bm25:
    """The tokenizer, stop words and stemmer that the documents' BM25 index has too."""
    from qdrant_edge import Bm25, Bm25Config

    return Bm25(Bm25Config(language=language))


def stems(text: str, language: str = "english") -> frozenset[int]:
    """The text's content words, each as the hash of its stem.

    Example:
        >>> stems("The boiler's gauges") == stems("Gauge of a boiler")
        True
    """
    return frozenset(_analyzer(language).embed_query(well_formed(text)).indices)


def content_words(text: str, language: str = "english") -> list[str]:
    """The text's content words as they are written, in their order, each stem once.

    Example:
        >>> content_words("Where are the gauges of the boiler, and which gauge is new?")
        ['gauges', 'boiler', 'new']
    """
    found: dict[frozenset[int], str] = {}
    for match in _WORD.finditer(text):
        if stem := stems(match[0], language):
            found.setdefault(stem, match[0])
    return list(found.values())


def coverage(question: frozenset[int], text: frozenset[int]) -> float:
    """Share of the question's stems that the text has; 0 where the question has none."""
    return len(question & text) / len(question) if question else 0.0


def well_formed(text: str) -> str:
    """The text without halves of characters, as broken clients and readers leave them: those are no UTF-8."""
    return _SURROGATE.sub("\ufffd", text)
