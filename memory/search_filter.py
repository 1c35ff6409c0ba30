"""Filters on what a passage's payload says: a plain mapping becomes Qdrant's filter."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from freehold.errors import UserError

if TYPE_CHECKING:
    from qdrant_client.http import models

__all__ = ["Where", "matches", "to_filter"]

Where = Mapping[str, Any]
"""Conditions that a passage must all meet, plain JSON: a value, a list of values, or operators, by key."""

if TYPE_CHECKING:
    Conditions = Where | models.Filter | Sequence[Any]

_KEYS = frozenset({"source", "heading", "page", "index", "section", "start", "end"})
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BOUNDS = ("gt", "gte", "lt", "lte")
_OPERATORS = (*_BOUNDS, "not")
_LARGEST = 2**53
"""Above it not every integer has a float of its own, and Qdrant compares floats."""
_FORM = (
    'Give each key a value, a list of values of which one must hold, or operators, such as {"page": {"lte": 3}}; '
    f"there are {', '.join(_OPERATORS)}."
)


def _error(key: str, value: Any) -> UserError:
    return UserError(f"The filter {key!r}: {value!r} cannot be used. {_FORM}")


def _path(key: Any) -> str:
    """A payload key as it is, and every other name as one of the document's metadata."""
    if not isinstance(key, str) or not all(key.split(".")) or "[" in key or '"' in key:
        raise UserError(f"{key!r} cannot be a filter's key: take source, heading, page, or a key of the metadata.")
    return key if key in _KEYS or key.startswith("metadata.") else f"metadata.{key}"


def _quoted(path: str) -> str:
    """The path as Qdrant reads it: names with spaces or letters beyond ASCII stand in quotation marks."""
    return ".".join(name if _BARE.fullmatch(name) else f'"{name}"' for name in path.split("."))


def _moment(value: Any) -> datetime | None:
    """A date or time, in ISO 8601 where it is text; without a zone it is UTC, as Qdrant takes it."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the zone follows
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _plain(value: Any) -> bool:
    if isinstance(value, int | float):
        return math.isfinite(value) if isinstance(value, float) else abs(value) <= _LARGEST
    return isinstance(value, str)


def _split(where: Any) -> list[tuple[str, str, Any]]:
    """The conditions as key, operator and operand, checked.

    Raises:
        UserError: A key, an operator or a value cannot be used.
    """
    if not isinstance(where, Mapping):
        raise UserError(f"The filter {where!r} is no mapping. {_FORM}")
    found: list[tuple[str, str, Any]] = []
    for key, value in where.items():
        path = _path(key)
        if not isinstance(value, Mapping):
            found.append((path, "is", _values(key, value)))
            continue
        if not value or not set(value) <= set(_OPERATORS):
            raise _error(key, value)
        bounds = {name: value[name] for name in _BOUNDS if name in value}
        if bounds:
            found.append((path, "range", _checked_bounds(key, bounds)))
        if "not" in value:
            found.append((path, "not", _values(key, value["not"])))
    return found


def _values(key: str, value: Any) -> list[Any]:
    """The values of which one must hold; a None in it is that there is none."""
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if not values or not all(one is None or _plain(one) for one in values):
        raise _error(key, value)
    return values


def _checked_bounds(key: str, bounds: dict[str, Any]) -> dict[str, Any]:
    """Bounds that are all numbers, or all times."""
    if all(_plain(one) and not isinstance(one, str | bool) for one in bounds.values()):
        return bounds
    moments = {name: moment for name, one in bounds.items() if (moment := _moment(one)) is not None}
    if len(moments) != len(bounds):
        raise _error(key, bounds)
    return moments


def to_filter(where: Conditions | None) -> models.Filter | None:
    """Qdrant's filter for these conditions, all of which must hold; None where there are none.

    Args:
        where: Conditions by key; Qdrant's own filter is taken as it is; of a list, each must hold.

    Raises:
        UserError: A key, an operator or a value cannot be used.

    Example:
        >>> to_filter({"format": "markdown"}).must[0].key
        'metadata.format'
    """
    from qdrant_client.http import models

    if isinstance(where, models.Filter):
        return where
    must: list[models.Condition] = []
    if isinstance(where, list | tuple):
        must += [made for one in where if (made := to_filter(one)) is not None]
    elif where is not None:
        for name, operator, operand in _split(where):
            path = _quoted(name)
            if operator == "range":
                kind = models.DatetimeRange if isinstance(next(iter(operand.values())), datetime) else models.Range
                must.append(models.FieldCondition(key=path, range=kind(**operand)))
                continue
            equal = [_equals(path, value) for value in operand]
            one_of = equal[0] if len(equal) == 1 else models.Filter(should=equal)
            must.append(models.Filter(must_not=[one_of]) if operator == "not" else one_of)
    return models.Filter(must=must) if must else None


def _equals(path: str, value: Any) -> models.Condition:
    from qdrant_client.http import models

    if value is None:
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=path))
    if isinstance(value, bool | str):
        return models.FieldCondition(key=path, match=models.MatchValue(value=value))
    return models.FieldCondition(key=path, range=models.Range(gte=value, lte=value))  # 3 is 3.0, too


def matches(where: Where, payload: Mapping[str, Any]) -> bool:
    """Whether a passage meets the conditions, as Qdrant would decide: for a retriever that cannot filter itself.

    Args:
        where: Conditions by key.
        payload: A passage, with its `metadata`.

    Raises:
        UserError: A key, an operator or a value cannot be used.

    Example:
        >>> matches({"page": {"lte": 3}}, {"source": "a.pdf", "page": 2})
        True
    """
    tests: dict[str, Callable[[list[Any], Any], bool]] = {
        "is": _is,
        "not": lambda held, operand: not _is(held, operand),
        "range": lambda held, bounds: any(_inside(one, bounds) for one in held),
    }
    return all(tests[operator](_held(payload, path), operand) for path, operator, operand in _split(where))


def _held(payload: Any, path: str) -> list[Any]:
    """What stands under a key; a list's items count each for itself, and nothing is no item, but in a list."""
    for name in path.split("."):
        payload = payload.get(name) if isinstance(payload, Mapping) else None
    if isinstance(payload, list | tuple):
        return list(payload)
    return [] if payload is None else [payload]


def _is(held: list[Any], operand: list[Any]) -> bool:
    return any(
        not held
        if value is None
        else any(isinstance(one, bool) == isinstance(value, bool) and one == value for one in held)
        for value in operand
    )


def _inside(value: Any, bounds: dict[str, Any]) -> bool:
    if isinstance(next(iter(bounds.values())), datetime):
        value = _moment(value) if isinstance(value, str) else None
    elif isinstance(value, bool) or not isinstance(value, int | float):
        value = None
    if value is None:
        return False
    compare: dict[str, Callable[[Any, Any], bool]] = {
        "gt": lambda a, b: a > b,
        "gte": lambda a, b: a >= b,
        "lt": lambda a, b: a < b,
        "lte": lambda a, b: a <= b,
    }
    return all(compare[name](value, bound) for name, bound in bounds.items())
