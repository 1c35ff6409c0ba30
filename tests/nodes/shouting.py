"""A node that tests of cached nodes count, and its state."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any

from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from freehold import Context


class Words(TypedDict, total=False):
    word: str
    turn: int
    loud: Annotated[list[str], operator.add]


class Calls:
    """Nodes that count how often they ran."""

    def __init__(self) -> None:
        self.ran = 0

    def shout(self, state: Words) -> Words:
        """A synchronous node."""
        self.ran += 1
        return {"loud": [state["word"].upper()]}

    async def ashout(self, state: Words) -> Words:
        """An asynchronous node."""
        await asyncio.sleep(0.01)
        return self.shout(state)


def graph_of(node: Any, schema: Any = Words, **options: Any) -> Any:
    """A graph with that one node."""
    graph = StateGraph(schema, context_schema=Context).add_node("node", node, **options).add_edge(START, "node")
    return graph.compile()
