"""Memories outside of the store: as plain JSON for their owner to keep, and back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from freehold.context import Context
from freehold.errors import FreeholdError, MemoryEntryError
from freehold.memory.admission import Admission, tidy
from freehold.memory.keeping import insert, is_told_again
from freehold.memory.memory_rows import Placement, history, memory_of
from freehold.state import Memory

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Entry", "exported", "restored"]

_EVENTS = ("ADD", "UPDATE")


def exported(mem0: Any, points: Sequence[Any]) -> list[dict[str, Any]]:
    """The points as entries; on mem0's thread."""
    entries = []
    for point in points:
        memory = memory_of(point.id, point.payload)
        entries.append(
            {
                "text": memory["text"],
                "created_at": memory["created_at"],
                "updated_at": memory.get("updated_at"),
                "expires_at": memory.get("expires_at"),
                "scope": memory.get("scope", "user"),
                "session_id": memory.get("session_id") or point.payload.get("session"),
                "agent_id": memory.get("agent_id"),
                "history": history(mem0, point),
            }
        )
    return entries


@dataclass(frozen=True)
class Entry:
    """An exported memory that was checked, and where it goes."""

    text: str
    place: Placement
    updated_at: str | None
    history: tuple[dict[str, str | None], ...]

    @property
    def is_expired(self) -> bool:
        """Whether its time is past."""
        return self.place.expires_at is not None and self.place.expires_at <= time.time()

    @classmethod
    def read(cls, entry: Mapping[str, Any], context: Context, number: int) -> Entry:
        """Check an entry; the owner is the context's, whatever the entry says.

        Raises:
            MemoryEntryError: It cannot be read.
        """
        if not isinstance(entry, Mapping):
            raise MemoryEntryError(number, f"it is a {type(entry).__name__} and not an object")
        text = entry.get("text")
        if not isinstance(text, str):
            raise MemoryEntryError(number, f"text={text!r} is no text")
        created, updated = _time(entry, "created_at", number), _time(entry, "updated_at", number)
        expires = _time(entry, "expires_at", number)
        try:
            checked = Admission().checked(text)
            whose = replace(context, session_id=entry.get("session_id"), agent_id=entry.get("agent_id"))
            place = Placement.of(whose, entry.get("scope") or "user", expires.timestamp() if expires else None, created)
        except FreeholdError as error:
            raise MemoryEntryError(number, str(error).rstrip(".")) from error
        return cls(checked, place, updated.isoformat() if updated else None, _history(entry, number))


def restored(mem0: Any, entries: Sequence[Entry], vectors: np.ndarray[Any, Any]) -> list[Memory]:
    """Store the entries that are not there yet; on mem0's thread. What is there lasts as long as either of the two."""
    mem0.embedding_model.prepare([entry.text for entry in entries], vectors)
    stored: list[Memory] = []
    for entry in entries:
        if is_told_again(mem0, entry.text, entry.place):
            continue
        memory = insert(mem0, entry.text, entry.place)
        stored.append(memory)
        if entry.updated_at is not None:
            store = mem0.vector_store
            store.client.set_payload(
                store.collection_name, payload={"updated_at": entry.updated_at}, points=[memory["id"]]
            )
            memory["updated_at"] = entry.updated_at
        if len(entry.history) > 1:
            _write_history(mem0, memory["id"], entry)
    return stored


def _write_history(mem0: Any, memory_id: str, entry: Entry) -> None:
    with mem0.db.connection as connection:
        connection.execute("DELETE FROM history WHERE memory_id = ?", (memory_id,))
    for row in entry.history:
        mem0.db.add_history(
            memory_id,
            row["old"],
            row["new"],
            row["event"],
            created_at=entry.place.created_at,
            updated_at=row["at"],
            actor_id=entry.place.owner,
            role="user",
        )


def _time(entry: Mapping[str, Any], key: str, number: int) -> datetime | None:
    value = entry.get(key)
    if value is None or value == "":
        return None
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise MemoryEntryError(number, f"{key}={value!r} is no time such as 2026-11-21T09:00:00+00:00") from error


def _history(entry: Mapping[str, Any], number: int) -> tuple[dict[str, str | None], ...]:
    given = entry.get("history") or ()
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise MemoryEntryError(number, f"history={given!r} is no list")
    found: list[dict[str, str | None]] = []
    for row in given:
        if not isinstance(row, Mapping) or row.get("event") not in _EVENTS:
            raise MemoryEntryError(number, f"its history holds {row!r}, which is none of the events {_EVENTS}")
        texts = {key: row.get(key) for key in ("old", "new")}
        if not all(text is None or isinstance(text, str) for text in texts.values()):
            raise MemoryEntryError(number, f"its history holds {row!r}, whose texts are none")
        at = _time(row, "at", number)
        clean = {key: None if text is None else tidy(text) for key, text in texts.items()}
        found.append({**clean, "event": row["event"], "at": at.isoformat() if at else None})
    return tuple(found)
