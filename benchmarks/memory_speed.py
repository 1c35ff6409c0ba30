"""What saving and recalling cost at ten thousand memories, without the time of embedding."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import percentile
from freehold import Context
from freehold.memory import EdgeQdrantClient, LongTermMemory

__all__ = ["WordVectors", "save_and_recall"]

_VERBS = (
    "bought",
    "sold",
    "painted",
    "repaired",
    "lost",
    "found",
    "visited",
    "borrowed",
    "planted",
    "cleaned",
    "drew",
    "packed",
)
_THINGS = (
    "bicycle",
    "lamp",
    "canoe",
    "kettle",
    "notebook",
    "guitar",
    "carpet",
    "ladder",
    "tent",
    "mirror",
    "camera",
    "wardrobe",
    "clock",
)
_COLOURS = ("red", "blue", "green", "yellow", "black", "white", "brown", "grey", "orange", "purple", "silver", "golden")
_PLACES = (
    "Porto",
    "Lyon",
    "Ghent",
    "Turin",
    "Bergen",
    "Malmo",
    "Basel",
    "Cork",
    "Bruges",
    "Graz",
    "Leeds",
    "Tampere",
    "Aarhus",
    "Split",
)
_TIMES = [f"{day} {month}" for month in ("March", "June", "October") for day in range(1, 29)]


class WordVectors:
    """An embedder that costs next to nothing: the sum of a fixed direction for each word, of length 1."""

    dimension = 384

    async def embed(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """A row for each text."""
        rows = np.stack([np.sum([_direction(word) for word in text.casefold().split()], axis=0) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@cache
def _direction(word: str) -> np.ndarray[Any, Any]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
    return np.random.default_rng(seed).standard_normal(WordVectors.dimension)


class _Whole:
    """Keeps a message as it is; what an extractor costs is measured elsewhere."""

    async def extract(self, text: str) -> list[str]:
        return [text]


def facts(number: int, seed: int) -> list[str]:
    """Different sentences that somebody could have said of themselves."""
    random = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < number:
        verb, colour, thing, place, when = (
            str(random.choice(words)) for words in (_VERBS, _COLOURS, _THINGS, _PLACES, _TIMES)
        )
        found[f"I {verb} a {colour} {thing} in {place} on {when}"] = None
    return list(found)


def save_and_recall(memories: int, users: int, rounds: int) -> dict[str, float]:
    """Fill a store through `restore`, then time single saves and recalls; milliseconds, p50 and p95.

    Args:
        memories: How many there are when the measuring begins.
        users: How many people they belong to, in equal shares.
        rounds: How many saves and how many recalls are timed.
    """
    with tempfile.TemporaryDirectory() as folder:
        client = EdgeQdrantClient(Path(folder) / "qdrant")
        memory = LongTermMemory(client, WordVectors(), _Whole(), Path(folder) / "memory")
        try:
            return asyncio.run(_measure(memory, memories, users, rounds))
        finally:
            memory.close()
            client.close()


async def _measure(memory: LongTermMemory, memories: int, users: int, rounds: int) -> dict[str, float]:
    share = memories // users
    began = datetime.now(UTC) - timedelta(days=300)
    for user in range(users):
        entries = [
            {
                "text": text,
                "created_at": (began + timedelta(minutes=place)).isoformat(),
                "session_id": f"session-{place // 20}",
            }
            for place, text in enumerate(facts(share, user))
        ]
        await memory.restore(entries, _user(user))
    new = facts(memories + rounds, users)  # another seed: almost all are new to the user
    questions = [f"Where did I leave the {text.split()[3]} {text.split()[4]}?" for text in new[:rounds]]

    async def save(number: int) -> None:
        await memory.add(new[memories + number], _user(number % users))

    async def recall(number: int) -> None:
        assert await memory.search(questions[number], _user(number % users), limit=10)

    saves, recalls = await _times(save, rounds), await _times(recall, rounds)
    return {
        "save p50": percentile(saves, 50),
        "save p95": percentile(saves, 95),
        "recall p50": percentile(recalls, 50),
        "recall p95": percentile(recalls, 95),
    }


async def _times(work: Callable[[int], Awaitable[None]], rounds: int) -> list[float]:
    for number in range(3):
        await work(number)  # opening mem0 and the first look at a user's words are no part of it
    spent = []
    for number in range(3, rounds):
        started = time.perf_counter()
        await work(number)
        spent.append(time.perf_counter() - started)
    return spent


def _user(number: int) -> Context:
    return Context(user_id=f"user-{number}", session_id="now")
