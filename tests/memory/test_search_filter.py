"""Filters: one mapping means the same to the engine, to qdrant-client and to what filters a retriever's documents."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from freehold.errors import UserError
from freehold.memory import EdgeQdrantClient
from freehold.memory.search_filter import matches, to_filter

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, 2.5]),
    st.sampled_from(["", "pdf", "3", "markdown", "2026-01-01", "2026-01-01T10:00:00+02:00", "2025-12-31T23:00:00Z"]),
)
HELD = st.one_of(SCALARS, st.lists(SCALARS, max_size=3))
PAYLOADS = st.fixed_dictionaries(
    {"source": st.sampled_from(["a.md", "b.md"])},
    optional={
        "page": st.one_of(st.none(), st.integers(1, 4)),
        "metadata": st.dictionaries(st.sampled_from(["format", "n", "tags", "due date", "größe"]), HELD, max_size=5),
    },
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, min_size=1, max_size=3))
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.0, 2.5]))
TIMES = st.sampled_from(["2026-01-01", "2026-01-01T08:00:00Z", "2026-01-01T10:00:00+02:00", "2025-12-31"])
BOUNDS = st.sampled_from(["gt", "gte", "lt", "lte"])
CONDITIONS = st.one_of(
    VALUES,
    st.dictionaries(BOUNDS, NUMBERS, min_size=1, max_size=2),
    st.dictionaries(BOUNDS, TIMES, min_size=1, max_size=2),
    st.fixed_dictionaries({"not": VALUES}, optional={"gte": NUMBERS}),
)
KEYS = st.sampled_from(["source", "page", "format", "n", "tags", "metadata.n", "due date", "größe"])


@pytest.fixture(scope="module", params=["edge", "qdrant-client"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The engine, and the other implementation of the same filters."""
    folder: Path = tmp_path_factory.mktemp("filters")
    opened: QdrantClient = EdgeQdrantClient(folder) if request.param == "edge" else QdrantClient(":memory:")
    opened.create_collection("x", models.VectorParams(size=1, distance=models.Distance.COSINE))
    yield opened
    opened.close()


@example(
    payloads=[{"source": "a.md", "metadata": {"tags": tags}} for tags in ([None], [], None)], wheres=[{"tags": None}]
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payloads=st.lists(PAYLOADS, min_size=1, max_size=6),
    wheres=st.lists(st.dictionaries(KEYS, CONDITIONS, max_size=3), max_size=6),
)
def test_python_and_qdrant_agree(
    client: QdrantClient, payloads: list[dict[str, Any]], wheres: list[dict[str, Any]]
) -> None:
    """What the node keeps of a foreign retriever's documents is what the store would have found."""
    client.delete("x", models.Filter())
    points = [models.PointStruct(id=n, vector=[1.0], payload=payload) for n, payload in enumerate(payloads)]
    client.upsert("x", points)
    for where in wheres:
        found = {record.id for record in client.scroll("x", to_filter(where), limit=100)[0]}
        assert found == {n for n, payload in enumerate(payloads) if matches(where, payload)}, where


def test_keys_lists_and_native_filters() -> None:
    """A name that is no payload key is one of the metadata; a list is an and; Qdrant's own filter passes unchanged."""
    own = models.Filter(must=[models.FieldCondition(key="page", range=models.Range(gte=2))])
    assert to_filter(own) is own
    assert to_filter(None) is None
    assert to_filter([None, {}]) is None
    both = to_filter([own, {"format": "pdf"}])
    assert both is not None
    assert isinstance(both.must, list)
    assert both.must[0] is own
    assert "metadata.format" in both.model_dump_json()
    assert "metadata.page" not in str(to_filter({"page": 3}))
    assert to_filter({"due date": 3}).must[0].key == 'metadata."due date"'  # type: ignore[union-attr, index]
    assert to_filter({"total": 1}).must[0].key == "metadata.total"  # type: ignore[union-attr, index]
    assert matches({"modified": {"gte": date(2026, 1, 1)}}, {"metadata": {"modified": "2026-01-01T00:00:00"}})


@pytest.mark.parametrize(
    "where",
    [
        {"page": {"above": 3}},
        {"page": {}},
        {"page": {"gte": "three"}},
        {"page": {"gte": 1, "lte": "2026-01-01"}},
        {"page": {"gte": True}},
        {"page": []},
        {"page": [[1]]},
        {"page": float("nan")},
        {"page": 10**400},
        {"page": {"lt": 10**400}},
        {"tags": {"not": {"gte": 1}}},
        {"": 1},
        {"metadata.": 1},
        {"a..b": 1},
        {'a"b': 1},
        {"tags[]": "a"},
        {3: 1},
        "page=3",
    ],
)
def test_mistakes_are_named(where: Any) -> None:
    """An unknown operator, a value of another kind or no mapping at all is told; nothing is passed over."""
    for read in (to_filter, lambda given: matches(given, {})):
        with pytest.raises(UserError, match=r"cannot be|no mapping"):
            read(where)
