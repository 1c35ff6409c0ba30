"""Payload indexes, between qdrant-client's models and qdrant-edge's."""

from __future__ import annotations

from enum import Enum
from typing import Any

import qdrant_edge as edge
from pydantic import BaseModel
from qdrant_client.http import models

from freehold.errors import StorageError

__all__ = ["from_index", "to_index"]

_ENUMS = {"Language", "Memory", "SnowballLanguage", "TokenizerType"}

# Their fields have the same names on both sides.
_PARAMS: dict[str, type[BaseModel]] = {
    "Keyword": models.KeywordIndexParams,
    "Integer": models.IntegerIndexParams,
    "Float": models.FloatIndexParams,
    "Geo": models.GeoIndexParams,
    "Text": models.TextIndexParams,
    "Bool": models.BoolIndexParams,
    "Datetime": models.DatetimeIndexParams,
    "Uuid": models.UuidIndexParams,
}


def _camel(value: Any) -> str:
    return "".join(part.capitalize() for part in str(getattr(value, "value", value)).split("_"))


def _to_value(value: Any) -> Any:
    if isinstance(value, models.SnowballParams):
        return edge.SnowballParams(getattr(edge.SnowballLanguage, _camel(value.language)))
    if isinstance(value, models.DisabledStemmerParams):
        return edge.DisabledStemmer()
    if isinstance(value, models.StopwordsSet):
        languages = {_to_value(one) for one in value.languages or ()}
        return edge.StopwordsSet(languages or None, set(value.custom or ()) or None)
    if isinstance(value, models.TextScoringParams):
        return True  # BM25 is the only one
    if isinstance(value, Enum):
        return getattr(getattr(edge, type(value).__name__), _camel(value))
    return value


def to_index(schema: Any) -> Any:
    """The kind of a payload index, or its parameters."""
    if schema is None:
        raise StorageError("create_payload_index needs a field_schema, such as 'keyword'.")
    if not isinstance(schema, BaseModel):
        kind = getattr(edge.PayloadSchemaType, _camel(schema), None)
        if kind is None:
            known = ", ".join(one.value for one in models.PayloadSchemaType)
            raise StorageError(f"{schema!r} is no kind of payload index; give one of {known}.")
        return kind
    given = {name: getattr(schema, name) for name in type(schema).model_fields if name != "type"}
    make = getattr(edge, type(schema).__name__)
    return make(**{name: _to_value(value) for name, value in given.items() if value is not None})


def _from_value(value: Any) -> Any:
    if isinstance(value, edge.SnowballParams):
        return models.SnowballParams(type=models.Snowball.SNOWBALL, language=_from_value(value.language))
    if isinstance(value, edge.DisabledStemmer):
        return models.DisabledStemmerParams(type=models.NoStemmer.NONE)
    if isinstance(value, edge.StopwordsSet):
        languages = [_from_value(one) for one in value.languages or ()]
        return models.StopwordsSet(languages=languages or None, custom=sorted(value.custom or ()) or None)
    if isinstance(value, edge.TextScoringParams):
        return True
    if type(value).__name__ in _ENUMS:
        return str(value).rpartition(".")[2].lower()
    return value


def from_index(info: edge.PayloadIndexInfo) -> models.PayloadIndexInfo:
    """What is said of an index: its kind, its parameters where it was made with some, and its number of points."""
    kind = str(info.data_type).rpartition(".")[2]
    params: Any = None
    if info.params is not None:
        model = _PARAMS[kind]
        names = [name for name in model.model_fields if name != "type"]
        values = {name: _from_value(getattr(info.params, name, None)) for name in names}
        params = model.model_validate({"type": kind.lower(), **{n: v for n, v in values.items() if v is not None}})
    return models.PayloadIndexInfo(data_type=models.PayloadSchemaType(kind.lower()), params=params, points=info.points)
