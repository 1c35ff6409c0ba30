"""Ids, payloads, selections and answers, between qdrant-client's models and qdrant-edge's.

Both describe the same engine, so this is a change of classes and no more.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import qdrant_edge as edge
from pydantic_core import to_jsonable_python
from qdrant_client.http import models

from freehold.errors import StorageError

__all__ = [
    "PointId",
    "from_id",
    "from_record",
    "from_scored",
    "from_vector",
    "to_id",
    "to_payload",
    "to_selector",
]

_SCORED = frozenset(models.ScoredPoint.model_fields)
_set = object.__setattr__

PointId = int | str | uuid.UUID


def to_id(value: Any) -> PointId:
    """A point id as the engine takes it: an integer from 0, or a UUID in its canonical text."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64:
        return value
    try:
        return str(value if isinstance(value, uuid.UUID) else uuid.UUID(value))
    except (ValueError, AttributeError, TypeError) as error:
        raise StorageError(f"{value!r} cannot be a point id: give an integer from 0, or a UUID.") from error


def from_id(value: Any) -> Any:
    """A point id as qdrant-client gives it; None stays None."""
    return value if value is None or isinstance(value, int) else str(value)


def from_vector(value: Any) -> Any:
    """A vector as qdrant-client gives it, or a mapping of names to them."""
    if isinstance(value, edge.SparseVector):
        return models.SparseVector(indices=value.indices, values=value.values)
    if isinstance(value, dict):
        return {name: from_vector(one) for name, one in value.items()}
    return value


def to_payload(payload: Mapping[str, Any] | None) -> dict[str, Any]:
    """Plain JSON: dates become text, as on their way to a server."""
    plain: dict[str, Any] = to_jsonable_python(dict(payload or {}))
    return plain


def to_selector(value: Any) -> Any:
    """Which payload keys come back."""
    if isinstance(value, models.PayloadSelectorInclude):
        return edge.PayloadSelector.Include(value.include)
    if isinstance(value, models.PayloadSelectorExclude):
        return edge.PayloadSelector.Exclude(value.exclude)
    return list(value) if isinstance(value, (list, tuple)) else bool(value)


def from_scored(point: edge.ScoredPoint) -> models.ScoredPoint:
    """A hit. The engine's values need no validation, and pydantic's way around it was most of a search's time.

    This is what its `model_construct` does for a model without aliases, defaults and private attributes.
    """
    vector = point.vector
    hit = models.ScoredPoint.__new__(models.ScoredPoint)
    _set(
        hit,
        "__dict__",
        {
            "id": from_id(point.id),
            "version": point.version,
            "score": point.score,
            "payload": point.payload,
            "vector": None if vector is None else from_vector(vector),
            "shard_key": None,
            "order_value": point.order_value,
        },
    )
    _set(hit, "__pydantic_fields_set__", set(_SCORED))
    _set(hit, "__pydantic_extra__", None)
    _set(hit, "__pydantic_private__", None)
    return hit


def from_record(point: edge.Record) -> models.Record:
    """A record, built without validation."""
    return models.Record.model_construct(
        id=from_id(point.id),
        payload=point.payload,
        vector=from_vector(point.vector),
        shard_key=None,
        order_value=point.order_value,
    )
