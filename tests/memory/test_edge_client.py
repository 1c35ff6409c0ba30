"""Tests of memory/edge_client.py and what it stands on; `test_edge_differential.py` compares its answers."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from freehold.errors import StorageError, WorkspaceLockedError
from freehold.memory import EdgeQdrantClient

NAME = "things"
DENSE = models.VectorParams(size=3, distance=models.Distance.COSINE)
SPARSE = {"bm25": models.SparseVectorParams()}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[EdgeQdrantClient]:
    """A client with one empty collection."""
    opened = EdgeQdrantClient(tmp_path / "vectors")
    opened.create_collection(NAME, DENSE, sparse_vectors_config=SPARSE)
    yield opened
    opened.close()


def point(identity: Any, vector: list[float], **payload: Any) -> models.PointStruct:
    """A point with the unnamed vector."""
    return models.PointStruct(id=identity, vector={"": vector}, payload=payload)


def test_scroll_pages_through_everything(client: EdgeQdrantClient) -> None:
    """Pages follow one another without a gap or a repeat, also where integers and UUIDs are mixed."""
    ids: list[Any] = [*range(7), *(str(uuid.UUID(int=n)) for n in range(5))]
    client.upsert(NAME, [point(one, [1.0, 2.0, 3.0]) for one in ids])
    seen, offset = [], None
    while True:
        records, offset = client.scroll(NAME, limit=5, offset=offset)
        seen += [record.id for record in records]
        if offset is None:
            break
    assert sorted(seen, key=str) == sorted(ids, key=str)


# --- queries the reference cannot vouch for --------------------------------------------------------------------------


def test_fuses_dense_and_sparse(client: EdgeQdrantClient) -> None:
    """Reciprocal rank fusion puts a point first that both searches find: hybrid retrieval rests on it."""
    sparse = models.SparseVector(indices=[7], values=[1.0])
    client.upsert(
        NAME,
        [
            models.PointStruct(id=1, vector={"": [1.0, 0.0, 0.0]}),
            models.PointStruct(id=2, vector={"": [0.9, 0.1, 0.0], "bm25": sparse}),
            models.PointStruct(
                id=3, vector={"": [0.0, 1.0, 0.0], "bm25": models.SparseVector(indices=[8], values=[1.0])}
            ),
        ],
    )
    prefetch = [
        models.Prefetch(query=[1.0, 0.0, 0.0], limit=10),
        models.Prefetch(query=sparse, using="bm25", limit=10),
    ]
    found = client.query_points(NAME, models.FusionQuery(fusion=models.Fusion.RRF), prefetch=prefetch, limit=3)
    assert [hit.id for hit in found.points] == [2, 1, 3]
    batch = client.query_batch_points(
        NAME, [models.QueryRequest(query=[0.0, 1.0, 0.0], limit=1), models.QueryRequest(query=sparse, using="bm25")]
    )
    assert [[hit.id for hit in one.points] for one in batch] == [[3], [2]]


@pytest.mark.parametrize("selector", [[1], models.Filter(), models.Filter(must=[models.HasIdCondition(has_id=[1])])])
def test_a_deleted_sparse_vector_leaves_no_score(client: EdgeQdrantClient, selector: Any) -> None:
    """The engine alone adds what is left of it to the score of the next one."""
    client.create_collection("sparse", {}, sparse_vectors_config={"s": models.SparseVectorParams()})
    before, after = (models.SparseVector(indices=i, values=v) for i, v in (([0, 1], [7.0, 3.0]), ([0], [1.0])))
    client.upsert("sparse", [models.PointStruct(id=n, vector={"s": before}) for n in (1, 2)])
    client.delete_vectors("sparse", ["s"], selector)
    assert "s" not in (client.retrieve("sparse", [1], with_vectors=True)[0].vector or {})
    client.update_vectors("sparse", [models.PointVectors(id=n, vector={"s": after}) for n in (1, 2)])
    found = client.query_points("sparse", models.SparseVector(indices=[0, 1], values=[1.0, 1.0]), using="s").points
    assert {one.id: one.score for one in found} == {1: 1.0, 2: 1.0}


def test_threshold_offset_payload_and_vectors(client: EdgeQdrantClient) -> None:
    """The options of a query mean what they mean on a server."""
    client.upsert(NAME, [point(1, [1.0, 0.0, 0.0], a=1, b=2), point(2, [0.0, 1.0, 0.0], a=3)])
    query = [1.0, 0.1, 0.0]
    assert [hit.id for hit in client.query_points(NAME, query, score_threshold=0.5).points] == [1]
    assert [hit.id for hit in client.query_points(NAME, query, offset=1).points] == [2]
    first = client.query_points(NAME, query, limit=1, with_payload=["a"], with_vectors=True).points[0]
    assert first.payload == {"a": 1}
    assert first.vector is not None
    assert client.query_points(NAME, query, limit=1, with_payload=False).points[0].payload is None
    excluded = models.PayloadSelectorExclude(exclude=["a"])
    assert client.query_points(NAME, query, limit=1, with_payload=excluded).points[0].payload == {"b": 2}
    assert [hit.id for hit in client.query_points(NAME, 1).points] == [2]  # like point 1, without it


def test_retrieve_update_and_batch(client: EdgeQdrantClient) -> None:
    """What mem0 does with single points: read by id, change payload or vector alone, write columns."""
    identity = uuid.uuid4()
    batch = models.Batch(ids=[identity, 4], vectors={"": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]}, payloads=[{"x": 1}, {}])
    client.upsert(NAME, batch)
    client.set_payload(NAME, {"y": 2}, [identity])
    client.update_vectors(NAME, [models.PointVectors(id=str(identity), vector=[0.0, 0.0, 2.0])])
    records = client.retrieve(NAME, [str(identity), 99], with_vectors=True)
    assert [(record.id, record.payload, record.vector) for record in records] == [
        (str(identity), {"x": 1, "y": 2}, [0.0, 0.0, 1.0])
    ]


def test_index_and_description(client: EdgeQdrantClient) -> None:
    """A collection describes itself as it was made: mem0 looks for its sparse vectors there."""
    client.create_payload_index(NAME, "user_id", "keyword")
    client.create_payload_index(NAME, "size", models.PayloadSchemaType.INTEGER)
    client.upsert(NAME, [point(1, [1.0, 0.0, 0.0], size=2, user_id="ada"), point(2, [1.0, 1.0, 0.0], size=1)])
    info = client.get_collection(NAME)
    assert info.points_count == 2
    assert info.config.params.vectors == DENSE
    assert info.config.params.sparse_vectors == SPARSE
    assert info.payload_schema["user_id"].data_type == models.PayloadSchemaType.KEYWORD
    assert [record.id for record in client.scroll(NAME, order_by="size")[0]] == [2, 1]


def test_collections_come_and_go(client: EdgeQdrantClient) -> None:
    """Collections can be listed, deleted and made again, and nothing of the old one is left."""
    client.upsert(NAME, [point(1, [1.0, 0.0, 0.0])])
    assert [one.name for one in client.get_collections().collections] == [NAME]
    assert client.delete_collection(NAME)
    assert not client.collection_exists(NAME)
    assert not client.delete_collection(NAME)
    client.create_collection(NAME, DENSE)
    assert client.count(NAME).count == 0
    assert [path.name for path in client.folder.iterdir() if path.is_dir()] == [NAME]


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda c: c.count("missing"), "'missing' not found"),
        (lambda c: c.upsert(NAME, [point("abc", [1.0, 0.0, 0.0])]), "'abc' cannot be a point id"),
        (lambda c: c.upsert(NAME, [point(1, [1.0, 0.0])]), "expected dim: 3, got 2"),
        (lambda c: c.upsert(NAME, [point(1, [math.nan, 0.0, 0.0])]), "NaN"),
        (lambda c: c.query_points(NAME, [1.0, 0.0, 0.0], using="other"), "other"),
        (lambda c: c.create_collection(NAME, DENSE), "exists already"),
        (lambda c: c.create_collection("../out", DENSE), "letters, digits"),
    ],
)
def test_mistakes_are_named(client: EdgeQdrantClient, call: Any, says: str) -> None:
    """A mistake raises one kind of error that says what is wrong, and the collection works on."""
    with pytest.raises(StorageError, match=says):
        call(client)
    client.upsert(NAME, [point(1, [1.0, 0.0, 0.0])])
    assert client.count(NAME).count == 1


def test_what_is_missing_says_so(client: EdgeQdrantClient) -> None:
    """A method or an option that is not there is refused by name, never ignored."""
    with pytest.raises(NotImplementedError, match="get_aliases"):
        client.get_aliases()
    with pytest.raises(NotImplementedError, match="strict_mode_config"):
        client.create_collection("other", DENSE, strict_mode_config=models.StrictModeConfig(enabled=True))
    with pytest.raises(NotImplementedError, match="does not embed Document"):
        client.query_points(NAME, models.Document(text="a", model="b"))


# --- one owner, and nothing lost -------------------------------------------------------------------------------------

_WRITER = """
import sys
from qdrant_client import models
from freehold.memory import EdgeQdrantClient
client = EdgeQdrantClient(sys.argv[1])
if not client.collection_exists("things"):
    client.create_collection("things", models.VectorParams(size=3, distance=models.Distance.COSINE))
number = client.count("things").count
while True:
    client.upsert("things", [models.PointStruct(id=number, vector=[1.0, number, 2.0], payload={"n": number})])
    print(number, flush=True)
    number += 1
"""


def writer(folder: Path) -> subprocess.Popen[str]:
    """A process that owns the folder and prints the number of each point it was told is stored."""
    return subprocess.Popen([sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE, text=True)


def test_second_owner_is_refused_with_the_pid(tmp_path: Path) -> None:
    """Two processes never write one folder, and the error names the process to close."""
    with writer(tmp_path / "vectors") as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(WorkspaceLockedError) as caught:
            EdgeQdrantClient(tmp_path / "vectors")
        assert caught.value.pid == child.pid
        child.kill()
    EdgeQdrantClient(tmp_path / "vectors").close()


def test_same_process_is_refused_too(client: EdgeQdrantClient) -> None:
    """A second client in the same process gets the same error, and closing the first frees the folder."""
    with pytest.raises(WorkspaceLockedError) as caught:
        EdgeQdrantClient(client.folder)
    assert caught.value.pid == os.getpid()
    client.close()
    client.close()
    with pytest.raises(StorageError, match="is closed"):
        client.count(NAME)
    EdgeQdrantClient(client.folder).close()


def test_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Every upsert that returned before a kill -9 is there afterwards, twice in a row."""
    acknowledged = -1
    for _ in range(2):
        with writer(tmp_path / "vectors") as child:
            assert child.stdout is not None
            for _ in range(40):
                acknowledged = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
    client = EdgeQdrantClient(tmp_path / "vectors")
    records, _ = client.scroll(NAME, limit=100_000)
    client.close()
    assert {record.payload["n"] for record in records if record.payload} >= set(range(acknowledged + 1))


def test_half_made_collections_are_swept(tmp_path: Path) -> None:
    """What a killed create or delete left behind is no collection, and goes when the folder is opened."""
    folder = tmp_path / "vectors"
    for name in (".new-1", ".deleted-2"):
        (folder / name / "shard").mkdir(parents=True)
    client = EdgeQdrantClient(folder)
    assert client.get_collections().collections == []
    assert [path.name for path in folder.iterdir() if path.is_dir()] == []
    client.close()


# --- threads ----------------------------------------------------------------------------------------------


def test_many_threads(client: EdgeQdrantClient) -> None:
    """Eight threads that write and read at once neither fail nor lose a point."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(25):
                client.upsert(NAME, [point(number * 100 + step, [1.0, step, number])])
                client.query_points(NAME, [1.0, 2.0, 3.0], limit=3)
        except BaseException as error:  # noqa: BLE001 - shown in the assertion
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert client.count(NAME).count == 200


def test_damaged_shard_is_a_storage_error(client: EdgeQdrantClient) -> None:
    """A damaged folder gives an error that names the collection, not a crash."""
    client.close()
    (client.folder / NAME / "shard" / "edge_config.json").write_text("not json")
    reopened = EdgeQdrantClient(client.folder)
    with pytest.raises(StorageError, match=NAME):
        reopened.count(NAME)
    reopened.close()
