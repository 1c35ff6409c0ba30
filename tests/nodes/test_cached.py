"""`cached`: any node, answered from a store where it was given the same before."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import RetryPolicy, Send, StreamWriter
from prometheus_client import REGISTRY

from freehold import Context
from freehold.coordination import Flights, MemoryStore, SQLiteBoard, SQLiteStore
from freehold.errors import CacheKeyError, ScopeError, SettingsError
from freehold.nodes import Node, cached
from tests.nodes.shouting import Calls, Words, graph_of


class Shout(Node):
    """A node of this library."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Shout."""
        return dict(self.calls.shout({"word": state["word"]}))


KINDS: dict[str, Callable[[Calls], Any]] = {
    "function": lambda calls: calls.shout,
    "async function": lambda calls: calls.ashout,
    "runnable": lambda calls: RunnableLambda(calls.shout, calls.ashout),
    "node": Shout,
    "subgraph": lambda calls: graph_of(calls.shout),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_node_runs_once(kind: str) -> None:
    """The second run gets what the first one gave, in a graph and alone, awaited and not."""
    calls = Calls()
    node = cached(KINDS[kind](calls), store=MemoryStore(), name=kind, keys=["word"])
    state: Words = {"word": "shed"}
    assert await graph_of(node).ainvoke(state) == {"word": "shed", "loud": ["SHED"]}
    assert await asyncio.to_thread(graph_of(node).invoke, state) == {"word": "shed", "loud": ["SHED"]}
    alone = await node.ainvoke(state)
    assert alone == await asyncio.to_thread(node.invoke, state)
    assert alone["loud"] == ["SHED"]
    assert calls.ran == 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "async function"])
def test_a_synchronous_graph_runs_it_once(kind: str) -> None:
    """`invoke` alone needs nobody's event loop, and keeps what it gave."""
    calls = Calls()
    graph = graph_of(cached(KINDS[kind](calls), store=MemoryStore(), name=kind))
    assert graph.invoke({"word": "shed"}) == graph.invoke({"word": "shed"}) == {"word": "shed", "loud": ["SHED"]}
    assert calls.ran == 1


def test_invoke_runs_the_node_in_the_callers_thread() -> None:
    """A node may hold what belongs to its thread, and blocks no event loop of others."""
    threads = []

    def node(_: Words) -> Words:
        threads.append(threading.current_thread())
        return {}

    cached(node, store=MemoryStore(), name="node").invoke({"word": "x"})
    assert threads == [threading.current_thread()]


async def test_a_function_is_given_what_langgraph_gives() -> None:
    """Runtime, config, store and writer are injected by their names, as in a node that is not wrapped."""

    async def node(
        state: Words, config: RunnableConfig, *, runtime: Runtime[Context], writer: StreamWriter, store: BaseStore
    ) -> Words:
        writer("seen")
        found = await store.aget(("notes",), "key")
        assert found is not None
        return {"loud": [runtime.context.user_id, config["configurable"]["thread_id"], found.value["where"]]}

    notes = InMemoryStore()
    notes.put(("notes",), "key", {"where": "shed"})
    graph = StateGraph(Words, context_schema=Context).add_node("node", cached(node, store=MemoryStore(), name="node"))
    compiled: Any = graph.add_edge(START, "node").compile(store=notes)
    config: RunnableConfig = {"configurable": {"thread_id": "t1"}}
    state = await compiled.ainvoke({"word": "x"}, config, context=Context(user_id="ada"))
    assert state["loud"] == ["ada", "t1", "shed"]


@pytest.mark.parametrize(("scope", "runs"), [("user", 3), ("tenant", 2), ("all", 1)])
async def test_the_scope_comes_from_the_run_context(scope: Any, runs: int) -> None:
    """Nobody gets another user's result by asking the same, unless it is meant so; no message can say who asks."""
    calls = Calls()
    graph = graph_of(cached(calls.shout, store=MemoryStore(), name="shout", scope=scope))
    for context in (Context(user_id="ada"), Context(user_id="bob"), Context(user_id="ada", tenant="other")):
        for _ in range(2):
            await graph.ainvoke({"word": "x"}, context=context)
    assert calls.ran == runs


async def test_other_contexts_count_with_their_user() -> None:
    """A graph may have a context of its own; where it names no user, nothing is shared by mistake."""
    calls = Calls()
    node = cached(calls.shout, store=MemoryStore(), name="shout")

    async def run(context: Any) -> None:
        graph = StateGraph(Words, context_schema=dict).add_node("node", node).add_edge(START, "node")
        await graph.compile().ainvoke({"word": "x"}, context=context)

    await run({"user_id": "ada"})
    await run({"user_id": "bob"})
    await run({"user_id": "ada"})
    assert calls.ran == 2
    with pytest.raises(ScopeError, match="user_id"):
        await run({"account": "ada"})


async def test_only_the_named_keys_count() -> None:
    """What a node does not read must not make its input new."""
    calls = Calls()
    graph = graph_of(cached(calls.shout, store=MemoryStore(), name="shout", keys=["word"]))
    for turn in range(3):
        await graph.ainvoke({"word": "x", "turn": turn})
    await graph.ainvoke({"word": "y", "turn": 0})
    assert calls.ran == 2


async def test_an_input_without_a_form_is_refused_by_name() -> None:
    """The error names the key, in every run and not only when two inputs happen to collide."""
    with pytest.raises(CacheKeyError, match=r"input\['word'\]"):
        await cached(Calls().shout, store=MemoryStore(), name="shout").ainvoke({"word": object()})


class Gate:
    """A node that waits until it is let go on, and fails or not."""

    def __init__(self, *, failures: int = 0) -> None:
        self.ran = 0
        self.failures = failures
        self.open = asyncio.Event()
        self.entered = asyncio.Event()

    async def __call__(self, state: Words) -> Words:
        self.ran += 1
        ran = self.ran
        self.entered.set()
        await self.open.wait()
        if ran <= self.failures:
            raise RuntimeError(f"Failure {ran}")
        return {"loud": [state["word"].upper()]}


async def test_equal_inputs_in_flight_run_once() -> None:
    """Twenty callers at once cost one run, and so do five equal tasks of one step."""
    gate = Gate()
    graph = graph_of(cached(gate, store=MemoryStore(), name="gate"))
    running = [asyncio.create_task(graph.ainvoke({"word": "x"})) for _ in range(20)]
    await gate.entered.wait()
    await asyncio.sleep(0.05)
    gate.open.set()
    assert await asyncio.gather(*running) == [{"word": "x", "loud": ["X"]}] * 20
    assert gate.ran == 1
    fan = StateGraph(Words).add_node("node", cached(gate, store=MemoryStore(), name="gate"))
    fan.add_conditional_edges(START, lambda _: [Send("node", {"word": "y"})] * 5)
    compiled: Any = fan.compile()
    assert (await compiled.ainvoke({"word": "x"}))["loud"] == ["Y"] * 5
    assert gate.ran == 2


async def test_threads_and_loops_share_a_flight() -> None:
    """Synchronous runs in threads follow an asynchronous one, and the other way round."""
    gate = Gate()
    node = cached(gate, store=MemoryStore(), name="gate")
    leading = asyncio.create_task(node.ainvoke({"word": "x"}))
    await gate.entered.wait()
    threads = [asyncio.create_task(asyncio.to_thread(node.invoke, {"word": "x"})) for _ in range(3)]
    threads.append(asyncio.create_task(asyncio.to_thread(asyncio.run, node.ainvoke({"word": "x"}))))
    await asyncio.sleep(0.05)
    gate.open.set()
    assert await asyncio.gather(leading, *threads) == [{"loud": ["X"]}] * 5
    assert gate.ran == 1


async def test_a_cancelled_follower_disturbs_nobody_and_a_cancelled_leader_hands_over() -> None:
    """Who gives up takes nobody along; exactly one of those who wait runs it anew."""
    gate = Gate()
    node = cached(gate, store=MemoryStore(), name="gate")
    running = [asyncio.create_task(node.ainvoke({"word": "x"})) for _ in range(5)]
    await gate.entered.wait()
    await asyncio.sleep(0.05)
    gate.entered.clear()
    running[3].cancel()
    running[0].cancel()
    await gate.entered.wait()
    gate.open.set()
    found = await asyncio.gather(*running, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in found] == [True, False, False, True, False]
    assert [found[1], found[2], found[4]] == [{"loud": ["X"]}] * 3
    assert gate.ran == 2


async def test_an_error_is_its_own_callers_and_is_not_kept() -> None:
    """The one that fails says so to its caller; another one tries, and its result is for the rest."""
    gate = Gate(failures=1)
    gate.open.set()
    node = cached(gate, store=MemoryStore(), name="gate")
    found = await asyncio.gather(*(node.ainvoke({"word": "x"}) for _ in range(5)), return_exceptions=True)
    assert [str(result) for result in found if isinstance(result, Exception)] == ["Failure 1"]
    assert found.count({"loud": ["X"]}) == 4
    assert gate.ran == 2


async def test_a_retry_policy_sees_the_error() -> None:
    """Retrying belongs to the graph: the wrapped node fails like itself."""
    gate = Gate(failures=2)
    gate.open.set()
    policy = RetryPolicy(initial_interval=0.001, retry_on=RuntimeError)
    graph = graph_of(cached(gate, store=MemoryStore(), name="gate"), retry_policy=policy)
    assert (await graph.ainvoke({"word": "x"}))["loud"] == ["X"]
    assert gate.ran == 3


async def test_a_long_run_keeps_its_place() -> None:
    """Those who wait do not take a run for dead that works longer than a lease lasts."""
    gate = Gate()
    node = cached(gate, store=MemoryStore(), name="gate", flights=Flights(lease_seconds=0.05))
    running = [asyncio.create_task(node.ainvoke({"word": "x"})) for _ in range(3)]
    await asyncio.sleep(0.4)
    gate.open.set()
    assert await asyncio.gather(*running) == [{"loud": ["X"]}] * 3
    assert gate.ran == 1


async def test_processes_share_a_flight_over_a_board(tmp_path: Path) -> None:
    """Two objects with flights on one board are what two processes are to each other."""
    gate = Gate()
    nodes = [
        cached(
            gate,
            store=SQLiteStore(tmp_path / "nodes.sqlite"),
            name="gate",
            flights=Flights(SQLiteBoard(tmp_path / "nodes.sqlite")),
        )
        for _ in range(2)
    ]
    leading = asyncio.create_task(nodes[0].ainvoke({"word": "x"}))
    await gate.entered.wait()
    following = asyncio.create_task(nodes[1].ainvoke({"word": "x"}))
    await asyncio.sleep(0.2)
    gate.open.set()
    assert await leading == await following == {"loud": ["X"]}
    assert gate.ran == 1


@pytest.mark.parametrize("synchronous", [False, True])
async def test_a_node_that_asks_itself_the_same_does_not_wait_for_itself(synchronous: bool) -> None:
    """An agent may call itself with its own question; inside of the run, the flight is not followed."""
    depth = 0

    async def node(state: Words) -> Words:
        nonlocal depth
        depth += 1
        if depth < 3:
            return dict(await graph.ainvoke({"word": state["word"]}))  # type: ignore[return-value]
        return {"loud": ["at last"]}

    def synchronous_node(state: Words) -> Words:
        nonlocal depth
        depth += 1
        return {"loud": ["at last"]} if depth == 3 else graph.invoke({"word": state["word"]})

    graph = graph_of(cached(synchronous_node if synchronous else node, store=MemoryStore(), name="node"))
    running = asyncio.to_thread(graph.invoke, {"word": "x"}) if synchronous else graph.ainvoke({"word": "x"})
    assert (await asyncio.wait_for(running, 5))["loud"] == ["at last"]
    assert depth == 3


async def test_names_and_versions_keep_apart_and_clearing_takes_one() -> None:
    """Two nodes in one store, or two versions of one, never answer for each other."""
    store, one, other = MemoryStore(), Calls(), Calls()
    nodes = [
        cached(one.shout, store=store, name="one"),
        cached(other.shout, store=store, name="other"),
        cached(one.shout, store=store, name="one", version="2"),
    ]
    for node in [*nodes, *nodes]:
        await node.ainvoke({"word": "x"})
    assert (one.ran, other.ran) == (2, 1)
    assert await nodes[0].clear() == 2
    await nodes[1].ainvoke({"word": "x"})
    await nodes[0].ainvoke({"word": "x"})
    assert (one.ran, other.ran) == (3, 1)


def _answers(state: MessagesState) -> dict[str, Any]:
    return {"messages": [AIMessage("In the shed.")]}


def test_what_looks_alike_needs_a_name() -> None:
    """Two closures or models have one qualified name and give different results; a function of a module is itself."""
    assert cached(_answers, store=MemoryStore()).name == f"{__name__}._answers"
    for node in (lambda state: state, Calls().shout, functools.partial(_answers), graph_of(_answers, MessagesState)):
        with pytest.raises(SettingsError, match="name"):
            cached(node, store=MemoryStore())
    with pytest.raises(SettingsError, match="ttl_seconds"):
        cached(_answers, store=MemoryStore(), ttl_seconds=0)
    with pytest.raises(SettingsError, match="scope"):
        cached(_answers, store=MemoryStore(), scope="everybody")  # type: ignore[arg-type]


async def test_lookups_are_counted() -> None:
    """Whoever runs it sees whether it pays: hits, misses and followers under the tier `node`."""

    def counted(outcome: str) -> float:
        labels = {"tier": "node", "outcome": outcome}
        return REGISTRY.get_sample_value("freehold_cache_lookups_total", labels) or 0.0

    before = {outcome: counted(outcome) for outcome in ("miss", "hit", "followed")}
    gate = Gate()
    gate.open.set()
    node = cached(gate, store=MemoryStore(), name="gate")
    await asyncio.gather(*(node.ainvoke({"word": "x"}) for _ in range(3)))
    await node.ainvoke({"word": "x"})
    assert {outcome: counted(outcome) - before[outcome] for outcome in before} == {"miss": 1, "hit": 1, "followed": 2}
