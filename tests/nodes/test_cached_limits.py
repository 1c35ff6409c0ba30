"""What a cached node does not keep, and what it makes of messages' ids."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from freehold import Context
from freehold.cache import ResponseCache
from freehold.coordination import Flights, MemoryStore, SQLiteStore
from freehold.nodes import cached
from tests.nodes.shouting import Calls, Words, graph_of


async def test_a_command_goes_where_it_goes_and_is_not_kept() -> None:
    """A `Command` is for its own run: it is followed each time."""
    ran = 0

    def choose(state: Words) -> Command[str]:
        nonlocal ran
        ran += 1
        return Command(update={"loud": ["chosen"]}, goto="right")

    graph = StateGraph(Words).add_node("choose", cached(choose, store=MemoryStore(), name="choose"))
    graph.add_node("left", lambda _: {"loud": ["left"]}).add_node("right", lambda _: {"loud": ["right"]})
    graph.add_edge(START, "choose").add_edge("left", END).add_edge("right", END)
    compiled: Any = graph.compile()
    for _ in range(2):
        assert (await compiled.ainvoke({"word": "x"}))["loud"] == ["chosen", "right"]
    assert ran == 2


def _asks(state: Words) -> Words:
    return {"loud": [interrupt("May I?")]}


@task
def _ask() -> str:
    return str(interrupt("May I?"))


async def _asks_in_a_task(state: Words) -> Words:
    return {"loud": [await _ask()]}


@pytest.mark.parametrize("where", ["function", "subgraph", "task"])
async def test_an_answer_to_an_interrupt_is_nobody_elses(where: str) -> None:
    """What a person allowed once must not be allowed for whoever asks the same next, not even behind a second pause."""
    node = {"function": _asks, "subgraph": graph_of(_asks), "task": _asks_in_a_task}[where]
    graph = StateGraph(Words).add_node("node", cached(node, store=MemoryStore(), name="asks", flights=Flights()))
    compiled: Any = graph.add_edge(START, "node").compile(checkpointer=InMemorySaver())
    for thread, answer in (("t1", "yes"), ("t2", "no"), ("t3", "never")):
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        asked = await compiled.ainvoke({"word": "x"}, config)
        assert asked["__interrupt__"][0].value == "May I?"
        paused = compiled.get_state(config)
        identity = paused.interrupts[0].id
        resume: Any = {identity: answer} if thread == "t2" else answer
        assert (await compiled.ainvoke(Command(resume=resume), config))["loud"] == [answer]


async def test_a_pause_holds_nobody_up() -> None:
    """Those who waited for a run that pauses for its person go on at once, to pause for theirs."""
    at_once = most_at_once = 0

    async def node(state: Words) -> Words:
        nonlocal at_once, most_at_once
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        await asyncio.sleep(0.05)
        at_once -= 1
        return {"loud": [interrupt("May I?")]}

    graph = StateGraph(Words).add_node("node", cached(node, store=MemoryStore(), name="asks")).add_edge(START, "node")
    compiled: Any = graph.compile(checkpointer=InMemorySaver())
    running = [compiled.ainvoke({"word": "x"}, {"configurable": {"thread_id": str(number)}}) for number in range(4)]
    assert all("__interrupt__" in state for state in await asyncio.gather(*running))
    assert most_at_once == 3


async def test_what_is_not_resumed_is_kept_in_a_resumed_run() -> None:
    """Only the tasks that a run goes on with are suspicious, not the steps behind them."""
    calls = Calls()
    graph = StateGraph(Words).add_node("asks", _asks)
    graph.add_node("shout", cached(calls.shout, store=MemoryStore(), name="shout", keys=["word"]))
    graph.add_edge(START, "asks").add_edge("asks", "shout")
    compiled: Any = graph.compile(checkpointer=InMemorySaver())
    for thread in ("t1", "t2"):
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        await compiled.ainvoke({"word": "x"}, config)
        await compiled.ainvoke(Command(resume="yes"), config)
    assert calls.ran == 1


async def test_a_subgraph_that_remembers_always_runs() -> None:
    """With a checkpointer of its own it depends on what it was given before, which is in no key."""
    for checkpointer in (True, InMemorySaver()):
        calls = Calls()
        inner: Any = StateGraph(Words).add_node("shout", calls.shout).add_edge(START, "shout")
        node = cached(inner.compile(checkpointer=checkpointer), store=MemoryStore(), name="remembers", keys=["word"])
        outer: Any = StateGraph(Words).add_node("node", node).add_edge(START, "node")
        compiled = outer.compile(checkpointer=InMemorySaver())
        for turn in range(3):
            config: RunnableConfig = {"configurable": {"thread_id": "t1"}}
            await compiled.ainvoke({"word": "x", "turn": turn}, config)
        assert calls.ran == 3


async def test_what_cannot_be_serialised_runs_each_time() -> None:
    """A handle in the state is the node's affair; it is not put into a store."""
    store = MemoryStore()
    node = cached(lambda _: {"loud": [object()]}, store=store, name="handles")
    first, second = await node.ainvoke({"word": "x"}), await node.ainvoke({"word": "x"})
    assert first["loud"][0] is not second["loud"][0]
    assert await store.count() == 0


def _answers(state: MessagesState) -> dict[str, Any]:
    return {"messages": [AIMessage("In the shed.", id="lc_run--1")]}


async def test_two_hits_in_one_thread_are_two_messages() -> None:
    """A second message with the same id would take the place of the first one, in the middle of the thread."""

    class State(MessagesState):
        question: str

    graph: Any = StateGraph(State).add_node("node", cached(_answers, store=MemoryStore(), keys=["question"]))
    compiled = graph.add_edge(START, "node").compile(checkpointer=InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "t1"}}
    for _ in range(3):
        state = await compiled.ainvoke({"question": "Where?", "messages": [HumanMessage("Where?")]}, config)
    assert [message.type for message in state["messages"]] == ["human", "ai"] * 3


def _mends(state: MessagesState) -> dict[str, Any]:
    first, second = state["messages"]
    return {
        "messages": [
            HumanMessage("(masked)", id=first.id),
            RemoveMessage(str(second.id)),
            AIMessage("Welcome.", id="welcome"),
        ]
    }


async def test_a_hit_changes_the_messages_of_its_own_run() -> None:
    """A node may replace or remove what it was given: on a hit it is this run's messages, and a fixed id stays."""
    store = MemoryStore()
    graph = graph_of(cached(_mends, store=store), MessagesState)
    for run in ("a", "b"):
        given: list[AnyMessage] = [HumanMessage("Secret", id=f"{run}1"), AIMessage("Yes", id=f"{run}2")]
        state = await graph.ainvoke({"messages": given})
        assert [(m.id, m.text) for m in state["messages"]] == [(f"{run}1", "(masked)"), ("welcome", "Welcome.")]
        assert await store.count() == 1


async def test_a_change_to_messages_outside_of_the_key_is_not_kept() -> None:
    """Nobody could tell which message of another run it would be."""

    class State(MessagesState):
        question: str

    store = MemoryStore()
    graph = graph_of(cached(_mends, store=store, keys=["question"]), State)
    given: list[AnyMessage] = [HumanMessage("Secret", id="1"), AIMessage("Yes", id="2")]
    await graph.ainvoke({"question": "Where?", "messages": given})
    assert await store.count() == 0


async def test_a_store_that_is_down_or_spoiled_is_a_miss(caplog: pytest.LogCaptureFixture) -> None:
    """The run goes on, with one warning of each kind; what another version wrote is not read."""
    store, calls = MemoryStore(), Calls()
    node = cached(calls.shout, store=store, name="shout")
    await node.ainvoke({"word": "x"})
    [(key, _)] = await store.list()
    for spoiled in (b"", b"old", b"\xf1fh1:msgpack:\x81\xa1x\x01"):
        await store.set(key, spoiled, 60)
        assert await node.ainvoke({"word": "x"}) == {"loud": ["X"]}
    assert calls.ran == 4
    await store.close()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await node.ainvoke({"word": "x"}) == {"loud": ["X"]}
    assert [record.msg for record in caplog.records] == [
        "The cache does not answer, and what was asked of it is worked out: %s%s",
        "A result cannot be kept: %s%s",
    ]
    assert calls.ran == 7


async def test_forgetting_a_user_takes_what_nodes_kept_for_them(tmp_path: Path) -> None:
    """In one store with the response cache, a user's results are erased with their answers, and nobody else's."""
    store, calls = SQLiteStore(tmp_path / "cache.sqlite"), Calls()
    graph = graph_of(cached(calls.shout, store=store, name="shout"))
    for user in ("ada", "bob"):
        await graph.ainvoke({"word": "x"}, context=Context(user_id=user))
    await ResponseCache(store, None).forget(Context(user_id="ada"))
    assert await store.count() == 1
    await graph.ainvoke({"word": "x"}, context=Context(user_id="bob"))
    assert calls.ran == 2
    await store.close()
