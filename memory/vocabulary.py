"""How rare a word is among the memories that a context sees."""

from __future__ import annotations

import math
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from freehold.context import Context
from freehold.memory.scopes import audiences, owner, visible

if TYPE_CHECKING:
    from qdrant_edge import Bm25

__all__ = ["Vocabularies", "Vocabulary", "words"]

_SAMPLE = 256
_FRESH_SECONDS = 60.0
_KEPT = 64
_LEAST_SAMPLE = 20
_COMMON_SHARE = 0.25
_WORD = re.compile(r"\w+(?:['\u2019]s\b)?\s*")


@dataclass(frozen=True)
class Vocabulary:
    """In how many of some memories each word stands; a word is a number, as BM25 gives it."""

    size: int = 0
    """How many memories were looked at."""
    counts: Mapping[int, int] = field(default_factory=dict)

    def rarity(self, query: str) -> dict[int, float]:
        """A weight for each word of a question, 0 to 1: the square of its inverse document frequency.

        Qdrant's own frequencies are those of all users together. A user's name is rare among them, and stands in every
        memory of its owner; and nobody's ranking should depend on what others keep.
        """
        highest = self._idf(0)
        return {word: (self._idf(self.counts.get(word, 0)) / highest) ** 2 for word in words(query)}

    def _idf(self, count: int) -> float:
        return math.log(1 + (self.size - count + 0.5) / (count + 0.5))

    def distinctive(self, query: str) -> str:
        """The question without words that stand in a quarter of the memories: they do not say which one is meant.

        An embedding of "When did Ada paint a sunrise?" is near to everything that Ada said.
        """
        if self.size < _LEAST_SAMPLE:
            return query
        kept = "".join(
            part if _WORD.fullmatch(part) is None or not self._is_common(part) else "" for part in _parts(query)
        ).strip()
        return kept if words(kept) else query

    def _is_common(self, word: str) -> bool:
        numbers = words(word)
        return bool(numbers) and all(self.counts.get(one, 0) >= _COMMON_SHARE * self.size for one in numbers)


class Vocabularies:
    """The vocabularies of the users who asked lately, each read from a sample of their memories; for mem0's thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, ...], tuple[float, Vocabulary]] = OrderedDict()

    def of(self, mem0: Any, context: Context) -> Vocabulary:
        """The vocabulary of the memories that a context sees, at most a minute old."""
        now = time.monotonic()
        while self._known and next(iter(self._known.values()))[0] < now - _FRESH_SECONDS:
            self._known.popitem(last=False)  # nothing is held of somebody who was forgotten meanwhile
        key = (owner(context), *audiences(context))
        if key not in self._known:
            self._known[key] = (now, _read(mem0, context))
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return self._known[key][1]


def _read(mem0: Any, context: Context) -> Vocabulary:
    """A random sample: Qdrant scrolls in the order of ids, and mem0's ids are random."""
    from qdrant_client import models

    store = mem0.vector_store
    points, _ = store.client.scroll(
        store.collection_name,
        scroll_filter=models.Filter(must=visible(context).must),  # a word of an expired memory does no harm
        limit=_SAMPLE,
        with_payload=["data"],
    )
    counts: Counter[int] = Counter()
    for point in points:
        counts.update(words(str((point.payload or {}).get("data", ""))).keys())
    return Vocabulary(len(points), counts)


@cache
def _bm25() -> Bm25:
    from qdrant_edge import Bm25

    return Bm25()


def words(text: str) -> dict[int, float]:
    """The words of a text without endings and stop words, each with the BM25 weight of how often it stands there."""
    vector = _bm25().embed_document(text)
    return dict(zip(vector.indices, vector.values, strict=True))


def _parts(text: str) -> list[str]:
    """The words with the space behind them, and what stands between."""
    parts, end = [], 0
    for match in _WORD.finditer(text):
        parts += [text[end : match.start()], match[0]]
        end = match.end()
    return [*parts, text[end:]]
