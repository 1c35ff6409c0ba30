"""The node `BeginTurn`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.nodes.node import Node

__all__ = ["BeginTurn"]


@dataclass(frozen=True, eq=False)
class BeginTurn(Node):
    """Clear what the turn before left in the thread's state, so that every key speaks of this turn.

    Reads nothing; writes every key of `AssistantState` but `messages` and `checked`.
    """

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Clear the keys; None begins `verdicts` and `decisions` anew."""
        return {
            "question": None,
            "memories": [],
            "passages": [],
            "route": "",
            "answer": "",
            "citations": [],
            "cache": None,
            "attempts": 0,
            "verdicts": None,
            "decisions": None,
        }
