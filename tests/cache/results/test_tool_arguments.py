"""What a tool is called with, and what it is given besides."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from langgraph.store.memory import InMemoryStore

from freehold.cache.results.tool_arguments import arguments_digest, injected
from freehold.cache.results.tool_results import ToolResults
from freehold.coordination import MemoryStore
from freehold.errors import SettingsError


@tool
def weather(city: str, days: int = 1, unit: Literal["C", "F"] = "C") -> str:
    """Tells the weather."""
    return f"{city}: rain for {days} days, 8 {unit}"


ARGUMENTS = st.fixed_dictionaries(
    {"city": st.sampled_from(["Kyiv", "kyiv", "Zürich", "Zu\u0308rich", ""])},
    optional={"days": st.sampled_from([1, 1.0, 2, 2.0]), "unit": st.sampled_from(["C", "F"])},
)


@given(ARGUMENTS, ARGUMENTS)
def test_calls_that_are_the_same_to_the_tool_and_no_others_share_a_digest(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Order, whole floats, Unicode forms and written-out defaults do not matter; everything else does."""

    def meant(args: dict[str, Any]) -> tuple[Any, ...]:
        return args["city"].replace("u\u0308", "ü"), int(args.get("days", 1)), args.get("unit", "C")

    backwards = dict(reversed(list(one.items())))
    assert arguments_digest(weather, backwards) == arguments_digest(weather, one)
    assert (arguments_digest(weather, one) == arguments_digest(weather, other)) == (meant(one) == meant(other))


@tool("weather")
def _of_state(city: str, state: Annotated[dict[str, Any], InjectedState]) -> str:
    """Tells the weather."""
    return f"{city} {len(state['messages'])}"


@tool("weather")
def _of_store(city: str, store: Annotated[Any, InjectedStore()]) -> str:
    """Tells the weather."""
    return city


@tool("weather")
def _of_runtime(city: str, runtime: ToolRuntime[Any, Any]) -> str:
    """Tells the weather."""
    return f"{city} {len(runtime.state['messages'])}"


@tool("weather")
def _of_config(city: str, config: RunnableConfig) -> str:
    """Tells the weather."""
    return f"{city} {config['configurable']['thread_id']}"


class Reader(BaseTool):
    """A tool written as a class, that reads its config."""

    name: str = "weather"
    description: str = "Tells the weather."

    def _run(self, city: str, config: RunnableConfig) -> str:
        return f"{city} {config['configurable']['thread_id']}"


@pytest.mark.parametrize("given_more", [_of_state, _of_store, _of_runtime, _of_config, Reader()])
async def test_a_tool_that_is_given_more_than_its_arguments_always_runs(
    given_more: BaseTool, caplog: pytest.LogCaptureFixture
) -> None:
    """State, store, runtime and config are in no key; naming such a tool is a mistake that is said aloud."""
    store = MemoryStore()
    results = ToolResults(store, {"weather": 600.0})
    with pytest.raises(SettingsError, match="given"):
        results.tool(given_more)
    node = ToolNode([given_more], awrap_tool_call=results.awrap)
    graph: Any = StateGraph(MessagesState).add_node("tools", node).add_edge(START, "tools")
    asked = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Kyiv"}, "id": "1"}])
    state = await graph.compile(store=InMemoryStore()).ainvoke(
        {"messages": [asked]}, {"configurable": {"thread_id": "t1"}}
    )
    assert state["messages"][-1].text.startswith("Kyiv")
    assert await store.count() == 0
    assert "are not kept" in caplog.text


def _later(city: str, config: "NotYet") -> str:  # type: ignore[name-defined]  # noqa: F821, UP037
    return city


def test_what_a_tool_is_given_by_its_caller_is_not_more() -> None:
    """An ordinary tool, one of an MCP server and one whose annotations cannot be looked up can be cached."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    served = StructuredTool(
        name="weather", description="Tells it.", args_schema=schema, func=lambda **given: str(given)
    )
    unknown = StructuredTool(name="weather", description="Tells it.", args_schema=schema, func=_later)
    assert injected(weather) == injected(served) == injected(unknown) == []
