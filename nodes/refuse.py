"""The node `Refuse`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.nodes.flight import flight_of
from freehold.nodes.node import Node

__all__ = ["Refuse"]


@dataclass(frozen=True, eq=False)
class Refuse(Node):
    """Answer that the message is refused, with the reason; runs that wait with the same question go on by themselves.

    Reads `decisions`, `messages`; writes `answer`, `citations`, `messages` (an answer that was refused is replaced),
    `decisions`.
    """

    text: str = "I cannot help with this message: {reason}"
    """The answer; `{reason}` is the newest decision's."""

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Give the reason of the newest decision."""
        decisions = state.get("decisions") or [{"reason": "it was refused."}]
        if (seat := flight_of(state)) is not None:
            seat.decline("The answer was refused.")
        answer = self.text.format(reason=decisions[-1]["reason"])
        newest = state["messages"][-1] if state.get("messages") else None
        refused = newest.id if isinstance(newest, AIMessage) else None
        return {
            "answer": answer,
            "citations": [],
            "route": "refuse",
            "messages": [AIMessage(answer, id=refused, response_metadata={"refused": True})],
            "decisions": [{"decision": "refused", "reason": decisions[-1]["reason"]}],
        }
