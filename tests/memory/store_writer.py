"""A process that writes to a store until it is killed, and says on its output what it begins and what is done."""

from __future__ import annotations

import json
import random
import signal
import sys
from pathlib import Path
from typing import Any

from qdrant_client import models

from freehold.memory import EdgeQdrantClient

IDS = 400
SPARE = "spare"

Model = dict[str, dict[int, tuple[int, int]]]
"""What the store should hold: for each collection the version of each point's payload and of its vector."""


def operation(random_: random.Random, number: int) -> dict[str, Any]:
    """The next thing to do."""
    ids = random_.sample(range(IDS), random_.randint(1, 60))
    kind = random_.choices(["upsert", "delete", "payload", "vectors", "create", "drop"], [50, 15, 15, 10, 5, 5])[0]
    return {"kind": kind, "ids": ids, "version": number}


def apply(operation_: dict[str, Any], model: Model) -> Model:
    """The model after an operation."""
    changed = {name: dict(points) for name, points in model.items()}
    kind, version, main = operation_["kind"], operation_["version"], changed["main"]
    if kind == "upsert":
        main.update(dict.fromkeys(operation_["ids"], (version, version)))
    elif kind == "delete":
        for identity in operation_["ids"]:
            main.pop(identity, None)
    elif kind == "payload":
        main.update({identity: (version, main[identity][1]) for identity in operation_["ids"] if identity in main})
    elif kind == "vectors":
        main.update({identity: (main[identity][0], version) for identity in operation_["ids"] if identity in main})
    elif kind == "create":
        changed.setdefault(SPARE, {})
    elif kind == "drop":
        changed.pop(SPARE, None)
    return changed


def execute(client: EdgeQdrantClient, operation_: dict[str, Any]) -> None:
    """The same on the store."""
    kind, version, ids = operation_["kind"], operation_["version"], operation_["ids"]
    vectors = {identity: [1.0, float(identity), float(version)] for identity in ids}
    if kind in ("payload", "vectors"):
        ids = [int(record.id) for record in client.retrieve("main", ids, with_payload=False)]
    if kind == "upsert":
        payload = {"version": version, "pad": "x" * 200}
        client.upsert("main", [models.PointStruct(id=one, vector=vectors[one], payload=payload) for one in ids])
    elif kind == "delete":
        client.delete("main", ids)
    elif kind == "payload" and ids:
        client.set_payload("main", {"version": version}, ids)
    elif kind == "vectors" and ids:
        client.update_vectors("main", [models.PointVectors(id=one, vector=vectors[one]) for one in ids])
    elif kind == "create" and not client.collection_exists(SPARE):
        client.create_collection(SPARE, models.VectorParams(size=3, distance=models.Distance.DOT))
    elif kind == "drop":
        client.delete_collection(SPARE)


def say(line: str) -> None:
    """To whoever reads, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Write until killed; behind so many operations, kill itself while the store flushes."""
    folder, seed, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    client = EdgeQdrantClient(folder, optimize_after=500, flush_every=0.05)
    if not client.collection_exists("main"):
        client.create_collection("main", models.VectorParams(size=3, distance=models.Distance.DOT))
    random_ = random.Random(seed)
    say("ready")
    number = seed * 10_000  # exact in the 24 bits of a vector's float
    while True:
        number += 1
        if number % 10_000 == last:
            # The engine holds the interpreter's lock while it flushes, so the system's own alarm ends the process.
            signal.setitimer(signal.ITIMER_REAL, random_.uniform(0.0005, 0.03))
            client.flush()
            continue
        chosen = operation(random_, number)
        say(f"begin {json.dumps(chosen)}")
        execute(client, chosen)
        say("done")


if __name__ == "__main__":
    main()
