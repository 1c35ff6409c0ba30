"""The node `BeginTurn`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import convert_to_messages
from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.nodes.node import Node

__all__ = ["BeginTurn"]


@dataclass(frozen=True, eq=False)
class BeginTurn(Node):
    """Clear what the turn before left in the thread's state, so that every key speaks of this turn.

    Reads `messages`, `remembered`; writes every key of `AssistantState` but `messages` and `checked`, and `remembered`
    in a thread's first turn only.
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
            **_remembered(state),
        }


def _remembered(state: Mapping[str, Any]) -> dict[str, int]:
    """Begin the count of messages that were considered for memory: those that a caller brings along are not."""
    if state.get("remembered") is not None:
        return {}
    messages = convert_to_messages(state.get("messages", []))
    places = [place for place, message in enumerate(messages) if message.type == "human"]
    return {"remembered": places[-1] if places else len(messages)}
