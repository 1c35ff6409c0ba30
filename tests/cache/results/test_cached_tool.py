"""One tool with its results cached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool, Tool, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from freehold.cache.results.tool_results import ToolResults
from freehold.coordination import MemoryStore
from freehold.errors import SettingsError


def call(args: dict[str, Any], identity: str) -> Any:
    """A call, as a model makes it."""
    return {"name": "weather", "args": args, "id": identity, "type": "tool_call"}


def results(store: MemoryStore | None = None) -> ToolResults:
    """Results of the weather."""
    return ToolResults(store or MemoryStore(), {"weather": 600.0})


@tool("weather")
async def _awaited(city: str, days: int = 1) -> str:
    """Tells the weather."""
    return f"{city} {days}"


@tool("weather")
def _called(city: str, days: int = 1) -> str:
    """Tells the weather."""
    return f"{city} {days}"


class Classy(BaseTool):
    """A tool written as a class."""

    name: str = "weather"
    description: str = "Tells the weather."

    def _run(self, city: str, days: int = 1) -> str:
        return f"{city} {days}"


MAKERS: dict[str, Callable[[], BaseTool]] = {
    "async": lambda: _awaited,
    "sync": lambda: _called,
    "class": Classy,
    "schema": lambda: StructuredTool(
        name="weather",
        description="Tells the weather.",
        args_schema={
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 1}},
        },
        func=lambda **given: f"{given['city']} {given.get('days', 1)}",
    ),
}


@pytest.mark.parametrize("kind", MAKERS)
async def test_a_tool_by_itself_keeps_its_name_schema_and_results(kind: str) -> None:
    """It goes wherever the tool went: to a model, to a `ToolNode`, or it is called by hand with a call or arguments."""
    original, store = MAKERS[kind](), MemoryStore()
    wrapped = results(store).tool(original)
    assert isinstance(wrapped, BaseTool)
    assert convert_to_openai_tool(wrapped) == convert_to_openai_tool(original)
    expected = await original.ainvoke({"city": "Kyiv"})
    for args in ({"city": "Kyiv"}, {"days": 1, "city": "Kyiv"}):
        assert await wrapped.ainvoke(args) == expected
        for identity in ("a", "b"):
            message = await wrapped.ainvoke(call(args, identity))
            assert (message.content, message.tool_call_id) == (expected, identity)
        if kind != "async":
            assert await asyncio.to_thread(wrapped.invoke, args) == expected
    assert await store.count() == 2  # the content, and the message
    assert await wrapped.arun({"city": "Kyiv"}) == expected
    graph: Any = StateGraph(MessagesState).add_node("tools", ToolNode([wrapped])).add_edge(START, "tools")
    state = await graph.compile().ainvoke({"messages": [AIMessage("", tool_calls=[call({"city": "Kyiv"}, "c")])]})
    assert (state["messages"][-1].content, state["messages"][-1].tool_call_id) == (expected, "c")
    assert await store.count() == 2


def test_a_tool_without_a_schema_is_refused() -> None:
    """A `Tool` takes one text; the same schema cannot be given to it."""
    with pytest.raises(SettingsError, match="schema"):
        results().tool(Tool(name="weather", description="Tells the weather.", func=lambda text: text))
