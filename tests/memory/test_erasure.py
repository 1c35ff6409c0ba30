"""Writing a collection anew, so that nothing that was deleted is left in its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from freehold.memory.edge_client import EdgeQdrantClient
from freehold.memory.erasure import finish_rewrite, rewrite

IDS = st.integers(0, 2**63 - 1) | st.uuids().map(str)
VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=8)
PAYLOADS = st.dictionaries(
    st.sampled_from(["user_id", "data", "at"]), VALUES | st.lists(VALUES, max_size=3), max_size=3
)


def points_of(client: QdrantClient, name: str) -> dict[Any, Any]:
    """Every point: its vectors, rounded, and its payload."""
    rows, _ = client.scroll(name, limit=10_000, with_payload=True, with_vectors=True)

    def rounded(vector: Any) -> Any:
        if isinstance(vector, dict):
            return {key: rounded(value) for key, value in vector.items()}
        if isinstance(vector, models.SparseVector):
            return dict(zip(vector.indices, vector.values, strict=True))
        return [round(value, 5) for value in vector]

    return {row.id: (rounded(row.vector), row.payload) for row in rows}


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(IDS, st.tuples(PAYLOADS, st.booleans()), min_size=1, max_size=30))
def test_a_rewritten_collection_is_the_same(client: EdgeQdrantClient, points: dict[Any, Any]) -> None:
    """Ids, vectors dense and sparse, payloads and indexes survive, whatever they are."""
    client.delete_collection("facts")
    client.create_collection(
        "facts",
        vectors_config={"dense": models.VectorParams(size=3, distance=models.Distance.COSINE)},
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    client.create_payload_index("facts", "user_id", models.PayloadSchemaType.KEYWORD)
    client.create_payload_index("facts", "at", models.PayloadSchemaType.INTEGER)
    for identity, (payload, sparse) in points.items():
        vector: dict[str, Any] = {"dense": [1.0, 2.0, 2.0]}
        if sparse:
            vector["bm25"] = models.SparseVector(indices=[3, 7], values=[0.5, 1.5])
        client.upsert("facts", [models.PointStruct(id=identity, vector=vector, payload=payload)])
    before, described = points_of(client, "facts"), client.get_collection("facts")
    rewrite(client, "facts")
    after = client.get_collection("facts")
    assert points_of(client, "facts") == before
    assert len(before) == len(points)
    assert (after.config.params, after.payload_schema.keys()) == (
        described.config.params,
        described.payload_schema.keys(),
    )
    assert [found.name for found in client.get_collections().collections] == ["facts"]


def test_more_points_than_a_page(client: EdgeQdrantClient) -> None:
    """Points are copied page by page; none falls between two of them."""
    client.create_collection("facts", models.VectorParams(size=2, distance=models.Distance.DOT))
    points = [models.PointStruct(id=number, vector=[number, 1.0], payload={"n": number}) for number in range(2500)]
    client.upsert("facts", points)
    client.delete("facts", models.PointIdsList(points=list(range(0, 2500, 7))))
    before = points_of(client, "facts")
    rewrite(client, "facts")
    assert points_of(client, "facts") == before
    assert len(before) == 2500 - 358


def test_what_was_deleted_is_in_no_file(client: EdgeQdrantClient, tmp_path: Path) -> None:
    """The embedded Qdrant keeps a deleted text in its log and its segments; a rewrite does not."""
    client.create_collection("facts", models.VectorParams(size=2, distance=models.Distance.DOT))
    for number, text in enumerate(("a quokka in the pantry", "nothing of note")):
        client.upsert("facts", [models.PointStruct(id=number, vector=[1.0, 1.0], payload={"data": text})])
    client.delete("facts", models.PointIdsList(points=[0]))
    client.flush()

    def holding(text: str) -> int:
        return sum(path.is_file() and text.encode() in path.read_bytes() for path in tmp_path.rglob("*"))

    assert holding("quokka") > 0
    rewrite(client, "facts")
    assert holding("quokka") == 0
    assert holding("nothing of note") > 0


@pytest.mark.parametrize("folder", [None, "marks"])
def test_the_mark_decides_which_half_is_whole(client: EdgeQdrantClient, tmp_path: Path, folder: str | None) -> None:
    """Killed before the mark, the spare copy is rubbish; killed after it, the spare copy is the collection."""
    place = tmp_path / folder if folder else None
    if place:
        place.mkdir()
    for name, number in (("facts", 1), ("facts_rewritten", 2)):
        client.create_collection(name, models.VectorParams(size=2, distance=models.Distance.DOT))
        client.upsert(name, [models.PointStruct(id=number, vector=[1.0, 1.0])])
    finish_rewrite(client, "facts", place)
    assert list(points_of(client, "facts")) == [1]
    client.create_collection("facts_rewritten", models.VectorParams(size=2, distance=models.Distance.DOT))
    client.upsert("facts_rewritten", [models.PointStruct(id=2, vector=[1.0, 1.0])])
    mark = (place or client.folder) / "facts.rewritten"
    mark.touch()
    finish_rewrite(client, "facts", place)
    assert list(points_of(client, "facts")) == [2]
    assert not mark.exists()
    assert [found.name for found in client.get_collections().collections] == ["facts"]


def test_a_power_cut_finds_the_mark_or_the_collection(
    client: EdgeQdrantClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark is on the disk before the collection goes, and off it before the spare copy does."""
    marks, seen = tmp_path / "marks", list[tuple[bool, list[str]]]()
    marks.mkdir()
    client.create_collection("facts", models.VectorParams(size=2, distance=models.Distance.DOT))
    number, real = marks.stat().st_ino, os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        if os.fstat(descriptor).st_ino == number:
            seen.append((any(marks.iterdir()), client._folder.names()))

    monkeypatch.setattr(os, "fsync", fsync)
    rewrite(client, "facts", marks)
    both = ["facts", "facts_rewritten"]
    assert seen == [(True, both), (False, both)]


def test_a_rewrite_lets_others_work(client: EdgeQdrantClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request of a rewrite carries more than a hundred points: during each, nobody else's is answered."""
    client.create_collection("facts", models.VectorParams(size=2, distance=models.Distance.DOT))
    client.upsert("facts", [models.PointStruct(id=one, vector=[one, 1.0]) for one in range(250)])
    sizes, real = list[int](), client.upsert

    def upsert(name: str, points: Any) -> Any:
        sizes.append(len(points))
        return real(name, points)

    monkeypatch.setattr(client, "upsert", upsert)
    rewrite(client, "facts")
    assert sizes == [100, 100, 50] * 2


def test_a_server_is_left_to_itself() -> None:
    """A Qdrant server cleans its own files; nothing is copied there."""
    server = QdrantClient(":memory:")
    server.create_collection("facts", models.VectorParams(size=2, distance=models.Distance.DOT))
    server.create_collection("facts_rewritten", models.VectorParams(size=2, distance=models.Distance.DOT))
    rewrite(server, "facts")
    finish_rewrite(server, "facts")
    assert len(server.get_collections().collections) == 2
    server.close()
