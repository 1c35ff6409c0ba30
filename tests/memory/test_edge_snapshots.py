"""Tests of memory/edge_snapshots.py and memory/edge_archive.py: what is restored, and what is refused untouched."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from freehold.errors import StorageError
from freehold.memory import EdgeQdrantClient

NAME = "things"
DENSE = models.VectorParams(size=3, distance=models.Distance.COSINE)
SPARSE = {"bm25": models.SparseVectorParams()}


@pytest.fixture(autouse=True)
def filled(client: EdgeQdrantClient) -> None:
    """A collection with an index and twenty points."""
    client.create_collection(NAME, DENSE, sparse_vectors_config=SPARSE)
    client.create_payload_index(NAME, "n", "integer")
    fill(client, range(20))


def fill(client: EdgeQdrantClient, numbers: range) -> None:
    """Points with a dense and a sparse vector each."""
    sparse = models.SparseVector(indices=[1], values=[1.0])
    client.upsert(
        NAME,
        [models.PointStruct(id=n, vector={"": [1.0, n, 2.0], "bm25": sparse}, payload={"n": n}) for n in numbers],
    )


def everything(client: QdrantClient, name: str = NAME) -> list[Any]:
    """All points with all they have."""
    return client.scroll(name, limit=1000, with_vectors=True)[0]


def test_restored_into_the_same_collection(client: EdgeQdrantClient) -> None:
    """What was written after the snapshot is gone, what was deleted is back, and the collection takes writes again."""
    before, made = everything(client), client.create_snapshot(NAME)
    client.delete(NAME, [1, 2, 3])
    fill(client, range(15, 40))
    assert client.recover_snapshot(NAME, made.name, checksum=made.checksum)
    assert everything(client) == before
    assert client.facet(NAME, "n", limit=1).hits[0].count == 1  # the index came along
    fill(client, range(20, 22))
    assert client.count(NAME).count == 22
    client.close()
    reopened = EdgeQdrantClient(client.folder)
    assert reopened.count(NAME).count == 22
    reopened.close()


def test_restored_elsewhere(client: EdgeQdrantClient, tmp_path: Path) -> None:
    """A file restores under another name, and in another folder, as after a move to another machine."""
    file = tmp_path / "backup of things.snapshot"
    client.create_snapshot(NAME, to=file)
    before = everything(client)
    client.recover_snapshot("copy", file)
    client.delete(NAME, models.Filter(must=[]))
    assert everything(client, "copy") == before
    assert client.get_collection("copy").config.params == client.get_collection(NAME).config.params
    other = EdgeQdrantClient(tmp_path / "other")
    other.recover_snapshot(NAME, file.as_uri())
    assert everything(other) == before
    other.close()


def test_listed_and_deleted(client: EdgeQdrantClient) -> None:
    """Snapshots stand in the client's folder until they are deleted, also when their collection is gone."""
    made = [client.create_snapshot(NAME) for _ in range(2)]
    listed = client.list_snapshots(NAME)
    assert {one.name for one in listed} == {one.name for one in made}
    assert all(one.size > 0 and one.creation_time for one in listed)
    client.delete_collection(NAME)
    assert client.recover_snapshot(NAME, made[0].name)
    assert client.count(NAME).count == 20
    assert client.delete_snapshot(NAME, made[0].name)
    assert not client.delete_snapshot(NAME, made[0].name)
    assert not client.delete_snapshot(NAME, "../../config.json")
    assert [one.name for one in client.list_snapshots(NAME)] == [made[1].name]
    assert client.list_snapshots("another") == []


def test_small(client: EdgeQdrantClient) -> None:
    """Holes are left out: a shard of 200 MB with 20 points makes a file of less than one."""
    made = client.create_snapshot(NAME)
    apparent = sum(path.stat().st_size for path in (client.folder / NAME).rglob("*"))
    assert made.size < apparent / 50


@pytest.mark.parametrize("damage", ["cut", "flipped", "no tar", "missing", "checksum"])
def test_damage_is_refused(client: EdgeQdrantClient, tmp_path: Path, damage: str) -> None:
    """A damaged file is refused with a clear error, and the collection stays as it is."""
    file = tmp_path / "one.snapshot"
    client.create_snapshot(NAME, to=file)
    fill(client, range(20, 25))
    before, content = everything(client), bytearray(file.read_bytes())
    options: dict[str, Any] = {}
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        place = content.index(b'"n"') if b'"n"' in content else len(content) // 3
        content[place + 1] ^= 1
        file.write_bytes(content)
    elif damage == "no tar":
        file.write_bytes(b"not a snapshot")
    elif damage == "missing":
        file.unlink()
    else:
        options = {"checksum": "0" * 64}
    for name in (NAME, "new"):
        with pytest.raises(StorageError, match=r"damaged|There is no snapshot|another checksum"):
            client.recover_snapshot(name, file, **options)
    assert everything(client) == before
    assert not client.collection_exists("new")
    assert [path.name for path in client.folder.glob(".new-*")] == []


def test_every_flipped_byte_is_noticed_or_harmless(client: EdgeQdrantClient, tmp_path: Path) -> None:
    """A flipped byte anywhere is refused, or lies where it means nothing: never other points."""
    file = tmp_path / "one.snapshot"
    client.create_snapshot(NAME, to=file)
    before, content = everything(client), file.read_bytes()
    for place in range(17, len(content), len(content) // 40):
        damaged = bytearray(content)
        damaged[place] ^= 0x20
        file.write_bytes(damaged)
        try:
            client.recover_snapshot(NAME, file)
        except StorageError:
            continue
        finally:
            assert everything(client) == before


def test_other_vectors_are_refused(client: EdgeQdrantClient) -> None:
    """A snapshot never takes the place of a collection with other vectors, and the error names both."""
    client.create_collection("other", models.VectorParams(size=4, distance=models.Distance.DOT))
    made = client.create_snapshot("other", to=client.folder.parent / "other.snapshot")
    with pytest.raises(StorageError, match=r"other vectors.*4, Dot.*3, Cosine.*'bm25'"):
        client.recover_snapshot(NAME, client.folder.parent / made.name)
    assert client.count(NAME).count == 20


def test_what_it_does_not_do(client: EdgeQdrantClient, tmp_path: Path) -> None:
    """Nothing is fetched, nothing is overwritten, and an unknown collection has an error of its own."""
    with pytest.raises(NotImplementedError, match="fetches nothing"):
        client.recover_snapshot(NAME, "http://127.0.0.1:6333/a.snapshot")
    (tmp_path / "there").touch()
    with pytest.raises(StorageError, match="exists already"):
        client.create_snapshot(NAME, to=tmp_path / "there")
    with pytest.raises(StorageError, match="'missing' not found"):
        client.create_snapshot("missing")


def test_restoring_ends_an_optimisation(client: EdgeQdrantClient) -> None:
    """An index that was being built from the old points never takes the place of the restored ones."""
    import threading

    made, before = client.create_snapshot(NAME), everything(client)
    fill(client, range(20, 3000))
    builder = threading.Thread(target=client.optimize, args=(NAME,))
    builder.start()
    while not list((client.folder / NAME).glob("shard.new*")) and builder.is_alive():
        time.sleep(0.001)
    client.recover_snapshot(NAME, made.name)
    builder.join()
    assert everything(client) == before


_RESTORER = """
import sys
from freehold.memory import EdgeQdrantClient
client = EdgeQdrantClient(sys.argv[1])
print("ready", flush=True)
while True:
    for name in ("one", "two"):
        client.recover_snapshot("things", sys.argv[2] + "/" + name)
        client.create_snapshot("things", to=sys.argv[2] + "/again")
        import os
        os.unlink(sys.argv[2] + "/again")
"""


@pytest.mark.slow
def test_killed_while_restoring(client: EdgeQdrantClient, tmp_path: Path) -> None:
    """Killed at any moment of a restore there are the old points or the new ones, all of them, and no rubbish."""
    client.create_snapshot(NAME, to=tmp_path / "one")
    fill(client, range(20, 30))
    client.create_snapshot(NAME, to=tmp_path / "two")
    client.close()
    seen = set()
    for attempt in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", _RESTORER, str(client.folder), str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.03 * attempt)
            child.kill()
        (tmp_path / "again").unlink(missing_ok=True)
        opened = EdgeQdrantClient(client.folder)
        seen.add(opened.count(NAME).count)
        assert [path.name for path in client.folder.glob(".new-*")] == []
        opened.close()
    assert seen <= {20, 30}


_SNAPPER = """
import os, signal, sys
from freehold.memory import EdgeQdrantClient
client = EdgeQdrantClient(sys.argv[1])

def end(event, arguments):
    if event == "os.rename" and str(arguments[0]).endswith(".part"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(end)
client.create_snapshot("things")
"""


def test_killed_while_writing_a_snapshot(client: EdgeQdrantClient) -> None:
    """The half-written file of a snapshot that was killed goes when the folder is opened, and whole ones stay."""
    made = client.create_snapshot(NAME)
    client.close()
    ended = subprocess.run([sys.executable, "-c", _SNAPPER, str(client.folder)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(client.folder.rglob(".*.part"))) == 1
    reopened = EdgeQdrantClient(client.folder)
    assert list(client.folder.rglob(".*.part")) == []
    assert [one.name for one in reopened.list_snapshots(NAME)] == [made.name]
    reopened.close()
