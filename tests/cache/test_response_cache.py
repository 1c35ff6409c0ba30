from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.redis_server import RedisServer
from freehold import Context
from freehold.cache import Freshness, ResponseCache, Situation, ThresholdHits
from freehold.coordination import RedisConnection, RedisStore, SQLiteStore
from freehold.errors import StorageError
from freehold.inference import LlamaEmbeddings
from freehold.memory.edge_client import EdgeQdrantClient
from freehold.memory.semantic_index import SemanticIndex
from freehold.portal import run_sync
from tests.cache.here import ANSWER, HERE, PARAPHRASE, QUESTION, UNLIKE, without_memory


async def counts(cache: ResponseCache) -> dict[str, int]:
    """What the cache counted, without what is 0."""
    found = await cache.summary()
    named = {**found.hits, "miss": found.misses, "error": found.errors, "stored": found.stored}
    return {name: number for name, number in named.items() if number}


async def test_the_same_question_is_an_exact_hit(cache: ResponseCache) -> None:
    """Protects the first tier, and what a lookup says of itself."""
    miss = await cache.lookup(QUESTION, HERE)
    assert (miss.outcome, miss.tier, miss.entry, miss.key) == ("miss", None, None, HERE.key(QUESTION))
    assert await cache.store(QUESTION, HERE, ANSWER)
    hit = await cache.lookup("  how do I reset my PASSWORD", HERE)
    assert (hit.outcome, hit.tier, hit.entry, hit.score) == ("hit", "memory", ANSWER, None)
    assert hit.entry_key == HERE.key(QUESTION)
    assert await counts(cache) == {"memory": 1, "miss": 1, "stored": 1}


async def test_the_same_question_in_other_words_is_a_semantic_hit(cache: ResponseCache) -> None:
    """Protects the second tier and its evidence."""
    await cache.store(QUESTION, HERE, ANSWER)
    hit = await cache.lookup(PARAPHRASE, HERE)
    assert (hit.outcome, hit.tier, hit.entry) == ("hit", "semantic", ANSWER)
    assert hit.evidence is not None
    assert (hit.evidence.entry, hit.evidence.question) == (HERE.key(QUESTION), QUESTION)
    assert hit.score is not None
    assert hit.score >= 0.9 == hit.threshold
    miss = await cache.lookup(UNLIKE, HERE)
    assert miss.outcome == "miss"
    assert miss.evidence is not None
    assert miss.evidence.question == QUESTION
    assert miss.score is not None
    assert miss.score < 0.9
    assert await counts(cache) == {"semantic": 1, "miss": 1, "stored": 1}


async def test_the_threshold_decides(store: SQLiteStore, index: SemanticIndex) -> None:
    """Protects the owner's setting: just above the score is a miss, at the score is a hit."""
    near = ResponseCache(store, index, strategy=ThresholdHits(1.0))
    await near.store(QUESTION, HERE, ANSWER)
    score = (await near.lookup(PARAPHRASE, HERE)).score
    assert score is not None
    at, above = (ResponseCache(store, index, strategy=ThresholdHits(limit)) for limit in (score, score + 1e-6))
    assert (await above.lookup(PARAPHRASE, HERE)).outcome == "miss"
    assert (await at.lookup(PARAPHRASE, HERE)).outcome == "hit"
    await near.aclose()


@pytest.mark.parametrize(
    ("stored", "asked", "why"),
    [
        ("How long should I boil eggs for 5 guests?", "How long should I boil eggs for 50 guests?", "numbers"),
        ("Should I delete the lock file?", "Should I not delete the lock file?", "negated"),
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


async def test_the_next_candidate_serves_where_the_nearest_is_refused(
    cache: ResponseCache, index: SemanticIndex
) -> None:
    """Protects hits from a look-alike that stands nearer than the question that was meant."""
    opposite, meant = "Should I not delete the lock file?", "Is it right to delete the lock file?"
    await cache.store(opposite, HERE, replace(ANSWER, answer="no"))
    await cache.store(meant, HERE, replace(ANSWER, answer="yes"))
    asked = "Should I delete the lock file?"
    assert [near.question for near in await index.nearest(asked, HERE.scope, limit=2)] == [opposite, meant]
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


async def test_what_is_shared_by_a_tenant_is_nobodys_own(cache: ResponseCache) -> None:
    """Protects both kinds of answers from each other: a user's own, and those of the whole tenant."""
    everybodys = replace(HERE, user_id="")
    await cache.store(QUESTION, everybodys, ANSWER)
    assert (await cache.lookup(QUESTION, everybodys)).outcome == "hit"
    assert (await cache.lookup(QUESTION, HERE)).outcome == "miss"
    assert (await cache.lookup(QUESTION, replace(everybodys, tenant="other"))).outcome == "miss"


async def test_a_semantic_hit_needs_its_entry(store: SQLiteStore, index: SemanticIndex) -> None:
    """Protects from ghosts: where the entry has gone, the lookup misses and the index forgets the question."""
    cache = ResponseCache(store, index, strategy=ThresholdHits(0.9), memory=without_memory())
    await cache.store(QUESTION, HERE, ANSWER)
    await store.delete(HERE.key(QUESTION))
    assert await index.nearest(PARAPHRASE, HERE.scope)
    found = await cache.lookup(PARAPHRASE, HERE)
    assert (found.outcome, found.entry) == ("miss", None)
    assert await index.nearest(PARAPHRASE, HERE.scope) == []
    await cache.aclose()


async def test_an_answer_ends_with_its_time(store: SQLiteStore, index: SemanticIndex) -> None:
    """Protects freshness in every tier, also for questions that were served the answer by meaning."""
    cache = ResponseCache(store, index, strategy=ThresholdHits(0.9), freshness=Freshness(2, longest=1))
    await cache.store(QUESTION, HERE, ANSWER)
    assert (await cache.lookup(PARAPHRASE, HERE)).outcome == "hit"
    await asyncio.sleep(2.1)
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
        assert (await cache.lookup(question, HERE)).tier == "memory"
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
    assert "error" not in await counts(cache)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary())
def test_whatever_lies_in_the_store_is_no_crash(tmp_path: Path, data: bytes) -> None:
    """Protects lookups from damaged or foreign entries: they are misses, and the next answer takes their place."""

    async def run() -> None:
        store = SQLiteStore(tmp_path / "answers.sqlite3")
        cache = ResponseCache(store, None, memory=without_memory())
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
    found_by = await counts(cache)
    assert sum(found_by[tier] for tier in ("memory", "semantic")) == 75  # a paraphrase is found by its alias later on
    assert found_by["miss"] == 25


def test_both_tiers_outlive_the_process(tmp_path: Path, embedder: LlamaEmbeddings) -> None:
    """Protects persistence, and synchronous callers on another loop than the first one's."""
    for turn in range(2):
        client = EdgeQdrantClient(tmp_path / "qdrant")
        cache = ResponseCache(
            SQLiteStore(tmp_path / "answers.sqlite3"), SemanticIndex(client, embedder), strategy=ThresholdHits(0.9)
        )
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
        found = await cache.lookup(UNLIKE, HERE)
        assert not await cache.store(UNLIKE, HERE, ANSWER)
    assert (found.outcome, found.tier, found.entry) == ("error", None, None)
    assert "could not be read" in found.reason
    assert any("closed" in record.message for record in caplog.records)
    assert (await cache.lookup(QUESTION, HERE)).tier == "memory"
    with pytest.raises(StorageError):
        await cache.clear()


async def test_an_index_that_fails_leaves_the_exact_tier(store: SQLiteStore, index: SemanticIndex) -> None:
    """Protects exact hits from a damaged semantic tier."""
    cache = ResponseCache(store, index, memory=without_memory())
    await index.close()
    assert await cache.store(QUESTION, HERE, ANSWER)
    assert (await cache.lookup(QUESTION, HERE)).tier == "exact"
    assert (await cache.lookup(PARAPHRASE, HERE)).outcome == "error"
    assert await counts(cache) == {"exact": 1, "error": 1, "stored": 1}
    await cache.aclose()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A real Redis, that the test may freeze."""
    with RedisServer(tmp_path) as server:
        yield server


async def test_a_frozen_redis_is_a_miss(index: SemanticIndex, redis_server: RedisServer) -> None:
    """Protects runs from a Redis that hangs, and gives the answers back when it goes on."""
    redis = RedisStore(RedisConnection(redis_server.url, timeout_seconds=1.0, retry_seconds=0.1))
    cache = ResponseCache(redis, index, strategy=ThresholdHits(0.9), memory=without_memory())
    assert await cache.store(QUESTION, HERE, ANSWER)
    redis_server.freeze()
    assert (await cache.lookup(QUESTION, HERE)).outcome == "error"
    assert not await cache.store(QUESTION, HERE, ANSWER)
    redis_server.thaw()
    while (found := await cache.lookup(PARAPHRASE, HERE)).outcome == "error":  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0.05)
    assert (found.tier, found.entry) == ("semantic", ANSWER)
    await cache.aclose()


async def test_questions_go_with_their_answers(
    store: SQLiteStore, index: SemanticIndex, client: EdgeQdrantClient
) -> None:
    """Protects users: the index keeps no question beyond the time of its answer, though the documents' version changed.

    No lookup ever meets those again, so the index must let go of them by itself.
    """
    cache = ResponseCache(store, index, freshness=Freshness(1e-6))
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
        assert (await cache.lookup(f"{QUESTION} nothing", situation)).tier == "memory"
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
