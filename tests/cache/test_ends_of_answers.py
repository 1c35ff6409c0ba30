"""How long answers live, and what ends them before their time."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import pytest

from freehold.cache import Freshness, ResponseCache, ThresholdHits
from freehold.coordination import SQLiteStore
from freehold.errors import CacheEntryError
from freehold.memory import SemanticIndex
from tests.cache.here import ANSWER, HERE, PARAPHRASE, QUESTION, UNLIKE, without_memory, written_now


async def test_an_answer_that_is_used_lives_longer(store: SQLiteStore) -> None:
    """Protects answers that are asked for often from being written anew: their time grows, but not without end."""
    cache = ResponseCache(store, None, freshness=Freshness(100, longest=3), memory=without_memory())
    await cache.store(QUESTION, HERE, written_now())
    times = []
    for _ in range(9):
        assert (await cache.lookup(QUESTION, HERE)).outcome == "hit"
        (stored,) = await store.get_many([HERE.key(QUESTION)])
        assert stored is not None
        times.append(stored.expires_at - time.time())
    assert all(later > earlier - 1 for earlier, later in pairwise(times))
    assert 250 < times[-1] <= 300
    await cache.aclose()


class Shelf:
    """What documents hold, as a test wants it."""

    def __init__(self, **digests: str) -> None:
        self.digests = dict(digests)

    def version(self) -> str:
        return str(sorted(self.digests.items()))

    def digest(self, source: str) -> str | None:
        return self.digests.get(source)


CITING = replace(ANSWER, sources={"manual": ""})


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("now", [{"manual": "new", "other": "o1"}, {"other": "o1"}])
async def test_an_answer_dies_with_a_document_that_it_cites(
    store: SQLiteStore, index: SemanticIndex, now: dict[str, str], told: bool
) -> None:
    """Protects from answers out of documents that changed or went, whether the cache was told or finds out itself."""
    shelf = Shelf(manual="m1", other="o1")
    cache = ResponseCache(store, index, strategy=ThresholdHits(0.9), sources=shelf)
    await cache.store(QUESTION, HERE, CITING)
    kept = await cache.lookup(PARAPHRASE, HERE)
    assert kept.entry is not None
    assert kept.entry.sources == {"manual": "m1"}
    shelf.digests = now
    if told:
        assert await cache.drop_sources(["manual"]) == 1
        assert await store.get(HERE.key(QUESTION)) is None
    for question in (QUESTION, PARAPHRASE):
        assert (await cache.lookup(question, HERE)).outcome == "miss"
    assert await index.nearest(QUESTION, HERE.scope) == []
    assert (await cache.summary()).stale == 1
    await cache.aclose()


async def test_other_documents_shorten_an_answers_time(store: SQLiteStore) -> None:
    """Protects from both: wiping everything for one new document, and never looking at it for a week."""
    shelf = Shelf(manual="m1")
    cache = ResponseCache(store, None, sources=shelf, freshness=Freshness(700), memory=without_memory())
    await cache.store(QUESTION, HERE, written_now(CITING))
    shelf.digests["another"] = "a1"
    for _ in range(3):
        assert (await cache.lookup(QUESTION, HERE)).outcome == "hit"
    (stored,) = await store.get_many([HERE.key(QUESTION)])
    assert stored is not None
    assert 90 < stored.expires_at - time.time() <= 100
    await cache.aclose()


async def test_a_document_that_keeps_changing_shortens_the_time(store: SQLiteStore) -> None:
    """Protects from files that change often: their answers live no longer than they last stayed the same."""
    shelf = Shelf(manual="m1")
    cache = ResponseCache(store, None, sources=shelf, freshness=Freshness(1000, shortest_seconds=5))
    for number in range(3):
        shelf.digests["manual"] = f"m{number}"
        await cache.store(QUESTION, HERE, written_now(CITING))
        (stored,) = await store.get_many([HERE.key(QUESTION)])
        assert stored is not None
        lives = stored.expires_at - time.time()
        assert lives <= 5 if number == 2 else lives > 900
        await cache.drop_sources(["manual"])
    await cache.aclose()


async def test_documents_that_change_under_a_run_keep_its_answer_out(store: SQLiteStore) -> None:
    """Protects from an answer out of old passages that would count as one out of the new document."""
    shelf = Shelf(manual="m1")
    cache = ResponseCache(store, None, sources=shelf)
    ticket = (await cache.lookup(QUESTION, HERE)).ticket
    shelf.digests["manual"] = "m2"
    assert not await cache.store(QUESTION, HERE, CITING, ticket)
    assert (await cache.lookup(QUESTION, HERE)).outcome == "miss"
    await cache.aclose()


async def test_a_wrong_answer_is_quarantined_at_once(cache: ResponseCache, store: SQLiteStore) -> None:
    """Protects everybody from an answer that somebody found wrong, and its owner's second thought."""
    await cache.store(QUESTION, HERE, ANSWER)
    hit = await cache.lookup(PARAPHRASE, HERE)
    assert hit.entry_key is not None
    assert await cache.report(hit.entry_key, correct=False)
    for question in (QUESTION, PARAPHRASE):
        assert (await cache.lookup(question, HERE)).outcome == "miss"
    assert not await cache.store(QUESTION, HERE, ANSWER)  # written again in the same words, it is still wrong
    assert (await cache.lookup(QUESTION, HERE)).outcome == "miss"
    (entry,) = await cache.entries()
    assert entry.answer.quarantined
    assert await cache.report(entry.id, correct=True)
    assert (await cache.lookup(QUESTION, HERE)).outcome == "hit"
    assert await cache.report(hit.entry_key, correct=False)
    better = replace(ANSWER, answer="In the settings of your account. [1]")
    assert await cache.store(QUESTION, HERE, better)
    found = await cache.lookup(QUESTION, HERE)
    assert found.entry is not None
    assert found.entry.answer == better.answer


async def test_a_report_needs_an_entry(cache: ResponseCache) -> None:
    """Protects feedback from being lost on a name that is none, or that several have."""
    await cache.store(QUESTION, HERE, ANSWER)
    await cache.store(UNLIKE, HERE, ANSWER)
    for name in ("", "zzz", "ffffffffffff.none"):
        if "." in name:
            assert not await cache.report(name, correct=False)
        else:
            with pytest.raises(CacheEntryError, match="cache list"):
                await cache.report(name, correct=False)
    with pytest.raises(CacheEntryError, match="not answered from the cache"):
        await cache.report({"outcome": "miss", "entry": None, "evidence": None}, correct=False)
    assert {entry.answer.quarantined for entry in await cache.entries()} == {False}
