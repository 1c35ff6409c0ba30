"""The node `RecallMemory`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.nodes.node import Node, newest_user_text, report_failure
from freehold.state import Memory

__all__ = ["MemorySearch", "RecallMemory"]


class MemorySearch(Protocol):
    """Anything that can find what is known about the user of a run."""

    async def search(
        self, query: str, context: Context, limit: int = 5, threshold: float | None = None
    ) -> list[Memory]:
        """The user's memories nearest to the query, best first."""
        ...


@dataclass(frozen=True, eq=False)
class RecallMemory(Node):
    """Find what is known about the user that bears on the newest message.

    Reads `question` (or `messages`); writes `memories`, `decisions`. The scope comes from the run context. The
    decision is `recalled`, `nothing`, or `error`: a memory that is down recalls nothing, and the run goes on.
    """

    memory: MemorySearch
    limit: int = 5
    """Most memories."""
    threshold: float = 0.2
    """Least cosine similarity to the message."""

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Search in the scope of the run."""
        try:
            found = await self.memory.search(newest_user_text(state), runtime.context, self.limit, self.threshold)
        except Exception as error:  # noqa: BLE001 - a memory that is down costs memories, not the run
            return _update([], "error", report_failure(self.node, error), self.threshold)
        if not found:
            return _update([], "nothing", "Nothing known about the user bears on this.", self.threshold)
        return _update(found, "recalled", f"{len(found)} of the user's memories.", self.threshold)


def _update(found: list[Memory], decision: str, reason: str, threshold: float) -> dict[str, Any]:
    score = max((memory["score"] for memory in found), default=None)
    return {
        "memories": found,
        "decisions": [{"decision": decision, "reason": reason, "score": score, "threshold": threshold}],
    }
