"""The node `BeginTurn`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import convert_to_messages
from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.memory.scopes import audiences
from freehold.nodes.node import Node

__all__ = ["BeginTurn"]


@dataclass(frozen=True, eq=False)
class BeginTurn(Node):
    """Clear what the turn before left in the thread's state, so that every key speaks of this turn.

    Reads `messages`, `remembered`, `remembered_for`; writes every key of `AssistantState` but `messages` and `checked`,
    and `remembered` in a thread's first turn only.
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
            **_remembered(state, runtime.context),
        }


def _remembered(state: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Begin the count of messages that were considered for memory: those that a caller brings along are not.

    A thread may change hands: whoever did not run the turn before begins at this turn's message.
    """
    messages = convert_to_messages(state.get("messages", []))
    places = [place for place, message in enumerate(messages) if message.type == "human"]
    here = places[-1] if places else len(messages)
    before = state.get("remembered_for") or {}
    whose = {"remembered_for": {mark: min(before.get(mark, here), here) for mark in audiences(context)}}
    return whose if state.get("remembered") is not None else {"remembered": here, **whose}
