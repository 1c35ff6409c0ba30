"""Results of tools, kept by name and arguments."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Annotated, Any, Literal

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from freehold import Context
from freehold.cache.results.tool_results import ToolResults
from freehold.coordination import MemoryStore
from freehold.errors import SettingsError


class Weather:
    """A tool that counts how often it ran."""

    def __init__(self) -> None:
        self.ran = 0
        self.gate: asyncio.Event | None = None

        @tool
        async def weather(city: str, days: int = 1, unit: Literal["C", "F"] = "C") -> str:
            """Tells the weather."""
            self.ran += 1
            if self.gate is not None:
                await self.gate.wait()
            return f"{city}: rain for {days} days, 8 {unit}"

        @tool("weather")
        def now(city: str, days: int = 1, unit: Literal["C", "F"] = "C") -> str:
            """Tells the weather."""
            self.ran += 1
            return f"{city}: rain for {days} days, 8 {unit}"

        self.tool, self.sync = weather, now


def call(args: dict[str, Any], identity: str = "1", name: str = "weather") -> Any:
    """A call, as a model makes it."""
    return {"name": name, "args": args, "id": identity, "type": "tool_call"}


def graph_of(results: ToolResults, *tools: Any) -> Any:
    """A graph with a `ToolNode` that asks the results first."""
    node = ToolNode(tools, awrap_tool_call=results.awrap, wrap_tool_call=results.wrap, handle_tool_errors=True)
    graph = StateGraph(MessagesState, context_schema=Context).add_node("tools", node).add_edge(START, "tools")
    return graph.compile(checkpointer=InMemorySaver())


def asking(*calls: Any) -> Any:
    """The state in which a model has made these calls."""
    return {"messages": [AIMessage("", tool_calls=list(calls))]}


threads = iter(range(10_000))


def config() -> RunnableConfig:
    """A thread of its own."""
    return {"configurable": {"thread_id": f"t{next(threads)}"}}


def results(store: MemoryStore | None = None, **options: Any) -> ToolResults:
    """Results of the weather, in a store of their own."""
    return ToolResults(store or MemoryStore(), {"weather": 600.0}, **options)


async def test_a_tool_node_runs_a_call_once() -> None:
    """The second call, in another form and under another id, gets the first one's result as the answer to itself."""
    weather = Weather()
    graph = graph_of(results(), weather.tool)
    for number, args in enumerate(({"city": "Kyiv"}, {"days": 1.0, "city": "Kyiv"}, {"unit": "C", "city": "Kyiv"})):
        state = await graph.ainvoke(asking(call(args, f"call-{number}")), config())
        answer = state["messages"][-1]
        assert (answer.text, answer.tool_call_id, answer.name) == (
            "Kyiv: rain for 1 days, 8 C",
            f"call-{number}",
            "weather",
        )
    assert weather.ran == 1
    await graph.ainvoke(asking(call({"city": "Kyiv", "days": 2})), config())
    assert weather.ran == 2


def test_a_synchronous_tool_node_runs_a_call_once() -> None:
    """`invoke` has it like `ainvoke`, and the tool runs in the thread that it would run in anyway."""
    ran: list[str] = []

    @tool
    def weather(city: str) -> str:
        """Tells the weather."""
        ran.append(threading.current_thread().name)
        return city

    graph = graph_of(results(), weather)
    for city in ("Kyiv", "Kyiv", "Lviv"):
        assert graph.invoke(asking(call({"city": city})), config())["messages"][-1].text == city
    assert len(ran) == 2
    assert "freehold-portal" not in ran


async def test_equal_calls_of_one_message_run_once_each_with_its_id() -> None:
    """A model that asks the same three times at once costs one run."""
    weather = Weather()
    calls = [call({"city": "Kyiv"}, f"call-{number}") for number in range(3)]
    state = await graph_of(results(), weather.tool).ainvoke(asking(*calls), config())
    assert [message.tool_call_id for message in state["messages"][1:]] == ["call-0", "call-1", "call-2"]
    assert weather.ran == 1


async def test_only_named_tools_are_kept() -> None:
    """A tool with effects must never be skipped by accident."""
    sent = []

    @tool
    def send(text: str) -> str:
        """Sends a text."""
        sent.append(text)
        return "Sent."

    graph = graph_of(results(), send, Weather().tool)
    for _ in range(2):
        await graph.ainvoke(asking(call({"text": "Hello"}, name="send")), config())
    assert sent == ["Hello", "Hello"]
    with pytest.raises(SettingsError, match="send"):
        results().tool(send)


@pytest.mark.parametrize(("scope", "runs"), [("user", 2), ("tenant", 1), ("all", 1)])
async def test_the_scope_comes_from_the_run_context(scope: Any, runs: int) -> None:
    """What a tool found for one user is not another one's, unless it is meant so."""
    weather = Weather()
    graph = graph_of(results(scope=scope), weather.tool)
    alone = results(scope=scope).tool(weather.tool)

    async def node(_: MessagesState) -> dict[str, Any]:
        await alone.ainvoke({"city": "Kyiv"})
        return {}

    inside: Any = StateGraph(MessagesState, context_schema=Context).add_node("node", node).add_edge(START, "node")
    for user in ("ada", "bob", "ada"):
        await graph.ainvoke(asking(call({"city": "Kyiv"})), config(), context=Context(user_id=user))
    assert weather.ran == runs
    for user in ("ada", "bob", "ada"):
        await inside.compile().ainvoke(asking(), context=Context(user_id=user))
    assert weather.ran == 2 * runs


@pytest.mark.parametrize("handled", [True, False])
async def test_errors_are_not_kept(handled: bool) -> None:
    """A service that was down for a moment must not be down for ten minutes."""
    ran = 0

    @tool
    def weather(city: str) -> str:
        """Tells the weather."""
        nonlocal ran
        ran += 1
        if ran == 1:
            raise ConnectionError("refused")
        return "Rain."

    kept = results()
    node = ToolNode([weather], awrap_tool_call=kept.awrap, handle_tool_errors=handled)
    compiled = StateGraph(MessagesState).add_node("tools", node).add_edge(START, "tools").compile()
    if handled:
        assert (await compiled.ainvoke(asking(call({"city": "Kyiv"}))))["messages"][-1].status == "error"
    else:
        with pytest.raises(ConnectionError):
            await compiled.ainvoke(asking(call({"city": "Kyiv"})))
    for _ in range(2):
        assert (await compiled.ainvoke(asking(call({"city": "Kyiv"}))))["messages"][-1].text == "Rain."
    assert ran == 2


async def test_wrong_arguments_are_the_tools_affair() -> None:
    """The model is told what is wrong, as without a cache."""
    state = await graph_of(results(), Weather().tool).ainvoke(asking(call({"town": "Kyiv"})), config())
    assert state["messages"][-1].status == "error"
    assert "city" in state["messages"][-1].text


async def test_what_cannot_be_looked_up_or_kept_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever named a tool of which nothing is ever kept learns why."""

    @tool
    def weather(city: Any) -> Any:
        """Tells the weather."""
        return object()

    kept = results().tool(weather)
    with caplog.at_level(logging.DEBUG):
        await kept.ainvoke({"city": object()})
        await kept.ainvoke({"city": "Kyiv"})
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("A result of weather is not kept: arguments['city'] is of the class builtins.object")
    assert "What weather gave is not kept. It cannot be serialised" in caplog.text


async def test_artifacts_come_back_as_they_were_or_nothing_is_kept() -> None:
    """An artifact is for the program: it keeps its class, and what no serializer knows is not kept."""
    ran = 0

    @tool(response_format="content_and_artifact")
    def weather(city: str) -> tuple[str, Any]:
        """Tells the weather."""
        nonlocal ran
        ran += 1
        return city, [Document(city)] if city != "nowhere" else object()

    graph = graph_of(results(), weather)
    for _ in range(2):
        message = (await graph.ainvoke(asking(call({"city": "Kyiv"})), config()))["messages"][-1]
        assert message.artifact == [Document("Kyiv")]
        assert isinstance(message.artifact[0], Document)
    assert ran == 1
    node = ToolNode([weather], awrap_tool_call=results().awrap)
    plain: Any = StateGraph(MessagesState).add_node("tools", node).add_edge(START, "tools").compile()
    for _ in range(2):
        await plain.ainvoke(asking(call({"city": "nowhere"})))
    assert ran == 3


async def test_commands_are_not_kept() -> None:
    """A tool that steers the graph steers it each time."""
    ran = 0

    @tool
    def weather(city: str, call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Tells the weather."""
        nonlocal ran
        ran += 1
        return Command(update={"messages": [ToolMessage(city, tool_call_id=call_id)]})

    @tool("weather")
    def bare(city: str) -> list[Any]:
        """Tells the weather."""
        nonlocal ran
        ran += 1
        return [Command(update={"messages": [ToolMessage(city, tool_call_id="1")]})]

    for one in (weather, bare):
        graph = graph_of(results(), one)
        for _ in range(2):
            assert (await graph.ainvoke(asking(call({"city": "Kyiv"})), config()))["messages"][-1].text == "Kyiv"
    assert ran == 4


async def test_an_answer_to_an_interrupt_is_nobody_elses() -> None:
    """A tool may ask a person; the answer must not stand for the next one's."""

    @tool
    def weather(city: str) -> str:
        """Tells the weather."""
        return str(interrupt("May I?"))

    graph = graph_of(results(), weather)
    for answer in ("yes", "no"):
        thread = config()
        assert (await graph.ainvoke(asking(call({"city": "Kyiv"})), thread))["__interrupt__"]
        assert (await graph.ainvoke(Command(resume=answer), thread))["messages"][-1].text == answer


async def test_one_that_fails_lets_the_others_try_at_once() -> None:
    """Ten callers of a service that times out must not wait for it ten times over."""
    ran = at_once = most_at_once = 0
    gate = asyncio.Event()

    @tool
    async def weather(city: str) -> str:
        """Tells the weather."""
        nonlocal ran, at_once, most_at_once
        ran += 1
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        await gate.wait()
        await asyncio.sleep(0.05)
        at_once -= 1
        raise ConnectionError("timed out")

    wrapped = results().tool(weather)
    running = [asyncio.create_task(wrapped.ainvoke({"city": "Kyiv"})) for _ in range(10)]
    await asyncio.sleep(0.05)
    assert ran == 1
    gate.set()
    found = await asyncio.gather(*running, return_exceptions=True)
    assert [type(error) for error in found] == [ConnectionError] * 10
    assert (ran, most_at_once) == (10, 9)


async def test_clearing_takes_the_named_tools() -> None:
    """What is out of date goes, for all users, and the rest stays."""
    weather = Weather()
    kept = results()
    graph = graph_of(kept, weather.tool)
    for user in ("ada", "bob"):
        await graph.ainvoke(asking(call({"city": "Kyiv"})), config(), context=Context(user_id=user))
    assert await kept.clear("other") == 0
    assert await kept.clear("weather") == 2
    await graph.ainvoke(asking(call({"city": "Kyiv"})), config(), context=Context(user_id="ada"))
    assert weather.ran == 3
    assert await kept.clear() == 1


async def test_a_store_that_is_down_is_a_miss() -> None:
    """The tool runs, and the caller notices nothing."""
    store, weather = MemoryStore(), Weather()
    await store.close()
    graph = graph_of(results(store), weather.tool)
    for _ in range(2):
        state = await graph.ainvoke(asking(call({"city": "Kyiv"})), config())
        assert state["messages"][-1].text.startswith("Kyiv")
    assert weather.ran == 2


async def test_results_live_for_the_tools_own_time() -> None:
    """The weather is old after ten minutes, and a version is old when it changes."""
    now = 0.0
    store, weather = MemoryStore(clock=lambda: now), Weather()
    for time, version, runs in ((0.0, "", 1), (599.0, "", 1), (601.0, "", 2), (602.0, "2", 3)):
        now = time
        await results(store, version=version).tool(weather.tool).ainvoke({"city": "Kyiv"})
        assert weather.ran == runs
    with pytest.raises(SettingsError, match="weather"):
        ToolResults(store, {"weather": 0})
