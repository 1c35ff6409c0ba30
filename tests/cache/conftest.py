"""A response cache on real stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from freehold.cache import ResponseCache, ThresholdHits
from freehold.coordination import MemoryLedger, SQLiteStore
from freehold.inference import LlamaEmbeddings
from freehold.memory import EdgeQdrantClient, SemanticIndex


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    """Answers in SQLite; the cache closes it."""
    return SQLiteStore(tmp_path / "answers.sqlite3")


@pytest.fixture
def index(client: EdgeQdrantClient, embedder: LlamaEmbeddings) -> SemanticIndex:
    """Questions on a real shard; the cache closes it."""
    return SemanticIndex(client, embedder)


@pytest.fixture
async def cache(store: SQLiteStore, index: SemanticIndex) -> AsyncIterator[ResponseCache]:
    """All tiers, with a threshold that the paraphrases here pass."""
    cache = ResponseCache(store, index, strategy=ThresholdHits(0.9), ledger=MemoryLedger())
    yield cache
    await cache.aclose()
