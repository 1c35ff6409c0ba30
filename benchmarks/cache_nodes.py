"""Caching anybody's own nodes: repeated chat turns with LangGraph's caches beside this library's."""

from __future__ import annotations

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.redis_server import RedisServer
from benchmarks.report import Bar

__all__ = ["rows"]

_ROUNDS = 5
_TICK = 0.001
_PAUSE_MS = 200
# A part of the names of the bars that are on `_Delays.caused`.
_WITHOUT = "without GC and core waits"


def _waited_for_a_core() -> float:
    """Seconds that this thread was ready to run and did not, because the machine was busy; Linux counts them."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


@dataclass
class _Delays:
    """By how many milliseconds an event loop was late for a task that sleeps one, and how much of it the cache caused.

    A collection of the whole heap takes longer the more modules are loaded, and a thread waits for a core while other
    programs have it: both happen to a graph without a cache as well. So the bars are on what is left without them, and
    the whole delay is told beside it. What a virtual machine's host takes away cannot be told apart: the graph without
    a cache shows how much that is, and the bar is on the median of the rounds.
    """

    seen: list[float] = field(default_factory=list)
    """All of it."""
    caused: list[float] = field(default_factory=list)
    """Without what the garbage collector took, and without the time that the thread waited for a core."""
    _collecting: float = 0.0
    _collected: float = 0.0

    def _collector(self, phase: str, _: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._collecting = now
        else:
            self._collected += now - self._collecting

    def _excused(self) -> float:
        return self._collected + _waited_for_a_core()

    async def _watch(self) -> None:
        while True:
            excused, began = self._excused(), time.perf_counter()
            await asyncio.sleep(_TICK)
            late = time.perf_counter() - began - _TICK
            self.seen.append(max(0.0, late * 1000))
            self.caused.append(max(0.0, (late - (self._excused() - excused)) * 1000))

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Watch the running loop."""
        gc.collect()
        gc.callbacks.append(self._collector)
        watching = asyncio.create_task(self._watch())
        await asyncio.sleep(5 * _TICK)
        try:
            yield
        finally:
            watching.cancel()
            gc.callbacks.remove(self._collector)

    @property
    def p99(self) -> float:
        """Of a hundred delays that the cache caused, the second longest."""
        return statistics.quantiles(self.caused, n=100)[-1]


@dataclass
class _Run:
    """What a kind of cache made of the repeated turns, over several rounds: fewest hits, longest delays."""

    hits: int
    turn: float = float("inf")
    """Milliseconds, median of the quickest round."""
    caused: list[float] = field(default_factory=list)
    """Milliseconds that the loop was late at most, each round, without garbage collection and waits for a core."""
    longest: float = 0.0
    """With them, of all rounds."""
    p99: float = 0.0


class _Chat:
    """The node: it asks a model that answers at once, and counts how often."""

    def __init__(self) -> None:
        from langchain_core.language_models import FakeListChatModel

        self.ran = 0
        self._model = FakeListChatModel(responses=["The spare key hangs in the shed, behind the door."])

    async def __call__(self, state: Any) -> dict[str, Any]:
        """Answer the newest message."""
        self.ran += 1
        return {"messages": [await self._model.ainvoke(state["messages"])]}


def _graph(node: Any, cache: Any = None, policy: Any = None) -> Any:
    from langgraph.graph import START, MessagesState, StateGraph

    graph = StateGraph(MessagesState).add_node("chat", node, cache_policy=policy).add_edge(START, "chat")
    return graph.compile(cache=cache)


async def _turn(graph: Any) -> float:
    """Milliseconds of one turn: the same question as a new message."""
    from langchain_core.messages import HumanMessage

    began = time.perf_counter()
    state = await graph.ainvoke({"messages": [HumanMessage("Where is the spare key?")]})
    assert state["messages"][-1].text.startswith("The spare key")
    return (time.perf_counter() - began) * 1000


async def _measure(build: Callable[[_Chat], Any], turns: int, run: _Run) -> None:
    """One round more."""
    chat, delays = _Chat(), _Delays()
    graph = build(chat)
    await _turn(graph)
    async with delays.watched():
        spent = [await _turn(graph) for _ in range(turns)]
    run.hits = min(run.hits, turns - (chat.ran - 1))
    run.turn = min(run.turn, statistics.median(spent))
    run.caused.append(max(delays.caused))
    run.longest = max(run.longest, *delays.seen)
    run.p99 = max(run.p99, delays.p99)


async def _while_paused(graph: Any, pause: Callable[[], object]) -> _Delays:
    """The delays while Redis takes its time for one turn."""
    await _turn(graph)
    delays = _Delays()
    async with delays.watched():
        await asyncio.to_thread(pause)
        await _turn(graph)
    return delays


async def _rows(folder: str, url: str, *, quick: bool) -> list[Bar]:
    import redis
    from langgraph.cache.memory import InMemoryCache
    from langgraph.cache.redis import RedisCache
    from langgraph.types import CachePolicy

    from freehold.cache.results.langgraph_cache import LangGraphCache
    from freehold.cache.results.message_key import chat_policy
    from freehold.coordination import MemoryStore, RedisConnection, RedisStore, SQLiteStore
    from freehold.nodes import cached

    turns, rounds = (200, 2) if quick else (1_000, _ROUNDS)
    client = redis.Redis.from_url(url)
    number = iter(range(1_000))
    opened: list[Any] = []

    def sqlite() -> Any:
        opened.append(SQLiteStore(Path(folder) / f"nodes{next(number)}.sqlite"))
        return opened[-1]

    def redis_store() -> Any:
        opened.append(RedisStore(RedisConnection(url, f"nodes{next(number)}:", timeout_seconds=5.0)))
        return opened[-1]

    def langgraphs_redis() -> Any:
        return RedisCache(client, prefix=f"langgraph{next(number)}:")

    theirs: dict[str, Callable[[_Chat], Any]] = {
        "no cache": _graph,
        "CachePolicy, InMemoryCache": lambda chat: _graph(chat, InMemoryCache(), CachePolicy()),
        "CachePolicy, RedisCache": lambda chat: _graph(chat, langgraphs_redis(), CachePolicy()),
    }
    ours: dict[str, Callable[[_Chat], Any]] = {
        "chat_policy, LangGraphCache, memory": lambda chat: _graph(chat, LangGraphCache(MemoryStore()), chat_policy()),
        "chat_policy, LangGraphCache, SQLite": lambda chat: _graph(chat, LangGraphCache(sqlite()), chat_policy()),
        "chat_policy, LangGraphCache, Redis": lambda chat: _graph(chat, LangGraphCache(redis_store()), chat_policy()),
        "cached(node), memory": lambda chat: _graph(cached(chat, store=MemoryStore(), name="chat")),
        "cached(node), SQLite": lambda chat: _graph(cached(chat, store=sqlite(), name="chat")),
        "cached(node), Redis": lambda chat: _graph(cached(chat, store=redis_store(), name="chat")),
    }
    runs = {kind: _Run(turns) for kind in [*theirs, *ours]}
    for _ in range(rounds):  # in turns, so that a noisy minute is in a round of each and not in all rounds of one
        for kind, build in [*theirs.items(), *ours.items()]:
            await _measure(build, turns, runs[kind])
    bars = []
    for kind, run in runs.items():
        mine = kind in ours
        bars += [
            Bar(f"{turns} repeated chat turns, {kind}: hits", run.hits, "hits", turns if mine else None, "more"),
            Bar(f"{kind}: a turn, p50", round(run.turn, 3), "ms"),
            Bar(
                f"{kind}: loop late {_WITHOUT}, longest, median of rounds",
                round(statistics.median(run.caused), 2),
                "ms",
                10 if mine else None,
            ),
            Bar(f"{kind}: the same, worst round", round(max(run.caused), 2), "ms"),
            Bar(f"{kind}: loop late in all, longest", round(run.longest, 2), "ms"),
            Bar(f"{kind}: loop late {_WITHOUT}, p99", round(run.p99, 2), "ms"),
        ]

    def pause() -> None:
        client.execute_command("CLIENT", "PAUSE", _PAUSE_MS, "ALL")

    late = f"Redis paused {_PAUSE_MS} ms, loop late"
    for kind, graph, bar in (
        ("RedisCache", _graph(_Chat(), langgraphs_redis(), chat_policy()), None),
        ("LangGraphCache", _graph(_Chat(), LangGraphCache(redis_store()), chat_policy()), 10.0),
        ("cached(node)", _graph(cached(_Chat(), store=redis_store(), name="chat")), 10.0),
    ):
        delays = [await _while_paused(graph, pause) for _ in range(rounds)]
        caused = max(max(found.caused) for found in delays)
        longest = max(max(found.seen) for found in delays)
        bars += [
            Bar(f"{kind}: {late} {_WITHOUT}, longest", round(caused, 2), "ms", bar),
            Bar(f"{kind}: {late} in all, longest", round(longest, 2), "ms"),
        ]
    for store in opened:
        await store.close()
    client.close()
    return bars


def rows(quick: bool) -> list[Bar]:
    """Hits, time per turn, and how late the event loop was, for each kind of cache.

    Args:
        quick: Measure 200 turns instead of 1,000.
    """
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as redis:
        return asyncio.run(_rows(folder, redis.url, quick=quick))
