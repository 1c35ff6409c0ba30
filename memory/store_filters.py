"""Filters of a LangGraph store: what they match, and what of them the engine can check beforehand."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import Any

from qdrant_client import models

from freehold.errors import UserError

__all__ = ["check_filter", "indexed_fields", "matches", "narrowing"]

_LONGEST_WORD = 200
_LARGEST = 1.7e308
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_ORDER: dict[str, Callable[[Any, Any], bool]] = {"$gt": gt, "$gte": ge, "$lt": lt, "$lte": le}
_OPERATORS = ("$eq", "$ne", *_ORDER)


def check_filter(wanted: Mapping[str, Any]) -> None:
    """Refuse an operator that no store knows, also where there is nothing yet to compare it with.

    Raises:
        UserError: It names the operator.
    """
    for key, value in wanted.items():
        if not isinstance(value, dict):
            continue
        if _is_operators(value):
            for operator in value:
                if operator not in _OPERATORS:
                    known = ", ".join(_OPERATORS)
                    raise UserError(f"The filter of {key!r} has the operator {operator!r}; give one of {known}.")
        else:
            check_filter(value)


def matches(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a value passes a filter, as `InMemoryStore` compares.

    Where that raises, because a field is missing or is no number, two texts are compared as texts, as `SqliteStore`
    does (so that dates in ISO form have an order), and everything else does not match.
    """
    return all(_equals(value.get(key), expected) for key, expected in wanted.items())


def _is_operators(value: Mapping[Any, Any]) -> bool:
    return any(isinstance(key, str) and key.startswith("$") for key in value)


def _equals(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        if _is_operators(wanted):
            return all(_holds(value, operator, operand) for operator, operand in wanted.items())
        return isinstance(value, dict) and all(_equals(value.get(key), one) for key, one in wanted.items())
    if isinstance(wanted, (list, tuple)):
        alike = isinstance(value, (list, tuple)) and len(value) == len(wanted)
        return alike and all(_equals(one, other) for one, other in zip(value, wanted, strict=True))
    return bool(value == wanted)


def _holds(value: Any, operator: str, operand: Any) -> bool:
    if operator == "$eq":
        return bool(value == operand)
    if operator == "$ne":
        return bool(value != operand)
    compare = _ORDER[operator]
    try:
        return compare(float(value), float(operand))
    except OverflowError:  # whole numbers beyond a float compare as they are
        return isinstance(value, (int, float)) and isinstance(operand, (int, float)) and compare(value, operand)
    except (TypeError, ValueError):
        return isinstance(value, str) and isinstance(operand, str) and compare(value, operand)


# --- what the engine checks ------------------------------------------------------------------------------------------


def indexed_fields(value: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a value that `narrowing` asks for: short texts, and whatever has a form as a number."""
    words, numbers = {}, {}
    for key, one in value.items():
        if not _PLAIN_KEY.fullmatch(key):
            continue
        if _is_word(one):
            words[key] = one
        if (number := _number(one)) is not None:
            numbers[key] = number
    return {"words": words, "numbers": numbers}


def narrowing(wanted: Mapping[str, Any]) -> list[models.Condition]:
    """Conditions that everything passes which `matches` the filter, and other things may.

    The engine leaves out most of what does not match; the rest is compared in Python, since Python's equality
    (1 == 1.0 == True, lists as a whole) is not the engine's.
    """
    found: list[models.Condition] = []
    for key, expected in wanted.items():
        if not _PLAIN_KEY.fullmatch(key):
            continue
        operators = expected if isinstance(expected, dict) and _is_operators(expected) else {"$eq": expected}
        for operator, operand in operators.items():
            if operator == "$eq" and _is_word(operand):
                match = models.MatchValue(value=operand)
                found.append(models.FieldCondition(key=f"words.{key}", match=match))
            elif isinstance(operand, (int, float)) and (span := _span(operator, operand)) is not None:
                found.append(models.FieldCondition(key=f"numbers.{key}", range=span))
    return found


def _is_word(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > _LONGEST_WORD:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: the engine takes none
        return False
    return True


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return _LARGEST if value > 0 else -_LARGEST
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else min(max(number, -_LARGEST), _LARGEST)


def _span(operator: str, operand: float) -> models.Range | None:
    """A range a little wider than asked for: a float may lose its last digit on the way to the engine and back."""
    try:
        number = float(operand)
    except OverflowError:
        return None
    if not abs(number) < _LARGEST / 2:
        return None
    margin = abs(number) * 1e-9
    lower = number - margin if operator in ("$eq", "$gt", "$gte") else None
    upper = number + margin if operator in ("$eq", "$lt", "$lte") else None
    return None if lower is upper is None else models.Range(gte=lower, lte=upper)
