"""Translation between qdrant-client's models and qdrant-edge's.

Both describe the same engine, so this is a change of classes and no more. What is not translated raises
`NotImplementedError` with its name.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

import qdrant_edge as edge
from pydantic_core import to_jsonable_python
from qdrant_client.http import models

from freehold.errors import StorageError

__all__ = [
    "collection_config",
    "from_id",
    "from_record",
    "from_scored",
    "index_schema",
    "to_filter",
    "to_id",
    "to_order",
    "to_params",
    "to_payload",
    "to_points",
    "to_prefetches",
    "to_query",
    "to_selection",
    "to_selector",
    "to_vector",
]

PointId = int | str | uuid.UUID


def to_id(value: Any) -> PointId:
    """A point id as the engine takes it: an integer from 0, or a UUID in its canonical text."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    try:
        return str(value if isinstance(value, uuid.UUID) else uuid.UUID(value))
    except (ValueError, AttributeError, TypeError) as error:
        raise StorageError(f"{value!r} cannot be a point id: give an integer from 0, or a UUID.") from error


def from_id(value: Any) -> Any:
    """A point id as qdrant-client gives it; None stays None."""
    return value if value is None or isinstance(value, int) else str(value)


def to_vector(value: Any) -> Any:
    """Dense, sparse, multi-vector or a mapping of names to those."""
    if isinstance(value, models.SparseVector):
        return edge.SparseVector(value.indices, value.values)
    if isinstance(value, Mapping):
        return {name: to_vector(one) for name, one in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, list):
        raise NotImplementedError(f"EdgeQdrantClient does not embed {type(value).__name__}; give a vector.")
    total = sum(value) if value and not isinstance(value[0], list) else 0.0
    if total - total != 0:  # infinite or not a number: the engine would take it, and never find its neighbours again
        raise StorageError("The vector holds NaN or infinity; check what the embedder was given.")
    return value


def _from_vector(value: Any) -> Any:
    if isinstance(value, edge.SparseVector):
        return models.SparseVector(indices=value.indices, values=value.values)
    if isinstance(value, dict):
        return {name: _from_vector(one) for name, one in value.items()}
    return value


def to_points(points: Any) -> list[edge.Point]:
    """Points from a list of them, or from a batch of columns."""
    if not isinstance(points, models.Batch):
        return [edge.Point(to_id(one.id), to_vector(one.vector), to_payload(one.payload)) for one in points]
    payloads = points.payloads or [{}] * len(points.ids)
    vectors: list[Any] = list(points.vectors)
    if isinstance(points.vectors, dict):
        rows = zip(*points.vectors.values(), strict=True)
        vectors = [dict(zip(points.vectors, row, strict=True)) for row in rows]
    columns = zip(points.ids, vectors, payloads, strict=True)
    return [
        edge.Point(to_id(identity), to_vector(vector), to_payload(payload)) for identity, vector, payload in columns
    ]


def to_payload(payload: Mapping[str, Any] | None) -> dict[str, Any]:
    """Plain JSON: dates become text, as on their way to a server."""
    plain: dict[str, Any] = to_jsonable_python(dict(payload or {}))
    return plain


def to_selection(selector: Any) -> tuple[list[PointId] | None, Any]:
    """The ids, or else the filter, that a points selector names."""
    if isinstance(selector, models.FilterSelector):
        selector = selector.filter
    if isinstance(selector, models.Filter):
        return None, to_filter(selector)
    ids = selector.points if isinstance(selector, models.PointIdsList) else selector
    return [to_id(one) for one in ids], None


def from_scored(point: edge.ScoredPoint) -> models.ScoredPoint:
    """A hit. Built without validation: the engine's values need none, and it is most of the time of a search."""
    return models.ScoredPoint.model_construct(
        id=from_id(point.id),
        version=point.version,
        score=point.score,
        payload=point.payload,
        vector=_from_vector(point.vector),
        shard_key=None,
        order_value=point.order_value,
    )


def from_record(point: edge.Record) -> models.Record:
    """A record, built without validation."""
    return models.Record.model_construct(
        id=from_id(point.id),
        payload=point.payload,
        vector=_from_vector(point.vector),
        shard_key=None,
        order_value=point.order_value,
    )


def to_selector(value: Any) -> Any:
    """Which payload keys come back."""
    if isinstance(value, models.PayloadSelectorInclude):
        return edge.PayloadSelector.Include(value.include)
    if isinstance(value, models.PayloadSelectorExclude):
        return edge.PayloadSelector.Exclude(value.exclude)
    return list(value) if isinstance(value, (list, tuple)) else bool(value)


# --- filters ---------------------------------------------------------------------------------------------------------

_MATCHES: dict[type, Callable[[Any], Any]] = {
    models.MatchValue: lambda m: edge.MatchValue(m.value),
    models.MatchText: lambda m: edge.MatchText(m.text),
    models.MatchTextAny: lambda m: edge.MatchTextAny(m.text_any),
    models.MatchPhrase: lambda m: edge.MatchPhrase(m.phrase),
    models.MatchAny: lambda m: edge.MatchAny(m.any),
    models.MatchExcept: lambda m: edge.MatchExcept(m.except_),
}


def _iso(value: date | None) -> str | None:
    return None if value is None else value.isoformat()


def _field(condition: models.FieldCondition) -> edge.FieldCondition:
    for name in ("geo_bounding_box", "geo_radius", "geo_polygon"):
        if getattr(condition, name) is not None:
            raise NotImplementedError(f"EdgeQdrantClient does not translate the condition {name}.")
    match, span, count = condition.match, condition.range, condition.values_count
    if match is not None and type(match) not in _MATCHES:
        raise NotImplementedError(f"EdgeQdrantClient does not translate {type(match).__name__}.")
    found: Any = None
    if isinstance(span, models.DatetimeRange):
        found = edge.RangeDateTime(gte=_iso(span.gte), gt=_iso(span.gt), lte=_iso(span.lte), lt=_iso(span.lt))
    elif span is not None:
        found = edge.RangeFloat(gte=span.gte, gt=span.gt, lte=span.lte, lt=span.lt)
    return edge.FieldCondition(
        condition.key,
        match=None if match is None else _MATCHES[type(match)](match),
        range=found,
        values_count=None
        if count is None
        else edge.ValuesCount(lt=count.lt, gt=count.gt, lte=count.lte, gte=count.gte),
        is_empty=condition.is_empty,
        is_null=condition.is_null,
    )


_CONDITIONS: dict[type, Callable[[Any], Any]] = {
    models.FieldCondition: _field,
    models.IsEmptyCondition: lambda c: edge.IsEmptyCondition(c.is_empty.key),
    models.IsNullCondition: lambda c: edge.IsNullCondition(c.is_null.key),
    models.HasIdCondition: lambda c: edge.HasIdCondition({to_id(one) for one in c.has_id}),
    models.HasVectorCondition: lambda c: edge.HasVectorCondition(c.has_vector),
    models.NestedCondition: lambda c: edge.NestedCondition(c.nested.key, to_filter(c.nested.filter)),
    models.Filter: lambda c: to_filter(c),  # noqa: PLW0108 - defined below
}


def _conditions(value: Any) -> list[Any] | None:
    if value is None:
        return None
    translated = []
    for condition in value if isinstance(value, list) else [value]:
        if type(condition) not in _CONDITIONS:
            raise NotImplementedError(f"EdgeQdrantClient does not translate {type(condition).__name__}.")
        translated.append(_CONDITIONS[type(condition)](condition))
    return translated


def to_filter(value: models.Filter | None) -> Any:
    """A filter, nested as deep as it comes."""
    if value is None:
        return None
    least = value.min_should
    return edge.Filter(
        must=_conditions(value.must),
        should=_conditions(value.should),
        must_not=_conditions(value.must_not),
        min_should=None if least is None else edge.MinShould(_conditions(least.conditions) or [], least.min_count),
    )


# --- queries ---------------------------------------------------------------------------------------------------------


def to_query(query: Any, using: str | None) -> Any:  # noqa: PLR0911 - a table in all but name
    """A vector, or one of the query models; a point's id was replaced by its vector before."""
    mmr = None
    if isinstance(query, models.NearestQuery):
        mmr, query = query.mmr, query.nearest
    if query is None:
        return None
    if isinstance(query, models.FusionQuery):
        return edge.Fusion.Rrf(2) if query.fusion == models.Fusion.RRF else edge.Fusion.Dbsf()  # 2 as in the server
    if isinstance(query, models.RrfQuery):
        return edge.Fusion.Rrf(query.rrf.k or 2, query.rrf.weights)
    if isinstance(query, models.OrderByQuery):
        return to_order(query.order_by)
    if isinstance(query, models.SampleQuery):
        return edge.Sample.Random
    if isinstance(query, (models.SparseVector, list, tuple)) or hasattr(query, "tolist"):
        vector = to_vector(list(query) if isinstance(query, tuple) else query)
        if mmr is None:
            return edge.Query.Nearest(vector, using)
        diversity = 0.5 if mmr.diversity is None else mmr.diversity
        return edge.Mmr(vector, 1.0 - diversity, mmr.candidates_limit or 100, using)
    raise NotImplementedError(f"EdgeQdrantClient does not translate {type(query).__name__}.")


def to_order(order: Any) -> edge.OrderBy | None:
    """Order by a payload key that has an index."""
    if order is None:
        return None
    if isinstance(order, str):
        return edge.OrderBy(order)
    start = order.start_from
    direction = edge.Direction.Desc if order.direction == models.Direction.DESC else edge.Direction.Asc
    return edge.OrderBy(order.key, direction, start.isoformat() if isinstance(start, date) else start)


def to_params(params: models.SearchParams | None) -> edge.SearchParams | None:
    """Search parameters; quantisation and what is newer than the engine is refused."""
    if params is None:
        return None
    given = params.model_dump(exclude_none=True)
    unknown = sorted(set(given) - {"hnsw_ef", "exact", "indexed_only"})
    if unknown:
        raise NotImplementedError(f"EdgeQdrantClient does not translate the search parameters {', '.join(unknown)}.")
    return edge.SearchParams(**given)


def to_prefetches(value: Any) -> list[edge.Prefetch]:
    """Prefetches, nested as deep as they come."""
    prefetches: Iterable[models.Prefetch] = value if isinstance(value, list) else [] if value is None else [value]
    return [
        edge.Prefetch(
            one.limit or 10,
            query=to_query(one.query, one.using),
            prefetches=to_prefetches(one.prefetch),
            params=to_params(one.params),
            filter=to_filter(one.filter),
            score_threshold=one.score_threshold,
        )
        for one in prefetches
    ]


# --- collections -----------------------------------------------------------------------------------------------------


def _vector_params(params: models.VectorParams) -> edge.EdgeVectorParams:
    if params.quantization_config is not None:
        raise NotImplementedError("EdgeQdrantClient does not translate quantization_config.")
    datatype, hnsw = params.datatype, params.hnsw_config
    multi = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    graph = hnsw and edge.HnswIndexConfig(hnsw.m or 16, hnsw.ef_construct or 100, hnsw.full_scan_threshold or 10_000)
    return edge.EdgeVectorParams(
        params.size,
        getattr(edge.Distance, params.distance.value),
        # Mapped and read as it is used; else opening a collection reads 32 MB into memory, however small it is.
        on_disk=params.on_disk is not False,
        multivector_config=None if params.multivector_config is None else multi,
        datatype=None if datatype is None else getattr(edge.VectorStorageDatatype, datatype.value.capitalize()),
        hnsw_config=graph or None,
    )


def collection_config(
    vectors: models.VectorParams | Mapping[str, models.VectorParams] | None,
    sparse: Mapping[str, models.SparseVectorParams] | None,
) -> edge.EdgeConfig:
    """A shard's configuration, write-ahead log on."""
    named = {"": vectors} if isinstance(vectors, models.VectorParams) else dict(vectors or {})
    return edge.EdgeConfig(
        vectors={name: _vector_params(one) for name, one in named.items()},
        sparse_vectors={
            name: edge.EdgeSparseVectorParams(
                modifier=edge.Modifier.Idf if one.modifier == models.Modifier.IDF else None
            )
            for name, one in (sparse or {}).items()
        },
        wal_enabled=True,
    )


def index_schema(schema: Any) -> edge.PayloadSchemaType:
    """The kind of a payload index; parameters beyond the kind keep the engine's defaults."""
    kind = getattr(schema, "type", schema)
    if kind is None:
        raise StorageError("create_payload_index needs a field_schema, such as 'keyword'.")
    return getattr(edge.PayloadSchemaType, str(getattr(kind, "value", kind)).capitalize())  # type: ignore[no-any-return]
