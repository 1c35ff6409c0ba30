"""The node `SayUnknown`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.nodes.check_citations import UNKNOWN
from freehold.nodes.decisions import newest_decision
from freehold.nodes.node import Node, newest_user_text

__all__ = ["SayUnknown"]


@dataclass(frozen=True, eq=False)
class SayUnknown(Node):
    """Answer without a model that the documents do not hold the answer, or why they were not asked.

    Reads `question` (or `messages`), `decisions`; writes `answer`, `citations`, `passages`, `route` as `unanswered`,
    `messages`, `decisions`. The decision is `unanswered`, or `unavailable` where `Retrieve` failed: then nobody knows
    what the documents say, and the answer does not claim it.
    """

    unknown: str = UNKNOWN
    unavailable: str = "The documents could not be searched."
    empty: str = "There is no question to answer."

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Say which of the three it is."""
        answer, decision, reason = self.unknown, "unanswered", "No passage bears on the question."
        searched = newest_decision(state, "retrieve")
        if searched is not None and searched["decision"] == "error":
            answer, decision, reason = self.unavailable, "unavailable", searched["reason"]
        elif not newest_user_text(state).strip():
            answer, reason = self.empty, "The message is empty."
        return {
            "answer": answer,
            "citations": [],
            "passages": [],
            "route": "unanswered",
            "messages": [AIMessage(answer, response_metadata={"unanswered": True})],
            "decisions": [{"decision": decision, "reason": reason}],
        }
