"""What `QdrantStore` promises beyond LangGraph's `InMemoryStore`: it keeps, it checks, it can be shared."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import GetOp, IndexConfig, ListNamespacesOp, MatchCondition, PutOp, SearchOp

from freehold import Workspace
from freehold.errors import StorageError, UserError
from freehold.inference import LlamaEmbeddings
from freehold.memory import EdgeQdrantClient
from freehold.memory.langgraph_store import QdrantStore
from tests.memory.stores import compass, indexed, plain


@pytest.fixture
def store(client: EdgeQdrantClient) -> Iterator[QdrantStore]:
    """An empty store of words of the compass."""
    opened = QdrantStore(client, index=indexed("way"))
    yield opened
    opened.close()


def _found(store: QdrantStore, **options: Any) -> list[str]:
    return [item.key for item in store.search((), **options)]


def test_items_outlast_the_process(tmp_path: Path) -> None:
    """Protects what is kept: values, times, order and vectors after everything was closed and opened again."""
    before: list[Any] = []
    for opening in range(3):
        client = EdgeQdrantClient(tmp_path)
        store = QdrantStore(client, index=indexed("way"))
        assert store.search((), query="east") == before
        store.put((f"n{opening}",), "new", {"way": "north"})
        store.put(("n0",), f"k{opening}", {"way": "east", "opening": opening})
        before = store.search((), query="east")
        assert [item.key for item in store.search(("n0",))] == ["new", *(f"k{n}" for n in range(opening + 1))]
        store.close()
        client.close()


def test_an_item_keeps_the_time_of_its_first_storing(store: QdrantStore) -> None:
    """Protects `created_at`, which is when the item was first created; deleted and put again it is a new one."""
    started = datetime.now(UTC)
    store.put(("a",), "k", {"n": 1})
    first = store.get(("a",), "k")
    store.put(("a",), "k", {"n": 2})
    second = store.get(("a",), "k")
    store.delete(("a",), "k")
    store.put(("a",), "k", {"n": 3})
    third = store.get(("a",), "k")
    assert first is not None
    assert second is not None
    assert third is not None
    assert started <= first.created_at == first.updated_at == second.created_at < second.updated_at < third.created_at


def test_nothing_is_found_by_what_it_held_before(store: QdrantStore) -> None:
    """Protects corrections: an overwritten text, or one that is not indexed any more, is not found by meaning."""
    store.put(("a",), "k", {"way": "north"})
    store.put(("a",), "k", {"way": "south"})
    assert store.search((), query="north")[0].score == pytest.approx(-1.0)
    store.put(("a",), "k", {"way": "south"}, index=False)
    assert store.search((), query="south")[0].score is None
    store.delete(("a",), "k")
    assert store.list_namespaces() == store.search((), query="south") == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, "datetime"),
        ({"deep": [{"x": {1, 2}}]}, "set"),
        ({"deep": [({1: "one"},)]}, "key 1"),
        ({None: 1}, "key None"),
        (["not", "a", "dictionary"], "list"),
        ({"digits": 10**5000}, "digits"),
    ],
)
async def test_what_is_not_json_is_refused(store: QdrantStore, value: Any, reason: str) -> None:
    """Protects from values that would come back as others, or not at all: nothing of their batch is stored."""
    ops = [PutOp(("a",), "good", {"n": 1}), PutOp(("a", "b"), "bad", value)]
    for run in (lambda: store.batch(ops), lambda: asyncio.run(store.abatch(ops))):
        with pytest.raises(UserError, match=rf"'bad' in \('a', 'b'\).*{reason}"):
            await asyncio.to_thread(run)
    cycle: dict[str, Any] = {}
    cycle["itself"] = cycle
    with pytest.raises(UserError, match="Circular"):
        store.put(("a",), "bad", cycle)
    assert store.search(()) == []


@pytest.mark.parametrize(
    "op",
    [
        SearchOp((), filter={"n": {"$in": [1]}}),
        SearchOp((), filter={"n": {"m": {"$gt": 1, "plain": 2}}}),
        SearchOp((), limit=-1),
        SearchOp((), offset=-1),
        ListNamespacesOp((MatchCondition("middle", ("a",)),)),  # type: ignore[arg-type]
        PutOp(("a",), "k", {}, ttl=float("nan")),
        PutOp(("a",), 7, {}),  # type: ignore[arg-type]
        "an operation",
    ],
)
def test_operations_that_mean_nothing_are_refused(store: QdrantStore, op: Any) -> None:
    """Protects from silence: also on an empty store, where InMemoryStore would not notice."""
    with pytest.raises(UserError):
        store.batch([PutOp(("a",), "good", {}), op])
    assert store.search(()) == []


def test_filters_pass_over_what_cannot_be_compared(store: QdrantStore) -> None:
    """Protects searches from one odd item, at which InMemoryStore raises; texts have an order, as dates need."""
    dates = {"early": "2026-01-31", "late": "2026-12-01", "none": None, "number": 20260131, "list": ["2026"]}
    store.batch([PutOp(("d",), key, {"due": due}) for key, due in dates.items()])
    store.put(("d",), "missing", {})
    store.put(("d",), "vast", {"due": 10**400})
    assert _found(store, filter={"due": {"$lt": "2026-06"}}) == ["early"]
    assert _found(store, filter={"due": {"$gte": "2026-06-01"}}) == ["late"]
    assert _found(store, filter={"due": {"$gt": 0}}) == ["number", "vast"]
    assert _found(store, filter={"due": {"$lt": 10**400}}) == ["number"]
    assert _found(store, filter={"due": {"$gte": 10**400}}) == ["vast"]


class Counted(Embeddings):
    """Words of the compass, and how often they were asked for."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.fails = False

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One call."""
        self.calls.append(texts)
        if self.fails:
            raise ConnectionError("no model")
        return compass(texts)

    def embed_query(self, text: str) -> list[float]:
        """A call of another kind."""
        return compass([text])[0]


async def test_a_batch_embeds_once(client: EdgeQdrantClient) -> None:
    """Protects speed, and all or nothing: where the model fails, nothing of the batch is stored."""
    embeddings = Counted()
    store = QdrantStore(client, index={"dims": 2, "embed": embeddings, "fields": ["way", "ways[*]"]})
    puts = [PutOp(("a",), str(n), {"way": "north", "ways": ["east", "south"]}) for n in range(50)]
    store.batch(puts)
    await store.abatch([*puts, GetOp(("a",), "1"), SearchOp(("a",), query="north")])
    assert embeddings.calls == [["north", "east", "south"]] * 2
    embeddings.fails = True
    with pytest.raises(ConnectionError):
        store.batch([PutOp(("b",), "plain", {}), PutOp(("b",), "k", {"way": "north"}), PutOp(("a",), "1", None)])
    assert len(store.search((), limit=100)) == 50
    store.close()


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ([[1.0, 2.0, 3.0]], UserError, "dims=2"),
        ([[float("nan"), 1.0]], StorageError, "NaN"),
        ([], StorageError, "0 vectors for 1"),
    ],
)
def test_vectors_that_cannot_be_are_refused(
    client: EdgeQdrantClient, rows: list[list[float]], error: type[Exception], words: str
) -> None:
    """Protects from items that could never be found."""
    store = QdrantStore(client, index={"dims": 2, "embed": lambda _: rows})
    with pytest.raises(error, match=words):
        store.put(("a",), "k", {})
    assert store.search(()) == []
    store.close()


async def test_any_embeddings_will_do(client: EdgeQdrantClient) -> None:
    """Protects embedding functions that give arrays, that are asynchronous, or that say their own dimension."""

    async def arrays(texts: Sequence[str]) -> Any:
        return np.asarray(compass(texts), dtype=np.float32)

    class Compass(Counted):
        dimension = 2

    own = QdrantStore(client, index={"embed": Compass(), "fields": ["way"]})
    own.put(("a",), "k", {"way": "north"})
    other = QdrantStore(client, index={"dims": 2, "embed": arrays, "fields": ["way"]})
    await other.aput(("a",), "other", {"way": "east"})
    assert [item.key for item in await other.asearch((), query="east")] == ["other", "k"]
    assert _found(own, query="north") == ["k", "other"]
    own.close()
    other.close()


def test_an_index_that_does_not_fit_is_refused(client: EdgeQdrantClient) -> None:
    """Protects a collection from another model's vectors, and says what to do; without an index it can be read."""
    QdrantStore(client, index=indexed("way")).close()
    QdrantStore(client, collection="plain").close()
    for collection, held in (("store", "2 dimensions"), ("plain", "no vectors")):
        with pytest.raises(StorageError, match=f"{held}.*another collection"):
            QdrantStore(client, index={"dims": 3, "embed": compass}, collection=collection)
    half: list[tuple[IndexConfig, str]] = [({"dims": 2}, "embed"), ({"embed": compass}, "dims")]
    for index, word in half:
        with pytest.raises(UserError, match=word):
            QdrantStore(client, index=index)
    reader = QdrantStore(client)
    reader.put(("a",), "k", {"way": "north"})
    assert plain(reader.search((), query="north")) == [(("a",), "k", {"way": "north"}, None)]
    reader.close()


def test_threads_share_a_store(store: QdrantStore) -> None:
    """Protects every item from a writer beside its own: none is lost, none takes another's place."""
    ready = threading.Barrier(8, timeout=60)

    def write(number: int) -> None:
        ready.wait()
        for n in range(15):
            both = [PutOp(("t", str(number)), str(n), {"n": n}), PutOp(("shared",), f"{number}-{n}", {})]
            store.batch([*both, PutOp(("shared",), "contested", {"by": number}), PutOp(("gone",), str(n), None)])
            assert store.get(("t", str(number)), str(n)) is not None

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    assert len(store.search(("shared",), limit=1000)) == 8 * 15 + 1
    for number in range(8):
        assert [item.key for item in store.search(("t", str(number)), limit=100)] == [str(n) for n in range(15)]
    assert len(store.list_namespaces()) == 9


def test_several_owners_of_one_collection_lose_nothing(client: EdgeQdrantClient) -> None:
    """Protects stores on a server, where other processes write too: every item is on exactly one page."""
    ready = threading.Barrier(6, timeout=60)

    def write(number: int) -> None:
        store = QdrantStore(client)
        ready.wait()
        for n in range(10):
            store.batch([PutOp((f"n{n}",), f"{number}", {"n": n}), PutOp((f"n{n}", "x"), f"{number}", {"n": n})])
        store.close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(6)))
    store = QdrantStore(client)
    assert len({(item.namespace, item.key) for item in store.search((), limit=500)}) == 120
    few = [len(store.search((f"n{n}",), filter={"n": n}, limit=limit)) for n in range(10) for limit in (1, 5, 12, 20)]
    assert few == [1, 5, 12, 12] * 10
    assert len(store.list_namespaces()) == 20
    store.close()


async def test_the_event_loop_is_not_held_up(client: EdgeQdrantClient) -> None:
    """Protects the loop, while many callers wait for slow embeddings."""
    started = asyncio.Event()

    async def slow(texts: Sequence[str]) -> list[list[float]]:
        started.set()
        await asyncio.sleep(0.2)
        return [[1.0, 0.0] for _ in texts]

    store = QdrantStore(client, index={"dims": 2, "embed": slow})
    waiting = asyncio.gather(*(store.aput(("a",), str(n), {"n": n}) for n in range(100)))
    await started.wait()
    assert await store.aget(("a",), "0") is None
    assert store.get(("a",), "0") is None
    await waiting
    assert len(await store.asearch(("a",), limit=200)) == 100
    store.close()


async def test_a_closed_store_says_so(client: EdgeQdrantClient) -> None:
    """Protects from use after the end, and closing twice."""
    store = QdrantStore(client)
    store.close()
    store.close()
    calls: list[Callable[[], Any]] = [lambda: store.get(("a",), "k"), store.sweep_ttl, store.start_ttl_sweeper]
    for call in calls:
        with pytest.raises(StorageError, match="closed"):
            call()
    with pytest.raises(StorageError, match="closed"):
        await store.aget(("a",), "k")
    broken = QdrantStore(client)
    client.close()
    with pytest.raises(StorageError):
        broken.get(("a",), "k")
    broken.close()


def test_the_workspace_finds_by_meaning(tmp_path: Path, embedder: LlamaEmbeddings) -> None:
    """Protects the workspace's store: the shipped model finds an item, in a graph of one's own, also when reopened."""

    class State(TypedDict, total=False):
        question: str
        answer: str

    def remember(state: State, runtime: Runtime[None]) -> State:
        assert runtime.store is not None
        runtime.store.put(("notes", "ada"), "garden", {"text": "Apple trees are pruned in February."})
        runtime.store.put(("notes", "ada"), "boiler", {"text": "The boiler is serviced in October."})
        return {}

    async def answer(state: State, runtime: Runtime[None]) -> State:
        assert runtime.store is not None
        found = await runtime.store.asearch(("notes", "ada"), query=state["question"], limit=1)
        return {"answer": found[0].value["text"]}

    graph: StateGraph[State, None, State, State] = StateGraph(State)
    graph.add_node("remember", remember)
    graph.add_node("answer", answer)
    graph.add_edge(START, "remember")
    graph.add_edge("remember", "answer")
    graph.add_edge("answer", END)
    question = "When do I cut my fruit trees?"
    with Workspace(tmp_path) as workspace:
        state = asyncio.run(graph.compile(store=workspace.store).ainvoke({"question": question}))
        assert "Apple trees" in state["answer"]
    with Workspace(tmp_path) as workspace:
        assert workspace.store.search(("notes",), query=question)[0].key == "garden"
        assert workspace.store.embeddings is workspace.embeddings
