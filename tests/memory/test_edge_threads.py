"""Sixteen threads on one store."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from qdrant_client import models

from freehold.memory import EdgeQdrantClient

THREADS = 16
STEPS = 40
OWN = 50
"""Ids of each thread: its points are its own, so that what the store should hold is known."""


def vector(identity: int, version: int) -> list[float]:
    """Tells the point and the version apart."""
    return [1.0, float(identity), float(version)]


def work(client: EdgeQdrantClient, thread: int) -> dict[tuple[str, int], int]:
    """Write, delete, search and make collections; give what should be there of this thread's points."""
    random_ = random.Random(thread)
    held: dict[tuple[str, int], int] = {}
    for step in range(STEPS):
        name = random_.choice(["a", "b"])
        ids = [thread * OWN + number for number in random_.sample(range(OWN), 5)]
        match random_.randrange(8):
            case 0 | 1 | 2:
                points = [
                    models.PointStruct(id=one, vector=vector(one, step), payload={"thread": thread, "step": step})
                    for one in ids
                ]
                client.upsert(name, points)
                held.update({(name, one): step for one in ids})
            case 3:
                client.delete(name, ids)
                for one in ids:
                    held.pop((name, one), None)
            case 4:
                there = [one for one in ids if (name, one) in held]
                client.set_payload(name, {"step": step}, there)
                held.update({(name, one): step for one in there})
            case 5:
                mine = models.Filter(must=[models.FieldCondition(key="thread", match=models.MatchValue(value=thread))])
                counted = client.count(name, count_filter=mine).count
                assert counted == sum(where == name for where, _ in held)
            case 6:
                found = client.query_points(name, vector(thread, step), limit=5).points
                assert all(point.payload and "thread" in point.payload for point in found)
            case _:
                passing = f"passing_{thread}"
                client.create_collection(passing, models.VectorParams(size=3, distance=models.Distance.DOT))
                client.upsert(passing, [models.PointStruct(id=step, vector=vector(1, 2))])
                assert client.count(passing).count == 1
                client.delete_collection(passing)
    return held


@pytest.mark.slow
def test_sixteen_threads(tmp_path: Path) -> None:
    """Threads that write, search, make and drop collections while the store flushes and optimises lose nothing."""
    client = EdgeQdrantClient(tmp_path, optimize_after=300, flush_every=0.02)
    for name in ("a", "b"):
        client.create_collection(name, models.VectorParams(size=3, distance=models.Distance.DOT))
        client.create_payload_index(name, "thread", models.PayloadSchemaType.INTEGER)
    expected: dict[tuple[str, int], int] = {}
    with ThreadPoolExecutor(THREADS) as threads:
        for held in threads.map(lambda thread: work(client, thread), range(THREADS)):
            expected |= held
    for opening in range(2):
        found = {
            (name, record.id): (record.payload or {})["step"]
            for name in ("a", "b")
            for record in client.scroll(name, limit=10_000)[0]
        }
        assert found == expected
        assert [one.name for one in client.get_collections().collections] == ["a", "b"]
        client.close()
        if opening == 0:
            client = EdgeQdrantClient(tmp_path)
