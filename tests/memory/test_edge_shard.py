"""The upkeep of one collection on disk: memory/edge_shard.py."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from freehold.memory import EdgeQdrantClient

NAME = "things"
DENSE = models.VectorParams(size=3, distance=models.Distance.COSINE)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[EdgeQdrantClient]:
    """A client with one empty collection."""
    opened = EdgeQdrantClient(tmp_path / "vectors")
    opened.create_collection(NAME, DENSE)
    yield opened
    opened.close()


def point(identity: Any, vector: list[float], **payload: Any) -> models.PointStruct:
    """A point with the unnamed vector."""
    return models.PointStruct(id=identity, vector={"": vector}, payload=payload)


def test_optimised_points_can_be_written_again(client: EdgeQdrantClient) -> None:
    """What was written once before an optimisation can be replaced, changed and deleted behind it, and stays so.

    A shard copied without its log numbers operations from the beginning and silently drops exactly these writes.
    """
    for number in range(50):
        client.upsert(NAME, [point(number, [1.0, number, 2.0], state="old")])
    for state in ("first", "second"):
        client.optimize(NAME)
        client.upsert(NAME, [point(3, [1.0, 3.0, 2.0], state=state)])
        client.set_payload(NAME, {"state": state}, [4])
        client.delete(NAME, [5 if state == "first" else 6])
        found = {record.id: (record.payload or {})["state"] for record in client.retrieve(NAME, [3, 4, 5, 6])}
        assert found == {3: state, 4: state} | ({6: "old"} if state == "first" else {})
    client.close()
    reopened = EdgeQdrantClient(client.folder)
    assert {record.id: record.payload for record in reopened.retrieve(NAME, [3, 4, 5, 6])} == {
        3: {"state": "second"},
        4: {"state": "second"},
    }
    assert reopened.count(NAME).count == 48
    reopened.close()


def test_optimise_keeps_what_is_written_meanwhile(client: EdgeQdrantClient) -> None:
    """Building the index in the background loses no write made at the same time, and answers stay the same."""
    client.upsert(NAME, [point(n, [1.0, n, n % 7]) for n in range(300)])
    worker = threading.Thread(target=client.optimize, args=(NAME,))
    worker.start()
    written = 300
    while worker.is_alive():
        client.upsert(NAME, [point(written, [1.0, written, 1.0])])
        written += 1
    worker.join()
    client.delete(NAME, [0])
    assert client.count(NAME).count == written - 1
    folder = client.folder
    client.close()
    reopened = EdgeQdrantClient(folder)
    assert reopened.count(NAME).count == written - 1
    assert not (folder / NAME / "shard.old").exists() or not (folder / NAME / "shard.new").exists()
    reopened.close()


def test_upkeep_runs_by_itself(tmp_path: Path) -> None:
    """Enough writes start an optimisation without anybody asking."""
    client = EdgeQdrantClient(tmp_path, optimize_after=10, flush_every=0.02)
    client.create_collection(NAME, DENSE)
    client.upsert(NAME, [models.PointStruct(id=n, vector=[1.0, n, 2.0]) for n in range(20)])
    shard = client._folder.shard(NAME)
    for _ in range(1000):
        if shard.unindexed == 0 and shard._journal is None:
            break
        threading.Event().wait(0.02)
    assert shard.unindexed == 0
    assert client.count(NAME).count == 20
    client.close()


def test_interrupted_swap_is_mended(client: EdgeQdrantClient) -> None:
    """A kill between the two renames of an optimisation leaves the old shard, and that is used."""
    client.upsert(NAME, [point(1, [1.0, 0.0, 0.0])])
    client.close()
    collection = client.folder / NAME
    (collection / "shard").rename(collection / "shard.old")
    reopened = EdgeQdrantClient(client.folder)
    assert reopened.count(NAME).count == 1
    reopened.close()
