"""The node `SaveMemory`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.nodes.node import Node, newest_user_text, report_failure
from freehold.state import Memory

__all__ = ["MemoryStorage", "SaveMemory"]


class MemoryStorage(Protocol):
    """Anything that can keep what a message says about its user."""

    async def add(self, text: str, context: Context) -> list[Memory]:
        """Keep the message's facts; returns those that are new."""
        ...


@dataclass(frozen=True, eq=False)
class SaveMemory(Node):
    """Keep what the newest message says about the user.

    Reads `question` (or `messages`); writes `decisions`. What is kept comes from the user's message alone, never from
    the answer, and belongs to the scope of the run. The decision is `saved`, `nothing`, or `error`: a memory that is
    down keeps nothing, and the answer stands.
    """

    memory: MemoryStorage

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Keep the facts, say how many."""
        try:
            saved = await self.memory.add(newest_user_text(state), runtime.context)
        except Exception as error:  # noqa: BLE001 - a memory that is down costs memories, not the answer
            return {"decisions": [{"decision": "error", "reason": report_failure(self.node, error)}]}
        if not saved:
            return {"decisions": [{"decision": "nothing", "reason": "The message says nothing new about the user."}]}
        facts = [memory["text"] for memory in saved]
        return {"decisions": [{"decision": "saved", "reason": f"{len(facts)} new facts.", "details": {"facts": facts}}]}
