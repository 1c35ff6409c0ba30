"""What Freehold asks of Qdrant, embedded and on the server that `FREEHOLD_QDRANT_URL` names: the same answers."""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from freehold.memory import EdgeQdrantClient

VECTORS = {"dense": models.VectorParams(size=3, distance=models.Distance.COSINE)}
SPARSE = {"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)}
PLACES = {"berlin": (13.4, 52.5), "london": (-0.1, 51.5), "moscow": (37.6, 55.7)}


@dataclass(frozen=True)
class Store:
    """A client, and a collection of it."""

    client: QdrantClient
    name: str


def connect() -> QdrantClient:
    """The server that is named, or a skipped test."""
    url = os.environ.get("FREEHOLD_QDRANT_URL")
    if not url:
        pytest.skip("no Qdrant server: set FREEHOLD_QDRANT_URL to run this on one")
    client = QdrantClient(url=url, check_compatibility=False)
    try:
        client.get_collections()
    except Exception as error:  # noqa: BLE001 - whatever is in the way, there is no server
        client.close()
        pytest.skip(f"no Qdrant server answers at {url}: {error}")
    return client


@pytest.fixture(params=["edge", "server"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QdrantClient]:
    """The embedded client, and a server's."""
    opened = EdgeQdrantClient(tmp_path / "qdrant") if request.param == "edge" else connect()
    yield opened
    opened.close()


@pytest.fixture
def store(client: QdrantClient) -> Iterator[Store]:
    """A collection with three towns, each with a dense and a sparse vector, and indexes."""
    name = f"freehold-test-{uuid.uuid4().hex}"
    client.create_collection(name, VECTORS, sparse_vectors_config=SPARSE)
    for key, kind in {"name": "keyword", "n": "integer", "text": "text", "place": "geo", "since": "datetime"}.items():
        client.create_payload_index(name, key, kind, wait=True)
    client.upsert(
        name,
        [
            models.PointStruct(
                id=n,
                vector={"dense": [1.0, float(n), 0.0], "bm25": models.SparseVector(indices=[1, n], values=[1.0, 2.0])},
                payload={
                    "name": town,
                    "n": n,
                    "text": f"the town of {town}",
                    "place": {"lon": lon, "lat": lat},
                    "since": f"20{10 + n}-01-01T00:00:00Z",
                    "sights": [{"kind": "tower", "height": 100 * n}, {"kind": "river"}],
                },
            )
            for n, (town, (lon, lat)) in enumerate(PLACES.items(), 2)
        ],
        wait=True,
    )
    yield Store(client, name)
    client.delete_collection(name)


def field(key: str, **condition: Any) -> models.FieldCondition:
    """A condition on a payload key."""
    return models.FieldCondition(key=key, **condition)


def found(store: Store, *must: Any) -> list[Any]:
    """Ids of the points that all conditions let through."""
    return [one.id for one in store.client.scroll(store.name, models.Filter(must=list(must)))[0]]


def test_filters(store: Store) -> None:
    """Every kind of condition chooses the same points in the process and on a server."""
    berlin = models.GeoPoint(lon=13.4, lat=52.5)
    box = models.GeoBoundingBox(top_left=models.GeoPoint(lon=0, lat=60), bottom_right=models.GeoPoint(lon=50, lat=50))
    nested = models.Filter(
        must=[field("kind", match=models.MatchValue(value="tower")), field("height", range=models.Range(gt=250))]
    )
    assert found(store, field("name", match=models.MatchValue(value="london"))) == [3]
    assert found(store, field("name", match=models.MatchAny(any=["london", "moscow"]))) == [3, 4]
    assert found(store, field("name", match=models.MatchExcept(**{"except": ["london"]}))) == [2, 4]
    assert found(store, field("text", match=models.MatchText(text="moscow town"))) == [4]
    assert found(store, field("n", range=models.Range(gte=3, lt=4))) == [3]
    assert found(store, field("since", range=models.DatetimeRange(gt="2012-06-01T00:00:00Z"))) == [3, 4]
    assert found(store, field("place", geo_radius=models.GeoRadius(center=berlin, radius=1000.0))) == [2]
    assert found(store, field("place", geo_bounding_box=box)) == [2, 4]
    assert found(store, field("sights", values_count=models.ValuesCount(gte=2))) == [2, 3, 4]
    assert found(store, models.NestedCondition(nested=models.Nested(key="sights", filter=nested))) == [3, 4]
    assert found(store, models.IsEmptyCondition(is_empty=models.PayloadField(key="absent"))) == [2, 3, 4]
    assert found(store, models.HasIdCondition(has_id=[2, 9])) == [2]
    assert found(store, models.Filter(must_not=[field("n", match=models.MatchValue(value=3))])) == [2, 4]


def test_dense_sparse_and_fused(store: Store) -> None:
    """The hybrid search that documents and memories rest on."""
    sparse = models.SparseVector(indices=[4], values=[1.0])
    dense = [1.0, 2.0, 0.0]
    prefetch = [
        models.Prefetch(query=dense, using="dense", limit=2),
        models.Prefetch(query=sparse, using="bm25", limit=2),
    ]
    ask = store.client.query_points
    assert [one.id for one in ask(store.name, dense, using="dense").points] == [2, 3, 4]
    assert [one.id for one in ask(store.name, sparse, using="bm25").points] == [4]
    fused = ask(store.name, models.FusionQuery(fusion=models.Fusion.RRF), prefetch=prefetch, limit=1).points
    assert fused[0].id in {2, 4}
    assert fused[0].score == pytest.approx(0.5)
    only = models.Filter(must=[models.HasIdCondition(has_id=[3])])
    first = ask(store.name, dense, using="dense", query_filter=only, with_payload=["n"], with_vectors=["dense"]).points
    assert (first[0].payload, list(first[0].vector)) == ({"n": 3}, ["dense"])  # type: ignore[arg-type]
    batch = store.client.query_batch_points(
        store.name,
        [
            models.QueryRequest(query=dense, using="dense", limit=1),
            models.QueryRequest(query=2, using="dense", limit=1),
        ],
    )
    assert [[one.id for one in answer.points] for answer in batch] == [[2], [3]]


def test_payloads_and_vectors_change(store: Store) -> None:
    """Each write changes what it names and nothing else."""
    client, name = store.client, store.name
    client.set_payload(name, {"n": 7}, [2], wait=True)
    client.set_payload(
        name, {"deep": True}, models.Filter(must=[models.HasIdCondition(has_id=[2])]), key="more", wait=True
    )
    client.delete_payload(name, ["text", "place", "since", "sights"], [2], wait=True)
    client.overwrite_payload(name, {"only": "this"}, [3], wait=True)
    client.clear_payload(name, [4], wait=True)
    client.update_vectors(name, [models.PointVectors(id=4, vector={"dense": [0.0, 0.0, 5.0]})], wait=True)
    client.delete_vectors(name, ["bm25"], [2, 4], wait=True)
    records = client.retrieve(name, [4, 3, 2], with_vectors=True)
    held = {one.id: one for one in records}
    assert [held[n].payload for n in (2, 3, 4)] == [
        {"name": "berlin", "n": 7, "more": {"deep": True}},
        {"only": "this"},
        {},
    ]
    assert {n: sorted(held[n].vector) for n in (2, 3, 4)} == {2: ["dense"], 3: ["bm25", "dense"], 4: ["dense"]}  # type: ignore[arg-type]
    assert held[4].vector == {"dense": [0.0, 0.0, 1.0]}


def test_batches_of_writes(store: Store) -> None:
    """Writes of one call are done in their order."""
    point = models.PointStruct(id=9, vector={"dense": [1.0, 1.0, 1.0]}, payload={"n": 9})
    answers = store.client.batch_update_points(
        store.name,
        [
            models.UpsertOperation(upsert=models.PointsList(points=[point])),
            models.SetPayloadOperation(set_payload=models.SetPayload(payload={"x": 1}, points=[9])),
            models.DeleteOperation(delete=models.PointIdsList(points=[2, 3])),
        ],
        wait=True,
    )
    assert [one.status for one in answers] == [models.UpdateStatus.COMPLETED] * 3
    assert store.client.retrieve(store.name, [9])[0].payload == {"n": 9, "x": 1}
    assert store.client.count(store.name).count == 2


def test_a_bad_point_spoils_its_batch(store: Store) -> None:
    """Of a batch with a wrong vector nothing is stored."""
    good = [models.PointStruct(id=n, vector={"dense": [1.0, 0.0, 0.0]}) for n in (20, 22)]
    for bad in ([1.0, 2.0], None):
        vector: Any = {"dense": bad} if bad else {"other": [1.0]}
        with pytest.raises(Exception, match=r"dimension|dim|vector name|no vector"):
            store.client.upsert(store.name, [good[0], models.PointStruct(id=21, vector=vector), good[1]], wait=True)
    assert store.client.count(store.name).count == 3


def test_pages_order_and_counts(store: Store) -> None:
    """Pages by id, order by a key, counts and facets."""
    client, name = store.client, store.name
    first, following = client.scroll(name, limit=2)
    rest, end = client.scroll(name, limit=2, offset=following)
    assert ([one.id for one in first], following, [one.id for one in rest], end) == ([2, 3], 4, [4], None)
    order = models.OrderBy(key="n", direction=models.Direction.DESC, start_from=3)
    assert [one.id for one in client.scroll(name, order_by=order)[0]] == [3, 2]
    assert client.count(name, models.Filter(must=[field("n", range=models.Range(gt=2))])).count == 2
    facets = client.facet(name, "name", exact=True).hits
    assert {(one.value, one.count) for one in facets} == {("berlin", 1), ("london", 1), ("moscow", 1)}
    groups = client.query_points_groups(name, "name", [1.0, 2.0, 0.0], using="dense", limit=2, group_size=1).groups
    assert [(group.id, [hit.id for hit in group.hits]) for group in groups] == [("berlin", [2]), ("london", [3])]


def test_a_snapshot_comes_back(store: Store) -> None:
    """A snapshot is listed under the name it was made with, and deleted by it."""
    made = store.client.create_snapshot(store.name)
    assert made is not None
    assert [one.name for one in store.client.list_snapshots(store.name)] == [made.name]
    assert store.client.delete_snapshot(store.name, made.name)
    assert store.client.list_snapshots(store.name) == []


def test_moves_from_the_process_to_a_server(client: QdrantClient, tmp_path: Path) -> None:
    """`migrate` takes collections, indexes and points along, to a server and back."""
    name = f"freehold-test-{uuid.uuid4().hex}"
    ours = EdgeQdrantClient(tmp_path / "source")
    ours.create_collection(name, VECTORS, sparse_vectors_config=SPARSE)
    ours.create_payload_index(name, "n", models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=True))
    ours.upsert(
        name,
        [models.PointStruct(id=n, vector={"dense": [1.0, n, 0.0]}, payload={"n": n}) for n in range(150)],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own, on what a server's version may lack
        ours.migrate(client, [name])
    try:
        index = client.get_collection(name).payload_schema["n"]
        assert index.params is not None
        assert client.count(name, models.Filter(must=[field("n", range=models.Range(gte=100))])).count == 50
        ours.delete_collection(name)
        client.migrate(ours, [name])
        assert ours.retrieve(name, [149])[0].payload == {"n": 149}
    finally:
        client.delete_collection(name)
        ours.close()
