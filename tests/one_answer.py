"""Ask the same question in several ways and compare what comes back: the helper of every test that holds them equal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from freehold import Context, Workspace

__all__ = ["comparable", "imported"]


def comparable(state: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a run that must not depend on how the assistant was started; times and ids of messages may differ.

    Args:
        state: An `AssistantState`, from `invoke`, from a notebook or from a server (as JSON).
    """
    cache = state["cache"] or {"outcome": "not asked", "tier": None}  # a refusal comes before the cache
    return {
        "answer": state["answer"],
        "route": state["route"],
        "question": state["question"],
        "citations": [dict(citation) for citation in state["citations"]],
        "passages": [(passage["id"], round(passage["score"], 5)) for passage in state["passages"]],
        "memories": [memory["text"] for memory in state["memories"]],
        "cache": (cache["outcome"], cache["tier"]),
        "verdicts": [(verdict["surface"], verdict["rail"], verdict["decision"]) for verdict in state["verdicts"]],
        "decisions": [(decision["node"], decision["decision"]) for decision in state["decisions"]],
    }


def imported(home: Path, question: str, user: str = "ada", thread: str = "t1") -> dict[str, Any]:
    """The state after one question to an imported assistant on the workspace folder `home`, which is closed again."""
    from freehold.graphs import create_assistant

    with Workspace(home) as workspace:
        state = create_assistant(workspace).invoke(
            {"messages": [{"role": "user", "content": question}]},
            {"configurable": {"thread_id": thread}},
            context=Context(user_id=user),
        )
        return dict(state)
