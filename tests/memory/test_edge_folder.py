"""The folder of all collections: memory/edge_folder.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from qdrant_client import models

from freehold.errors import StorageError
from freehold.memory import EdgeQdrantClient

NAMES = ["a", "b", "c"]


def fill(client: EdgeQdrantClient) -> None:
    """Three collections with a point each."""
    for name in NAMES:
        client.create_collection(name, models.VectorParams(size=2, distance=models.Distance.COSINE))
        client.upsert(name, [models.PointStruct(id=1, vector=[1.0, 2.0])])


def test_a_collection_that_fails_to_close_holds_no_other_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One full disk error at close leaves no other shard unflushed, and the folder can be opened again."""
    client = EdgeQdrantClient(tmp_path)
    fill(client)
    shards = [client._folder.shard(name) for name in NAMES]

    def failing(real: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            real()
            raise StorageError("No space left on device")

        return call

    for name in ("flush", "close"):
        monkeypatch.setattr(shards[0], name, failing(getattr(shards[0], name)))
    with pytest.raises(StorageError, match="No space left"):
        client.flush()
    assert [shard._dirty for shard in shards] == [False, False, False]
    with pytest.raises(StorageError, match="No space left"):
        client.close()
    assert [shard._shard for shard in shards] == [None, None, None]
    client.close()
    again = EdgeQdrantClient(tmp_path)
    assert [again.count(name).count for name in NAMES] == [1, 1, 1]
    again.close()


def test_a_shard_that_cannot_be_flushed_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at close is said, and the engine lets go of the files nonetheless."""
    client = EdgeQdrantClient(tmp_path)
    fill(client)
    shard = client._folder.shard("b")
    engine = shard._shard
    assert engine is not None

    def full() -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(shard, "_remember", full)
    with pytest.raises(StorageError, match=r"'b': No space left"):
        client.close()
    with pytest.raises(Exception, match="not initialized"):
        engine.info()


def test_a_name_is_free_when_its_folder_is(tmp_path: Path) -> None:
    """Who makes a collection anew while it is being deleted waits, and gets an empty one."""
    client = EdgeQdrantClient(tmp_path)
    fill(client)
    folder, failures = client._folder, list[Exception]()

    def create() -> None:
        try:
            client.create_collection("b", models.VectorParams(size=2, distance=models.Distance.COSINE))
        except StorageError as error:
            failures.append(error)

    deleting, creating = threading.Thread(target=client.delete_collection, args=("b",)), threading.Thread(target=create)
    with folder.shard("b")._lock:  # somebody reads it
        deleting.start()
        while "b" in folder._shards and folder._guard.acquire(blocking=False):
            folder._guard.release()
            time.sleep(0.001)
        creating.start()
        creating.join(0.3)
    deleting.join()
    creating.join()
    assert failures == []
    assert [client.count(name).count for name in NAMES] == [1, 0, 1]
    client.close()


def test_a_delete_that_fails_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection whose folder cannot be renamed is still there by name, and the next delete ends it."""
    client = EdgeQdrantClient(tmp_path)
    fill(client)

    def failing(path: Path, target: Path) -> Path:
        raise OSError("Read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", failing)
        with pytest.raises(StorageError, match="Read-only"):
            client.delete_collection("b")
    assert client.collection_exists("b")
    assert client.delete_collection("b")
    assert not client.collection_exists("b")
    assert not (tmp_path / "b").exists()
    client.close()
