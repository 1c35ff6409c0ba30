"""The same random batches on `QdrantStore` and on LangGraph's `InMemoryStore`, compared answer by answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.base import GetOp, IndexConfig, ListNamespacesOp, MatchCondition, PutOp, SearchOp
from qdrant_client import QdrantClient, models

from freehold.memory import EdgeQdrantClient
from freehold.memory.langgraph_store import QdrantStore
from freehold.portal import run_sync
from tests.memory.stores import Reference, plain, scattered

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")

INDEX: IndexConfig = {"dims": 8, "embed": scattered, "fields": ["text", "tags[*]", "more.note"]}

LABELS = st.sampled_from(["a", "b", "é\ud83d"])
NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)
KEYS = st.sampled_from(["x", "y", "z", ""])
TEXTS = st.sampled_from(["", "pen", "ink", "lamp", "a" * 201, "\udc00 lamp", "7"])
NUMBERS = st.sampled_from([0, 1, -1, 1.0, True, False, 0.1, -2.5, 2**53, 2**53 + 1, 2**70, 1e308, "1", " 2.5 "])
ANYTHING = st.one_of(TEXTS, NUMBERS, st.none(), st.lists(TEXTS, max_size=2))
VALUES = st.fixed_dictionaries(
    {"n": NUMBERS},
    optional={
        "text": ANYTHING,
        "tags": st.lists(TEXTS, max_size=3),
        "more": st.one_of(st.none(), st.fixed_dictionaries({"note": TEXTS}, optional={"n": NUMBERS})),
        "odd key": ANYTHING,
    },
)
ORDERS = st.dictionaries(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), NUMBERS, min_size=1, max_size=2)
EQUAL = st.dictionaries(st.sampled_from(["$eq", "$ne"]), ANYTHING, min_size=1, max_size=2)
FILTERS = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "n": st.one_of(ORDERS, EQUAL, NUMBERS),
            "text": st.one_of(EQUAL, ANYTHING),
            "tags": st.lists(TEXTS, max_size=2),
            "more": st.one_of(st.none(), st.fixed_dictionaries({"note": st.one_of(TEXTS, EQUAL)})),
            "odd key": st.one_of(EQUAL, ANYTHING),
            "missing": st.one_of(EQUAL, ANYTHING),
        },
    ),
)
INDEXED = st.one_of(st.none(), st.just(False), st.lists(st.sampled_from(["text", "n", "tags[0]", "tags[-1]", "more"])))
PREFIXES = st.lists(LABELS, max_size=3).map(tuple)
PATTERNS = st.lists(st.one_of(LABELS, st.just("*")), max_size=3).map(tuple)
CONDITIONS = st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), PATTERNS)
PUTS = st.one_of(
    st.builds(PutOp, NAMESPACES, KEYS, VALUES, INDEXED, ttl=st.none()),
    st.builds(PutOp, NAMESPACES, KEYS, VALUES, st.none(), ttl=st.none()),
    st.builds(PutOp, NAMESPACES, KEYS, st.none(), ttl=st.none()),
)
OPS = st.one_of(
    PUTS,
    PUTS,
    st.builds(GetOp, NAMESPACES, KEYS),
    st.builds(
        SearchOp, PREFIXES, FILTERS, st.integers(0, 5), st.integers(0, 4), st.one_of(st.none(), TEXTS.filter(bool))
    ),
    st.builds(
        ListNamespacesOp,
        st.one_of(st.none(), st.lists(CONDITIONS, max_size=2).map(tuple)),
        st.one_of(st.none(), st.integers(0, 3)),
        st.integers(0, 5),
        st.integers(0, 3),
    ),
)
BATCHES = st.lists(st.tuples(st.lists(OPS, max_size=8), st.sampled_from(["batch", "abatch", "reopened"])), max_size=12)


@pytest.fixture(params=["edge", "local"])
def clients(request: pytest.FixtureRequest, client: EdgeQdrantClient) -> Iterator[QdrantClient]:
    """Embedded Qdrant, and the Python imitation of a server that comes with qdrant-client."""
    if request.param == "edge":
        yield client
    else:
        local = QdrantClient(":memory:")
        yield local
        local.close()


def _compare(client: QdrantClient, index: IndexConfig | None, batches: list[tuple[list[Any], str]]) -> int:
    """Compare every answer; give how many there were."""
    answers = 0
    reference = Reference(index=index)
    name = "indexed" if index else "plain"
    store = QdrantStore(client, index=index, collection=name)
    client.delete(name, models.Filter())  # to make a collection takes longer than an example
    try:
        for ops, how in batches:
            expected = reference.batch(ops)
            if how == "reopened":
                store.close()
                store = QdrantStore(client, index=index, collection=name)
            results = run_sync(store.abatch(ops)) if how == "abatch" else store.batch(ops)
            assert plain(results) == plain(expected)
            answers += len(results)
        last = [SearchOp((), limit=100), ListNamespacesOp()]
        assert plain(store.batch(last)) == plain(reference.batch(last))
        return answers
    finally:
        store.close()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES, index=st.sampled_from([INDEX, None]))
def test_random_batches_give_what_the_store_in_memory_gives(
    clients: QdrantClient, batches: list[tuple[list[Any], str]], index: IndexConfig | None
) -> None:
    """Protects the promise that the two stores can be exchanged."""
    assert _compare(clients, index, batches) == sum(len(ops) for ops, _ in batches)


@pytest.mark.slow
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES)
def test_many_random_batches_give_what_the_store_in_memory_gives(
    client: EdgeQdrantClient, batches: list[tuple[list[Any], str]]
) -> None:
    """Protects the same, with more patience."""
    assert _compare(client, INDEX, batches) == sum(len(ops) for ops, _ in batches)
