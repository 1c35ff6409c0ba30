"""Queries by a point's id in memory/edge_client.py, held against the same queries by its vector."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_client import models

from freehold.errors import StorageError
from freehold.memory import EdgeQdrantClient

NAME, NAMED = "things", "named"
DENSE = models.VectorParams(size=2, distance=models.Distance.COSINE)
VECTORS = [[1.0, 0.0], [1.0, 0.01], [1.0, 0.02], [0.2, 1.0]]


@pytest.fixture(autouse=True)
def filled(client: EdgeQdrantClient) -> None:
    """One collection with an unnamed vector, and one with two named vectors, of which a point may have one."""
    client.create_collection(NAME, DENSE)
    client.upsert(NAME, [models.PointStruct(id=number, vector=vector) for number, vector in enumerate(VECTORS)])
    client.create_collection(NAMED, {"x": DENSE, "y": DENSE})
    client.upsert(
        NAMED,
        [
            models.PointStruct(id=1, vector={"x": [1.0, 0.0]}),
            models.PointStruct(id=2, vector={"x": [0.0, 1.0], "y": [1.0, 0.0]}),
            models.PointStruct(id=3, vector={"x": [0.5, 1.0], "y": [1.0, 0.5]}),
        ],
    )


def ids(response: models.QueryResponse) -> list[Any]:
    """Ids of the points, in order."""
    return [found.id for found in response.points]


def test_diversity_holds_by_id(client: EdgeQdrantClient) -> None:
    """Maximal marginal relevance gives the same points for an id as for its vector, without the point itself."""
    mmr = models.Mmr(diversity=1.0, candidates_limit=10)
    others = models.Filter(must_not=[models.HasIdCondition(has_id=[0])])
    by_vector = models.NearestQuery(nearest=VECTORS[0], mmr=mmr)
    by_id = models.NearestQuery(nearest=0, mmr=mmr)
    expected = ids(client.query_points(NAME, by_vector, query_filter=others, limit=2))
    assert ids(client.query_points(NAME, by_id, limit=2)) == expected == [1, 3]
    assert ids(client.query_points(NAME, models.NearestQuery(nearest=0), limit=2)) == [1, 2]
    assert by_id.nearest == 0  # the caller's own query is left as it was


def test_the_named_vector_is_used(client: EdgeQdrantClient) -> None:
    """`using` chooses which of the point's vectors is compared."""
    assert ids(client.query_points(NAMED, 2, using="y")) == [3]
    assert ids(client.query_points(NAMED, 2, using="x")) == [3, 1]


@pytest.mark.parametrize(
    ("name", "identity", "using"), [(NAMED, 1, "y"), (NAMED, 1, "zzz"), (NAMED, 1, None), (NAME, 1, "zzz")]
)
def test_a_missing_vector_is_an_error(client: EdgeQdrantClient, name: str, identity: int, using: str | None) -> None:
    """A point without that vector is no query at all: it must not give every point with score 1."""
    with pytest.raises(StorageError, match="has no vector"):
        client.query_points(name, identity, using=using)
