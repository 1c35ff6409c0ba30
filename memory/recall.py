"""The order of memories for a question: by meaning, by words, by what was said around them, and by age."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from freehold.errors import SettingsError
from freehold.memory.memory_rows import is_alive, memory_of
from freehold.memory.neighbours import neighbours
from freehold.memory.vocabulary import words
from freehold.state import Memory

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qdrant_client import models

__all__ = ["Question", "Ranking", "recall"]

_READ = ["data", "created_at", "updated_at", "expires_at", "audience", "follows"]


@dataclass(frozen=True)
class Ranking:
    """What counts how much when memories are put in order; a memory's cosine to the question counts 1.

    The weights were chosen on two conversations of LoCoMo (Maharana et al., ACL 2024) and lie on a plateau; see
    `benchmarks/memory.py`.
    """

    words: float = 0.6
    """The share of the question's words that a memory holds, by BM25 and weighted by how rare the user has them."""
    before: float = 0.3
    """What the memory before it in its session has; people answer in other words than they were asked in."""
    answer: float = 0.2
    """That once more, where the memory before it ends with a question mark."""
    after: float = 0.1
    """What the memory after it in its session has."""
    recency: float = 0.03
    """How much a memory of this moment has over an old one: it decides between two that fit alike."""
    half_life_days: float = 30.0
    """Days after which half of that is left."""
    candidates: int = 20
    """How many of the nearest by meaning and of the best by words are looked at, with their neighbours."""

    def __post_init__(self) -> None:
        weights = (self.words, self.before, self.answer, self.after, self.recency)
        if not min(weights) >= 0 or not self.half_life_days > 0 or self.candidates < 1:
            raise SettingsError(
                f"{self} cannot be used: weights are 0 or more, half_life_days is above 0, candidates is at least 1."
            )


@dataclass(frozen=True)
class Question:
    """What memories are held against."""

    vector: NDArray[np.float32]
    """Of the whole question; its cosine is a memory's score."""
    rarity: Mapping[int, float]
    """Weight of each of its words."""
    distinctive: NDArray[np.float32] | None = None
    """Of the question without the words that many of the user's memories hold; it orders them, where there is one."""

    @property
    def meaning(self) -> list[float]:
        """The vector that orders memories."""
        found: list[float] = (self.vector if self.distinctive is None else self.distinctive).tolist()
        return found


def recall(  # noqa: PLR0913, PLR0917 - a step of `LongTermMemory.search`
    mem0: Any, question: Question, visible: models.Filter, limit: int, threshold: float, ranking: Ranking
) -> list[Memory]:
    """The memories that a filter lets through, in the order of the ranking; on mem0's thread.

    Args:
        mem0: The opened mem0.
        question: What is asked.
        visible: What the run's context may see.
        limit: Most memories.
        threshold: Least cosine between a memory and the whole question.
        ranking: The weights.
    """
    number = max(ranking.candidates, 2 * limit)
    # Asking the engine about expiry costs milliseconds at ten thousand memories, and what has expired is soon deleted.
    points, meaning = _candidates(mem0, question, visible.model_copy(update={"must_not": None}), number)
    if not all(is_alive(point.payload) for point in points):
        points, meaning = _candidates(mem0, question, visible, number)
    if not points:
        return []
    places = {str(point.id): place for place, point in enumerate(points)}
    own = meaning + ranking.words * _by_words(points, question.rarity)
    total = own + ranking.recency * _recency(points, ranking.half_life_days)
    for place, point in enumerate(points):
        before = places.get(point.payload.get("follows", ""))
        if before is not None:
            asks = _text(points[before]).rstrip().endswith("?")
            total[place] += own[before] * (ranking.before + ranking.answer * asks)
            total[before] += own[place] * ranking.after
    order = sorted(range(len(points)), key=lambda place: (-total[place], str(points[place].id)))
    if question.distinctive is None:
        scores = {points[place].id: float(meaning[place]) for place in order}
    else:
        scores = _cosines(mem0, question.vector.tolist(), [points[place].id for place in order])
    kept = [points[place] for place in order if scores.get(points[place].id, -1.0) >= threshold][:limit]
    return [memory_of(point.id, point.payload, scores[point.id]) for point in kept]


def _candidates(
    mem0: Any, question: Question, visible: models.Filter, number: int
) -> tuple[list[Any], NDArray[np.float64]]:
    """The nearest by meaning, the best by words and the neighbours of both, with their cosines to the meaning."""
    from qdrant_client import models

    store = mem0.vector_store
    ask = models.QueryRequest(query=question.meaning, filter=visible, limit=number, with_payload=_READ)
    requests = [ask]
    if question.rarity:
        sparse = models.SparseVector(indices=[*question.rarity], values=[*question.rarity.values()])
        requests.append(ask.model_copy(update={"query": sparse, "using": "bm25"}))
    nearest, *best = (one.points for one in store.client.query_batch_points(store.collection_name, requests=requests))
    found = {point.id: point for points in (*best, nearest) for point in points}
    meaning = {point.id: point.score for point in nearest}
    rest = ask.model_copy(update={"filter": neighbours(found.values(), meaning, visible), "limit": 4 * number})
    for point in store.client.query_batch_points(store.collection_name, requests=[rest])[0].points:
        found[point.id], meaning[point.id] = point, point.score
    points = [point for point in found.values() if point.id in meaning]
    return points, np.array([meaning[point.id] for point in points])


def _cosines(mem0: Any, vector: list[float], ids: list[Any]) -> dict[Any, float]:
    from qdrant_client import models

    store = mem0.vector_store
    chosen = models.Filter(must=[models.HasIdCondition(has_id=ids)])
    found = store.client.query_points(
        store.collection_name, query=vector, query_filter=chosen, limit=len(ids), with_payload=False
    )
    return {point.id: float(point.score) for point in found.points}


def _by_words(points: Sequence[Any], rarity: Mapping[int, float]) -> NDArray[np.float64]:
    """The share of the question's words in each memory."""
    whole = sum(rarity.values())
    shares = np.zeros(len(points))
    if whole:
        for place, point in enumerate(points):
            held = words(_text(point))
            shares[place] = sum(weight * held.get(word, 0.0) for word, weight in rarity.items()) / whole
    return shares


def _recency(points: Sequence[Any], half_life_days: float) -> NDArray[np.float64]:
    """1 for a memory of this moment, half of that after a half-life; 0 where no time is known."""
    now = datetime.now(UTC)
    days = np.full(len(points), np.inf)
    for place, point in enumerate(points):
        said = point.payload.get("updated_at") or point.payload.get("created_at")
        try:
            days[place] = max((now - datetime.fromisoformat(said)).total_seconds() / 86400, 0.0)
        except (TypeError, ValueError):  # none, or not ours
            continue
    return 0.5 ** (days / half_life_days)


def _text(point: Any) -> str:
    return str((point.payload or {}).get("data", ""))
