"""Random JSON schemas of the kinds that tools and structured answers use."""

from __future__ import annotations

from random import Random
from typing import Any

__all__ = ["random_schema"]

_NAMES = ("name", "city", "amount", "tags", "status", "items", "note", "owner", "code", "when", "size", "näme", "a b")
_PATTERNS = (r"^[A-Z]{2}-[0-9]{3}$", r"^[a-z]+(_[a-z]+)*$", r"^(yes|no|maybe)$", r"^[0-9]{4}-(0[1-9]|1[0-2])$")
_WORDS = ("open", "closed", "in progress", "ä ö", 'quo"te', "line\nbreak", "42")
_DEPTH = 3
"""Objects and arrays within one another, at most."""


def random_schema(seed: int) -> dict[str, Any]:
    """An object's schema; the same seed gives the same one.

    Example:
        >>> random_schema(7)["type"]
        'object'
    """
    random = Random(seed)
    definitions = {
        "place": _object(random, _DEPTH - 1, {}),
        "level": {"enum": random.sample(_WORDS, 3)},
    }
    return {**_object(random, 0, definitions), "$defs": definitions}


def _object(random: Random, depth: int, definitions: dict[str, Any]) -> dict[str, Any]:
    names = random.sample(_NAMES, random.randint(1, 4))
    return {
        "type": "object",
        "properties": {name: _value(random, depth + 1, definitions) for name in names},
        "required": [name for name in names if random.random() < 0.7],
        "additionalProperties": False,
    }


def _value(random: Random, depth: int, definitions: dict[str, Any]) -> dict[str, Any]:
    kinds = [_string, _pattern, _integer, _number, _enum, _const, _simple, _nullable]
    if definitions:
        kinds.append(lambda random: {"$ref": f"#/$defs/{random.choice(list(definitions))}"})
    if depth < _DEPTH:
        kinds += [
            lambda random: _object(random, depth, definitions),
            lambda random: _array(random, depth, definitions),
            lambda random: {"anyOf": [_value(random, depth + 1, definitions) for _ in range(random.randint(2, 3))]},
        ]
    return random.choice(kinds)(random)


def _array(random: Random, depth: int, definitions: dict[str, Any]) -> dict[str, Any]:
    fewest = random.randint(0, 2)
    items = _value(random, depth + 1, definitions)
    return {"type": "array", "items": items, "minItems": fewest, "maxItems": fewest + random.randint(0, 3)}


def _string(random: Random) -> dict[str, Any]:
    fewest = random.randint(0, 5)
    return {"type": "string", "minLength": fewest, "maxLength": fewest + random.randint(0, 20)}


def _pattern(random: Random) -> dict[str, Any]:
    return {"type": "string", "pattern": random.choice(_PATTERNS)}


def _integer(random: Random) -> dict[str, Any]:
    least = random.randint(-1000, 1000)
    return random.choice(
        [
            {"type": "integer"},
            {"type": "integer", "minimum": least},
            {"type": "integer", "minimum": least, "maximum": least + random.randint(0, 5000)},
            {"type": "integer", "exclusiveMinimum": least, "exclusiveMaximum": least + random.randint(2, 50)},
        ]
    )


def _number(random: Random) -> dict[str, Any]:
    least = round(random.uniform(-10, 10), 2)
    return random.choice(
        [
            {"type": "number"},
            {"type": "number", "maximum": least},
            {"type": "number", "minimum": least, "maximum": round(least + random.uniform(0.1, 100), 2)},
        ]
    )


def _enum(random: Random) -> dict[str, Any]:
    return {"enum": random.sample([*_WORDS, 1, 2.5, None, True], random.randint(1, 5))}


def _const(random: Random) -> dict[str, Any]:
    return {"const": random.choice([*_WORDS, 7, False, None])}


def _simple(random: Random) -> dict[str, Any]:
    return random.choice([{"type": "boolean"}, {"type": "null"}, {"type": "string"}])


def _nullable(random: Random) -> dict[str, Any]:
    kind = random.choice([_string, _integer, _number])(random)
    return {**kind, "type": [kind["type"], "null"]}
