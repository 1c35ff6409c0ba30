"""Queries of qdrant-client as qdrant-edge takes them; a point's id in a query is replaced by its vector."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import date
from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models

from freehold.errors import StorageError
from freehold.memory.edge_filters import to_filter, without
from freehold.memory.edge_formulas import to_formula
from freehold.memory.edge_models import to_selector
from freehold.memory.edge_vectors import to_vector

__all__ = ["QueryTranslator", "check_limit", "to_order"]

_RRF_K = 2  # as in the server


def check_limit(limit: int | None, default: int = 10) -> int:
    """The limit, or the default where there is none."""
    if limit is None:
        return default
    if limit < 1:
        raise StorageError(f"limit is {limit}; give 1 or more.")
    return limit


def to_order(order: Any) -> edge.OrderBy | None:
    """Order by a payload key that has an index."""
    if order is None:
        return None
    if isinstance(order, str):
        return edge.OrderBy(order)
    start = order.start_from
    direction = edge.Direction.Desc if order.direction == models.Direction.DESC else edge.Direction.Asc
    return edge.OrderBy(order.key, direction, start.isoformat() if isinstance(start, date) else start)


def _to_params(params: models.SearchParams | None) -> edge.SearchParams | None:
    if params is None:
        return None
    quantization, acorn, idf = params.quantization, params.acorn, params.idf
    corpus = idf.corpus if isinstance(idf, models.IdfCorpusParams) else None
    return edge.SearchParams(
        hnsw_ef=params.hnsw_ef,
        exact=bool(params.exact),
        indexed_only=bool(params.indexed_only),
        quantization=None
        if quantization is None
        else edge.QuantizationSearchParams(bool(quantization.ignore), quantization.rescore, quantization.oversampling),
        acorn=None if acorn is None else edge.AcornSearchParams(bool(acorn.enable), acorn.max_selectivity),
        idf=None if idf is None else edge.IdfParams(to_filter(corpus)),
    )


def _mean(vectors: list[Any]) -> list[float]:
    return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]


def _sparse_mean(vectors: list[models.SparseVector]) -> dict[int, float]:
    total: dict[int, float] = {}
    for one in vectors:
        for index, value in zip(one.indices, one.values, strict=True):
            total[index] = total.get(index, 0.0) + value
    return {index: value / len(vectors) for index, value in total.items()}


def _average(positive: list[Any], negative: list[Any]) -> Any:
    """The vector of `RecommendStrategy.AVERAGE_VECTOR`: the positive mean, moved away from the negative one."""
    if not positive:
        raise StorageError("A recommendation by the average vector needs a positive example.")
    if isinstance(positive[0], models.SparseVector):
        good, bad = _sparse_mean(positive), _sparse_mean(negative)
        both = sorted({*good, *bad})
        # As the server has it: an index that only one side names keeps that side's value.
        values = [2 * good[i] - bad[i] if i in good and i in bad else good.get(i, bad.get(i, 0.0)) for i in both]
        return models.SparseVector(indices=both, values=values)
    if isinstance(positive[0][0], list):
        return [row for one in positive for row in one] + [[-x for x in row] for one in negative for row in one]
    middle = _mean(positive)
    return [2 * a - b for a, b in zip(middle, _mean(negative), strict=True)] if negative else middle


class QueryTranslator:
    """Translates the queries of one collection.

    Args:
        collection: Its name.
        vector_of: Finds the vector of a point: collection, id, name of the vector.
    """

    def __init__(self, collection: str, vector_of: Callable[[str, Any, str], Any]) -> None:
        self._collection = collection
        self._vector_of = vector_of

    def request(self, request: models.QueryRequest) -> edge.QueryRequest:
        """A query with its prefetches.

        Raises:
            StorageError: A vector, an id or a limit of it cannot be used.
            NotImplementedError: It asks for what the engine or this client lacks.
        """
        if request.shard_key is not None:
            raise NotImplementedError("EdgeQdrantClient does not take shard_key.")
        mentioned: list[Any] = []
        return edge.QueryRequest(
            check_limit(request.limit),
            offset=request.offset,
            query=self._query(request.query, request.using, request.lookup_from, mentioned),
            prefetches=self._prefetches(request.prefetch) or None,
            with_vector=request.with_vector or False,
            with_payload=to_selector(request.with_payload),
            filter=self._filter(request.filter, mentioned),
            score_threshold=request.score_threshold,
            params=_to_params(request.params),
        )

    def _prefetches(self, value: Any) -> list[edge.Prefetch]:
        if value is None:
            return []
        return [self._prefetch(one) for one in (value if isinstance(value, list) else [value])]

    def _prefetch(self, prefetch: models.Prefetch) -> edge.Prefetch:
        mentioned: list[Any] = []
        return edge.Prefetch(
            check_limit(prefetch.limit),
            query=self._query(prefetch.query, prefetch.using, prefetch.lookup_from, mentioned),
            prefetches=self._prefetches(prefetch.prefetch),
            params=_to_params(prefetch.params),
            filter=self._filter(prefetch.filter, mentioned),
            score_threshold=prefetch.score_threshold,
        )

    def _filter(self, chosen: models.Filter | None, mentioned: list[Any]) -> Any:
        """What is like a point is looked for among the others."""
        return to_filter(without(chosen, [models.HasIdCondition(has_id=mentioned)] if mentioned else []))

    def _query(  # noqa: PLR0911, PLR0912 - a table in all but name
        self, query: Any, using: str | None, lookup: models.LookupLocation | None, mentioned: list[Any]
    ) -> Any:
        if query is None:
            return None
        if isinstance(query, list) and lookup is None:  # by far the most frequent
            return edge.Query.Nearest(to_vector(query), using)

        def resolve(one: Any) -> Any:
            return self._resolve(one, using, lookup, mentioned)

        if isinstance(query, models.NearestQuery):
            return _nearest(resolve(query.nearest), query.mmr, using)
        if isinstance(query, models.FusionQuery):
            return edge.Fusion.Rrf(_RRF_K) if query.fusion == models.Fusion.RRF else edge.Fusion.Dbsf()
        if isinstance(query, models.RrfQuery):
            k = _RRF_K if query.rrf.k is None else query.rrf.k
            if k < 1:
                raise StorageError(f"rrf.k is {k}; give 1 or more.")
            return edge.Fusion.Rrf(k, query.rrf.weights)
        if isinstance(query, models.OrderByQuery):
            return to_order(query.order_by)
        if isinstance(query, models.SampleQuery):
            return edge.Sample.Random
        if isinstance(query, models.FormulaQuery):
            return to_formula(query)
        if isinstance(query, models.TextQuery):
            return _text(query, using)
        if isinstance(query, models.RecommendQuery):
            return _recommend(query.recommend, using, resolve)
        if isinstance(query, models.DiscoverQuery):
            target, pairs = resolve(query.discover.target), _pairs(query.discover.context, resolve)
            return edge.Query.Discover(edge.DiscoverQuery(to_vector(target), pairs), using)
        if isinstance(query, models.ContextQuery):
            return edge.Query.Context(edge.ContextQuery(_pairs(query.context, resolve)), using)
        if isinstance(query, models.RelevanceFeedbackQuery):
            return _feedback(query.relevance_feedback, using, resolve)
        return _nearest(resolve(query), None, using)

    def _resolve(
        self, value: Any, using: str | None, lookup: models.LookupLocation | None, mentioned: list[Any]
    ) -> Any:
        if not isinstance(value, (int, str, uuid.UUID)) or isinstance(value, bool):
            return value
        if lookup is not None and lookup.shard_key is not None:
            raise NotImplementedError("EdgeQdrantClient does not take shard_key.")
        collection = self._collection if lookup is None else lookup.collection
        if collection == self._collection:
            mentioned.append(value)
        return self._vector_of(collection, value, (lookup and lookup.vector) or using or "")


def _nearest(value: Any, mmr: models.Mmr | None, using: str | None) -> Any:
    vector = to_vector(value)
    if mmr is None:
        return edge.Query.Nearest(vector, using)
    diversity = 0.5 if mmr.diversity is None else mmr.diversity
    if not 0 <= diversity <= 1:
        raise StorageError(f"mmr.diversity is {diversity}; give a number from 0 to 1.")
    return edge.Mmr(vector, 1.0 - diversity, mmr.candidates_limit or 100, using)


def _recommend(given: models.RecommendInput, using: str | None, resolve: Callable[[Any], Any]) -> Any:
    positive = [resolve(one) for one in given.positive or []]
    negative = [resolve(one) for one in given.negative or []]
    if given.strategy in {None, models.RecommendStrategy.AVERAGE_VECTOR}:
        return edge.Query.Nearest(to_vector(_average(positive, negative)), using)
    if not positive and not negative:
        raise StorageError("A recommendation needs a positive or a negative example.")
    query = edge.RecommendQuery([to_vector(one) for one in positive], [to_vector(one) for one in negative])
    if given.strategy == models.RecommendStrategy.SUM_SCORES:
        return edge.Query.RecommendSumScores(query, using)
    return edge.Query.RecommendBestScore(query, using)


def _pairs(context: Any, resolve: Callable[[Any], Any]) -> list[edge.ContextPair]:
    return [
        edge.ContextPair(to_vector(resolve(pair.positive)), to_vector(resolve(pair.negative)))
        for pair in (context if isinstance(context, list) else [context])
    ]


def _feedback(given: models.RelevanceFeedbackInput, using: str | None, resolve: Callable[[Any], Any]) -> Any:
    naive = given.strategy.naive
    items = [edge.FeedbackItem(to_vector(resolve(one.example)), one.score) for one in given.feedback]
    strategy = edge.NaiveFeedbackStrategy(naive.a, naive.b, naive.c)
    return edge.Query.FeedbackNaive(edge.FeedbackNaiveQuery(to_vector(resolve(given.target)), items, strategy), using)


def _text(query: models.TextQuery, using: str | None) -> edge.TextQuery:
    if not using:
        raise StorageError("A text query needs `using` to name the payload key that it searches.")
    if isinstance(query.text, str):
        return edge.TextQuery(using, query.text)
    scoring = query.text.scoring
    bm25 = None if scoring is None else edge.Bm25Params(scoring.bm25.k, scoring.bm25.b)
    return edge.TextQuery(using, query.text.query, bm25)
