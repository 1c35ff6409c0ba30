"""How long lookups take: by meaning with the verifier, through the assistant, among 100,000 entries."""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cache_stream import Models, Request
from benchmarks.report import Bar, percentile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["rows"]

ROOT = Path(__file__).resolve().parent.parent
QUESTION = "Where does Freehold keep its data?"
_DIMENSION = 384


async def rows(stream: Sequence[Request], models: Models, *, quick: bool) -> list[Bar]:
    """Every bar of speed."""
    verified, read = await _verified(stream, models, 200 if quick else 1000)
    large = await _large(5_000 if quick else 100_000, 300 if quick else 2000)
    ratios = await _through_the_assistant(30 if quick else 150)
    return [
        Bar("one semantic lookup with verifier, beyond the embedding, p50", round(verified[0], 2), "ms", 8),
        Bar("the same, p95", round(verified[1], 2), "ms"),
        Bar("pairs that the verifier read for it, mean", round(read, 2), "pairs"),
        Bar(
            f"semantic lookup at {'5,000' if quick else '100,000'} entries, without embedding, p95",
            round(large[1], 2),
            "ms",
            5,
        ),
        Bar("the same, p50", round(large[0], 2), "ms"),
        *ratios,
    ]


async def _timed(call: Callable[[], Awaitable[Any]]) -> float:
    started = time.perf_counter()
    await call()
    return time.perf_counter() - started


async def _verified(stream: Sequence[Request], models: Models, most: int) -> tuple[tuple[float, float], float]:
    """Milliseconds, p50 and p95, of lookups for which the verifier read a pair that it had not seen; pairs a lookup."""
    from freehold.cache import CachedAnswer, ResponseCache, Situation, VerifiedHits
    from freehold.coordination import SQLiteFile, SQLiteLedger, SQLiteStore
    from freehold.inference.reranker import LlamaReranker
    from freehold.memory import EdgeQdrantClient, SemanticIndex
    from freehold.models import VERIFIER_MODEL, model_path

    situation = Situation(model="stream")
    texts = list(dict.fromkeys(request.text for request in stream))[:most]
    await models.embeddings.embed(texts)
    verifier = LlamaReranker(model_path(VERIFIER_MODEL), threads=2, cache_size=0)  # as a workspace does
    read = 0

    class Counting:
        async def ascore(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
            nonlocal read
            read += len(pairs)
            return await verifier.ascore(pairs)

    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        client, file = EdgeQdrantClient(folder), SQLiteFile(Path(folder) / "cache.sqlite")
        cache = ResponseCache(
            SQLiteStore(file),
            SemanticIndex(client, models.embeddings),
            strategy=VerifiedHits(Counting(), max_error=0.02, ledger=SQLiteLedger(file)),
        )
        pairs = 0
        for text in texts:
            before = read
            spent = await _timed(lambda text=text: cache.lookup(text, situation))  # type: ignore[misc]
            if read > before:
                times.append(spent)
                pairs += read - before
            await cache.store(text, situation, CachedAnswer(text, f"Answer to {text}"))
        await cache.aclose()
        client.close()
    verifier.close()
    return (percentile(times, 50), percentile(times, 95)), pairs / len(times)


class _Known:
    """An encoder that is told the vectors."""

    dimension = _DIMENSION

    def __init__(self) -> None:
        self.vectors: dict[str, NDArray[np.float32]] = {}

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        return np.stack([self.vectors[text] for text in texts])


async def _large(entries: int, lookups: int) -> tuple[float, float]:
    """Milliseconds, p50 and p95, of lookups by meaning among so many questions of one user, behind their index."""
    import numpy as np
    from qdrant_client import models as qdrant

    from freehold.cache import ResponseCache, Situation, ThresholdHits
    from freehold.coordination import SQLiteStore
    from freehold.memory import EdgeQdrantClient, SemanticIndex

    random = np.random.default_rng(0)
    centres = random.normal(size=(1000, _DIMENSION))
    known, situation = _Known(), Situation(model="large")

    def vector() -> NDArray[np.float32]:
        drawn = centres[random.integers(1000)] + random.normal(size=_DIMENSION) * 0.6
        return (drawn / np.linalg.norm(drawn)).astype(np.float32)

    with tempfile.TemporaryDirectory() as folder:
        client = EdgeQdrantClient(folder)
        index = SemanticIndex(client, known, max_questions=entries + 10)
        known.vectors["first"] = vector()
        await index.add("first", "first", situation.scope, ttl_seconds=1e6, owner=situation.owner)
        ends = time.time() + 1e6
        for start in range(0, entries, 500):
            points = [
                qdrant.PointStruct(
                    id=str(uuid.UUID(int=number + 1)),
                    vector=vector().tolist(),
                    payload={
                        "key": f"{situation.owner}.{number}",
                        "question": f"Question number {number}?",
                        "scope": situation.scope,
                        "owner": situation.owner,
                        "expires_at": ends,
                    },
                )
                for number in range(start, min(start + 500, entries))
            ]
            client.upsert(index.collection, points)
        client.optimize(index.collection)
        cache = ResponseCache(SQLiteStore(Path(folder) / "cache.sqlite"), index, strategy=ThresholdHits(0.99))
        times: list[float] = []
        for number in range(lookups + 50):
            known.vectors[f"Asked {number}?"] = vector()
            spent = await _timed(lambda number=number: cache.lookup(f"Asked {number}?", situation))  # type: ignore[misc]
            times += [spent] if number >= 50 else []
        await cache.aclose()
        client.close()
    return percentile(times, 50), percentile(times, 95)


async def _through_the_assistant(rounds: int) -> list[Bar]:
    """A hit through the whole assistant, beside a bare graph of as many nodes that do nothing, in turns."""
    from langgraph.graph import END, START, StateGraph

    from freehold import AssistantState, Context, Workspace
    from freehold.graphs import create_assistant, create_ingest

    with tempfile.TemporaryDirectory() as folder, Workspace(folder) as workspace:
        await create_ingest(workspace.documents).ainvoke({"paths": [str(ROOT / "docs"), str(ROOT / "README.md")]})
        assistant = create_assistant(workspace)
        message = {"messages": [{"role": "user", "content": QUESTION}]}

        def config() -> Any:
            return {"configurable": {"thread_id": uuid.uuid4().hex}}

        state = await assistant.ainvoke(message, config(), context=Context())
        state = await assistant.ainvoke(message, config(), context=Context())
        assert state["cache"]["outcome"] == "hit", state["cache"]
        nodes = ["begin_turn", *(decision["node"] for decision in state["decisions"])]
        graph: StateGraph[AssistantState, Context, Any, Any] = StateGraph(AssistantState, Context)
        for node in nodes:
            graph.add_node(node, _nothing)
        for one, other in zip([START, *nodes], [*nodes, END], strict=True):
            graph.add_edge(one, other)
        bare = graph.compile(checkpointer=workspace.checkpointer)
        awaited: dict[str, list[float]] = {"hit": [], "bare": []}
        called: dict[str, list[float]] = {"hit": [], "bare": []}
        for _ in range(rounds):
            for name, compiled in (("hit", assistant), ("bare", bare)):
                awaited[name].append(await _timed(lambda c=compiled: c.ainvoke(message, config(), context=Context())))  # type: ignore[misc]
        for _ in range(rounds):
            for name, compiled in (("hit", assistant), ("bare", bare)):
                started = time.perf_counter()
                compiled.invoke(message, config(), context=Context())
                called[name].append(time.perf_counter() - started)
    bars: list[Bar] = []
    for way, times in (("ainvoke", awaited), ("invoke", called)):
        hit, nothing = (statistics.median(times[name]) * 1000 for name in ("hit", "bare"))
        bars += [
            Bar(
                f"exact hit through the assistant by a bare graph of {len(nodes)} nodes, {way}, p50",
                round(hit / nothing, 2),
                "x",
                1.5,
            ),
            Bar(f"the hit, {way}, p50", round(hit, 2), "ms"),
        ]
    return bars


def _nothing(_: Any) -> dict[str, Any]:
    return {}
