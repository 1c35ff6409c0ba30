"""LangGraph's node cache on answer stores, through real graphs."""

from __future__ import annotations

import asyncio
import logging
import operator
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.cache.base import FullKey
from langgraph.cache.memory import InMemoryCache
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import CachePolicy, Send
from prometheus_client import REGISTRY
from typing_extensions import TypedDict

from freehold.cache.results.langgraph_cache import LangGraphCache
from freehold.cache.results.message_key import chat_policy
from freehold.coordination import AnswerStore, EncryptedStore, MemoryStore, RedisConnection, RedisStore, SQLiteStore
from freehold.coordination.store import Values
from freehold.errors import SettingsError, StorageError
from freehold.portal import run_in_background
from tests.coordination.conftest import RedisServer


class Words(TypedDict, total=False):
    words: list[str]
    word: str
    loud: Annotated[list[str], operator.add]
    quiet: str


class Ran(Counter[str]):
    """How often each node ran."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis, that a test may freeze."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(params=["memory", "sqlite", "redis", "encrypted"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnswerStore]:
    """A store of each kind, closed after the test."""
    opened: AnswerStore
    if request.param == "memory":
        opened = MemoryStore()
    elif request.param == "sqlite":
        opened = SQLiteStore(tmp_path / "nodes.sqlite")
    elif request.param == "encrypted":
        opened = EncryptedStore(SQLiteStore(tmp_path / "nodes.sqlite"), bytes(32))
    else:
        url = request.getfixturevalue("server").url
        opened = RedisStore(RedisConnection(url, f"{tmp_path.name}:", timeout_seconds=60.0))
    yield opened
    await opened.close()


def shouting(cache: Any, ran: Ran, *, ttl: int | None = None) -> Any:
    """A graph that shouts every word in a task of its own, and then whispers all of them."""

    def shout(state: Words) -> Words:
        ran["shout"] += 1
        return {"loud": [state["word"].upper()]}

    def whisper(state: Words) -> Words:
        ran["whisper"] += 1
        return {"quiet": " ".join(sorted(state["loud"])).lower()}

    graph = StateGraph(Words)
    graph.add_node("shout", shout, cache_policy=CachePolicy(ttl=ttl))
    graph.add_node("whisper", whisper, cache_policy=CachePolicy(ttl=ttl))
    graph.add_conditional_edges(START, lambda state: [Send("shout", {"word": word}) for word in state["words"]])
    graph.add_edge("shout", "whisper")
    return graph.compile(cache=cache)


def chatting(cache: Any, policy: Any, ran: Ran) -> Any:
    """A graph with one chat node."""

    async def chat(state: MessagesState) -> dict[str, Any]:
        ran["chat"] += 1
        return {"messages": [AIMessage(f"You said {state['messages'][-1].text}")]}

    return (
        StateGraph(MessagesState)
        .add_node("chat", chat, cache_policy=policy)
        .add_edge(START, "chat")
        .compile(cache=cache)
    )


WORDS: Any = {"words": ["shed", "key", "gate"]}


async def test_every_way_to_run_a_graph_finds_what_another_one_kept(store: AnswerStore) -> None:
    """`ainvoke`, `invoke`, `astream` and `stream` share one cache, and give what the nodes gave."""
    ran = Ran()
    graph = shouting(LangGraphCache(store), ran)
    first = await graph.ainvoke(WORDS)
    assert first["quiet"] == "gate key shed"
    assert sorted(first["loud"]) == ["GATE", "KEY", "SHED"]
    assert await graph.ainvoke(WORDS) == first
    assert await asyncio.to_thread(graph.invoke, WORDS) == first
    streamed = [part async for part in graph.astream(WORDS, stream_mode="values")]
    assert streamed[-1] == first
    assert await asyncio.to_thread(lambda: list(graph.stream(WORDS, stream_mode="values"))) == streamed
    assert ran == {"shout": 3, "whisper": 1}


def test_a_synchronous_graph_keeps_and_finds(tmp_path: Path) -> None:
    """`invoke` alone, with nobody's event loop, keeps what it wrote."""
    ran = Ran()
    graph = shouting(LangGraphCache(SQLiteStore(tmp_path / "nodes.sqlite")), ran)
    assert graph.invoke(WORDS) == graph.invoke(WORDS)
    assert ran == {"shout": 3, "whisper": 1}


class Counting(MemoryStore):
    """A store that counts its calls."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.reads: list[int] = []

    async def get(self, key: str) -> Any:
        """One key."""
        self.reads.append(1)
        return await super().get(key)

    async def get_many(self, keys: Sequence[str]) -> Values:
        """Several keys."""
        self.reads.append(len(keys))
        return await super().get_many(keys)


async def test_a_step_is_one_round_trip() -> None:
    """A fan-out of a hundred nodes must not wait for the store a hundred times."""
    store = Counting()
    graph = shouting(LangGraphCache(store), Ran())
    await graph.ainvoke({"words": [str(number) for number in range(100)]})
    store.reads.clear()
    await graph.ainvoke({"words": [str(number) for number in range(100)]})
    assert store.reads == [100, 1]


async def test_a_repeated_chat_turn_hits_where_langgraphs_own_key_misses() -> None:
    """A new message has a new random id, which must not make it another question."""
    for cache, policy, expected in (
        (LangGraphCache(MemoryStore()), chat_policy(), 1),
        (InMemoryCache(), CachePolicy(), 20),
    ):
        ran = Ran()
        graph = chatting(cache, policy, ran)
        for _ in range(20):
            state = await graph.ainvoke({"messages": [HumanMessage("Where?", id=uuid.uuid4().hex)]})
            assert state["messages"][-1].text == "You said Where?"
        assert ran["chat"] == expected
        await graph.ainvoke({"messages": [HumanMessage("Who?")]})
        assert ran["chat"] == expected + 1


async def test_other_tasks_go_on_while_the_store_hangs(server: RedisServer, tmp_path: Path) -> None:
    """A Redis that takes its time takes only the run's time and never the event loop's; the run goes on as a miss."""
    store = RedisStore(RedisConnection(server.url, f"{tmp_path.name}:", timeout_seconds=1.0))
    cache: LangGraphCache[Any] = LangGraphCache(store)
    ran = Ran()
    server.freeze()
    try:
        running = asyncio.create_task(chatting(cache, chat_policy(), ran).ainvoke({"messages": [("user", "Where?")]}))
        ticks = 0
        while not running.done():
            await asyncio.sleep(0.01)
            ticks += 1
    finally:
        server.thaw()
    assert (await running)["messages"][-1].text == "You said Where?"
    assert ticks > 10
    await store.close()


async def test_a_store_that_is_down_is_a_miss_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that happens in the cache ends a run, and a dead store does not fill the log."""
    store = MemoryStore()
    await store.close()
    ran = Ran()
    graph = shouting(LangGraphCache(store), ran)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert (await graph.ainvoke(WORDS))["quiet"] == "gate key shed"
            assert (await asyncio.to_thread(graph.invoke, WORDS))["quiet"] == "gate key shed"
    assert ran == {"shout": 18, "whisper": 6}
    said = [record.msg for record in caplog.records if record.name == "freehold.cache.results.langgraph_cache"]
    assert said == ["The node cache does not answer, and the nodes run: %s%s", "What a node wrote is not kept: %s%s"]


async def test_what_another_version_wrote_is_a_miss(store: AnswerStore) -> None:
    """An update, or a damaged file, must not crash the graphs that find old values."""
    ran = Ran()
    graph = shouting(LangGraphCache(store), ran)
    await graph.ainvoke(WORDS)
    kept = await store.list()
    assert len(kept) == 4
    spoiled = [b"", b"\xf1fh0:msgpack:\x80", kept[2][1].value[:-3], b"\xf1fh1:pickle:\x80"]
    for (key, _), value in zip(kept, spoiled, strict=True):
        await store.set(key, value, 60)
    assert (await graph.ainvoke(WORDS))["quiet"] == "gate key shed"
    assert ran == {"shout": 6, "whisper": 2}


async def test_what_cannot_be_serialised_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    """A node may give an object that no serializer knows; its run is not the worse for it."""
    store = MemoryStore()
    graph = StateGraph(Words).add_node("shout", lambda _: {"quiet": object()}, cache_policy=CachePolicy())
    compiled: Any = graph.add_edge(START, "shout").compile(cache=LangGraphCache(store))
    assert "object" in repr((await compiled.ainvoke({"words": []}))["quiet"])
    assert await store.count() == 0
    assert "not kept" in caplog.text


async def test_a_policy_without_a_time_has_the_caches_time() -> None:
    """Nothing lives for ever in a store; the policy's own time goes first."""
    now = 1_000.0
    store = MemoryStore(clock=lambda: now)
    await shouting(LangGraphCache(store, ttl_seconds=50), Ran()).ainvoke({"words": ["a"]})
    await shouting(LangGraphCache(store, prefix="other:"), Ran(), ttl=7).ainvoke({"words": ["a"]})
    ends = {stored.expires_at for _, stored in await store.list("langgraph:")}
    assert ends == {1_050.0}
    assert {stored.expires_at for _, stored in await store.list("other:")} == {1_007.0}


async def test_clearing_a_node_leaves_the_others(store: AnswerStore) -> None:
    """`clear_cache` of a graph names nodes; what else lies in the store stays."""
    ran = Ran()
    graph = shouting(LangGraphCache(store), ran)
    await store.set("of somebody else", b"x", 60)
    await graph.ainvoke(WORDS)
    await graph.aclear_cache(["shout"])
    await graph.ainvoke(WORDS)
    assert ran == {"shout": 6, "whisper": 1}
    await asyncio.to_thread(graph.clear_cache)
    await graph.ainvoke(WORDS)
    assert ran == {"shout": 9, "whisper": 2}
    await LangGraphCache(store).aclear()
    assert [key for key, _ in await store.list()] == ["of somebody else"]


def test_clearing_says_when_it_cannot() -> None:
    """Who clears must know whether it is gone: this is the one call that does not keep an error to itself."""
    store = MemoryStore()
    cache: LangGraphCache[Any] = LangGraphCache(store)
    cache.set({(("a",), "key"): (1, None)})
    run_in_background(store.close()).result()
    with pytest.raises(StorageError):
        cache.clear([("a",)])


@pytest.mark.parametrize("other", [(("a", "b"), "c"), (("a",), '"b"]c'), ((), "a"), (("a:b",), "c"), (("a",), "b")])
async def test_namespaces_never_run_into_one_another(other: FullKey) -> None:
    """Names of nodes may hold any character; clearing one must not clear another."""
    cache: LangGraphCache[str] = LangGraphCache(MemoryStore())
    key = (("a",), "c")
    await cache.aset({key: ("mine", None), other: ("other", None)})
    assert await cache.aget([key, other]) == {key: "mine", other: "other"}
    await cache.aclear([other[0]])
    assert await cache.aget([key, other]) == ({key: "mine"} if other[0] != key[0] else {})


async def test_a_synchronous_graph_inside_an_asynchronous_body_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """On the background loop nothing can be waited for; the graph runs as if there were no cache."""
    ran = Ran()
    graph = shouting(LangGraphCache(MemoryStore()), ran)
    labels = {"tier": "langgraph", "outcome": "error"}
    before = REGISTRY.get_sample_value("freehold_cache_lookups_total", labels) or 0.0

    async def body() -> Any:
        return graph.invoke(WORDS)

    found = await asyncio.wrap_future(run_in_background(body()))
    assert found["quiet"] == "gate key shed"
    assert "cannot be asked here" in caplog.text
    asked = sum(ran.values())
    assert REGISTRY.get_sample_value("freehold_cache_lookups_total", labels) == before + asked


async def test_many_runs_at_once_share_it(store: AnswerStore) -> None:
    """Fifty runs on one loop and four threads get what they asked for."""
    graph = shouting(LangGraphCache(store), Ran())
    asked = [{"words": [f"{number % 5}", "key"]} for number in range(50)]
    found = await asyncio.gather(*(graph.ainvoke(words) for words in asked))
    found += await asyncio.gather(*(asyncio.to_thread(graph.invoke, words) for words in asked[:8]))
    assert [state["quiet"] for state in found] == [f"{number % 5} key" for number in [*range(50), *range(8)]]


@pytest.mark.parametrize("make", [lambda s: LangGraphCache(s, ttl_seconds=0), lambda s: LangGraphCache(s, prefix="")])
def test_settings_that_cannot_be_used_are_refused(make: Callable[[AnswerStore], Any]) -> None:
    """A time of nothing keeps nothing, and an empty prefix would clear everybody's entries."""
    with pytest.raises(SettingsError):
        make(MemoryStore())
