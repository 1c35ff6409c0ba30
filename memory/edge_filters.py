"""Filters of qdrant-client as qdrant-edge takes them: every condition the client's models have."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import qdrant_edge as edge
from qdrant_client.http import models

from freehold.errors import StorageError
from freehold.memory.edge_models import to_id

__all__ = ["to_condition", "to_filter", "to_geo_point", "without"]


def _to_value(value: Any) -> Any:
    """A value to match. The engine takes Python's own truth values for the numbers 0 and 1, and numpy's as they are."""
    return np.bool_(value) if isinstance(value, bool) else value


_MATCHES: dict[type, Callable[[Any], Any]] = {
    models.MatchValue: lambda m: edge.MatchValue(_to_value(m.value)),
    models.MatchText: lambda m: edge.MatchText(m.text),
    models.MatchTextAny: lambda m: edge.MatchTextAny(m.text_any),
    models.MatchPhrase: lambda m: edge.MatchPhrase(m.phrase),
    models.MatchPrefix: lambda m: edge.MatchPrefix(m.prefix),
    models.MatchSubstring: lambda m: edge.MatchSubstring(m.substring),
    models.MatchAny: lambda m: edge.MatchAny(m.any),
    models.MatchExcept: lambda m: edge.MatchExcept(m.except_),
}


def _iso(value: date | None) -> str | None:
    return None if value is None else value.isoformat()


def _to_range(span: Any) -> Any:
    if isinstance(span, models.DatetimeRange):
        return edge.RangeDateTime(gte=_iso(span.gte), gt=_iso(span.gt), lte=_iso(span.lte), lt=_iso(span.lt))
    return edge.RangeFloat(gte=span.gte, gt=span.gt, lte=span.lte, lt=span.lt)


def to_geo_point(point: models.GeoPoint) -> edge.GeoPoint:
    """A place; one that is not on the Earth is refused by the engine."""
    return edge.GeoPoint(point.lon, point.lat)


def _to_ring(line: models.GeoLineString) -> list[edge.GeoPoint]:
    return [to_geo_point(point) for point in line.points]


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "match": lambda m: _known(_MATCHES, m)(m),
    "range": _to_range,
    "geo_bounding_box": lambda b: edge.GeoBoundingBox(to_geo_point(b.top_left), to_geo_point(b.bottom_right)),
    "geo_radius": lambda r: edge.GeoRadius(to_geo_point(r.center), r.radius),
    "geo_polygon": lambda p: edge.GeoPolygon(_to_ring(p.exterior), [_to_ring(one) for one in p.interiors or []]),
    "values_count": lambda c: edge.ValuesCount(lt=c.lt, gt=c.gt, lte=c.lte, gte=c.gte),
    "is_empty": bool,
    "is_null": bool,
}


def _known(table: dict[type, Callable[[Any], Any]], value: Any) -> Callable[[Any], Any]:
    if type(value) not in table:
        raise NotImplementedError(f"EdgeQdrantClient does not translate {type(value).__name__}.")
    return table[type(value)]


def _to_field(condition: models.FieldCondition) -> edge.FieldCondition:
    given = {
        name: translate(value) for name, translate in _FIELDS.items() if (value := getattr(condition, name)) is not None
    }
    if not given:
        raise StorageError(f"The condition on {condition.key!r} asks for nothing; give it a match, a range or another.")
    return edge.FieldCondition(condition.key, **given)


_CONDITIONS: dict[type, Callable[[Any], Any]] = {
    models.FieldCondition: _to_field,
    models.IsEmptyCondition: lambda c: edge.IsEmptyCondition(c.is_empty.key),
    models.IsNullCondition: lambda c: edge.IsNullCondition(c.is_null.key),
    models.HasIdCondition: lambda c: edge.HasIdCondition({to_id(one) for one in c.has_id}),
    models.HasVectorCondition: lambda c: edge.HasVectorCondition(c.has_vector),
    models.SliceCondition: lambda c: edge.SliceCondition(  # type: ignore[attr-defined]  # its stubs lack it
        c.slice.total, c.slice.index
    ),
    models.NestedCondition: lambda c: edge.NestedCondition(c.nested.key, to_filter(c.nested.filter)),
    models.Filter: lambda c: to_filter(c),  # noqa: PLW0108 - defined below
}


def to_condition(condition: Any) -> Any:
    """One condition, which may be a filter."""
    return _known(_CONDITIONS, condition)(condition)


def _to_conditions(value: Any) -> list[Any] | None:
    if value is None:
        return None
    return [to_condition(condition) for condition in (value if isinstance(value, list) else [value])]


def to_filter(value: models.Filter | None) -> Any:
    """A filter, nested as deep as it comes."""
    if value is None:
        return None
    must, least = _to_conditions(value.must), value.min_should
    if least is not None:
        if least.min_count < 1:
            raise StorageError(f"min_should.min_count is {least.min_count}; give 1 or more.")
        enough = edge.MinShould(_to_conditions(least.conditions) or [], least.min_count)
        # In a filter of its own: the engine (0.9.0) passes over it where another condition names ids.
        must = [*(must or []), edge.Filter(min_should=enough)]
    return edge.Filter(must=must, should=_to_conditions(value.should), must_not=_to_conditions(value.must_not))


def without(chosen: models.Filter | None, excluded: list[models.Condition]) -> models.Filter | None:
    """The filter, and none of the conditions."""
    if not excluded:
        return chosen
    given = None if chosen is None else chosen.must_not
    others: list[models.Condition] = [] if given is None else given if isinstance(given, list) else [given]
    return (chosen or models.Filter()).model_copy(update={"must_not": [*others, *excluded]})
