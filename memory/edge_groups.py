"""Groups of hits that share a value of a payload key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client.http import models
from qdrant_client.local.payload_value_extractor import value_by_key

from freehold.memory.edge_filters import without

__all__ = ["fill_groups", "with_more"]


def with_more(request: models.QueryRequest, limit: int, group_by: str) -> models.QueryRequest:
    """The request for so many points, all of which have the key; prefetches give as many at least."""
    absent = models.IsEmptyCondition(is_empty=models.PayloadField(key=group_by))
    return request.model_copy(
        update={
            "limit": limit,
            "filter": without(request.filter, [absent]),
            "prefetch": _prefetch_more(request.prefetch, limit),
        }
    )


def _prefetch_more(prefetch: Any, limit: int) -> Any:
    if prefetch is None:
        return None
    return [
        one.model_copy(update={"limit": max(one.limit or 10, limit), "prefetch": _prefetch_more(one.prefetch, limit)})
        for one in (prefetch if isinstance(prefetch, list) else [prefetch])
    ]


def _values(payload: dict[str, Any], key: str) -> list[Any]:
    """The groups that a point is in; none where one of its values cannot name a group, as in the server."""
    found = value_by_key(payload, key) or []
    return list(dict.fromkeys(found)) if all(type(one) in {int, str} for one in found) else []


def fill_groups(
    hits: Sequence[models.ScoredPoint], key: str, limit: int, size: int
) -> tuple[list[models.PointGroup], bool]:
    """Sort hits into groups.

    Args:
        hits: Best first, with their payloads.
        key: The payload key whose values name the groups.
        limit: Groups at most.
        size: Hits of a group at most.

    Returns:
        The groups, and whether further hits could change nothing.
    """
    groups: dict[Any, models.PointGroup] = {}
    for hit in hits:
        for value in _values(hit.payload or {}, key):
            if value not in groups:
                if len(groups) == limit:
                    continue
                groups[value] = models.PointGroup(id=value, hits=[])
            if len(groups[value].hits) < size:
                groups[value].hits.append(hit.model_copy())
    found = list(groups.values())
    return found, len(found) == limit and all(len(group.hits) == size for group in found)
