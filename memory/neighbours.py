"""Which memory came before which: an answer is seldom in the words of its question."""

from __future__ import annotations

from collections.abc import Collection, Container
from typing import TYPE_CHECKING, Any

from freehold.memory.memory_rows import Placement

if TYPE_CHECKING:
    from qdrant_client import models

__all__ = ["follows", "neighbours"]


def follows(mem0: Any, place: Placement) -> dict[str, str]:
    """The id of the memory that a new one comes after, in its session and for the same audience, as payload.

    Empty where it is the first, or belongs to no session.
    """
    from qdrant_client import models

    if place.session_id is None:
        return {}
    wanted = {"session": place.session_id, "audience": place.audience}
    store = mem0.vector_store
    newest, _ = store.client.scroll(
        store.collection_name,
        scroll_filter=models.Filter(
            must=[models.FieldCondition(key=key, match=models.MatchValue(value=value)) for key, value in wanted.items()]
        ),
        # What is restored from a file may be older than what the session holds.
        order_by=models.OrderBy(key="created_at", direction=models.Direction.DESC, start_from=place.created_at),
        limit=1,
        with_payload=False,
    )
    return {"follows": str(newest[0].id)} if newest else {}


def neighbours(points: Collection[Any], known: Container[Any], visible: models.Filter) -> models.Filter:
    """What the points follow and what follows them, as far as a context may see it, and those not known themselves.

    Args:
        points: Memories that were found.
        known: Ids of which nothing more is asked.
        visible: What the context may see.
    """
    from qdrant_client import models

    ids = [str(point.id) for point in points]
    before = [point.payload["follows"] for point in points if point.payload.get("follows")]
    wanted: list[Any] = [
        models.HasIdCondition(has_id=[one for one in dict.fromkeys([*ids, *before]) if one not in known]),
        models.FieldCondition(key="follows", match=models.MatchAny(any=ids)),
    ]
    seen = models.HasIdCondition(has_id=[one for one in ids if one in known])
    return models.Filter(must=[visible, models.Filter(should=wanted, must_not=[seen])])
