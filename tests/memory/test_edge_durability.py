"""What a store keeps when its process is killed or its disk is full."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from freehold.memory import EdgeQdrantClient
from tests.memory.store_writer import Model, apply

ROOT = Path(__file__).parents[2]


def killed_while_writing(folder: Path, seed: int, seconds: float, model: Model, last: int) -> tuple[Model, Model]:
    """Let a process write, kill it, and give what it acknowledged, and that with what it had begun."""
    command = [sys.executable, "-m", "tests.memory.store_writer", str(folder), str(seed), str(last)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            writer.wait(10 if last else seconds)
        writer.kill()
        lines = writer.stdout.read().split("\n")
    begun = None
    for line in lines[:-1]:  # the last one was cut, or is empty
        if line == "done":
            assert begun is not None
            model, begun = apply(begun, model), None
        else:
            begun = json.loads(line.removeprefix("begin "))
    return model, apply(begun, model) if begun else model


def stored(folder: Path) -> Model:
    """What the store holds, read by a new owner."""
    client = EdgeQdrantClient(folder)
    try:
        found: Model = {}
        for name in client._folder.names():
            records, following = client.scroll(name, limit=10_000, with_payload=True, with_vectors=True)
            assert following is None
            found[name] = {
                int(record.id): ((record.payload or {})["version"], round(cast("Any", record.vector)[2]))
                for record in records
            }
        return found
    finally:
        client.close()


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_lose_nothing_that_was_acknowledged(tmp_path: Path, kills: int) -> None:
    """Killed while it writes, flushes, optimises, creates or drops: acknowledged is kept, the last is old or new."""
    folder = tmp_path / "store"
    moments = random.Random(kills)
    model: Model = {"main": {}}
    for kill in range(1, kills + 1):
        last = moments.randint(2, 60) if kill % 2 else 0
        acknowledged, with_last = killed_while_writing(folder, kill, moments.uniform(0.05, 1.5), model, last)
        found = stored(folder)
        assert set(found) in (set(acknowledged), set(with_last))
        held = {point: versions for name in found for point, versions in found[name].items()}
        old, new = acknowledged["main"], with_last["main"]
        lost = {
            point: (old.get(point), held.get(point))
            for point in {*old, *new, *held}
            if held.get(point) not in (old.get(point), new.get(point))
        }
        assert not lost
        assert not list(folder.glob(".new-*")), "half-made collections are swept"
        assert not list(folder.glob(".deleted-*"))
        model = found
    assert model["main"]


FULL = """
import shutil
import sys
from pathlib import Path
from qdrant_client import models
from freehold.errors import StorageError
from freehold.memory import EdgeQdrantClient

root = Path(sys.argv[1])
ballast = root / "ballast"
ballast.write_bytes(b"0" * 30_000_000)
client = EdgeQdrantClient(root / "store", optimize_after=10**9, flush_every=0.1)
client.create_collection("notes", models.VectorParams(size=384, distance=models.Distance.COSINE))

def points(start):
    return [
        models.PointStruct(id=start + n, vector=[1.0, float(n)] * 192, payload={"text": "x" * 300}) for n in range(200)
    ]

written = 0
try:
    while written < 1_000_000:
        client.upsert("notes", points(written))
        written += 200
except StorageError as error:
    print("refused", error)
assert written > 1000, written
refused = 0
for call in (
    lambda: client.upsert("notes", points(0)),
    lambda: client.set_payload("notes", {"text": "y"}, [1]),
    lambda: client.create_collection("more", models.VectorParams(size=4, distance=models.Distance.COSINE)),
    lambda: client.optimize("notes"),
):
    try:
        call()
    except StorageError as error:
        assert "is full" in str(error), error
        refused += 1
assert refused == 4, refused
assert client.count("notes").count == written
client.delete("notes", [0, 1])
client.close()
client = EdgeQdrantClient(root / "store")
assert client.count("notes").count == written - 2
assert len(client.query_points("notes", [1.0, 0.5] * 192, limit=5).points) == 5
client.close()
with (root / "more").open("wb") as file:  # another program takes what was left
    file.write(b"0" * (shutil.disk_usage(root).free - 20_000_000))
client = EdgeQdrantClient(root / "store")
try:
    client.count("notes")
except StorageError as error:
    print("unopened", error)
client.close()
ballast.unlink()
(root / "more").unlink()
client = EdgeQdrantClient(root / "store")
assert client.count("notes").count == written - 2
for start in range(written, written + 1000, 200):
    client.upsert("notes", points(start))
assert client.count("notes").count == written + 998
client.close()
print("whole")
"""


def test_full_disk(tmp_path: Path) -> None:
    """A full disk is an error in words; the process lives, everything can be read, and writing goes on with room."""
    unshare = shutil.which("unshare")
    mount = f'mount -t tmpfs -o size=300m none {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    command = [unshare or "", "-rm", "sh", "-c", mount, FULL]
    probe = [unshare or "", "-rm", "sh", "-c", f"mount -t tmpfs none {tmp_path}"]
    if unshare is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("A small disk cannot be made here: no user namespaces with mount.")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["refused", "unopened", "whole"]
    assert "make room" in lines[0]
