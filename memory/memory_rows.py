"""mem0's rows as memories, and what is done to them on mem0's thread."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from freehold.context import Context
from freehold.memory.scopes import Scope, audience, audiences, expired, owner, scope_of, visible
from freehold.state import Memory

__all__ = [
    "Placement",
    "delete",
    "delete_expired",
    "fingerprint",
    "history",
    "is_alive",
    "listed",
    "memory_of",
    "owned",
]

_PAGE = 1000
_MEM0_IDS = {"session": "run_id", "agent": "agent_id"}


@dataclass(frozen=True)
class Placement:
    """Where new memories go, and until when."""

    owner: str
    audience: str
    created_at: str
    expires_at: float | None = None
    session_id: str | None = None
    """The session in which it was said, whatever the scope."""

    @classmethod
    def of(cls, context: Context, scope: Scope, expires_at: float | None, said: datetime | None = None) -> Placement:
        """The place that a context gives.

        Raises:
            ScopeError: The scope needs a session or an agent, and the context names none.
        """
        now = (said or datetime.now(UTC)).astimezone(UTC)
        return cls(owner(context), audience(context, scope), now.isoformat(), expires_at, context.session_id)

    def nth(self, number: int) -> Placement:
        """The place of a message's n-th fact, counted from 0: a microsecond behind the one before it."""
        said = datetime.fromisoformat(self.created_at) + timedelta(microseconds=number)
        return replace(self, created_at=said.isoformat())

    def ids(self) -> dict[str, str]:
        """mem0's own names for the scope."""
        kind, name = scope_of(self.audience)
        return {"user_id": self.owner, **({_MEM0_IDS[kind]: name} if name else {})}

    def metadata(self) -> dict[str, Any]:
        """What is stored beside a memory's text."""
        found = {"audience": self.audience, "session": self.session_id, "expires_at": self.expires_at}
        return {key: value for key, value in found.items() if value is not None}


def fingerprint(fact: str) -> str:
    """The same for facts that differ in case or in the last full stop only."""
    return hashlib.sha256(fact.casefold().rstrip(".! ").encode()).hexdigest()


def memory_of(identity: object, payload: Mapping[str, Any], score: float = 0.0) -> Memory:
    """A point's payload as graphs know a memory.

    Args:
        identity: The point's id.
        payload: As it lies in Qdrant, in mem0's names.
        score: Cosine similarity; kept within 0 and 1.
    """
    created, updated = payload.get("created_at") or "", payload.get("updated_at")
    scope, name = scope_of(str(payload.get("audience", "")))
    memory = Memory(
        id=str(identity),
        text=str(payload.get("data", "")),
        score=min(max(float(score), 0.0), 1.0),
        created_at=created,
        scope=scope,
    )
    if updated and updated != created:
        memory["updated_at"] = updated
    if (expires := payload.get("expires_at")) is not None:
        memory["expires_at"] = datetime.fromtimestamp(expires, UTC).isoformat()
    if scope == "session":
        memory["session_id"] = name
    elif scope == "agent":
        memory["agent_id"] = name
    return memory


def owned(mem0: Any, memory_id: str, context: Context) -> Any:
    """The point of an id where the context sees it, else None: mem0's own by-id calls ask nobody whose it is."""
    try:
        point = mem0.vector_store.get(str(uuid.UUID(memory_id)))
    except (ValueError, AttributeError, TypeError):  # no id at all
        return None
    payload = (point.payload if point is not None else None) or {}
    if payload.get("user_id") != owner(context) or payload.get("audience") not in audiences(context):
        return None
    return point if is_alive(payload) else None


def is_alive(payload: Mapping[str, Any]) -> bool:
    """Whether a memory's time is not past."""
    expires = payload.get("expires_at")
    return expires is None or expires > time.time()


def listed(mem0: Any, context: Context, *, everything: bool = False) -> list[Any]:
    """The points that a context sees, oldest first."""
    client, collection = mem0.vector_store.client, mem0.vector_store.collection_name
    chosen = visible(context, everything=everything)
    points: list[Any] = []
    offset = None
    while True:
        page, offset = client.scroll(collection, scroll_filter=chosen, limit=_PAGE, offset=offset, with_payload=True)
        points += page
        if offset is None:
            return sorted(points, key=lambda point: (point.payload.get("created_at") or "", str(point.id)))


def delete(mem0: Any, memory_id: str) -> None:
    """Delete a memory, and its text from the history.

    `mem0.delete` would write the text into the history once more, where a kill would leave it for ever.
    """
    point = mem0.vector_store.get(memory_id)
    if point is None:
        return
    blank_history(mem0, [memory_id])  # first: without the point, nobody would find what is left to be done
    mem0.vector_store.delete(memory_id)
    now = datetime.now(UTC).isoformat()
    actor = (point.payload or {}).get("user_id")
    mem0.db.add_history(memory_id, None, None, "DELETE", updated_at=now, is_deleted=1, actor_id=actor, role="user")


def blank_history(mem0: Any, ids: list[str]) -> None:
    """That somebody had these memories stays known until they are forgotten; what they said does not."""
    with mem0.db.connection as connection:
        connection.executemany(
            "UPDATE history SET old_memory = NULL, new_memory = NULL WHERE memory_id = ?", [(one,) for one in ids]
        )


def delete_expired(mem0: Any) -> int:
    """Delete what is past its time, whoever's it is: the vectors, and the texts in the history."""
    from qdrant_client import models

    client, collection = mem0.vector_store.client, mem0.vector_store.collection_name
    chosen = models.Filter(must=[expired()])
    deleted = 0
    while True:
        page, _ = client.scroll(collection, scroll_filter=chosen, limit=_PAGE, with_payload=False)
        if not page:
            return deleted
        ids = [str(point.id) for point in page]
        blank_history(mem0, ids)  # first: the points say what is left to be done
        client.delete(collection, points_selector=models.PointIdsList(points=[*ids]))
        deleted += len(ids)


def history(mem0: Any, point: Any) -> list[dict[str, Any]]:
    """What a memory said, and since when, oldest first."""
    found = [
        {
            "old": row["old_memory"],
            "new": row["new_memory"],
            "event": row["event"],
            "at": row["updated_at"] or row["created_at"] or "",
        }
        for row in mem0.history(str(point.id))
    ]
    if not found:  # killed between the point and its row in the history
        payload = point.payload
        found = [{"old": None, "new": payload["data"], "event": "ADD", "at": payload.get("created_at") or ""}]
    return sorted(found, key=lambda entry: entry["at"])
