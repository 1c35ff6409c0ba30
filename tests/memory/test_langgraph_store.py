"""What `QdrantStore` and `InMemoryStore` both do: every test runs on both."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore
from qdrant_client import QdrantClient

from freehold.memory import EdgeQdrantClient
from freehold.memory.langgraph_store import QdrantStore
from tests.memory.stores import indexed, plain

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")

Make = Callable[..., BaseStore]


def _client(kind: str, folder: Path) -> QdrantClient:
    if kind == "edge":
        return EdgeQdrantClient(folder)
    if kind == "local":
        return QdrantClient(":memory:")
    url = os.environ.get("FREEHOLD_QDRANT_URL")
    if not url:
        pytest.skip("no Qdrant server: set FREEHOLD_QDRANT_URL to run this on one")
    client = QdrantClient(url=url)
    client.delete_collection("store-test")
    return client


@pytest.fixture(params=["InMemoryStore", "edge", "local", "server"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes an empty store with the given index: LangGraph's own, or one on each kind of Qdrant."""
    with contextlib.ExitStack() as stack:

        def store(index: IndexConfig | None = None) -> BaseStore:
            if request.param == "InMemoryStore":
                return InMemoryStore(index=index)
            client = _client(request.param, tmp_path / "qdrant")
            stack.callback(client.close)
            made = QdrantStore(client, index=index, collection="store-test")
            stack.callback(made.close)
            return made

        yield store


def _keys(found: list[Any]) -> list[str]:
    return [item.key for item in found]


def test_an_item_comes_back_until_it_is_deleted(make: Make) -> None:
    """Protects the core: what is put is got, overwritten as a whole, and gone when deleted."""
    store = make()
    assert store.get(("users", "ada"), "tea") is None
    store.put(("users", "ada"), "tea", {"likes": "green", "cups": 2})
    store.put(("users", "bob"), "tea", {"likes": "black"})
    item = store.get(("users", "ada"), "tea")
    assert plain(item) == (("users", "ada"), "tea", {"likes": "green", "cups": 2})
    assert item is not None
    assert item.created_at.tzinfo is not None
    store.put(("users", "ada"), "tea", {"likes": "none"})
    changed = store.get(("users", "ada"), "tea")
    assert changed is not None
    assert changed.value == {"likes": "none"}
    assert changed.updated_at > item.updated_at
    store.delete(("users", "ada"), "tea")
    store.delete(("users", "ada"), "never put")
    assert store.get(("users", "ada"), "tea") is None
    assert plain(store.get(("users", "bob"), "tea")) == (("users", "bob"), "tea", {"likes": "black"})


VALUES: list[dict[str, Any]] = [
    {},
    {"b": 1, "a": {"z": [1, [2, {}]], "y": None}},
    {"large": 2**80, "small": -(2**63), "float": 0.1 + 0.2, "tiny": 5e-324, "huge": 1.7e308, "zero": -0.0},
    {"yes": True, "no": False, "one": 1, "float": 1.0},
    {"broken emoji": "\ud83d", "\udc00": "key", "nul": "a\x00b", "Ünïcode 🦔": "naïve 漢字"},
    {"a.b": 1, "a[0]": 2, "": 3, "$gt": 4, "*": 5},
    {"long": "x" * 1_000_000},
]


def test_values_come_back_as_they_were(make: Make) -> None:
    """Protects values from the engine's own idea of JSON: nothing is rounded, sorted, cut or replaced."""
    store = make()
    for value in VALUES:
        for key in ("k", "k.\ud83d\x00/" + "y" * 5000):
            store.put(("a", "b\ud83d c"), key, value)
            item = store.get(("a", "b\ud83d c"), key)
            assert item is not None
            assert item.key == key
            assert item.namespace == ("a", "b\ud83d c")
            assert repr(item.value) == repr(value)
    assert len(store.search(("a",))) == 2


def test_a_batch_reads_before_it_writes(make: Make) -> None:
    """Protects the semantics of a batch: results in order, the state before it, and the last put of a key."""
    store = make(indexed("way"))
    store.put(("a",), "old", {"way": "north"})
    results = store.batch(
        [
            PutOp(("a",), "new", {"way": "east"}),
            GetOp(("a",), "new"),
            PutOp(("a",), "old", None),
            GetOp(("a",), "old"),
            PutOp(("b",), "twice", {"way": "south"}),
            SearchOp(("a",), query="east"),
            ListNamespacesOp(),
            PutOp(("b",), "twice", {"way": "north"}),
            PutOp(("b",), "undone", {"way": "north"}),
            PutOp(("b",), "undone", None),
        ]
    )
    old = (("a",), "old", {"way": "north"})
    assert plain(results) == [None, None, None, old, None, [(*old, 0.0)], [("a",)], None, None, None]
    found = [(("a",), "new", {"way": "east"}, None), (("b",), "twice", {"way": "north"}, None)]
    assert plain(store.search(())) == found
    assert store.batch([]) == []


async def test_the_asynchronous_methods_do_the_same(make: Make) -> None:
    """Protects callers on an event loop, and synchronous calls beside them."""
    store = make(indexed("way"))
    await store.aput(("a",), "one", {"way": "north"})
    await store.abatch([PutOp(("a", "b"), "two", {"way": "east"}), PutOp(("a",), "three", {"way": "south"}, False)])
    assert plain(await store.aget(("a",), "one")) == plain(store.get(("a",), "one"))
    for query in (None, "northeast"):
        found = await store.asearch(("a",), query=query, limit=2)
        assert len(found) == 2
        assert plain(found) == plain(store.search(("a",), query=query, limit=2))
    assert await store.alist_namespaces(suffix=("b",)) == store.list_namespaces(suffix=("b",)) == [("a", "b")]
    await store.adelete(("a",), "one")
    assert await store.aget(("a",), "one") is None


def test_without_a_query_items_come_in_the_order_of_their_storing(make: Make) -> None:
    """Protects pages: by namespace, then by first storing; an overwritten item keeps its place, a deleted one not."""
    store = make()
    for namespace, key in [("b", "1"), ("a", "1"), ("b", "2"), ("ab", "1"), ("a", "2"), ("a", "3")]:
        store.put((namespace, "x"), key, {"n": key})
    store.put(("b", "x"), "1", {"n": "again"})
    store.delete(("a", "x"), "1")
    store.put(("a", "x"), "1", {"n": "back"})
    order = [("b", "1"), ("b", "2"), ("a", "2"), ("a", "3"), ("a", "1"), ("ab", "1")]
    assert [(item.namespace[0], item.key) for item in store.search(())] == order
    assert _keys(store.search(("a",))) == ["2", "3", "1"]
    assert _keys(store.search(("a", "x"))) == ["2", "3", "1"]
    assert store.search(("x",)) == store.search(("a", "x", "1")) == store.search((), limit=0) == []
    paged = [store.search((), limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [(item.namespace[0], item.key) for page in paged for item in page] == order


def test_many_items_are_paged_through(make: Make) -> None:
    """Protects searches that take several of the engine's pages."""
    store = make()
    store.batch([PutOp(("n", str(n % 3)), f"k{n}", {"n": n, "even": n % 2 == 0}) for n in range(700)])
    everything = [item.value["n"] for item in store.search((), limit=1000)]
    assert everything == [n for part in range(3) for n in range(part, 700, 3)]
    assert [item.value["n"] for item in store.search((), limit=5, offset=520)] == everything[520:525]
    even = [item.value["n"] for item in store.search((), filter={"even": True}, limit=300, offset=10)]
    assert even == [n for n in everything if n % 2 == 0][10:310]


FILTERED = {
    "int": {"n": 1, "kind": "a", "tags": ["x", "y"], "deep": {"er": {"est": 1}, "b": 2}},
    "float": {"n": 1.0, "kind": "b", "tags": [], "deep": {}},
    "true": {"n": True, "kind": "A", "tags": ["x"], "deep": {"er": 1}},
    "text": {"n": "1", "kind": "a" * 300, "tags": "x", "deep": None, "odd.key": 7},
    "large": {"n": 2**70, "kind": "", "tags": ["y", "x"], "deep": {"er": {"est": 1, "more": 2}}},
    "negative": {"n": -2.5, "kind": None, "tags": None, "deep": [1], "odd.key": 7.0},
}


WANTED: list[tuple[dict[str, Any], list[str]]] = [
    ({"n": 1}, ["int", "float", "true"]),
    ({"n": "1"}, ["text"]),
    ({"n": {"$eq": True}}, ["int", "float", "true"]),
    ({"n": {"$ne": 1}}, ["text", "large", "negative"]),
    ({"n": 2**70}, ["large"]),
    ({"n": {"$gt": 1}}, ["large"]),
    ({"n": {"$gte": "1"}}, ["int", "float", "true", "text", "large"]),
    ({"n": {"$lt": 1}}, ["negative"]),
    ({"n": {"$lte": 1, "$gt": -2.5}}, ["int", "float", "true", "text"]),
    ({"n": {"$lt": 1e300}}, ["int", "float", "true", "text", "large", "negative"]),
    ({"kind": "a"}, ["int"]),
    ({"kind": "a" * 300}, ["text"]),
    ({"kind": None}, ["negative"]),
    ({"kind": {"$ne": "a"}}, ["float", "true", "text", "large", "negative"]),
    ({"missing": None}, ["int", "float", "true", "text", "large", "negative"]),
    ({"missing": {"$ne": None}}, []),
    ({"tags": ["x", "y"]}, ["int"]),
    ({"tags": "x"}, ["text"]),
    ({"tags": []}, ["float"]),
    ({"deep": {"er": {"est": 1}}}, ["int", "large"]),
    ({"deep": {"er": {"est": {"$gte": 1}}, "b": 2}}, ["int"]),
    ({"deep": {}}, ["int", "float", "true", "large"]),
    ({"odd.key": 7}, ["text", "negative"]),
    ({"n": 1, "kind": {"$ne": "a"}, "deep": {"er": 1}}, ["true"]),
    ({}, list(FILTERED)),
]


def test_filters_compare_as_python_does(make: Make) -> None:
    """Protects filters: what the engine decides beforehand never changes what is found."""
    store = make(indexed("way"))
    for key, value in FILTERED.items():  # one by one: InMemoryStore takes no two equal texts in a batch
        store.put(("f",), key, {**value, "way": "north"})
    for wanted, keys in WANTED:
        assert _keys(store.search((), filter=wanted)) == keys, wanted
        assert _keys(store.search(("f",), filter=wanted, query="north")) == keys, wanted
        assert _keys(store.search((), filter=wanted, limit=1, offset=1)) == keys[1:2], wanted
        assert _keys(store.search((), filter=wanted, limit=1, offset=1, query="north")) == keys[1:2], wanted


def test_search_by_meaning_gives_the_nearest_first(make: Make) -> None:
    """Protects ranking: the cosine of an item's best text, then the order of storing, then what has no text."""
    store = make(indexed("way", "other[*].way"))
    store.put(("w",), "south", {"way": "south", "length": 1})
    store.put(("w",), "both", {"way": "south", "other": [{"way": "east"}, {"way": "northeast"}]})
    store.put(("w",), "bare", {"note": "no way"})
    store.put(("w",), "hidden", {"way": "north"}, index=False)
    store.put(("w", "deep"), "north", {"way": "north"})
    store.put(("w", "deep"), "north too", {"way": "north"})
    store.put(("w",), "nowhere", {"way": "nowhere"})
    store.put(("v",), "north", {"way": "north"})
    store.put(("w",), "chosen", {"way": "south", "aim": "east"}, index=["aim"])
    found = store.search(("w",), query="north")
    scores = [("north", 1.0), ("north too", 1.0), ("both", 0.7071), ("nowhere", 0.0), ("chosen", 0.0), ("south", -1.0)]
    assert [(key, score) for _, key, _, score in plain(found)] == [*scores, ("bare", None), ("hidden", None)]
    assert plain(store.search(("w",), query="north", limit=1)) == plain(found[:1])
    assert plain(store.search(("w",), query="north", limit=3, offset=1)) == plain(found[1:4])
    assert _keys(store.search(("w",), query="north", filter={"length": {"$eq": 1}})) == ["south"]
    assert _keys(store.search(("w",), query="")) == _keys(store.search(("w",)))
    assert store.search(("x",), query="north") == []


def test_the_whole_value_is_indexed_where_no_field_is_named(make: Make) -> None:
    """Protects LangGraph's default: the path `$`, the value as JSON."""
    seen: list[str] = []

    def embed(texts: list[str]) -> list[list[float]]:
        seen.extend(texts)
        return [[1.0, float(len(text))] for text in texts]

    store = make({"dims": 2, "embed": embed})
    store.put(("a",), "k", {"b": "ü", "a": [1, None]})
    assert seen == ['{"a": [1, null], "b": "ü"}']
    assert len(store.search((), query="ü")) == 1


def test_without_an_index_a_query_is_ignored(make: Make) -> None:
    """Protects stores that embed nothing."""
    store = make()
    store.put(("a",), "k", {"way": "north"}, index=["way"])
    assert plain(store.search((), query="east")) == [(("a",), "k", {"way": "north"}, None)]


SPACES = [("a",), ("a", "b"), ("a", "b", "c"), ("a", "x", "c"), ("ab",), ("b", "c"), ("\ud83d", "c")]


LISTED: list[dict[str, Any]] = [
    {},
    {"prefix": ("a",)},
    {"prefix": ("a", "b")},
    {"prefix": ("a", "*", "c")},
    {"prefix": ("*", "c")},
    {"suffix": ("c",)},
    {"suffix": ("*", "c")},
    {"suffix": ("b", "*")},
    {"prefix": ("a",), "suffix": ("c",)},
    {"max_depth": 1},
    {"max_depth": 2, "prefix": ("a",)},
    {"limit": 2, "offset": 1},
    {"limit": 0},
    {"offset": 100},
    {"prefix": ("nothing",)},
]


def test_namespaces_are_listed(make: Make) -> None:
    """Protects listing: by prefix, suffix, wildcard and depth, sorted, in pages; a label is never matched in part."""
    store, reference = make(), InMemoryStore()
    for one in (store, reference):
        one.batch([PutOp(namespace, key, {}) for namespace in SPACES for key in ("1", "2")])
    for options in LISTED:
        assert store.list_namespaces(**options) == reference.list_namespaces(**options), options
    assert len(store.list_namespaces()) == len(SPACES)
    both = (MatchCondition("prefix", ("*",)), MatchCondition("suffix", ("c",)), MatchCondition("prefix", ("a", "b")))
    assert store.batch([ListNamespacesOp(both)]) == [[("a", "b", "c")]]


def test_namespaces_that_cannot_be_are_refused(make: Make) -> None:
    """Protects from labels that other stores would read as two."""
    store = make()
    for namespace in ((), ("a.b",), ("",), ("langgraph", "x"), ("a", 1)):
        with pytest.raises(InvalidNamespaceError):
            store.put(namespace, "k", {})  # type: ignore[arg-type]
    with pytest.raises(InvalidNamespaceError):
        store.get(("a.b",), "k")
    assert store.search(()) == []
