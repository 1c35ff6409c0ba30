"""Searching the documents: by meaning and by words, filtered, fused, reranked, diversified, widened."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from freehold.errors import UserError
from freehold.memory.diversity import diversify
from freehold.memory.fusion import FUSIONS, Fusion
from freehold.memory.indexed_text import indexed_text
from freehold.memory.parent_passages import MOST_NEIGHBOURS, neighbours_filter, widen
from freehold.memory.search_filter import to_filter
from freehold.memory.search_hit import SearchHit
from freehold.state import Passage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qdrant_client import QdrantClient
    from qdrant_client.http import models
    from qdrant_edge import Bm25

    from freehold.memory.documents import Embedder
    from freehold.memory.search_filter import Conditions

__all__ = ["DocumentSearch", "Reranker", "of_sources"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

_CANDIDATES = 100
"""Passages that each ranking gives to the fusion."""
_RERANKED = 20
"""Fused passages that a reranker reads at least; each costs it milliseconds."""
_OPTIONAL = ("index", "section", "metadata")
"""Keys of a passage that an earlier version did not store."""


class Reranker(Protocol):
    """Reads query and passage together."""

    async def ascore(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        """How well each passage answers its query, 0 to 1."""
        ...


@dataclass(frozen=True)
class _Candidate:
    hit: SearchHit
    vector: NDArray[np.float32]


class DocumentSearch(ABC):
    """The half of `Documents` that reads: how passages are found."""

    collection: str
    _client: QdrantClient
    _embedder: Embedder
    _bm25: Bm25

    @abstractmethod
    def _check_open(self) -> None:
        """Raise StorageError where the documents are closed."""

    @abstractmethod
    async def _run(self, call: Callable[[], T]) -> T:
        """Call the store on its own thread."""

    @abstractmethod
    async def _read(self, call: Callable[[], T]) -> T:
        """Call the store to read from it, beside other readers where it can."""

    async def search(  # noqa: PLR0913 - a keyword for each stage
        self,
        query: str,
        limit: int = 4,
        *,
        within: Sequence[str] | None = None,
        where: Conditions | None = None,
        diversity: float = 0.0,
        parents: int = 0,
        reranker: Reranker | None = None,
        fusion: Fusion = "convex",
    ) -> list[Passage]:
        """The passages that answer best, by meaning and by words, best first.

        Args:
            query: What is asked.
            limit: Most passages.
            within: Only these sources; None is all of them.
            where: Only passages that meet these conditions, by key: `source`, `heading`, `page`, `section`, and what
                stands in their metadata (`format`, `modified`, ...). A value, a list of which one must hold, or
                operators: `{"format": ["pdf", "docx"], "modified": {"gte": "2026-01-01"}, "page": {"lte": 3}}`; the
                operators are gt, gte, lt, lte and not. Qdrant's own `Filter` is taken as it is; of a list each must
                hold.
            diversity: 0 to 1: how much a passage loses for what better ones say already (maximal marginal relevance).
            parents: Characters up to which each passage is widened by what stands around it in its section; passages
                that meet become one. 0 leaves them as they are.
            reranker: Orders the best of them anew. Where it fails, the order stays, and the log says so.
            fusion: How the ranking by meaning and that by words become one: by their scores ("convex", see
                `convex_combination`), or by their ranks alone ("rrf").

        Returns:
            Passages whose `score` is the cosine similarity to the query, -1 to 1, whatever their rank; with a reranker,
            its score is `rerank_score`.

        Raises:
            UserError: A condition of the filter, or another option, cannot be used.
            StorageError: The store failed, or the documents are closed.
        """
        hits = await self.explain(
            query,
            limit,
            within=within,
            where=where,
            diversity=diversity,
            parents=parents,
            reranker=reranker,
            fusion=fusion,
        )
        return [hit.passage for hit in hits]

    async def explain(  # noqa: PLR0913 - as `search`
        self,
        query: str,
        limit: int = 4,
        *,
        within: Sequence[str] | None = None,
        where: Conditions | None = None,
        diversity: float = 0.0,
        parents: int = 0,
        reranker: Reranker | None = None,
        fusion: Fusion = "convex",
    ) -> list[SearchHit]:
        """What `search` finds with the same arguments, each passage with its ranks and scores on the way there."""
        self._check_open()
        if not 0 <= diversity <= 1 or parents < 0:
            raise UserError(f"diversity={diversity}, parents={parents} cannot be used: give 0 to 1, and 0 or more.")
        if fusion not in FUSIONS:
            raise UserError(f"fusion={fusion!r} cannot be used: give {' or '.join(map(repr, FUSIONS))}.")
        chosen = to_filter([where, None if within is None else of_sources(within)])
        # Half of a surrogate pair, from a broken emoji in JSON, has no UTF-8 form, and BM25 takes nothing else.
        query = query.encode("utf-8", "replace").decode()
        if not query.strip() or limit < 1:
            return []
        vector = (await self._embedder.embed([query]))[0]
        spare = limit + (3 * limit if diversity else 0) + (limit if parents else 0)
        wanted = max(spare, _RERANKED) if reranker is not None else spare
        found = await self._read(lambda: self._fused(query, vector, wanted, chosen, fusion))
        if reranker is not None and found:
            found = await _reranked(query, found, reranker)
        if diversity:
            scores = [_relevance(candidate.hit) for candidate in found]
            order = diversify(scores, np.array([candidate.vector for candidate in found]), diversity)
            ranked = [(rank, found[place]) for rank, place in enumerate(order, 1)]
            found = [replace(one, hit=replace(one.hit, diversity_rank=rank)) for rank, one in ranked]
        hits = [candidate.hit for candidate in found]
        if parents:
            hits = await self._read(lambda: self._widened(hits, parents, chosen))
        return hits[:limit]

    def _fused(
        self, query: str, vector: NDArray[np.float32], limit: int, chosen: models.Filter | None, fusion: Fusion
    ) -> list[_Candidate]:
        """The best by both rankings. Only what is kept is read whole: reading all would cost more than finding it."""
        from qdrant_client.http import models

        depth = max(_CANDIDATES, limit)
        common: dict[str, Any] = {"limit": depth, "filter": chosen, "with_payload": False}
        requests = [models.QueryRequest(query=vector.tolist(), using="dense", **common)]
        words = self._bm25.embed_query(query)
        if words.indices:
            sparse = models.SparseVector(indices=words.indices, values=words.values)
            requests.append(models.QueryRequest(query=sparse, using="bm25", **common))
        answers = self._client.query_batch_points(self.collection, requests)
        rankings = [[(point.id, point.score) for point in answer.points] for answer in answers]
        rankings += [[]] * (2 - len(rankings))
        fused = FUSIONS[fusion](rankings[0], rankings[1], depth)
        best = sorted(fused, key=fused.__getitem__, reverse=True)[:limit]
        records = self._client.retrieve(self.collection, best, with_payload=True, with_vectors=["dense"])
        held = {record.id: record for record in records}
        places = [
            {identity: (rank, score) for rank, (identity, score) in enumerate(ranking, 1)} for ranking in rankings
        ]
        direction = vector / (float(np.linalg.norm(vector)) or 1.0)
        return [
            _candidate(held[identity], direction, places, (rank, fused[identity]))
            for rank, identity in enumerate(best, 1)
            if identity in held  # else it was removed meanwhile
        ]

    def _widened(self, hits: list[SearchHit], characters: int, chosen: models.Filter | None) -> list[SearchHit]:
        """What stands around the passages must meet the filter, too."""
        passages = [hit.passage for hit in hits]
        around = neighbours_filter(passages)
        neighbours: list[dict[str, Any]] = []
        if around is not None:
            both = to_filter([around, chosen])
            most = MOST_NEIGHBOURS * len(hits)
            records, _ = self._client.scroll(self.collection, both, limit=most, with_payload=True)
            neighbours = [record.payload or {} for record in records]
        pairs = zip(hits, widen(passages, neighbours, characters), strict=True)
        return [replace(hit, passage=passage) for hit, passage in pairs if passage is not None]


def of_sources(sources: Sequence[str]) -> models.Filter:
    """Only the passages of these documents."""
    from qdrant_client.http import models

    return models.Filter(must=[models.FieldCondition(key="source", match=models.MatchAny(any=list(sources)))])


async def _reranked(query: str, found: list[_Candidate], reranker: Reranker) -> list[_Candidate]:
    """The candidates in the reranker's order; as they were where it fails."""
    try:
        given = await reranker.ascore([(query, indexed_text(candidate.hit.passage)) for candidate in found])
        scores = [round(float(score), 6) for score in given]
        if len(scores) != len(found) or not all(map(math.isfinite, scores)):
            raise ValueError(f"it gave {len(scores)} scores for {len(found)} passages: {scores}")  # noqa: TRY301
    except UserError:  # the caller can mend it
        raise
    except Exception as error:  # noqa: BLE001 - a reranker of anybody's costs its order, not the search
        _log.warning(
            "The passages could not be reranked; they stay in the order in which they were found: %s: %s",
            type(error).__name__,
            error,
        )
        return found
    order = sorted(range(len(found)), key=lambda place: -scores[place])
    return [
        replace(found[place], hit=_judged(found[place].hit, scores[place], rank)) for rank, place in enumerate(order, 1)
    ]


def _judged(hit: SearchHit, score: float, rank: int) -> SearchHit:
    passage: Passage = {**hit.passage, "rerank_score": score}
    return replace(hit, passage=passage, rerank_score=score, rerank_rank=rank)


def _relevance(hit: SearchHit) -> float:
    return hit.fused_score if hit.rerank_score is None else hit.rerank_score


def _candidate(
    record: models.Record,
    direction: NDArray[np.float32],
    places: Sequence[dict[Any, tuple[int, float]]],
    fused: tuple[int, float],
) -> _Candidate:
    payload = record.payload or {}
    vectors: Any = record.vector or {}
    # Qdrant keeps vectors of a cosine collection at length 1.
    vector = np.asarray(vectors["dense"], dtype=np.float32)
    cosine = round(float(np.dot(vector, direction)), 6)
    passage: Passage = {
        "id": str(record.id),
        "text": payload["text"],
        "source": payload["source"],
        "heading": payload["heading"],
        "page": payload["page"],
        "start": payload["start"],
        "end": payload["end"],
        "score": cosine,
    }
    passage.update({key: payload[key] for key in _OPTIONAL if key in payload})  # type: ignore[typeddict-item]
    dense_rank, _ = places[0].get(record.id, (None, 0.0))
    bm25_rank, bm25_score = places[1].get(record.id, (None, None))
    hit = SearchHit(passage, cosine, dense_rank, bm25_score, bm25_rank, fused[1], fused[0])
    return _Candidate(hit, vector)
