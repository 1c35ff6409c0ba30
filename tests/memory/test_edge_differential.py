"""`EdgeQdrantClient` beside qdrant-client's own in-memory mode: any order of calls gets the same answers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from qdrant_client import QdrantClient, models

from freehold.memory import EdgeQdrantClient
from tests.memory.qdrant_strategies import CONDITIONS, POOL_OF_FIELDS, SPARSE, VECTORS
from tests.memory.two_clients import INDEXES, NAME, TwoClients


def _run(examples: int, steps: int) -> int:
    """Compare; give how many calls were."""
    folder = Path(tempfile.mkdtemp())
    TwoClients.compared = 0
    TwoClients.ours, TwoClients.reference = EdgeQdrantClient(folder), QdrantClient(":memory:")
    for client in (TwoClients.ours, TwoClients.reference):
        client.create_collection(NAME, VECTORS, sparse_vectors_config=SPARSE)
    try:
        run_state_machine_as_test(
            TwoClients,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        TwoClients.reference.close()
        TwoClients.ours.close()
        shutil.rmtree(folder)
    return TwoClients.compared


def test_answers_as_the_reference_does() -> None:
    """Callers cannot tell our client from qdrant-client's own: a short run for every change."""
    assert _run(examples=20, steps=12) > 20


@pytest.mark.slow
def test_answers_as_the_reference_does_for_long() -> None:
    """The same with many more calls, for what is seldom."""
    assert _run(examples=200, steps=20) > 200


def test_every_condition_chooses_the_same(client: EdgeQdrantClient) -> None:
    """Each condition of the pool by itself, with payload indexes and without, over every value of the pool."""
    reference = QdrantClient(":memory:")
    payloads = [{key: value} for key, values in POOL_OF_FIELDS.items() for value in values]
    points = [
        models.PointStruct(
            id=number, vector={"a": [1.0, 1.0, 1.0], **({"b": [1.0, 1.0]} if number % 2 else {})}, payload=one
        )
        for number, one in enumerate([*payloads, {}])
    ]
    for one in (client, reference):
        one.create_collection(NAME, VECTORS, sparse_vectors_config=SPARSE)
        one.upsert(NAME, points)
    wrong = []
    for indexed in (False, True):
        for key, kind in INDEXES.items() if indexed else ():
            client.create_payload_index(NAME, key, kind)
        for condition in CONDITIONS:
            for chosen in (models.Filter(must=[condition]), models.Filter(must_not=[condition])):
                ours, other = (
                    {one.id for one in store.scroll(NAME, chosen, limit=len(points))[0]}
                    for store in (client, reference)
                )
                if ours != other:
                    wrong.append((indexed, condition.model_dump(exclude_none=True), ours ^ other))
    reference.close()
    assert wrong == []
