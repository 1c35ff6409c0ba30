"""The upkeep of one collection on disk: memory/edge_shard.py."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from freehold.errors import StorageError
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
    assert not (folder / NAME / "shard.old").exists()
    assert not list((folder / NAME).glob("shard.new*"))
    reopened.close()


def test_a_second_optimisation_waits_for_the_first(client: EdgeQdrantClient) -> None:
    """Who asks for the index has it when the call returns, also where the upkeep was building it already."""
    client.upsert(NAME, [point(n, [1.0, n, n % 7]) for n in range(300)])
    shard = client._folder.shard(NAME)
    worker = threading.Thread(target=client.optimize, args=(NAME,))
    worker.start()
    while worker.is_alive() and shard._journal is None:
        threading.Event().wait(0.001)
    client.upsert(NAME, [point(300, [1.0, 300.0, 1.0])])
    client.optimize(NAME)
    assert shard.unindexed == 0
    assert shard._journal is None
    worker.join()
    assert client.count(NAME).count == 301


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


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The numbers of the files and folders that were put on the disk."""
    numbers: set[int] = set()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        numbers.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    return numbers


def test_a_power_cut_costs_no_optimised_shard(
    client: EdgeQdrantClient, synced: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file and folder of the new shard is on the disk before it takes the place of the old one, which was."""
    client.upsert(NAME, [point(number, [1.0, number, 2.0]) for number in range(300)])
    swapped: dict[str, bool] = {}
    real = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if target.name == "shard":
            swapped.update({one.name: one.stat().st_ino in synced for one in [path, *path.rglob("*")]})
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    synced.clear()
    client.optimize(NAME)
    assert len(swapped) > 10
    assert [name for name, safe in swapped.items() if not safe] == []


def test_a_power_cut_costs_no_new_collection(client: EdgeQdrantClient, synced: set[int]) -> None:
    """What a collection is made with is on the disk when it is there, its description too."""
    client.create_collection("more", DENSE)
    folder = client.folder / "more"
    made = [folder, folder.parent, folder / "config.json", folder / "shard", folder / "shard" / "segments"]
    assert [path.name for path in made if path.stat().st_ino not in synced] == []


def test_a_collection_that_cannot_be_made_leaves_nothing(
    client: EdgeQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails while a collection is made leaves no half of it, and the name can be used afterwards."""

    def failing(descriptor: int) -> None:
        raise OSError("Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing)
        with pytest.raises(StorageError, match="Input/output error"):
            client.create_collection("more", DENSE)
    assert [path.name for path in client.folder.iterdir() if path.is_dir()] == [NAME]
    client.create_collection("more", DENSE)
    assert client.count("more").count == 0


def test_an_optimiser_that_outlived_its_owner_is_alone(
    client: EdgeQdrantClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No two optimisers are given the same copy, and what a killed owner left is swept when the shard is opened."""
    client.upsert(NAME, [point(number, [1.0, number, 2.0]) for number in range(30)])
    told = tmp_path / "told"
    from freehold.memory.edge_optimizer import _OPTIMIZE

    said = f"import sys\nopen({str(told)!r}, 'a').write(sys.argv[1] + '\\n')\n"
    monkeypatch.setattr("freehold.memory.edge_optimizer._OPTIMIZE", said + _OPTIMIZE)
    client.optimize(NAME)
    first = Path(told.read_text().strip())
    client.close()
    shutil.copytree(client.folder / NAME / "shard", first)  # as a kill leaves it
    reopened = EdgeQdrantClient(client.folder)
    assert reopened.count(NAME).count == 30
    assert not first.exists()
    reopened.optimize(NAME)
    assert len(set(told.read_text().split())) == 2
    assert not list((client.folder / NAME).glob("shard.*"))
    reopened.close()


def grown(folder: Path, session: int) -> EdgeQdrantClient:
    """A new client, through which forty more points were written; its upkeep runs when the test says so."""
    client = EdgeQdrantClient(folder, optimize_after=50, flush_every=3600)
    if session == 0:
        client.create_collection(
            NAME, DENSE, sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)}
        )
    words = models.SparseVector(indices=[1], values=[1.0])
    points = [
        models.PointStruct(id=40 * session + number, vector={"": [1.0, number, 2.0], "bm25": words})
        for number in range(40)
    ]
    client.upsert(NAME, points)
    return client


def test_the_index_is_built_for_what_earlier_sessions_wrote(tmp_path: Path) -> None:
    """Points count until they are optimised, over any number of openings, and not again after that."""
    counts = []
    for session in range(4):
        client = grown(tmp_path, session)
        shard = client._folder.shard(NAME)
        before = shard.unindexed
        client._folder.keep_up()
        counts.append((before, shard.unindexed))
        client.close()
    assert counts == [(40, 40), (80, 0), (40, 40), (80, 0)]
    assert not list(tmp_path.rglob("shard.new*"))


@pytest.mark.parametrize("damage", [None, "", "many"])
def test_a_lost_count_is_every_point(tmp_path: Path, damage: str | None) -> None:
    """Collections of an earlier version, and a count cut short by a power cut, are optimised rather than forgotten."""
    grown(tmp_path, 0).close()
    count = tmp_path / NAME / "unindexed"
    if damage is None:
        count.unlink()
    else:
        count.write_text(damage)
    client = EdgeQdrantClient(tmp_path)
    assert client.count(NAME).count == 40
    assert client._folder.shard(NAME).unindexed == 40
    client.close()


def test_a_failed_optimisation_forgets_no_point(client: EdgeQdrantClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an optimisation that failed had begun with is counted again, here and after opening anew."""
    client.upsert(NAME, [point(number, [1.0, number, 2.0]) for number in range(30)])
    monkeypatch.setattr("freehold.memory.edge_optimizer._OPTIMIZE", "raise SystemExit(3)")
    shard = client._folder.shard(NAME)
    with pytest.raises(StorageError, match="ended with 3"):
        shard.optimize()
    assert shard.unindexed == 30
    client.close()
    reopened = EdgeQdrantClient(client.folder)
    reopened.upsert(NAME, [point(99, [1.0, 99.0, 2.0])])
    assert reopened._folder.shard(NAME).unindexed == 31
    reopened.close()
