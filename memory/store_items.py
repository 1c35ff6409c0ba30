"""An item of a LangGraph store as one point: its payload, its id, and back."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from langgraph.store.base import Item, SearchItem
from qdrant_client import models

from freehold.errors import UserError
from freehold.memory.store_filters import indexed_fields

__all__ = [
    "NEVER",
    "VECTORS",
    "First",
    "Key",
    "Put",
    "expiry",
    "namespace_text",
    "point_id",
    "to_item",
    "to_json",
    "to_point",
    "to_search_item",
]

VECTORS = "texts"
"""Name of the multi-vector: one vector for each text of an item; an item's score is that of its best one."""

NEVER = 1e11
"""When an item without a time to live expires, in Unix seconds: an endless time has no JSON form."""

Key = tuple[tuple[str, ...], str]


def namespace_text(namespace: Sequence[str]) -> str:
    """A namespace as one text. ASCII, whatever the labels hold: no two namespaces have the same, and any has one."""
    return json.dumps(list(namespace))


def point_id(key: Key) -> str:
    """The id of the point of a namespace and key."""
    digest = hashlib.sha256(json.dumps([list(key[0]), key[1]]).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=5))


def to_json(key: Key, value: Mapping[str, Any]) -> str:
    """What is stored of an item, as one text: JSON in the engine would lose large numbers and half surrogate pairs.

    Raises:
        UserError: The value is not JSON.
    """
    plain = dict(value)
    try:
        text = json.dumps([list(key[0]), key[1], plain])
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(_no_json(key, str(error))) from error
    waiting: list[Any] = [plain]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if strange := [name for name in one if not isinstance(name, str)]:
                # json.dumps would turn 1 into "1", and the item would come back as another.
                raise UserError(_no_json(key, f"the key {strange[0]!r} of a dictionary is no text"))
            waiting.extend(one.values())
        elif isinstance(one, (list, tuple)):
            waiting.extend(one)
    return text


def _no_json(key: Key, reason: str) -> str:
    return (
        f"The value of {key[1]!r} in {key[0]} is not JSON: {reason}. "
        "Give dictionaries with texts as keys, lists, texts, numbers, True, False and None."
    )


@dataclass(frozen=True)
class Put:
    """An item to be stored."""

    value: Mapping[str, Any]
    json: str
    """What `to_json` gave for it."""
    texts: tuple[str, ...]
    """What it is found by."""
    ttl: float | None
    """Minutes until it expires; None is never."""


@dataclass(frozen=True)
class First:
    """What an item keeps of its first storing."""

    position: int
    """Its place among all items where nothing is asked for."""
    created_at: str
    """In ISO form."""


def to_point(
    key: Key, put: Put, first: First, vectors: Mapping[str, Sequence[float]], now: datetime
) -> models.PointStruct:
    """The point of an item, with the vector of each of its texts."""
    namespace = key[0]
    payload = {
        "item": put.json,
        "namespace": namespace_text(namespace),
        "prefixes": [namespace_text(namespace[:depth]) for depth in range(1, len(namespace) + 1)],
        "position": first.position,
        "created_at": first.created_at,
        "updated_at": now.isoformat(),
        "expires_at": NEVER if put.ttl is None else expiry(now.timestamp(), put.ttl),
        **indexed_fields(put.value),
    }
    if put.ttl is not None:
        payload["ttl"] = put.ttl
    rows = [list(vectors[text]) for text in dict.fromkeys(put.texts)]
    return models.PointStruct(id=point_id(key), vector={VECTORS: rows} if rows else {}, payload=payload)


def expiry(now: float, ttl: float) -> float:
    """When what is stored or read now expires, in Unix seconds."""
    return min(max(now + 60 * ttl, 0.0), NEVER)


def _parts(payload: Mapping[str, Any]) -> dict[str, Any]:
    namespace, key, value = json.loads(payload["item"])
    return {
        "namespace": tuple(namespace),
        "key": key,
        "value": value,
        "created_at": datetime.fromisoformat(payload["created_at"]),
        "updated_at": datetime.fromisoformat(payload["updated_at"]),
    }


def to_item(payload: Mapping[str, Any]) -> Item:
    """The item of a point."""
    return Item(**_parts(payload))


def to_search_item(payload: Mapping[str, Any], score: float | None = None) -> SearchItem:
    """The item of a point that a search found."""
    return SearchItem(**_parts(payload), score=score)
